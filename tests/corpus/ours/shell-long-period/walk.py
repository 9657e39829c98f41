import os
n = int(open('n.txt').read()) if os.path.exists('n.txt') else -1
n += 1
open('n.txt', 'w').write('%d\n' % (4 if n > 15 else n))
