"""kill -9 at any instant: the store opens, verifies and continues; what was committed is there, whole."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from cpods.digest import of_bytes
from cpods.store import packs
from cpods.store.catalogue import open_catalogue
from cpods.store.collect import fsck, held
from cpods.store.journal import recover
from cpods.store.manifests import ManifestStore
from cpods.store.memory import MemoryObjects, MemoryWorkspace
from cpods.store.objects import ObjectStore
from cpods.store.packing import PackingStore

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
from cpods.store.packing import PackingStore

async def build(root, start, kind, count, copies):
    store, manifests, journal = kind(root + "/store"), ManifestStore(root + "/store"), Journal(root)
    catalogue = open_catalogue(root + "/catalogue.db", "here")
    for turn in range(start, start + 100000):
        journal.begin(f"s{turn}", {f"out{turn}": "absent"}, 1, 1)
        changes = Changes()
        for number in range(count):
            artefact = store.put_bytes(b"%d-%d " % (turn, number) * copies)
            key = b"key%d" % (turn % 3) if count < 64 else b"key%d" % number
            result = Result(of_bytes(key), f"s{turn}", (Read("a", f"{turn}-{number}"),),
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

asyncio.run(build(sys.argv[1], int(sys.argv[2]), globals()[sys.argv[3]], int(sys.argv[4]), int(sys.argv[5])))
"""


class Kind(NamedTuple):
    """What a builder does a turn: so many objects, each of its name so many times over."""

    store: type[ObjectStore]
    count: int
    copies: int


FEW = Kind(ObjectStore, 5, 2000)
CROWDS = Kind(PackingStore, 70, 20)


def run_and_kill(root: Path, start: int, turns: int, extra_bytes: int, kind: Kind) -> int:
    """Starts a builder, kills it some time after it has told of ``turns`` commits; returns the last turn it told of."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    words = [str(root), str(start), kind.store.__name__, str(kind.count), str(kind.copies)]
    builder = subprocess.Popen([sys.executable, "-c", BUILDER, *words], stdout=subprocess.PIPE, env=environment)
    assert builder.stdout is not None
    told = [int(builder.stdout.readline()) for _ in range(turns)]
    for _ in range(extra_bytes):  # some work of our own: the kill falls anywhere in the next turns
        of_bytes(b"x" * 10_000)
    builder.send_signal(signal.SIGKILL)
    told += [int(line) for line in builder.stdout.read().split(b"\n")[:-1]]
    builder.stdout.close()
    assert builder.wait() == -signal.SIGKILL
    return told[-1]


@pytest.mark.parametrize(("kind", "seed"), [*((FEW, seed) for seed in range(3)), *((CROWDS, seed) for seed in range(3))])
def test_killed_builds_lose_nothing_that_was_committed(tmp_path: Path, kind: Kind, seed: int) -> None:
    chance = random.Random(seed)
    committed: list[int] = []
    start = 0
    for _ in range(3):
        last = run_and_kill(tmp_path, start, chance.randint(1, 4), chance.randint(0, 3000), kind)
        committed += range(start, last + 1)
        check(tmp_path, committed, kind)
        start = last + 10


def check(root: Path, committed: list[int], kind: Kind) -> None:
    store, manifests = kind.store(str(root / "store")), ManifestStore(str(root / "store"))
    assert (kind is CROWDS) == bool(packs.names(store.root))
    checked = fsck(str(root / "store"))
    assert checked.damaged == ()
    wanted = [of_bytes(b"%d-%d " % (turn, number) * kind.copies) for turn in committed for number in range(kind.count)]
    assert all(len(store.read(digest)) >= 4 * kind.copies for digest in wanted)
    results = [result for key in range(max(3, kind.count)) for result in manifests.results(of_bytes(b"key%d" % key))]
    assert {f"{turn}-{number}" for turn in committed for number in range(kind.count)} <= {result.reads[0].digest for result in results}
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
