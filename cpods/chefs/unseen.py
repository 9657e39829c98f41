"""Files that a document names: what an engine, or a program that it starts, may look for or read without telling.

Knows no engine and no log; texts are all that it reads.

LuaTeX records files that its Lua code opens, but not those that it misses; of a program started by shell escape it records
nothing. So every word in what the run read that looks like a file's name counts as looked for, and (behind a shell escape) as
read if such a file is there. A name that is only computed
is not seen; one that nobody looks for costs a run if some step makes it, never a result.
"""

import re
from collections.abc import Callable, Iterable

from cpods.ids import FilePath, is_outside, normalise

_BYTES_MAX = 1 << 20
_NAMES_MAX = 500
_TEXTS = (".tex", ".ltx", ".sty", ".cls", ".lua", ".def", ".cfg", ".texi", ".txi")
#: A word with an ending, or (behind a job's name: ``tex.jobname .. "-data.txt"``) the end of one in quotes.
_NAME = re.compile(r"(?<![\w./\\-])(?:\.{0,2}/)?[\w-][\w./-]*\.[A-Za-z]\w{0,5}(?![\w/])")
_END = re.compile(r"[\"'](?P<end>[\w-]*\.[A-Za-z]\w{0,5})[\"']")
_COMMENT = re.compile(r"%(?<!\\%)[^\n]*")


def named(texts: Iterable[FilePath], read: Callable[[FilePath], bytes | None], cwd: str, jobname: str) -> list[FilePath]:
    """Project paths that the text files among ``texts`` name, relative to ``cwd``; each once, at most 500."""
    found: dict[FilePath, None] = {}
    for path in texts:
        data = read(path) if path.endswith(_TEXTS) and not is_outside(path) else None
        if data is not None and len(data) <= _BYTES_MAX:
            found |= dict.fromkeys(normalise(name, cwd) for name in _names(data.decode("utf-8", "replace"), jobname))
    return [path for path in found if not is_outside(path)][:_NAMES_MAX]


def _names(text: str, jobname: str) -> list[str]:
    plain = _COMMENT.sub("", text)
    return [*(found[0] for found in _NAME.finditer(plain)), *(jobname + found["end"] for found in _END.finditer(plain))]
