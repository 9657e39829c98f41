"""Addresses are built only from harmless tokens, and wildcards reach what they reach in NATS."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.net import subjects


def test_addresses() -> None:
    assert subjects.step("F", "pod-1") == "cpods.F.pod.pod-1.step"
    assert subjects.cancel("F", "pod-1") == "cpods.F.pod.pod-1.cancel"
    assert subjects.result("F", "md", "pod-1", "17") == "cpods.F.res.md.pod-1.17"
    assert subjects.status("F", "pod-1") == "cpods.F.status.pod-1"
    assert subjects.event("F", "md") == "cpods.F.event.md"


def test_one_majordomo_sees_its_own_results_only() -> None:
    pattern = subjects.results("F", "md")
    assert subjects.matches(pattern, subjects.result("F", "md", "a", "1"))
    assert not subjects.matches(pattern, subjects.result("F", "md2", "a", "1"))
    assert not subjects.matches(pattern, subjects.result("G", "md", "a", "1"))


@pytest.mark.parametrize("name", ["", "a.b", "*", ">", "a b", "a\n", "é", "x" * 65, "a\0", "$JS"])
def test_names_that_would_reach_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a subject"):
        subjects.step("F", name)
    with pytest.raises(ValueError):
        subjects.result("F", "md", "a", name)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.b.c", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("*", "a", True),
        ("a.>", "a", False),
        ("a.>", "a.b", True),
        ("a.>", "a.b.c", True),
        (">", "a", True),
        ("*.>", "a", False),
        ("a", "A", False),
    ],
)
def test_matches(pattern: str, subject: str, expected: bool) -> None:
    assert subjects.matches(pattern, subject) is expected


PARTS = st.lists(st.sampled_from(["a", "b", "cc"]), min_size=1, max_size=5)


@given(PARTS, st.lists(st.sampled_from(["a", "b", "cc", "*"]), max_size=5), st.booleans())
def test_matches_as_a_regular_expression_would(parts: list[str], wanted: list[str], rest: bool) -> None:
    pattern = ".".join([*wanted, *([">"] if rest or not wanted else [])])
    expression = re.escape(pattern).replace(r"\*", r"[^.]+").replace(">", ".+")
    subject = ".".join(parts)
    assert subjects.is_pattern(pattern) and subjects.is_subject(subject)
    assert subjects.matches(pattern, subject) == bool(re.fullmatch(expression, subject))


def test_length_is_limited() -> None:
    assert subjects.is_subject("a" * 255)
    assert not subjects.is_subject("a" * 256)
