from pathlib import Path

Path("disc.svg").write_text(
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><circle cx="20" cy="20" r="15" fill="red"/></svg>\n'
)
