"""``cpods clean``: removes generated files that nobody has edited since.

Knows no rule of what may go; see majordomo/cleaning.py.
"""

import os
import shutil
import sys
from typing import TYPE_CHECKING

from cpods.cli.desk import check_folder, told

if TYPE_CHECKING:
    from cpods.declaration import Project
    from cpods.majordomo.cleaning import Cleaning

_SHOWN = 20


def run(folder: str, dry_run: bool, no_wait: bool) -> int:
    """Cleans, or says what would go; the exit code."""
    return told(lambda: _clean(folder, dry_run, no_wait))


async def _clean(folder: str, dry_run: bool, no_wait: bool) -> int:
    from cpods.majordomo.cleaning import carry_out, survey
    from cpods.ports import Changes
    from cpods.wiring import locked, opened, places, project_id

    check_folder(folder)
    project = project_or_defaults(folder)
    where = places(folder, project.store, os.environ)
    if not os.path.isdir(where.state):
        print("nothing to clean: cpods has built nothing here")
        return 0
    if dry_run:
        async with opened(where, project.store, os.environ) as site:
            _tell(survey(site.folder, site.memory.written), "would be removed")
        return 0
    async with locked(where, project.store, os.environ, not no_wait, lambda text: print(f"waiting: {text}", file=sys.stderr)) as (site, _):
        cleaning = survey(site.folder, site.memory.written)
        try:
            carry_out(cleaning, site.folder, [declaration.cwd for declaration in project.declarations])
        finally:
            gone = [path for path in (*cleaning.remove, *cleaning.gone) if not os.path.lexists(site.folder.absolute(path))]
            changes = Changes(files=site.folder.take_changed_states(), written=dict.fromkeys(gone))
            site.results.record(project_id(where.state), changes)
            site.results.commit()
            assert site.catalogue is not None
            await site.catalogue.save(changes)
            for mirror in os.scandir(os.path.join(where.state, "work")):  # they are made anew when a knot is iterated
                shutil.rmtree(mirror.path, ignore_errors=True)
        _tell(cleaning, "removed")
    return 0


def project_or_defaults(folder: str) -> "Project":
    """The project file's content; where there is none, the settings of a lone document. Raises ProjectFileError."""
    from cpods.declaration import Project, ProjectSettings, StoreSettings
    from cpods.project import PROJECT_FILE, parse

    try:
        with open(os.path.join(folder, PROJECT_FILE), "rb") as file:
            return parse(file.read())
    except FileNotFoundError:
        return Project(ProjectSettings(), StoreSettings(), ())


def _tell(cleaning: "Cleaning", verb: str) -> None:
    count = len(cleaning.remove)
    print(f"{count} generated file{'s' if count != 1 else ''} {verb}")
    for path in cleaning.edited[:_SHOWN]:
        print(f"kept: {path} was changed since it was made")
    if len(cleaning.edited) > _SHOWN:
        print(f"kept: {len(cleaning.edited) - _SHOWN} more that were changed")
