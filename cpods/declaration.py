"""What a project asks for: the validated content of ``cpods.toml``, or of a bare ``.tex``.

Knows no file: :mod:`cpods.project` reads bytes into these.
"""

from typing import Literal

import msgspec

Policy = Literal["fail", "choose"]
#: Whether a pod that runs a step must have tools with the same fingerprint as here.
ToolMatch = Literal["same", "any"]


class ProjectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[project]`` table. ``date`` is ``today`` or ``YYYY-MM-DD``; ``env`` names variables that every step gets.

    ``preamble``: as in a LaTeX document, for those that say nothing of it.
    """

    name: str = ""
    goals: tuple[str, ...] = ()
    date: str = "today"
    until_stable: bool = False
    env: tuple[str, ...] = ()
    preamble: Literal["run", "cache"] = "run"


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[store]`` table. ``path`` empty means ``.cpods/objects``; ``max_bytes`` defaults to 10 GiB."""

    path: str = ""
    max_bytes: int = 10 << 30
    algorithm: Literal["xxh3", "blake3"] = "xxh3"


class FederationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[federation]`` table. ``name``: whose pods run the steps ('' = this machine); ``placement``: the strategy's name."""

    name: str = ""
    placement: str = "locality"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a document's ``rules``: how a file with ending ``to`` is made of one with ending ``from``, beside it.

    ``run``: a command line in which ``{from}`` and ``{to}`` stand for the two files, ``{stem}`` for their common name.
    """

    source: str = msgspec.field(name="from")
    to: str = msgspec.field()
    run: str = msgspec.field()


class LatexDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``[[step]]`` with ``chef = "latex"``: one document.

    ``engine`` ``latex`` makes DVI, from which dvips and ps2pdf make what ``output`` asks for. ``shell_escape``: any
    program, or only those that are named. ``figures``: whether pictures that the document externalises are steps.
    ``preamble``: whether it is run in each pass, or once, and kept in a format.
    """

    main: str
    chef: Literal["latex"] = "latex"
    engine: Literal["pdflatex", "xelatex", "lualatex", "latex"] = "pdflatex"
    output: Literal["pdf", "ps", "dvi"] = "pdf"
    bibliography: Literal["auto", "bibtex", "biber", "none"] = "auto"
    index: Literal["auto", "none"] = "auto"
    figures: Literal["auto", "none"] = "auto"
    rules: tuple[Rule, ...] = ()
    preamble: Literal["project", "run", "cache"] = "project"
    jobname: str = ""
    synctex: bool = True
    shell_escape: bool | tuple[str, ...] = False
    cwd: str = "."
    env: tuple[str, ...] = ()
    max_passes: int | None = None
    policy: Policy = "fail"
    timeout: float | None = None
    tool_match: ToolMatch = "same"


class TexDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``[[step]]`` with ``chef = "tex"``: one document for plain TeX or Texinfo.

    ``engine``: which TeX, with the plain format unless ``format`` names another. ``output``: ``tex`` and ``etex`` make
    DVI, from which dvips and ps2pdf (or dvipdfmx, if ``dvi_driver`` says so) make the rest.
    """

    main: str
    chef: Literal["tex"] = "tex"
    engine: Literal["pdftex", "tex", "etex", "luatex", "xetex"] = "pdftex"
    format: str = ""
    output: Literal["pdf", "ps", "dvi"] = "pdf"
    dvi_driver: Literal["dvips", "dvipdfmx"] = "dvips"
    bibliography: Literal["auto", "bibtex", "none"] = "auto"
    index: Literal["auto", "none"] = "auto"
    rules: tuple[Rule, ...] = ()
    jobname: str = ""
    shell_escape: bool | tuple[str, ...] = False
    cwd: str = "."
    env: tuple[str, ...] = ()
    max_passes: int | None = None
    policy: Policy = "fail"
    timeout: float | None = None
    tool_match: ToolMatch = "same"


class ContextDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``[[step]]`` with ``chef = "context"``: one ConTeXt document, product or component.

    ``engine``: MkIV on LuaTeX or LMTX on LuaMetaTeX. ``mode``, ``arguments``, ``path`` as the options of ``context``.
    """

    main: str
    chef: Literal["context"] = "context"
    engine: Literal["mkiv", "lmtx"] = "mkiv"
    mode: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    bibliography: Literal["auto", "none"] = "auto"
    jobname: str = ""
    synctex: bool = False
    cwd: str = "."
    env: tuple[str, ...] = ()
    max_passes: int | None = None
    policy: Policy = "fail"
    timeout: float | None = None
    tool_match: ToolMatch = "same"


class MetapostDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``[[step]]`` with ``chef = "metapost"``: the figures of one MetaPost file.

    ``outputs``: the figures that others wait for; what else it writes is found out. ``tex``: what typesets its labels.
    """

    main: str
    chef: Literal["metapost"] = "metapost"
    outputs: tuple[str, ...] = ()
    tex: Literal["tex", "latex"] = "tex"
    cwd: str = "."
    env: tuple[str, ...] = ()
    timeout: float | None = None
    tool_match: ToolMatch = "same"


class ShellDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``[[step]]`` with ``chef = "shell"`` (the default): one command line."""

    name: str
    run: str
    chef: Literal["shell"] = "shell"
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    insignificant: tuple[str, ...] = ()
    tools: tuple[str, ...] | None = None
    depfile: str = ""
    cwd: str = "."
    env: tuple[str, ...] = ()
    max_passes: int | None = None
    policy: Policy = "fail"
    timeout: float | None = None
    tool_match: ToolMatch = "same"


class CompilerDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``[[step]]`` with ``chef = "compiler"``: one C or C++ program, objects first, then the link."""

    program: str
    sources: tuple[str, ...]
    chef: Literal["compiler"] = "compiler"
    include: tuple[str, ...] = ()
    cflags: tuple[str, ...] = ()
    ldflags: tuple[str, ...] = ()
    std: str = ""
    cwd: str = "."
    env: tuple[str, ...] = ()
    tool_match: ToolMatch = "same"


#: What is made of one main file, through passes.
Document = LatexDeclaration | TexDeclaration | ContextDeclaration
Declaration = Document | MetapostDeclaration | ShellDeclaration | CompilerDeclaration


class Project(msgspec.Struct, frozen=True):
    """A project as the user wrote it. ``where[i]`` is ``file:line`` of declaration ``i``; ``file`` is empty for a bare ``.tex``.

    ``positions``: where only some of the declarations are here, the place in the project file of each.
    """

    settings: ProjectSettings
    store: StoreSettings
    declarations: tuple[Declaration, ...]
    where: tuple[str, ...] = ()
    file: str = ""
    federation: FederationSettings = FederationSettings()
    positions: tuple[int, ...] = ()
