"""Names of things: plain strings with a meaning, and the rules for project paths.

Knows no file system: a path here is text.
"""

import posixpath
from functools import lru_cache
from typing import NewType

StepName = NewType("StepName", str)
PodName = NewType("PodName", str)
StaticKey = NewType("StaticKey", str)

#: A file of the project: POSIX, relative to the project folder, normalised. A file outside of it is its absolute path.
FilePath = str

#: Names that start with this are no files but recorded facts: ``@date``, ``@glob:src/*.c``.
FACT_PREFIX = "@"
DATE_FACT = "@date"
GLOB_FACT = "@glob:"

#: cpods' own folder in a project.
STATE_FOLDER = ".cpods"

#: In a step's environment this stands for the folder that its tools may keep caches in; who runs the step puts it there.
TOOL_CACHE = "{tool-cache}"

#: In a step's environment this stands for the search path with which its engine finds its format unpacked, if there is one. (Left as it
#: is, it is a path that leads to the usual places.)
UNPACKED_FORMATS = "{unpacked-formats}:"

#: In a step's environment this stands for the value that TEXINPUTS has there.
TEX_INPUTS = "{TEXINPUTS}"


def is_fact(path: FilePath) -> bool:
    """Whether a recorded read names a fact (a date, a glob's listing) instead of a file."""
    return path.startswith(FACT_PREFIX)


def spoken(path: FilePath) -> str:
    """A path, or a fact, as users read it."""
    if path == DATE_FACT:
        return "the date"
    return f"the files that match {path[len(GLOB_FACT) :]}" if path.startswith(GLOB_FACT) else path


def is_outside(path: FilePath) -> bool:
    """Whether a path lies outside the project folder (absolute, or climbing out of it)."""
    return path.startswith("/") or path == ".." or path.startswith("../")


@lru_cache(maxsize=4096)  # one declaration's paths are asked for many times in a row
def normalise(path: str, cwd: str = ".") -> FilePath:
    """The project path of ``path`` as named in folder ``cwd``; outside paths stay absolute or start with ``../``."""
    if path.startswith("/"):
        return "/" + posixpath.normpath(path).lstrip("/")
    return posixpath.normpath(path if cwd == "." else posixpath.join(cwd, path))


def within(path: str, root: str) -> FilePath:
    """A project path for an absolute ``path`` below the folder ``root``; any other absolute path unchanged."""
    clean = "/" + posixpath.normpath(path).lstrip("/")
    prefix = root.rstrip("/") + "/"
    return clean[len(prefix) :] if clean.startswith(prefix) else clean
