"""How a founder's steward is to run: where its broker listens, or which broker elsewhere it uses.

Knows no process.
"""

import os

import msgspec

from cpods.steward import papers

_FILE = "steward.json"


class Settings(msgspec.Struct, frozen=True):
    """``listen`` and ``port`` (0: any free one, then kept) of the own broker; ``names``: how else it is reached.

    ``broker``: the URL of a broker elsewhere, '' for an own one.
    """

    listen: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ()
    broker: str = ""

    @classmethod
    def load(cls, folder: str) -> "Settings":
        """Out of the founder's folder. Raises StoreDamaged, UsageError."""
        return papers.load(os.path.join(folder, _FILE), cls, cls())

    def save(self, folder: str) -> None:
        """Into the founder's folder. Raises OSError."""
        papers.save(os.path.join(folder, _FILE), self)
