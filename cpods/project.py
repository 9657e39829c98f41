"""Reads a project: the bytes of a ``cpods.toml``, or a bare document, into a :class:`cpods.declaration.Project`.

Knows no file system and no chef: whether files exist is found out later.
"""

import datetime
import re
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
import tomli

from cpods.declaration import (
    CompilerDeclaration,
    ContextDeclaration,
    Declaration,
    Document,
    FederationSettings,
    LatexDeclaration,
    MetapostDeclaration,
    Project,
    ProjectSettings,
    Rule,
    ShellDeclaration,
    StoreSettings,
    TexDeclaration,
)
from cpods.errors import ProjectFileError
from cpods.projectrules import (
    Mistake,
    check_claims,
    check_declaration,
    check_federation,
    check_settings,
    check_store,
    document_product,
    size_bytes,
)
from cpods.tomllines import KeyPath, key_lines, nearest_line

PROJECT_FILE = "cpods.toml"
#: A file with one of these endings may be built without a project file.
DOCUMENT_ENDINGS = (".tex", ".ltx", ".mkiv", ".mkvi", ".mkxl", ".mklx", ".texi", ".texinfo", ".txi")

#: The declaration that each value of ``chef`` in a ``[[step]]`` asks for.
KINDS: Mapping[str, type[Declaration]] = {
    "latex": LatexDeclaration,
    "tex": TexDeclaration,
    "context": ContextDeclaration,
    "metapost": MetapostDeclaration,
    "shell": ShellDeclaration,
    "compiler": CompilerDeclaration,
}
_TABLES = {"project": "[project]", "store": "[store]", "federation": "[federation]", "step": "[[step]]"}
_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")
_STEP_HEADER = re.compile(r"\s*\[\[[ \t]*step[ \t]*\]\]")
_VALUE_PLACE = re.compile(r" - at `\$\.(\w+)((?:\[\d+\])?)")
_MAGIC = re.compile(rb"\s*%+\s*!\s*TEX\s+(?:TS-)?program\s*=\s*(\w+)", re.IGNORECASE)
#: Each at the start of a line: what only a ConTeXt document, a LaTeX document, a Texinfo document says.
_CONTEXT = re.compile(
    rb"^[ \t]*\\(?:starttext|startproduct|startcomponent|startproject|startdocument|setuppapersize|usemodule|environment)\b"
    rb"|^%[^\n]*interface=en\b",
    re.MULTILINE,
)
#: The first line of a ConTeXt document may name its engine.
_LMTX = re.compile(rb"%[^\n]*\bengine=luametatex\b")
_LATEX = re.compile(rb"^[ \t]*\\(?:documentclass|documentstyle|begin\{document\})", re.MULTILINE)
_PLAIN = re.compile(rb"^(?:[^%\n]|\\%)*\\bye\b", re.MULTILINE)
_TEXINFO = re.compile(rb"^\\input texinfo", re.MULTILINE)
_KIND_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (int, "a whole number"),
    (float, "a number"),
    (str, "a text"),
    (list, "a list"),
    (dict, "a table"),
    ((datetime.date, datetime.time), "a date or time"),
)
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def parse(data: bytes, name: str = PROJECT_FILE) -> Project:
    """The project that a project file declares.

    Raises ProjectFileError for the first mistake, with ``name:line``, what is wrong and what was expected.
    """
    text = _decode(data, name)
    tables = _load(text, name)
    try:
        return _project(tables, text, name)
    except Mistake as mistake:
        raise ProjectFileError(f"{name}:{nearest_line(key_lines(text), mistake.path)}", mistake.message) from None


