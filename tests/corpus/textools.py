"""Which tools a document's run asks for, found in the files that the run left, and what a tool ignores of a file it reads.

Knows nothing of cpods; nothing of passes, states and counts (texoracle.py).

What a tool ignores, rule by rule (``seen``); all else counts by its bytes:

- bibtex sees of an .aux the lines ``\\citation``, ``\\bibdata``, ``\\bibstyle``, ``\\@input`` (its manual: "ignores all other lines").
- makeglossaries sees of an .aux ``\\@newglossary``, ``\\@istfilename``, ``\\@glsorder``, ``\\@xdylanguage``, ``\\@gls@codepage``,
  ``\\@gls@extra`` and ``\\@input`` lines (the script matches nothing else).
- bib2gls sees of an .aux the lines ``\\glsxtr@...``, ``\\@newglossary``, ``\\@istfilename``, ``\\selectlanguage``, ``\\citation`` and
  ``\\@input`` (manual, chapter 1: "parses the .aux file" for these).
- who includes a PDF does not see its dates (gnuplot writes the time of day, whatever SOURCE_DATE_EPOCH says).
- ConTeXt draws a random seed from the clock in the first run that finds a .tuc, writes it into the .tuc (beside an empty table
  ``macros``) and keeps it from then on: chance is no state, and no document below asks for random numbers. These two lines count for
  nobody.
- TeX does not see the comment in which pythontex writes the time of day (first line of a .pytxmcr).
- a picture that TikZ externalises sees of the document its preamble (up to ``\\begin{document}``) and of the document's other files
  those read there; its own code is in its .md5 file. That is TikZ's own notion of "up to date", made stricter by the preamble. Of the
  document's .aux it sees nothing: no picture below refers to a label.

Files that count for nobody (``unseen``): logs; .pkl and .synctex.gz (times, process ids); .mpx (mpost's own cache of the .mp file);
.pdf, .ps, .dvi of the document itself where its own engine touches them (dates, identifiers) unless another node reads them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNSEEN = (".log", ".fls", ".blg", ".ilg", ".glg", ".alg", ".slg", ".nlg", ".synctex.gz", ".synctex(busy)", ".pkl", ".mpx", ".tua")
_BIB2GLS = rb"\\(glsxtr@|@newglossary|@istfilename|selectlanguage|citation|@input)"
_AUX_LINES = {
    "bibtex": rb"\\(citation|bibdata|bibstyle|@input)\b",
    "makeglossaries": rb"\\(@newglossary|@istfilename|@glsorder|@xdylanguage|@gls@codepage|@gls@extra|@input)",
    "bib2gls": _BIB2GLS,
}
#: Tools that do not see all of what they read.
PARTIAL = frozenset(_AUX_LINES)
ENGINE_OUTPUT = {"latex": ".dvi", "tex": ".dvi", "etex": ".dvi"}


@dataclass(frozen=True)
class Tool:
    """One node behind an engine: its name, the program that it counts as, and the command.

    ``preamble_of``: (pictures) the document whose preamble it reads; ``makes``: (rules) the file that the command makes anew, which is
    no read of it, however it opens it (rsvg-convert: for reading and writing).
    """

    name: str
    tool: str
    command: list[str]
    preamble_of: str = ""
    makes: str = ""


@dataclass
class Folder:
    """What there is to look at after an engine's run: paths relative to the folder of the run."""

    root: Path
    wrote: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)

    def bytes(self, name: str) -> bytes:
        """Content; empty if there is no such file."""
        file = self.root / name
        return file.read_bytes() if file.is_file() else b""

    def there(self, name: str) -> bool:
        """Is there such a file?"""
        return (self.root / name).is_file()

    def made(self, ending: str) -> list[str]:
        """What the engine wrote, with this ending, and is still there."""
        return sorted(name for name in self.wrote if name.endswith(ending) and self.there(name))


def pages(log: bytes) -> int:
    """Pages that a log speaks of: TeX's "Output written on", ConTeXt's count of shipped pages."""
    joined = log.replace(b"\n", b"")
    found = re.search(rb"Output written on .*?\((\d+) page", joined)
    if found:
        return int(found.group(1))
    shipped = re.findall(rb"flushing realpage (\d+)", log)
    return int(shipped[-1]) if shipped else 0


def unseen(path: str) -> bool:
    """Is this file no state for anybody?"""
    return path.endswith(UNSEEN)


