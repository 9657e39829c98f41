import os
wanted = open('wanted.txt').read().split()
old = dict(l.split() for l in open('lock.txt')) if os.path.exists('lock.txt') else {}
open('lock.txt', 'w').write(''.join('%s %s\n' % (w, old.get(w, '1')) for w in sorted(wanted)))
