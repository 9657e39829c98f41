"""The mirror of holdings beside a plain dictionary of sets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpods.scheduler.holdings import Holdings

PODS = [f"pod{number}" for number in range(9)]
ARTEFACTS = {f"d{number}": 10**number % 1_000_003 + number for number in range(12)}


def test_artefacts_get_ids_in_order_and_keep_them() -> None:
    mirror = Holdings()
    assert [mirror.add("x", 100), mirror.add("y", 20), mirror.add("x", 100)] == [0, 1, 0]
    assert mirror.add_many({"z": 3, "x": 100, "w": 0}).tolist() == [2, 0, 3]
    assert mirror.add_many({}).tolist() == []
    assert mirror.ids(["w", "unknown", "x"]) == [3, 0] and len(mirror) == 4
    assert [mirror.size(digest) for digest in "xyzw"] == [100, 20, 3, 0] and mirror.size("unknown") is None


def test_bytes_are_summed_by_pod() -> None:
    mirror = Holdings()
    mirror.hold_digests("a", {"x": 100, "y": 20})
    mirror.hold_digests("b", {"y": 20, "z": 3})
    mirror.hold("a", [0, 0, 1])
    assert mirror.bytes_by_pod([0, 1, 2]) == {"a": 120, "b": 23}
    assert mirror.bytes_by_pod([1, 1]) == {"a": 20, "b": 20}, "each once"
    assert mirror.bytes_by_pod_of(["z", "unknown"]) == {"b": 3}
    assert mirror.bytes_by_pod([]) == mirror.bytes_by_pod_of([]) == {}
    assert (mirror.holders("y"), mirror.holders("z"), mirror.holders("unknown")) == (["a", "b"], ["b"], [])


def test_large_files_are_counted_exactly() -> None:
    mirror = Holdings()
    sizes = {"x": (1 << 51) + 1, "y": (1 << 51) + 2}
    mirror.hold_digests("a", sizes)
    assert mirror.bytes_by_pod_of(sizes) == {"a": (1 << 52) + 3}


def test_a_lost_pod_holds_nothing_and_may_come_back() -> None:
    mirror = Holdings()
    for pod in PODS:
        mirror.hold_digests(pod, {"x": 1, "y": 2})
    for pod in ("pod1", "pod8", "stranger"):
        mirror.drop(pod)
        mirror.drop(pod)
    there = [pod for pod in PODS if pod not in ("pod1", "pod8")]
    assert mirror.bytes_by_pod([0, 1]) == dict.fromkeys(there, 3)
    mirror.hold("pod8", [0])
    assert mirror.holders("x") == [*there, "pod8"] and mirror.holders("y") == there


def test_a_pod_with_a_place_elsewhere_is_not_counted_twice_when_one_in_the_row_gets_free() -> None:
    mirror = Holdings()
    for pod in PODS:
        mirror.hold_digests(pod, {"x": 5})
    mirror.drop("pod0", [0])
    mirror.hold("pod8", [0])
    assert mirror.bytes_by_pod([0]) == dict.fromkeys(PODS[1:], 5)
    mirror.drop("pod8", [0])
    assert mirror.holders("x") == PODS[1:8]


@pytest.mark.parametrize("wrong", [[-1], [3], [0, 4000], [1 << 40]])
def test_an_id_that_was_never_given_is_an_error(wrong: list[int]) -> None:
    mirror = Holdings()
    mirror.hold_digests("a", {"x": 1, "y": 2, "z": 3})
    for ask in (mirror.bytes_by_pod, lambda ids: mirror.hold("a", ids), lambda ids: mirror.drop("a", ids)):
        with pytest.raises(IndexError, match="no artefact has the id"):
            ask(wrong)
    assert mirror.bytes_by_pod([0, 1, 2]) == {"a": 6}


def test_it_grows() -> None:
    mirror = Holdings()
    for start in range(0, 9000, 900):
        mirror.hold_digests(f"pod{start % 4}", {f"n{number}": number for number in range(start, start + 900)})
        mirror.add(f"single {start}", 1)
    assert len(mirror) == 9010
    assert sum(mirror.bytes_by_pod(range(9010)).values()) == sum(range(9000))
    assert mirror.size("n8999") == 8999


DIGESTS = st.lists(st.sampled_from(sorted(ARTEFACTS)), max_size=8)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["hold", "drop", "lose", "digests"]), st.sampled_from(PODS), DIGESTS),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(CHANGES, st.lists(st.sampled_from(sorted(ARTEFACTS)), max_size=20))
def test_it_says_what_plain_sets_say(changes: list[tuple[str, str, list[str]]], asked: list[str]) -> None:
    mirror, plain = Holdings(), {digest: set[str]() for digest in ARTEFACTS}
    mirror.add_many(ARTEFACTS)
    for what, pod, digests in changes:
        if what in ("hold", "digests"):
            for digest in digests:
                plain[digest].add(pod)
            if what == "hold":
                mirror.hold(pod, mirror.ids(digests))
            else:
                mirror.hold_digests(pod, {digest: ARTEFACTS[digest] for digest in digests})
        else:
            for digest in digests if what == "drop" else plain:
                plain[digest].discard(pod)
            mirror.drop(pod, mirror.ids(digests) if what == "drop" else None)
    assert {digest: mirror.holders(digest) for digest in ARTEFACTS} == {digest: sorted(pods) for digest, pods in plain.items()}
    expected = {pod: sum(ARTEFACTS[digest] for digest in set(asked) if pod in plain[digest]) for pod in PODS}
    assert mirror.bytes_by_pod_of(asked) == {pod: held for pod, held in expected.items() if held}
    assert {digest: mirror.size(digest) for digest in ARTEFACTS} == ARTEFACTS