def partly_seen(path: str) -> bool:
    """Does no reader see all of such a file?"""
    return path.endswith((".pdf", ".tuc", ".pytxmcr"))


def comparable(path: str) -> bool:
    """Has this file the same bytes wherever and whenever it is made?

    Not a .tuc (ConTeXt draws a random seed) or .pytxmcr (time of day), nor a picture (dates; MetaPost's line breaks follow the
    environment).
    """
    return not path.endswith((".tuc", ".pytxmcr", ".pdf", ".eps", ".mps"))


def seen(tool: str, path: str, data: bytes, preamble_of: str = "") -> bytes:
    """What ``tool`` can see of ``data`` (see above): of most files, all."""
    if path.endswith(".aux") and tool in _AUX_LINES:
        return b"\n".join(line for line in data.split(b"\n") if re.match(_AUX_LINES[tool], line))
    if path.endswith(".tuc"):
        return re.sub(rb'^ *\["(randomseed"\]=.*|macros"\]=\{\}),?\n', b"", data, flags=re.M)
    if path.endswith(".pytxmcr"):
        return re.sub(rb"^%Last time of file creation:.*\n", b"", data, flags=re.M)
    if path.endswith(".pdf"):
        return re.sub(rb"/(CreationDate|ModDate) ?\([^)]*\)", b"", data)
    if preamble_of:
        if path == preamble_of:
            return data.split(rb"\begin{document}")[0]
        if path.endswith(".aux"):
            return b""
    return data


def engine_command(step: dict[str, Any]) -> tuple[str, list[str]]:
    """The tool's name and the command line of one run of a document's engine."""
    chef, main = step["chef"], step["main"]
    if chef == "context":
        modes = [f"--mode={','.join(step['mode'])}"] if step.get("mode") else []
        arguments = [f"--arguments={','.join(step['arguments'])}"] if step.get("arguments") else []
        return "context", ["context", "--once", "--nonstopmode", *modes, *arguments, *_job(step, "--result="), main]
    if chef == "metapost":
        return "mpost", ["mpost", "-interaction=nonstopmode", f"-tex={step.get('tex', 'tex')}", main]
    engine = step.get("engine", "pdflatex" if chef == "latex" else "pdftex")
    escape = ["-shell-escape"] if step.get("shell_escape") else []
    form = [f"-fmt={step['format']}"] if step.get("format") else []
    return engine, [engine, *form, "-interaction=nonstopmode", *escape, *_job(step, "-jobname="), main]


def _job(step: dict[str, Any], option: str) -> list[str]:
    return [option + step["jobname"]] if step.get("jobname") else []


def jobname(step: dict[str, Any]) -> str:
    """Name of the outputs without ending."""
    return str(step.get("jobname") or Path(step["main"]).stem)


def tools(step: dict[str, Any], folder: Folder) -> list[Tool]:
    """The tools that apply after this run of the engine, in the order in which they run: by kind, then by name."""
    if step["chef"] in ("metapost", "context"):
        return []
    job, found = jobname(step), []
    for kind in _KINDS:
        found += list(kind(step, job, folder))
    return found


def _figures(step: dict[str, Any], job: str, folder: Folder) -> Iterator[Tool]:
    if step.get("figures", "auto") == "none" or step["chef"] != "latex":
        return
    engine = step.get("engine", "pdflatex")
    listed = folder.bytes(job + ".figlist").decode().split()
    for name in listed or [Path(made).with_suffix("").as_posix() for made in folder.made(".md5")]:
        call = rf"\def\tikzexternalrealjob{{{job}}}\input{{{job}}}"
        command = [engine, "-interaction=nonstopmode", f"-jobname={name}", call]
        yield Tool("figure:" + name, engine + " (figure)", command, preamble_of=step["main"])


def _bibliographies(step: dict[str, Any], job: str, folder: Folder) -> Iterator[Tool]:
    wanted = step.get("bibliography", "auto")
    if wanted in ("auto", "biber") and folder.there(job + ".bcf"):
        yield Tool("biber:" + job, "biber", ["biber", "--quiet", job])
    elif wanted in ("auto", "bibtex"):
        for aux in folder.made(".aux"):
            if re.search(rb"^\\bibdata", folder.bytes(aux), re.M):
                yield Tool("bibtex:" + aux[:-4], "bibtex", ["bibtex", aux[:-4]])


