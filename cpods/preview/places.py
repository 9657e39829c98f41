"""Where a page of an old version is found in a new one, by the words on it and on its neighbours.

Knows no PDF: texts come by number. Pure.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

#: Pages looked at on either side. An insertion of more pages than this leaves the reader at the same page number.
REACH_PAGES = 12

#: A page that is this much like itself is taken to have stayed, without a look at others. 1: the same words.
STAYED = 0.8

#: How much more like it another page must be than the one of the same number.
_BETTER_BY = 0.15


def neighbourhood(page: int, count: int, reach: int = 1) -> Sequence[int]:
    """Numbers of pages around ``page`` that exist, itself among them."""
    return range(max(0, page - reach), min(count, page + reach + 1))


def likeness(old: Mapping[int, str], new: Mapping[int, str], page: int, place: int) -> float:
    """How much ``page`` of the old version is like ``place`` of the new one, from 0 to 1.

    The page itself counts as much as both neighbours together: blank pages and pictures have no words of their own.
    """
    parts = [(2.0, _shared(old.get(page, ""), new.get(place, "")))]
    for step in (-1, 1):
        if page + step in old and place + step in new:
            parts.append((1.0, _shared(old[page + step], new[place + step])))
    return sum(weight * share for weight, share in parts) / sum(weight for weight, _ in parts)


def find(old: Mapping[int, str], new: Mapping[int, str], page: int, count: int) -> int:
    """The new number of ``page``, among ``count`` pages of the new version whose texts are known."""
    same = min(page, count - 1)
    at_same = likeness(old, new, page, same) if same == page else 0.0
    best, best_place = at_same + _BETTER_BY, same
    for place in sorted(neighbourhood(page, count, REACH_PAGES), key=lambda place: (abs(place - page), place)):
        found = likeness(old, new, page, place)
        if found > best:
            best, best_place = found, place
    return best_place


def _shared(one: str, other: str) -> float:
    """The share of words that both have, counted; a page number is a word like any other, one of many."""
    ours, theirs = Counter(one.split()), Counter(other.split())
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 0.5
