import os, subprocess, sys
src = open('source.txt').read()
old = open('comp.py').read() if os.path.exists('comp.py') else None
gen = 0 if old is None else int(old.split('gen = ')[1].split()[0])
out = 'gen = %d\nprogram = %r\n' % (min(gen + 1, 2), src.upper() if gen >= 1 else src)
open('comp.py', 'w').write(out)
