import sys

size = int(sys.argv[1])
print(f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 {size} {size}\n%%EndComments")
print(f"newpath 0 0 moveto {size} {size} lineto stroke\n%%EOF")
