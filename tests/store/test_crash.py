"""kill -9 at any instant: the store opens, verifies and continues; what was committed is there, whole."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.store.catalogue import open_catalogue
from cpods.store.collect import fsck, held
from cpods.store.journal import recover
from cpods.store.manifests import ManifestStore
from cpods.store.memory import MemoryObjects, MemoryWorkspace
from cpods.store.objects import ObjectStore

#: Puts objects, manifests, path records, catalogue rows and journal lines; tells after each commit what is committed.
BUILDER = """
import asyncio, os, sys
from cpods.digest import of_bytes
from cpods.model import Output, Read, Result, Version
from cpods.ports import Changes, Written
from cpods.store.catalogue import open_catalogue
from cpods.store.journal import Journal
from cpods.store.manifests import ManifestStore
from cpods.store.objects import ObjectStore

async def build(root, start):
    store, manifests, journal = ObjectStore(root + "/store"), ManifestStore(root + "/store"), Journal(root)
    catalogue = open_catalogue(root + "/catalogue.db", "here")
    for turn in range(start, start + 100000):
        journal.begin(f"s{turn}", {f"out{turn}": "absent"}, 1, 1)
        changes = Changes()
        for number in range(5):
            artefact = store.put_bytes(b"%d-%d " % (turn, number) * 2000)
            result = Result(of_bytes(b"key%d" % (turn % 3)), f"s{turn}", (Read("a", f"{turn}-{number}"),),
                            (Output("b", Version(artefact.digest, artefact.size)),))
            manifests.add_result(result)
            changes.written[f"out{turn}"] = Written(f"s{turn}", artefact.digest)
            changes.artefacts[artefact.digest] = artefact.size
        store.commit()
        manifests.record("p", changes)
        manifests.commit()
        await catalogue.save(changes)
        journal.end(f"s{turn}")
        os.write(1, b"%d\\n" % turn)

asyncio.run(build(sys.argv[1], int(sys.argv[2])))
"""


def run_and_kill(root: Path, start: int, turns: int, extra_bytes: int) -> int:
    """Starts a builder, kills it some time after it has told of ``turns`` commits; returns the last turn it told of."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    builder = subprocess.Popen([sys.executable, "-c", BUILDER, str(root), str(start)], stdout=subprocess.PIPE, env=environment)
    assert builder.stdout is not None
    told = [int(builder.stdout.readline()) for _ in range(turns)]
    for _ in range(extra_bytes):  # some work of our own: the kill falls anywhere in the next turns
        of_bytes(b"x" * 10_000)
    builder.send_signal(signal.SIGKILL)
    told += [int(line) for line in builder.stdout.read().split(b"\n")[:-1]]
    builder.stdout.close()
    assert builder.wait() == -signal.SIGKILL
    return told[-1]


@pytest.mark.parametrize("seed", range(4))
def test_killed_builds_lose_nothing_that_was_committed(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    committed: list[int] = []
    start = 0
    for _ in range(3):
        last = run_and_kill(tmp_path, start, chance.randint(1, 4), chance.randint(0, 3000))
        committed += range(start, last + 1)
        check(tmp_path, committed)
        start = last + 10


def check(root: Path, committed: list[int]) -> None:
    store, manifests = ObjectStore(str(root / "store")), ManifestStore(str(root / "store"))
    checked = fsck(str(root / "store"))
    assert checked.damaged == ()
    wanted = [of_bytes(b"%d-%d " % (turn, number) * 2000) for turn in committed for number in range(5)]
    assert all(len(store.read(digest)) > 4000 for digest in wanted)
    results = [result for key in range(3) for result in manifests.results(of_bytes(b"key%d" % key))]
    assert {f"{turn}-{number}" for turn in committed for number in range(5)} <= {result.reads[0].digest for result in results}
    recorded = manifests.recorded("p").written
    assert {f"out{turn}" for turn in committed} <= recorded.keys()
    workspace = MemoryWorkspace(MemoryObjects())
    assert len(recover(str(root), workspace, lambda pid, ticks: True)) <= 1

    async def look() -> None:
        catalogue = open_catalogue(str(root / "catalogue.db"), "here")
        memory = await catalogue.load()
        await catalogue.close()
        assert {f"out{turn}" for turn in committed} <= memory.written.keys()
        # Registered after the objects were visible: the catalogue never names one that is not there.
        assert {entry.digest for entry in memory.written.values()} <= held(str(root / "store")).keys()

    asyncio.run(look())
    assert store.read(store.put_bytes(b"goes on").digest) == b"goes on"
    store.close()
