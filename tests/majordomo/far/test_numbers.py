"""Files as placement counts them: a path's number becomes that of what is found there, equal bytes have one number."""

from collections.abc import Sequence

from cpods.majordomo.far.numbers import HERE, FileNumbers
from cpods.net.messages import Input
from cpods.scheduler.allotment import Allotment
from cpods.scheduler.decisions import Chronicle
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import LeastLoaded


class Estate:
    """Who holds what, by hand."""

    def __init__(self) -> None:
        self.held: dict[str, list[str]] = {}

    def holders(self, digest: str) -> Sequence[str]:
        return [pod for pod in self.held.get(digest, ()) if pod]

    def is_here(self, digest: str) -> bool:
        return HERE in self.held.get(digest, ())


class World:
    """Numbers, and the outlook that is told of them."""

    def __init__(self) -> None:
        self.estate = Estate()
        self.numbers = FileNumbers(self.estate, {"lib.a": 500}.get)
        self.told = Chronicle(Allotment(LeastLoaded(), Outlook()))
        for pod in (HERE, "east", "west"):
            self.told.pod_is(pod, 1, 0.0, 0.0)

    def holders(self, number: int) -> set[str]:
        """Of a file, when all is told."""
        self.numbers.tell(self.told, self.told.look.number)
        return {self.told.look.pods[pod] for pod in self.told.look.where[number]}


def test_a_path_has_a_number_before_its_bytes_are_known_and_keeps_it() -> None:
    world = World()
    number = world.numbers.planned("lib.a")
    assert world.holders(number) == set() and world.told.look.size == [500]
    world.estate.held["d1"] = ["west", HERE]
    assert world.numbers.known("lib.a", "d1", 700) == number == world.numbers.planned("lib.a")
    assert world.holders(number) == {"west", HERE} and world.told.look.size == [700]


def test_other_bytes_at_the_path_are_another_file_and_equal_bytes_elsewhere_the_same() -> None:
    world = World()
    first = world.numbers.known("a", "d1", 1)
    second = world.numbers.known("a", "d2", 2)
    assert first != second == world.numbers.planned("a")
    assert world.numbers.known("b", "d1", 1) == first == world.numbers.planned("b")
    assert world.numbers.known("a", "d1", 1) == first == world.numbers.planned("a"), "edited, and edited back"
    world.holders(first)
    assert world.told.look.size == [1, 2]


def test_what_was_just_made_is_where_it_was_made_and_nobody_is_asked() -> None:
    world = World()
    world.estate.held["d1"] = ["west"]
    assert world.holders(world.numbers.known("a", "d1", 1, is_new=True)) == set()


def test_what_is_forgotten_is_asked_for_anew_under_another_number() -> None:
    world = World()
    world.estate.held["d1"] = ["west"]
    number = world.numbers.known("a", "d1", 1)
    world.estate.held["d1"] = ["east"]
    assert world.numbers.forget("d1") == number
    assert world.numbers.forget("never met") is None
    again = world.numbers.known("a", "d1", 1)
    assert again != number and world.holders(again) == {"east"}
    assert world.numbers.held_by("east") == [number, again]


def test_a_tree_is_a_number_for_each_group_of_holders_and_empty_files_are_none() -> None:
    world = World()
    world.estate.held = {"d1": ["west"], "d2": ["west"], "d3": [HERE], "d4": [HERE]}
    rows = {f"f{size}": Input(f"f{size}", f"d{place}", size) for place, size in enumerate((10, 20, 40, 0), 1)}
    numbers = world.numbers.tree("tree", rows)
    assert [world.holders(number) for number in numbers] == [{HERE}, {"west"}]
    assert [world.told.look.size[number] for number in numbers] == [40, 30]
    assert world.numbers.tree("tree", rows) is numbers
    world.numbers.known("f10", "d1", 10)
    world.numbers.forget("d1")
    assert world.numbers.tree("tree", rows) != numbers
