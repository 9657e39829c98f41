"""A lost or damaged catalogue made again from the store.

Knows no step's meaning: it carries over what was recorded.
"""

import os
from contextlib import suppress

from cpods.ports import Changes, Results
from cpods.store.catalogue import open_catalogue
from cpods.store.collect import held


async def rebuild_catalogue(path: str, pod: str, results: Results, project: str, store_root: str) -> Changes:
    """Sets the catalogue at ``path`` aside (``.damaged``) and writes a new one from the project's path records.

    File states are not recorded: the next build hashes each file once, and runs nothing. Returns what was carried over.
    Call it under the project's lock. Raises OSError.
    """
    _set_aside(path)
    memory = results.recorded(project)
    changes = Changes(written=dict(memory.written), results=dict(memory.results), knots=dict(memory.knots), artefacts=held(store_root))
    catalogue = open_catalogue(path, pod)
    try:
        await catalogue.save(changes)
    finally:
        await catalogue.close()
    return changes


def _set_aside(path: str) -> None:
    with suppress(FileNotFoundError):
        os.replace(path, path + ".damaged")
    for companion in ("-wal", "-shm"):  # they belong to the old file; beside a new one they would spoil it
        with suppress(FileNotFoundError):
            os.unlink(path + companion)
