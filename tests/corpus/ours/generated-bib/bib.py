for k in range(1, 4):
    print('@book{k%d, author={A. %s}, title={T%d}, publisher={P}, year=%d}' % (k, 'XYZ'[k - 1], k, 2000 + k))
