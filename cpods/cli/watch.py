"""``cpods watch``: keeps goals built, and shows how that goes, until it is interrupted.

Knows no watch and no build: parses, joins, prints.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from cpods.cli.flags import Flags
from cpods.cli.jsonlines import say_json
from cpods.ids import GLOB_FACT, FilePath, spoken
from cpods.resident.attendant import Outcome

if TYPE_CHECKING:
    from cpods.preview.server import Preview
    from cpods.resident.server import Resident

_NAMES_MAX = 3
_INTERRUPTED = 130
#: Thresholds of the garbage collector: of a short call they may be higher, a watch goes on for days.
_COLLECTION = (10_000, 10, 10)


def run(flags: Flags, preview: bool, port: int) -> int:
    """Watches; the exit code: 0, or 130 if a build was under way when it was interrupted."""
    from cpods.cli.rebuild import wrong_in
    from cpods.errors import CpodsError

    wrong = wrong_in(flags) or ("--dry-run: nothing would come of it under `cpods watch`; leave it out" if flags.dry_run else "")
    if wrong:
        return _failed(wrong, 2)
    try:
        return asyncio.run(_watch(flags, preview, port))
    except CpodsError as error:
        return _failed(str(error), error.exit_code)
    except BrokenPipeError:  # nobody reads any more what is said
        return 0
    except OSError as error:
        return _failed(f"{error.filename or flags.folder}: {error.strerror}; cpods watch needs a folder that it can write to", 1)


async def _watch(flags: Flags, preview: bool, port: int) -> int:
    from cpods.cli.residents import CallMeans
    from cpods.cli.watchbuilds import Builds
    from cpods.errors import Locked
    from cpods.ids import STATE_FOLDER
    from cpods.resident.attendant import Attendant, git_rewrites
    from cpods.resident.server import Resident
    from cpods.store.lock import make_state_folder

    root = os.path.abspath(flags.folder)
    state = os.path.abspath(os.environ.get("CPODS_STATE") or os.path.join(root, STATE_FOLDER))
    make_state_folder(state)
    gc.set_threshold(*_COLLECTION)
    resident = Resident(root, state, CallMeans())
    view = Screen(flags.json_lines)
    with suppress(Locked):
        resident.open()  # `cpods rebuild` in another shell asks us then
    resident.crew.start()
    builds = Builds(resident.crew, flags, words_of(flags, root), root, state)
    attendant = Attendant(root, resident.grounds, builds, view, git_rewrites(root))
    resident.on_change.append(attendant.stirred)
    if preview:
        view.preview = await _preview(root, flags, port, view)
    try:
        return await _until_interrupted(attendant.run(), resident, view)
    finally:
        builds.close()
        await resident.close()
        if view.preview is not None:
            await view.preview.close()


async def _until_interrupted(work: Coroutine[object, object, None], resident: "Resident", view: "Screen") -> int:
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return _INTERRUPTED if view.was_building else 0
    return 0


async def _preview(root: str, flags: Flags, port: int, view: "Screen") -> "Preview":
    """Serves the goals that can be shown. Raises UsageError."""
    from cpods.loader import load
    from cpods.preview.server import Preview
    from cpods.projectrules import claimed

    project, goals = load(root, flags.goals)
    made = goals or [path for declaration in project.declarations for path in claimed(declaration)]
    shown = [path for path in made if path.lower().endswith((".pdf", ".html", ".htm"))]
    preview = Preview(root, shown, port)
    url = await preview.start()
    view.tell(f"preview: {url}", event="preview", url=url)
    return preview


def words_of(flags: Flags, root: str) -> list[str]:
    """The flags as a command line."""
    words = ["rebuild", "-C", root]
    for name in ("until_stable", "once", "fail_fast", "force", "no_wait", "keep_unstable", "leave_remote", "verbose"):
        words += [f"--{name.replace('_', '-')}"] * getattr(flags, name)
    for name in ("seed", "max_passes", "report", "federation", "placement"):
        value = getattr(flags, name)
        words += [f"--{name.replace('_', '-')}={value}"] if value else []
    words += [f"-j{flags.jobs}"] if flags.jobs else []
    words += [f"-k{flags.keep_going}"] if flags.keep_going != 1 else []
    words += ["--json"] * flags.json_lines
    return [*words, *flags.goals]


class Screen:
    """What the user sees between builds: lines on stderr, or JSON lines. See :class:`cpods.resident.attendant.View`."""

    def __init__(self, json_lines: bool) -> None:
        self._json = json_lines
        self._polling = ""
        self._rested = False
        self.preview: Preview | None = None
        self.was_building = False

    def building(self, changed: Sequence[FilePath]) -> None:
        """A build begins."""
        self.was_building = True
        if changed:
            names = ", ".join(map(spoken, changed[:_NAMES_MAX])) + (
                f" and {len(changed) - _NAMES_MAX} more" if len(changed) > _NAMES_MAX else ""
            )
            self.tell(f"changed: {names}", event="changed", **_paths_and_patterns(changed))
        if self.preview is not None:
            self.preview.building()

    def ended(self, outcome: Outcome) -> None:
        """It has ended; the build itself has said how."""
        self.was_building = outcome.status == "interrupted"
        if self.preview is None:
            return
        if outcome.status in ("done", "unstable"):
            self.preview.built(outcome.problems)
        elif outcome.status != "interrupted":
            self.preview.broken(outcome.problems)

    def resting(self, watches: int, why_polling: str) -> None:
        """Nothing to do."""
        if why_polling and why_polling != self._polling:
            self.note(f"{why_polling}: looking at every file again and again instead")
        self._polling = why_polling
        text = f"watching {watches} folders; Ctrl-C ends it" if not self._rested else "watching"
        self._rested = True
        self.tell(text, event="watching", folders=watches, polling=why_polling)

    def note(self, text: str) -> None:
        """One sentence."""
        self.tell(f"cpods: {text}", event="note", text=text)

    def tell(self, line: str, **fields: object) -> None:
        """A line."""
        if self._json:
            say_json(fields)
        else:
            print(line, file=sys.stderr, flush=True)


def _paths_and_patterns(changed: Sequence[FilePath]) -> dict[str, list[str]]:
    patterns = [path.removeprefix(GLOB_FACT) for path in changed if path.startswith(GLOB_FACT)]
    return {"paths": [path for path in changed if not path.startswith(GLOB_FACT)]} | ({"patterns": patterns} if patterns else {})


def _failed(text: str, code: int) -> int:
    print(f"cpods: {text}", file=sys.stderr)
    return code
