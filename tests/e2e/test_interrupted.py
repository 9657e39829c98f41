"""Builds that are killed or interrupted at any instant: nothing half-made stays, nothing runs on, the next build is right."""

import gzip
import json
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.helpers.calls import Call, Zygote, content, cpods, end_stragglers, processes_below, write  # noqa: F401  a fixture
from tests.helpers.killable import MAKES, STATES, References, make_graph, without_paths

SEED = 20241124


@pytest.fixture(scope="module")
def references(cpods: Zygote, tmp_path_factory: pytest.TempPathFactory) -> dict[str, References]:  # noqa: F811
    """Reference builds of both projects."""
    return {name: References(cpods, make, tmp_path_factory.mktemp(name)) for name, make in MAKES.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty project folder; nothing runs in it any more afterwards."""
    place = tmp_path / "project"
    place.mkdir()
    yield place
    end_stragglers(place)


def under_way(folder: Path) -> set[str]:
    """Outputs of the plain steps that the journal has as under way."""
    steps: dict[str, set[str]] = {}
    for line in (folder / ".cpods/journal.jsonl").read_text().splitlines() if (folder / ".cpods/journal.jsonl").exists() else ():
        record = json.loads(line)
        if "begin" in record and not record["begin"].startswith("publish:"):
            steps[record["begin"]] = set(record["outputs"])
        elif "end" in record:
            steps.pop(record["end"], None)
    return set().union(*steps.values())


def is_complete_report(path: str, data: bytes) -> bool:
    """Whether a log or a SyncTeX file, which differ from folder to folder, is there to its end."""
    if path.endswith(".synctex.gz"):
        return b"Postamble" in gzip.decompress(data)
    return path.endswith(".log") and b"Output written on" in data


def check_folder(folder: Path, before: Mapping[str, bytes], known: References, running: set[str]) -> None:
    """Each file is as before, complete, or an output of a step that was running; none is gone but such outputs."""
    after = content(folder)
    for path, data in after.items():
        whole = data == before.get(path) or data in known.complete(path) or is_complete_report(path, data)
        assert whole or path in running, f"{path} is half-made: {data[:200]!r}"
    assert before.keys() - after.keys() - running == set()


def check_recovered(zygote: Zygote, folder: Path, before: Mapping[str, bytes], known: References, how: tuple[str, ...]) -> None:
    """After the next call that takes the lock nothing half-made is left and nothing runs."""
    said = zygote.run(folder, *how)
    assert said.code == 0, said.err
    assert processes_below(folder) == []
    check_folder(folder, before, known, set())
    assert under_way(folder) == set()


def check_built(zygote: Zygote, folder: Path, known: References, state: int) -> None:
    """The next full build is right, and the one after it runs nothing."""
    said = zygote.run(folder, "rebuild", "--until-stable")
    assert said.code == 0, said.err
    built = without_paths(content(folder))
    assert {path for path in built.keys() | known.built[state].keys() if built.get(path) != known.built[state].get(path)} == set()
    assert zygote.run(folder, "rebuild", "--until-stable").tools == []
    assert processes_below(folder) == []


#: A goal that needs next to nothing, and commands that build nothing.
RECOVERIES = {
    "graph": [("rebuild", "seed.txt"), ("store", "collect")],
    "book": [("rebuild", "orbit.py"), ("store", "collect")],
    "crowd": [("rebuild", "seed.txt"), ("store", "collect")],
}


def kill_once(zygote: Zygote, folder: Path, name: str, known: References, rng: random.Random, state: int) -> None:
    """One kill in the middle of a build of ``state``, and all that must hold afterwards, save the next full build."""
    MAKES[name](folder, state)
    before = content(folder)
    call = zygote.start(folder, "rebuild", "--until-stable", "-j", "2")
    if rng.random() < 0.3:
        wait_for_pass(call, 2)
        time_to_kill = rng.uniform(0, 0.05)
    else:
        time_to_kill = rng.uniform(0, known.seconds)
    call.ended(time_to_kill)
    call.signal(signal.SIGKILL)
    call.wait()
    running = under_way(folder)
    check_folder(folder, before, known, running)
    check_recovered(zygote, folder, before, known, rng.choice(RECOVERIES[name]))


def wait_for_pass(call: Call, number: int) -> None:
    """Until a knot is in this pass, or the build has ended without."""
    while f"pass {number}: " not in call.said() and not call.ended(0.005):
        pass


def kills(zygote: Zygote, folder: Path, references: Mapping[str, References], name: str, times: int) -> None:  # noqa: F811
    """Kills builds of one state or another in one folder, which is cleared now and then; every other time the full build follows."""
    rng = random.Random(f"{SEED} {name}")
    known = references[name]
    for number in range(times):
        state = rng.randrange(STATES)
        kill_once(zygote, folder, name, known, rng, state)
        if number % 2 == 0:
            check_built(zygote, folder, known, state)
        if number % 4 == 2:
            shutil.rmtree(folder)
            folder.mkdir()


@pytest.mark.parametrize("name", MAKES)
def test_a_kill_at_any_instant(cpods: Zygote, folder: Path, references: dict[str, References], name: str) -> None:  # noqa: F811
    kills(cpods, folder, references, name, 5)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", MAKES)
def test_a_hundred_kills(cpods: Zygote, folder: Path, references: dict[str, References], name: str) -> None:  # noqa: F811
    kills(cpods, folder, references, name, 50)


# -- one thing at a time -----------------------------------------------------------------------------------------------

#: A step that waits for ever, with a child and a grandchild; what it wrote before is no output yet.
HANGING = """\
[[step]]
name = "quick"
run = "cat seed.txt > quick.txt"
inputs = ["seed.txt"]
outputs = ["quick.txt"]

[[step]]
name = "hang"
run = "echo half > out.txt; (sleep 1000 & sleep 1000) & cat quick.txt > here.txt; {rest}"
inputs = ["quick.txt"]
outputs = ["out.txt"]
"""
WAITING = HANGING.format(rest="sleep 1000 & wait")
#: The leader of the group ends at once when its cpods is gone, what it started stays.
LEADERLESS = HANGING.format(rest="sleep 0.1")


def until_there(call: Call, path: Path) -> None:
    """Until a step has made this file."""
    while not path.exists():
        assert not call.ended(0.005), call.said()


def mend(folder: Path) -> None:
    """The hanging step is quick now."""
    (folder / "cpods.toml").write_text(HANGING.format(rest="true").replace("(sleep 1000 & sleep 1000) & ", ""))


def start_hanging(zygote: Zygote, folder: Path, text: str, **limits: object) -> Call:
    """A build whose second step is in the middle of its work."""
    write(folder, cpods__toml=text, seed__txt="seed\n")
    (folder / "here.txt").unlink(missing_ok=True)
    call = zygote.start(folder, "rebuild", **limits)
    until_there(call, folder / "here.txt")
    return call


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interrupt_ends_the_process_group_and_leaves_a_clean_state(cpods: Zygote, folder: Path, number: int) -> None:  # noqa: F811
    call = start_hanging(cpods, folder, WAITING)
    while len(processes_below(folder)) <= 4:  # cpods, the step, its child and two grandchildren
        assert not call.ended(0.005), call.said()
    call.signal(number)
    said = call.wait()
    assert (said.code, len(said.messages)) == (130, 1), said.err
    assert said.messages[0].startswith("cpods: interrupted; running steps were ended")
    assert said.report is not None and (said.report["status"], said.report["exit_code"]) == ("interrupted", 130)
    assert [entry["step"] for entry in said.report["executions"]] == ["quick"]
    assert [pid for pid in processes_below(folder) if pid != call.pid] == []
    assert not (folder / "out.txt").exists() and (folder / "quick.txt").read_text() == "seed\n"
    mend(folder)
    good = cpods.run(folder, "rebuild")
    assert good.code == 0 and len(good.tools) == 1, good.err
    assert (folder / "out.txt").read_text() == "half\n"


def test_what_is_started_with_nohup_outlives_its_terminal(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    call = start_hanging(cpods, folder, WAITING, ignores=int(signal.SIGHUP))
    call.signal(signal.SIGHUP)
    assert not call.ended(0.1)
    call.signal(signal.SIGTERM)
    assert call.wait().code == 130


def test_many_interrupts_at_once_are_one(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    stubborn = WAITING.replace("echo half", "trap '' INT TERM; echo half")
    call = start_hanging(cpods, folder, stubborn)
    for _ in range(5):
        call.signal(signal.SIGINT)
        call.ended(0.01)
    said = call.wait()
    assert said.code == 130 and "Traceback" not in said.err, said.err
    assert processes_below(folder) == [] and not (folder / "out.txt").exists()
    mend(folder)
    good = cpods.run(folder, "rebuild")
    assert good.code == 0 and len(good.tools) == 1, good.err


@pytest.mark.parametrize("name", ["graph", "crowd"])
def test_an_interrupt_at_any_instant(cpods: Zygote, folder: Path, references: dict[str, References], name: str) -> None:  # noqa: F811
    rng = random.Random(f"{SEED} {name}")
    known = references[name]
    for _ in range(8):
        state = rng.randrange(STATES)
        MAKES[name](folder, state)
        before = content(folder)
        call = cpods.start(folder, "rebuild", "--until-stable", "-j", "2")
        call.ended(rng.uniform(0.05, known.seconds))
        for _ in range(rng.choice((1, 1, 3))):
            call.signal(rng.choice((signal.SIGINT, signal.SIGTERM)))
            call.ended(0.01)
        said = call.wait()
        assert said.code in (0, 130) and "Traceback" not in said.err and len(said.messages) == (said.code == 130), said.err
        assert said.report is not None and said.report["status"] == ("interrupted" if said.code else "done")
        assert processes_below(folder) == []
        check_folder(folder, before, known, set())
    check_built(cpods, folder, known, state)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interrupt_after_the_build_is_too_late(cpods: Zygote, folder: Path, number: int) -> None:  # noqa: F811
    make_graph(folder, 0)
    call = cpods.start(folder, "rebuild", "seed.txt", killed_at="cpods.cli.console:Console.ended", killed_by=int(number))
    said = call.wait()
    assert (said.code, said.messages) == (0, []) and said.out, said.err
    assert said.report is not None and said.report["status"] == "done"


@pytest.mark.parametrize("arguments", [("rebuild",), ("rebuild", "-n"), ("verify",)], ids=" ".join)
def test_an_interrupt_before_anything_is_one_sentence(cpods: Zygote, folder: Path, arguments: tuple[str, ...]) -> None:  # noqa: F811
    make_graph(folder, 0)
    said = cpods.start(folder, *arguments, report=False, killed_at="asyncio:Runner.run", killed_by=int(signal.SIGINT)).wait()
    assert (said.code, said.err) == (130, "cpods: interrupted; nothing had been started\n")


def test_an_interrupt_of_a_knot_publishes_nothing(cpods: Zygote, folder: Path, references: dict[str, References]) -> None:  # noqa: F811
    make_graph(folder, 0)
    call = cpods.start(folder, "rebuild", "--until-stable")
    wait_for_pass(call, 2)
    call.signal(signal.SIGINT)
    assert call.wait().code == 130
    assert not {"there.txt", "big.txt", "back.txt", "final.txt"} & content(folder).keys()
    check_built(cpods, folder, references["graph"], 0)


@pytest.mark.parametrize("text", [WAITING, LEADERLESS], ids=["with leader", "leader gone"])
def test_a_killed_build_leaves_nobody_running_after_the_next_call(cpods: Zygote, folder: Path, text: str) -> None:  # noqa: F811
    call = start_hanging(cpods, folder, text)
    call.signal(signal.SIGKILL)
    assert call.wait().code == -signal.SIGKILL
    assert processes_below(folder) != []
    said = cpods.run(folder, "rebuild", "seed.txt")
    assert said.code == 0 and said.tools == [], said.err
    assert processes_below(folder) == [] and not (folder / "out.txt").exists()
    mend(folder)
    assert cpods.run(folder, "rebuild").code == 0


def test_a_kill_between_the_start_of_a_process_and_its_note(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    shell = subprocess.Popen(["sleep", "1000"], cwd=folder, start_new_session=True, stdin=subprocess.DEVNULL)
    write(folder, cpods__toml=WAITING, seed__txt="seed\n")
    call = cpods.start(folder, "rebuild", killed_at="cpods.store.journal:Journal.started", killed_after=1)
    assert call.wait().code == -signal.SIGKILL
    assert len(processes_below(folder)) > 1
    assert cpods.run(folder, "rebuild", "seed.txt").code == 0
    assert processes_below(folder) == [shell.pid]  # which is the user's
    shell.kill()
    shell.wait()
    assert not (folder / "out.txt").exists()


def test_a_step_that_writes_its_output_itself_is_ended_too(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    write(folder, cpods__toml=WAITING.replace("echo half > out.txt", "exec > out.txt; echo half"), seed__txt="seed\n")
    call = cpods.start(folder, "rebuild", killed_at="cpods.store.journal:Journal.started", killed_after=1)
    assert call.wait().code == -signal.SIGKILL
    while not (folder / "here.txt").exists():
        assert processes_below(folder) != []
    assert cpods.run(folder, "rebuild", "seed.txt").code == 0
    assert processes_below(folder) == [] and not (folder / "out.txt").exists()


def test_killed_twice_in_a_row(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    start = start_hanging(cpods, folder, WAITING)
    start.signal(signal.SIGKILL)
    start.wait()
    again = start_hanging(cpods, folder, WAITING)
    assert len(processes_below(folder)) <= 6  # the first build's were ended
    again.signal(signal.SIGKILL)
    again.wait()
    assert cpods.run(folder, "rebuild", "quick.txt").code == 0
    assert processes_below(folder) == [] and not (folder / "out.txt").exists()


def test_what_was_finished_long_before_a_kill_is_not_lost(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    call = start_hanging(cpods, folder, WAITING)
    while '"end":"quick"' not in (folder / ".cpods/journal.jsonl").read_text():
        assert not call.ended(0.02), "a step that has ended is never written down while another runs"
    call.signal(signal.SIGKILL)
    call.wait()
    mend(folder)
    said = cpods.run(folder, "rebuild")
    assert said.code == 0 and len(said.tools) == 1, said.err


MANY = 200


def make_many(folder: Path, word: str) -> None:
    """A knot that publishes many files."""
    names = [f"many/{number}.txt" for number in range(MANY)]
    text = f"""\
[[step]]
name = "many"
run = "for i in $(seq 0 {MANY - 1}); do cat seed.txt > many/$i.txt; done; cat back.txt > one.txt || true"
inputs = ["seed.txt"]
optional = ["back.txt"]
outputs = {json.dumps([*names, "one.txt"])}

[[step]]
name = "back"
run = "cat many/0.txt > back.txt"
inputs = ["many/0.txt", "one.txt"]
outputs = ["back.txt"]
"""
    (folder / "many").mkdir(exist_ok=True)
    write(folder, cpods__toml=text, seed__txt=word)


@pytest.mark.parametrize("count", [0, 1, 57, MANY - 1])
def test_a_kill_while_many_files_are_published(cpods: Zygote, folder: Path, count: int) -> None:  # noqa: F811
    make_many(folder, "old\n")
    assert cpods.run(folder, "rebuild", "--until-stable").code == 0
    make_many(folder, "new\n")
    call = cpods.start(folder, "rebuild", "--until-stable", killed_at="cpods.store.workspace:Folder.install", killed_after=count)
    assert call.wait().code == -signal.SIGKILL
    found = [(folder / f"many/{number}.txt").read_text() for number in range(MANY)]
    assert set(found) <= {"old\n", "new\n"} and found.count("new\n") <= count
    assert cpods.run(folder, "rebuild", "seed.txt").code == 0
    assert {(folder / f"many/{number}.txt").read_text() for number in range(MANY)} == {"new\n"}
    said = cpods.run(folder, "rebuild", "--until-stable")
    assert said.code == 0 and said.tools == [], said.err
    assert "by hand" not in said.err and not [path for path in content(folder) if "tmp" in path]
    (folder / "many/3.txt").write_text("mine\n")
    assert "many/3.txt was changed by hand" in cpods.run(folder, "rebuild", "--until-stable").err


STEPS_TO_DIE_AT = [
    "cpods.store.journal:Journal.begin",
    "cpods.store.journal:Journal.end",
    "cpods.store.objects:ObjectStore.commit",
    "cpods.store.manifests:ManifestStore.commit",
    "cpods.store.manifests:ManifestStore.record",
    "cpods.store.quickcatalogue:QuickCatalogue.save",
    "cpods.store.workspace:Folder.remove",
    "cpods.store.mirror:Mirror.prepare",
]


@pytest.mark.parametrize("place", STEPS_TO_DIE_AT, ids=lambda place: place.partition(":")[2])
def test_a_kill_at_each_door(cpods: Zygote, folder: Path, references: dict[str, References], place: str) -> None:  # noqa: F811
    known = references["graph"]
    make_graph(folder, 0)
    for state, count in ((0, 0), (1, 1)):
        before = content(folder)
        make_graph(folder, state)
        before["seed.txt"] = (folder / "seed.txt").read_bytes()
        cpods.run(folder, "rebuild", "--until-stable", killed_at=place, killed_after=count)
        check_folder(folder, before, known, under_way(folder))
        check_recovered(cpods, folder, before, known, ("rebuild", "seed.txt"))
    check_built(cpods, folder, known, 1)


def test_a_lost_catalogue_is_made_again_from_the_store(cpods: Zygote, folder: Path) -> None:  # noqa: F811
    make_graph(folder, 0)
    assert cpods.run(folder, "rebuild", "--until-stable").code == 0
    before = content(folder)
    for path in (folder / ".cpods").glob("catalogue.db*"):
        path.unlink()
    fsck = cpods.run(folder, "store", "fsck", "--rebuild")
    assert fsck.code == 0, fsck.err
    said = cpods.run(folder, "rebuild", "--until-stable")
    assert said.code == 0 and said.tools == [] and content(folder) == before, said.err
