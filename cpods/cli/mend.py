"""The short way of a rebuild that only has to bring deleted products back: says of it what the long way would say.

Knows no build: any doubt, and the long way decides.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # not signal, which makes enumerations
import gc
import os
import sys
import time
from _json import encode_basestring_ascii as quoted

from cpods.cli.styled import DIM, RED, styled
from cpods.store import mended
from cpods.store.columns import TYPE_CHECKING
from cpods.store.mending import Unmendable, bring_back
from cpods.store.missing import missing
from cpods.store.summary import lines_of, null_report, total_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from cpods.store.glance import Look
    from cpods.store.missing import Missing

_DAMAGES = (OSError, ValueError, KeyError, TypeError, EOFError)
_SIGNALS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP)
_INTERRUPTED = "interrupted; nothing that was finished before is lost"


def try_mend(found: Look, state: str, root: str, lock: int, report_file: str, jobs: int, started: float) -> int | None:
    """The exit code, if all that is wrong is that products are gone, and they stand again; None if the long way must look.

    ``lock``: descriptor of the project's lock, which is held; ``jobs``: steps at once, 0 for as many as there are cores;
    ``started``: when the call began, monotonic.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _mend(found, state, root, lock, report_file, jobs, started)
    finally:
        if enabled:
            gc.enable()


def _mend(found: Look, state: str, root: str, lock: int, report_file: str, jobs: int, started: float) -> int | None:
    try:
        lack = missing(found, state)
        if lack is None:
            return None
        lines = lines_of(found.load("summary"))
        first = _first(found, lack, jobs)
        if first is None:
            return None
        _sign(lock)
        restored = set(lack.steps)
        mended.note(state, _names(lack, lack.steps), [name for step, name in enumerate(lack.names) if step not in restored])
    except _DAMAGES:
        return None
    interrupts = _Interrupts()
    try:
        is_whole = bring_back(state, root, lack.store, lack.wanted, interrupts.heard)
    except Unmendable:
        mended.forget(state)
        interrupts.release()
        return None
    if not is_whole:
        mended.forget(state)
        return _interrupted(report_file, found, time.monotonic() - started)
    _progress(lack.names[first], len(lack.steps) - 1)
    report = null_report(found, root, time.monotonic() - started, len(lack.steps), bool(report_file))
    sys.stdout.write("\n".join([*lines, total_line(report)]) + "\n")
    sys.stdout.flush()
    return _written(report_file, report)


def _sign(lock: int) -> None:
    """Who waits for the lock is told of us, as lock.py has it. Raises OSError."""
    text = f'{{"pid": {os.getpid()}, "host": {quoted(os.uname().nodename)}, "start": "{time.strftime("%Y-%m-%d %H:%M:%S")}"}}\n'
    os.ftruncate(lock, 0)
    os.pwrite(lock, text.encode(), 0)


def _names(lack: Missing, steps: Iterable[int]) -> list[str]:
    return [lack.names[step] for step in steps]


def _first(found: Look, lack: Missing, jobs: int) -> int | None:
    """The step that the long way would come to first; None if that is not to be told."""
    if lack.is_first_ready:
        return lack.steps[0]
    if not all(found.columns.raw("plain")):
        return None
    from cpods.graph.reach import from_columns
    from cpods.majordomo.turns import first_of

    reach, wary = found.load("reach")
    return first_of(set(lack.steps), from_columns(reach), wary, found.changed, jobs or len(os.sched_getaffinity(0)))


class _Interrupts:
    """From now on an interrupt is only noted: no file is left half made, and what is done is told as done. ``heard``: which came."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self._before = [
            (number, _signal.signal(number, lambda number, frame: self.heard.append(number)))
            for number in _SIGNALS
            if number != _signal.SIGHUP or _signal.getsignal(number) != _signal.SIG_IGN  # nohup means that a closed terminal is no end
        ]

    def release(self) -> None:
        """Signals mean again what they meant before."""
        for number, handler in self._before:
            _signal.signal(number, handler)


def _interrupted(report_file: str, found: Look, seconds: float) -> int:
    from cpods.cli.interrupts import too_late
    from cpods.majordomo.report import bare_report

    too_late()
    _say_error(_INTERRUPTED)
    seed = str(found.load("summary")["report"]["seed"])
    _written(report_file, bare_report("interrupted", 130, seconds, [_INTERRUPTED], [], seed))
    return 130


def _written(report_file: str, report: dict[str, Any]) -> int:
    """The exit code, when the report is written if one is wanted."""
    if report_file:
        import json

        temporary = f"{report_file}.{os.getpid()}.tmp"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
            os.replace(temporary, report_file)
        except OSError as error:
            _say_error(f"{report_file}: the report cannot be written ({error.strerror})")
            return 1
    return 0


def _progress(first: str, more: int) -> None:
    lines = [f"{first}: from the store"]
    if more:
        lines.append(f"{more} more step{'s' * (more > 1)}: from the store")
    _say(lines, DIM)


def _say_error(text: str) -> None:
    _say([f"cpods: {text}"], RED)


def _say(lines: list[str], style: str) -> None:
    """Says it on stderr, as console.py and live.py do."""
    if sys.stderr.isatty():
        lines = [styled(line, style) for line in lines]
    try:
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:  # nobody reads progress; the outcome's reader may be another
        pass
