"""What must stay true over many builds: the store's quota, and an inverse search that names the user's files."""

import gzip
import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.calls import Zygote, cpods, write  # noqa: F401  a fixture

SEED = 20241124


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty project folder."""
    place = tmp_path / "project"
    place.mkdir()
    return place


QUOTA = """\
[store]
max_bytes = {quota}
[[step]]
name = "big"
run = "yes \\"$(cat seed.txt)\\" | head -n {copies} > big.bin"
inputs = ["seed.txt"]
outputs = ["big.bin"]
[[step]]
name = "sum"
run = "wc -c < big.bin > sum.txt; cat seed.txt >> sum.txt"
inputs = ["big.bin", "seed.txt"]
outputs = ["sum.txt"]
"""


def edit_under_quota(zygote: Zygote, folder: Path, edits: int, size: int, quota: int) -> None:
    """Many edits: the store stays below its quota, and every build is right, also of a text that was there before."""
    rng = random.Random(SEED)
    line_bytes = 1000
    write(folder, cpods__toml=QUOTA.format(quota=quota, copies=size // line_bytes))
    for number in range(edits):
        text = f"edit {number if rng.random() < 0.8 else rng.randrange(number + 1)} ".ljust(line_bytes - 1, ".") + "\n"
        (folder / "seed.txt").write_text(text)
        said = zygote.run(folder, "rebuild")
        assert said.code == 0, said.err
        assert (folder / "big.bin").read_text() == text * (size // line_bytes)
        assert (folder / "sum.txt").read_text() == f"{size}\n{text}"
        held = sum(path.stat().st_size for path in (folder / ".cpods/objects/objects").rglob("*") if path.is_file())
        assert held <= quota, f"{held} bytes after edit {number}"


def test_sixty_edits_under_a_quota(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    edit_under_quota(cpods, folder, 60, 100_000, 2_000_000)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_five_hundred_edits_under_a_quota_of_100_mb(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    edit_under_quota(cpods, folder, 500, 1_000_000, 100_000_000)


def test_inverse_search_names_the_users_file(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    (folder / "parts").mkdir()
    write(folder, paper__tex="\\documentclass{article}\n\\begin{document}\nHello.\n\\input{parts/one}\n\\end{document}\n")
    (folder / "parts/one.tex").write_text("\nA line in a part.\n")
    for _ in range(2):  # made, then taken from the store
        assert cpods.run(folder, "rebuild", "paper.tex").code == 0
        lines = gzip.decompress((folder / "paper.synctex.gz").read_bytes()).decode().splitlines()
        named = {os.path.normpath(line.split(":", 2)[2]) for line in lines if line.startswith("Input:") and "texmf" not in line}
        assert {str(folder / "paper.tex"), str(folder / "parts/one.tex")} <= named
        assert not [name for name in named if ".cpods" in name]
        asked = ["synctex", "edit", "-o", "1:150:140:paper.pdf"]
        answer = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True).stdout
        assert re.search(rf"^Input:{re.escape(str(folder))}/(\./)?(parts/one|paper)\.tex$", answer, re.MULTILINE), answer
        (folder / "paper.pdf").unlink()
        (folder / "paper.synctex.gz").unlink()
