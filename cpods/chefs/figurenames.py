"""Which figures a document's texts name: a hint what an engine is going to open.

Knows text only. Where a figure is named in no way that is seen here (``#1lo#2``), the hint costs a run, never a result.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from cpods.ids import FilePath

_TEXTS = (".tex", ".ltx", ".def", ".cfg", ".tikz", ".pgf", ".texi", ".txi", ".pdf_tex", ".bbl")
_PACKAGES = (".sty", ".cls", ".clo")
_TEXT_BYTES_MAX = 1 << 20
_ALL_BYTES_MAX = 8 << 20
_COMMENT = re.compile(rb"%(?<!\\%)[^\n]*")  # the sign first, so that the search can skip to it
#: What names no file, or one of the packages.
_OTHERWISE = re.compile(
    rb"\\(?:(begin|end|label|ref|eqref|pageref|cite|citep|citet|section|subsection|text..|emph)"
    rb"|usepackage|RequirePackage|documentclass|LoadClass|RequirePackageWithOptions|LoadClassWithOptions)"
    rb"\s*(?:\[[^\]]*\]\s*)?\{([^{}\\#]{0,2000})\}"
)
#: A whole part of a command's arguments, or of a path in it: ``{part}``, ``[key=part, ...]``, ``{folder/part}``.
_PART = re.compile(rb"[{\[,=\"/][ \t\r\n]*([^{}\[\],=\"/\\#\n]{1,200}?)[ \t\r\n]*(?=[}\],\"])")
_BARE_INPUT = re.compile(rb"\\(?:input|openin\d*=?|epsfbox|image)\s+([^\s{}\\]+)")
_DRAWS = rb"\\(?:includegraphics|includepdf|includestandalone|pgfimage|input|include)\b\*?\s*(?:\[[^\]]*\]\s*)?\{"
#: The literal head of a name that goes on with a macro, an argument or a number: ``{figures/page-\\number``, ``{12}{frame-}{0}{9}``.
_HEAD = re.compile(_DRAWS + rb"([^{}\\#]*)[\\#]")
_OPEN_END = re.compile(rb"[-_](?=[}#])")
_OPEN = re.compile(rb"[^{}\[\],=\"/\\#\s]+\Z")
_NAME_BYTES_MAX = 200
#: The literal end of one that begins so: ``{#1-plot}``, ``{\\jobname-plot.pdf}``.
_TAIL = re.compile(_DRAWS + rb"[^{}]{0,200}?(?:\\[A-Za-z@]{1,40}\s*|#\d)([^{}\\#/]{1,200})\}")


class Names(NamedTuple):
    """What a text names: files and packages by names without folder and ending, and heads and tails of names that it computes."""

    files: frozenset[bytes]
    packages: frozenset[bytes]
    heads: tuple[bytes, ...]
    tails: tuple[bytes, ...]


def names(text: bytes) -> Names:
    """Everything in a text that may be a file's name.

    >>> found = names(rb"\\usepackage{own}\\input{a/b.c}\\pic[x=d]{e f}\\includegraphics{g/h\\i} j \\includegraphics{#1k}")
    >>> sorted(found.files), sorted(found.packages), found.heads, found.tails
    ([b'b', b'b.c', b'd', b'e f'], [b'own'], (b'h',), (b'k',))
    """
    plain = _COMMENT.sub(b"", text)
    packages = {name.strip() for aside, group in _OTHERWISE.findall(plain) if not aside for name in group.split(b",")}
    plain = _OTHERWISE.sub(b"", plain)
    files = {*_PART.findall(plain), *(name.rpartition(b"/")[2] for name in _BARE_INPUT.findall(plain))}
    heads = {head.rpartition(b"/")[2].strip() for head in (*_HEAD.findall(plain), *_open(plain))} - {b""}
    tails = {_without_ending(tail.strip()) for tail in _TAIL.findall(plain)} - {b""}
    return Names(_with_stems(files), _with_stems(packages), tuple(sorted(heads)), tuple(sorted(tails)))


def unnamed(
    figures: Iterable[FilePath], main: FilePath, listing: Iterable[FilePath], names_of: Callable[[FilePath], Names]
) -> set[FilePath]:
    """Those of the figures that neither the main file names nor any text that it names, directly or through others.

    ``names_of``: what a text of the listing names. It is asked for each text once.
    """
    left = {path: _stem(path) for path in figures}
    texts = {path: _stem(path) for path in listing if path.endswith((*_TEXTS, *_PACKAGES)) and path != main} if left else {}
    todo = [main]
    while todo and left:
        known = names_of(todo.pop())
        left = {path: stem for path, stem in left.items() if not _is_named(stem, known)}
        found = [path for path, stem in texts.items() if _is_named(stem, known) or (stem in known.packages and path.endswith(_PACKAGES))]
        for path in found:
            del texts[path]
        todo += found
    return set(left)


class Reader:
    """Names of texts by content, within limits: beyond them a text names nothing."""

    def __init__(self) -> None:
        self._known: dict[str, Names] = {}
        self._bytes = 0

    def names(self, digest: str, read: Callable[[], bytes | None]) -> Names:
        """What the text of that digest names. ``read``: its bytes."""
        known = self._known.get(digest)
        if known is None:
            data = b"" if self._bytes > _ALL_BYTES_MAX else (read() or b"")[:_TEXT_BYTES_MAX]
            self._bytes += len(data)
            known = self._known[digest] = names(data)
        return known


def _with_stems(found: Iterable[bytes]) -> frozenset[bytes]:
    whole = set(found)
    return frozenset(whole | {_without_ending(name) for name in whole})


def _without_ending(name: bytes) -> bytes:
    return name.rpartition(b".")[0] if b"." in name else name


def _open(text: bytes) -> Iterator[bytes]:
    """Words that end as a name does which a number is to follow."""
    for end in _OPEN_END.finditer(text):
        if word := _OPEN.search(text[max(0, end.end() - _NAME_BYTES_MAX) : end.end()]):
            yield word[0]


def _stem(path: FilePath) -> bytes:
    return path.rpartition("/")[2].rpartition(".")[0].encode("utf-8", "surrogateescape")


def _is_named(stem: bytes, known: Names) -> bool:
    return stem in known.files or stem.startswith(known.heads) or stem.endswith(known.tails)
