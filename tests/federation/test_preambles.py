"""A preamble's format made on one pod is loaded on any: the same document as one machine makes, and the folder never sees it.

Knows no inner part of cpods.
"""

from pathlib import Path

import pytest

from tests.helpers.lab import Lab

pytestmark = [pytest.mark.federation, pytest.mark.timeout(900)]

BODY = "\\tableofcontents\\section{One}\\label{l} On \\pageref{l}."
TEXT = f"\\documentclass{{article}}\n\\usepackage{{tikz}}\n\\begin{{document}}\n{BODY}\n\\end{{document}}\n"


def test_the_same_document(tmp_path: Path) -> None:
    made = []
    with Lab(tmp_path / "lab") as lab:
        lab.pods_at_once(["one", "two"])
        for name, more in (("plain", ""), ("kept", 'preamble = "cache"\n')):
            project = tmp_path / name
            project.mkdir()
            (project / "a.tex").write_text(TEXT)
            (project / "cpods.toml").write_text(f'[[step]]\nchef = "latex"\nmain = "a.tex"\nsynctex = false\n{more}')
            built = lab.rebuild(project)
            assert built.exit_code == 0, built.output
            assert not lab.rebuild(project).tools
            made.append({path.name: path.read_bytes() for path in project.iterdir() if path.suffix in (".pdf", ".aux", ".toc", ".fmt")})
        assert "a.cpods" in (project / "a.log").read_text(encoding="latin-1").partition("\n")[0]
        (project / "a.tex").write_text(TEXT.replace("On ", "Still on "))
        assert lab.rebuild(project).tools == {"pdflatex": 1}
    assert made[0] == made[1]
