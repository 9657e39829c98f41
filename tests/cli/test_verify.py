"""`cpods verify`: several fixed points, tools that are not deterministic, goals that are not up to date."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Cli

Files = Callable[[Path], dict[str, bytes]]


def test_a_knot_with_one_fixed_point_is_verified(cli: Cli, turning: Callable[..., Path], files: Files) -> None:
    folder = turning("(n + 3) / 2")
    cli("rebuild", "--until-stable")
    before = files(folder)
    verified = cli("verify", "--report", "../v.json")
    assert verified.code == 0 and verified.out.startswith("verified 1 knot:")
    assert json.loads((folder.parent / "v.json").read_text())["executions"][-1]["step"] == "turn"
    assert files(folder) == before
    again = cli("rebuild", "--until-stable", "--report", "../r.json")
    assert again.code == 0 and json.loads((folder.parent / "r.json").read_text())["executions"] == []


def test_another_fixed_point_from_a_clean_start_is_reported(cli: Cli, turning: Callable[..., Path], files: Files) -> None:
    folder = turning("n > 5 ? 9 : 1", start=2)
    (folder.parent / "seed").mkdir()
    (folder.parent / "seed" / "x.txt").write_text("7\n")
    assert cli("rebuild", "--until-stable", "--seed", "../seed").code == 0
    assert (folder / "x.txt").read_text() == "9\n"
    before = files(folder)
    verified = cli("verify")
    assert verified.code == 1 and files(folder) == before
    assert "x.txt: the published state is a fixed point, but a clean build ends in another one; 1 file differs: x.txt" in verified.err
    assert "`cpods rebuild --seed clean` takes that one" in verified.err
    assert cli("rebuild", "--until-stable").code == 0 and files(folder) == before
    assert cli("rebuild", "--until-stable", "--seed", "clean").code == 0
    assert (folder / "x.txt").read_text() == "1\n" and cli("verify").code == 0


def test_a_clean_build_that_oscillates_is_reported(cli: Cli, turning: Callable[..., Path]) -> None:
    folder = turning("n > 5 ? 9 : 3 - n", start=2)
    (folder.parent / "seed").mkdir()
    (folder.parent / "seed" / "x.txt").write_text("7\n")
    cli("rebuild", "--until-stable", "--seed", "../seed")
    verified = cli("verify")
    assert verified.code == 1 and "but a clean build oscillates with period 2" in verified.err


def test_a_tool_that_is_not_deterministic_is_named_with_its_file(cli: Cli, turning: Callable[..., Path]) -> None:
    folder = turning("(n + 3) / 2", more_outputs=', "noise.txt"', more_run="; cat /proc/sys/kernel/random/uuid > noise.txt")
    cli("rebuild", "--until-stable")
    verified = cli("verify", "--json")
    ended = json.loads(verified.out.splitlines()[-1])
    assert verified.code == 1 and ended["status"] == "failed"
    assert any(text.startswith("turn: sh is not deterministic: for the same inputs it made another noise.txt") for text in ended["errors"])
    text = (folder / "cpods.toml").read_text()
    (folder / "cpods.toml").write_text(text.replace("tools =", "insignificant = ['^[0-9a-f]+-']\ntools ="))
    cli("rebuild", "--until-stable")
    assert cli("verify").code == 0


def test_only_what_is_up_to_date_is_verified(cli: Cli, turning: Callable[..., Path], files: Files) -> None:
    folder = turning("(n + 3) / 2")
    assert cli("verify").code == 2
    cli("rebuild", "--until-stable")
    (folder / "start.txt").write_text("20\n")
    before = files(folder)
    verified = cli("verify", "--report", "../v.json")
    assert verified.code == 2 and "not up to date: turn; call `cpods rebuild --until-stable` first" in verified.err
    assert json.loads((folder.parent / "v.json").read_text())["status"] == "invalid" and files(folder) == before


def test_a_knot_without_a_fixed_point_has_nothing_to_verify(cli: Cli, turning: Callable[..., Path]) -> None:
    turning("n * n % 7", start=2)
    cli("rebuild", "--until-stable")
    verified = cli("verify")
    assert verified.code == 2 and "there is no good state of turn to verify: it is proven that" in verified.err


def test_a_document_with_two_fixed_points(cli: Cli, project: Path, files: Files) -> None:
    (project / "bi.tex").write_text(
        "\\documentclass{article}\\begin{document}\\makeatletter\n"
        "\\ifx\\longform\\undefined Short.\\else Long.\\fi\n"
        "\\makeatletter\\ifx\\longform\\undefined\\else\\write\\@auxout{\\gdef\\string\\longform{}}\\fi\n"
        "\\end{document}\n"
    )
    (project.parent / "seed").mkdir()
    (project.parent / "seed" / "bi.aux").write_text("\\relax\n\\gdef\\longform{}\n")
    assert cli("rebuild", "bi.tex", "--seed", "../seed").code == 0
    verified = cli("verify", "bi.tex")
    assert (
        verified.code == 1
        and verified.err.count("bi.pdf: the published state is a fixed point, but a clean build ends in another one") == 1
    )
    assert cli("rebuild", "bi.tex", "--seed", "clean").code == 0
    clean = files(project)
    shutil.rmtree(project / ".cpods")
    assert cli("verify", "bi.tex").code == 2 and files(project) == clean


def test_an_unknown_goal(cli: Cli, turning: Callable[..., Path]) -> None:
    turning("(n + 3) / 2")
    cli("rebuild", "--until-stable")
    verified = cli("verify", "y.txt")
    assert verified.code == 2 and "did you mean x.txt?" in verified.err
