"""What a project asks for: the validated content of ``cpods.toml``, or of a bare ``.tex``.

Knows no file: :mod:`cpods.project` reads bytes into these.
"""

from typing import Literal

import msgspec

Policy = Literal["fail", "choose"]
#: Whether a pod that runs a step must have tools with the same fingerprint as here.
ToolMatch = Literal["same", "any"]


class ProjectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[project]`` table. ``date`` is ``today`` or ``YYYY-MM-DD``; ``env`` names variables that every step gets."""

    name: str = ""
    goals: tuple[str, ...] = ()
    date: str = "today"
    until_stable: bool = False
    env: tuple[str, ...] = ()


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[store]`` table. ``path`` empty means ``.cpods/objects``; ``max_bytes`` defaults to 10 GiB."""

    path: str = ""
    max_bytes: int = 10 << 30
    algorithm: Literal["xxh3", "blake3"] = "xxh3"


class FederationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[federation]`` table. ``name``: whose pods run the steps ('' = this machine); ``placement``: the strategy's name."""

    name: str = ""
    placement: str = "max-locality"


class LatexDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``[[step]]`` with ``chef = "latex"``: one document."""

    main: str
    chef: Literal["latex"] = "latex"
    engine: Literal["pdflatex", "xelatex", "lualatex"] = "pdflatex"
    bibliography: Literal["auto", "bibtex", "biber", "none"] = "auto"
    index: Literal["auto", "none"] = "auto"
    jobname: str = ""
    synctex: bool = True
    shell_escape: bool = False
    cwd: str = "."
    env: tuple[str, ...] = ()
    max_passes: int | None = None
    policy: Policy = "fail"
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


Declaration = LatexDeclaration | ShellDeclaration | CompilerDeclaration


class Project(msgspec.Struct, frozen=True):
    """A project as the user wrote it. ``where[i]`` is ``file:line`` of declaration ``i``; ``file`` is empty for a bare ``.tex``."""

    settings: ProjectSettings
    store: StoreSettings
    declarations: tuple[Declaration, ...]
    where: tuple[str, ...] = ()
    file: str = ""
    federation: FederationSettings = FederationSettings()
