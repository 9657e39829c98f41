"""Placement as dispatch asks for it."""

from pathlib import Path

import pytest

from cpods.digest import of_bytes
from cpods.errors import UsageError
from cpods.majordomo.far.dispatch import Job
from cpods.majordomo.far.placing import Placer
from cpods.net.messages import StepRequest
from tests.helpers.farside import farside, shell
from tests.helpers.playedpods import Town
from tests.helpers.stilltime import play


def test_bytes_and_preferences_decide(tmp_path: Path) -> None:
    async def story() -> None:
        town = Town()
        async with farside(tmp_path, town, [shell("a")], ["east", "west"]) as side:
            side.estate.hold("west", {of_bytes(b"big"): 1_000})
            placer = Placer("max-locality", side.estate, side.fleet)
            tree = side.landscape.tree().artefact
            job = Job(StepRequest("id", side.order("a"), tree), side.order("a").step, [(of_bytes(b"big"), 1_000)], "fit")
            assert placer.choose(job, ["east", "west"], lambda pod: 0) == "west"
            placer.prefer("id", "east")
            assert placer.choose(job, ["east", "west"], lambda pod: 0) == "east", "it runs there already"
            assert placer.choose(job, ["east", "west"], lambda pod: 0) == "west"
            with pytest.raises(UsageError, match="best-guess"):
                Placer("best-guess", side.estate, side.fleet)

    play(story())
