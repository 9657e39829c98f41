"""Patterns in project files match as a user of a shell expects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.globs import expand, is_pattern, matcher

FILES = ("a.c", "b.h", "src/a.c", "src/b.cc", "src/deep/x.c", ".hidden.c", "src/.h.c", ".git/x.c", "a[1].txt", "a1.txt")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*.c", ("a.c",)),
        ("src/*.c", ("src/a.c",)),
        ("src/*", ("src/a.c", "src/b.cc")),
        ("**/*.c", ("a.c", "src/a.c", "src/deep/x.c")),
        ("src/**", ("src/a.c", "src/b.cc", "src/deep/x.c")),
        ("src/**/x.c", ("src/deep/x.c",)),
        ("?.[ch]", ("a.c", "b.h")),
        ("[!a].*", ("b.h",)),
        (".*.c", (".hidden.c",)),
        ("a[[]1].txt", ("a[1].txt",)),
        ("a[0-9].txt", ("a1.txt",)),
        ("none*", ()),
    ],
)
def test_expand(pattern: str, matches: tuple[str, ...]) -> None:
    assert expand(pattern, reversed(FILES)) == matches
    assert is_pattern(pattern)


@pytest.mark.parametrize("pattern", ["a[", "[]", "x[!", "[z-a]"])
def test_a_broken_pattern_is_told(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\["):
        matcher(pattern)


@given(st.text("ab.+($^|\\", min_size=1, max_size=8))
def test_a_name_without_special_characters_matches_itself_alone(name: str) -> None:
    assert not is_pattern(name)
    if name not in (".", ".."):
        assert expand(name, [name, name + "x", "x" + name]) == (name,)
