"""Faults of a federation's control: its broker, its MajorDomos, its members' rights, who owns what. All parts are real.

What goes wrong with pods and holders is in test_faults_pods.py.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from cpods.digest import ABSENT
from cpods.errors import Unavailable
from cpods.net import subjects, wire
from cpods.net.bus import NatsBus
from cpods.net.links import Links, Refused
from cpods.net.pull import Peer
from cpods.net.questions import Stop
from cpods.net.signing import Signer, open_sealed
from cpods.store.catalogue import open_catalogue
from tests.helpers import control
from tests.helpers.broker import flushed
from tests.helpers.control import Gate, project, step, until
from tests.helpers.lab import NAME, Lab

pytestmark = [pytest.mark.federation, pytest.mark.timeout(300)]

NewGate = Callable[[str], Gate]
GUEST = "ann"
DOCUMENT = r"""\documentclass{article}
\begin{document}
\tableofcontents
\section{One}\label{one}
See page~\pageref{one}. \input{part}
\end{document}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two pods, a and b, with two slots each, and a second user."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        lab.join(GUEST, "--majordomo")
        lab.pods_at_once(["a", "b"])
        yield lab


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A federation in which no pod runs."""
    with Lab(tmp_path_factory.mktemp("bare")) as lab:
        yield lab


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[NewGate]:
    """Makes gates by name; at the end all are open, so that nothing stands there for ever."""
    made: list[Gate] = []

    def new(name: str) -> Gate:
        made.append(Gate(tmp_path / name))
        return made[-1]

    yield new
    for gate in made:
        gate.open()


@pytest.fixture
def gate(gates: NewGate) -> Gate:
    return gates("gate")


def three_steps(folder: Path, gate: Gate) -> Path:
    """first.txt, then mid.txt, whose step waits at the gate, then goal.txt."""
    return project(
        folder,
        step("first", "tr a-z A-Z < in.txt > first.txt", ["in.txt"], ["first.txt"]),
        step("mid", f"{gate.wait}; cat first.txt first.txt > mid.txt", ["first.txt"], ["mid.txt"]),
        step("last", "wc -l < mid.txt > goal.txt; cat mid.txt >> goal.txt", ["mid.txt"], ["goal.txt"]),
        goals=["goal.txt"],
        in_txt=f"words of {folder.parent.name}\n",  # else the results of another test's steps would do
    )


def text_of(folder: Path) -> str:
    """What mid.txt of :func:`three_steps` holds in the end."""
    return 2 * f"WORDS OF {folder.parent.name.upper()}\n"


def of(lab: Lab, folder: Path, path: str) -> dict[str, object]:
    """Owner, epoch and holders of a path."""
    found: dict[str, object] = control.shown(lab, "artefact", "where", path, "-F", NAME, cwd=folder)
    return found


# The broker


def test_the_broker_is_killed_mid_build(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    folder = three_steps(tmp_path / "p", gate)
    with lab.building(folder) as running:
        gate.reached(running)
        before, again = control.broker_pid(lab), control.steward_log(lab).count("the broker runs again")
        os.kill(before, signal.SIGKILL)
        until(lambda: control.steward_log(lab).count("the broker runs again") > again, "the steward starts the broker again")
        assert control.broker_pid(lab) not in (0, before)
        gate.open()
        built = running.result()
    assert built.exit_code == 0, built.output
    assert built.steps == ["first", "mid", "last"] and len(gate.runs) == 1
    assert (folder / "goal.txt").read_text() == f"2\n{text_of(folder)}"
    assert lab.rebuild(folder).steps == []


def test_the_steward_is_killed_mid_build_and_started_again(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    """The broker goes with it; members come back by themselves."""
    folder = three_steps(tmp_path / "p", gate)
    with lab.building(folder) as running:
        gate.reached(running)
        os.kill(control.steward_pid(lab), signal.SIGKILL)
        lab.cpods("federation", "start")
        gate.open()
        built = running.result()
    assert (built.exit_code, len(gate.runs)) == (0, 1), built.output
    assert built.steps == ["first", "mid", "last"]
    until(lambda: _ready(lab) == ["a", "b"], "both pods are known to the new steward")


def test_what_the_broker_remembers_is_deleted_while_it_is_down(lab: Lab, tmp_path: Path, gate: Gate, gates: NewGate) -> None:
    """Owners are in the project's catalogue; statuses, events and the mirror begin anew."""
    opened = gates("opened")
    opened.open()
    known = three_steps(tmp_path / "known", opened)
    assert lab.rebuild(known).exit_code == 0
    before = [of(lab, known, path) for path in ("first.txt", "mid.txt", "goal.txt")]
    with lab.building(three_steps(tmp_path / "p", gate)) as running:
        gate.reached(running)
        steward, again = control.steward_pid(lab), control.steward_log(lab).count("the broker runs again")
        os.kill(steward, signal.SIGSTOP)  # it would start the broker at once
        try:
            os.kill(control.broker_pid(lab), signal.SIGKILL)
            shutil.rmtree(control.founder_folder(lab) / "broker" / "jetstream")
        finally:
            os.kill(steward, signal.SIGCONT)
        until(lambda: control.steward_log(lab).count("the broker runs again") > again, "the steward starts the broker again")
        gate.open()
        built = running.result()
    assert (built.exit_code, len(gate.runs)) == (0, 1), built.output
    until(lambda: _ready(lab) == ["a", "b"], "both pods say again how they are")
    assert [of(lab, known, path) for path in ("first.txt", "mid.txt", "goal.txt")] == before
    assert lab.rebuild(known).steps == []
    other = "b" if before[1]["owner"] == "a" else "a"
    moved = lab.cpods("artefact", "move", "mid.txt", "--to", other, "-F", NAME, cwd=known)  # writes the mirror
    assert f"{other} owns it now" in moved.stdout
    lab.cpods("federation", "invite", "nobody")
    until(lambda: "invited nobody" in lab.cpods("federation", "events").stdout, "events are kept again")
    lab.cpods("federation", "revoke", "nobody")


