"""The log of a TeX engine: errors as file, line, message and source line; warnings about what stays undefined; pages.

Knows no workspace: paths are mapped and files read through functions that it is given.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from cpods.ids import FilePath
from cpods.model import Problem

_PROBLEMS_MAX = 50
_CONTEXT_LINES_MAX = 40
_RUNAWAY_LENGTH_MAX = 60
_BEGINNING_LENGTH_MAX = 30

_FILE_LINE = re.compile(r"^(?P<file>[^\n:]*(?::(?!\d+: )[^\n:]*)*\.\w+):(?P<line>\d+): ?(?P<message>.*)$")
_BANG = re.compile(r"^! ?(?P<message>.*)$")
_LUA = re.compile(r"^\[\\\w+\]:\d+: (?P<message>.+)$")
_SOURCE = re.compile(r"^(?:l|<\*>)\.?(?P<line>\d+)? (?P<text>.*)$")
_FATAL = re.compile(r"^\s*==> Fatal error occurred|^Emergency stop\b|^That makes 100 errors")
_NOT_FOUND = re.compile(
    r"File [`'](?P<name>[^']+)' not found|I can't find file [`'](?P<name2>[^']+)'|The font \"(?P<name3>[^\"]+)\" cannot be found"
)
_PDFTEX = re.compile(r"^(?:pdfTeX|LuaTeX|luatex|xdvipdfmx:fatal|dvipdfmx:fatal)[^:]*: ?(?P<message>.+)$")
_UNDEFINED = re.compile(
    r"^(?:LaTeX|Package natbib|Package biblatex|Class \S+) Warning: (?P<kind>Reference|Citation|Hyper reference) [`'](?P<label>[^']+)'"
    r"(?: on page \S+)? undefined(?: on input line (?P<line>\d+))?"
)
_SUMMARY = re.compile(r"^(?:LaTeX|Package \S+) Warning: (?P<message>There were (?:undefined|multiply-defined).*)$")
_CONTINUED = re.compile(r"^\((?P<name>[\w.-]+)\)\s+(?P<more>\S.*)$")
_COMMENT = re.compile(r"(?<!\\)(?:\\\\)*%.*")
_UNEXPLAINED = "the engine failed without an error in its log"
_ABORTED = re.compile(r"^\*\*\* \((?P<why>.+)\)$")
_EMBEDDED = re.compile(r"<([^<>{}\n]+\.(?:otf|ttf|ttc|otc|pfb|OTF|TTF|TTC))>")
_PAGES = re.compile(r"^Output written on .*? \((?P<pages>\d+) pages?[,)]", re.MULTILINE)

PathOf = Callable[[str], FilePath | None]
Reader = Callable[[FilePath], bytes | None]


def decode(data: bytes) -> str:
    """A log's text: UTF-8, else Latin-1 (a log may hold bytes of any input encoding)."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def page_count(log: str) -> int | None:
    """Pages of the PDF that the run wrote; 0 if it says that there are none; None if it says nothing."""
    if found := _PAGES.search(log.replace("\n ", " ")) or _PAGES.search(log):
        return int(found["pages"])
    return 0 if "No pages of output." in log else None


def is_cut_off(log: str) -> bool:
    """Whether a log does not say how the run ended: TeX, however it fails, says so last, unless something outside stops it.

    Seen: a full disk, a format that cannot be loaded.
    """
    return page_count(log) is None and "==> Fatal error occurred" not in log and "(driver return code)" not in log


def is_unexplained(problems: Iterable[Problem]) -> bool:
    """Whether no error is known but that the engine failed."""
    errors = [problem for problem in problems if problem.severity == "error"]
    return bool(errors) and all(problem.message.startswith(_UNEXPLAINED) for problem in errors)


def embedded_fonts(log: str) -> list[str]:
    """Files of the fonts that the engine says it put into the PDF, as it names them (LuaTeX: by their paths)."""
    return list(dict.fromkeys(_EMBEDDED.findall(log)))


class _Head(NamedTuple):
    """The line that an error begins with. ``file``: as TeX names it, None if the line does not say."""

    file: str | None
    line: int | None
    message: str


