"""Incremental equals clean: random walks over shell graphs and TeX documents. A failure prints seed, actions and project.

WALKS=N walks instead of 200 (2,000 with ``-m soak``); knows nothing of how cpods decides.
"""

import os
from pathlib import Path

import pytest

from tests.helpers.texwalker import tex_walk
from tests.helpers.walker import walk

_WALKS = int(os.environ.get("WALKS", "200"))
_SOAK = int(os.environ.get("WALKS", "2000"))
#: Of all walks, the part that goes over TeX documents; each takes as long as ten others.
_TEX, _TEX_SOAK = 0.1, 0.15
_BATCH = 5


def _batches(first: int, count: int) -> list[range]:
    return [range(start, min(start + _BATCH, first + count)) for start in range(first, first + count, _BATCH)]


def _ids(seeds: range) -> str:
    return f"{seeds.start}-{seeds.stop - 1}"


_DOCUMENTS, _DOCUMENTS_SOAK = round(_WALKS * _TEX), round(_SOAK * _TEX_SOAK)


@pytest.mark.parametrize("seeds", _batches(0, _DOCUMENTS), ids=_ids)
def test_documents(seeds: range, ground: Path) -> None:
    for seed in seeds:
        tex_walk(seed, ground)


@pytest.mark.parametrize("seeds", _batches(0, _WALKS - _DOCUMENTS), ids=_ids)
def test_shell_graphs(seeds: range, ground: Path) -> None:
    for seed in seeds:
        walk(seed, ground)


@pytest.mark.soak
@pytest.mark.parametrize("seeds", _batches(10_000, _SOAK - _DOCUMENTS_SOAK), ids=_ids)
def test_many_shell_graphs(seeds: range, ground: Path) -> None:
    for seed in seeds:
        walk(seed, ground, actions=10)


@pytest.mark.soak
@pytest.mark.parametrize("seeds", _batches(10_000, _DOCUMENTS_SOAK), ids=_ids)
def test_many_documents(seeds: range, ground: Path) -> None:
    for seed in seeds:
        tex_walk(seed, ground, actions=8)