def bare(main: str, data: bytes = b"") -> Project:
    """The one-document project of ``cpods rebuild paper.tex``: it always iterates.

    ``data`` is the document's beginning; a first line ``% !TEX program = xelatex`` chooses the engine.
    Raises ProjectFileError if ``main`` lies outside the project folder.
    """
    declaration = _document(main, data)
    try:
        check_declaration(declaration, (), "")
    except Mistake as mistake:
        raise ProjectFileError(main, mistake.message) from None
    settings = ProjectSettings(name=main, goals=(document_product(declaration),), until_stable=True)
    return Project(settings, StoreSettings(), (declaration,), (main,))


def with_preambles(declarations: Iterable[Declaration], settings: ProjectSettings) -> tuple[Declaration, ...]:
    """The declarations; LaTeX documents that leave their preamble to ``[project]`` get what it says, if their engine can."""
    found: list[Declaration] = []
    for declaration in declarations:
        if isinstance(declaration, LatexDeclaration) and declaration.preamble == "project":
            can = declaration.engine in ("pdflatex", "latex") and not declaration.shell_escape
            declaration = msgspec.structs.replace(declaration, preamble=settings.preamble if can else "run")
        found.append(declaration)
    return tuple(found)


def _document(main: str, head: bytes) -> Document:
    """The declaration that a document's ending or beginning asks for: its engine, and from that its chef.

    Raises ProjectFileError for an engine that no chef runs.
    """
    if main.endswith((".mkiv", ".mkvi")):
        return ContextDeclaration(main=main)
    if main.endswith((".mkxl", ".mklx")):
        return ContextDeclaration(main=main, engine="lmtx")
    if main.endswith((".texi", ".texinfo", ".txi")):
        return TexDeclaration(main=main)
    match _program(head):
        case "context" | "mkiv" | "lmtx" as name:
            return ContextDeclaration(main=main, engine="lmtx" if name == "lmtx" else "mkiv")
        case "tex" | "pdftex" | "etex" | "luatex" | "xetex" as engine:
            return TexDeclaration(main=main, engine=engine)
        case "texinfo" | "texi2dvi" | "texi2pdf":
            return TexDeclaration(main=main)
        case "latex" | "xelatex" | "lualatex" as engine:
            return LatexDeclaration(main=main, engine=engine)
        case "platex" | "uplatex" | "ptex" | "uptex" | "eptex" as engine:
            engines = "pdflatex, xelatex, lualatex, latex, context, or an engine of plain TeX"
            raise ProjectFileError(f"{main}:1", f"the document asks for {engine}, which no chef runs; expected {engines}")
    return LatexDeclaration(main=main)


def _program(head: bytes) -> str:
    """What sets a document: what its first lines say (``% !TEX program = xelatex``, ``% engine=luatex``), else what it looks like."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    found = _MAGIC.match(text.split(b"\n", 1)[0])
    program = found[1].decode("ascii", "replace").lower() if found else ""
    if program and program not in ("latexmk", "arara"):  # those run something that the document does not name here
        return program
    if _TEXINFO.search(text):
        return "texinfo"
    if _LMTX.match(text):
        return "lmtx"
    context, latex = _CONTEXT.search(text), _LATEX.search(text)
    # A manual of one may quote the other, but begins as what it is.
    if context and (latex is None or context.start() < latex.start()):
        return "context"
    return "pdftex" if latex is None and _PLAIN.search(text) else ""


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ProjectFileError(f"{name}:{line}", f"byte {data[error.start]:#04x} is no UTF-8; expected a text in UTF-8") from None


def _load(text: str, name: str) -> dict[str, Any]:
    try:
        return tomli.loads(text)
    except RecursionError:
        raise ProjectFileError(f"{name}:1", "broken TOML: lists nested too deep; expected the keys of a project") from None
    except ValueError as error:  # TOMLDecodeError, and int() of thousands of digits
        place = _TOML_PLACE.search(str(error))
        line = int(place.group(1)) if place else max(1, len(text.splitlines()))
        column = f" (column {place.group(2)})" if place else ""
        what = _TOML_PLACE.sub("", str(error))
        raise ProjectFileError(f"{name}:{line}", f"broken TOML: {what}{column}; expected key = value or a [table]") from None


def _project(tables: dict[str, Any], text: str, name: str) -> Project:
    for key in tables:
        _check_table_name(key)
    settings = _convert(ProjectSettings, _dated(_table(tables, "project")), ("project",), "[project]")
    check_settings(settings)
    store = _convert(StoreSettings, _sized(_table(tables, "store")), ("store",), "[store]")
    check_store(store)
    federation = _convert(FederationSettings, _table(tables, "federation"), ("federation",), "[federation]")
    check_federation(federation)
    steps = _steps(tables)
    declarations = with_preambles([_declaration(table, ("step", index), name) for index, table in enumerate(steps)], settings)
    starts = _starts(text, len(steps))
    check_claims(declarations, starts, {index: ("step", index) for index in range(len(steps))})
    return Project(settings, store, declarations, tuple(f"{name}:{line}" for line in starts), name, federation)


def _starts(text: str, count: int) -> list[int]:
    """The line of each step. Only a text whose headers do not stand plainly on lines of their own is scanned in full."""
    if '"""' not in text and "'''" not in text:
        plain = [number for number, line in enumerate(text.split("\n"), 1) if line.lstrip().startswith("[[") and _STEP_HEADER.match(line)]
        if len(plain) == count:
            return plain
    lines = key_lines(text)
    return [nearest_line(lines, ("step", index)) for index in range(count)]