def _ready(lab: Lab) -> list[str]:
    return [entry["pod"] for entry in control.shown(lab, "pod", "list") if entry["state"] == "ready"]


# MajorDomos


def two_branches(folder: Path, gate: Gate, quick: Gate) -> Path:
    """A quick and a long step, and one that needs both."""
    return project(
        folder,
        step("quick", f"{quick.tick}; echo quick {folder} > quick.txt", [], ["quick.txt"]),
        step("long", f"{gate.wait}; echo long {folder} > long.txt", [], ["long.txt"]),
        step("both", "cat quick.txt long.txt > goal.txt", ["quick.txt", "long.txt"], ["goal.txt"]),
    )


def test_the_majordomo_is_killed_and_the_result_comes_while_nobody_is_there(lab: Lab, tmp_path: Path, gate: Gate, gates: NewGate) -> None:
    quick = gates("quick")
    folder = two_branches(tmp_path / "p", gate, quick)
    with lab.building(folder) as running:
        gate.reached(running)
        running.await_text("quick")
        running.kill()
    (pod,) = gate.pods
    assert control.unacknowledged(lab, pod) == 0
    gate.open()
    until(lambda: control.unacknowledged(lab, pod) == 1, "the pod keeps the result")
    built = lab.rebuild(folder)
    assert built.exit_code == 0, built.output
    assert built.steps == ["both"] and (len(gate.runs), len(quick.runs)) == (1, 1)
    assert (folder / "goal.txt").read_text() == f"quick {folder}\nlong {folder}\n"
    assert control.unacknowledged(lab, pod) == 0
    assert of(lab, folder, "long.txt")["owner"] == pod


