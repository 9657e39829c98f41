"""The command line that `cpods watch` gives its builds says what it was told itself."""

import pytest

from cpods.cli.flags import Flags
from cpods.cli.glance import key_of, parse
from cpods.cli.plainflags import plain
from cpods.cli.watch import words_of

FLAGS = {
    "nothing": Flags(folder="/p"),
    "goals": Flags(goals=("a.pdf", "b"), folder="/p", until_stable=True, jobs=3),
    "numbers": Flags(folder="/p", max_passes=5, keep_going=0, once=True, verbose=True),
    "switches": Flags(folder="/p", fail_fast=True, keep_unstable=True, json_lines=True, leave_remote=True, force=True, no_wait=True),
    "texts": Flags(folder="/p", seed="clean", report="/r.json", federation="f", placement="locality"),
}


@pytest.mark.parametrize("name", FLAGS)
def test_flags_as_words_are_the_same_flags(name: str) -> None:
    word, *rest = words_of(FLAGS[name], "/p")
    assert word == "rebuild"
    assert plain(rest) == FLAGS[name]
    said = parse(rest)
    assert said is None or key_of(said) == key_of(FLAGS[name]._asdict())
