"""The date is a recorded input: a new day alone runs nothing, a step that must run takes it."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from cpods.majordomo.account import Listener
from cpods.majordomo.context import Request
from cpods.scheduler.core import Options
from cpods.session import Call, rebuild
from cpods.wiring import WallClock

SOURCE = r"\documentclass{article}\begin{document}\section{A}\label{a}\today{} see \ref{a}.\end{document}"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("SOURCE_DATE_EPOCH", "FORCE_SOURCE_DATE")}


class Diary:
    """One document, built on days of the test's choice."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._patch = patch
        self.write("see")

    def write(self, word: str) -> None:
        (self.folder / "a.tex").write_text(SOURCE.replace("see", word))

    def build(self, day: str, seed: str = "", date: str = "today", environment: dict[str, str] | None = None) -> int:
        """Builds as if it were ``day``; how many processes were started."""
        (self.folder / "cpods.toml").write_text(f'[project]\ndate = "{date}"\n[[step]]\nchef = "latex"\nmain = "a.tex"\n')
        self._patch.setattr(WallClock, "today", lambda _: day)
        call = Call(str(self.folder), (), Request(Options(until_stable=True), seed=seed), until_stable=True)
        done = asyncio.run(rebuild(call, ENVIRONMENT | (environment or {}), Listener(), print))
        assert done.ending.exit_code == 0, done.ending.errors
        return len(done.report["executions"])

    @property
    def text(self) -> str:
        """What the PDF says."""
        return subprocess.run(["pdftotext", str(self.folder / "a.pdf"), "-"], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Diary:
    return Diary(tmp_path, monkeypatch)


def test_a_new_day_alone_runs_nothing(diary: Diary) -> None:
    assert diary.build("2026-01-01") == 2
    assert diary.build("2026-01-02") == 0
    assert "January 1, 2026" in diary.text


def test_a_step_that_must_run_takes_todays_date(diary: Diary) -> None:
    diary.build("2026-01-01")
    diary.write("look")
    assert diary.build("2026-01-03") >= 1
    assert "January 3, 2026" in diary.text


def test_a_revert_on_another_day_runs_nothing(diary: Diary) -> None:
    diary.build("2026-01-01")
    diary.write("look")
    diary.build("2026-01-03")
    diary.write("see")
    assert diary.build("2026-01-04") == 0
    assert "January 1, 2026" in diary.text


def test_a_clean_build_keeps_the_recorded_date(diary: Diary) -> None:
    diary.build("2026-01-01", seed="clean")
    assert diary.build("2026-01-05", seed="clean") == 0
    diary.write("gaze")
    diary.build("2026-01-06", seed="clean")
    assert "January 1, 2026" in diary.text


def test_a_date_of_the_project_and_one_of_the_environment(diary: Diary) -> None:
    diary.build("2026-01-01", date="2001-05-04")
    assert "May 4, 2001" in diary.text
    assert diary.build("2026-01-02", date="2001-05-04") == 0
    assert diary.build("2026-01-02", date="2001-05-04", environment={"SOURCE_DATE_EPOCH": "86400"}) >= 1
    assert "January 2, 1970" in diary.text


@pytest.mark.tex
def test_an_externalised_picture_is_not_made_again_on_another_day(diary: Diary) -> None:
    document = diary.folder / "a.tex"
    picture = r"\begin{tikzpicture}\draw (0,0) -- (1,1);\end{tikzpicture}"
    head = r"\documentclass{article}\usepackage{tikz}\usetikzlibrary{external}\tikzexternalize" + "\n"
    document.write_text(head + rf"\begin{{document}}one {picture}\end{{document}}")
    assert diary.build("2026-01-01") == 3
    document.write_text(head + rf"\begin{{document}}two {picture}\end{{document}}")
    assert diary.build("2026-01-02") == 1
