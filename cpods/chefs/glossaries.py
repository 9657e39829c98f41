"""bib2gls: the glossaries that glossaries-extra takes from .bib files (``record``), planned from the .aux.

Knows no engine. What it reads: the .aux with all that it inputs, the databases that it says it reads ("Reading ..."), and
of the document's .log the packages alone, by which it knows macros (Bib2Gls 3.2 matches no other line of it). Of the .aux
it ignores labels and the writes to other files: none of the names that its code compares is theirs.
"""

import re

from msgspec.structs import replace

from cpods.chefs.helping import HelperChef, helper_step, placed, said
from cpods.chefs.recorder import Places
from cpods.chefs.texaux import in_folder, read_aux
from cpods.ids import FilePath, is_outside
from cpods.model import Exit, Problem, Step
from cpods.ports import View

_AUX = "bib2gls-aux/1"
_LOG = "bib2gls-log/1"
_RESOURCE = re.compile(rb"^\\glsxtr@resource\{(?P<options>.*)\}\{(?P<name>[^{}]+)\}", re.MULTILINE)
_SRC = re.compile(rb"(?:^|[,{\s])src\s*=\s*(?:\{([^{}]*)\}|([^,{}]+))")
_READING = re.compile(r"^Reading (?P<name>.+\.bib)$", re.MULTILINE)
_PLACED = re.compile(r"(?:^|\n)(?P<file>[^\s:][^:\n]*\.bib):(?P<line>\d+): (?P<message>.+)")
_PLAIN = re.compile(r"^(?P<severity>Error|Warning): (?P<message>.+)$", re.MULTILINE)


def bib2gls_helpers(engine: Step, view: View, place: int) -> list[Step]:
    """The step that runs bib2gls, if the .aux names resources for it."""
    stem = in_folder(engine.cwd, engine.jobname)
    aux = read_aux(stem + ".aux", engine.cwd, view.read)
    names = [found["name"].decode("utf-8", "replace") for text in aux.texts for found in _RESOURCE.finditer(text)]
    if not names:
        return []
    step = helper_step(engine, f"bib2gls:{engine.jobname}", ("bib2gls", engine.jobname), (place,))
    outputs = tuple(in_folder(engine.cwd, name + ".glstex") for name in dict.fromkeys(names))
    return [
        replace(
            step,
            inputs=(stem + ".aux",),
            optional=(stem + ".log",),
            outputs=outputs,
            # It refuses to write below a folder whose name begins with a dot, as a mirror's does.
            env=(*step.env, ("openout_any", "a")),
            main=stem + ".aux",
            jobname=engine.jobname,
        )
    ]


def _sources(text: bytes, job: str) -> list[str]:
    """Names of the databases that an .aux asks for; without a ``src`` the job's own."""
    names: list[str] = []
    for found in _RESOURCE.finditer(text):
        listed = [braced or plain for braced, plain in _SRC.findall(found["options"])]
        names += [name.strip().decode("utf-8", "replace") for group in listed or [job.encode()] for name in group.split(b",")]
    return [name if name.endswith(".bib") else name + ".bib" for name in names if name]


class Bib2glsChef(HelperChef):
    """Runs bib2gls, a Java program."""

    name = "bib2gls"
    version = 1
    tools = ("bib2gls", "java")
    trees = ("/usr/lib/jvm",)

    def seen(self, step: Step, view: View, exit: Exit) -> tuple[set[FilePath], set[FilePath]]:
        """.aux files, databases by what it said, and the local names of those that it was asked for."""
        aux = read_aux(step.main, step.cwd, view.read)
        asked = {in_folder(step.cwd, name) for text in aux.texts for name in _sources(text, step.jobname)}
        places = Places(view.root, step.cwd)
        read = {path for found in _READING.finditer(said(exit)) if (path := places.project_path(found["name"])) is not None}
        there = {path for path in {*aux.files, *asked, *read} if (view.exists(path) if is_outside(path) else view.before(path))}
        return there, {path for path in {*aux.absent, *asked} if not is_outside(path)} - there

    def problems(self, step: Step, exit: Exit, view: View) -> tuple[Problem, ...]:
        """``FILE:LINE: message`` where it knows the place, else what it calls an error or a warning."""
        text = said(exit)
        found = list(placed(_PLACED, text, step, "error" if exit.code else "warning"))
        for complaint in _PLAIN.finditer(text):
            is_error = complaint["severity"] == "Error" and exit.code != 0
            if not (found and complaint["message"].startswith("Syntax error")):
                found.append(Problem(complaint["message"], step.main, severity="error" if is_error else "warning"))
        return tuple(found)

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Of an .aux all but labels and writes, of the .log the packages."""
        return _AUX if path.endswith(".aux") else _LOG if path.endswith(".log") else ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """The lines that bib2gls looks at."""
        lines = data.splitlines(keepends=True)
        if name == _AUX:
            return b"".join(line for line in lines if not line.startswith((b"\\newlabel{", b"\\@writefile{")))
        return b"".join(line for line in lines if line.startswith(b"Package: ")) if name == _LOG else data
