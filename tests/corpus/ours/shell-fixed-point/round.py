import os
edges = [l.split() for l in open('edges.txt')]
have = set(open('reach.txt').read().split()) if os.path.exists('reach.txt') else {'a'}
have |= {y for x, y in edges if x in have}
open('reach.txt', 'w').write('\n'.join(sorted(have)) + '\n')
