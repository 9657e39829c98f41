"""Says what still moves in a knot that does not come to rest: the artefact, the label or line, its values, its source line.

Knows bytes only; for LaTeX it reads the labels of .aux files.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from cpods.digest import of_bytes
from cpods.ids import FilePath
from cpods.model import Moving

_LABEL = re.compile(rb"\\newlabel\{((?:[^{}]|\{[^{}]*\})*)\}\{(.*)\}\s*$")
_MOVING_MAX = 20
_VALUE_LENGTH_MAX = 120
#: Files in which a tool speaks to itself: what moves elsewhere tells a reader more, save for labels.
_INNER = (".aux", ".tuc", ".bcf", ".out", ".run.xml", ".fmt")
#: Text has no such byte; that far it is looked for.
_NO_TEXT, _HEAD_BYTES = b"\0", 8192


def diagnose(cycle: Sequence[Mapping[FilePath, bytes]], sources: Callable[[], Mapping[FilePath, bytes]]) -> tuple[Moving, ...]:
    """What differs between the states of a cycle (or of the last passes), at most 20 entries.

    ``cycle``: the feedback files' bytes after each pass; ``sources()``: bytes of the project's sources, asked for once.
    """
    moving: list[Moving] = []
    texts = sources() if cycle else {}
    for path in sorted({path for state in cycle for path in state}):
        contents = [state.get(path) for state in cycle]
        if len(set(contents)) > 1:
            moving += _lines(path, contents, texts)
    moving.sort(key=lambda each: each.label is None and each.artefact.endswith(_INNER))
    return tuple(moving[:_MOVING_MAX])


def _lines(path: FilePath, contents: Sequence[bytes | None], sources: Mapping[FilePath, bytes]) -> list[Moving]:
    if any(content is None for content in contents):
        return [Moving(path, None, tuple("absent" if content is None else f"{len(content)} bytes" for content in contents), None)]
    if any(_NO_TEXT in (content or b"")[:_HEAD_BYTES] for content in contents):
        return [Moving(path, None, tuple(f"{len(content or b'')} bytes, {of_bytes(content or b'')}" for content in contents), None)]
    tables = [_keyed(content or b"", by_number=_are_of_one_length(contents)) for content in contents]
    keys = dict.fromkeys(key for table in tables for key in table)
    found = []
    for key in keys:
        values = [table.get(key) for table in tables]
        if len(set(values)) > 1:
            label = key[1] if key[0] == "label" else None
            found.append(Moving(path, label, tuple(map(_shown, values)), _source(label, sources)))
    return found


def _are_of_one_length(contents: Sequence[bytes | None]) -> bool:
    return len({(content or b"").count(b"\n") for content in contents}) == 1


def _keyed(content: bytes, by_number: bool) -> dict[tuple[str, str], bytes]:
    """Lines by what identifies them: a label's name, else their number, or (where lines come and go) their own text."""
    table: dict[tuple[str, str], bytes] = {}
    seen: dict[bytes, int] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        label = _LABEL.match(line)
        if label:
            table["label", label[1].decode("utf-8", "replace")] = label[2]
        elif line or by_number:
            seen[line] = seen.get(line, 0) + 1
            table["line", str(number) if by_number else f"{_text(line)}\n{seen[line]}"] = line
    return table


def _shown(value: bytes | None) -> str:
    """A value as text: of a label the number and the page, else the line, cut."""
    if value is None:
        return "absent"
    parts = re.findall(rb"\{((?:[^{}]|\{[^{}]*\})*)\}", value)
    if value.startswith(b"{") and len(parts) >= 2:
        return f"{_text(parts[0])} on page {_text(parts[1])}" if parts[0] else f"page {_text(parts[1])}"
    text = _text(value)
    return text if len(text) <= _VALUE_LENGTH_MAX else text[: _VALUE_LENGTH_MAX - 1] + "…"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _source(label: str | None, sources: Mapping[FilePath, bytes]) -> str | None:
    """``file:line`` of the label's definition, if a source has it literally."""
    if label is None:
        return None
    wanted = b"\\label{" + label.encode() + b"}"
    for path, content in sorted(sources.items()):
        for number, line in enumerate(content.split(b"\n"), 1):
            if wanted in line:
                return f"{path}:{number}"
    return None