def test_the_majordomo_is_killed_and_called_again_while_the_step_runs(lab: Lab, tmp_path: Path, gate: Gate, gates: NewGate) -> None:
    quick = gates("quick")
    folder = two_branches(tmp_path / "p", gate, quick)
    with lab.building(folder) as running:
        gate.reached(running)
        running.kill()
    with lab.building(folder) as running:
        running.await_text("quick")  # it has begun, and knows by then what runs where
        gate.open()
        built = running.result()
    assert built.exit_code == 0, built.output
    assert (len(gate.runs), len(quick.runs)) == (1, 1)
    assert (folder / "goal.txt").read_text() == f"quick {folder}\nlong {folder}\n"
    assert lab.rebuild(folder).steps == []


def test_two_majordomos_build_two_projects_on_the_same_pods_at_once(lab: Lab, tmp_path: Path, gates: NewGate) -> None:
    """Each project has a step that ends only when one of the other project has run."""
    mine, hers = gates("mine"), gates("hers")
    folders = []
    for name, own, other in (("p", mine, hers), ("q", hers, mine)):
        meet = own.meeting(other)
        steps = [step(f"part{number}", f"{meet}; echo {name}{number} > {number}.txt", [], [f"{number}.txt"]) for number in range(3)]
        folders.append(project(tmp_path / name, *steps, step("all", "cat [0-2].txt > goal.txt", ["0.txt", "1.txt", "2.txt"], ["goal.txt"])))
    with lab.building(folders[0]) as first, lab.building(folders[1], member=GUEST) as second:
        built = [first.result(), second.result()]
    for name, one, folder in zip("pq", built, folders, strict=True):
        assert one.exit_code == 0, one.output
        assert sorted(one.steps) == ["all", "part0", "part1", "part2"]
        assert (folder / "goal.txt").read_text() == f"{name}0\n{name}1\n{name}2\n"
    assert {*mine.pods, *hers.pods} == {"a", "b"}


def test_a_second_user_with_the_same_sources_runs_nothing(lab: Lab, tmp_path: Path) -> None:
    document = '[[step]]\nchef = "latex"\nmain = "paper.tex"\n'
    part = step("part", "tr a-z A-Z < words.txt > part.tex", ["words.txt"], ["part.tex"])
    folders = [project(tmp_path / user / "p", part, document, paper_tex=DOCUMENT, words_txt="some words\n") for user in ("me", "her")]
    mine = lab.rebuild(folders[0])
    assert mine.exit_code == 0 and mine.tools["pdflatex"] >= 2, mine.output
    hers = lab.rebuild(folders[1], member=GUEST)
    assert (hers.exit_code, hers.steps) == (0, []), hers.output
    assert (folders[1] / "paper.pdf").read_bytes() == (folders[0] / "paper.pdf").read_bytes()


# Members and their rights


def test_a_pod_is_revoked_while_it_works(lab: Lab, tmp_path: Path, gates: NewGate) -> None:
    lab.pod("c")
    places = [gates(f"gate{number}") for number in range(6)]
    steps = [step(f"s{number}", f"{gate.wait}; echo {number} > {number}.txt", [], [f"{number}.txt"]) for number, gate in enumerate(places)]
    folder = project(tmp_path / "p", *steps)
    peer = _peer(lab, "a")
    with lab.building(folder) as running:
        for gate in places:
            gate.reached(running)
        on_c = [gate for gate in places if gate.pods == ["c"]]
        assert len(on_c) == 2

        async def revoked() -> None:
            links = Links(lambda _: peer, control.home_of(lab, "c").identity.ssh_key)
            link = await links.get("a")
            assert link.alive
            await asyncio.to_thread(lab.cpods, "federation", "revoke", "c")
            async with asyncio.timeout(control.SECONDS_MAX):
                await link._connection.wait_closed()  # its open session with another pod's store
            with pytest.raises(Refused, match="does not take our SSH key"):
                await links.get("a")
            await links.close()

        asyncio.run(revoked())
        pod = lab.pods.pop("c")
        assert pod.popen.wait(control.SECONDS_MAX) == Unavailable.exit_code
        assert "this pod was revoked from federation lab" in pod.text()
        for gate in places:
            gate.open()
        built = running.result()
    assert built.exit_code == 0, built.output
    for gate in on_c:
        assert gate.pods[0] == "c" and set(gate.pods[1:]) <= {"a", "b"} and len(gate.pods) == 2
    assert all(len(gate.pods) == 1 for gate in places if gate not in on_c)
    again = lab.cpods("pod", "start", member="c", check=False)
    assert again.returncode == Unavailable.exit_code and "revoked" in again.stderr and len(again.stderr.splitlines()) == 1
    assert {member["name"]: member["revoked"] for member in control.shown(lab, "federation", "status")["members"]}["c"] is True


