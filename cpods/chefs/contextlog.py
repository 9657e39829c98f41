"""The log of a ConTeXt run: errors as file, line, message and source line; warnings about what it did not find; pages.

Knows no workspace: paths are mapped through a function that it is given.

ConTeXt ends at the first error, prints ``tex error > tex error on line 3 in file ./x.tex: ! Undefined control sequence`` and
then the lines around it, the culprit marked by ``>>``. What it misses else (modules, fonts, references) it only reports.
"""

import re
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from cpods.chefs.texlog import decode
from cpods.ids import FilePath
from cpods.model import Problem

_PROBLEMS_MAX = 50
_CONTEXT_LINES_MAX = 60

PathOf = Callable[[str], FilePath | None]
Reader = Callable[[FilePath], bytes | None]

_ERROR = re.compile(r"^\w+ error +> (?P<kind>tex|lua|mp) error on line (?P<line>\d+) in file (?P<file>.+?):(?: (?P<message>.*))?$")
_OTHER_ERROR = re.compile(r"^\w+ error +> (?P<message>(?:runaway|fuzzy) error:.*|error on line .*)$")
_MARKED = re.compile(r"^ *(?P<line>\d+) >>  (?P<source>.*)$")
_TOKEN = re.compile(r"(\\(?:[^\W\d_@]+|.))\s*$")
_LUA_PLACE = re.compile(r"^\[(?:ctxlua|\\directlua)\]:\d+: ")
_WRAPPER = re.compile(r"^(?:mtx-context|mtxrun|resolvers)\s+\| (?:\w+ \| )?(?P<message>(?:fatal )?error\b.*|no such .*)$")
_BUFFER = re.compile(r"^virtual://(?P<kind>\w+)\.(?P<name>.+)\.\d+$")
#: What mathematics says where a font is missing.
_WANTS_FONT = re.compile(r"\\(?:text|script|scriptscript)font\d+ is undefined|Math error: parameter ")
#: The wrapper then takes its own first file for needless, as it is with LMTX (seen with ConTeXt 2021.03.05).
_EMPTY_LINE = "ConTeXt's wrapper cannot start a document whose first line is empty; remove that line"
_RETURN_CODE = re.compile(r"fatal error: return code: \d+")
_PAGES = re.compile(r"^\w+ lua stats +> runtime: .*?(?P<pages>\d+) shipped pages", re.MULTILINE)
_WARNINGS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^references +> unknown reference '\[(?P<in>[^\]]*)\]\[(?P<name>[^\]]*)\]'"), "reference '{name}' is undefined"),
    (re.compile(r"^publications +> cite > non-existent entry '(?P<name>[^']+)'"), "citation '{name}' is undefined"),
    (
        re.compile(r"^modules +> '(?P<name>[^']+)' is not found"),
        "module '{name}' is not found: install it, or put it beside the document; new in a TeX tree, it needs `mtxrun --generate`",
    ),
    (
        re.compile(r"^system +> jobfiles > unknown tex file '(?P<name>[^']+)'"),
        "file '{name}' is not found in the project (folders above it are not seen)",
    ),
    (
        re.compile(r"^fonts +> typescripts > unknown library '(?P<name>[^']+)'"),
        "typescript '{name}' is not found: install its fonts' package",
    ),
    (
        re.compile(r"^fonts +> defining > unknown font '(?P<name>[^']+)'"),
        "font '{name}' is not found: install it, or put its file beside the document",
    ),
    (
        re.compile(r"^selectfont +> the requested font '(?P<name>[^']+)' has no files"),
        "font '{name}' is not found, Latin Modern is used instead: install it, or put its files beside the document",
    ),
    # The last of the kinds of figures that ConTeXt tries when none is named.
    (re.compile(r"^sandbox +> call > lfs\.attributes\(\"\./(?P<name>[^\"]+)\.swf\",\"mode\"\) => false"), "figure '{name}' is not found"),
    (re.compile(r"^\(\\end occurred inside a group at level (?P<name>\d+)\)"), "the document ended inside {name} open group(s)"),
    (
        re.compile(r"^(?:sh|\S*/sh): (?:\d+: )?(?P<name>[\w.+-]+): (?:command )?not found"),
        "{name}, which the document runs, is not installed",
    ),
)


