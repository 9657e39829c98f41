"""Trouble around a project that its files do not show: damage, permissions, full disks, locks, odd names, and mistakes of our own."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.calls import Said, Zygote, cpods, environment, write  # noqa: F401  a fixture

NOBODY = 65534
FILE = """\
[[step]]
name = "copy"
run = "cat in.txt > out.txt"
inputs = ["in.txt"]
outputs = ["out.txt"]
"""
PADDED = 'run = "cat in.txt > out.txt; head -c {size} /dev/zero >> out.txt"'


@pytest.fixture
def folder() -> Iterator[Path]:
    """A project in a folder that every user may enter."""
    base = Path(tempfile.mkdtemp(prefix="cpods-test-"))
    base.chmod(0o755)
    place = base / "project"
    place.mkdir()
    write(place, cpods__toml=FILE, in__txt="hello\n")
    yield place
    subprocess.run(["chmod", "-R", "u+rwX", str(base)], check=True)
    shutil.rmtree(base)


def give_away(folder: Path) -> None:
    """The project now belongs to an ordinary user, as root may do anything anywhere."""
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(folder)], check=True)


def one_message(said: Said, code: int, status: str, *parts: str) -> None:
    """The call ended so, and told it in one message that holds all ``parts``."""
    assert said.code == code, said.err
    assert "Traceback" not in said.err and len(said.messages) == 1, said.err
    assert [part for part in parts if part not in said.messages[0]] == [], said.messages[0]
    assert said.report is not None and (said.report["status"], said.report["exit_code"]) == (status, code)


def objects(folder: Path) -> list[Path]:
    """All object files of a project's own store."""
    return [path for path in sorted((folder / ".cpods/objects/objects").rglob("*")) if path.is_file()]


def flip(path: Path) -> None:
    """One bit changes, the size and the times do not."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncate(path: Path) -> None:
    """The half of a file is gone."""
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)
    path.chmod(0o444)


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_a_damaged_object_is_made_again(cpods: Zygote, folder: Path, damage: object) -> None:  # noqa: F811
    assert cpods.run(folder, "rebuild").code == 0
    (folder / "out.txt").unlink()
    for path in objects(folder):
        damage(path)  # type: ignore[operator]
    said = cpods.run(folder, "rebuild")
    assert said.code == 0 and len(said.tools) == 1, said.err
    assert (folder / "out.txt").read_text() == "hello\n"
    assert cpods.run(folder, "rebuild").tools == []


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_a_damaged_state_of_a_knot_is_made_again(cpods: Zygote, folder: Path, damage: object) -> None:  # noqa: F811
    knot = '[[step]]\nname = "grow"\nrun = "cat in.txt > a.txt; head -c 3 b.txt >> a.txt; true"\n'
    knot += 'inputs = ["in.txt"]\noptional = ["b.txt"]\noutputs = ["a.txt"]\n'
    knot += '[[step]]\nname = "back"\nrun = "cp a.txt b.txt"\ninputs = ["a.txt"]\noutputs = ["b.txt"]\n'
    write(folder, cpods__toml=knot)
    first = cpods.run(folder, "rebuild", "--until-stable")
    assert first.code == 0, first.err
    made = (folder / "b.txt").read_bytes()
    (folder / "b.txt").unlink()
    for path in objects(folder):
        damage(path)  # type: ignore[operator]
    said = cpods.run(folder, "rebuild", "--until-stable")
    assert said.code == 0, said.err
    assert (folder / "b.txt").read_bytes() == made


def test_a_file_that_may_not_be_read(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    give_away(folder)
    assert cpods.run(folder, "rebuild", user=NOBODY).code == 0
    (folder / "in.txt").write_text("secret\n")
    (folder / "in.txt").chmod(0)
    one_message(cpods.run(folder, "rebuild", user=NOBODY), 1, "failed", "in.txt", "Permission denied")
    assert (folder / "out.txt").read_text() == "hello\n"
    (folder / "in.txt").chmod(0o644)
    assert cpods.run(folder, "rebuild", user=NOBODY).code == 0
    assert (folder / "out.txt").read_text() == "secret\n"


def test_a_project_file_that_may_not_be_read(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    give_away(folder)
    (folder / "cpods.toml").chmod(0)
    one_message(cpods.run(folder, "rebuild", user=NOBODY), 2, "invalid", "cpods.toml", "cannot be read (Permission denied)")
    (folder / "cpods.toml").chmod(0o644)
    assert cpods.run(folder, "rebuild", user=NOBODY).code == 0


def test_a_folder_that_may_not_be_written(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    give_away(folder)
    folder.chmod(0o555)
    one_message(cpods.run(folder, "rebuild", user=NOBODY), 1, "failed", ".cpods", "Permission denied")
    folder.chmod(0o755)
    assert cpods.run(folder, "rebuild", user=NOBODY).code == 0


def test_an_output_folder_that_may_not_be_written(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    (folder / "sub").mkdir()
    write(folder, cpods__toml=FILE.replace("out.txt", "sub/out.txt"))
    give_away(folder)
    assert cpods.run(folder, "rebuild", user=NOBODY).code == 0
    (folder / "in.txt").write_text("changed\n")
    (folder / "sub").chmod(0o555)
    one_message(cpods.run(folder, "rebuild", user=NOBODY), 1, "failed", "sub/out.txt", "Permission denied")
    assert (folder / "sub/out.txt").read_text() == "hello\n"
    (folder / "sub").chmod(0o755)
    assert cpods.run(folder, "rebuild", user=NOBODY).code == 0
    assert (folder / "sub/out.txt").read_text() == "changed\n"


@pytest.mark.parametrize("size", [100_000, 300_000, 400_000, 500_000, 600_000, 700_000, 2_000_000])
def test_a_full_disk(cpods: Zygote, folder: Path, size: int) -> None:  # noqa: F811
    """Each size fills the disk at another place: in the catalogue, in the store, in the step itself. As root on a real disk of 1 MB."""
    assert cpods.run(folder, "rebuild", "--report", str(folder.parent / "r")).code == 0
    before = (folder / "out.txt").read_bytes()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode == 0
    limits = {} if mounted else {"file_bytes_max": size // 2}
    try:
        write(folder, cpods__toml=FILE, in__txt="hello\n")
        if mounted:
            assert cpods.run(folder, "rebuild").code == 0
        write(folder, cpods__toml=FILE.replace('run = "cat in.txt > out.txt"', PADDED.format(size=size)))
        said = cpods.run(folder, "rebuild", **limits)
        if said.code:
            assert said.code == 1 and len(said.messages) == 1 and "Traceback" not in said.err, said.err
        else:
            assert size < 600_000
        write(folder, cpods__toml=FILE)
        good = cpods.run(folder, "rebuild")
        assert good.code == 0, good.err
        assert (folder / "out.txt").read_bytes() == before
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def hold(folder: Path) -> int:
    """Takes the project's lock as another cpods would; the descriptor that holds it."""
    descriptor = os.open(folder / ".cpods/lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": 4242, "host": "elsewhere", "start": "2024-02-29 12:00:00"}).encode(), 0)
    return descriptor


