"""Commands that compile C or C++ and do not say which headers they read.

Knows no compiler's output: what is said here is said before anything runs.
"""

import posixpath
from collections.abc import Iterable

from cpods.chefs.shellwords import commands
from cpods.model import Step

_COMPILERS = frozenset(("cc", "c++", "gcc", "g++", "clang", "clang++", "c99", "c17", "icx", "icpx", "tcc"))
_HEADERS = (".h", ".hh", ".hpp", ".hxx", ".h++")


def unseen_headers(steps: Iterable[Step]) -> str:
    """One sentence on shell steps that compile (``-c``), have no ``depfile`` and declare no header; '' if there are none."""
    found = [step.name for step in steps if step.chef == "shell" and not step.depfile and _compiles(step)]
    if not found:
        return ""
    who, it = (
        (f"{found[0]} compiles", "it includes") if len(found) == 1 else (f"{found[0]} and {len(found) - 1} more compile", "they include")
    )
    return f'{who} C, and an edit of a header that {it} is not seen; use chef = "compiler", or declare depfile or the headers'


def _compiles(step: Step) -> bool:
    if not any(posixpath.basename(tool) in _COMPILERS for tool in step.tools):
        return False
    if any(path.endswith(_HEADERS) for path in (*step.inputs, *step.optional)):
        return False
    started = commands(step.argv[2]) if step.argv[:2] == ("sh", "-c") else [list(step.argv)]
    return any(_is_compile([word for word in command if word]) for command in started)


def _is_compile(words: list[str]) -> bool:
    at = next((place for place, word in enumerate(words) if posixpath.basename(word) in _COMPILERS), len(words))
    return "-c" in words[at:]