def _indexes(step: dict[str, Any], job: str, folder: Folder) -> Iterator[Tool]:
    if step.get("index", "auto") == "none":
        return
    for idx in folder.made(".idx"):
        parts = sorted(set(re.findall(rb"^\\indexentry\[([^]]*)\]", folder.bytes(idx), re.M)))
        if parts:
            yield Tool("splitindex:" + idx[:-4], "splitindex", ["splitindex", "-m", "", idx])
            for part in (f"{idx[:-4]}-{part.decode()}" for part in parts):
                yield Tool("makeindex:" + part, "makeindex", ["makeindex", "-q", part + ".idx"])
        elif idx[:-4] + ".ind" not in folder.wrote:
            yield Tool("makeindex:" + idx[:-4], "makeindex", ["makeindex", "-q", idx])
    if folder.there(job + ".nlo"):
        command = ["makeindex", "-q", job + ".nlo", "-s", "nomencl.ist", "-o", job + ".nls", "-t", job + ".nlg"]
        yield Tool("nomencl:" + job, "makeindex", command)


def _texinfo(step: dict[str, Any], job: str, folder: Folder) -> Iterator[Tool]:
    if step["chef"] != "tex" or step.get("index", "auto") == "none":
        return
    for name in sorted(folder.wrote):
        if re.fullmatch(re.escape(job) + r"\.[a-z]{2}", name) and re.match(rb"[\\@]entry", folder.bytes(name)):
            yield Tool("texindex:" + name, "texindex", ["texindex", name])


def _glossaries(step: dict[str, Any], job: str, folder: Folder) -> Iterator[Tool]:
    if step.get("index", "auto") == "none":
        return
    aux = folder.bytes(job + ".aux")
    if re.search(rb"^\\glsxtr@resource", aux, re.M):
        yield Tool("bib2gls:" + job, "bib2gls", ["bib2gls", "--quiet", job])
    if re.search(rb"^\\@istfilename", aux, re.M):
        yield Tool("makeglossaries:" + job, "makeglossaries", ["makeglossaries", "-q", job])


def _programs(step: dict[str, Any], job: str, folder: Folder) -> Iterator[Tool]:
    for name in folder.made(".gnuplot"):
        yield Tool("gnuplot:" + name, "gnuplot", ["gnuplot", name])
    for name in folder.made(".asy"):
        yield Tool("asymptote:" + name, "asy", ["asy", name])
    if folder.there(job + ".pytxcode"):
        yield Tool("pythontex:" + job, "pythontex", ["pythontex", job])


def _rules(step: dict[str, Any], job: str, folder: Folder) -> Iterator[Tool]:
    builtin = {"from": ".svg", "to": ".pdf", "run": "rsvg-convert -f pdf -o {to} {from}"}
    for rule in [*step.get("rules", []), builtin]:
        for target in sorted(folder.missed | folder.read):
            source = target.removesuffix(rule["to"]) + rule["from"]
            if target.endswith(rule["to"]) and target not in folder.sources and folder.there(source):
                stem = target.removesuffix(rule["to"])
                line = rule["run"].replace("{from}", _word(source)).replace("{to}", _word(target)).replace("{stem}", _word(stem))
                yield Tool("rule:" + target, line.split()[0], ["sh", "-c", line], makes=target)


def _word(text: str) -> str:
    return f"'{text}'" if re.search(r"[^\w./-]", text) else text


def _behind(step: dict[str, Any], job: str, folder: Folder) -> Iterator[Tool]:
    engine, wanted = step.get("engine", "pdflatex"), step.get("output", "pdf")
    if engine not in ENGINE_OUTPUT or not folder.there(job + ".dvi") or wanted == "dvi":
        return
    if step.get("dvi_driver", "dvips") == "dvipdfmx" and wanted == "pdf":
        yield Tool("dvipdfmx:" + job, "dvipdfmx", ["dvipdfmx", "-q", "-o", job + ".pdf", job + ".dvi"])
        return
    yield Tool("dvips:" + job, "dvips", ["dvips", "-q", "-o", job + ".ps", job + ".dvi"])
    if wanted == "pdf":
        yield Tool("ps2pdf:" + job, "ps2pdf", ["ps2pdf", job + ".ps", job + ".pdf"])


_KINDS: tuple[Callable[[dict[str, Any], str, Folder], Iterator[Tool]], ...] = (
    _bibliographies,
    _indexes,
    _texinfo,
    _glossaries,
    _programs,
    _rules,
    _figures,
    _behind,
)
