from pathlib import Path

page = int(Path("where.dat").read_text())
rows = min(page, 3)
Path("rows.tex").write_text("".join(f"Row {n} of {rows}, seen from page {page}.\\page\n" for n in range(1, rows + 1)))
