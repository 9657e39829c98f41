"""Calls of ``cpods rebuild`` beside a resident MajorDomo: what they say and do is what they would say and do without one."""

import json
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from cpods import __version__
from cpods.cli import client
from cpods.resident import protocol
from cpods.resident.footing import last_key, of_good_build
from cpods.store.glance import environment_digest
from tests.helpers.calls import Said, environment, processes_below, write
from tests.helpers.watched import PROGRAM, call, children, nurseries, resident, resident_pid

PROJECT = """\
[[step]]
name = "upper"
run = "tr a-z A-Z < text > upper"
inputs = ["text"]
outputs = ["upper"]

[[step]]
name = "shade"
run = "echo $SHADE > shade"
env = ["SHADE"]
outputs = ["shade"]
"""

ALONE = {"CPODS_MAJORDOMO": "off"}


def make_project(place: Path) -> Path:
    place.mkdir()
    write(place, cpods__toml=PROJECT, text="one")
    return place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A built project with a resident."""
    place = make_project(tmp_path_factory.mktemp("resident") / "project")
    assert call(place, "rebuild").code == 0
    with resident(place):
        yield place


def status(folder: Path) -> str:
    return call(folder, "majordomo", "status").out


def count(folder: Path, what: str) -> int:
    """A count out of the resident's status: ``answered at once`` or ``build``."""
    found = re.search(rf"(\d+) (?:calls? )?{what}", status(folder))
    assert found is not None
    return int(found[1])


def without_times(said: Said) -> Said:
    """What was said, without how long it took."""
    return said._replace(**{name: re.sub(r"\d+\.\d+ s|\"seconds\": [\d.e-]+", "", getattr(said, name)) for name in ("out", "err")})


CALLS: dict[str, tuple[tuple[str, ...], Callable[[Path], object]]] = {
    "nothing to do": (("rebuild",), lambda folder: None),
    "a change, in JSON": (("rebuild", "--json"), lambda folder: (folder / "text").write_text("changed in json")),
    "an output by hand": (("rebuild",), lambda folder: (folder / "upper").write_text("by hand")),
    "a step that fails": (("rebuild",), (lambda folder: (folder / "text").unlink())),
    "mended": (("rebuild",), (lambda folder: (folder / "text").write_text("mended"))),
    "forced": (("rebuild", "--force", "-j1"), lambda folder: None),
    "only told": (("rebuild", "-n"), lambda folder: (folder / "text").write_text("dry")),
    "a bad option": (("rebuild", "--nonsense"), lambda folder: None),
    "an unknown goal": (("rebuild", "nothing"), lambda folder: None),
    "help": (("rebuild", "--help"), lambda folder: None),
}


def test_the_same_words_as_without_a_resident(tmp_path: Path) -> None:
    said: dict[str, list[Said]] = {}
    # One after the other in the same place: paths are part of what is said.
    for where in (ALONE, {}):
        place = tmp_path / "project"
        make_project(place)
        assert call(place, "rebuild", env=ALONE).code == 0
        with resident(place):
            for name, (words, change) in CALLS.items():
                change(place)
                said.setdefault(name, []).append(without_times(call(place, *words, env=where)))
            if where is not ALONE:
                assert count(place, "build") >= 8 and count(place, "answered at once") >= 1
        subprocess.run(["mv", place, tmp_path / f"done-{len(where)}"], check=True)
    assert {name: alone for name, (alone, _) in said.items()} == {name: there for name, (_, there) in said.items()}


def test_the_report_is_the_same(folder: Path) -> None:
    reports = []
    for where in (ALONE, {}, {}):
        assert call(folder, "rebuild", "--report", "report.json", env=where).code == 0
        reports.append(json.loads((folder / "report.json").read_text()) | {"seconds": 0, "executions": []})
    assert reports[1] == reports[2] == reports[0] | {"steps": reports[1]["steps"]}
    assert reports[2]["steps"] == {"total": 2, "ran": 0, "cached": 0, "up_to_date": 2}
    said = call(folder, "rebuild", "--report", "no/such/folder/report.json")
    assert said.code == 1 and "the report cannot be written" in said.err


