"""The journal of plain steps: what each may spoil in the project folder, noted before it runs.

Knows no chef and no graph; ends no process itself.
"""

import errno
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from cpods.digest import ABSENT
from cpods.ids import FilePath
from cpods.ports import Workspace

_TRUNCATE_BYTES = 1 << 20
_encode = msgspec.json.Encoder().encode


class Unfinished(NamedTuple):
    """A plain step that began and did not end. ``outputs``: path -> digest before, or ABSENT. ``pid`` 0: never started."""

    step: str
    outputs: Mapping[FilePath, str]
    pid: int
    start_ticks: int


class Journal:
    """Append-only JSON lines in the state folder, one write each; written and read only under the project's lock.

    Not synced: after a power cut no process is left to end, and what is in the page cache is what the outputs are too.
    """

    def __init__(self, state_folder: str) -> None:
        self.path = os.path.join(state_folder, "journal.jsonl")
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._open: set[str] = {entry.step for entry in self.unfinished()}
        self._mend = b""
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":  # the last writer was cut off in its line
            os.write(self._descriptor, b"\n")

    def begin(self, step: str, outputs: Mapping[FilePath, str], pid: int = 0, start_ticks: int = 0) -> None:
        """A step is about to run; ``outputs``: path -> digest that stands there now, or ABSENT."""
        self._open.add(step)
        self._write({"begin": step, "outputs": dict(outputs), "pid": pid, "start": start_ticks})

    def started(self, step: str, pid: int, start_ticks: int) -> None:
        """The step's process is there: its id and its start time in clock ticks."""
        self._write({"started": step, "pid": pid, "start": start_ticks})

    def end(self, *steps: str) -> None:
        """The steps' outputs are accepted, removed or restored."""
        self._open.difference_update(steps)
        if not self._open and os.fstat(self._descriptor).st_size > _TRUNCATE_BYTES:
            self.clear()
        else:
            self._write(*({"end": step} for step in steps))

    def unfinished(self) -> Sequence[Unfinished]:
        """Steps that began and did not end, in order. A torn last line is skipped: its step was never started."""
        found: dict[str, Unfinished] = {}
        with open(self.path, "rb") as file:
            for line in file:
                with suppress(ValueError, KeyError, TypeError):
                    _apply(found, json.loads(line))
        return list(found.values())

    def clear(self) -> None:
        """Forgets everything."""
        self._open.clear()
        os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Releases the file. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def recover(self, workspace: Workspace, end_group: Callable[[int, int], object]) -> Sequence[str]:
        """After a kill: ends what still runs, then removes or restores the outputs. Returns the steps' names.

        ``end_group(pid, start_ticks)`` ends a process group only if both match. Raises OSError; call it again then.
        """
        left = self.unfinished()
        for entry in left:
            if entry.pid:
                end_group(entry.pid, entry.start_ticks)
        for entry in left:
            restore(workspace, entry.outputs)
        self.clear()
        return [entry.step for entry in left]

    def _write(self, *records: Mapping[str, object]) -> None:
        data = self._mend + b"".join(map(_line, records))
        done = os.write(self._descriptor, data)
        self._mend = b"" if done == len(data) else b"\n"
        if done != len(data):
            raise OSError(errno.ENOSPC, "no space left for the journal", self.path)


def _line(record: Mapping[str, object]) -> bytes:
    try:
        return _encode(record) + b"\n"
    except UnicodeEncodeError:  # a name that is no UTF-8
        return json.dumps(record).encode() + b"\n"


def restore(workspace: Workspace, outputs: Mapping[FilePath, str]) -> None:
    """Puts back what stood at a failed step's outputs; what the store has not kept is removed. Raises OSError."""
    for path, digest in outputs.items():
        if digest == ABSENT:
            workspace.remove(path)
            continue
        try:
            workspace.install(path, digest)
        except KeyError:
            workspace.remove(path)
        except OSError:  # no room for both, perhaps
            workspace.remove(path)
            workspace.install(path, digest)


def recover(state_folder: str, workspace: Workspace, end_group: Callable[[int, int], object]) -> Sequence[str]:
    """As :meth:`Journal.recover`, for a state folder in which no journal is open."""
    journal = Journal(state_folder)
    try:
        return journal.recover(workspace, end_group)
    finally:
        journal.close()


def _apply(found: dict[str, Unfinished], record: Mapping[str, object]) -> None:
    """Folds one line into the unfinished steps. Raises KeyError, TypeError for a line that is none of ours."""
    if "begin" in record:
        step, outputs = str(record["begin"]), record["outputs"]
        if isinstance(outputs, dict):
            found[step] = Unfinished(step, outputs, int(str(record["pid"])), int(str(record["start"])))
    elif "started" in record:
        step = str(record["started"])
        found[step] = found[step]._replace(pid=int(str(record["pid"])), start_ticks=int(str(record["start"])))
    elif "end" in record:
        found.pop(str(record["end"]), None)
