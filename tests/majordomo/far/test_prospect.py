"""Which steps may run because others do, and what they read and make as far as anybody knows."""

from cpods.ids import GLOB_FACT
from cpods.majordomo.far.prospect import Prospect
from cpods.majordomo.planning import Planned
from cpods.model import Remembered, Step
from tests.helpers.farside import shell

STEPS = [
    shell("a", ["src"], ["a.o"]),
    shell("there", ["a.o"], ["there.txt"], optional=("back.txt",)),
    shell("back", ["there.txt"], ["back.txt"]),
    shell("found", ["src"], ["found.o"]),
    shell("apart", ["src"], ["apart.o"]),
]
#: What only a run could tell: "found" reads a file that "a" happened to write.
REMEMBERED = {
    "a": Remembered(frozenset(["src"]), frozenset(["a.o", "a.log"])),
    "found": Remembered(frozenset(["src", "a.log", GLOB_FACT + "*.h", "/usr/include/stdio.h"]), frozenset(["found.o"])),
}


def prospect(remembered: dict[str, Remembered] | None = None) -> Prospect:
    """Over these steps."""
    return Prospect(Planned({step.name: step for step in STEPS}, (), remembered or {}, {}, (), {}))


def test_what_is_named_and_what_was_seen_counts() -> None:
    known = prospect(REMEMBERED)
    steps: dict[str, Step] = {step.name: step for step in STEPS}
    assert known.reads(steps["found"]) == ["src", "a.log"]
    assert known.writes(steps["a"]) == ["a.o", "a.log"]
    assert known.has_run(steps["a"]) and not known.has_run(steps["back"])
    assert prospect().reads(steps["there"]) == ["a.o", "back.txt"]


def test_followers_are_in_project_order_and_circles_are_no_trouble() -> None:
    assert prospect(REMEMBERED).followers == {"a": ["there", "found"], "there": ["back"], "back": ["there"], "found": [], "apart": []}
    assert prospect().followers["a"] == ["there"]


def test_behind_a_step_is_all_that_may_run_because_it_does() -> None:
    known = prospect(REMEMBERED)
    assert known.behind(["a"], ()) == ["a", "there", "back", "found"]
    assert known.behind(["back", "apart"], ()) == ["there", "back", "apart"]
    assert known.behind(["a"], {"there", "back"}) == ["a", "found"]
    assert known.behind(["a", "a helper that no file declares"], {"a"}) == []


def test_before_the_plan_there_is_nothing() -> None:
    assert Prospect().behind(["a"], ()) == [] == Prospect().reads(shell("x"))
