"""What a ConTeXt run opened and looked for, out of its log: the calls that its sandbox reports with ``--sandbox=calls``.

Knows no project: paths are as ConTeXt named them, relative to the folder it ran in.

ConTeXt finds and opens its files in Lua, past kpathsea and past the recorder. Its sandbox (l-sandbox.lua, util-sbx.lua)
wraps every function of ``io``, ``os`` and ``lfs`` that takes a file name, and cont-run.lua prints each call, in time order, as
``sandbox > call > io.open("part.tex","r") => true``. What it does not wrap is ``dofile``, and what C code opens by itself
(figures and fonts, which were looked at in Lua first).
"""

import re
import shlex
from collections.abc import Iterator

import msgspec

_CALL = re.compile(r"^sandbox +> call > (?P<name>[\w.]+|mplib output finder)\((?P<arguments>.*)\) => (?P<result>true|false)$", re.MULTILINE)
_SOURCE = re.compile(r"^open source +> level \d+, order \d+, name '(?P<name>.+)'$", re.MULTILINE)
_USED = re.compile(r"^system +> +\d+: .*?\bfoundname=(?P<name>/.+?|\S+) fullname=", re.MULTILINE)
#: Programs that ConTeXt itself starts for a document, past the calls.
_RUNNER = re.compile(r"^.*> executing runner '[^'\n]*': (?P<command>.+)$", re.MULTILINE)
_ENGINE = re.compile(r"^resolvers +\| formats +\| executing runner 'run lua\w* format'", re.MULTILINE)
_FIRST = re.compile(r'"(?P<path>[^"]*)"(?:,"(?P<second>[^"]*)")?')
#: Calls whose first argument is read if they succeed, and was looked for if not. Looking at a file counts as reading it.
_READERS = frozenset({"loadfile", "lua.openfile", "io.lines", "io.input", "zip.open", "lfs.attributes", "lfs.symlinkattributes"})
_WRITERS = frozenset({"io.output", "mplib output finder", "lfs.touch"})
_PROGRAMS = frozenset({"os.execute", "io.popen", "os.resultof", "os.pipeto"})


class Calls(msgspec.Struct, frozen=True):
    """``events``: (``INPUT`` or ``OUTPUT``, path) in time order, each once; ``missed``: looked for and not found.

    ``words``: those of commands given to a shell, which says nothing of what it reads. ``folders``: whose files were listed.
    """

    events: tuple[tuple[str, str], ...]
    missed: tuple[str, ...]
    words: tuple[str, ...]
    folders: tuple[str, ...]


def read_calls(log: str) -> Calls:
    """Reads the log of a run with ``--sandbox=calls``. Files that only the log's list of used files names come last."""
    found: dict[str, dict[str, None]] = {"MISSED": {}, "WORD": {}, "FOLDER": {}}
    events: dict[tuple[str, str], None] = {}
    for call in _CALL.finditer(log):
        for kind, path in _effects(call["name"], call["arguments"], call["result"] == "true"):
            if kind in found:
                found[kind][path] = None
            else:
                events[(kind, path)] = None
    for started in _RUNNER.finditer(log):
        found["WORD"].update(dict.fromkeys(_words(started["command"])))
    for pattern in (_SOURCE, _USED):
        for named in pattern.finditer(log):
            events[("INPUT", named["name"])] = None
    return Calls(tuple(events), tuple(found["MISSED"]), tuple(found["WORD"]), tuple(found["FOLDER"]))


def has_inner_runs(printed: str) -> bool:
    """Whether a run started ConTeXt for parts of the document, by what it printed: of their look-ups nothing is known."""
    return len(_ENGINE.findall(printed)) > 1


def folder_of(log: str, main: str) -> str:
    """The folder that a run believed to be in, by the full name under which it opened its main file; '' if it did not."""
    ending = "/" + main.removeprefix("./")
    for found in _SOURCE.finditer(log):
        if found["name"].startswith("/") and found["name"].endswith(ending):
            return found["name"][: -len(ending)]
    return ""


def _effects(name: str, arguments: str, succeeded: bool) -> Iterator[tuple[str, str]]:
    """What one call did: (INPUT, OUTPUT, MISSED, WORD or FOLDER, path)."""
    first = _FIRST.match(arguments)
    if first is None:
        return
    path, second = first["path"], first["second"] or ""
    if name in _READERS or (name == "io.open" and not second.startswith(("w", "a"))):
        yield ("INPUT" if succeeded else "MISSED"), path
        if succeeded and name == "io.open" and "+" in second:
            yield "OUTPUT", path
    elif name in _PROGRAMS:
        for word in _words(path):
            yield "WORD", word
    elif not succeeded:
        return
    elif name == "lfs.dir":
        yield "FOLDER", path
    elif name in _WRITERS or name == "io.open":
        if second.startswith("a"):
            yield "INPUT", path
        yield "OUTPUT", path
    elif name == "os.rename":
        yield "INPUT", path
        yield "OUTPUT", second


def _words(command: str) -> list[str]:
    """The words of a command, any of which may be a file."""
    try:
        return shlex.split(command.replace("<", " ").replace(">", " "))
    except ValueError:
        return command.split()
