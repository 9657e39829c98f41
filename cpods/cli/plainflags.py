"""Reads the options of ``cpods rebuild`` where they are plain, without typer, which costs more than a small build.

Knows no help and no error: whatever is unusual is left to typer, whose word on options is the one that counts (app.py).
"""

from cpods.store.columns import TYPE_CHECKING

if TYPE_CHECKING:
    from cpods.cli.flags import Flags

_SWITCHES = {
    "--until-stable": "until_stable",
    "--once": "once",
    "--fail-fast": "fail_fast",
    "-n": "dry_run",
    "--dry-run": "dry_run",
    "--force": "force",
    "--no-wait": "no_wait",
    "--keep-unstable": "keep_unstable",
    "--json": "json_lines",
    "--leave-remote": "leave_remote",
    "-v": "verbose",
    "--verbose": "verbose",
}
_TEXTS = {"--seed": "seed", "-C": "folder", "--report": "report", "--federation": "federation", "--placement": "placement"}
#: With the least value that is allowed.
_NUMBERS = {"--max-passes": ("max_passes", 1), "-j": ("jobs", 0), "--jobs": ("jobs", 0), "-k": ("keep_going", 0)}


def plain(arguments: list[str]) -> "Flags | None":
    """What the arguments behind ``rebuild`` say; None if there is anything in them that typer should look at."""
    from cpods.cli.flags import Flags

    said = spoken(arguments)
    return None if said is None else Flags(**said)  # type: ignore[arg-type]


def spoken(arguments: list[str]) -> dict[str, object] | None:
    """As :func:`plain`: the fields of Flags that the arguments speak of, and ``goals`` in any case."""
    said: dict[str, object] = {}
    goals: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _SWITCHES:
            said[_SWITCHES[argument]] = True
        elif not argument.startswith("-"):
            goals.append(argument)
        else:
            name, value = _split(argument)
            if not _take(said, name, next(rest, "") if value is None else value):
                return None
    if "" in goals:
        return None
    said["goals"] = tuple(goals)
    return said


def _split(argument: str) -> tuple[str, str | None]:
    """Name and value of ``--name=value`` or ``-Nvalue``; None if the value is the next argument."""
    if argument.startswith("--"):
        name, equals, value = argument.partition("=")
        return name, value if equals else None
    return argument[:2], argument[2:] or None


def _take(said: dict[str, object], name: str, value: str) -> bool:
    """Notes an option that takes a value; False if it is none, or its value is not plain."""
    if not value or value[0] in "-=":
        return False
    if name in _TEXTS:
        said[_TEXTS[name]] = value
        return True
    if name in _NUMBERS and value.isascii() and value.isdigit():
        field, least = _NUMBERS[name]
        said[field] = int(value)
        return int(value) >= least
    return False
