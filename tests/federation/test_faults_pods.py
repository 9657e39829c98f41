"""Pods that come, go, die, stand still, lie, or live an hour apart: the build goes on, and its answer is the right one."""

import hashlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.helpers import corpus
from tests.helpers.corpus import NO_INPUTS
from tests.helpers.gates import (
    Gates,
    Tools,
    await_that,
    find_object,
    flip,
    pod_store,
    quarantined,
    step,
    write_project,
)
from tests.helpers.lab import CPODS, NAME, Lab, Process, Running

pytestmark = [pytest.mark.federation, pytest.mark.timeout(300)]

#: Leases that end soon: a pod that is silent is missed after this time.
SHORT = {"CPODS_LEASE_SECONDS": "4"}
LARGE_BYTES = 200_000_000
SEEDS = range(20)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One federation for all tests; each starts the pods that it wants, and builds a project that nobody built before."""
    with Lab(tmp_path_factory.mktemp("faults")) as lab:
        yield lab


@pytest.fixture
def lab(federation: Lab) -> Iterator[Lab]:
    """The federation without a pod, before and after."""
    yield federation
    for name, process in sorted(federation.pods.items()):
        end(process)
        print(f"--- pod {name}:\n{process.text()[-3000:]}")
    federation.pods.clear()


@pytest.fixture
def gates(lab: Lab, tmp_path: Path) -> Iterator[Gates]:
    """Gates that are open at the end, so that no step waits for ever."""
    gates = Gates(lab, tmp_path / "gates")
    yield gates
    gates.open()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's folder."""
    return tmp_path / "p"


def end(process: Process) -> None:
    """Ends a pod in good order, or otherwise."""
    process.signal(signal.SIGCONT)
    process.signal(signal.SIGTERM)
    try:
        process.popen.wait(30)
    except subprocess.TimeoutExpired:
        process.signal(signal.SIGKILL)
        process.popen.wait()


def owner(lab: Lab, project: Path, path: str) -> str:
    """Who owns a path, by the CLI."""
    text = lab.cpods("artefact", "where", path, "--federation", NAME, cwd=project).stdout
    return next(line.split()[1] for line in text.splitlines() if line.split()[:1] == ["owner"])


