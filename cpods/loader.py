"""Picks the project of a call: the ``cpods.toml`` of a folder, or a bare document among the goals.

Knows no chef and no graph; the reading itself is :mod:`cpods.project`'s.
"""

import os
import stat
from collections.abc import Sequence

import msgspec

from cpods import project as reader
from cpods.declaration import Document, Project
from cpods.errors import ProjectFileError, UsageError
from cpods.ids import is_outside, normalise, within
from cpods.projectrules import claimed, document_product, title

_HEAD_BYTES = 1 << 16


def load(root: str, goals: Sequence[str], known: Project | None = None) -> tuple[Project, tuple[str, ...]]:
    """The project in folder ``root`` and the goals to build, as project paths or step names; no goals: everything.

    One goal that is a ``.tex`` file and not the main file of a declared step makes a project of its own (its store and
    environment are those of the ``cpods.toml``, if there is one). A declared main file stands for its PDF.
    ``known``: what the ``cpods.toml`` says, where that is known already.
    Raises UsageError or ProjectFileError, one sentence each.
    """
    found = known if known is not None else _read_project(root)
    wanted = tuple(_as_path(root, goal, found) for goal in goals)
    if len(wanted) == 1 and wanted[0].endswith(reader.DOCUMENT_ENDINGS) and (found is None or not _declares(found, wanted[0])):
        made = _bare_project(root, wanted[0], found)
        return made, made.settings.goals
    if found is None:
        raise UsageError(f"{_shown(root)} has no {reader.PROJECT_FILE}: write one, or give one document, as in `cpods rebuild paper.tex`")
    if not found.declarations:
        raise ProjectFileError(found.file, "no step is declared; expected at least one [[step]], or one document as goal")
    named = wanted or tuple(normalise(goal) for goal in found.settings.goals)
    return found, tuple(dict.fromkeys(_product(found, goal) for goal in named))


def _read_project(root: str) -> Project | None:
    if not os.path.isdir(root):
        raise UsageError(f"{_shown(root)} is no folder: -C expects the folder of a project")
    data = _read_file(os.path.join(root, reader.PROJECT_FILE), reader.PROJECT_FILE)
    return None if data is None else reader.parse(data)


def _read_file(path: str, name: str, limit: int = -1) -> bytes | None:
    """The file's first ``limit`` bytes (all without one), None if there is no such file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would block, a folder has no bytes
            kind = "a folder" if os.path.isdir(path) else "no regular file"
            raise ProjectFileError(name, f"this is {kind}; expected a file")
        with open(path, "rb") as file:
            return file.read(limit)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ProjectFileError(name, f"cannot be read ({error.strerror}); expected a file that you may read") from None
    except ValueError:
        raise UsageError(f"{name!r} holds a NUL byte and names no file") from None


def _bare_project(root: str, main: str, found: Project | None) -> Project:
    head = _read_file(os.path.join(root, main), main, _HEAD_BYTES)
    if head is None:
        raise UsageError(f"{main} is not there: give a document in {_shown(root)}, or declare a step that makes it")
    made = reader.bare(main, head)
    if found is None:
        return made
    settings = msgspec.structs.replace(made.settings, date=found.settings.date, env=found.settings.env, preamble=found.settings.preamble)
    declarations = reader.with_preambles(made.declarations, settings)
    return msgspec.structs.replace(made, settings=settings, store=found.store, declarations=declarations)


def _as_path(root: str, goal: str, found: Project | None) -> str:
    """A goal as a project path; the name of a step stays as it is."""
    if found is not None and any(goal == title(declaration) for declaration in found.declarations):
        return goal
    path = normalise(within(goal, os.path.abspath(root)) if goal.startswith("/") else goal)
    if not goal or is_outside(path) or path == ".":
        raise UsageError(f"goal {goal!r} is no file of the project: give a path below {_shown(root)} or the name of a step")
    return path


def _declares(found: Project, path: str) -> bool:
    return path in _mains(found) or any(path in claimed(declaration) for declaration in found.declarations)


def _product(found: Project, goal: str) -> str:
    return _mains(found).get(goal, goal)


def _mains(found: Project) -> dict[str, str]:
    """PDF by main file, which is relative to the project or to ``cwd``; of two steps with one main file the first counts."""
    pdfs: dict[str, str] = {}
    for declaration in found.declarations:
        if isinstance(declaration, Document):
            main = declaration.main if declaration.main.endswith(reader.DOCUMENT_ENDINGS) else declaration.main + ".tex"
            for path in (normalise(main), normalise(main, declaration.cwd), normalise(declaration.main)):
                pdfs.setdefault(path, document_product(declaration))
    return pdfs


def _shown(root: str) -> str:
    return "this folder" if root == "." else root
