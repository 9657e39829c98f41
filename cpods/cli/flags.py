"""The options of ``cpods rebuild`` as one value.

Knows no default of the project: None and '' mean that nothing was said.
"""

from typing import NamedTuple


class Flags(NamedTuple):
    """The options of the command as given."""

    goals: tuple[str, ...] = ()
    until_stable: bool = False
    once: bool = False
    seed: str = ""
    max_passes: int | None = None
    jobs: int = 0
    folder: str = "."
    keep_going: int = 1
    fail_fast: bool = False
    dry_run: bool = False
    force: bool = False
    no_wait: bool = False
    keep_unstable: bool = False
    report: str = ""
    json_lines: bool = False
    federation: str = ""
    placement: str = ""
    leave_remote: bool = False
    verbose: bool = False