class _Log:
    """Walks the lines of a log."""

    def __init__(self, log: str, main: FilePath, path_of: PathOf, read: Reader) -> None:
        self.lines = log.split("\n")
        self._main, self._path_of, self._read = main, path_of, read
        self._files: dict[FilePath, list[str]] = {}

    def errors(self) -> Iterator[Problem]:
        """All errors in the order of the log, consequences of others among them."""
        for position, _ in enumerate(self.lines):
            head = self._head(position)
            if head is not None and head.message and not head.message.startswith("==>"):
                yield self._error(position, head)

    def _head(self, position: int) -> _Head | None:
        line = self.lines[position]
        if found := _BANG.match(line):
            return _Head(None, None, found["message"].strip())
        if found := _LUA.match(line):
            return _Head(None, None, f"Lua: {found['message'].strip()}")
        if (found := _FILE_LINE.match(line)) and self._is_file(found["file"]):
            # MetaPost puts its own mark behind the place.
            return _Head(found["file"], int(found["line"]), found["message"].removeprefix("! ").strip())
        return None

    def _is_file(self, name: str) -> bool:
        # Packages print lines of the same form about other things; TeX names files by a path, or as they were asked for.
        return name.startswith(("./", "../", "/")) or bool(self._text(self._file(name)))

    def _error(self, position: int, head: _Head) -> Problem:
        message = self._whole(position, head.message)
        number, token = self._context(position)
        file, line = head.file, head.line
        if file is None:
            after = self._next_head(position)
            file, line = (after.file, after.line) if number is None and after else (None, number)
        path = self._file(file) if file else self._main
        if found := _PDFTEX.match(message):
            message = found["message"]
        if message.startswith("Undefined control sequence") and token:
            message = f"Undefined control sequence {token}"
        if name := _NOT_FOUND.search(message):
            line = self._mention(path, name["name"] or name["name2"] or name["name3"], line) or line
        runaway = self._runaway(position)
        if line is None and runaway:
            line = self._beginning(path, position)
        return Problem(message + runaway, file=path, line=line, source=self._source(path, line))

    def _whole(self, position: int, message: str) -> str:
        """A message with its continuation lines, and with the reason for an emergency stop."""
        for line in self.lines[position + 1 : position + 6]:
            if found := _CONTINUED.match(line):
                message += " " + found["more"].strip()
            elif (found := _ABORTED.match(line)) and message.startswith("Emergency stop"):
                return f"Emergency stop: {found['why']}"
            elif not message.startswith("Emergency stop"):
                break
        return message

    def _next_head(self, position: int) -> _Head | None:
        for later in range(position + 1, min(position + _CONTEXT_LINES_MAX, len(self.lines))):
            head = self._head(later)
            if head is not None and head.file is not None:
                return head
        return None

    def _file(self, name: str) -> FilePath:
        return self._path_of(name) or name

    def _context(self, position: int) -> tuple[int | None, str]:
        """(line number of the ``l.NN`` line that follows, the last token before the break in it or in a macro)."""
        token = ""
        for line in self.lines[position + 1 : position + _CONTEXT_LINES_MAX]:
            if _BANG.match(line) or ((head := _FILE_LINE.match(line)) and self._is_file(head["file"])):
                break
            if not token and (found := re.search(r"(\\(?:[A-Za-z@]+|.))\s*$", line)):
                token = found[1]
            if found := _SOURCE.match(line):
                return (int(found["line"]) if found["line"] else None), token
        return None, token

    def _runaway(self, position: int) -> str:
        for back in (1, 2):
            if position >= back and self.lines[position - back].startswith("Runaway"):
                text = self.lines[position - 1].strip()[:_RUNAWAY_LENGTH_MAX] if back == 2 else ""
                return f" (runaway: {text})" if text else " (runaway)"
        return ""

    def _beginning(self, file: FilePath, position: int) -> int | None:
        """The line where a runaway argument starts, if its first words stand in one line only."""
        words = self.lines[position - 1].strip().lstrip("{").split("\\par", 1)[0].strip()[:_BEGINNING_LENGTH_MAX]
        found = [number for number, text in enumerate(self._text(file), 1) if words and words in text]
        return found[0] if len(found) == 1 else None

    def _text(self, file: FilePath) -> list[str]:
        if file not in self._files:
            data = self._read(file)
            self._files[file] = decode(data).split("\n") if data is not None else []
        return self._files[file]

    def _mention(self, file: FilePath | None, name: str, line: int | None) -> int | None:
        """The line that asks for a file: TeX reports where it stopped, which may be lines later."""
        stem = re.sub(r"\.\w+$", "", name)
        text = self._text(file) if file else []
        last = min(line or len(text), len(text))
        return next((number for number in range(last, 0, -1) if stem in _COMMENT.sub("", text[number - 1])), None)

    def _source(self, file: FilePath | None, line: int | None) -> str | None:
        text = self._text(file) if file and line else []
        return text[line - 1].rstrip() if line and 0 < line <= len(text) else None

    def warnings(self) -> Iterator[Problem]:
        """References and citations that stay undefined, and TeX's summary of them."""
        for line in self.lines:
            if found := _UNDEFINED.match(line):
                at = int(found["line"]) if found["line"] else None
                yield Problem(f"{found['kind']} '{found['label']}' is undefined", self._main, at, severity="warning")
            elif found := _SUMMARY.match(line):
                yield Problem(found["message"].rstrip("."), self._main, severity="warning")


def _is_consequence(problem: Problem) -> bool:
    return _FATAL.search(problem.message) is not None


def read_problems(log: str, main: FilePath, path_of: PathOf, read: Reader, failed: bool) -> tuple[Problem, ...]:
    """The complaints in a log: errors first, no duplicates, at most 50.

    ``path_of`` maps a file name in the log to a project path (None: outside what counts); ``read`` gives a file's bytes.
    """
    walk = _Log(log, main, path_of, read)
    errors = list(dict.fromkeys(walk.errors()))
    causes = [problem for problem in errors if not _is_consequence(problem)]
    if not causes:
        causes = errors
    if failed and not causes:
        causes = [Problem(_last_words(walk.lines), main)]
    return tuple([*causes, *dict.fromkeys(walk.warnings())][:_PROBLEMS_MAX])


def _last_words(lines: list[str]) -> str:
    tail = [line.strip() for line in lines if line.strip()][-2:]
    return _UNEXPLAINED + (": " + " / ".join(tail) if tail else "")
