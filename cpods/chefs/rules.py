"""Rules: a file that a document looks for in vain is made of a neighbour with another ending, as latexmk's cus_deps do.

Knows no engine: it sees which files a run missed and which it read. A rule applies where the file that it would make was
looked for and is not there, or was read and (KnotRun judges that) was made by this very rule: a file that is there
otherwise is never replaced. The user's rules, in the engine's options, come before the built-in ones; a built-in rule
does not apply where a picture of the same name and another ending was read. What a command reads beyond its source is what
the source names in quotes, if it is a text.
"""

import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from cpods.chefs.asymptote import asymptote_picture
from cpods.chefs.helping import Asked, engine_date, engine_env, if_missing, named_files
from cpods.chefs.shell import ShellChef
from cpods.declaration import Declaration, LatexDeclaration, MetapostDeclaration, Rule, ShellDeclaration, TexDeclaration
from cpods.ids import FilePath
from cpods.model import Exit, Observation, Remembered, Step
from cpods.ports import View

#: What the package svg looks for when it leaves texts in the drawing (inkscapelatex=false).
_RAW = re.compile(r"^(?P<folder>.*/)?(?P<stem>[^/]+)_svg-raw\.pdf$")
SVG = Rule(source=".svg", to=".pdf", run="rsvg-convert -f pdf -o {to} {from}")
SVG_FOR_DVI = Rule(source=".svg", to=".eps", run="rsvg-convert -f eps -o {to} {from}")
_RAW_SVG = Rule(source=".svg", to=".pdf", run="mkdir -p svg-inkscape && rsvg-convert -f pdf -o {to} {from}")
_PICTURES = (".pdf", ".png", ".jpg", ".jpeg", ".eps", ".mps", ".jbig2", ".jb2", ".bmp", ".ps")
_METAPOST = re.compile(r"^(?P<stem>.+?)(?:\.\d+|-\d+\.mps)$")
_TEXT_BYTES_MAX = 4 << 20


def as_options(declaration: LatexDeclaration | TexDeclaration) -> tuple[tuple[str, str], ...]:
    """A declaration's rules as options of its engine's step."""
    return tuple(("rule", msgspec.json.encode(rule).decode()) for rule in declaration.rules)


def _rules(engine: Step) -> list[Rule]:
    return [msgspec.json.decode(value, type=Rule) for name, value in engine.options if name == "rule"]


def rule_helpers(engine: Step, asked: Asked, place: int) -> list[Step]:
    """The steps that make what the engine's run missed, or read and a rule can make."""
    own = _rules(engine)
    steps: list[Step] = []
    for path in asked.wanted:
        step = _by_rules(engine, path, asked, own, (place, len(steps))) or _built_in(engine, path, asked, (place, len(steps)))
        if step is not None and all(step.name != other.name for other in steps):
            steps.append(step)
    return steps


def _by_rules(engine: Step, made: FilePath, asked: Asked, rules: Sequence[Rule], place: tuple[int, ...]) -> Step | None:
    for rule in rules:
        source = made[: -len(rule.to)] + rule.source
        if made.endswith(rule.to) and posixpath.basename(made) != rule.to and source != made and asked.view.exists(source):
            return _step(engine, rule, source, made, place)
    return None


