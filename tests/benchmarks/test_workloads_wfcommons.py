"""Recipes as WfCommons generates them. Needs the extra ``benchmarks``: make test-benchmarks."""

import json
import random
from pathlib import Path

import msgspec
import numpy
import pytest

from benchmarks.recipes import RECIPES, recipe
from benchmarks.wfformat import from_wfformat
from benchmarks.workload import check, edge_bytes, is_external, work
from benchmarks.workloads import by_name

pytestmark = pytest.mark.benchmarks

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"


@pytest.mark.parametrize("name", [each.name for each in RECIPES])
def test_a_recipe_is_a_workload_with_edges(name: str, tmp_path: Path) -> None:
    found = check(recipe(name, 300, 3, tmp_path))
    assert found.name == f"{name}:300:3"
    assert 150 <= len(found.runtime) <= 300
    assert sum(len(each) for each in found.followers) >= len(found.runtime) // 2
    assert work(found) > 0
    assert any(is_external(found, file) for file in range(len(found.size)))
    assert recipe(name, 300, 4, tmp_path).runtime != found.runtime


def test_recipes_are_those_that_the_prototype_measured(tmp_path: Path) -> None:
    """Its printed gigabytes and per cent of the bytes read give the bytes read, within what it rounded."""
    rows = json.loads((PEERS / "place_sim.json").read_bytes())["rows"]
    row = next(row for row in rows if (row["recipe"], row["policy"], row["bytes_per_second"]) == ("Montage", "random", 100_000_000))
    assert edge_bytes(recipe("Montage", 1000, 1, tmp_path)) / 1e9 == pytest.approx(row["moved_GB"] / row["moved_pct"] * 100, rel=5e-4)


def test_generating_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    random.seed(5)
    numpy.random.seed(5)
    expected = (random.Random(5).random(), numpy.random.RandomState(5).random_sample())
    recipe("Montage", 200, 1, tmp_path)
    assert (random.random(), numpy.random.random_sample()) == expected


def test_what_was_generated_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = by_name("srasearch:100:1")
    (entry,) = (tmp_path / "cpods-benchmarks").iterdir()
    entry.write_bytes(msgspec.msgpack.encode(msgspec.structs.replace(made, name="kept")))
    assert by_name("Srasearch:100:1").name == "kept"
    entry.write_bytes(b"damaged")
    assert by_name("Srasearch:100:1") == made == recipe("Srasearch", 100, 1)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert recipe("Srasearch", 100, 1, tmp_path / "file" / "cache") == recipe("Srasearch", 100, 1, tmp_path)


def test_wfcommons_own_files_are_read_as_the_recipe_was(tmp_path: Path) -> None:
    import wfcommons.wfchef.recipes as recipes
    from wfcommons import WorkflowGenerator

    random.seed(1)
    numpy.random.seed(1)
    path = tmp_path / "epigenomics.json"
    WorkflowGenerator(recipes.EpigenomicsRecipe.from_num_tasks(150)).build_workflow().write_json(path)
    found, expected = from_wfformat(path), recipe("Epigenomics", 150, 1, tmp_path)
    for part in ("runtime", "inputs", "outputs", "size", "names"):
        assert getattr(found, part) == getattr(expected, part), part
    assert [sorted(each) for each in found.followers] == [sorted(each) for each in expected.followers]


def test_too_few_tasks_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^Recipe Montage makes no workflow of 3 tasks, ask for more: [^\n]*\.$"):
        recipe("Montage", 3, 1, tmp_path)
