"""What makes PostScript and PDF of an engine's DVI: dvips, ps2pdf, dvipdfmx, each a step behind the engine.

Know no document: dvips and dvipdfmx read the DVI and what it names, ps2pdf the PostScript alone.

The steps are planned with the engine but are no members of its knot, so that they run on the DVI of the fixed point only.
With SOURCE_DATE_EPOCH all three give equal bytes for equal inputs (dvips 2022.1, dvipdfmx 20220710, Ghostscript 10.00: seen).
"""

import posixpath
import re
from typing import Literal

from msgspec.structs import replace

from cpods.chefs import texsystem
from cpods.chefs.helping import HelperChef, engine_date, engine_env
from cpods.chefs.kpathsea import DEBUG_LEVEL, read_trace
from cpods.chefs.recorder import Places, Recording, traffic
from cpods.ids import FilePath
from cpods.model import Exit, Observation, Problem, Step
from cpods.ports import View

#: Variables that dvips, dvipdfmx and Ghostscript obey, beyond those of all TeX tools.
_PASS_ENV = (
    "TEXCONFIG",
    "DVIPSRC",
    "DVIPSHEADERS",
    "PRINTER",
    "CMAPFONTS",
    "DVIPDFMXINPUTS",
    "GS_LIB",
    "GS_OPTIONS",
    "GS_FONTPATH",
)
_GHOSTSCRIPT_TREES = ("/usr/share/ghostscript", "/usr/share/color", "/usr/share/poppler")
_PAGES = re.compile(rb"^%%Pages: (\d+)", re.MULTILINE)
_PAGE_MARK = re.compile(r"\[(\d+)(?=[\]<\[ (]|$)")
_COMPLAINT = re.compile(r"^(?:\S*/)?(?P<tool>dvips|dvipdfmx|xdvipdfmx)(?::(?P<kind>warning|fatal))?:\s*(?P<message>.+)$")
_GHOSTSCRIPT = re.compile(r"^(?:Unrecoverable error: .+|Error: .+|GPL Ghostscript .*: .*error.*|\*\*\*\* Error: .+)$")


def chain(engine: Step, output: str, driver: Literal["dvips", "dvipdfmx"] = "dvips") -> tuple[Step, ...]:
    """The steps that make ``output`` (``dvi``, ``ps``, ``pdf``) of what ``engine`` makes."""
    dvi = engine.outputs[0]
    ps, pdf = (dvi.removesuffix(".dvi") + ending for ending in (".ps", ".pdf"))
    if output == "dvi":
        return ()
    if output == "pdf" and driver == "dvipdfmx":
        return (_step(engine, "dvipdfmx", ("-o", _name(pdf)), dvi, pdf, 1),)
    # On the way to PDF with the fine grid and the outline fonts of dvips' own configuration for it, as latexmk has it.
    to_ps = _step(engine, "dvips", (*(("-P", "pdf") if output == "pdf" else ()), "-o", _name(ps)), dvi, ps, 1)
    return (to_ps,) if output == "ps" else (to_ps, _step(engine, "ps2pdf", (), ps, pdf, 2))


def _name(path: FilePath) -> str:
    name = posixpath.basename(path)
    return "./" + name if name.startswith("-") else name


def _step(engine: Step, tool: str, flags: tuple[str, ...], source: FilePath, product: FilePath, place: int) -> Step:
    files = (_name(source), *(() if flags else (_name(product),)))
    return Step(
        name=f"{tool}:{engine.outputs[0].removesuffix('.dvi')}",
        chef=tool,
        tool=tool,
        argv=(tool, *flags, *files),
        position=(*engine.position, place),
        cwd=engine.cwd,
        inputs=(source,),
        outputs=(product,),
        env=(("KPATHSEA_DEBUG", DEBUG_LEVEL), *engine_date(engine)),
        quiet=("KPATHSEA_DEBUG",),
        pass_env=texsystem.PASS_ENV + _PASS_ENV + engine_env(engine),
        always_mirror=True,
        pure=True,
        planner=engine.name,
        main=source,
        jobname=engine.jobname,
        timeout=engine.timeout,
        tool_match=engine.tool_match,
    )


class _DriverChef(HelperChef):
    """A tool that reads one named file, and what that names."""

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """As any helper's, with the pages of the product. After a failure nothing can be used."""
        return replace(super().observe(step, view, exit), pages=self.pages(step, view, exit), usable_outputs=False)

    def seen(self, step: Step, view: View, exit: Exit) -> tuple[set[FilePath], set[FilePath]]:
        """Figures, headers and fonts, by the search trace."""
        found = traffic(Recording("", ()), read_trace(exit.stderr), view, Places(view.root, step.cwd))
        return set(found.reads), set(found.absent)

    def is_write(self, step: Step, path: FilePath) -> bool:
        """The product alone: what else appears is a font maker's."""
        return path in step.outputs

    def problems(self, step: Step, exit: Exit, view: View) -> tuple[Problem, ...]:
        """The driver's complaints; only a failed run has errors."""
        return _problems(step, exit)

    def pages(self, step: Step, view: View, exit: Exit) -> int | None:
        """How many pages the product has, None if nobody says."""
        return None


class DvipsChef(_DriverChef):
    """Runs dvips."""

    name = "dvips"
    tools = ("dvips",)

    def pages(self, step: Step, view: View, exit: Exit) -> int | None:
        """By what the PostScript says of itself."""
        return _pages_of_ps(view.read(step.outputs[0]) or b"")


class Ps2pdfChef(_DriverChef):
    """Runs ps2pdf, which is Ghostscript."""

    name = "ps2pdf"
    tools = ("ps2pdf", "ps2pdf14", "ps2pdfwr", "gs")
    trees = _GHOSTSCRIPT_TREES

    def pages(self, step: Step, view: View, exit: Exit) -> int | None:
        """By what the PostScript says of itself."""
        return _pages_of_ps(view.read(step.inputs[0]) or b"")


class DvipdfmxChef(_DriverChef):
    """Runs dvipdfmx, which has Ghostscript convert EPS figures."""

    name = "dvipdfmx"
    tools = ("dvipdfmx", "rungs", "gs")
    trees = _GHOSTSCRIPT_TREES

    def pages(self, step: Step, view: View, exit: Exit) -> int | None:
        """By the marks that it prints, one a page."""
        return len(_PAGE_MARK.findall("\n".join(texsystem.said(exit.stderr)))) or None


def _pages_of_ps(data: bytes) -> int | None:
    # dvips says (atend) at the head; the number of the whole comes last, those of included figures before it.
    found = _PAGES.findall(data)
    return int(found[-1]) if found else None


def _problems(step: Step, exit: Exit) -> tuple[Problem, ...]:
    """What the tool complained about; only a failed run has errors."""
    stopped = texsystem.end_problems(step, exit)
    if stopped:
        return stopped
    lines = [*texsystem.said(exit.stdout), *texsystem.said(exit.stderr)]
    complaints = [found for line in lines if (found := _COMPLAINT.match(line))]
    if exit.code == 0:
        return tuple(Problem(found["message"], step.main, severity="warning") for found in complaints)
    # dvips goes on after a figure that is not there, and fails all the same: then the complaint is the reason.
    reasons = [found for found in complaints if found["kind"] == "fatal" or found["message"].startswith("!")] or complaints
    told = [found["message"].lstrip("! ") for found in reasons] + [line for line in lines if _GHOSTSCRIPT.match(line)]
    told = told or [f"{step.tool} failed with exit code {exit.code}: " + " / ".join(lines[-2:])]
    return tuple(Problem(message, step.main) for message in told)