def _peer(lab: Lab, pod: str) -> Peer:
    """Where a pod serves its store now."""
    (entry,) = [entry for entry in control.shown(lab, "pod", "list") if entry["pod"] == pod]
    return Peer(*entry["sftp"], control.home_of(lab, "founder").roster.active()[pod].host_public)


def test_a_pod_speaks_only_for_itself(lab: Lab) -> None:
    """With its own key, rights and connection, but not our code. What it sends as another never arrives."""
    lab.join("thief")
    complaints: list[str] = []

    async def tries() -> None:
        async with control.raw(lab, "thief", complaints) as client:
            seal = Signer(control.home_of(lab, "thief").identity.nkey_seed).seal
            for subject in (subjects.status(NAME, "a"), subjects.result(NAME, "founder", "a", "done"), subjects.ask(NAME, "a")):
                await client.publish(subject, seal(NAME, subject, wire.encode(Stop())))
                await control.heard(complaints, f'Permissions Violation for Publish to "{subject}"')
            for subject in (subjects.step(NAME, "a"), f"{subjects.inbox('founder')}.>", subjects.results(NAME, "founder")):
                await client.subscribe(subject)
                await control.heard(complaints, f'Permissions Violation for Subscription to "{subject}"')

    asyncio.run(tries())
    lab.cpods("federation", "revoke", "thief")
    with pytest.raises(Unavailable, match="refuses the key of thief"):
        control.as_member(lab, "thief", _nothing)
    assert _ready(lab) == ["a", "b"]


async def _nothing(_: NatsBus) -> None: ...


