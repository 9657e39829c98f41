"""A library of books: many copies of one recorded book, in one build.

Knows how the recorded book's steps are called, not where it was recorded.
"""

import random

from benchmarks.workload import Workload

#: Bytes of what all books of a library share: a class, three style files, a bibliography style, a logo.
_SHARED = (61_000, 18_000, 9_000, 34_000, 27_000, 240_000)


def library(book: Workload, copies: int, seed: int = 1) -> Workload:
    """So many copies of a recorded book, which share style files that every engine run reads; nothing else joins them.

    Each copy takes and weighs more or less than the recorded one (lognormal, sigma 0.4), each step a little besides (sigma 0.1).
    """
    draw = random.Random(seed)
    made = Workload(f"books:{copies}:{seed}", [], [], [], list(_SHARED), [], [])
    shared = list(range(len(_SHARED)))
    for copy in range(copies):
        length = draw.lognormvariate(0, 0.4)
        files, steps = len(made.size), len(made.runtime)
        made.size.extend(max(1, int(size * length)) for size in book.size)
        for step, name in enumerate(book.names):
            own = [files + file for file in book.inputs[step]]
            made.names.append(f"book {copy + 1}, {name}")
            made.runtime.append(book.runtime[step] * length * draw.lognormvariate(0, 0.1))
            made.inputs.append(shared + own if "latex:" in name else own)
            made.outputs.append([files + file for file in book.outputs[step]])
            made.followers.append([steps + follower for follower in book.followers[step]])
    return made
