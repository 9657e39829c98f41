"""A watch under random saves, renames, deletes, checkouts and kills: after every quiet moment the project is as a clean build's."""

import os
import time
from pathlib import Path

import pytest

from tests.helpers.calls import Zygote, cpods  # noqa: F401  a fixture
from tests.helpers.soaking import PROJECTS, Soak

SHORT_SECONDS = 6
LONG_SECONDS = 600


@pytest.mark.parametrize("name", PROJECTS)
def test_a_short_soak(name: str, cpods: Zygote, tmp_path: Path) -> None:  # noqa: F811
    Soak(name, 7, tmp_path, cpods).run(SHORT_SECONDS)


@pytest.mark.soak
@pytest.mark.timeout(LONG_SECONDS * 3)
@pytest.mark.parametrize("name", PROJECTS)
def test_a_long_soak(name: str, cpods: Zygote, tmp_path: Path) -> None:  # noqa: F811
    """``CPODS_SOAK_SEED`` repeats a run; without it each is another."""
    seed = int(os.environ.get("CPODS_SOAK_SEED") or time.time_ns() % 10**9)
    print(f"seed {seed}")
    Soak(name, seed, tmp_path, cpods).run(LONG_SECONDS)
