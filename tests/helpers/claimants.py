"""Many claimants of one path in one process: ``python -m tests.helpers.claimants CATALOGUE NAME COUNT EPOCHS``.

Prints, as JSON, the wins that they were told of: [[epoch, pod, digest], ...]. Each claim is made twice, the second time as one
whose answer was lost is.
"""

import asyncio
import json
import sys

from cpods.store.catalogue import open_catalogue
from cpods.store.ownership import SqlOwnership

PATH = "result"
START_SECONDS_MAX = 60.0


async def claimant(ownership: SqlOwnership, pod: str, epochs: int, wins: list[tuple[int, str, str]]) -> None:
    """Claims every epoch that it sees, with a version of its own, until ``epochs`` are over."""
    epoch = 0
    while epoch < epochs:
        claim = (PATH, epoch, pod, f"digest of {pod} over {epoch}")
        first = await ownership.claim(*claim)
        again = await ownership.claim(*claim)
        if first.won_by(claim):
            wins.append((first.epoch, first.pod, first.digest))
        assert again.epoch >= first.epoch and (again == first or again.epoch > first.epoch), "the answer to a repeated claim"
        epoch = again.epoch


async def compete(catalogue: str, name: str, count: int, epochs: int) -> list[tuple[int, str, str]]:
    """``count`` claimants at once; what they won."""
    opened = open_catalogue(catalogue, name)
    wins: list[tuple[int, str, str]] = []
    try:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)  # all processes start together
        async with asyncio.timeout(START_SECONDS_MAX * 3), asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(claimant(opened.ownership, f"{name}-{number}", epochs, wins))
    finally:
        await opened.close()
    return wins


if __name__ == "__main__":
    catalogue_file, process_name, claimants, last_epoch = sys.argv[1:5]
    print(json.dumps(asyncio.run(compete(catalogue_file, process_name, int(claimants), int(last_epoch)))), flush=True)
