"""Shell steps: what a declaration becomes, and what is seen of a real run."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.chefs.shell import ShellChef, last_lines
from cpods.chefs.toolbox import MachineToolbox
from cpods.declaration import LatexDeclaration, ShellDeclaration
from cpods.digest import ABSENT
from cpods.model import Exit, Observation, Step
from tests.chefs.realview import RealView, run

CHEF = ShellChef()


def plan(run: str, listing: tuple[str, ...] = (), **keys: object) -> Step:
    declaration = ShellDeclaration(name="s", run=run, **keys)  # type: ignore[arg-type]
    (step,) = CHEF.plan(declaration, 3, listing, {})
    return step


def really(root: Path, command: str, **keys: object) -> Observation:
    return run(CHEF, plan(command, **keys), root)[0]


def messages(seen: Observation) -> list[str]:
    return [problem.message for problem in seen.problems]


def test_a_plain_command_is_started_without_a_shell() -> None:
    step = plan("python3 square.py", inputs=("square.py",), optional=("x.txt",), outputs=("x.txt",))
    assert (step.tool, step.argv, step.tools) == ("python3", ("python3", "square.py"), ("python3",))
    assert (step.inputs, step.optional, step.outputs) == (("square.py",), ("x.txt",), ("x.txt",))
    assert step.position == (3,)


def test_a_command_line_goes_to_sh_and_its_programs_count() -> None:
    step = plan("sort < a | uniq > b; echo done >> b")
    assert (step.tool, step.argv[:2], step.tools) == ("sh", ("sh", "-c"), ("sh", "sort", "uniq"))
    assert plan("sort < a", tools=("gawk",)).tools == ("gawk",)


def test_patterns_stand_for_what_is_there_now() -> None:
    listing = ("a.csv", "all.csv", "d/b.csv", "d/x/c.csv")
    step = plan("x", listing, inputs=("*.csv", "d/**", "./lit.txt"), optional=("d/*.csv", "?.none"), outputs=("all.csv",))
    assert step.inputs == ("a.csv", "d/b.csv", "d/x/c.csv", "lit.txt")
    assert step.optional == ()
    assert step.globs == ("*.csv", "d/**", "d/*.csv", "?.none")


def test_paths_are_relative_to_the_project_whatever_the_folder() -> None:
    step = plan("./gen", cwd="./sub/", inputs=("sub/../a",), outputs=("./sub/b",), depfile="sub/./d")
    assert (step.cwd, step.inputs, step.outputs, step.depfile) == ("sub", ("a",), ("sub/b",), "sub/d")
    assert step.optional == ("sub/gen",)  # a program of the project: an edit of it counts


def test_a_program_that_is_named_otherwise_is_not_added_twice() -> None:
    assert plan("./gen", inputs=("gen",)).optional == ()
    assert plan("./gen", tools=("x",)).optional == ()


def test_settings_are_handed_on() -> None:
    step = plan("x", env=("LANG",), max_passes=4, policy="choose", timeout=2.5, insignificant=("^#",))
    assert (step.pass_env, step.max_passes, step.policy, step.timeout, step.insignificant) == (("LANG",), 4, "choose", 2.5, ("^#",))


def test_another_chefs_declaration_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot plan a LatexDeclaration"):
        CHEF.plan(LatexDeclaration(main="a.tex"), 0, (), {})


def test_a_run_reads_what_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("1")
    seen = really(tmp_path, "cat in > out; cat in > fed", inputs=("in",), optional=("fed", "other"), outputs=("out", "fed"))
    assert seen == Observation(reads=("in",), absent=("fed", "other"), writes=("out", "fed"))
    again = really(tmp_path, "cat in > out; cat in > fed", inputs=("in",), optional=("fed", "other"), outputs=("out", "fed"))
    assert (again.reads, again.absent) == (("in", "fed"), ("other",))


def test_an_output_that_was_not_made_is_told(tmp_path: Path) -> None:
    seen = really(tmp_path, "true", outputs=("x", "y"))
    assert messages(seen) == ["step s ended well but did not make x", "step s ended well but did not make y"]
    assert not seen.usable_outputs


def test_a_failure_shows_the_last_lines(tmp_path: Path) -> None:
    seen = really(tmp_path, "for i in $(seq 30); do echo line $i >&2; done; exit 3", outputs=("x",))
    lines = messages(seen)[0].split("\n")
    assert len(seen.problems) == 1
    assert lines == ["step s failed with exit code 3", *(f"line {number}" for number in range(11, 31))]


def test_a_failure_without_stderr_shows_stdout_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    assert messages(really(tmp_path, "printf 'bad \\351\\n\\n'; false")) == ["step s failed with exit code 1\nbad \ufffd"]


def test_a_signal_is_named(tmp_path: Path) -> None:
    assert messages(really(tmp_path, "kill -SEGV $$")) == ["step s was ended by SIGSEGV"]
    assert messages(really(tmp_path, "sh -c 'kill -KILL $$'; exit $?")) == ["step s failed with exit code 137 (as after SIGKILL)\nKilled"]


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    assert messages(really(tmp_path, "nosuchprogram a > b"))[0].startswith("step s failed: program not found: nosuchprogram\n")
    (tmp_path / "data").write_text("x")
    assert messages(really(tmp_path, "./data"))[0].startswith("step s failed: not executable: ./data\n")


@pytest.mark.parametrize(
    ("exit", "said"),
    [
        (Exit(code=127, error="program not found: foo"), "step s could not be run: program not found: foo"),
        (Exit(code=-15, timed_out=True, seconds=5.02), "step s was ended: it ran longer than its timeout (5.0 s)"),
        (Exit(code=-99), "step s was ended by signal 99"),
        (Exit(code=127), "step s failed: program not found (exit code 127)"),
        (Exit(code=255), "step s failed with exit code 255"),
    ],
)
def test_other_ends(tmp_path: Path, exit: Exit, said: str) -> None:
    seen = CHEF.observe(plan("x", outputs=("o",)), RealView(tmp_path, {}), exit)
    assert messages(seen) == [said]


def test_a_depfile_adds_reads(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("")
    command = "echo out: more gone out tmp /usr/bin/env > d; touch out tmp"
    assert really(tmp_path, command, outputs=("out",), depfile="d") == Observation(reads=("more",), absent=("gone",), writes=("out",))


def test_a_depfile_that_is_missing_or_broken_is_told(tmp_path: Path) -> None:
    assert messages(really(tmp_path, "true", depfile="d")) == ["step s ended well but did not make d"]
    said = messages(really(tmp_path, "echo nonsense > d", depfile="d"))
    assert said == ["step s made a depfile that cannot be read: line 1: expected targets, a colon and prerequisites"]


def test_a_failed_run_does_not_believe_an_old_depfile(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    (tmp_path / "d").write_text("x: old\n")
    assert really(tmp_path, "exit 1", depfile="d").reads == ()
    assert really(tmp_path, "echo x: old > d; exit 1", depfile="d").reads == ("old",)


def test_insignificant_lines_are_not_seen_by_readers() -> None:
    step = plan("x", outputs=("o", "p"), insignificant=("^# made on", "\u00e9$"))
    name = CHEF.insignificant_filter(step, "o")
    assert name == 'drop-lines/1:["^# made on","\\u00e9$"]'
    assert CHEF.filter(name, "o", "# made on Monday\nx\ncaf\u00e9\n".encode()) == b"x\n"
    assert CHEF.filter(name, "o", b"\xff# made on\nno end") == b"\xff# made on\nno end"
    assert CHEF.insignificant_filter(step, "other") == ""
    assert CHEF.insignificant_filter(plan("x", outputs=("o",)), "o") == ""
    assert CHEF.filter_for(step, "o") == ""
    assert CHEF.filter("", "o", b"x") == b"x"


@given(st.lists(st.sampled_from([b"# made on 1", b"x", b"", b"\xe9"]), max_size=8), st.lists(st.binary(max_size=3), max_size=4))
def test_only_insignificant_lines_may_differ(lines: list[bytes], stamps: list[bytes]) -> None:
    """Two files that differ only in dropped lines look the same; others do not."""
    name = CHEF.insignificant_filter(plan("x", outputs=("o",), insignificant=("^# made on",)), "o")
    kept = [line for line in lines if not line.startswith(b"# made on")]
    noisy = [b"# made on " + stamp.replace(b"\n", b"") for stamp in stamps] + kept
    assert CHEF.filter(name, "o", b"\n".join(noisy)) == CHEF.filter(name, "o", b"\n".join(kept))
    assert CHEF.filter(name, "o", b"\n".join([*noisy, b"y"])) != CHEF.filter(name, "o", b"\n".join(kept))


def test_the_fingerprint_follows_the_programs(tmp_path: Path) -> None:
    program = tmp_path / "gen0"
    step = plan("gen0 a")
    found = []
    for text in (None, "#!/bin/sh\n", "#!/bin/sh\n# new\n"):
        if text:
            program.write_text(text)
            program.chmod(0o755)
        found.append(CHEF.fingerprint(step, MachineToolbox({"PATH": str(tmp_path)})))
    assert len(set(found)) == 3
    assert MachineToolbox({"PATH": str(tmp_path)}).binary("gen1") == ABSENT
    assert CHEF.fingerprint(step, MachineToolbox({"PATH": f"{tmp_path}{os.pathsep}/nowhere"})) == found[2]


def test_last_lines_of_endless_output() -> None:
    assert last_lines(b"x\n" * 100_000) == ["x"] * 20
    assert last_lines(b"  \n\n") == []