def test_a_client_loads_next_to_nothing(folder: Path) -> None:
    call(folder, "rebuild")
    code = "import sys; from cpods.cli import call; sys.argv = ['cpods', 'rebuild']; call(); print(*sys.modules, file=sys.stderr)"
    before = count(folder, "answered at once")
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, env=environment(), capture_output=True, text=True, check=True)
    ours = sorted(name for name in done.stderr.split() if name.startswith("cpods"))
    assert ours == ["cpods", "cpods.cli", "cpods.cli.client", "cpods.cli.nearby", "cpods.resident", "cpods.resident.protocol"]
    heavy = {"socket", "json", "signal", "subprocess", "asyncio", "sqlite3", "typing", "msgspec", "xxhash", "dataclasses", "pathlib", "re"}
    clean = subprocess.run([sys.executable, "-I", "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True)
    assert heavy & set(done.stderr.split()) - set(clean.stdout.split()) == set()
    assert count(folder, "answered at once") == before + 1


def test_a_build_is_done_as_the_caller_would_do_it(folder: Path) -> None:
    before = count(folder, "build")
    assert call(folder, "rebuild", env={"SHADE": "green"}).code == 0
    assert (folder / "shade").read_text() == "green\n"
    assert call(folder.parent, "rebuild", "-C", folder.name, env={"SHADE": "blue"}).code == 0
    assert (folder / "shade").read_text() == "blue\n"
    (folder / "text").write_text("for a mask")
    masked = ["sh", "-c", 'umask 077; exec "$@"', "sh", *PROGRAM, "rebuild"]
    subprocess.run(masked, cwd=folder, env=environment(SHADE="blue"), check=True, capture_output=True)
    assert stat.S_IMODE((folder / "upper").stat().st_mode) == 0o600
    assert count(folder, "build") == before + 3
    assert "everything is up to date" in call(folder, "rebuild", env={"SHADE": "blue"}).out


def test_it_is_never_up_to_date_right_after_a_change(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The client in this process, so that nothing but the call lies between a change and the question."""
    source, product = folder / "text", folder / "upper"
    changes: list[Callable[[str], object]] = [
        lambda text: source.write_text(text),
        lambda text: (source.with_suffix(".new").write_text(text), os.rename(source.with_suffix(".new"), source)),
        lambda text: (source.unlink(), source.write_text(text)),
        lambda text: (os.rename(folder, folder.with_name("away")), os.rename(folder.with_name("away"), folder), source.write_text(text)),
        lambda text: (source.write_text(text), product.write_text("by hand")),
        lambda text: (source.write_text(text), product.unlink()),
    ]
    for number in range(30):
        text = f"text {number}"
        changes[number % len(changes)](text)
        assert client.main(["rebuild", "-C", str(folder)]) == 0
        assert product.read_text() == text.upper()
        capfd.readouterr()
        assert client.main(["rebuild", "-C", str(folder)]) == 0
        assert "everything is up to date, nothing was run" in capfd.readouterr().out


def test_who_must_not_be_answered_builds_by_itself(folder: Path) -> None:
    call(folder, "rebuild")
    before = status(folder).splitlines()[2]
    for env in ({"PYTHONHASHSEED": "1"}, {"CPODS_STATE": str(folder / "other-state")}, ALONE):
        assert call(folder, "rebuild", env=env).code in (0, 2)
    assert status(folder).splitlines()[2] == before
    for hello, wanted in ((protocol.HELLO, protocol.DECLINED), (b"cpods" + bytes([protocol.FORMAT + 1, 0, 0, 0, 0]), b"")):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(protocol.address(str(folder / ".cpods"))[0])
            request = {"identity": ("0.0", "another program"), "arguments": ["rebuild"], "cwd": os.fsencode(folder), "environment": {}}
            socket.send_fds(link, [hello + protocol.frame(protocol.REQUEST, request)], [0, 1, 2])
            with suppress(ConnectionError):
                assert link.recv(1) == wanted
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(protocol.address(str(folder / ".cpods"))[0])
        link.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionError):
            assert link.recv(1) == b""
    assert stat.S_IMODE((folder / ".cpods" / "majordomo.sock").stat().st_mode) == 0o600


def test_starting_stopping_and_what_a_killed_one_leaves(tmp_path: Path) -> None:
    place = make_project(tmp_path / "project")
    assert call(place, "majordomo", "status").code == 1
    assert call(place, "majordomo", "stop").out == f"no MajorDomo of {place} runs\n"
    with resident(place) as first:
        assert call(place, "majordomo", "status").out.endswith("\n0 calls answered at once, 0 builds\n0 folders watched\n")
        assert call(place, "rebuild").code == 0
        assert "\n0 calls answered at once, 1 build\n" in call(place, "majordomo", "status").out
        again = call(place, "majordomo", "start")
        assert (again.code, again.out) == (0, f"the MajorDomo of {place} runs already, as process {first}\n")
        os.kill(first, signal.SIGKILL)
        assert call(place, "rebuild").code == 0  # the socket is there, nobody listens
        assert call(place, "majordomo", "start").code == 0
        second = resident_pid(place)
        assert second != first
        assert call(place, "majordomo", "stop").out == f"the MajorDomo of {place} has ended\n"
        assert not (place / ".cpods" / "majordomo.sock").exists()
        log = (place / ".cpods" / "log" / "majordomo.log").read_text()
        assert f"{second} ends: it was told to end" in log
    assert call(tmp_path, "majordomo", "start", "-C", "nowhere").code == 2


def test_it_ends_when_nobody_asks_and_when_its_project_is_gone(tmp_path: Path) -> None:
    for name, words in (("idle", ("--idle-hours", "0.001")), ("gone", ())):
        place = make_project(tmp_path / name)
        with resident(place, *words) as pid:
            if name == "gone":
                assert call(place, "rebuild").code == 0
                subprocess.run(["rm", "-rf", place], check=True)
                with suppress(OSError):
                    os.kill(pid, signal.SIGTERM)
            ended(pid)


def test_a_socket_may_lie_deep(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    place = make_project(deep / "project")
    assert call(place, "rebuild").code == 0
    with resident(place):
        assert "everything is up to date" in call(place, "rebuild").out
        assert count(place, "answered at once") == 1


SLOW = '[[step]]\nname = "slow"\nrun = "cat gate; cat input > output"\ninputs = ["input"]\noutputs = ["output"]\n'


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Path]:
    """A project with a resident and a step that goes on until somebody has opened and closed the gate for writing."""
    place = tmp_path / "gated"
    place.mkdir()
    os.mkfifo(place / "gate")
    write(place, cpods__toml=SLOW, input="1")
    with resident(place):
        yield place


def begun(folder: Path, *words: str) -> "subprocess.Popen[bytes]":
    """A call that goes on: its step waits at the gate, or it waits itself."""
    return subprocess.Popen([*PROGRAM, "rebuild", *words], cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def at_the_gate(folder: Path) -> bool:
    """Whether the step has opened the gate: only then a writer can open it without waiting."""
    with suppress(OSError):
        os.close(os.open(folder / "gate", os.O_WRONLY | os.O_NONBLOCK))
        return True
    return False


def step_runs(folder: Path) -> bool:
    return bool(processes_below(folder)) and any(
        b"cat" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes_below(folder) if Path(f"/proc/{pid}").exists()
    )


def ended(pid: int) -> None:
    until(lambda: not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_an_interrupted_client_interrupts_its_build(gated: Path) -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)):
        client_process = begun(gated)
        until(lambda: step_runs(gated))
        client_process.send_signal(number)
        _, err = client_process.communicate(timeout=60)
        assert client_process.returncode == code
        if code == 130:
            assert b"cpods: interrupted; " in err
        until(lambda: not step_runs(gated))
        assert not (gated / "output").exists()


def test_builds_beside_each_other_wait_or_are_told(gated: Path) -> None:
    first = begun(gated)
    until(lambda: step_runs(gated))
    told = call(gated, "rebuild", "--no-wait")
    assert told.code == 7
    second = begun(gated)
    assert second.stderr is not None
    assert second.stderr.readline().startswith(b"waiting: this project is being built by process")
    (gated / "gate").open("w").close()
    assert first.wait(60) == 0
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0 and b"everything is up to date" in out
    first.communicate()


def test_what_is_killed_costs_no_build(gated: Path) -> None:
    client_process = begun(gated)
    until(lambda: step_runs(gated))
    pid = resident_pid(gated)
    os.kill(pid, signal.SIGKILL)  # the resident: the build goes on
    (gated / "gate").open("w").close()
    _, err = client_process.communicate(timeout=60)
    assert client_process.returncode == 0, err
    assert (gated / "output").read_text() == "1"
    assert call(gated, "majordomo", "start").code == 0
    write(gated, input="2")
    client_process = begun(gated)
    until(lambda: step_runs(gated))
    (nursery,) = nurseries(resident_pid(gated))
    os.kill(nursery, signal.SIGKILL)  # the nursery: the build goes on, and its client looks after it
    (gated / "gate").open("w").close()
    _, err = client_process.communicate(timeout=60)
    assert client_process.returncode == 0 and b"going on without it" in err, err
    assert (gated / "output").read_text() == "2"
    write(gated, input="3")
    client_process = begun(gated)
    until(lambda: step_runs(gated))
    (gated / "gate").open("w").close()
    assert client_process.wait(60) == 0
    client_process.communicate()
    assert (gated / "output").read_text() == "3"


def test_a_client_whose_build_is_killed_says_so(gated: Path) -> None:
    client_process = begun(gated)
    until(lambda: step_runs(gated))
    (nursery,) = nurseries(resident_pid(gated))
    (build,) = children(nursery)
    os.kill(build, signal.SIGKILL)
    _, err = client_process.communicate(timeout=60)
    assert (client_process.returncode, err) == (137, b"cpods: the build was ended by signal 9; call again, which goes on where it was\n")


def locks_of(path: Path) -> int:
    """Locks that this process holds on a file."""
    inode = f":{path.stat().st_ino}"
    return sum(
        words[4] == str(os.getpid()) and words[5].endswith(inode)
        for line in Path("/proc/locks").read_text().splitlines()
        if (words := line.split())
    )


def test_a_look_ends_no_lock_on_the_catalogue(folder: Path) -> None:
    """Closing any descriptor of a file ends all locks that a process holds on it, and with them the catalogue's safety."""
    assert call(folder, "rebuild", env=ALONE).code == 0
    catalogue = folder / ".cpods" / "catalogue.db"
    with closing(sqlite3.connect(catalogue)) as connection:
        connection.execute("SELECT count(*) FROM results").fetchone()
        held = locks_of(catalogue)
        assert held > 0
        key = last_key(str(folder / ".cpods"), environment_digest(environment()), __version__)
        assert key is not None and of_good_build(str(folder / ".cpods"), str(folder), key, environment()) is not None
        assert locks_of(catalogue) == held
