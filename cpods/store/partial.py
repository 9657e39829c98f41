"""What a catalogue knows of some steps and some paths: enough for a build of a slice.

Knows no build. Reads the same tables as the Catalogue port, with the standard library, since a slice must start at once.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from cpods.ids import FilePath
from cpods.model import Result
from cpods.ports import FileState, Fingerprint, KnotMemory, Memory, Written

_T = TypeVar("_T")
_AT_ONCE = 500  # names in one query
#: Facts that belong to a step bear its name behind one of these.
_FACTS_OF_STEPS = ("why:", "raw:")


def read_part(connection: sqlite3.Connection, steps: list[str], paths: list[FilePath]) -> Memory:
    """A Memory that holds nothing but these steps (with their helpers) and paths. Raises sqlite3.Error, msgspec.DecodeError."""
    memory = Memory()
    todo = steps
    while todo:
        found = dict(_bodies(connection, "results", todo, Result))
        memory.results.update(found)
        todo = [helper.name for result in found.values() for helper in result.helpers if helper.name not in memory.results]
        todo = [name for name in dict.fromkeys(todo) if name not in found]
    memory.knots = dict(_bodies(connection, "knots", steps, KnotMemory))
    memory.files = {name: FileState(*state) for name, *state in _rows(connection, "files", "path", paths)}
    memory.written = {name: Written(step, digest) for name, step, digest in _rows(connection, "written", "path", paths)}
    memory.fingerprints = {
        name: msgspec.msgpack.decode(body, type=Fingerprint) for name, body in connection.execute("SELECT name, body FROM fingerprints")
    }
    for name in [*steps, *(name for name in memory.results if name not in steps)]:
        memory.facts.update(_facts(connection, name))
    return memory


def _facts(connection: sqlite3.Connection, step: str) -> Iterator[tuple[str, str]]:
    for prefix in _FACTS_OF_STEPS:
        yield from connection.execute("SELECT name, value FROM facts WHERE name = ?", (prefix + step,))
        start = f"{prefix}{step}:"
        yield from connection.execute("SELECT name, value FROM facts WHERE name >= ? AND name < ?", (start, start[:-1] + ";"))


def _bodies(connection: sqlite3.Connection, table: str, names: Sequence[str], kind: type[_T]) -> Iterator[tuple[str, _T]]:
    decode = msgspec.msgpack.Decoder(kind).decode
    for name, body in _rows(connection, table, "name", names):
        yield name, decode(body)


def _rows(connection: sqlite3.Connection, table: str, key: str, names: Sequence[str]) -> Iterator[Any]:
    """Rows by their key, in blocks. Names of tables and columns are this module's own."""
    for start in range(0, len(names), _AT_ONCE):
        block = names[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(block))
        yield from connection.execute(f"SELECT * FROM {table} WHERE {key} IN ({marks})", block)
