"""The examples whose programs are written by the documents that read what they print, on 1 and 4 pods: as on this machine alone."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.examples import CONTEXT, LATEX, Example
from tests.helpers.lab import Built, Lab, local

pytestmark = [pytest.mark.federation, pytest.mark.timeout(1200)]

EXAMPLES = [pytest.param(example, id=example.name) for example in (LATEX, CONTEXT)]


@pytest.fixture(scope="module", params=[1, 4], ids=lambda count: f"{count}-pods")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A federation of so many pods, two slots each."""
    with Lab(tmp_path_factory.mktemp(f"lab{request.param}")) as lab:
        lab.pods_at_once([f"pod{number}" for number in range(1, request.param + 1)])
        yield lab


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Example, bool], Built]:
    """An example or its swinging variant, built on this machine alone, once."""
    return functools.cache(lambda example, swings: local(example.copied(tmp_path_factory.mktemp("alone"), swings)))


@pytest.mark.parametrize("swings", [False, True], ids=["comes to rest", "swings"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_same_way_and_same_end(lab: Lab, alone: Callable[[Example, bool], Built], tmp_path: Path, example: Example, swings: bool) -> None:
    here = alone(example, swings)
    folder = example.copied(tmp_path, swings)
    built = lab.rebuild(folder)
    assert built.exit_code == here.exit_code == (3 if swings else 0), built.output
    assert _way(built) == _way(here)
    assert _steps(built) == _steps(here)
    assert "here" not in built.pods
    if not swings:
        assert (folder / here.report["goals"][0]["path"]).exists()
    assert lab.rebuild(folder).steps == []


def _steps(built: Built) -> list[str]:
    """Executed steps in order, but those that make the program: a federation that built the other variant has that in store."""
    return [step for step in built.steps if not step.startswith(("cc:", "link:"))]


def _way(built: Built) -> tuple[object, ...]:
    """Verdict, passes, and what each file that goes round holds at the end."""
    (knot,) = built.report["knots"]
    digests = {entry["path"]: entry["digest"] for entry in knot["feedback"]}
    return knot["steps"], knot["verdict"], knot["passes"], knot["tail"], knot["period"], digests
