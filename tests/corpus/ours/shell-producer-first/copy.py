open('b.txt', 'w').write(open('a.txt').read())
