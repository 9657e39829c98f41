import sys
from pathlib import Path

rows = Path(sys.argv[1]).read_text().split()
Path(sys.argv[2]).write_text("\\begin{tabular}{ll}" + r"\\".join(row.replace(",", " & ") for row in rows) + "\\end{tabular}\n")
