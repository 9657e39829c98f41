"""``cpods import latexmk``: writes a ``cpods.toml`` out of a .latexmkrc, and says what became of each of its lines.

Knows no Perl; see the room latexmk.
"""

import os
import re
import sys
from typing import TYPE_CHECKING

from cpods.cli.desk import say_error
from cpods.errors import CpodsError, ProjectFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpods.latexmk.translate import Imported

#: As latexmk looks for one in a folder; the first that is there is read.
RC_NAMES = (".latexmkrc", "latexmkrc")
_HEAD_BYTES = 1 << 16
_CLASS = re.compile(rb"^[^%\n]*\\documentclass\b", re.MULTILINE)


def run(folder: str, rc: str, force: bool, only_print: bool) -> int:
    """Writes (or with ``only_print`` prints) the project file and the remarks; the exit code."""
    try:
        _import(folder, rc, force, only_print)
        return 0
    except CpodsError as error:
        say_error(str(error))
        return error.exit_code


def _import(folder: str, rc: str, force: bool, only_print: bool) -> None:
    from cpods.latexmk.rcfile import read
    from cpods.latexmk.translate import translate
    from cpods.latexmk.writing import project_file
    from cpods.project import PROJECT_FILE, parse
    from cpods.store.tree import walk

    if not os.path.isdir(folder):
        raise UsageError(f"{folder}: there is no such folder")
    target = os.path.normpath(os.path.join(folder, PROJECT_FILE))
    if os.path.lexists(target) and not force and not only_print:
        raise UsageError(f"{target} is there already; --force replaces it, --print only shows what would be written")
    source = rc or _found(folder)
    text = _text(source)
    imported = translate(read(text), walk(folder).files, _documents(folder))
    if not imported.steps:
        _say(imported, source, sys.stderr.write)
        raise UsageError(f"{source}: no document is there to be built; name one in @default_files, or write {PROJECT_FILE} by hand")
    made = project_file(imported.steps, os.path.basename(source))
    try:
        parse(made.encode())
    except ProjectFileError as error:
        raise UsageError(f"{source}: what it says makes no project file ({error}); write {PROJECT_FILE} by hand") from None
    if only_print:
        _say(imported, source, sys.stderr.write)
        sys.stdout.write(made)
        return
    _write(target, made)
    _say(imported, source, sys.stdout.write)
    count = len(imported.steps)
    where = "" if folder == "." else f" -C {folder}"
    print(f"{target}: written, {count} document{'s' if count > 1 else ''}; `cpods rebuild{where}` builds")


def _found(folder: str) -> str:
    for name in RC_NAMES:
        path = os.path.normpath(os.path.join(folder, name))
        if os.path.isfile(path):
            return path
    raise UsageError(f"{folder} has neither {' nor '.join(RC_NAMES)}; name the rc file with --rc FILE")


def _own_rc(source: str) -> str:
    """The user's own rc file, which latexmk reads before that of a folder; '' if there is none, or if it is the imported one."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    for path in (os.path.join(config, "latexmk", "latexmkrc"), os.path.expanduser("~/.latexmkrc")):
        if os.path.isfile(path):
            return "" if os.path.realpath(path) == os.path.realpath(source) else path
    return ""


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); --rc names another rc file") from None
    if b"\0" in data:
        raise UsageError(f"{path} is no text, so it is no rc file; --rc names another one")
    return data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def _documents(folder: str) -> list[str]:
    """Files of the folder itself that hold a \\documentclass."""
    found = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith((".tex", ".ltx")) and os.path.isfile(path):
            with open(path, "rb") as file:
                if _CLASS.search(file.read(_HEAD_BYTES)):
                    found.append(name)
    return found


def _write(target: str, text: str) -> None:
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written ({error.strerror}); --print shows what it would hold") from None


def _say(imported: "Imported", source: str, write: "Callable[[str], object]") -> None:
    if own := _own_rc(source):
        write(f"{own}: not taken: latexmk reads this file, too; --rc {own} imports it\n")
    for line, kind, text in imported.remarks:
        write(f"{source}{f':{line}' if line else ''}: {kind}: {text}\n")
