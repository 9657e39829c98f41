"""What the commands that only look share: a project opened without its lock, names resolved, errors told in a sentence.

Knows no command.
"""

import asyncio
import difflib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

from cpods.errors import CpodsError, UsageError

if TYPE_CHECKING:
    from cpods.declaration import Project
    from cpods.majordomo.context import Build, Request
    from cpods.wiring import Places


def told(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Runs a command to its exit code; an error becomes one sentence on stderr and its code."""
    try:
        code = asyncio.run(work())
        sys.stdout.flush()
        return code
    except CpodsError as error:
        say_error(str(error))
        return error.exit_code
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        say_error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return 1
    except KeyboardInterrupt:
        say_error("interrupted")
        return 130


def say_error(text: str) -> None:
    """One error, as every command shows it."""
    print(f"cpods: {text}", file=sys.stderr, flush=True)


def check_folder(folder: str) -> None:
    """Raises UsageError if ``-C`` names no folder."""
    if not os.path.isdir(folder):
        raise UsageError(f"-C {folder}: there is no such folder")


def load_project(folder: str, goals: tuple[str, ...]) -> "tuple[Project, tuple[str, ...]]":
    """The project and its goals; without a project file, names of a lone document's products and steps lead to it.

    Raises UsageError.
    """
    from cpods.loader import load
    from cpods.project import PROJECT_FILE

    check_folder(folder)
    if goals and not os.path.exists(os.path.join(folder, PROJECT_FILE)):
        documents = {_document(folder, goal) for goal in goals}
        if len(documents) == 1 and (only := documents.pop()) is not None:
            return load(folder, (only,))
    return load(folder, goals)


def _document(folder: str, name: str) -> str | None:
    """The document that a product (paper.pdf) or a step (latex:paper.tex, bibtex:paper) belongs to."""
    from cpods.project import DOCUMENT_ENDINGS

    job = name.partition(":")[2] or name
    stems = (job, os.path.splitext(job)[0])
    for candidate in (name, job, *(stem + ending for ending in DOCUMENT_ENDINGS for stem in stems)):
        if candidate.endswith(DOCUMENT_ENDINGS) and os.path.isfile(os.path.join(folder, candidate)):
            return candidate
    return None


@asynccontextmanager
async def looking(folder: str, goals: tuple[str, ...], request: "Request | None" = None, every: bool = False) -> "AsyncIterator[Build]":
    """A project as a build would see it, for reading only: no lock, and nothing is written, not even a state folder.

    ``every``: all that any step makes is a goal, not only the project's. Raises UsageError, StoreDamaged, OSError.
    """
    from cpods.majordomo.account import Account, Listener
    from cpods.majordomo.context import Build, Request
    from cpods.scheduler.core import Options
    from cpods.session import make_plan, producers
    from cpods.store.journal import Journal
    from cpods.wiring import opened, places

    project, wanted = load_project(folder, goals)
    with tempfile.TemporaryDirectory(prefix="cpods-") as scratch:
        where = _present_places(places(folder, project.store, os.environ), scratch)
        async with opened(where, project.store, os.environ) as site:
            await site.assume_far()
            planned = make_plan(site, project, () if every else wanted)
            with closing(Journal(scratch)) as journal:  # the real one belongs to who holds the lock
                parts = site.parts(project, producers(planned.steps), journal)
                yield Build(parts, planned, request or Request(Options()), Account(Listener()))


def _present_places(where: "Places", scratch: str) -> "Places":
    """The project's places; a scratch folder stands for those that are not there yet."""
    from cpods.wiring import Places

    state = where.state if os.path.isdir(where.state) else os.path.join(scratch, "state")
    store = where.store if os.path.isdir(where.store) else os.path.join(scratch, "store")
    return Places(where.root, state, store)


def check_goals(build: "Build", strict: bool = False) -> None:
    """Raises UsageError for a goal that is no file and that no step makes or, unless ``strict``, might make."""
    from cpods.majordomo.picture import makers

    fresh = not strict and any(not traffic.known for traffic in build.core.knowledge.traffic.values())
    build.core.knowledge.regraph(build.planned.goals)
    known = makers(build)
    for goal in build.planned.goals:
        if goal not in known and not build.core.plan.present(goal) and not fresh:
            raise unknown(goal, known_names(build))


def known_names(build: "Build") -> list[str]:
    """Everything that a user may name: steps, helpers, and what they make."""
    from cpods.majordomo.picture import helpers

    names = list(build.planned.steps)
    names += [helper.name for name in build.planned.steps for helper in helpers(build, name)]
    return [*names, *(path for step in build.planned.steps.values() for path in step.outputs), *build.parts.memory.written]


def unknown(name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that means nothing here, with the nearest one that does."""
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else "`cpods graph show` tells what there is"
    return UsageError(f"{name}: no step of this project and nothing that one makes; {hint}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``; one that contains it counts as like. None if nothing is near."""
    names = list(dict.fromkeys(known))
    lowered = {other.lower(): other for other in reversed(names)}
    close = difflib.get_close_matches(name.lower(), lowered, 1, 0.6)
    if close:
        return lowered[close[0]]
    return next((other for other in names if name and name.lower() in other.lower()), None)