def test_a_locked_project(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    assert cpods.run(folder, "rebuild").code == 0
    (folder / "in.txt").write_text("changed\n")
    descriptor = hold(folder)
    one_message(cpods.run(folder, "rebuild", "--no-wait"), 7, "locked", "process 4242 on elsewhere since 2024-02-29 12:00:00", "--no-wait")
    waiting = cpods.start(folder, "rebuild")
    waiting.until_said("waiting: this project is being built by process 4242")
    assert (folder / "out.txt").read_text() == "hello\n"
    os.close(descriptor)
    assert waiting.wait().code == 0
    assert (folder / "out.txt").read_text() == "changed\n"


@pytest.mark.parametrize("number", [2, 15, 1], ids=["SIGINT", "SIGTERM", "SIGHUP"])
def test_waiting_for_the_lock_can_be_interrupted(cpods: Zygote, folder: Path, number: int) -> None:  # noqa: F811
    (folder / ".cpods").mkdir()
    descriptor = hold(folder)
    waiting = cpods.start(folder, "rebuild")
    waiting.until_said("waiting: ")
    waiting.signal(number)
    one_message(waiting.wait(), 130, "interrupted", "interrupted")
    os.close(descriptor)
    assert cpods.run(folder, "rebuild").code == 0


def test_odd_names_and_circles_of_links_are_no_trouble(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    write(folder, cpods__toml=FILE.replace('["in.txt"]', '["**/in*.txt", "*.dat"]'))
    with open(os.fsencode(folder) + b"/in\xff\xfe.dat", "wb") as file:
        file.write(b"x")
    (folder / "loop").symlink_to(".")
    (folder / "self").symlink_to("self")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.dat")
    said = cpods.run(folder, "rebuild")
    assert said.code == 0, said.err
    assert cpods.run(folder, "rebuild").tools == []


def test_a_report_that_cannot_be_written(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    for _ in range(2):  # the second time as a null build
        said = cpods.run(folder, "rebuild", "--report", "missing/report.json")
        assert said.code == 1 and "Traceback" not in said.err
        assert said.messages == ["cpods: missing/report.json: the report cannot be written (No such file or directory)"]
        assert (folder / "out.txt").read_text() == "hello\n"


@pytest.mark.parametrize("words", [("--seed", "nowhere"), ("-C", "nowhere")])
def test_a_wrong_call_with_a_report_that_cannot_be_written(cpods: Zygote, folder: Path, words: tuple[str, str]) -> None:  # noqa: F811
    said = cpods.run(folder, "rebuild", *words, "--report", "missing/report.json")
    assert said.code == 2 and "Traceback" not in said.err and len(said.messages) == 2, said.err


@pytest.mark.parametrize("planted", ["cpods.session:make_plan", "cpods.majordomo.drive:isinstance", "cpods.session:ending"])
def test_a_mistake_of_ours_ends_in_one_sentence_and_a_log(cpods: Zygote, folder: Path, planted: str) -> None:  # noqa: F811
    said = cpods.run(folder, "rebuild", planted=planted)
    one_message(said, 1, "failed", "an error inside cpods (RuntimeError: planted)", "report it together with", ".cpods/log/crash-")
    log = Path(said.messages[0].split()[-1])
    assert "planted\nmistake" in log.read_text() and "Traceback" in log.read_text()
    assert cpods.run(folder, "rebuild").code == 0
    assert (folder / "out.txt").read_text() == "hello\n"


def test_a_mistake_outside_of_a_build_ends_in_one_sentence_too(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    said = cpods.run(folder, "rebuild", planted="cpods.cli.rebuild:wrong_in", report=False)
    assert (said.code, len(said.messages)) == (1, 1) and "Traceback" not in said.err
    assert ".cpods/log/crash-" in said.messages[0]


def test_the_reader_of_the_output_may_go_away(folder: Path) -> None:
    call = [sys.executable, "-c", "from cpods.cli import main; main()", "rebuild"]
    for _ in range(2):
        reader, writer = os.pipe()
        os.close(reader)
        ended = subprocess.run(call, cwd=folder, env=environment(), stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        assert "Traceback" not in ended.stderr and "Exception" not in ended.stderr, ended.stderr
        assert (folder / "out.txt").read_text() == "hello\n"
