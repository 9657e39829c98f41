"""Formats unpacked for all projects of a user: once for each installation, and never where other formats might be meant."""

import gzip
import os
import subprocess
from pathlib import Path

import pytest

from cpods.pod import formats

PACKED = "/var/lib/texmf/web2c/pdftex/pdflatex.fmt"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cpods" / "texmf-cache"


def test_an_engine_finds_its_format_unpacked(cache: Path, tmp_path: Path) -> None:
    old = cache / "pdflatex-1-2-3"
    old.mkdir(parents=True)
    (cache / "xelatex-1-2-3").mkdir()
    path = formats.search_path("pdflatex", {"HOME": str(tmp_path)})
    assert path.startswith(f".:{cache}/pdflatex-") and path.endswith(":")
    file = Path(path[2:-1], "pdflatex.fmt")
    with gzip.open(PACKED) as packed:
        assert file.read_bytes() == packed.read()
    assert sorted(entry.name for entry in cache.iterdir()) == sorted([file.parent.name, "xelatex-1-2-3"]), "older ones go"
    before = file.stat().st_mtime_ns
    assert formats.search_path("pdflatex", {"HOME": str(tmp_path)}) == path
    assert file.stat().st_mtime_ns == before
    environment = {**os.environ, "TEXFORMATS_pdflatex": path}
    command = ["pdflatex", "-recorder", "-jobname=x", "\\csname @@end\\endcsname"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert f"INPUT {file}\n" in (tmp_path / "x.fls").read_text()


@pytest.mark.parametrize("name", ["TEXFORMATS", "TEXFORMATS_pdflatex", "TEXMF", "TEXMFVAR", "TEXMFHOME"])
def test_whoever_says_where_formats_are_is_left_alone(cache: Path, tmp_path: Path, name: str) -> None:
    assert formats.search_path("pdflatex", {"HOME": str(tmp_path), name: "/elsewhere"}) == ""
    assert not cache.exists()


@pytest.mark.parametrize("folder", ["texmf/web2c", ".texlive2022/texmf-var/web2c"])
def test_formats_of_the_users_own_come_first(cache: Path, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    assert formats.search_path("pdflatex", {"HOME": str(tmp_path)}) == ""


def test_what_stands_in_the_way_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert formats.search_path("context", {"HOME": str(tmp_path)}) == ""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert formats.search_path("pdflatex", {}) == ""
    for cache in (tmp_path / "a:b", tmp_path / "file"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        (tmp_path / "file").touch()
        assert formats.search_path("pdflatex", {"HOME": str(tmp_path)}) == ""
