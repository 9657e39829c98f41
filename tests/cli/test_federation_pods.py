"""`cpods pod` and `cpods artefact` against real pods: two of them, and a project that one of them has built."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.town import Outcome, Town

LINE = """\
[project]
goals = ["out.txt"]

[federation]
name = "town"

[[step]]
name = "upper"
run = "tr a-z A-Z < in.txt > mid.txt"
inputs = ["in.txt"]
outputs = ["mid.txt"]

[[step]]
name = "order"
run = "sort mid.txt > out.txt"
inputs = ["mid.txt"]
outputs = ["out.txt"]
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A federation with the pods alpha and beta that run, and gamma that does not."""
    town = Town(tmp_path_factory.mktemp("town"))
    try:
        assert town.found().code == 0
        for name in ("alpha", "beta", "gamma"):
            assert town.join(name).code == 0
        for name in ("alpha", "beta"):
            town.pod(name, "--slots", "2", "--tag", f"room={name}")
        yield town
    finally:
        town.close()


@pytest.fixture
def project(town: Town, tmp_path: Path) -> Path:
    """A project of two steps, built by alpha: beta takes none meanwhile."""
    (tmp_path / "cpods.toml").write_text(LINE)
    (tmp_path / "in.txt").write_text(f"b\na\n{tmp_path.name}\n")
    assert town.quick("founder", "pod", "drain", "beta").code == 0
    built = town.quick("founder", "rebuild", folder=tmp_path)
    assert built.code == 0 and (tmp_path / "out.txt").exists(), built
    assert town.quick("founder", "pod", "drain", "--off", "beta").code == 0
    return tmp_path


def artefact(town: Town, project: Path, *arguments: str) -> Outcome:
    return town.quick("founder", "artefact", *arguments, folder=project)


def where(town: Town, project: Path, path: str) -> dict[str, object]:
    done = artefact(town, project, "where", path, "--json")
    assert done.code == 0, done
    found: dict[str, object] = json.loads(done.out)
    return found


def test_the_list_shows_what_pods_are(town: Town) -> None:
    shown = town.call("founder", "pod", "list")
    assert shown.code == 0
    rows = {line.split()[0]: line for line in shown.out.splitlines()}
    assert "2/2 free" in rows["alpha"] and "ready" in rows["alpha"] and "GiB" in rows["alpha"]
    assert "not running" in rows["gamma"] and "never" in rows["gamma"]
    pods = {pod["pod"]: pod for pod in json.loads(town.quick("alpha", "pod", "list", "--json").out)}
    assert pods["beta"]["slots"] == 2 and pods["beta"]["tags"] == [["room", "beta"]] and "shell" in pods["beta"]["chefs"]
    assert pods["beta"]["age_seconds"] < 16 and pods["gamma"] == {"pod": "gamma", "state": "not running"}
    assert "  tags: room=alpha" in town.quick("founder", "pod", "list", "--wide").out


def test_where_tells_owner_and_holders(town: Town, project: Path) -> None:
    mid = where(town, project, "mid.txt")
    assert (mid["owner"], mid["epoch"], mid["holders"], mid["in_folder"]) == ("alpha", 1, ["alpha"], False)
    out = where(town, project, "out.txt")
    assert out["owner"] == "alpha" and out["in_folder"] is True and "here" in out["holders"]  # type: ignore[operator]
    source = where(town, project, "in.txt")
    assert source["owner"] is None and source["epoch"] == 0
    plain = artefact(town, project, "where", str(mid["digest"]))
    assert plain.out.splitlines()[0] == mid["digest"] and "holders  alpha" in plain.out and "owner" not in plain.out
    wrong = artefact(town, project, "where", "mit.txt")
    assert wrong.code == 2 and "did you mean mid.txt?" in wrong.err


def test_refresh_moves_bytes_only_where_they_are_missing(town: Town, project: Path) -> None:
    fetched = artefact(town, project, "refresh", "mid.txt")
    assert fetched.code == 0 and "version of alpha (epoch 1)" in fetched.out and "from alpha to the project folder" in fetched.out
    assert (project / "mid.txt").read_text().startswith("B\nA\n")
    assert artefact(town, project, "refresh", "mid.txt").out == "mid.txt: 0 bytes: it is there already\n"
    (project / "mid.txt").write_text("by hand\n")
    replaced = artefact(town, project, "refresh", "mid.txt")
    assert "what was there is kept as xxh3:" in replaced.out and "0 bytes moved: taken from the store here" in replaced.out
    assert (project / "mid.txt").read_text().startswith("B\nA\n")
    brought = artefact(town, project, "refresh", "mid.txt", "--to", "beta")  # from alpha or from here: both have it now
    assert brought.code == 0 and " to beta" in brought.out and "0 bytes" not in brought.out
    assert "0 bytes: it is there already" in artefact(town, project, "refresh", "mid.txt", "--to", "beta").out


def test_move_passes_the_ownership_on_and_builds_go_on_from_there(town: Town, project: Path) -> None:
    moved = artefact(town, project, "move", "mid.txt", "--to", "beta")
    assert moved.code == 0 and "beta owns it now (epoch 2, before: alpha)" in moved.out and "from alpha to beta" in moved.out
    assert where(town, project, "mid.txt")["owner"] == "beta"
    assert "beta owns it already" in artefact(town, project, "move", "mid.txt", "--to", "beta").out
    back = artefact(town, project, "move", "mid.txt", "--to", "here")
    assert "here owns it now (epoch 3, before: beta)" in back.out and (project / "mid.txt").exists()
    again = town.quick("founder", "rebuild", folder=project)
    assert again.code == 0 and "nothing was run" in again.out


def test_copy_and_pin(town: Town, project: Path) -> None:
    digest = str(where(town, project, "in.txt")["digest"])
    assert "from" in artefact(town, project, "copy", digest, "--to", "beta").out
    assert "beta" in where(town, project, "in.txt")["holders"]  # type: ignore[operator]
    (project / "note.txt").write_text(f"only here {project}\n")
    assert "from here to beta" in artefact(town, project, "copy", "note.txt", "--to", "beta").out
    assert "kept for good on beta" in artefact(town, project, "pin", "note.txt", "--to", "beta").out
    assert "kept for good in the store here" in artefact(town, project, "pin", "mid.txt").out


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["copy", "in.txt", "--to", "gamma"], 5, "pod gamma of town does not run"),
        (["move", "in.txt", "--to", "beta"], 2, "in.txt has no owner"),
        (["refresh", "in.txt"], 2, "in.txt has no owner"),
        (["where", "in.txt", "-C", "nowhere"], 2, "-C nowhere: there is no such folder"),
        (["copy", "xxh3:" + "0" * 32, "--to", "beta"], 5, "nobody who runs holds xxh3:000"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(town: Town, project: Path, arguments: list[str], code: int, reason: str) -> None:
    done = artefact(town, project, *arguments)
    assert done.code == code and reason in done.err and done.err.count("\n") == 1


def test_a_project_without_a_federation_has_its_own_store(town: Town, tmp_path: Path) -> None:
    (tmp_path / "cpods.toml").write_text(LINE.replace('[federation]\nname = "town"\n', ""))
    (tmp_path / "in.txt").write_text("x\n")
    nothing = artefact(town, tmp_path, "where", "in.txt")
    assert nothing.code == 2 and "cpods has built nothing" in nothing.err
    assert town.quick("stranger", "rebuild", folder=tmp_path).code == 0
    shown = where(town, tmp_path, "mid.txt")
    assert shown["owner"] == "here" and shown["holders"] == ["here"] and shown["epoch"] == 1
    (tmp_path / "mid.txt").unlink()
    assert artefact(town, tmp_path, "refresh", "mid.txt").code == 0 and (tmp_path / "mid.txt").read_text() == "X\n"
    digest = str(where(town, tmp_path, "mid.txt")["digest"])
    (tmp_path / "note.txt").write_text("pinned\n")
    pinned = str(where(town, tmp_path, "note.txt")["digest"])
    assert "kept for good in the store here" in artefact(town, tmp_path, "pin", "note.txt").out
    (tmp_path / "loose.txt").write_text("not pinned\n")
    loose = str(where(town, tmp_path, "loose.txt")["digest"])
    assert artefact(town, tmp_path, "copy", "loose.txt", "--to", "here").code == 0
    with open(tmp_path / "cpods.toml", "a") as file:
        file.write("[store]\nmax_bytes = 1\n")
    assert town.quick("stranger", "store", "collect", folder=tmp_path).code == 0
    for name in ("note.txt", "loose.txt"):
        (tmp_path / name).unlink()
    assert where(town, tmp_path, pinned)["holders"] == ["here"] == where(town, tmp_path, digest)["holders"]
    assert where(town, tmp_path, loose)["holders"] == []
    refused = artefact(town, tmp_path, "move", "mid.txt", "--to", "beta")
    assert refused.code == 2 and "this project has no federation" in refused.err


def test_drain_hands_everything_on(town: Town, project: Path) -> None:
    drained = town.call("founder", "pod", "drain", "alpha")
    assert drained.code == 0, drained
    assert "alpha is drained" in drained.out and "it may leave: `cpods pod stop alpha`" in drained.out
    assert "alpha takes no more steps" in drained.err and "have other owners" in drained.err
    assert "draining" in town.quick("founder", "pod", "list").out
    assert "beta" in where(town, project, "mid.txt")["holders"]  # type: ignore[operator]
    alone = town.quick("founder", "pod", "drain", "beta")
    assert alone.code == 2 and "no other pod runs that could take them" in alone.err
    assert town.quick("founder", "pod", "drain", "--off", "beta").code == 0
    built = town.quick("founder", "rebuild", folder=project)
    assert built.code == 0 and "nothing was run" in built.out
    assert where(town, project, "mid.txt")["owner"] == "beta"
    stopped = town.quick("founder", "pod", "stop", "alpha")
    assert stopped.code == 0 and "pod alpha ends" in stopped.out
    gone = town.quick("founder", "pod", "drain", "gamma")
    assert gone.code == 5 and "pod gamma does not run" in gone.err
    assert town.quick("founder", "pod", "stop", "delta").code == 2