def _check_table_name(key: str) -> None:
    if key in _TABLES:
        return
    if key in ProjectSettings.__struct_fields__:
        raise Mistake((key,), f"`{key}` stands outside of any table; expected it below [project]")
    nearest = _nearest(key, _TABLES)
    hint = f" (did you mean {_TABLES[nearest]}?)" if nearest else ""
    raise Mistake((key,), f"unknown table or key `{key}`; expected [project], [store], [federation] or [[step]]{hint}")


def _table(tables: dict[str, Any], key: str) -> dict[str, Any]:
    table = tables.get(key, {})
    if not isinstance(table, dict):
        raise Mistake((key,), f"`{key}` is {_got(table)}; expected one table {_TABLES[key]}")
    return table


def _steps(tables: dict[str, Any]) -> list[dict[str, Any]]:
    steps = tables.get("step", [])
    if isinstance(steps, dict):
        raise Mistake(("step",), "[step] has single brackets; expected [[step]], one for each step")
    if not isinstance(steps, list):
        raise Mistake(("step",), f"`step` is {_got(steps)}; expected [[step]] tables")
    for number, step in enumerate(steps):
        if not isinstance(step, dict):
            raise Mistake(("step", number), f"an entry of `step` is {_got(step)}; expected [[step]] tables")
    return steps


def _dated(table: dict[str, Any]) -> dict[str, Any]:
    """TOML has dates of its own: ``date = 2024-02-29`` means the same as with quotes."""
    date = table.get("date")
    return {**table, "date": date.isoformat()} if type(date) is datetime.date else table


def _sized(table: dict[str, Any]) -> dict[str, Any]:
    size = table.get("max_bytes")
    if not isinstance(size, str):
        return table
    try:
        return {**table, "max_bytes": size_bytes(size)}
    except ValueError:
        raise Mistake(("store", "max_bytes"), f'`max_bytes` is {size!r}; expected bytes or a size such as "500 MB" or "2 GiB"') from None


def _declaration(table: dict[str, Any], place: KeyPath, file: str) -> Declaration:
    chef = table.get("chef", "shell")
    if not isinstance(chef, str) or chef not in KINDS:
        hint = _suggestion(chef, KINDS) if isinstance(chef, str) else ""
        raise Mistake((*place, "chef"), f"`chef` is {_shown(chef)}; expected one of {', '.join(KINDS)}{hint}")
    if "rules" in _fields(KINDS[chef]) and isinstance(table.get("rules"), list):
        _check_rules(table["rules"], (*place, "rules"))
    declaration = _convert(KINDS[chef], table, place, f'a step with chef = "{chef}"')
    check_declaration(declaration, place, file)
    return declaration


