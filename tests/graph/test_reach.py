"""What a change reaches, against the plainest way to say it."""

from hypothesis import given
from hypothesis import strategies as st

from cpods.graph.reach import Entry, from_columns, reach_of

FILES = 8


@st.composite
def worlds(draw: st.DrawFn) -> list[Entry]:
    numbers = st.sets(st.integers(0, FILES - 1), max_size=3)
    count = draw(st.integers(1, 8))
    declarations = sorted(draw(st.lists(st.integers(0, 5), min_size=count, max_size=count)))
    return [Entry(f"s{place}", declarations[place], draw(numbers), draw(numbers)) for place in range(count)]


def plainly(entries: list[Entry], changed: set[int]) -> list[int]:
    files, steps = set(changed), set[int]()
    while True:
        more = {place for place, entry in enumerate(entries) if files.intersection({*entry.reads, *entry.makes})}
        more |= {place for place, entry in enumerate(entries) for other in more if entry.declaration == entries[other].declaration}
        grown = files.union(*(entries[place].makes for place in more))
        if more == steps and grown == files:
            return sorted(steps)
        steps, files = more, grown


@given(worlds(), st.sets(st.integers(0, FILES - 1), max_size=3))
def test_it_is_the_closure(entries: list[Entry], changed: set[int]) -> None:
    reach = reach_of(entries, FILES)
    wanted = plainly(entries, changed)
    assert reach.reached(changed, len(entries)) == wanted
    assert from_columns(reach.columns()).reached(changed, len(entries)) == wanted


@given(worlds(), st.sets(st.integers(0, FILES - 1), min_size=1, max_size=3))
def test_more_than_is_wanted_is_no_answer(entries: list[Entry], changed: set[int]) -> None:
    reach = reach_of(entries, FILES)
    wanted = plainly(entries, changed)
    for most in range(len(entries)):
        assert reach.reached(changed, most) == (wanted if len(wanted) <= most else None)


@given(worlds())
def test_entries_come_back(entries: list[Entry]) -> None:
    reach = from_columns(reach_of(entries, FILES).columns())
    for place, entry in enumerate(entries):
        assert (reach.names[place], reach.declaration(place)) == (entry.name, entry.declaration)
        assert (list(reach.reads(place)), list(reach.makes(place))) == (sorted(entry.reads), sorted(entry.makes))
    for file in range(FILES):
        touching = [place for place, entry in enumerate(entries) for files in (entry.reads, entry.makes) if file in files]
        assert sorted(reach.touching(file)) == sorted(touching)