def test_a_forged_order_reaches_a_pod_and_is_not_carried_out(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    """By reply subject and by deliver subject, which permissions alone do not prevent. The order is a real one, seen before."""
    lab.join("forger")
    subject, order = asyncio.run(_seen_order(lab, project(tmp_path / "p", step("s", f"{gate.tick}; echo x > s.txt", [], ["s.txt"]))))
    (pod,) = gate.pods
    victim, complaints = lab.pods[pod], list[str]()

    async def with_its_own_rights() -> None:
        seal = Signer(control.home_of(lab, "forger").identity.nkey_seed).seal
        event = subjects.event(NAME, "forger")
        async with control.raw(lab, "forger", complaints) as client:
            await client.publish(event, seal(NAME, event, order), reply=subject)  # the stream acknowledges to the victim
            await asyncio.to_thread(lab.await_text, victim, "no sealed message")
            await client.publish(event, seal(NAME, subject, order))  # what a consumer would deliver, if it could make one
            api = f"$JS.API.CONSUMER.CREATE.cpods-{NAME}-events"
            await client.publish(api, json.dumps({"config": {"deliver_subject": subject}}).encode())
            await control.heard(complaints, f'Permissions Violation for Publish to "{api}"')

    async def with_a_majordomos() -> None:
        async with control.raw(lab, GUEST, complaints) as client:
            await client.jetstream().add_consumer(f"cpods-{NAME}-events", deliver_subject=subject, ack_policy="none")
            await asyncio.to_thread(lab.await_text, victim, f"was delivered to {subject}")

    asyncio.run(with_its_own_rights())
    asyncio.run(with_a_majordomos())
    built = lab.rebuild(project(tmp_path / "q", step("s", "echo true > s.txt", [], ["s.txt"])))
    assert built.exit_code == 0 and _ready(lab) == ["a", "b"]  # they are none the worse for it
    assert len(gate.runs) == 1, "what was forged ran nowhere"
    lab.cpods("federation", "revoke", "forger")


async def _seen_order(lab: Lab, folder: Path) -> tuple[str, bytes]:
    """Builds a project of one step; the subject and the bytes of the order that went to the pod."""
    seen: list[tuple[str, bytes]] = []

    async def see(message: Msg) -> None:
        seen.append((message.subject, message.data))

    async with control.raw(lab, "founder", []) as client:
        await client.subscribe(subjects.step(NAME, "a").replace(".a.", ".*."), cb=see)
        await flushed(client)
        built = await asyncio.to_thread(lab.rebuild, folder)
    assert built.exit_code == 0 and seen, built.output
    (subject, data), roster = seen[0], control.home_of(lab, "founder").roster
    sender, order = open_sealed(data, subject, NAME, roster)
    assert sender == "founder"
    return subject, order


def test_a_join_token_is_used_twice(bare: Lab, tmp_path: Path) -> None:
    token = tmp_path / "token"
    bare.cpods("federation", "invite", "one", "--file", str(token))
    bare.cpods("federation", "join", "--file", str(token), member="one")
    keys = control.home_of(bare, "founder").roster.active()["one"]
    second = bare.cpods("federation", "join", "--file", str(token), member="two", check=False)
    assert second.returncode == Unavailable.exit_code, second.stderr
    assert len(second.stderr.splitlines()) == 1 and "used" in second.stderr
    assert not (bare.home("two") / NAME).exists()
    assert control.home_of(bare, "founder").roster.active()["one"] == keys
    assert [member["name"] for member in control.shown(bare, "federation", "status", member="one")["members"]] == ["founder", "one"]


# Ownership


def test_a_claim_whose_answer_is_lost_counts_once(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    """The broker stands still around a result, so that the pod, whose time is up, sends it again: it arrives twice."""
    names = [f"{number:03}-{'x' * 80}.txt" for number in range(40)]
    folder = project(tmp_path / "p", step("s", f"{gate.wait}; for f in {' '.join(names)}; do echo $f > $f; done", [], names))
    with lab.building(folder) as running:
        gate.reached(running)
        (pod,) = gate.pods
        broker = control.broker_pid(lab)
        os.kill(broker, signal.SIGSTOP)
        try:
            gate.open()
            until(lambda: control.unacknowledged(lab, pod) == 1, "the pod keeps the result")
            until(lambda: control.unread_bytes(broker) > 2 * 40 * 200, "the pod sends it a second time")
        finally:
            os.kill(broker, signal.SIGCONT)
        built = running.result()
    assert (built.exit_code, built.steps, len(gate.runs)) == (0, ["s"], 1), built.output
    assert control.unacknowledged(lab, pod) == 0
    assert [(folder / name).read_text() for name in names] == [f"{name}\n" for name in names]
    rows = control.owned(lab, pod, folder)
    for name in names[:3]:
        found = of(lab, folder, name)
        assert (found["owner"], found["epoch"]) == (pod, 1)
        assert (rows[name].epoch, rows[name].digest) == (1, found["digest"])
    assert lab.rebuild(folder).steps == []


def test_a_hundred_claimants_of_one_path_in_four_processes(tmp_path: Path) -> None:
    catalogue, epochs = str(tmp_path / "catalogue.db"), 20

    async def made() -> None:
        await open_catalogue(catalogue, "test").close()

    asyncio.run(made())
    command = [sys.executable, "-m", "tests.helpers.claimants", catalogue]
    processes = [
        subprocess.Popen([*command, f"p{number}", "25", str(epochs)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    said = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        said.append(process.communicate(timeout=200)[0])
        assert process.returncode == 0
    wins = sorted(tuple(win) for text in said for win in json.loads(text))
    assert [epoch for epoch, *_ in wins] == list(range(1, epochs + 1)), "one wins each epoch, and none is left out"
    assert len({digest for *_, digest in wins}) == epochs, "no version twice, none lost"

    async def last() -> tuple[int, str, str]:
        opened = open_catalogue(catalogue, "test")
        try:
            owner = await opened.ownership.owner("result")
            assert owner is not None
            return owner.epoch, owner.pod, owner.digest
        finally:
            await opened.close()

    assert asyncio.run(last()) == wins[-1]


@pytest.mark.parametrize("how", ["edited", "deleted"])
def test_a_path_that_a_pod_owns_is_changed_there(lab: Lab, tmp_path: Path, gate: Gate, how: str) -> None:
    gate.open()
    folder = three_steps(tmp_path / "p", gate)
    assert lab.rebuild(folder).exit_code == 0
    found = of(lab, folder, "mid.txt")
    pod = str(found["owner"])
    file = control.owned_file(lab, pod, folder, "mid.txt")
    until(file.exists, "the pod has put it into place")
    right = file.read_text()
    if how == "edited":
        file.write_text("somebody was here\n")
    else:
        file.unlink()
    until(lambda: control.owned(lab, pod, folder)["mid.txt"].now != found["digest"], "the pod has seen it")
    assert (control.owned(lab, pod, folder)["mid.txt"].now == ABSENT) == (how == "deleted")
    built = lab.rebuild(folder)
    assert built.exit_code == 0, built.output
    assert how == "deleted" or "mid.txt was changed by hand since mid made it" in built.output, built.output
    owner = str(of(lab, folder, "mid.txt")["owner"])
    until(lambda: control.owned_file(lab, owner, folder, "mid.txt").read_text() == right, "the file there is right again")
    row = control.owned(lab, owner, folder)["mid.txt"]
    assert row.now == row.digest == found["digest"]
    assert (folder / "goal.txt").read_text() == f"2\n{text_of(folder)}"
    assert lab.rebuild(folder).steps == []


# Artefacts


def test_artefacts_are_refreshed_moved_copied_and_pinned(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    gate.open()
    folder = three_steps(tmp_path / "p", gate)
    assert lab.rebuild(folder).exit_code == 0

    def artefact(*arguments: str) -> str:
        return lab.cpods("artefact", *arguments, "-F", NAME, cwd=folder).stdout

    before = of(lab, folder, "mid.txt")
    owner, digest = str(before["owner"]), str(before["digest"])
    other = "b" if owner == "a" else "a"
    assert owner in before["holders"] and before["in_folder"] is False  # type: ignore[operator]
    assert of(lab, folder, digest)["holders"] == before["holders"]

    assert f" B from {owner} to the project folder" in artefact("refresh", "mid.txt")
    assert (folder / "mid.txt").read_text() == text_of(folder)
    assert "0 bytes: it is there already" in artefact("refresh", "mid.txt")
    assert "0 bytes: it is there already" in artefact("refresh", "goal.txt")
    assert "0 bytes: it is there already" in artefact("refresh", "mid.txt", "--to", owner)

    moved = artefact("move", "mid.txt", "--to", other)
    after = of(lab, folder, "mid.txt")
    assert (after["owner"], after["epoch"], after["digest"]) == (other, int(str(before["epoch"])) + 1, digest)
    assert f"{other} owns it now (epoch {after['epoch']}, before: {owner})" in moved
    assert control.owned_file(lab, other, folder, "mid.txt").read_text() == text_of(folder)
    assert "mid.txt" not in control.owned(lab, owner, folder)
    built = lab.rebuild(folder)
    assert (built.exit_code, built.steps) == (0, []), built.output
    assert of(lab, folder, "mid.txt")["owner"] == other
    assert f"{other} owns it already" in artefact("move", "mid.txt", "--to", other)

    source = of(lab, folder, "in.txt")
    assert source["owner"] is None
    assert "from" in artefact("copy", "goal.txt", "--to", other) or other in of(lab, folder, "goal.txt")["holders"]  # type: ignore[operator]
    assert "0 bytes: it is there already" in artefact("copy", "goal.txt", "--to", other)
    assert "kept for good in the store here" in artefact("pin", "mid.txt")
    assert f"kept for good on {owner}" in artefact("pin", digest, "--to", owner)
    assert lab.rebuild(folder).steps == []


def test_goals_that_are_left_where_they_were_made(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    gate.open()
    folder = three_steps(tmp_path / "p", gate)
    built = lab.rebuild(folder, "--leave-remote")
    assert built.exit_code == 0, built.output
    assert not (folder / "goal.txt").exists()
    owner = of(lab, folder, "goal.txt")["owner"]
    assert owner in ("a", "b")
    assert lab.rebuild(folder, "--leave-remote").steps == []
    assert f"version of {owner} (epoch 1)" in lab.cpods("artefact", "refresh", "goal.txt", "-F", NAME, cwd=folder).stdout
    assert (folder / "goal.txt").read_text() == f"2\n{text_of(folder)}"
    (folder / "goal.txt").unlink()
    again = lab.rebuild(folder)
    assert (again.exit_code, again.steps) == (0, []), again.output
    assert (folder / "goal.txt").exists()


# Nobody who could do it


def test_no_pod_at_all(bare: Lab, tmp_path: Path) -> None:
    built = bare.rebuild(project(tmp_path / "p", step("s", "echo x > s.txt", [], ["s.txt"])))
    assert built.exit_code == Unavailable.exit_code
    (sentence,) = [line for line in built.output.splitlines() if "no pod of federation lab is there" in line]
    assert "`cpods pod start`" in sentence and built.report["errors"]
    assert not (tmp_path / "p" / "s.txt").exists()


def test_no_pod_has_the_tools(lab: Lab, tmp_path: Path) -> None:
    here, there = _tool(tmp_path / "here", "mine"), _tool(tmp_path / "there", "theirs")
    lab.pod("d", 2, environment={"PATH": f"{there}:{os.environ['PATH']}"})
    mine = {"PATH": f"{here}:{os.environ['PATH']}"}
    folder = project(tmp_path / "p", step("make", "frobnicate s.txt", [], ["s.txt"]))
    built = lab.rebuild(folder, environment=mine)
    assert built.exit_code == Unavailable.exit_code, built.output
    (sentence,) = [line for line in built.output.splitlines() if "no pod fits step make" in line]
    for part in ("frobnicate", "a lacks a program", "b lacks a program", "d has another version of the tools", 'tool_match = "any"'):
        assert part in sentence
    (folder / "cpods.toml").write_text(step("make", "frobnicate s.txt", [], ["s.txt"], tool_match="any"))
    loose = lab.rebuild(folder, environment=mine)
    assert loose.exit_code == 0 and loose.pods == {"d": 1}, loose.output
    assert (folder / "s.txt").read_text() == "theirs\n"
    said = "make ran on d with other tools than those here"
    assert said in loose.output and any(said in note for note in loose.report["notes"])
    lab.stop("d")


def _tool(folder: Path, says: str) -> Path:
    """A folder with a program ``frobnicate``."""
    folder.mkdir()
    (folder / "frobnicate").write_text(f"#!/bin/sh\necho {says} > $1\n")
    (folder / "frobnicate").chmod(0o755)
    return folder
