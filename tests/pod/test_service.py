"""How a pod deals with MajorDomos: leases, duplicates, cancel, drain, refusals, results until they are acknowledged."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from cpods.digest import of_bytes
from cpods.model import Artefact
from cpods.net import questions as q
from cpods.net import subjects
from cpods.net.memory import MemoryBus
from cpods.net.messages import Detour, Leases, StepRequest, Steps
from cpods.net.wire import decode, encode
from cpods.pod import delivery
from cpods.pod.delivery import Delivery
from cpods.scheduler import groups
from tests.helpers.podworld import FEDERATION, Boss, Yard, shell_step

Scenario = Callable[[Yard, Boss], Awaitable[None]]


def play(folder: Path, scenario: Scenario) -> Yard:
    """Plays a scenario with one MajorDomo."""

    async def whole() -> Yard:
        yard = Yard(folder)
        async with asyncio.timeout(100):
            await scenario(yard, await yard.boss())
        return yard

    return asyncio.run(whole())


def waiting_step(folder: Path, name: str, after: str = "true") -> tuple[str, Path, Path]:
    """(a command that waits until a file is there, that file, the file in which it notes its process group)."""
    go, group = folder / f"{name}.go", folder / f"{name}.pid"
    return f"echo $$ > {group}.new; mv {group}.new {group}; while ! test -e {go}; do sleep 0.02; done; {after}", go, group


async def appears(path: Path) -> None:
    """Waits for a file that a step makes."""
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.01)


def order(boss: Boss, id: str, run: str, outputs: tuple[str, ...] = ("out",), **more: object) -> StepRequest:
    """An order without inputs."""
    return boss.request(id, shell_step(id, run, outputs), {"a": b""}, **more)  # type: ignore[arg-type]


def test_leases_come_at_once_and_are_renewed_while_it_runs_or_waits(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        run, go, _ = waiting_step(tmp_path, "long", "echo > out")
        async with yard.pod(slots=1, lease_seconds=0.3) as pod:
            leases = await boss.send("east", order(boss, "runs", run), order(boss, "waits", "echo > out"))
            assert {id: (lease.seconds, lease.refused) for id, lease in leases.items()} == {"runs": (0.3, ""), "waits": (0.3, "")}
            await boss.until(lambda: len(boss.renewed) >= 3)
            assert pod.board.free == 0
            assert {id for renewal in boss.renewed for id in renewal.ids} == {"runs", "waits"}
            go.touch()
            assert (await boss.end_of("runs")).cooked.exit_code == 0
            assert (await boss.end_of("waits")).cooked.exit_code == 0

    play(tmp_path, scenario)


def test_no_more_steps_run_at_once_than_there_are_slots(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        count = f"echo > {tmp_path}/$$.now; ls {tmp_path}/*.now | wc -l > out; sleep 0.05; rm {tmp_path}/$$.now"
        async with yard.pod(slots=2) as pod:
            await boss.send("east", *(order(boss, f"s{number}", count) for number in range(8)))
            seen = set()
            for number in range(8):
                end = await boss.end_of(f"s{number}")
                assert end.cooked.result is not None
                seen.add(int(pod.kitchen._objects.read(end.cooked.result.outputs[0].version.digest)))
            assert seen == {1, 2} or seen == {2}

    play(tmp_path, scenario)


def test_an_order_that_is_sent_again_runs_once(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        run, go, _ = waiting_step(tmp_path, "long", f"echo ran >> {tmp_path}/runs; echo > out")
        request = order(boss, "one", run)
        async with yard.pod():
            boss.deaf = True
            for _ in range(3):
                assert (await boss.send("east", request))["one"].refused == ""
            go.touch()
            await boss.until(lambda: "one" in boss.deliveries)
            assert (await boss.send("east", request))["one"].refused == ""
            boss.deaf = False
            assert (await boss.end_of("one")).cooked.exit_code == 0
        assert (tmp_path / "runs").read_text() == "ran\n"

    play(tmp_path, scenario)


def test_two_majordomos_with_one_id_each_get_their_own_result(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        second = await yard.boss("second")
        async with yard.pod():
            await boss.send("east", order(boss, "same", "echo 1 > out"))
            await second.send("east", order(second, "same", "echo 2 > out"))
            first, other = await boss.end_of("same"), await second.end_of("same")
            assert first.cooked.artefacts == {of_bytes(b"1\n"): 2}
            assert other.cooked.artefacts == {of_bytes(b"2\n"): 2}

    play(tmp_path, scenario)


def test_cancel_ends_the_whole_process_group_and_sends_nothing(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        run, _, group = waiting_step(tmp_path, "long")
        async with yard.pod(slots=1) as pod:
            await boss.send("east", order(boss, "runs", f"sleep 1000 & trap '' TERM; {run}"), order(boss, "waits", "echo > out"))
            await appears(group)
            leader = int(group.read_text())
            assert len(groups.members(leader)) >= 2
            await boss.cancel("east", "runs", "unknown")
            await boss.end_of("waits")
            assert groups.members(leader) == []
            assert pod.board.free == 1
            assert list(boss.ends) == ["waits"]

    play(tmp_path, scenario)


def test_nobody_cancels_anothers_order(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        second = await yard.boss("second")
        run, go, group = waiting_step(tmp_path, "long", "echo > out")
        async with yard.pod():
            await boss.send("east", order(boss, "one", run))
            await appears(group)
            await second.cancel("east", "one")
            assert isinstance(await second.ask("east", q.AskStatus(), q.PodStatus), q.PodStatus)
            go.touch()
            assert (await boss.end_of("one")).cooked.exit_code == 0

    play(tmp_path, scenario)


def test_a_draining_pod_finishes_and_takes_nothing_new(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        run, go, group = waiting_step(tmp_path, "long", "echo > out")
        async with yard.pod() as pod:
            running = order(boss, "runs", run)
            await boss.send("east", running)
            await appears(group)
            assert await boss.ask("east", q.Drain(), q.Okay) == q.Okay()
            assert pod.status.now().state == "draining"
            leases = await boss.send("east", order(boss, "new", "echo > out"), running)
            assert leases["new"].refused == "pod east: it is draining and takes no more steps"
            assert leases["runs"].refused == ""
            go.touch()
            await boss.end_of("runs")
            await boss.ask("east", q.Drain(off=True), q.Okay)
            assert (await boss.cook("east", order(boss, "newer", "echo > out"))).cooked.exit_code == 0

    play(tmp_path, scenario)


def test_what_does_not_fit_is_refused_and_said(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        step = shell_step("s", "echo > out", ["out"])
        strange = msgspec.structs.replace(step, argv=("no-such-program",), tools=("no-such-program", "sh"))
        foreign = msgspec.structs.replace(step, chef="pastry")
        async with yard.pod() as pod:
            own, missing = await pod._tools.fingerprints((step, strange))
            assert own and not missing
            leases = await boss.send(
                "east",
                boss.request("good", step, fingerprint=own),
                boss.request("other", step, fingerprint="xxh3:" + 32 * "0"),
                boss.request("missing", strange),
                boss.request("chef", foreign),
                msgspec.structs.replace(boss.request("store", step), tree=Artefact("blake3:" + 64 * "0", 1)),
            )
            refused = {id: lease.refused for id, lease in leases.items()}
            assert refused["good"] == ""
            assert "its sh is another one" in refused["other"] and "wanted 00000000" in refused["other"]
            assert refused["missing"] == "pod east: it has no no-such-program"
            assert refused["chef"] == "pod east: it has no chef pastry"
            assert refused["store"] == "pod east: its store names artefacts by xxh3, the order by blake3"
            await boss.end_of("good")
            assert list(boss.ends) == ["good"]
            assert await boss.ask("east", q.AskFits((step, strange)), q.Fits) == q.Fits((own, ""))

    play(tmp_path, scenario)


@pytest.mark.parametrize("sender", ["other-pod", "stranger", ""])
def test_only_majordomos_and_the_founder_command(sender: str, tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        bus = MemoryBus(yard.broker, sender)
        async with yard.pod() as pod:
            request = order(boss, "one", f"echo > {tmp_path}/ran")
            forged = Steps("paper", boss.name, (request,))
            with pytest.raises(TimeoutError):
                await bus.request(subjects.step(FEDERATION, "east"), encode(forged), 0.2)
            if sender == "other-pod":
                answer = await bus.request(subjects.ask(FEDERATION, "east"), encode(q.Stop()), 30)
                assert "may not command" in decode(answer, q.Okay).refused
                assert isinstance(
                    decode(await bus.request(subjects.ask(FEDERATION, "east"), encode(q.AskStatus()), 30), q.PodStatus), q.PodStatus
                )
            else:
                with pytest.raises(TimeoutError):
                    await bus.request(subjects.ask(FEDERATION, "east"), encode(q.Stop()), 0.2)
            assert not pod.ended.is_set() and pod.board.free == 2
        assert not (tmp_path / "ran").exists()
        await bus.close()

    play(tmp_path, scenario)


def test_a_majordomo_orders_in_its_own_name_only(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        second = await yard.boss("second")
        async with yard.pod():
            steps = Steps("paper", "second", (order(boss, "one", "echo > out"),))
            answer = decode(await boss.bus.request(subjects.step(FEDERATION, "east"), encode(steps), 30), Leases)
            assert answer.leases[0].refused == "boss cannot order for second"
            resumed = await boss.ask("east", q.Resume("paper", "second"), q.Okay)
            assert resumed == q.Okay("boss cannot resume for second")
        assert not second.ends

    play(tmp_path, scenario)


def test_nonsense_on_the_bus_is_passed_over(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        async with yard.pod():
            for subject in (subjects.step(FEDERATION, "east"), subjects.ask(FEDERATION, "east"), subjects.cancel(FEDERATION, "east")):
                await boss.bus.publish(subject, b"{}")
            assert (await boss.cook("east", order(boss, "one", "echo > out"))).cooked.exit_code == 0

    yard = play(tmp_path, scenario)
    assert len([line for line in yard.lines if "cannot be read" in line]) == 3


def test_orders_too_long_for_a_message_come_through_the_store(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        async with yard.pod():
            steps = Steps("paper", boss.name, (order(boss, "one", "echo > out"),))
            detour = Detour(boss.put(encode(steps)), boss.name, ("127.0.0.1", 1))
            answer = await boss.bus.request(subjects.step(FEDERATION, "east"), encode(detour), 30)
            assert [lease.refused for lease in decode(answer, Leases).leases] == [""]
            assert (await boss.end_of("one")).cooked.exit_code == 0

    play(tmp_path, scenario)


def test_a_result_is_sent_until_it_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "REQUEST_SECONDS", 0.05)

    async def scenario(yard: Yard, boss: Boss) -> None:
        boss.deaf = True
        async with yard.pod() as pod:
            await boss.send("east", order(boss, "one", "echo > out"))
            await boss.until(lambda: boss.deliveries.count("one") >= 3)
            assert pod.delivery.waiting(boss.name, "paper") == ("one",)
            boss.deaf = False
            await boss.end_of("one")
            count = len(boss.deliveries)
            await boss.cook("east", order(boss, "two", "echo > out"))
            assert boss.deliveries[count:] == ["two"]
            while pod.delivery.waiting(boss.name, "paper"):  # its answer is on the way
                await asyncio.sleep(0)

    play(tmp_path, scenario)


def test_ends_of_a_build_that_nobody_runs_do_not_hold_up_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "REQUEST_SECONDS", 0.05)

    async def scenario(yard: Yard, boss: Boss) -> None:
        second = await yard.boss("second")
        second.deaf = True
        async with yard.pod():
            await second.send("east", *(order(second, f"s{number}", "echo > out") for number in range(70)))
            await second.until(lambda: len(set(second.deliveries)) >= 20)
            assert (await boss.cook("east", order(boss, "mine", "echo > out"))).cooked.exit_code == 0

    play(tmp_path, scenario)


def test_results_outlive_a_restart_of_the_pod(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        boss.deaf = True
        async with yard.pod():
            await boss.send("east", order(boss, "one", "echo kept > out"), order(boss, "two", "echo > out"))
            await boss.until(lambda: {"one", "two"} <= set(boss.deliveries))
        boss.deaf = False
        async with yard.pod() as pod:
            end = await boss.end_of("one")
            assert end.cooked.result is not None
            assert pod.kitchen._objects.read(end.cooked.result.outputs[0].version.digest) == b"kept\n"
            await boss.end_of("two")
        async with yard.pod() as pod:
            assert pod.delivery.waiting(boss.name, "paper") == ()

    play(tmp_path, scenario)


def test_a_majordomo_that_starts_again_learns_what_runs_and_gets_what_is_done(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        run, go, group = waiting_step(tmp_path, "long", "echo > out")
        async with yard.pod():
            boss.deaf = True
            await boss.send("east", order(boss, "done", "echo > out"), order(boss, "runs", run))
            await appears(group)
            await boss.until(lambda: "done" in boss.deliveries)
            await boss.bus.close()
            again = await yard.boss()
            resumed = await again.ask("east", q.Resume("paper", again.name), q.Resumed)
            assert resumed == q.Resumed(("runs",), ("done",))
            assert await again.ask("east", q.Resume("other", again.name), q.Resumed) == q.Resumed((), ())
            await again.end_of("done")
            go.touch()
            await again.end_of("runs")

    play(tmp_path, scenario)


def test_stop_gives_up_what_runs_and_says_who_asked(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        run, _, group = waiting_step(tmp_path, "long")
        states: list[str] = []

        async def watch(message: object) -> None:
            states.append(decode(message.payload, q.PodStatus).state)  # type: ignore[attr-defined]

        await boss.bus.subscribe(subjects.statuses(FEDERATION), watch)  # type: ignore[arg-type]
        async with yard.pod() as pod:
            await boss.send("east", order(boss, "runs", run))
            await appears(group)
            leader = int(group.read_text())
            assert await boss.ask("east", q.Stop(), q.Okay) == q.Okay()
            await pod.ended.wait()
            assert pod.why == "boss asked it to stop"
        assert groups.members(leader) == []
        assert os.listdir(tmp_path / "east" / "work" / "paper") == []
        assert states[-1] == "stopped"

    play(tmp_path, scenario)


def test_what_a_tool_says_is_heard_while_it_runs_and_comes_with_its_end(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        run, go, _ = waiting_step(tmp_path, "talks", "echo last words >&2; echo > out")
        async with yard.pod():
            await boss.send("east", order(boss, "one", f"echo 'kdebug:noise' >&2; echo first; printf '\\377\\n'; {run}"))
            await boss.until(lambda: "first" in boss.said.get("one", ""))
            assert boss.said["one"] == "first\n\N{REPLACEMENT CHARACTER}\n"
            go.touch()
            end = await boss.end_of("one")
            assert boss.said["one"].endswith("last words\n")
            assert "first\n" in end.log and "== stderr of sh -c" in end.log and "noise\n" not in end.log.replace("kdebug:noise'", "")

    play(tmp_path, scenario)


def test_a_flood_of_words_is_cut_and_said_so(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        async with yard.pod():
            await boss.cook("east", order(boss, "one", "yes | head -c 3000000; echo > out"))
            assert len(boss.said["one"]) < 2_500_000
            assert "bytes left out]" in boss.said["one"]

    play(tmp_path, scenario)


def test_an_end_too_long_for_a_message_takes_the_detour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "MESSAGE_BYTES_MAX", 500)

    async def scenario(yard: Yard, boss: Boss) -> None:
        got: list[Detour] = []

        def take(payload: bytes) -> bytes | None:
            got.append(decode(payload, Detour))
            return boss.take_done(yard.stores["east"].read(got[-1].artefact.digest))  # type: ignore[attr-defined]

        boss.detour = take
        async with yard.pod():
            assert (await boss.cook("east", order(boss, "one", "echo > out"))).cooked.exit_code == 0
            assert (got[0].majordomo, got[0].sftp) == ("east", ("127.0.0.1", 1))

    play(tmp_path, scenario)


def test_a_disk_that_is_full_is_no_fault_of_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        async with yard.pod() as pod:

            def full() -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(pod.kitchen._objects, "commit", full)
            end = await boss.cook("east", order(boss, "one", "echo > out"))
            assert end.cooked.result is None and "No space left on device" in end.trouble

    play(tmp_path, scenario)


def test_the_status_tells_what_there_is(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        told: asyncio.Queue[q.PodStatus] = asyncio.Queue()

        async def watch(message: object) -> None:
            told.put_nowait(decode(message.payload, q.PodStatus))  # type: ignore[attr-defined]

        await boss.bus.subscribe(subjects.status(FEDERATION, "east"), watch)  # type: ignore[arg-type]
        run, go, _ = waiting_step(tmp_path, "long", "echo > out")
        async with yard.pod(slots=3, tags={"room": "7"}):
            status = await told.get()
            assert (status.pod, status.state, status.slots, status.free_slots, status.tags) == ("east", "ready", 3, 3, (("room", "7"),))
            assert "latex" in status.chefs and status.algorithm == "xxh3" and status.disk_free_bytes > 0
            await boss.send("east", order(boss, "one", run))
            while status.free_slots != 2 or "gcc" not in dict(status.tools):
                status = await told.get()
            assert dict(status.tools)["gcc"].startswith("gcc")
            go.touch()
            while status.held_objects < 2 or status.free_slots != 3:  # the listing, and the output
                status = await told.get()
            assert status.held_bytes > 1

    play(tmp_path, scenario)


def test_what_is_held_can_be_asked_fetched_and_doubted(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        async with yard.pod() as pod:
            one, two = boss.put(b"one"), boss.put(b"two!")
            lost = Artefact(of_bytes(b"lost"), 4)
            holders = {artefact.digest: (boss.name,) for artefact in (one, two, lost)}
            fetched = await boss.ask("east", q.Fetch((one, two, lost), holders), q.Fetched)
            assert isinstance(fetched, q.Fetched)
            assert fetched.bytes == {"boss": 7} and list(fetched.failed) == [lost.digest]
            again = await boss.ask("east", q.Fetch((one,), holders, pin=True), q.Fetched)
            assert pod._ports.notes.kept() == {one.digest}
            assert again == q.Fetched({})
            held = {one.digest: 3, two.digest: 4}
            assert await boss.ask("east", q.AskHeld((one.digest, two.digest, lost.digest)), q.Held) == q.Held(held)
            assert await boss.ask("east", q.AskHeld(), q.Held) == q.Held(dict(sorted(held.items())))
            assert await boss.ask("east", q.AskHeld(after=max(held)), q.Held) == q.Held({})
            path = tmp_path / "east" / "store" / "objects" / "xxh3" / one.digest[5:7] / one.digest[7:]
            path.chmod(0o644)
            path.write_bytes(b"bad")
            assert await boss.ask("east", q.Forget((one.digest, two.digest)), q.Okay) == q.Okay()
            assert await boss.ask("east", q.AskHeld((one.digest, two.digest)), q.Held) == q.Held({two.digest: 4})

    play(tmp_path, scenario)


def test_a_damaged_input_is_fetched_again(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        step = shell_step("s", "cat a > out", ["out"], ["a"])
        async with yard.pod():
            assert (await boss.cook("east", boss.request("one", step, {"a": b"good"}))).cooked.exit_code == 0
            digest = of_bytes(b"good")
            path = tmp_path / "east" / "store" / "objects" / "xxh3" / digest[5:7] / digest[7:]
            path.chmod(0o644)
            path.write_bytes(b"evil")
            other = shell_step("s", "cat b > out", ["out"], ["b"])
            end = await boss.cook("east", boss.request("two", other, {"b": b"good"}))
            assert end.cooked.artefacts == {digest: 4} and end.fetched["boss"] > 4

    play(tmp_path, scenario)


def test_nothing_that_was_handed_in_is_lost_by_a_stop(tmp_path: Path) -> None:
    async def scenario(yard: Yard, boss: Boss) -> None:
        boss.deaf = True
        async with yard.pod() as pod:
            assert isinstance(pod.delivery, Delivery)
            await boss.send("east", order(boss, "one", "echo > out"))
            while not pod.delivery.has(boss.name, "one"):
                await asyncio.sleep(0)
            pod.stop("at the worst moment")
        boss.deaf = False
        async with yard.pod():
            await boss.end_of("one")

    play(tmp_path, scenario)
