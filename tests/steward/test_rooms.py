"""The steward's rooms without a bus: statuses with ages, shared results, handovers."""

from pathlib import Path

import msgspec
import pytest

from cpods.model import Output, Read, Result, Solution, Version
from cpods.net.messages import Owned
from cpods.net.questions import AskResults, PodStatus
from cpods.net.questions import Results as Told
from cpods.net.stewardship import Handover, mirror_key
from cpods.steward import handovers, shared
from cpods.steward.handovers import HandoverBook
from cpods.steward.shared import SharedResults
from cpods.steward.statuses import LOST_SECONDS, Statuses
from cpods.store.manifests import ManifestStore


def status(pod: str, state: str = "ready") -> PodStatus:
    return PodStatus(pod, 0, state, 2, 2, ("127.0.0.1", 1))


def test_ages_are_by_the_own_clock_and_what_is_new_is_told_once() -> None:
    now = [100.0]
    statuses = Statuses(lambda: now[0])
    assert statuses.take(status("b")) == "appeared" and statuses.take(status("b")) == ""
    now[0] += 5
    assert statuses.take(status("a")) == "appeared"
    told = statuses.pods()
    assert [one.pod for one in told.statuses] == ["a", "b"] and told.ages == (0.0, 5.0)
    assert statuses.lost() == []
    now[0] += LOST_SECONDS
    assert statuses.lost() == ["b"] and statuses.lost() == []
    assert statuses.take(status("b")) == "returned"
    assert statuses.take(status("b", "stopped")) == "stopped" and statuses.take(status("b", "stopped")) == ""
    now[0] += 1000
    assert statuses.lost() == ["a"]
    assert statuses.take(status("b")) == "appeared"
    statuses.keep_only({"b"})
    assert [one.pod for one in statuses.pods().statuses] == ["b"]


KEY, OTHER = "xxh3:" + "1" * 32, "xxh3:" + "2" * 32


def result(key: str, number: int, size: int = 0) -> Result:
    return Result(key, "step", (Read("in", f"xxh3:{number:032}"),), (Output("o" * size, Version(KEY, 1)),))


def solution(key: str, number: int) -> Solution:
    return Solution(key, "clean", "FIXED", ("m",), (("m", (Read("in", f"xxh3:{number:032}"),)),), (), ())


def test_what_one_has_told_all_are_told_also_after_a_restart(tmp_path: Path) -> None:
    rooms = SharedResults(ManifestStore(str(tmp_path / "results")))
    rooms.keep(Told((result(KEY, 1), result(KEY, 2)), (solution(OTHER, 1),)))
    rooms.keep(Told((result(KEY, 2),), (solution(OTHER, 1),)))
    for again in (rooms, SharedResults(ManifestStore(str(tmp_path / "results")))):
        assert again.answer(AskResults((KEY, KEY), (OTHER,))) == Told((result(KEY, 1), result(KEY, 2)), (solution(OTHER, 1),))
        assert again.answer(AskResults((OTHER,), ())) == Told()


def test_of_too_many_the_newest_of_each_key_are_told(tmp_path: Path) -> None:
    rooms = SharedResults(ManifestStore(str(tmp_path / "results")))
    size = shared.ANSWER_BYTES_MAX // 4
    rooms.keep(Told(tuple(result(key, number, size) for key in (KEY, OTHER) for number in range(3))))
    answer = rooms.answer(AskResults((KEY, OTHER)))
    assert [(one.static_key, one.reads[0].digest[-1]) for one in answer.results] == [(KEY, "1"), (KEY, "2"), (OTHER, "2")]
    assert len(msgspec.json.encode(answer)) < shared.ANSWER_BYTES_MAX + 1000


def note(project: str, count: int = 1, to: str = "b") -> Handover:
    return Handover(project, "a", to, tuple(Owned(f"{number}.txt", 2, KEY, KEY) for number in range(count)))


def test_handovers_are_kept_until_they_are_taken(tmp_path: Path) -> None:
    path = str(tmp_path / "handovers.json")
    book = HandoverBook(path)
    for one in (note("p"), note("p"), note("p", to="c"), note("q")):
        book.add(one)
    assert len(book) == 3
    again = HandoverBook(path)
    assert again.of("p").notes == (note("p"), note("p", to="c")) and again.of("p").count == 2
    again.took("p", 1)
    assert again.of("p").notes == (note("p", to="c"),)
    again.took("p", 5)
    assert again.of("p").count == 0 and len(HandoverBook(path)) == 1 and again.of("nothing").notes == ()


def test_many_handovers_are_told_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = HandoverBook(str(tmp_path / "handovers.json"))
    length = len(msgspec.json.encode(note("p", 10)))
    monkeypatch.setattr(handovers, "ANSWER_BYTES_MAX", 2 * length + 10)
    for number in range(5):
        book.add(note("p", 10, to="bc"[number % 2]))
    taken = 0
    while (part := book.of("p")).count:
        assert part.count <= 2
        taken += part.count
        book.took("p", part.count)
    assert taken == 5


def test_mirror_keys_are_what_the_bucket_takes_and_differ() -> None:
    keys = {mirror_key("p", path) for path in ("a b", "é", "a.b", "x/y")} | {mirror_key("q", "a b")}
    assert len(keys) == 5 and all(key.isalnum() for key in keys)
