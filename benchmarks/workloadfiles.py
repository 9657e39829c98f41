"""Workloads in files: our own JSON, with a word on how it was made, and other formats that are read.

Knows no workload and not where files come from.
"""

from pathlib import Path

import msgspec

from benchmarks.wfformat import from_wfformat
from benchmarks.workload import Workload, check


class Stored(msgspec.Struct, frozen=True):
    """What such a file holds. ``made``: what the workload is and how it came about, for people."""

    made: str
    workload: Workload


def save(workload: Workload, path: str | Path, made: str) -> None:
    """Writes a workload. Raises OSError if it cannot."""
    Path(path).write_bytes(msgspec.json.encode(Stored(made, workload)) + b"\n")


def load(path: str | Path) -> Workload:
    """A workload as :func:`save` wrote it, or as WfCommons' instances hold it (see wfformat.py).

    Raises ValueError with one sentence if it is neither or does not fit together, OSError if it cannot be read.
    """
    content = Path(path).read_bytes()
    try:
        keys = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        if "workload" not in keys:
            return from_wfformat(path)
        return check(msgspec.json.decode(content, type=Stored).workload)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: neither a workload of ours nor WfFormat: {error}.") from None
