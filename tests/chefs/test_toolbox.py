"""Fingerprints: what changes them and what does not. On a made-up dpkg database and on this machine's."""

import os
import shutil
from pathlib import Path

import pytest

from cpods.chefs.packages import dpkg_packages, is_covered, tlpdb_packages, versions
from cpods.chefs.registry import chefs
from cpods.chefs.toolbox import STATUS_VARIABLE, MachineToolbox, still_valid
from cpods.declaration import LatexDeclaration
from cpods.digest import ABSENT
from cpods.model import Step

STATUS = b"""Package: texlive-base
Status: install ok installed
Architecture: all
Version: 2022-3
Description: x
 Version: 9

Package: gone
Status: deinstall ok config-files
Version: 1

Package: libx
Status: install ok installed
Architecture: amd64
Version: 1:2.0
"""


def database(root: Path) -> Path:
    """A dpkg folder with two packages, one of which owns a TeX file."""
    (root / "info").mkdir()
    (root / "status").write_bytes(STATUS)
    (root / "info" / "texlive-base.list").write_text("/.\n/usr\n/usr/share/texlive/texmf-dist/tex/a.sty\n")
    (root / "info" / "libx:amd64.list").write_text("/.\n/usr/lib/libx.so\n")
    return root / "status"


def step(engine: str = "pdflatex") -> Step:
    declaration = LatexDeclaration(main="a.tex", engine=engine)  # type: ignore[arg-type]
    return chefs()["latex"].plan(declaration, 0, ["a.tex"], {})[0]


def toolbox(status: str | Path | None = None, **more: str) -> MachineToolbox:
    environment = {"PATH": os.environ["PATH"], "HOME": "", **more}
    return MachineToolbox(environment | ({STATUS_VARIABLE: str(status)} if status else {}))


def fingerprint(tools: MachineToolbox, engine: str = "pdflatex") -> str:
    return chefs()["latex"].fingerprint(step(engine), tools)


@pytest.fixture
def copied_status(tmp_path: Path) -> Path:
    return Path(shutil.copy("/var/lib/dpkg/status", tmp_path / "status"))


def test_only_installed_packages_have_versions() -> None:
    assert versions(STATUS, ["texlive-base", "gone", "libx:amd64"]) == {
        "texlive-base": "2022-3",
        "texlive-base:all": "2022-3",
        "libx": "1:2.0",
        "libx:amd64": "1:2.0",
    }


def test_owners_of_a_tree(tmp_path: Path) -> None:
    status = database(tmp_path)
    listed = dpkg_packages(str(status), str(tmp_path / "info"), ["/usr/share/texlive"])
    assert listed is not None
    assert listed.packages == (("texlive-base", "2022-3"),)


def test_a_tree_that_only_begins_alike_is_another_one(tmp_path: Path) -> None:
    listed = dpkg_packages(str(database(tmp_path)), str(tmp_path / "info"), ["/usr/share/tex"])
    assert listed is not None
    assert listed.packages == ()


def test_without_dpkg_texlive_s_own_database_serves(tmp_path: Path) -> None:
    (tmp_path / "texlive.tlpdb").write_text("name amsmath\ncategory Package\nrevision 123\ndepend x\n\nname graphics\nrevision 7\n")
    listed = tlpdb_packages(str(tmp_path / "texlive.tlpdb"))
    assert listed is not None
    assert listed.packages == (("amsmath", "123"), ("graphics", "7"))
    assert tlpdb_packages(str(tmp_path / "none")) is None


def test_owners_are_kept_for_the_user_while_the_records_stay_as_they_were(tmp_path: Path) -> None:
    status, home = database(tmp_path), tmp_path / "home"
    listing = tmp_path / "info" / "texlive-base.list"

    def owners(**environment: str) -> str:
        return toolbox(status, HOME=str(home), **environment).packages(["/usr/share/texlive"])

    first = owners()
    (kept,) = (home / ".cache" / "cpods" / "owners").iterdir()
    listing.write_bytes(listing.read_bytes()[:10])  # not as dpkg would: the folder stays as it was
    assert owners() == first
    kept.write_bytes(b"{")
    assert owners() != first
    (tmp_path / "info" / "libx:amd64.list").rename(tmp_path / "info" / "liby.list")
    listing.write_text("/usr/share\n/usr/share/texlive/x\n")
    assert owners() == first
    status.write_bytes(STATUS.replace(b"2022-3", b"2023-1"))
    assert owners() != first
    (home / ".cache" / "cpods" / "owners").chmod(0o500)
    assert owners(XDG_CACHE_HOME="relative") == owners(XDG_CACHE_HOME="/dev/null") == owners()


