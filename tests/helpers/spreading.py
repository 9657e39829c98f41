"""Which tests may run in different processes: those of a file stay together, since some share what they built; walks share nothing.

Knows no test; used by xdist's controlling process for ``--dist loadfile``.
"""

from xdist.scheduler import LoadFileScheduling

#: Files whose tests share nothing, and which take so long that one process would still be at them when the others have no work left.
APART = ("tests/walks/test_walks.py", "tests/walks/test_mutants.py")


class Spreading(LoadFileScheduling):
    """A file goes to one process as a whole, the tests of ``APART`` one by one and last: they fill the gaps."""

    def _split_scope(self, nodeid: str) -> str:
        """What goes to one process together: the name of the file, or of the test."""
        file = super()._split_scope(nodeid)
        return nodeid if file.endswith(APART) else file
