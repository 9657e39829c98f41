"""What C and C++ compilers and linkers complain about: file, line, message and source line out of their output.

Knows GCC's, Clang's and GNU ld's wording in English; runs nothing.
"""

import re

from cpods.chefs.depfile import project_path
from cpods.ids import FilePath
from cpods.model import Problem
from cpods.ports import View

_PROBLEMS_MAX = 50
_COMPILER = re.compile(r"([^\s:][^:]*):(\d+):(?:(\d+):)? (fatal error|error|warning): (.+)")
_LINKER_WORDS = ("undefined reference to", "multiple definition of")
_LINKER = re.compile(
    r"(?:\S*\bld\S*: )?(?:[^:(]+\.o:)?(?:([^:(]+?)(?::(\d+))?:)?(?:\([^)]*\):)? ?"  # ld, object, source, line, section
    rf"((?:{'|'.join(_LINKER_WORDS)}) .+)"
)
_LINKER_PLAIN = re.compile(r"\S*\bld(?:\.\w+)?: ((?:cannot find|unrecognized option|error:) .+)")
_DRIVER = re.compile(r"(?!collect2)[\w./+-]+: (?:fatal )?error: (.+)")


def problems(output: bytes, cwd: FilePath, view: View) -> tuple[Problem, ...]:
    """The problems named in a compiler's output, each once, errors first, at most 50. File names become project paths."""
    found: dict[Problem, None] = {}
    for line in output.decode("utf-8", "replace").splitlines():
        problem = _problem(line, cwd, view)
        if problem:
            found[problem] = None
    ordered = sorted(found, key=lambda problem: problem.severity != "error")
    return tuple(ordered[:_PROBLEMS_MAX])


def _problem(line: str, cwd: FilePath, view: View) -> Problem | None:
    if match := _COMPILER.fullmatch(line):
        file, number, _, kind, message = match.groups()
        path = project_path(file, cwd, view.root)
        source = _source_line(view, path, int(number))
        return Problem(message, path, int(number), source, "warning" if kind == "warning" else "error")
    if any(words in line for words in _LINKER_WORDS) and (match := _LINKER.fullmatch(line)):
        return _linker_problem(match.group(1), match.group(2), match.group(3), cwd, view)
    if match := _LINKER_PLAIN.fullmatch(line) or _DRIVER.fullmatch(line):
        return Problem(match.group(1))
    return None


def _linker_problem(file: str | None, number: str | None, message: str, cwd: FilePath, view: View) -> Problem:
    path = project_path(file, cwd, view.root) if file else None
    if path is None or not number:
        return Problem(message, path)
    return Problem(message, path, int(number), _source_line(view, path, int(number)))


def _source_line(view: View, path: FilePath, number: int) -> str | None:
    """The text of a line (from 1), None if there is no such line."""
    lines = (view.read(path) or b"").splitlines()
    return lines[number - 1].decode("utf-8", "replace").strip() if 0 < number <= len(lines) else None
