from pathlib import Path

page = int(Path("pages.dat").read_text())
rows = min(page, 3)
Path("table.tex").write_text("".join(f"Row {n} of {rows}, seen from page {page}.\\newpage\n" for n in range(1, rows + 1)))
