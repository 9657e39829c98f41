"""Externalised TikZ pictures (pgf's ``external`` library): a step for each picture that a document's run asks for.

Knows no other helper: a picture is planned from what its engine's run looked for, and made by the same engine.

Without shell escape the document's run cannot make its pictures. It keeps PICTURE.md5 up to date, the hash of a picture's
code, asks in vain for PICTURE.pdf to be made, and typesets the picture itself; once the file is there it includes it. A
picture's run reads the whole document and ships out that one picture; what it depends on is said in module figurechef.
"""

import posixpath
import re
from collections.abc import Sequence

from cpods.chefs.recorder import Places, parse_fls
from cpods.chefs.texaux import in_folder
from cpods.chefs.texlog import decode
from cpods.ids import FilePath, is_outside
from cpods.model import Problem, Step
from cpods.ports import View

#: Engines that make PDF at once: with dvips pgf wants PostScript pictures.
_ENGINES = ("pdflatex", "xelatex", "lualatex")
_KEY = b"tikzexternallastkey"
_UNDEFINED = b"reschedule@to@end@document"
_SEES_LABELS = b"cpodslabels"
_SAID = re.compile(
    r"^===== (?:Image '(?P<there>[^']+)' is up-to-date|'mode=convert with system call': Invoking '.*-jobname \"(?P<asked>[^\"]+)\")", re.M
)
_REQUEST = re.compile(r"Package tikz Error: Sorry, the system call '.*' did NOT result in a usable output file")

#: Begins each picture's run. The /ID of a PDF is to be no function of the folder that it was made in.
_MARKS = (
    r"\makeatletter\def\cpods@mark{\openin\@inputcheck null.tex \closein\@inputcheck}"
    r"\AtBeginDocument{\cpods@mark\let\cpods@end\pgf@externalend\def\pgf@externalend{\cpods@mark\cpods@end}}"
    r"\ifdefined\pdftrailerid\pdftrailerid{}\fi"
)
#: The job has another name while LaTeX looks for its .aux.
_WITHOUT_LABELS = (
    r"\AddToHook{begindocument/before}{\let\cpods@job\jobname\let\jobname\pgfactualjobname}"
    r"\AddToHook{begindocument}{\let\jobname\cpods@job}"
)
_WITH_LABELS = (
    r"\AtBeginDocument{\expandafter\def\expandafter\pgf@external@init@aux@in@dpth\expandafter"
    r"{\pgf@external@init@aux@in@dpth\pgfexternalstorecommand{\gdef\noexpand\cpodslabels{1}}}}"
)


def figure_helpers(engine: Step, view: View, absent: Sequence[FilePath], log: str, place: int) -> list[Step]:
    """The steps of the pictures that a document's run asked for, in the order in which they come there.

    ``absent``: what it looked for in vain. None if the engine may make them itself, or cannot use PDF.
    """
    if not _are_planned(engine):
        return []
    pictures = _pictures(engine, view, absent, log)
    return [_figure(engine, picture, (place, number), view) for number, picture in enumerate(pictures)]


def without_requests(engine: Step, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """A document's problems without those that say only that a picture is still to be made: its step says more."""
    return tuple(problem for problem in problems if not (_are_planned(engine) and _REQUEST.match(problem.message)))


def _are_planned(engine: Step) -> bool:
    return dict(engine.options).get("figures") != "none" and "-shell-escape" not in engine.argv and engine.tool in _ENGINES


def _pictures(engine: Step, view: View, absent: Sequence[FilePath], log: str) -> list[FilePath]:
    """Project paths of the pictures, without an ending: by their .md5, by what the log says of them, by the list of figures."""
    job = in_folder(engine.cwd, engine.jobname)
    fls = view.read(job + ".fls") or b""
    listed = [in_folder(engine.cwd, line.strip()) for line in decode(view.read(job + ".figlist") or b"").splitlines() if line.strip()]
    used = _used(engine, view, fls) if listed or b".md5" in fls else []
    found = [path.removesuffix(".md5") for path in used if path.endswith(".md5") and _KEY in (view.read(path) or b"")]
    found += [in_folder(engine.cwd, one["there"] or one["asked"]) for one in _SAID.finditer(log)]
    looked = {*used, *absent}
    found += [path for path in listed if f"{path}.pdf" in looked]
    return [path for path in dict.fromkeys(found) if not is_outside(path) and path != job]


def _used(engine: Step, view: View, fls: bytes) -> list[FilePath]:
    """Project paths that the run opened, in order."""
    recording = parse_fls(fls)
    places = Places(view.root, engine.cwd, recording.folder)
    return [path for _, name in recording.events if (path := places.project_path(name)) is not None and not is_outside(path)]


def _figure(engine: Step, picture: FilePath, place: tuple[int, int], view: View) -> Step:
    name = posixpath.relpath(picture, engine.cwd)
    code = picture + ".md5"
    has_code = _KEY in (view.read(code) or b"")
    notes = view.read(picture + ".dpth") or b""
    options = [("document", in_folder(engine.cwd, engine.jobname)), *(pair for pair in engine.options if pair[0] == "rule")]
    if not has_code:
        # Without a hash of its code pgf takes a picture that is there for a good one, whoever made it.
        options += [("reads", "all"), ("if_missing", "yes")]
    elif _UNDEFINED in notes or _SEES_LABELS in notes:
        options.append(("reads", "labels"))
    return Step(
        name=f"figure:{picture}",
        chef="figure",
        tool=engine.tool,
        argv=_command(engine, name, dict(options).get("reads", "")),
        position=(*engine.position, *place),
        cwd=engine.cwd,
        inputs=(code, engine.main) if has_code else (engine.main,),
        outputs=(picture + ".pdf",),
        env=engine.env,
        quiet=engine.quiet,
        pass_env=engine.pass_env,
        open_reads=True,
        may_write=(picture + ".",),
        always_mirror=True,
        pure=True,
        planner=engine.name,
        main=engine.main,
        jobname=name,
        options=tuple(options),
        timeout=engine.timeout,
        tool_match=engine.tool_match,
        parallel=True,
        any_date=True,
    )


def _command(engine: Step, name: str, reads: str) -> tuple[str, ...]:
    labels = {"": _WITHOUT_LABELS, "labels": _WITH_LABELS}.get(reads, "")
    text = rf"{_MARKS}{labels}\makeatother\def\tikzexternalrealjob{{{engine.jobname}}}\input{{{engine.argv[-1]}}}"
    return (engine.tool, "-recorder", "-interaction=nonstopmode", "-file-line-error", f"-jobname={name}", text)
