"""Notes of ownerships that passed from pod to pod without their MajorDomo, kept until it has taken note.

Knows no bus and no catalogue.
"""

import msgspec

from cpods.net.stewardship import Handover, Handovers
from cpods.net.wire import MESSAGE_BYTES_MAX
from cpods.steward import papers

#: Bytes of notes in one answer; the rest comes when these have been taken.
ANSWER_BYTES_MAX = MESSAGE_BYTES_MAX * 3 // 4


class HandoverBook:
    """Notes by project, in a file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._notes = papers.load(path, dict[str, list[Handover]], {})

    def __len__(self) -> int:
        return sum(map(len, self._notes.values()))

    def add(self, note: Handover) -> None:
        """Keeps a note for good. Raises OSError. A note that is the last one again is kept once."""
        notes = self._notes.setdefault(note.project, [])
        if notes[-1:] != [note]:
            notes.append(note)
            papers.save(self._path, self._notes)

    def of(self, project: str) -> Handovers:
        """The first notes of a project, as many as fit into an answer."""
        room, taken = ANSWER_BYTES_MAX, 0
        notes = self._notes.get(project, [])
        for note in notes:
            room -= len(msgspec.json.encode(note)) + 1
            if room < 0 and taken:
                break
            taken += 1
        return Handovers(tuple(notes[:taken]), taken)

    def took(self, project: str, count: int) -> None:
        """The project's MajorDomo has the first ``count`` notes."""
        left = self._notes.get(project, [])[max(0, count) :]
        if left:
            self._notes[project] = left
        else:
            self._notes.pop(project, None)
        papers.save(self._path, self._notes)