def test_the_same_machine_gives_the_same_fingerprint(copied_status: Path) -> None:
    assert fingerprint(toolbox()) == fingerprint(toolbox(copied_status))


def test_a_changed_tex_package_changes_it(copied_status: Path) -> None:
    before = fingerprint(toolbox(copied_status))
    text = copied_status.read_text()
    begin = text.index("Package: texlive-latex-base\n")
    at = text.index("\nVersion: ", begin) + len("\nVersion: ")
    copied_status.write_text(text[:at] + "9" + text[at:])
    assert fingerprint(toolbox(copied_status)) != before


def test_a_changed_package_without_tex_files_does_not(copied_status: Path) -> None:
    before = fingerprint(toolbox(copied_status))
    copied_status.write_text(copied_status.read_text().replace("Package: bash\n", "Package: bash\nX-Note: y\n"))
    assert fingerprint(toolbox(copied_status)) == before


def test_a_format_dumped_again_does_not_change_it() -> None:
    tools = toolbox()
    fingerprint(tools)
    assert [mark for mark in tools.stamps() if mark[0].endswith(".fmt")] == []


def test_engines_differ() -> None:
    tools = toolbox()
    assert fingerprint(tools) != fingerprint(tools, "lualatex")


def test_another_program_changes_it(tmp_path: Path) -> None:
    fake = tmp_path / "pdflatex"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    assert fingerprint(toolbox(PATH=f"{tmp_path}:{os.environ['PATH']}")) != fingerprint(toolbox())


def test_own_trees_count_by_their_names(tmp_path: Path) -> None:
    before = fingerprint(toolbox(TEXMFHOME=str(tmp_path)))
    (tmp_path / "tex").mkdir()
    assert fingerprint(toolbox(TEXMFHOME=str(tmp_path))) == before
    (tmp_path / "tex" / "own.sty").write_text("x")
    after = fingerprint(toolbox(TEXMFHOME=str(tmp_path)))
    assert after != before
    (tmp_path / "tex" / "own.sty").write_text("y")
    assert fingerprint(toolbox(TEXMFHOME=str(tmp_path))) == after


def test_stamps_tell_when_to_ask_again(tmp_path: Path, copied_status: Path) -> None:
    tools = toolbox(copied_status, TEXMFHOME=str(tmp_path / "texmf"), PATH=f"{tmp_path}:{os.environ['PATH']}")
    fingerprint(tools)
    stamps = tools.stamps()
    assert still_valid(stamps)
    (tmp_path / "pdflatex").write_text("appears earlier in PATH")
    assert not still_valid(stamps)
    (tmp_path / "pdflatex").unlink()
    assert still_valid(stamps)
    copied_status.write_text("")
    assert not still_valid(stamps)


def test_the_environment_is_part_of_what_the_answers_rest_on() -> None:
    assert toolbox().environment_key() != toolbox("elsewhere").environment_key()
    assert toolbox().environment_key() == toolbox(EDITOR="vi").environment_key()


def test_which_follows_path(tmp_path: Path) -> None:
    assert toolbox(PATH=str(tmp_path)).which("pdflatex") is None
    assert toolbox(PATH=str(tmp_path)).binary("pdflatex") == ABSENT
    (tmp_path / "tool").write_text("x")
    assert toolbox(PATH=str(tmp_path)).which("tool") is None
    (tmp_path / "tool").chmod(0o755)
    assert toolbox(PATH=str(tmp_path)).which("tool") == str(tmp_path / "tool")


def test_content_and_names_of_nothing(tmp_path: Path) -> None:
    assert toolbox().content(str(tmp_path / "none")) == ABSENT
    assert toolbox().names(str(tmp_path)) == ABSENT


@pytest.mark.parametrize("name", ["bibtex", "biber", "makeindex", "makeglossaries"])
def test_helpers_have_fingerprints_of_their_own(name: str) -> None:
    tools = toolbox()
    assert chefs()[name].fingerprint(step(), tools) != fingerprint(tools)


def test_folders_filled_by_hand_are_not_covered() -> None:
    assert is_covered("/usr/share/texmf/x")
    assert not is_covered("/usr/local/share/texmf/x")
    assert not is_covered("usr/share/x")


def test_registry_knows_all_chefs_and_no_other() -> None:
    assert [chef.name for chef in chefs().values()] == list(chefs())
    with pytest.raises(KeyError):
        chefs()["cobbler"]
