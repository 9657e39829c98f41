"""What the values in a project file must keep to beyond their types: paths, names, dates, limits, claims of outputs.

Knows no TOML and no line numbers: a mistake is a place in the tables and a sentence.
"""

import datetime
import math
import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

from cpods.declaration import (
    CompilerDeclaration,
    ContextDeclaration,
    Declaration,
    Document,
    FederationSettings,
    LatexDeclaration,
    MetapostDeclaration,
    ProjectSettings,
    Rule,
    ShellDeclaration,
    StoreSettings,
    TexDeclaration,
)
from cpods.globs import is_pattern, matcher
from cpods.ids import FACT_PREFIX, STATE_FOLDER, FilePath, is_outside, normalise
from cpods.tomllines import KeyPath

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B?\s*")
#: Limits of Linux' file systems, less what the project's own folder may need.
_NAME_BYTES_MAX, _PATH_BYTES_MAX = 255, 2048
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


class Mistake(Exception):
    """One thing that is wrong, and where in the tables."""

    def __init__(self, path: KeyPath, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


def document_product(declaration: Document) -> FilePath:
    """What a document is built for: in ``cwd``, named by ``jobname`` or else by the main file, with its output's ending."""
    ending = "pdf" if isinstance(declaration, ContextDeclaration) else declaration.output
    return normalise((declaration.jobname or _stem(declaration.main)) + "." + ending, declaration.cwd)


def claimed(declaration: Declaration) -> tuple[FilePath, ...]:
    """The outputs that a declaration names, as project paths."""
    if isinstance(declaration, Document):
        return (document_product(declaration),)
    if isinstance(declaration, CompilerDeclaration):
        return (normalise(declaration.program),)
    return tuple(normalise(path) for path in declaration.outputs)


def title(declaration: Declaration) -> str:
    """How messages call the step of a declaration; also the name of its (last) step."""
    if isinstance(declaration, Document):
        other = declaration.jobname not in ("", _stem(declaration.main))
        return f"{declaration.chef}:{declaration.main}" + (f"#{declaration.jobname}" if other else "")
    if isinstance(declaration, MetapostDeclaration):
        return f"metapost:{declaration.main}"
    if isinstance(declaration, CompilerDeclaration):
        return f"link:{declaration.program}"
    return declaration.name


def size_bytes(text: str) -> int:
    """Bytes of a size such as ``500 MB``, ``2 GiB`` or ``1.5G``. Raises ValueError."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError(text)
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit])


def check_settings(settings: ProjectSettings) -> None:
    """Raises Mistake for a value of ``[project]`` that cannot be."""
    if settings.date != "today" and not _is_date(settings.date):
        raise Mistake(("project", "date"), f'`date` is {settings.date!r}; expected "today" or a date such as "2024-02-29"')
    _check_variables(("project",), settings.env)
    for number, goal in enumerate(settings.goals):
        _check_path(("project", "goals", number), "goals", goal)


def check_store(store: StoreSettings) -> None:
    """Raises Mistake for a value of ``[store]`` that cannot be. A store may lie outside the project."""
    if store.max_bytes <= 0:
        raise Mistake(("store", "max_bytes"), f"`max_bytes` is {store.max_bytes}; expected a size above 0")
    _check_text(("store", "path"), "path", store.path)


def check_federation(federation: FederationSettings) -> None:
    """Raises Mistake for a value of ``[federation]`` that cannot be. Whether a strategy exists is known further up."""
    if federation.name and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", federation.name):
        raise Mistake(("federation", "name"), f"`name` is {federation.name!r}; expected 1 to 64 letters (a-z), digits, '-' or '_'")


def check_declaration(declaration: Declaration, place: KeyPath, file: str) -> None:
    """Raises Mistake for a value of a ``[[step]]`` that cannot be. ``file`` is the project file's own path."""
    _check_folder((*place, "cwd"), declaration.cwd)
    _check_variables(place, declaration.env)
    if isinstance(declaration, CompilerDeclaration):
        _check_compiler(declaration, place, file)
        return
    if declaration.timeout is not None and not 0 < declaration.timeout < math.inf:
        raise Mistake((*place, "timeout"), f"`timeout` is {declaration.timeout:g}; expected a number of seconds above 0")
    if isinstance(declaration, MetapostDeclaration):
        _check_metapost(declaration, place, file)
        return
    if declaration.max_passes is not None and declaration.max_passes < 1:
        raise Mistake((*place, "max_passes"), f"`max_passes` is {declaration.max_passes}; expected a whole number above 0")
    if isinstance(declaration, Document):
        _check_document(declaration, place)
    else:
        _check_shell(declaration, place, file)


def check_claims(declarations: Sequence[Declaration], lines: Sequence[int], place: Mapping[int, KeyPath]) -> None:
    """Raises Mistake if two steps have one name or claim one output; both are named. ``lines`` are those of the steps."""
    names: dict[str, int] = {}
    outputs: dict[FilePath, int] = {}
    for index, declaration in enumerate(declarations):
        name = title(declaration)
        if isinstance(declaration, ShellDeclaration) and name in names:
            raise Mistake((*place[index], "name"), f'a step "{name}" is already on line {lines[names[name]]}; expected another name')
        for path in claimed(declaration):
            if path in outputs:
                first = f'step "{title(declarations[outputs[path]])}" (line {lines[outputs[path]]})'
                both = f'{first} and of step "{name}" (line {lines[index]}); expected one step to make it'
                raise Mistake(_claim_place(declaration, path, place[index]), f"`{path}` is an output of {both}")
            outputs[path] = index
        names.setdefault(name, index)


def _claim_place(declaration: Declaration, path: FilePath, place: KeyPath) -> KeyPath:
    if isinstance(declaration, ShellDeclaration | MetapostDeclaration):
        return (*place, "outputs", [normalise(output) for output in declaration.outputs].index(path))
    return (*place, "main" if isinstance(declaration, Document) else "program")


#: Engines that make DVI; all others make PDF alone.
_DVI_ENGINES = ("latex", "tex", "etex")


def _check_document(declaration: Document, place: KeyPath) -> None:
    main = declaration.main
    if main.startswith("../") and not is_outside(normalise(main, declaration.cwd)):
        main = normalise(main, declaration.cwd)  # it may be named as the engine, in `cwd`, sees it
    _check_file((*place, "main"), "main", main)
    _check_text((*place, "jobname"), "jobname", declaration.jobname)
    if "/" in declaration.jobname or declaration.jobname in (".", ".."):
        raise Mistake((*place, "jobname"), f"`jobname` is {declaration.jobname!r}; expected a name without a folder (that is `cwd`)")
    if isinstance(declaration, ContextDeclaration):
        return
    if declaration.output != "pdf" and declaration.engine not in _DVI_ENGINES:
        choices = " or ".join(engine for engine in _DVI_ENGINES if engine in _engines(declaration))
        raise Mistake(
            (*place, "output"), f'`output` is "{declaration.output}", but {declaration.engine} makes PDF; expected engine {choices}'
        )
    for number, rule in enumerate(declaration.rules):
        _check_rule(rule, (*place, "rules", number))


def _engines(declaration: LatexDeclaration | TexDeclaration) -> tuple[str, ...]:
    return ("latex",) if isinstance(declaration, LatexDeclaration) else ("tex", "etex")


def _check_rule(rule: Rule, place: KeyPath) -> None:
    for key, ending in (("from", rule.source), ("to", rule.to)):
        if not re.fullmatch(r"\.[A-Za-z0-9_.-]*[A-Za-z0-9_-]", ending):
            raise Mistake((*place, key), f'`{key}` is {ending!r}; expected the ending of a file, such as ".svg"')
    if not rule.run.strip():
        raise Mistake((*place, "run"), "`run` is empty; expected a command line with {from} and {to}")
    _check_text((*place, "run"), "run", rule.run)


def _check_metapost(declaration: MetapostDeclaration, place: KeyPath, file: str) -> None:
    _check_file((*place, "main"), "main", declaration.main)
    for number, output in enumerate(declaration.outputs):
        _check_output((*place, "outputs", number), "outputs", output, file)
    _check_once((*place, "outputs"), "outputs", declaration.outputs)


def _check_compiler(declaration: CompilerDeclaration, place: KeyPath, file: str) -> None:
    _check_output((*place, "program"), "program", declaration.program, file)
    if not declaration.sources:
        raise Mistake((*place, "sources"), "`sources` is empty; expected at least one C or C++ file or pattern")
    _check_paths((*place, "sources"), "sources", declaration.sources)
    for number, folder in enumerate(declaration.include):
        _check_text((*place, "include", number), "include", folder)
        if not folder:
            raise Mistake((*place, "include", number), '`include` holds an empty path; expected a folder ("." is the project folder)')
    for key, words in (("cflags", declaration.cflags), ("ldflags", declaration.ldflags), ("std", (declaration.std,))):
        for word in words:
            _check_text((*place, key), key, word)


def _check_shell(declaration: ShellDeclaration, place: KeyPath, file: str) -> None:
    for key, text in (("name", declaration.name), ("run", declaration.run)):
        _check_text((*place, key), key, text)
        if not text.strip():
            raise Mistake((*place, key), f"`{key}` is empty; expected {'a name' if key == 'name' else 'a command line'}")
    _check_paths((*place, "inputs"), "inputs", declaration.inputs)
    _check_paths((*place, "optional"), "optional", declaration.optional)
    for number, output in enumerate(declaration.outputs):
        _check_output((*place, "outputs", number), "outputs", output, file)
    _check_once((*place, "outputs"), "outputs", declaration.outputs)
    both = {normalise(path) for path in declaration.inputs}
    for number, path in enumerate(declaration.optional):
        if normalise(path) in both:
            raise Mistake((*place, "optional", number), f"`{path}` is in `inputs` and in `optional`; expected it in one of them")
    _check_regexes((*place, "insignificant"), declaration.insignificant)
    if declaration.depfile:
        _check_file((*place, "depfile"), "depfile", declaration.depfile)
    for number, tool in enumerate(declaration.tools or ()):
        _check_text((*place, "tools", number), "tools", tool)
        if not tool:
            raise Mistake((*place, "tools", number), "`tools` holds an empty name; expected the name of a program")


def _check_paths(place: KeyPath, key: str, paths: Iterable[str]) -> None:
    """Files or patterns that a step reads."""
    for number, path in enumerate(paths):
        _check_path((*place, number), key, path)
        if is_pattern(path):
            try:
                matcher(normalise(path))
            except ValueError as error:
                raise Mistake((*place, number), f"`{key}`: {error}") from None


def _check_output(place: KeyPath, key: str, path: str, file: str) -> None:
    _check_file(place, key, path)
    clean = normalise(path)
    if is_pattern(path):
        raise Mistake(place, f"`{key}` holds the pattern `{path}`; expected the name of one file (outputs cannot be patterns)")
    if clean == normalise(file):
        raise Mistake(place, f"`{path}` is the project file itself; expected another output")
    if clean == STATE_FOLDER or clean.startswith(STATE_FOLDER + "/"):
        raise Mistake(place, f"`{path}` lies in cpods' own folder {STATE_FOLDER}; expected an output elsewhere")


def _check_file(place: KeyPath, key: str, path: str) -> None:
    _check_path(place, key, path)
    if path.endswith("/") or normalise(path) == ".":
        raise Mistake(place, f"`{key}` names the folder `{path}`; expected a file")


def _check_folder(place: KeyPath, path: str) -> None:
    if path != ".":
        _check_path(place, "cwd", path)


def _check_path(place: KeyPath, key: str, path: str) -> None:
    _check_text(place, key, path)
    if not path:
        raise Mistake(place, f"`{key}` holds an empty path; expected a path inside the project")
    if len(path) * 4 > _NAME_BYTES_MAX and _is_too_long(path):
        raise Mistake(place, f"`{path[:40]}…` in `{key}` is too long for a path; expected names of at most {_NAME_BYTES_MAX} bytes")
    if is_outside(normalise(path)):
        raise Mistake(place, f"`{path}` in `{key}` leads out of the project; expected a path below the project folder")
    if normalise(path).startswith(FACT_PREFIX):
        raise Mistake(place, f"`{path}` in `{key}` starts with {FACT_PREFIX}, which cpods keeps for itself; expected another name")


def _is_too_long(path: str) -> bool:
    return len(os.fsencode(path)) > _PATH_BYTES_MAX or any(len(os.fsencode(part)) > _NAME_BYTES_MAX for part in path.split("/"))


def _check_text(place: KeyPath, key: str, text: str) -> None:
    if "\0" in text:
        raise Mistake(place, f"`{key}` holds a NUL byte; expected text without one")


def _check_once(place: KeyPath, key: str, paths: Sequence[str]) -> None:
    seen: set[FilePath] = set()
    for number, path in enumerate(paths):
        if normalise(path) in seen:
            raise Mistake((*place, number), f"`{path}` is listed twice in `{key}`; expected each file once")
        seen.add(normalise(path))


def _check_variables(place: KeyPath, names: Iterable[str]) -> None:
    for number, name in enumerate(names):
        if not _VARIABLE.fullmatch(name):
            raise Mistake((*place, "env", number), f"`env` holds {name!r}; expected only the name of a variable, such as LANG")


def _check_regexes(place: KeyPath, patterns: Iterable[str]) -> None:
    for number, pattern in enumerate(patterns):
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise Mistake((*place, number), f"`insignificant` holds {pattern!r}; expected a regular expression ({error})") from None


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        return datetime.date.fromisoformat(text).year >= 1970  # SOURCE_DATE_EPOCH counts from there
    except ValueError:
        return False


def _stem(main: str) -> str:
    """TeX's job name for a main file: its last part without its ending."""
    return posixpath.splitext(posixpath.basename(main))[0]
