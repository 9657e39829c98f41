"""Emptying a pod: what goes where, in which order, and what is done again after a failure. Pods are dictionaries here."""

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.errors import Unavailable, UsageError
from cpods.net import questions as q
from cpods.net.messages import Owned
from cpods.net.stewardship import Handover
from cpods.net.wire import Wire
from cpods.steward import draining
from cpods.steward.draining import Asking, Emptying, batches, shared_out


def digest(number: int) -> str:
    return f"xxh3:{number:032x}"


class Pods:
    """Pods by name: what each holds and owns, and all that was asked, in order."""

    def __init__(self, held: Mapping[str, Mapping[int, int]]) -> None:
        self.held = {pod: {digest(number): size for number, size in artefacts.items()} for pod, artefacts in held.items()}
        self.owned: dict[str, dict[str, dict[str, Owned]]] = {pod: {} for pod in held}
        self.room = dict.fromkeys(held, 1000)
        self.busy = 0
        self.asked: list[tuple[str, Wire]] = []
        self.fail_on: type[Wire] | None = None
        self.notes: list[Handover] = []
        self.said: list[str] = []

    def status(self, pod: str) -> q.PodStatus:
        return q.PodStatus(pod, 0, "ready", 2, 2 - self.busy, ("127.0.0.1", 1), disk_free_bytes=self.room[pod])

    def own(self, pod: str, project: str, path: str, number: int, now: int | None = None) -> None:
        row = Owned(path, 1, digest(number), digest(number if now is None else now))
        self.owned[pod].setdefault(project, {})[path] = row

    async def ask(self, pod: str, question: Wire, kind: type[Wire], seconds: float) -> Wire:
        self.asked.append((pod, question))
        if self.fail_on is type(question):
            raise Unavailable(f"pod {pod} is not running or not connected")
        match question:
            case q.AskStatus():
                self.busy = max(0, self.busy - 1)
                return self.status(pod)
            case q.AskHeld(None, after):
                names = sorted(name for name in self.held[pod] if name > after)
                return q.Held({name: self.held[pod][name] for name in names[:2]}, names[1] if len(names) > 2 else "")
            case q.AskHeld(wanted, _):
                return q.Held({name: self.held[pod][name] for name in wanted or () if name in self.held[pod]})
            case q.Fetch(artefacts, holders, _, _):
                assert all(set(holders[one.digest]) <= set(self.held) for one in artefacts)
                self.held[pod].update((one.digest, one.size) for one in artefacts)
                return q.Fetched({"a": sum(one.size for one in artefacts)})
            case q.AskOwned():
                return q.OwnedPaths({project: tuple(rows.values()) for project, rows in self.owned[pod].items() if rows})
            case q.Own(project, paths):
                assert all(row.digest in self.held[pod] for row in paths)
                self.owned[pod].setdefault(project, {}).update((row.path, row) for row in paths)
            case q.Disown(project, epochs):
                for path in epochs:
                    del self.owned[pod][project][path]
        return q.Okay()

    async def tell(self, note: Wire) -> q.Okay:
        assert isinstance(note, Handover)
        self.notes.append(note)
        return q.Okay()

    def empty(self, pod: str = "a", *others: str) -> draining.Emptied:
        names = others or tuple(name for name in self.held if name != pod)
        emptying = Emptying(self.status(pod), [self.status(name) for name in names], Asking(self.ask, self.tell, self.said.append))
        return asyncio.run(emptying.run())


def test_only_copies_and_ownerships_go_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "LOOK_SECONDS", 0.0)
    pods = Pods({"a": {1: 10, 2: 20, 3: 30, 4: 1}, "b": {1: 10}, "c": {}})
    pods.room["c"] = 2000
    pods.busy = 2
    pods.own("a", "p", "one", 1)
    pods.own("a", "p", "two", 2)
    pods.own("a", "q", "three", 3)
    done = pods.empty()
    assert done == draining.Emptied(3, 51, 3, ())
    assert pods.held["c"] == {digest(2): 20, digest(3): 30, digest(4): 1} and pods.held["b"] == {digest(1): 10}
    assert pods.owned["b"] == {"p": {"one": Owned("one", 2, digest(1), digest(1))}}
    assert pods.owned["c"]["q"]["three"].epoch == 2 and not any(pods.owned["a"].values())
    assert {(note.project, note.pod, note.to) for note in pods.notes} == {("p", "a", "b"), ("p", "a", "c"), ("q", "a", "c")}
    assert isinstance(pods.asked[0][1], q.Drain) and "1 step still runs there" in pods.said
    assert pods.empty() == draining.Emptied(0, 0, 0, ())


@pytest.mark.parametrize("where", [q.Fetch, q.Own, q.Disown])
def test_after_a_failure_it_is_done_again(where: type[Wire]) -> None:
    pods = Pods({"a": {1: 10}, "b": {}})
    pods.own("a", "p", "one", 1)
    pods.fail_on = where
    with pytest.raises(Unavailable):
        pods.empty()
    assert "one" in pods.owned["a"]["p"], "as long as it is not sure that another one has it, it is its owner"
    pods.fail_on = None
    assert pods.empty().paths == 1
    assert pods.owned["b"]["p"]["one"].epoch == 2 and pods.owned["a"]["p"] == {}


def test_what_was_edited_there_stays_and_is_named() -> None:
    pods = Pods({"a": {1: 10, 2: 10}, "b": {}})
    pods.own("a", "p", "edited", 1, now=9)
    pods.own("a", "p", "good", 2)
    assert pods.empty() == draining.Emptied(2, 20, 1, ("edited",))
    assert list(pods.owned["a"]["p"]) == ["edited"]


def test_without_anybody_to_take_it_nothing_is_done() -> None:
    pods = Pods({"a": {1: 10}})
    with pytest.raises(UsageError, match="no other pod runs"):
        pods.empty()
    pods = Pods({"a": {1: 5000}, "b": {}})
    with pytest.raises(UsageError, match="no other pod has room"):
        pods.empty()
    pods = Pods({"a": {}})
    assert pods.empty() == draining.Emptied(0, 0, 0, ())


@given(st.dictionaries(st.integers(0, 99), st.integers(0, 100), max_size=30), st.lists(st.integers(1000, 5000), min_size=1, max_size=4))
def test_all_is_shared_out_once_and_fits(sizes: dict[int, int], rooms: list[int]) -> None:
    artefacts = {digest(number): size for number, size in sizes.items()}
    room = {f"p{number}": space + sum(sizes.values()) for number, space in enumerate(rooms)}
    shares = shared_out(artefacts, room)
    assert sorted((one.digest, one.size) for share in shares.values() for one in share) == sorted(artefacts.items())
    assert all(sum(one.size for one in share) <= room[pod] for pod, share in shares.items())
    for share in shares.values():
        parts = batches(share)
        assert [one for part in parts for one in part] == share and all(len(part) <= draining.FETCH_MAX for part in parts)
