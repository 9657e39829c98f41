"""What a user can get wrong, through the real CLI: the exit code, one clear message, nothing lost, and a good build after mending."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from cpods.store.migrate import HEAD_REVISION
from tests.helpers.calls import Said, Zygote, content, cpods, processes_below  # noqa: F401  a fixture

GOOD = """\
[[step]]
name = "shout"
run = "tr a-z A-Z < in.txt > out.txt"
inputs = ["in.txt"]
outputs = ["out.txt"]

[[step]]
name = "count"
run = "wc -c < out.txt > size.txt"
inputs = ["out.txt"]
outputs = ["size.txt"]
"""
SECOND = '\n[[step]]\nname = "second"\nrun = "{run}"\n{rest}outputs = ["second.txt"]\n'


class Bad(NamedTuple):
    """One mistake. ``file``: the project file; ``act`` does the harm in the folder, ``mend`` takes it back (besides the project file).

    ``says``: regular expressions that the one message must match; ``args`` follow ``rebuild``.
    """

    name: str
    code: int
    says: tuple[str, ...]
    file: str | None = GOOD
    act: Callable[[Path], object] = lambda folder: None
    mend: Callable[[Path], object] = lambda folder: None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}


STATUS = {1: "failed", 2: "invalid", 6: "damaged", 7: "locked"}


def second(run: str, rest: str = "") -> str:
    """The good project with a third step."""
    return GOOD + SECOND.format(run=run, rest=rest)


def replaced(old: str, new: str) -> str:
    """The good project with one change."""
    assert old in GOOD
    return GOOD.replace(old, new, 1)


PROJECT_FILES = [
    Bad("broken TOML", 2, (r"cpods\.toml:3: broken TOML", "expected"), GOOD.replace('name = "shout"', 'name = "shout"\n= 3', 1)),
    Bad("unclosed text", 2, (r"cpods\.toml:2: broken TOML",), replaced('name = "shout"', 'name = "shout')),
    Bad("not UTF-8", 2, (r"cpods\.toml:?\d*: .*UTF-8",), None, lambda f: (f / "cpods.toml").write_bytes(b'[project]\nname = "\xff"\n')),
    Bad("unknown key", 2, (r"cpods\.toml:4: unknown key `input`", "did you mean `inputs`"), replaced("inputs", "input")),
    Bad("unknown table", 2, (r"cpods\.toml:1: unknown table", r"\[\[step\]\]"), replaced("[[step]]", "[[steps]]")),
    Bad("wrong type", 2, (r"cpods\.toml:4: `inputs` is a text", "expected a list"), replaced('["in.txt"]', '"in.txt"')),
    Bad("number in a list", 2, (r"cpods\.toml:4: `inputs`", "expected a list of texts"), replaced('["in.txt"]', "[3]")),
    Bad("bad value", 2, (r"cpods\.toml:2: `date`", "2024-02-29"), '[project]\ndate = "yesterday"\n' + GOOD),
    Bad("bad choice", 2, (r"cpods\.toml:\d+: `engine`", "pdflatex"), '[[step]]\nchef = "latex"\nmain = "a.tex"\nengine = "pdftex"\n'),
    Bad("unknown chef", 2, (r"cpods\.toml:2: `chef` is \"latx\"", "latex"), '[[step]]\nchef = "latx"\n'),
    Bad("missing key", 2, (r"cpods\.toml:1: .*lacks `run`",), replaced('run = "tr a-z A-Z < in.txt > out.txt"\n', "")),
    Bad("negative timeout", 2, (r"cpods\.toml:3: `timeout`", "above 0"), replaced("run =", "timeout = -1\nrun =")),
    Bad("bad regex", 2, (r"cpods\.toml:3: `insignificant`", "regular expression"), replaced("run =", 'insignificant = ["("]\nrun =')),
    Bad("bad algorithm", 2, (r"cpods\.toml:2: `algorithm`", "blake3"), '[store]\nalgorithm = "md5"\n' + GOOD),
    Bad("bad size", 2, (r"cpods\.toml:2: `max_bytes`", "500 MB"), '[store]\nmax_bytes = "lots"\n' + GOOD),
    Bad("duplicate output", 2, (r"`out\.txt`", "shout", "count"), replaced('["size.txt"]', '["out.txt"]')),
    Bad("duplicate name", 2, (r'a step "shout" is already on line 1',), replaced('"count"', '"shout"')),
    Bad("escape upwards", 2, (r"`\.\./x`", "leads out of the project"), replaced('["out.txt"]', '["../x"]')),
    Bad("escape by dots inside", 2, (r"leads out of the project",), replaced('["in.txt"]', '["a/../../in.txt"]')),
    Bad("absolute path", 2, (r"`/etc/x`", "leads out of the project"), replaced('["out.txt"]', '["/etc/x"]')),
    Bad("output in the state folder", 2, (r"\.cpods",), replaced('["out.txt"]', '[".cpods/x"]')),
    Bad("output is the project file", 2, ("project file itself",), replaced('["out.txt"]', '["cpods.toml"]')),
    Bad("pattern as output", 2, ("pattern", "one file"), replaced('["out.txt"]', '["*.txt"]')),
    Bad("empty project file", 2, (r"cpods\.toml: no step is declared", r"\[\[step\]\]"), ""),
    Bad("no project file", 2, (r"has no cpods\.toml", "paper\\.tex"), None, lambda f: (f / "cpods.toml").unlink()),
    Bad(
        "project file is a folder",
        2,
        (r"cpods\.toml: this is a folder",),
        None,
        lambda f: swap_for_folder(f / "cpods.toml"),
        lambda f: (f / "cpods.toml").rmdir(),
    ),
]

CALLS = [
    Bad("unknown goal", 2, (r"nosuch\.pdf", "no step makes"), args=("nosuch.pdf",)),
    Bad("goal like a step's name", 2, (r"shot\b", "did you mean.*shout"), args=("shot",)),
    Bad("goal outside", 2, (r"'\.\./x'", "no file of the project"), args=("../x",)),
    Bad("missing document", 2, (r"nosuch\.tex is not there",), args=("nosuch.tex",)),
    Bad("missing seed", 2, (r"--seed nonexistent", "warm, clean or a folder"), args=("--seed", "nonexistent")),
    Bad("missing folder", 2, (r"-C nonexistent: there is no such folder",), args=("-C", "nonexistent")),
    Bad("two ways", 2, ("exclude each other",), args=("--once", "--until-stable")),
    Bad("bad date", 2, ("SOURCE_DATE_EPOCH is 'abc'", "seconds since 1970"), env={"SOURCE_DATE_EPOCH": "abc"}),
    Bad("huge date", 2, ("SOURCE_DATE_EPOCH",), env={"SOURCE_DATE_EPOCH": "9" * 30}),
    Bad("store is a file", 2, ("in.txt", "a file", "CPODS_STORE"), env={"CPODS_STORE": "in.txt"}),
]

STEPS = [
    Bad("missing source", 2, (r"second needs gone\.txt", "no step makes"), second("cat gone.txt > second.txt", 'inputs = ["gone.txt"]\n')),
    Bad(
        "circle without start",
        2,
        ("a circle that cannot start", "optional"),
        replaced('["in.txt"]', '["in.txt", "size.txt"]'),
        lambda f: [(f / name).unlink() for name in ("out.txt", "size.txt")],
    ),
    Bad("missing program", 1, ("step second", "program not found: nosuchprogram"), second("nosuchprogram x")),
    Bad("missing program in a shell", 1, ("step second", "program not found: nosuchprogram"), second("nosuchprogram > second.txt")),
    Bad("not executable", 1, ("step second", r"not executable: \./in\.txt"), second("./in.txt")),
    Bad("exit code", 1, ("step second failed with exit code 3", "told you"), second("echo told you; exit 3")),
    Bad("signal", 1, ("step second was ended by SIGSEGV",), second("kill -SEGV $$; echo > second.txt")),
    Bad("time limit", 1, ("step second was ended", r"timeout"), second("sleep 60 \\u0026 sleep 60", "timeout = 0.2\n")),
    Bad("output not produced", 1, ("step second ended well but did not make second.txt",), second("true")),
    Bad("folder as output", 1, ("second.txt", "folder"), second("mkdir second.txt"), mend=lambda f: shutil.rmtree(f / "second.txt", True)),
    Bad("fifo as output", 1, ("second.txt",), second("mkfifo second.txt"), mend=lambda f: (f / "second.txt").unlink(missing_ok=True)),
    Bad("log not UTF-8", 1, ("step second failed with exit code 1", "\ufffd"), second("printf '\\\\377\\\\376 bad\\\\n'; exit 1")),
    Bad("cwd missing", 2, ("step second: its folder sub is not there",), second("true", 'cwd = "sub"\n')),
    Bad(
        "rewrites its own source",
        1,
        ("step second", r"in\.txt"),
        second("echo x >> in.txt; cp in.txt second.txt", 'inputs = ["in.txt"]\n'),
        mend=lambda f: (f / "in.txt").write_text("hello\n"),
    ),
    Bad(
        "source that a step also writes",
        2,
        (r"mine\.txt", "step second", "--force"),
        second("echo > mine.txt").replace('["second.txt"]', '["mine.txt"]'),
        lambda f: (f / "mine.txt").write_text("my work\n"),
    ),
    Bad("folder for an input", 2, (r"sub: step second", "folder"), second("cat sub", 'inputs = ["sub"]\n'), lambda f: (f / "sub").mkdir()),
    Bad("folder for an output", 2, (r"second\.txt", "a folder is there"), second("true"), lambda f: (f / "second.txt").mkdir()),
    Bad(
        "link out of the project",
        2,
        ("outside of the project", "link"),
        second("true").replace('["second.txt"]', '["away/second.txt"]'),
        lambda f: (f / "away").symlink_to("/usr"),
        lambda f: (f / "away").unlink(),
    ),
    Bad(
        "fifo as input", 2, (r"second needs pipe",), second("cat pipe > second.txt", 'inputs = ["pipe"]\n'), lambda f: os.mkfifo(f / "pipe")
    ),
    Bad("huge name", 2, ("x" * 20,), second("true").replace('["second.txt"]', f'["{"x" * 5000}"]')),
    Bad("long argument", 1, ("step second could not be run",), second("true " + "x" * 200_000)),
]


def swap_for_folder(path: Path) -> None:
    """A folder where a file was."""
    path.unlink()
    path.mkdir()


STATE = [
    Bad(
        "newer catalogue",
        6,
        ("schema 9999", "use a newer cpods"),
        act=lambda f: sql(f, "UPDATE alembic_version SET version_num = '9999'"),
        mend=lambda f: sql(f, f"UPDATE alembic_version SET version_num = '{HEAD_REVISION}'"),
    ),
    Bad(
        "newer store",
        6,
        ("format 9", "use a newer cpods"),
        act=lambda f: mark(f, '{"cpods-store": 9}\n'),
        mend=lambda f: mark(f, '{"cpods-store": 1}\n'),
    ),
    Bad(
        "corrupt catalogue",
        6,
        (r"catalogue\.db", "damaged", "cpods store fsck --rebuild"),
        act=lambda f: corrupt(f / ".cpods/catalogue.db"),
        mend=lambda f: remove_catalogue(f),
    ),
    Bad(
        "catalogue without tables",
        6,
        (r"catalogue\.db", "cpods store fsck --rebuild"),
        act=lambda f: sql(f, "DROP TABLE results"),
        mend=lambda f: remove_catalogue(f),
    ),
    Bad("unreadable format mark", 6, ("not the format mark",), act=lambda f: mark(f, "?"), mend=lambda f: mark(f, '{"cpods-store": 1}\n')),
    Bad(
        "state folder is a file",
        2,
        (r"\.cpods is a file", "move it away"),
        act=lambda f: (shutil.rmtree(f / ".cpods"), (f / ".cpods").write_text("")),
        mend=lambda f: [(f / name).unlink() for name in (".cpods", "out.txt", "size.txt")],
    ),
]


def sql(folder: Path, statement: str) -> None:
    """Changes the catalogue, and makes the null-build check look at all."""
    touch(folder)
    with sqlite3.connect(folder / ".cpods/catalogue.db") as connection:
        connection.execute(statement)
    connection.close()


def touch(folder: Path) -> None:
    """An edit after which the same comes out: the null-build check has to give up."""
    (folder / "in.txt").write_text("Hello\n")


def mark(folder: Path, text: str) -> None:
    """Rewrites the store's format mark."""
    touch(folder)
    (folder / ".cpods/objects/format").write_text(text)


