"""The .aux files of LaTeX: their nesting, what bibtex and makeglossaries read of them, and which helpers they ask for.

Knows no process and no step.
"""

import posixpath
import re
from collections.abc import Callable

import msgspec

from cpods.ids import FilePath, normalise

#: bibtex compares the text from the first column up to the brace with exactly these (bibtex.web, 116: get_aux_command_and_process).
BIBTEX_COMMANDS = (b"\\citation{", b"\\bibdata{", b"\\bibstyle{", b"\\@input{")

#: makeglossaries 4.52, sub scan_aux: a line that matches none of its patterns is skipped. The patterns are not anchored.
_GLOSSARY_MARKS = re.compile(
    rb"\\@gls@reference|\\glsxtr@makeglossaries\{|\\@input\{|\\@newglossary|\\@istfilename|\\@xdylanguage"
    rb"|\\@gls@codepage|\\@gls@extramakeindexopts|\\glsxtr@resource|\\@glsorder"
)

_INPUT = re.compile(rb"^\\@input\{(.*?)\}", re.MULTILINE)
_BIBDATA = re.compile(rb"^\\bibdata\{(.*?)\}", re.MULTILINE)
_IST = re.compile(rb"\\@istfilename\s*\{([^}]*)\}")
_GLOSSARY = re.compile(rb"\\@newglossary\s*\{([^}]*)\}\{([^}]*)\}\{([^}]*)\}\{([^}]*)\}")
_SUBSET = re.compile(rb"\\glsxtr@makeglossaries\{([^}]*)\}")
_NESTING_MAX = 1000

Reader = Callable[[FilePath], bytes | None]


class Glossary(msgspec.Struct, frozen=True):
    """One ``\\@newglossary``: extensions of its transcript, of what makeglossaries writes, and of what LaTeX wrote."""

    name: str
    transcript: str
    out: str
    into: str


class AuxFiles(msgspec.Struct, frozen=True):
    """A top-level .aux with all that it inputs, as project paths, and the bytes of each."""

    files: tuple[FilePath, ...]
    texts: tuple[bytes, ...]
    absent: tuple[FilePath, ...] = ()

    @property
    def bibdata(self) -> tuple[str, ...]:
        """Names of the databases asked for, as written."""
        found = [name.strip() for text in self.texts for group in _BIBDATA.findall(text) for name in group.split(b",")]
        return tuple(dict.fromkeys(_text(name) for name in found if name))

    @property
    def asks_bibtex(self) -> bool:
        """Whether any of the files names a database."""
        return any(_BIBDATA.search(text) for text in self.texts)

    @property
    def glossary_style(self) -> str | None:
        """The .ist or .xdy that makeglossaries is told to use; None if no glossary is asked for."""
        for text in self.texts:
            if found := _IST.search(text):
                return re.sub(r'^"(.*)"\.(ist|xdy)$', r"\1.\2", _text(found[1]))
        return None

    @property
    def glossaries(self) -> tuple[Glossary, ...]:
        """All glossaries, in order."""
        return tuple(Glossary(*(_text(part) for part in found)) for text in self.texts for found in _GLOSSARY.findall(text))

    @property
    def glossary_subset(self) -> tuple[str, ...]:
        """The only glossaries that makeglossaries shall make; empty: all."""
        found = [group for text in self.texts for group in _SUBSET.findall(text)]
        return tuple(name for name in _text(found[-1]).split(",") if name) if found else ()


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def unquote(name: str) -> str:
    """A file name without the quotes that LaTeX puts around names with blanks."""
    return name.replace('"', "")


def read_aux(top: FilePath, cwd: str, read: Reader) -> AuxFiles:
    """Reads a top-level .aux and its inputs, breadth first.

    Names in ``\\@input`` are relative to the folder that the tools run in.
    """
    todo = [top]
    files: list[FilePath] = []
    texts: list[bytes] = []
    absent: list[FilePath] = []
    while todo and len(files) < _NESTING_MAX:
        path = todo.pop(0)
        if path in files or path in absent:
            continue
        text = read(path)
        if text is None:
            absent.append(path)
            continue
        files.append(path)
        texts.append(text)
        todo += [normalise(unquote(_text(name)), cwd) for name in _INPUT.findall(text)]
    return AuxFiles(tuple(files), tuple(texts), tuple(absent))


def bibtex_part(data: bytes) -> bytes:
    """The lines of an .aux that bibtex looks at."""
    return b"".join(line for line in data.splitlines(keepends=True) if line.startswith(BIBTEX_COMMANDS))


def makeglossaries_part(data: bytes) -> bytes:
    """The lines of an .aux that makeglossaries looks at."""
    return b"".join(line for line in data.splitlines(keepends=True) if _GLOSSARY_MARKS.search(line))


def in_folder(cwd: str, name: str) -> FilePath:
    """Project path of a file named ``name`` in the folder ``cwd``."""
    return posixpath.normpath(posixpath.join(cwd, name))
