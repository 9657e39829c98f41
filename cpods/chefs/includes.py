"""Where a C or C++ compiler looks for headers: which candidates it found absent, and what a failed run must have read.

Knows directives, not macros: a directive in a branch that was not taken counts as taken, which is safe.
"""

import posixpath
import re
from collections.abc import Collection, Iterable, Sequence

import msgspec

from cpods.chefs.depfile import project_path
from cpods.chefs.packages import is_covered
from cpods.ids import FilePath
from cpods.ports import View

#: The one standard folder that no package fills; compilers look there before /usr/include.
_LOCAL_HEADERS = "/usr/local/include"
_DIRECTIVE = re.compile(
    rb'^[ \t]*(?:#|%:)[ \t]*(?:include|include_next|import|embed)[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)'
    rb'|__has_(?:include|include_next|embed)[ \t]*\([ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)',
    re.MULTILINE,
)
#: The part of a package's header path that a directive names.
_SYSTEM_NAME = re.compile(
    r"/usr/(?:lib/(?:gcc|clang|llvm-[^/]+/lib/clang)/(?:[^/]+/){1,2}include(?:-fixed)?|(?:local/)?include)"
    r"/(?:[^/]+-linux-gnu[^/]*/)?(?:c\+\+/[^/]+/(?:[^/]+-linux-gnu[^/]*/)?)?(.+)"
)
_FOLDER_OPTIONS = {"-iquote": "quote", "-I": "angle", "-isystem": "system", "-idirafter": "after"}
_FILES_MAX = 20_000


class Search(msgspec.Struct, frozen=True):
    """The folders that an include directive is looked up in, in order, as project paths; ``forced``: ``-include`` files."""

    quote: tuple[FilePath, ...]
    angle: tuple[FilePath, ...]
    forced: tuple[FilePath, ...] = ()

    def candidates(self, includer: FilePath, name: str, quoted: bool) -> list[FilePath]:
        """All places, in order, where ``name`` is looked for when ``includer`` asks for it."""
        if name.startswith("/"):
            return [posixpath.normpath(name)]
        folders = (posixpath.dirname(includer) or ".", *self.quote, *self.angle) if quoted else self.angle
        return list(dict.fromkeys(posixpath.normpath(posixpath.join(folder, name)) for folder in folders))


def search_of(argv: Sequence[str], cwd: FilePath, root: str) -> Search:
    """The search order that a compiler's options ask for. ``cwd``: the folder it runs in, as a project path."""
    folders: dict[str, list[FilePath]] = {kind: [] for kind in _FOLDER_OPTIONS.values()}
    forced: list[FilePath] = []
    words = iter(argv)
    for word in words:
        if word in ("-include", "-imacros"):
            forced.append(project_path(next(words, ""), cwd, root))
            continue
        option = next((option for option in _FOLDER_OPTIONS if word.startswith(option)), None)
        if option:
            folder = word.removeprefix(option) or next(words, "")
            folders[_FOLDER_OPTIONS[option]].append(project_path(folder, cwd, root))
    angle = (*folders["angle"], *folders["system"], _LOCAL_HEADERS, *folders["after"])
    return Search(tuple(folders["quote"]), angle, tuple(forced))


def missed(search: Search, reads: Collection[FilePath], system: Iterable[str], view: View) -> set[FilePath]:
    """Candidates that were looked for in vain in a run that read ``reads`` (from its depfile), headers of packages ``system``.

    For a header found in folder k of the search order: the same name in folders 1..k-1; likewise for ``__has_include``.
    """
    absent: set[FilePath] = set()
    known = set(reads)
    for includer in reads:
        for name, quoted in directives(view.read(includer) or b""):
            absent |= _until_found(search.candidates(includer, name, quoted), known, view)
    for path in system:  # what headers of packages include is not scanned: their names tell
        named = _SYSTEM_NAME.fullmatch(path)
        if named:
            candidates = search.candidates(path, named.group(1), False)
            absent |= _until_found((place for place in candidates if not place.startswith(_LOCAL_HEADERS)), known, view)
    return absent


def reachable(search: Search, source: FilePath, view: View) -> tuple[set[FilePath], set[FilePath]]:
    """(reads, absent) of a run that left no depfile: every file that directives lead to, and every candidate before it."""
    reads: set[FilePath] = set()
    absent: set[FilePath] = set()
    waiting = [source, *search.forced]
    while waiting and len(reads) < _FILES_MAX:
        includer = waiting.pop()
        if includer in reads or is_covered(includer):
            continue
        if not view.before(includer):
            absent.add(includer)
            continue
        reads.add(includer)
        for name, quoted in directives(view.read(includer) or b""):
            candidates = search.candidates(includer, name, quoted)
            absent |= _until_found(candidates, (), view)
            waiting += [candidate for candidate in candidates if view.before(candidate)][:1]
    return reads, absent


def directives(data: bytes) -> list[tuple[str, bool]]:
    """(name, whether in quotes) of every include directive and ``__has_include`` of a file."""
    found = []
    for match in _DIRECTIVE.finditer(data):
        quoted = match.group(1) or match.group(3)
        name = quoted or match.group(2) or match.group(4)
        found.append((name.decode("utf-8", "surrogateescape"), bool(quoted)))
    return found


def _until_found(candidates: Iterable[FilePath], known: Collection[FilePath], view: View) -> set[FilePath]:
    """The candidates that were not there, up to the first that was."""
    absent: set[FilePath] = set()
    for candidate in candidates:
        if candidate in known or view.before(candidate):
            break
        absent.add(candidate)
    return absent