def _check_rules(rules: list[Any], place: KeyPath) -> None:
    """Raises Mistake for an entry of ``rules`` that is none, with its own line."""
    for number, rule in enumerate(rules):
        if not isinstance(rule, dict):
            raise Mistake(
                (*place, number), f'`rules` holds {_got(rule)}; expected tables such as {{ from = ".svg", to = ".pdf", run = "..." }}'
            )
        _convert(Rule, rule, (*place, number), "a rule")


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def _convert(kind: type[_Struct], table: dict[str, Any], place: KeyPath, what: str) -> _Struct:
    fields = _fields(kind)
    for key in table:
        if key not in fields:
            raise Mistake((*place, key), _unknown(key, list(fields), what))
    for field in fields.values():
        if field.required and field.encode_name not in table:
            raise Mistake(place, f"{what} lacks `{field.encode_name}`; expected {_expected(field.type)}{_other_chef(table, kind)}")
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise _wrong_value(str(error), table, place, fields) from None


def _wrong_value(message: str, table: dict[str, Any], place: KeyPath, fields: Mapping[str, Any]) -> Mistake:
    """Our sentence for msgspec's message about one key."""
    found = _VALUE_PLACE.search(message)
    if not found:
        return Mistake(place, message)
    key, index = found.group(1), found.group(2).strip("[]")
    kind = fields[key].type
    if index:
        value = table[key][int(index)]
        return Mistake((*place, key, int(index)), f"`{key}` holds {_got(value)} as number {int(index) + 1}; expected {_expected(kind)}")
    value = table[key]
    choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    if choices and isinstance(value, str):
        return Mistake((*place, key), f"`{key}` is {_shown(value)}; expected {_expected(kind)}{_suggestion(value, choices)}")
    return Mistake((*place, key), f"`{key}` is {_got(value)}; expected {_expected(kind)}")


def _unknown(key: str, known: list[str], what: str) -> str:
    nearest = _nearest(key, known)
    if nearest:
        return f"unknown key `{key}` in {what}; did you mean `{nearest}`?"
    owners = [f'"{chef}"' for chef, kind in KINDS.items() if key in _fields(kind)]
    if owners and what.startswith("a step"):
        return f"unknown key `{key}` in {what}; it belongs to chef = {' or '.join(owners)}"
    return f"unknown key `{key}` in {what}; expected one of {', '.join(known)}"


def _other_chef(table: dict[str, Any], kind: type[msgspec.Struct]) -> str:
    """A step without ``chef`` that looks like another chef's is told so."""
    if kind is not ShellDeclaration or "chef" in table:
        return ""
    for chef in ("latex", "compiler"):
        if any(key in table for key in ("main", "program") if key in KINDS[chef].__struct_fields__):
            return f' (or chef = "{chef}")'
    return ""


def _expected(kind: Any) -> str:
    """What a field's type means to the user."""
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(typing.get_args(kind))
    if kind == bool | tuple[str, ...]:
        return "true, false or a list of programs"
    if isinstance(kind, types.UnionType):
        return _expected(typing.get_args(kind)[0])
    if typing.get_origin(kind) is tuple:
        return "a list of tables" if typing.get_args(kind)[0] is Rule else "a list of texts"
    return {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}[kind]


def _got(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return next((name for kind, name in _KIND_NAMES if isinstance(value, kind)), type(value).__name__)


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else _got(value)


def _suggestion(text: str, known: Iterable[str]) -> str:
    nearest = _nearest(text, known)
    return f' (did you mean "{nearest}"?)' if nearest else ""


def _nearest(text: str, known: Iterable[str]) -> str | None:
    import difflib  # only a mistake pays for the import

    return next(iter(difflib.get_close_matches(text, list(known), n=1, cutoff=0.6)), None)
