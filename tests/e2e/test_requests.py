"""What a user may ask of a circle beyond iterating it: one pass, unstable files, a choice, a seed, a limit."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

VISIBLE = Path(__file__).parents[1] / "corpus" / "visible"
ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"}


class Said:
    """One call of `cpods rebuild` and all that it said."""

    def __init__(self, folder: Path, *options: str) -> None:
        report = folder.parent / "report.json"
        command = [str(Path(sys.executable).with_name("cpods")), "rebuild", "-C", str(folder), "--report", str(report), *options]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=110)
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.report: dict[str, Any] = json.loads(report.read_text())

    @property
    def runs(self) -> int:
        """Processes that were started."""
        return len(self.report["executions"])


def case(tmp_path: Path, name: str, more: str = "") -> Path:
    """A private copy of a corpus case; ``more`` is added to its last step."""
    folder = tmp_path / name
    shutil.copytree(VISIBLE / name, folder)
    with open(folder / "cpods.toml", "a") as file:
        file.write(more)
    return folder


def test_one_pass_a_call_until_it_is_at_rest(tmp_path: Path) -> None:
    folder = case(tmp_path, "steps-four")
    for number in (1, 2, 3):
        said = Said(folder)
        assert (said.code, said.report["status"], said.runs) == (0, "unstable", 1)
        assert "four.pdf: pass 1" in said.out and "still move" in said.out and "--until-stable" in said.out
        assert f"\\gdef \\stored{{{number}}}" in (folder / "four.aux").read_text()
    last = Said(folder)
    assert (last.code, last.report["status"], last.runs) == (0, "done", 1)
    assert Said(folder).runs == 0


def test_one_pass_reaches_the_same_fixed_point_as_iterating(tmp_path: Path) -> None:
    by_hand, at_once = case(tmp_path, "steps-four"), case(tmp_path / "again", "steps-four")
    for _ in range(4):
        Said(by_hand)
    Said(at_once, "--until-stable")
    assert (by_hand / "four.pdf").read_bytes() == (at_once / "four.pdf").read_bytes()


def test_a_project_may_iterate_by_default_and_a_call_may_not(tmp_path: Path) -> None:
    folder = case(tmp_path, "steps-four")
    text = (folder / "cpods.toml").read_text()
    (folder / "cpods.toml").write_text(text.replace("[project]", "[project]\nuntil_stable = true", 1))
    assert Said(folder, "--once").report["status"] == "unstable"
    assert Said(folder).report["status"] == "done"


def test_a_bare_document_always_iterates(tmp_path: Path) -> None:
    folder = case(tmp_path, "steps-four")
    (folder / "cpods.toml").unlink()
    said = Said(folder, "four.tex")
    assert (said.code, said.report["status"], said.runs) == (0, "done", 4)


def test_keep_unstable_publishes_and_still_fails(tmp_path: Path) -> None:
    folder = case(tmp_path, "period2-roman")
    refused = Said(folder, "--until-stable")
    assert refused.code == 3 and not (folder / "viii.pdf").exists()
    assert (folder / ".cpods" / "last" / "viii.pdf").exists() and ".cpods/last" in refused.err
    kept = Said(folder, "--until-stable", "--keep-unstable")
    assert kept.code == 3 and (folder / "viii.pdf").exists() and kept.runs == 0
    assert "published all the same" in kept.err


def test_what_was_kept_unstable_is_no_good_state(tmp_path: Path) -> None:
    folder = case(tmp_path, "period2-roman")
    Said(folder, "--until-stable", "--keep-unstable")
    again = Said(folder, "--until-stable")
    assert again.code == 3 and again.report["knots"][0]["verdict"] == "PERIOD"


def test_choose_publishes_the_same_state_everywhere(tmp_path: Path) -> None:
    chosen = []
    for place in ("one", "two"):
        folder = case(tmp_path / place, "period2-roman", 'policy = "choose"\n')
        said = Said(folder, "--until-stable")
        assert (said.code, said.report["status"]) == (0, "unstable")
        assert "smallest digest was chosen" in said.out
        chosen.append((folder / "viii.aux").read_bytes())
    assert chosen[0] == chosen[1]


def test_a_seed_folder_leads_to_the_other_fixed_point(tmp_path: Path) -> None:
    folder = case(tmp_path, "bistable-long")
    said = Said(folder, "--until-stable", "--seed", str(folder / "alt_seed"))
    assert said.report["goals"][0]["pages"] == 2
    warm = Said(folder, "--until-stable")
    assert warm.report["goals"][0]["pages"] == 2
    clean = Said(folder, "--until-stable", "--seed", "clean")
    assert clean.report["goals"][0]["pages"] == 1


def test_a_pass_limit_below_the_fixed_point(tmp_path: Path) -> None:
    folder = case(tmp_path, "steps-four")
    short = Said(folder, "--until-stable", "--seed", "clean", "--max-passes", "2")
    assert (short.code, short.report["status"], short.runs) == (4, "diverges", 2)
    enough = Said(folder, "--until-stable", "--seed", "clean", "--max-passes", "9")
    assert enough.code == 0 and enough.runs == 2, "the passes of the short call are not run again"


def test_force_runs_what_is_up_to_date(tmp_path: Path) -> None:
    folder = case(tmp_path, "plain-nofiles")
    assert Said(folder).runs == 1
    assert Said(folder).runs == 0
    assert Said(folder, "--force").runs == 1


@pytest.mark.parametrize(("options", "ran"), [((), 1), (("-k", "0"), 2), (("-k", "2"), 2)])
def test_how_many_failures_stop_a_build(tmp_path: Path, options: tuple[str, ...], ran: int) -> None:
    steps = "".join(f'[[step]]\nname = "s{n}"\nrun = "false"\noutputs = ["o{n}"]\n' for n in range(2))
    folder = tmp_path / "fails"
    folder.mkdir()
    (folder / "cpods.toml").write_text(steps)
    said = Said(folder, "-j", "1", *options)
    assert said.code == 1 and said.runs == ran


def test_a_document_that_ends_before_it_writes_what_others_need_has_failed(tmp_path: Path) -> None:
    """Its readers stay in its circle, or wait for it: they lack nothing, and the build is not done."""
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "cpods.toml").write_text(
        '[project]\nuntil_stable = true\n[[step]]\nchef = "latex"\nmain = "doc.tex"\n'
        '[[step]]\nname = "a"\nrun = "cp gen.dat mid.dat"\ninputs = ["gen.dat"]\noutputs = ["mid.dat"]\n'
        '[[step]]\nname = "b"\nrun = "cat mid.dat places.dat > out.tex"\ninputs = ["mid.dat", "places.dat"]\noutputs = ["out.tex"]\n'
    )
    writes = "".join(
        f"\\immediate\\openout\\w={name} \\immediate\\write\\w{{{name}}}\\immediate\\closeout\\w\n" for name in ("gen.dat", "places.dat")
    )
    reads = "\\newwrite\\w\\IfFileExists{out.tex}{\\input{out.tex}}{}\n"
    good = f"\\documentclass{{article}}\n\\begin{{document}}\n{reads}%\n{writes}\\end{{document}}\n"
    broken = good.replace("%\n", "\\nosuchcommand\\csname @@end\\endcsname\n")
    for text, code in ((broken, 1), (good, 0), (broken, 1), (good, 0)):
        (folder / "doc.tex").write_text(text)
        said = Said(folder)
        assert (said.code, said.report["status"]) == (code, "failed" if code else "done"), said.err
        if code:
            assert said.report["errors"][0].startswith("doc.tex:4: Undefined control sequence \\nosuchcommand"), said.report["errors"]
            assert not any("no step makes" in error or "circle" in error for error in said.report["errors"])


def test_a_long_chain_behind_a_missing_file_is_told_as_that(tmp_path: Path) -> None:
    """No depth of the graph is a limit of what is said about it."""
    folder = tmp_path / "p"
    folder.mkdir()
    steps = [("no-such-file", "o0"), *((f"o{number}", f"o{number + 1}") for number in range(1100))]
    text = "".join(
        f'[[step]]\nname = "{made}"\nrun = "cp {read} {made}"\ninputs = ["{read}"]\noutputs = ["{made}"]\n' for read, made in steps
    )
    (folder / "cpods.toml").write_text(text)
    said = Said(folder)
    assert said.code == 2
    assert said.report["errors"][0].startswith("o0 needs no-such-file, which is not there and which no step makes")
