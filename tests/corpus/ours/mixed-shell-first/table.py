rows = [l.split() for l in open('rows.dat')]
with open('rows.tex', 'w') as f:
    f.write('\\begin{tabular}{lr}\n' + ''.join('%s & %s\\\\\n' % (a, b) for a, b in rows) + '\\end{tabular}\n')