def _built_in(engine: Step, made: FilePath, asked: Asked, place: tuple[int, ...]) -> Step | None:
    if raw := _RAW.match(made):
        found = [path for path in sorted(asked.read) if path == raw["stem"] + ".svg" or path.endswith(f"/{raw['stem']}.svg")]
        return _step(engine, _RAW_SVG, found[0], made, place) if found else None
    if _makes_dvi(engine) and made.endswith(".eps") and asked.view.exists(made[: -len(".eps")] + ".svg"):
        return _step(engine, SVG_FOR_DVI, made[: -len(".eps")] + ".svg", made, place)
    if made.endswith(".pdf") and not _makes_dvi(engine):
        stem = made[: -len(".pdf")]
        if any(stem + ending in asked.read for ending in _PICTURES if ending != ".pdf"):
            return None
        if asked.view.exists(stem + SVG.source):
            return _step(engine, SVG, stem + SVG.source, made, place)
        # asymptote.sty's own pictures are no pictures by themselves: it writes them, and their step is another.
        if asked.view.exists(stem + ".asy") and stem + ".asy" not in asked.wrote:
            return asymptote_picture(engine, stem + ".asy", made, asked.view, place)
    elif (figure := _METAPOST.match(made)) and asked.view.exists(figure["stem"] + ".mp"):
        return _metapost(engine, figure["stem"] + ".mp", place)
    return None


def _makes_dvi(engine: Step) -> bool:
    return any(path.endswith(".dvi") for path in engine.outputs)


def _step(engine: Step, rule: Rule, source: FilePath, made: FilePath, place: tuple[int, ...]) -> Step:
    """A shell step in the engine's folder; the words stand for the files as seen from there."""
    names = [posixpath.relpath(path, engine.cwd) for path in (source, made, made[: -len(rule.to)])]
    words = dict(zip(("{from}", "{to}", "{stem}"), map(shlex.quote, names), strict=True))
    run = re.sub(r"\{(?:from|to|stem)\}", lambda found: words[found[0]], rule.run)
    declared = ShellDeclaration(name=f"rule:{names[1]}", run=run, inputs=(source,), outputs=(made,), cwd=engine.cwd)
    (step,) = ShellChef().plan(declared, 0, (source,), {})
    return if_missing(
        replace(
            step,
            chef="rule",
            position=(*engine.position, *place),
            env=engine_date(engine),
            pass_env=engine_env(engine),
            main=source,
            pure=True,
            always_mirror=True,
            open_reads=True,
            planner=engine.name,
            timeout=engine.timeout,
            tool_match=engine.tool_match,
            parallel=True,
        )
    )


def _metapost(engine: Step, source: FilePath, place: tuple[int, ...]) -> Step:
    """The step of the metapost chef, under the name that a declared one has."""
    from cpods.chefs.metapost import MetapostChef  # only for documents with figures of METAPOST

    declared = MetapostDeclaration(main=source, cwd=posixpath.dirname(source) or ".", env=engine_env(engine))
    (step,) = MetapostChef().plan(declared, 0, (source,), {})
    # A declared step outside of the document's knot has written its log: then the figures are its business.
    return if_missing(replace(step, position=(*engine.position, *place), planner=engine.name, parallel=True))


class RuleChef(ShellChef):
    """Runs a rule's command: a shell step of which more is known than its declaration says."""

    name = "rule"
    version = 1

    def plan(self, declaration: Declaration, index: int, listing: Sequence[FilePath], recorded: Mapping[str, Remembered]) -> Sequence[Step]:
        """Nothing: helpers are asked for by the engine's outputs."""
        return ()

    def observe(self, step: Step, view: View, exit: Exit) -> Observation:
        """As a shell step, and what the source names in quotes (an SVG's pictures, say), relative to its own folder."""
        seen = super().observe(step, view, exit)
        reads, absent = set(seen.reads), set(seen.absent)
        data = view.read(step.main) or b""
        if len(data) <= _TEXT_BYTES_MAX and b"\0" not in data:
            more, missed = named_files((step.main,), posixpath.dirname(step.main) or ".", view)
            reads |= more - set(step.outputs)
            absent |= missed - set(step.outputs)
        return replace(
            seen,
            reads=tuple(sorted(reads)),
            absent=tuple(sorted(absent - reads)),
            writes=tuple(sorted({*seen.writes, *(path for path in view.changed() if view.exists(path))})),
            usable_outputs=exit.code >= 0 and exit.code != 127 and not exit.timed_out and not exit.error,
        )
