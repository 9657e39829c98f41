"""Which calls the short way of a null rebuild may answer, and that they are the ones that the long way noted."""

import pytest

from cpods.cli.flags import Flags
from cpods.cli.glance import key_of, parse


@pytest.mark.parametrize(
    "arguments",
    [["-j2"], ["-j", "2"], ["--jobs", "2"], ["--jobs=2"], ["-j2", "--report", "r.json"], ["-Cfolder"], ["-C", "folder"]],
)
def test_flags_that_do_not_change_what_is_up_to_date(arguments: list[str]) -> None:
    said = parse(arguments)
    assert said is not None
    assert key_of(said) == key_of(Flags()._asdict())


def test_a_value_may_stand_right_behind_a_short_flag() -> None:
    assert parse(["-j2", "-Csome/folder", "paper.pdf"]) == parse(["-j", "2", "-C", "some/folder", "paper.pdf"])


@pytest.mark.parametrize("arguments", [["--force"], ["-n"], ["-k0"], ["--json"], ["--seed", "somewhere"], ["--once", "--until-stable"]])
def test_flags_that_need_the_long_way(arguments: list[str]) -> None:
    assert parse(arguments) is None