def page_count(log: str) -> int | None:
    """Pages that the run shipped out, None if it says nothing."""
    said = [found["pages"] for found in _PAGES.finditer(log)]
    return int(said[-1]) if said else None


def read_problems(log: str, main: FilePath, path_of: PathOf, read: Reader, failed: bool) -> tuple[Problem, ...]:
    """The complaints in what a run printed or logged: errors first, no duplicates, at most 50.

    ``path_of`` maps a file name in the log to a project path (None: outside what counts); ``read`` gives a file's bytes.
    """
    lines = log.split("\n")
    errors = [_placed(problem, main, read) for problem in dict.fromkeys(_errors(lines, main, path_of))] if failed else []
    if failed and not errors:
        errors = [Problem(_EMPTY_LINE, main, 1) if "! End of file on the terminal... why?" in lines else Problem(_last_words(lines), main)]
    warnings = list(dict.fromkeys(_warnings(lines, main)))
    fonts = [warning.message for warning in warnings if warning.message.startswith(("font ", "typescript "))]
    if fonts:
        errors = [
            replace(error, message=f"{error.message} ({fonts[0]})") if _WANTS_FONT.match(error.message) else error for error in errors
        ]
    return tuple([*errors, *warnings][:_PROBLEMS_MAX])


def _errors(lines: list[str], main: FilePath, path_of: PathOf) -> Iterator[Problem]:
    for position, line in enumerate(lines):
        if found := _ERROR.match(line):
            yield _error(found, lines[position + 1 : position + _CONTEXT_LINES_MAX], path_of)
        elif found := _OTHER_ERROR.match(line):
            yield Problem(found["message"].strip(), main)


def _error(found: re.Match[str], after: list[str], path_of: PathOf) -> Problem:
    message = (found["message"] or "").removeprefix("!").strip()
    if found["kind"] == "tex":
        message = _with_token(message, after)
    else:
        message = _LUA_PLACE.sub("", next((_plain(line) for line in after if _says(found["kind"], line)), message or "error"))
    marked = next(filter(None, map(_MARKED.match, after)), None)
    line, source = (int(marked["line"]), marked["source"].rstrip()) if marked else (int(found["line"]) or None, None)
    prefix = {"tex": "", "lua": "Lua: ", "mp": "MetaPost: "}[found["kind"]]
    return Problem(prefix + message, file=_file(found["file"], path_of), line=line, source=source)


def _file(name: str, path_of: PathOf) -> str:
    return name if "://" in name else path_of(name) or name


def _placed(problem: Problem, main: FilePath, read: Reader) -> Problem:
    """An error in a buffer, which is no file: its line is one of the main file if only one there has that text."""
    buffer = _BUFFER.match(problem.file or "")
    if buffer is None:
        return problem
    text = [line.strip() for line in decode(read(main) or b"").split("\n")]
    wanted = (problem.source or "").strip()
    line = text.index(wanted) + 1 if wanted and text.count(wanted) == 1 else None
    return replace(problem, message=f"{problem.message} (in {buffer['kind']} {buffer['name']})", file=main, line=line)


def _says(kind: str, line: str) -> bool:
    """Whether a line behind the head of an error of Lua or MetaPost is its message."""
    return line.startswith("!") if kind == "mp" else bool(line.strip())


def _plain(line: str) -> str:
    return line.removeprefix("!").strip()


def _with_token(message: str, after: list[str]) -> str:
    """TeX's message, with the name of an undefined control sequence."""
    if not message.startswith("Undefined control sequence"):
        return message.rstrip(".")
    for line in after:
        if line.startswith(("l.", "<")) and (found := _TOKEN.search(line)):
            return f"Undefined control sequence {found[1]}"
        if _MARKED.match(line):
            break
    return message.rstrip(".")


def _warnings(lines: list[str], main: FilePath) -> Iterator[Problem]:
    for line in lines:
        for pattern, text in _WARNINGS:
            if found := pattern.match(line):
                yield Problem(text.format(**found.groupdict()), main, severity="warning")
                break


def _last_words(lines: list[str]) -> str:
    said = [found["message"] for line in lines if (found := _WRAPPER.match(line)) and not _RETURN_CODE.match(found["message"])]
    tail = said[-1:] or [line.strip() for line in lines if line.strip() and not _WRAPPER.match(line)][-1:]
    return "ConTeXt failed without an error in its log" + (f": {tail[0]}" if tail else "")
