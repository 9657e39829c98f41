for k in range(40):
    print('\\section{Part %d}Words.' % k)