def corrupt(path: Path) -> None:
    """A catalogue that is no database any more."""
    remove_catalogue(path.parent.parent)
    path.write_bytes(b"SQLite format 3\0" + b"\x55" * 8192)


def remove_catalogue(folder: Path) -> None:
    """As the user does who lost it."""
    for path in (folder / ".cpods").glob("catalogue.db*"):
        path.unlink()


@pytest.fixture(scope="module")
def template(cpods: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The good project, built."""
    folder = tmp_path_factory.mktemp("good") / "project"
    folder.mkdir()
    (folder / "cpods.toml").write_text(GOOD)
    (folder / "in.txt").write_text("hello\n")
    said = cpods.run(folder, "rebuild")
    assert said.code == 0, said.err
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A copy of the good project for one test."""
    target = tmp_path / "project"
    shutil.copytree(template, target, symlinks=True)
    return target


def check_message(said: Said, bad: Bad) -> None:
    """One message, and the right one."""
    assert "Traceback" not in said.err and len(said.messages) == 1, said.err
    for pattern in bad.says:
        assert re.search(pattern, said.messages[0], re.DOTALL), f"{pattern!r} is not in: {said.messages[0]}"


@pytest.mark.parametrize("bad", [*PROJECT_FILES, *CALLS, *STEPS, *STATE], ids=lambda bad: bad.name.replace(" ", "-"))
def test_bad_input_is_told_once_costs_nothing_and_can_be_mended(cpods: Zygote, folder: Path, bad: Bad) -> None:  # noqa: F811
    if bad.file is not None:
        (folder / "cpods.toml").write_text(bad.file)
    bad.act(folder)
    before = content(folder)
    said = cpods.run(folder, "rebuild", *bad.args, env=bad.env)
    assert said.code == bad.code, said.err
    check_message(said, bad)
    assert said.report is not None and (said.report["status"], said.report["exit_code"]) == (STATUS[bad.code], bad.code)
    after = content(folder)
    assert {path: data for path, data in after.items() if path in before and path != "in.txt"} == {
        path: data for path, data in before.items() if path != "in.txt"
    }
    assert processes_below(folder) == []
    bad.mend(folder)
    (folder / "cpods.toml").write_text(GOOD)
    good = cpods.run(folder, "rebuild")
    assert good.code == 0, good.err
    assert (folder / "out.txt").read_text() == "HELLO\n" and (folder / "size.txt").read_text().strip() == "6"
