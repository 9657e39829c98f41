"""The decision log: all that placement was told and all that it decided, in order, so that it can be decided again.

Knows no strategy and no clock. A line is a JSON array: what happened, then its arguments; decisions are the lines ``decided``,
``stolen`` and ``sent``. The outlook is a function of the other lines, so a log without an answer gives the same answers.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec

from cpods.scheduler.allotment import Allotment, Decided, Note, Stolen
from cpods.scheduler.outlook import Outlook
from cpods.scheduler.placement import STRATEGIES, Factory

#: Lines are given away in portions of about so many bytes.
_PORTION = 1 << 16
_ANSWERS = frozenset({"decided", "stolen", "sent"})
#: Length of the first line.
_BEGUN = 7
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Any])


class Chronicle:
    """An allotment that writes down what it is told and what it decides. ``keep`` takes bytes of whole lines; None: nothing is
    written. The methods are the allotment's and the outlook's; ``size``: bytes written.
    """

    def __init__(self, allotment: Allotment, keep: Callable[[bytes], None] | None = None) -> None:
        self.allotment = allotment
        self.size = 0
        self._keep = keep
        self._lines = bytearray()
        if keep is not None:
            allotment.note = self._noted
        look, strategy = allotment.look, allotment.strategy
        self._write("begun", strategy.name, strategy.seed, look.egress, look.arrivals, allotment.ahead, allotment.steals)

    @property
    def look(self) -> Outlook:
        """What the decisions stand on."""
        return self.allotment.look

    @property
    def stolen(self) -> int:
        """Steps that another pod took."""
        return self.allotment.stolen

    # -- what is told of the world ---------------------------------------------------------------------------------

    def add_files(self, sizes: Sequence[int]) -> None:
        """See Outlook."""
        self._write("add_files", sizes)
        self.look.add_files(sizes)

    def resize(self, file: int, size: int) -> None:
        """See Outlook."""
        self._write("resize", file, size)
        self.look.resize(file, size)

    def add_steps(self, estimates: Sequence[float], inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]) -> None:
        """See Outlook."""
        self._write("add_steps", estimates, inputs, outputs)
        self.look.add_steps(estimates, inputs, outputs)

    def reads(self, step: int, inputs: Sequence[int]) -> None:
        """See Outlook."""
        self._write("reads", step, inputs)
        self.look.reads(step, inputs)

    def makes(self, step: int, outputs: Sequence[int]) -> None:
        """See Outlook."""
        self._write("makes", step, outputs)
        self.look.makes(step, outputs)

    def rank_steps(self, followers: Sequence[Sequence[int]]) -> None:
        """See Outlook."""
        self._write("rank_steps", followers)
        self.look.rank_steps(followers)

    def hold(self, pod: int, files: Sequence[int]) -> None:
        """See Outlook."""
        self._write("hold", pod, files)
        self.look.hold(pod, files)

    def drop(self, pod: int, files: Sequence[int]) -> None:
        """See Outlook."""
        self._write("drop", pod, files)
        self.look.drop(pod, files)

    def expect(self, steps: Sequence[int], seconds: float) -> None:
        """See Outlook."""
        self._write("expect", steps, seconds)
        self.look.expect(steps, seconds)

    def undone(self, step: int) -> None:
        """See Outlook."""
        self._write("undone", step)
        self.look.undone(step)

    def name_steps(self, first: int, names: Sequence[str]) -> None:
        """How the steps from number ``first`` on are called: for readers of the log, decisions know no names."""
        self._write("name_steps", first, names)

    # -- what is told to the allotment -----------------------------------------------------------------------------

    def pod_is(self, name: str, slots: int, bandwidth: float, now: float, busy: int = 0) -> int:
        """See Allotment."""
        self._write("pod_is", name, slots, bandwidth, now, busy)
        return self.allotment.pod_is(name, slots, bandwidth, now, busy)

    def pod_gone(self, pod: int, now: float) -> list[int]:
        """See Allotment."""
        self._write("pod_gone", pod, now)
        return self.allotment.pod_gone(pod, now)

    def ready(self, steps: Sequence[int], now: float, allowed: Collection[int] | None = None) -> None:
        """See Allotment."""
        if self._keep is not None:
            self._write("ready", steps, now, None if allowed is None else sorted(allowed))
        self.allotment.ready(steps, now, allowed)

    def finished(self, step: int, now: float) -> None:
        """See Allotment."""
        if self._keep is not None:
            self._write("finished", step, now)
        self.allotment.finished(step, now)

    def came_back(self, step: int, now: float) -> None:
        """See Allotment."""
        self._write("came_back", step, now)
        self.allotment.came_back(step, now)

    def assigned(self, step: int, pod: int, now: float) -> None:
        """See Allotment."""
        self._write("assigned", step, pod, now)
        self.allotment.assigned(step, pod, now)

    def reconsider(self, now: float) -> None:
        """See Allotment."""
        self._write("reconsider", now)
        self.allotment.reconsider(now)

    def set_ahead(self, ahead: int | None) -> None:
        """See Allotment."""
        self._write("set_ahead", ahead)
        self.allotment.set_ahead(ahead)

    def hand_out(self, now: float) -> list[tuple[int, int]]:
        """See Allotment."""
        if self._keep is not None:
            self._write("hand_out", now)
        return self.allotment.hand_out(now)

    # -- lines -----------------------------------------------------------------------------------------------------

    def _write(self, *line: Any) -> None:
        if self._keep is not None:
            self._lines += _encoder.encode(line) + b"\n"
            if len(self._lines) >= _PORTION:
                self.close()

    def _noted(self, note: Note) -> None:
        self._lines += _encoder.encode(note) + b"\n"

    def close(self) -> None:
        """Gives away what is written so far."""
        if self._keep is not None and self._lines:
            self.size += len(self._lines)
            self._keep(bytes(self._lines))
            self._lines.clear()


def replay(log: bytes, factories: dict[str, Factory] | None = None) -> bytes:
    """Decides everything in a log again from nothing but what was told: the result equals the log byte for byte, or the strategy has
    changed. ``factories``: of strategies that are not in STRATEGIES.

    Raises ValueError for what is no log, or damaged, or of an unknown strategy.
    """
    lines = _told_lines(log)
    known = {**STRATEGIES, **(factories or {})}
    first = lines[0][1] if lines else []
    if len(first) != _BEGUN or first[0] != "begun" or first[1] not in list(known):
        raise ValueError("this is no decision log of a strategy that is known here")
    _, name, seed, egress, arrivals, ahead, steals = first
    written: list[bytes] = []
    allotment = Allotment(known[name](seed), Outlook(egress, arrivals), ahead=ahead, steals=steals)
    chronicle = Chronicle(allotment, written.append)
    told: dict[str, Callable[..., Any]] = {kind: getattr(chronicle, kind) for kind in _TOLD}
    for number, (kind, *arguments) in lines[1:]:
        if kind not in told:
            raise ValueError(f"line {number}: a decision log has no line {kind!r}")
        try:
            told[kind](*arguments)
        except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"line {number}: {kind!r} does not fit to the lines before it; the log is damaged") from error
    chronicle.close()
    return b"".join(written)


def _told_lines(log: bytes) -> list[tuple[int, list[Any]]]:
    """All lines but the answers, with their numbers."""
    lines = []
    for number, data in enumerate(log.splitlines(), 1):
        try:
            line = _decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise ValueError(f"line {number}: a decision log has a JSON array in each line; the log is damaged") from error
        if not line or not isinstance(line[0], str):
            raise ValueError(f"line {number}: a decision log says first in each line what happened; the log is damaged")
        if line[0] not in _ANSWERS:
            lines.append((number, line))
    return lines


_TOLD = (
    "add_files",
    "resize",
    "add_steps",
    "reads",
    "makes",
    "expect",
    "rank_steps",
    "hold",
    "drop",
    "undone",
    "name_steps",
    "pod_is",
    "pod_gone",
    "ready",
    "finished",
    "came_back",
    "assigned",
    "reconsider",
    "set_ahead",
    "hand_out",
)


def decisions(log: bytes) -> Iterable[Decided | Stolen]:
    """What was decided in a log, in order. Raises msgspec.MsgspecError for what is none."""
    for line in log.splitlines():
        if line.startswith(b'["decided"'):
            yield msgspec.json.decode(line, type=Decided)
        elif line.startswith(b'["stolen"'):
            yield msgspec.json.decode(line, type=Stolen)