@contextmanager
def called(lab: Lab, *arguments: str) -> Iterator[Process]:
    """One call of the CLI, going on while the block runs."""
    log = lab.folder / f"call-{arguments[1]}-{len(list(lab.folder.glob('call-*')))}.log"
    with open(log, "wb") as file:
        popen = subprocess.Popen(
            [*CPODS, *arguments],
            cwd=lab.folder,
            env=lab.environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    process = Process(popen, log)
    try:
        yield process
    finally:
        process.signal(signal.SIGKILL)
        popen.wait()


# -- they come and go ------------------------------------------------------------------------------------------------


def test_a_pod_that_joins_during_a_build_gets_work(lab: Lab, gates: Gates, project: Path) -> None:
    names = [f"s{number}" for number in range(6)]
    steps = [step(name, gates.run(name, f"echo {name} > {name}.txt"), [f"{name}.txt"]) for name in names]
    write_project(project, steps, [f"{name}.txt" for name in names])
    lab.pod("old", slots=1)
    with lab.building(project) as running:
        gates.await_started("s0", ["old"])
        lab.pod("new", slots=1)
        await_that(lambda: gates.on("new"), "the new pod got no step")
        gates.open()
        built = running.result()
    assert built.exit_code == 0, built.output
    assert set(built.pods) == {"old", "new"}
    assert sorted(built.steps) == names
    assert [(project / f"{name}.txt").read_text() for name in names] == [f"{name}\n" for name in names]


def test_a_pod_is_drained_during_a_build_and_leaves(lab: Lab, gates: Gates, project: Path) -> None:
    first, second = ["f0", "f1"], ["g0", "g1"]
    steps = [step(name, gates.run(name, f"echo {name} > {name}.txt"), [f"{name}.txt"]) for name in first]
    every = [f"{name}.txt" for name in first]
    steps += [step(name, gates.run(name, f"cat {' '.join(every)} > {name}.txt"), [f"{name}.txt"], every) for name in second]
    write_project(project, steps, ["g0.txt", "g1.txt"])
    lab.pods_at_once(["a", "b"], 1)
    with lab.building(project) as running:
        await_that(lambda: len(gates.on("a")) == 1 and len(gates.on("b")) == 1, "not each pod got one of the first steps")
        (before,) = gates.on("a")
        with called(lab, "pod", "drain", "a") as drain:
            lab.await_text(drain, "1 step still runs there")
            gates.open(*first)
            await_that(lambda: set(gates.on("b")) & set(second), "b got none of the second steps", 90)
            assert drain.popen.wait(90) == 0, drain.text()
        lab.cpods("pod", "stop", "a")
        assert lab.pods["a"].popen.wait(30) == 0
        gates.open()
        built = running.result()
    assert built.exit_code == 0, built.output
    assert gates.on("a") == [before], "it took a step after it was drained"
    assert sorted(built.steps) == first + second, "something was made again although its copy was handed on"
    assert (project / "g0.txt").read_text() == "f0\nf1\n"
    assert {owner(lab, project, path) for path in every} == {"b"}
    again = lab.rebuild(project)
    assert (again.exit_code, again.steps) == (0, []), again.output


def test_a_pod_that_is_drained_after_a_build_leaves_nothing_to_do(lab: Lab, gates: Gates, project: Path, tmp_path: Path) -> None:
    tools = Tools(tmp_path / "tools", ["a", "b"])
    steps = [
        step("x", gates.run("x", "echo middle > x.txt"), ["x.txt"], on="a"),
        step("y", gates.run("y", "cat x.txt x.txt > y.txt"), ["y.txt"], ["x.txt"], on="a"),
    ]
    write_project(project, steps, ["y.txt"])
    gates.open()
    for name in ("a", "b"):
        lab.pod(name, environment=tools.of(name))
    built = lab.rebuild(project, environment=tools.of_user)
    assert (built.exit_code, built.steps) == (0, ["x", "y"]), built.output
    assert owner(lab, project, "x.txt") == "a"
    lab.cpods("pod", "drain", "a")
    lab.cpods("pod", "stop", "a")
    assert lab.pods["a"].popen.wait(30) == 0
    again = lab.rebuild(project, environment=tools.of_user)
    assert (again.exit_code, again.steps) == (0, []), again.output
    assert owner(lab, project, "x.txt") == "b"
    assert find_object(lab, "b", b"middle\n") is not None


# -- they die --------------------------------------------------------------------------------------------------------


def test_the_steps_of_a_killed_pod_run_elsewhere(lab: Lab, gates: Gates, project: Path) -> None:
    names = [f"s{number}" for number in range(4)]
    steps = [step(name, gates.run(name, f"echo {name} > {name}.txt"), [f"{name}.txt"]) for name in names]
    every = [f"{name}.txt" for name in names]
    steps.append(step("all", f"sh -c 'cat {' '.join(every)} > all.txt'", ["all.txt"], every))
    write_project(project, steps, ["all.txt"])
    lab.pods_at_once(["a", "b"], 2, environment=SHORT)
    with lab.building(project) as running:
        await_that(lambda: len(gates.on("a")) == 2 and len(gates.on("b")) == 2, "not each pod got its steps")
        gone = gates.on("a")
        lab.kill("a")
        gates.open(*gates.on("b"))
        for name in gone:
            gates.await_started(name, ["b"])
        gates.open()
        built = running.result()
    assert built.exit_code == 0, built.output
    assert set(built.pods) == {"b"}
    assert sorted(built.steps) == ["all", *names]
    assert (project / "all.txt").read_text() == "".join(f"{name}\n" for name in names)


def test_a_step_that_kills_three_pods_is_stopped_and_named(lab: Lab, gates: Gates, project: Path) -> None:
    pods = ["a", "b", "c", "d"]
    steps = [
        step("good", gates.run("good", "echo good > good.txt"), ["good.txt"]),
        step("deadly", gates.run("deadly", "kill -9 $PPID; sleep 100"), ["never.txt"], ["good.txt"]),
    ]
    write_project(project, steps, ["never.txt"])
    gates.open()
    lab.pods_at_once(pods, 1, environment=SHORT)
    built = lab.rebuild(project)
    victims = [one.pod for one in gates.started("deadly")]
    for one in gates.started("deadly"):
        lab.pods[one.pod].popen.wait(10)
    assert built.exit_code == 1, built.output
    assert len(set(victims)) == len(victims) == 3, victims
    said = next(line for line in built.output.splitlines() if "deadly" in line and "stopped" in line)
    assert all(pod in said for pod in victims), said
    (survivor,) = set(pods) - set(victims)
    assert lab.pods[survivor].popen.poll() is None
    assert "good" in built.steps


def test_the_only_holder_of_an_intermediate_dies(lab: Lab, gates: Gates, project: Path) -> None:
    steps = [
        step("a", gates.run("a", "echo middle > a.txt"), ["a.txt"]),
        step("w", gates.run("w", "echo wait > w.txt"), ["w.txt"]),
        step("b", gates.run("b", "cat a.txt w.txt > b.txt"), ["b.txt"], ["a.txt", "w.txt"]),
    ]
    write_project(project, steps, ["b.txt"])
    lab.pods_at_once(["p", "q"], 1, environment=SHORT)
    with lab.building(project) as running:
        holder, other = gates.await_started("a").pod, gates.await_started("w").pod
        assert holder != other
        gates.open("a")
        running.await_text(f"a (sh on {holder}")
        lab.kill(holder)
        gates.open()
        built = running.result()
    assert built.exit_code == 0, built.output
    assert (project / "b.txt").read_text() == "middle\nwait\n"
    assert sorted(built.steps) == ["a", "a", "b", "w"]
    assert gates.await_started("b").pod == other
    again = lab.rebuild(project)
    assert (again.exit_code, again.steps) == (0, []), again.output


def test_a_holder_disappears_during_a_pull(lab: Lab, gates: Gates, project: Path, tmp_path: Path) -> None:
    tools = Tools(tmp_path / "tools", ["a", "b", "c"])
    unique = hashlib.sha256(str(tmp_path).encode()).hexdigest()
    make = f"(echo {unique}; head -c {LARGE_BYTES} /dev/zero) > x.bin"
    steps = [
        step("x", gates.run("x", make), ["x.bin"], on="a"),
        step("rb", gates.run("rb", "wc -c < x.bin > rb.txt"), ["rb.txt"], ["x.bin"], on="b"),
    ]
    write_project(project, steps, ["rb.txt"])
    gates.open("x", "rb")
    for name in ("a", "b", "c"):
        lab.pod(name, environment={**tools.of(name), **SHORT})
    first = lab.rebuild(project, environment=tools.of_user)
    assert (first.exit_code, sorted(first.steps)) == (0, ["rb", "x"]), first.output
    steps.append(step("rc", gates.run("rc", "tail -c 3 x.bin | wc -c > rc.txt; head -n 1 x.bin >> rc.txt"), ["rc.txt"], ["x.bin"], on="c"))
    write_project(project, steps, ["rb.txt", "rc.txt"])
    with lab.building(project, environment=tools.of_user) as running:
        await_that(lambda: arriving_bytes(lab, "c") > 0, "nothing comes to c")
        lab.pods["c"].signal(signal.SIGSTOP)  # so that it is not through before the other is gone
        assert arriving_bytes(lab, "c") > 0, "the pull was over before a holder could be killed"
        lab.kill("a")
        lab.pods["c"].signal(signal.SIGCONT)
        gates.open()
        built = running.result()
    assert built.exit_code == 0, built.output
    assert built.steps == ["rc"], "what another pod held was made again"
    assert (project / "rc.txt").read_text().split() == ["3", unique]
    assert built.report["federation"]["moved_bytes"]["c"].get("b", 0) > 0


def arriving_bytes(lab: Lab, pod: str) -> int:
    """Bytes on the disk of large artefacts that are on their way to a pod."""
    sizes = []
    for file in (pod_store(lab, pod) / "tmp").rglob("*"):
        try:
            sizes.append(file.stat().st_blocks * 512 if file.is_file() else 0)
        except FileNotFoundError:  # it has arrived meanwhile
            continue
    return max(sizes, default=0)


# -- they lie --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1_000, 1_000_000], ids=["small", "larger"])
def test_a_holder_lies_and_another_is_asked(lab: Lab, gates: Gates, project: Path, tmp_path: Path, size: int) -> None:
    tools = Tools(tmp_path / "tools", ["a", "b", "c"])
    contents = {name: blob(tmp_path, name, size) for name in ("x1", "x2")}
    steps = making(project, contents, on="a")
    both = ["x1.bin", "x2.bin"]
    steps.append(step("rb", gates.run("rb", "cat x1.bin x2.bin | wc -c > rb.txt"), ["rb.txt"], both, on="b"))
    write_project(project, steps, ["rb.txt"])
    gates.open()
    for name in ("a", "b", "c"):
        lab.pod(name, environment=tools.of(name))
    first = lab.rebuild(project, environment=tools.of_user)
    assert first.exit_code == 0, first.output
    liars = {"x1": "a", "x2": "b"}  # whomever c asks first, once it is told something wrong
    for name, pod in liars.items():
        damage(lab, pod, contents[name])
    steps.append(step("rc", gates.run("rc", "cat x1.bin x2.bin > rc.bin"), ["rc.bin"], both, on="c"))
    write_project(project, steps, ["rb.txt", "rc.bin"])
    built = lab.rebuild(project, environment=tools.of_user)
    assert built.exit_code == 0, built.output
    assert built.steps == ["rc"], built.output
    assert (project / "rc.bin").read_bytes() == contents["x1"] + contents["x2"]
    caught = {pod for pod in liars.values() if f"{pod} sent other bytes" in lab.pods["c"].text()}
    assert caught, lab.pods["c"].text()
    for pod in caught:
        await_that(lambda pod=pod: quarantined(lab, pod), f"{pod} keeps its bad copy", 20)


@pytest.mark.parametrize("size", [1_000, 1_000_000], ids=["small", "larger"])
def test_the_only_holder_lies_and_the_step_runs_again(lab: Lab, gates: Gates, project: Path, tmp_path: Path, size: int) -> None:
    tools = Tools(tmp_path / "tools", ["a", "b"])
    contents = {"x": blob(tmp_path, "x", size)}
    steps = making(project, contents, on="a")
    steps.append(step("ra", gates.run("ra", "wc -c < x.bin > ra.txt"), ["ra.txt"], ["x.bin"], on="a"))
    write_project(project, steps, ["ra.txt"])
    gates.open()
    for name in ("a", "b"):
        lab.pod(name, environment=tools.of(name))
    first = lab.rebuild(project, environment=tools.of_user)
    assert (first.exit_code, sorted(first.steps)) == (0, ["ra", "x"]), first.output
    bad = damage(lab, "a", contents["x"])
    steps.append(step("rb", gates.run("rb", "cat x.bin > rb.bin"), ["rb.bin"], ["x.bin"], on="b"))
    write_project(project, steps, ["ra.txt", "rb.bin"])
    built = lab.rebuild(project, environment=tools.of_user)
    assert built.exit_code == 0, built.output
    assert built.steps == ["x", "rb"], built.output
    assert (project / "rb.bin").read_bytes() == contents["x"]
    await_that(lambda: quarantined(lab, "a"), "a keeps its bad copy", 20)
    assert bad.read_bytes() == contents["x"], "a has made it again"


def blob(tmp_path: Path, name: str, size: int) -> bytes:
    """Bytes of a test that no other has."""
    line = hashlib.sha256(f"{tmp_path} {name}".encode()).hexdigest().encode()
    return line * (size // len(line))


def making(project: Path, contents: dict[str, bytes], on: str) -> list[dict[str, object]]:
    """Steps that make ``NAME.bin`` with these contents, each a repeated line, on one pod."""
    return [
        step(
            name,
            f"sh -c 'i=0; while [ $i -lt {len(data) // 64} ]; do printf %s {data[:64].decode()}; i=$((i + 1)); done > {name}.bin'",
            [f"{name}.bin"],
            on=on,
        )
        for name, data in contents.items()
    ]


def damage(lab: Lab, pod: str, content: bytes) -> Path:
    """Flips a byte of a pod's copy."""
    file = find_object(lab, pod, content)
    assert file is not None, f"{pod} does not hold it"
    flip(file)
    return file


# -- they stand still, or live in another time -----------------------------------------------------------------------


def test_a_late_result_does_not_overwrite(lab: Lab, gates: Gates, project: Path) -> None:
    """The step's output tells its process, so that two results differ."""
    steps = [
        step("s", gates.run("s", "echo $$ > s.txt"), ["s.txt"]),
        step("end", gates.run("end", "cat s.txt s.txt > end.txt"), ["end.txt"], ["s.txt"]),
    ]
    write_project(project, steps, ["s.txt", "end.txt"])
    lab.pods_at_once(["a", "b"], 1, environment=SHORT)
    with lab.building(project) as running:
        late = gates.await_started("s")
        lab.pods[late.pod].signal(signal.SIGSTOP)
        (other,) = {"a", "b"} - {late.pod}
        second = gates.await_started("s", [other])
        gates.let("s", second)
        gates.await_started("end", [other])
        lab.pods[late.pod].signal(signal.SIGCONT)
        gates.let("s", late)
        await_that(lambda: find_object(lab, late.pod, b"%d\n" % late.pid), "the late step did not end")
        await_that(lambda: is_idle(lab, late.pod), "the late result was not acknowledged")
        gates.open("end")
        built = running.result()
    assert built.exit_code == 0, built.output
    assert (project / "s.txt").read_text() == f"{second.pid}\n"
    assert (project / "end.txt").read_text() == f"{second.pid}\n" * 2
    assert sorted(built.steps) == ["end", "s"]
    assert owner(lab, project, "s.txt") in (other, "here")
    again = lab.rebuild(project)
    assert (again.exit_code, again.steps) == (0, []), again.output
    assert (project / "s.txt").read_text() == f"{second.pid}\n"


def is_idle(lab: Lab, pod: str) -> bool:
    """Whether no process of a step runs on a pod, and all results of it are acknowledged."""
    if running_steps(lab, pod):
        return False
    with closing(sqlite3.connect(f"file:{lab.home(pod) / NAME / 'work' / 'notes.db'}?mode=ro", uri=True)) as notes:
        return notes.execute("select count(*) from ends").fetchone() == (0,)


def running_steps(lab: Lab, pod: str) -> set[str]:
    """Steps whose processes run on a pod, as its journal has them."""
    running: set[str] = set()
    with open(lab.home(pod) / NAME / "work" / "journal.jsonl") as file:
        for line in file:
            if line.endswith("}\n"):  # not one that is being written
                entry = json.loads(line)
                running |= {entry["started"]} if "started" in entry else set()
                running -= {entry.get("end")}
    return running


def test_clocks_an_hour_apart(lab: Lab, gates: Gates, project: Path, tmp_path: Path) -> None:
    """A pod an hour ahead, one an hour behind; one step takes longer than a lease, and what one makes the other reads."""
    tools = Tools(tmp_path / "tools", ["ahead", "behind"])
    steps = [
        step("x", gates.run("x", "date +%s > x.txt"), ["x.txt"], on="ahead"),
        step("y", gates.run("y", "sleep 6; date +%s > y.txt; cat x.txt >> y.txt"), ["y.txt"], ["x.txt"], on="behind"),
        step("z", gates.run("z", "cat x.txt y.txt > z.txt"), ["z.txt"], ["x.txt", "y.txt"], on="ahead"),
    ]
    write_project(project, steps, ["z.txt"])
    gates.open()
    for name, offset in (("ahead", "+1h"), ("behind", "-1h")):
        environment = {**tools.of(name), **SHORT, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        lab.pod(name, before=["faketime", "-f", offset], environment=environment)
    built = lab.rebuild(project, environment=tools.of_user)
    assert built.exit_code == 0, built.output
    assert built.steps == ["x", "y", "z"]
    assert len((project / "z.txt").read_text().split()) == 3
    again = lab.rebuild(project, environment=tools.of_user)
    assert (again.exit_code, again.steps) == (0, []), again.output
    (project / "gate.sh").write_text((project / "gate.sh").read_text() + "# edited\n")
    third = lab.rebuild(project, environment=tools.of_user)
    assert (third.exit_code, third.steps) == (0, ["x", "y", "z"]), third.output
    assert clock_of(gates.started("x")[-1].parent) == "+1h"
    assert clock_of(gates.started("y")[-1].parent) == "-1h"


def clock_of(pid: int) -> str:
    """How far a process's clock is off, '' if it is not."""
    process = Path("/proc") / str(pid)
    if "libfaketime" not in (process / "maps").read_text():
        return ""
    variables = dict(pair.split("=", 1) for pair in (process / "environ").read_text().split("\0") if "=" in pair)
    return variables["FAKETIME"]


# -- a circle whose pods die -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def circle() -> corpus.Case:
    """A document and a program that read each other's output: five runs in three passes."""
    return next(case for case in corpus.visible() if case.name == "mixed-codegen")


@pytest.mark.timeout(1200)
def test_a_circle_whose_pods_are_killed_at_random(lab: Lab, circle: corpus.Case, tmp_path: Path) -> None:
    pods = ["a", "b", "c"]
    lab.pods_at_once(pods, 1, environment=SHORT)
    hits = 0
    for seed in SEEDS:
        luck = random.Random(seed)
        after, hit, bystander = luck.randrange(5), luck.random() < 0.75, luck.choice(pods)
        print(f"seed {seed}: after {after} runs, {'who runs the next' if hit else bystander}")
        project = circle_of(circle, tmp_path / f"seed-{seed}", seed)
        with lab.building(project, "--seed", "clean") as running:
            busy = at_run(lab, running, after)
            victim = busy if hit and busy else bystander
            lab.kill(victim)
            hits += victim == busy
            built = running.result()
        assert built.exit_code == 0, (seed, built.output)
        assert feedback(project, circle) == circle.expected["final"], (seed, built.output)
        lab.pod(victim, 1, environment=SHORT)
    assert hits >= len(SEEDS) // 4, "hardly any pod died with a step"


def circle_of(case: corpus.Case, folder: Path, seed: int) -> Path:
    """A copy that no federation knows: each source has a comment of its own, which changes no output."""
    shutil.copytree(case.folder, folder, ignore=NO_INPUTS)
    for name, sign in (("report.tex", "%"), ("table.py", "#")):
        with open(folder / name, "a") as file:
            file.write(f"{sign} {seed} {folder}\n")
    return folder


def at_run(lab: Lab, running: Running, after: int) -> str:
    """Waits until so many runs have ended and the next one runs; on which pod that is, '' if the build ended before."""

    def found() -> str:
        if running.process.popen.poll() is not None:
            return "-"
        if running.process.text().count("pass ") < after:
            return ""
        return next((pod for pod in lab.pods if running_steps(lab, pod)), "")

    return await_that(found, f"run {after + 1} did not begin").removeprefix("-")


def feedback(project: Path, case: corpus.Case) -> dict[str, str]:
    """SHA-256 of the feedback files."""
    return {path: hashlib.sha256((project / path).read_bytes()).hexdigest() for path in case.expected["final"]}
