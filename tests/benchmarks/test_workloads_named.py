"""Workloads by the names that command lines take, and in files."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.library import library
from benchmarks.recipes import RECIPES, recipe
from benchmarks.workload import check, is_external
from benchmarks.workloads import CHOICES, books, by_name, dask_dag, layered, load, recorded, recorded_names, save, shared_database, stress

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"


def test_numbers_are_taken_in_order_and_may_be_left_out() -> None:
    assert by_name("layered:50:3") == layered(50, 3)
    assert by_name("layered:50") == layered(50, 1)
    assert by_name("stress:3:20:30:4") == stress(3, 20, 30, 4)
    assert by_name("dask-dag") == dask_dag(1)
    assert by_name("shared-database:20:2:5") == shared_database(20, 2, 5)
    assert by_name("books:2") == books(2, 1)
    assert by_name("book") == recorded("book")


def test_a_name_is_that_of_the_workload() -> None:
    for text in ("layered:50:3", "stress:3:20:30:4", "dask-dag:1", "shared-database:20:2:5", "books:2:1", "curl"):
        assert by_name(text).name == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nothing", CHOICES),
        ("", CHOICES),
        ("nowhere/mine.json", CHOICES),
        ("curl:3", CHOICES),
        ("RNASeq:100:1", CHOICES),
        ("layered:x", "is not of the form layered:STEPS:SEED"),
        ("layered:-5", "is not of the form layered:STEPS:SEED"),
        ("layered:1:2:3", "is not of the form layered:STEPS:SEED"),
        ("montage::1", "is not of the form Montage:TASKS:SEED"),
        ("books:0", "is too small: books:COPIES:SEED begins at 1:0"),
    ],
)
def test_an_unknown_name_is_refused_in_one_sentence_that_helps(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=rf"^Workload {re.escape(repr(text))} [^\n]*{re.escape(says)}[^\n]*\.$"):
        by_name(text)


def test_choices_name_all_there_is() -> None:
    for name in (*(each.name for each in RECIPES), "layered", "stress", "dask-dag", "shared-database", "books", *recorded_names(), ".json"):
        assert name in CHOICES


def test_an_unknown_recipe_and_an_unknown_project_name_the_known() -> None:
    with pytest.raises(ValueError, match="Recipe 'RNASeq' is unknown; choose one of Blast, .*Bwa"):
        recipe("RNASeq", 100)
    with pytest.raises(ValueError, match=r"No project '\.\./x' was recorded; choose one of book, curl"):
        recorded("../x")


def test_nine_recipes_of_which_five_were_tuned_on() -> None:
    assert [each.name for each in RECIPES if each.tuned] == ["Blast", "Soykb", "Montage", "Epigenomics", "Seismology"]
    assert [each.name for each in RECIPES if not each.tuned] == ["Genome", "Cycles", "Srasearch", "Bwa"]


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "stress.json"
    save(stress(1, 10, 20, 2), path, "drawn for a test")
    assert load(path) == by_name(str(path)) == stress(1, 10, 20, 2)
    assert json.loads(path.read_bytes())["made"] == "drawn for a test"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("no JSON", "neither a workload of ours nor WfFormat"),
        ('{"made": "x", "workload": {"name": "x"}}', "neither a workload of ours nor WfFormat"),
        ('{"name": "x"}', "not WfFormat"),
        ('{"made": "", "workload": {"name": "x", "runtime": [], "inputs": [], "outputs": [], "size": [], "followers": []}}', "and a step"),
    ],
)
def test_a_file_that_is_no_workload(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"^[^\n]*{says}[^\n]*\.$"):
        load(path)


def test_books_of_a_library_share_style_files_and_nothing_else() -> None:
    book = recorded("book")
    found = check(library(book, 5, 1))
    steps = len(book.runtime)
    assert len(found.runtime) == 5 * steps
    reads = [{file for files in found.inputs[start : start + steps] for file in files} for start in range(0, 5 * steps, steps)]
    shared = set.intersection(*reads)
    assert len(shared) == 6 and all(is_external(found, file) for file in shared)
    assert all(one & other == shared for place, one in enumerate(reads) for other in reads[:place])
    for step, name in enumerate(found.names):
        assert (shared <= set(found.inputs[step])) == ("latex:" in name)
        assert all(step // steps == follower // steps for follower in found.followers[step])
    assert len(set(found.runtime)) == len(found.runtime)
    assert library(book, 5, 1) == found != library(book, 5, 2)


def test_the_prototypes_figures_are_whole() -> None:
    figures = json.loads((PEERS / "place_sim.json").read_bytes())
    found = {(row["recipe"], row["policy"], row["bytes_per_second"]) for row in figures["rows"]}
    policies = {"random", "rr", "least", "maxlocal", "dask", "est", "estb", "est_all"}
    assert found == {(each.name, policy, speed) for each in RECIPES for policy in policies for speed in (10_000_000, 100_000_000)}
    assert len(figures["rows"]) == len(found)
    assert figures["versions"]["wfcommons"] and figures["versions"]["numpy"]
    assert all(row["mk_over_lb"] >= 1 and 0 <= row["moved_pct"] <= 100 and row["fetches"] > 0 for row in figures["rows"])
