"""What of the paths that may have changed really did: by content, through links, by pattern, by tool."""

import os
from pathlib import Path

import pytest

from cpods.resident.ground import footing_of
from cpods.scheduler.lookout import Changes
from tests.helpers.footings import footing


def paths(root: Path, *names: str) -> Changes:
    return Changes(frozenset(str(root / name) for name in names))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    (place / "src").mkdir(parents=True)
    for name in ("a", "b", "c"):
        (place / "src" / name).write_text(f"this is {name}")
    return place


def test_only_another_content_counts(root: Path) -> None:
    ground = footing(root, "src/a", "src/b", "src/missing")
    os.utime(root / "src" / "a")
    (root / "src" / "b").write_text("this is b")
    assert ground.check(paths(root, "src/a", "src/b", "src/c", "src/missing", "nothing of ours")) == []
    assert ground.holds()
    (root / "src" / "b").write_text("THIS IS b")
    (root / "src" / "missing").write_text("here")
    assert ground.check(paths(root, "src/a", "src/b")) == ["src/b"]
    assert ground.check(paths(root, "src/missing")) == ["src/missing"]
    assert ground.news() == ["src/b", "src/missing"]
    assert not ground.holds()
    (root / "src" / "b").write_text("this is b")
    (root / "src" / "missing").unlink()
    assert ground.check(paths(root, "src/b", "src/missing")) == []
    assert ground.holds()


def test_what_was_accepted_is_news_again_only_when_it_changes_again(root: Path) -> None:
    ground = footing(root, "src/a")
    (root / "src" / "a").write_text("other")
    ground.check(paths(root, "src/a"))
    ground.accepted |= ground.differing
    assert ground.news() == []
    (root / "src" / "a").write_text("yet another")
    ground.check(paths(root, "src/a"))
    assert ground.news() == ["src/a"]


def test_of_a_folder_that_came_or_went_everything_below_is_looked_at(root: Path) -> None:
    ground = footing(root, "src/a", "src/b", "gen/x")
    os.rename(root / "src", root / "gone")
    assert ground.check(Changes(below=frozenset({str(root / "src")}))) == ["src/a", "src/b"]
    os.rename(root / "gone", root / "src")
    assert ground.check(Changes(below=frozenset({str(root / "src")}))) == []
    os.rename(root / "src", root / "gen")
    (root / "gen" / "x").write_text("x")
    assert set(ground.check(Changes(everything=True))) == {"src/a", "src/b", "gen/x"}


def test_a_file_behind_links_is_known_under_each_name_on_the_way(root: Path, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("one")
    (tmp_path / "hop").symlink_to("real")
    (root / "link").symlink_to(tmp_path / "hop")
    ground = footing(root, "link")
    assert str(tmp_path) in ground.folders()
    (tmp_path / "real").write_text("two")
    assert ground.check(Changes(frozenset({str(tmp_path / "real")}))) == ["link"]
    (tmp_path / "real").write_text("one")
    assert ground.check(Changes(frozenset({str(tmp_path / "hop")}))) == []


def test_a_file_outside_of_the_project_counts_by_whatever_name_it_was_read(root: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("one")
    ground = footing(root, "../shared", str(tmp_path / "absent"))
    assert str(tmp_path) in ground.folders()
    (tmp_path / "shared").write_text("two")
    (tmp_path / "absent").write_text("there")
    assert set(ground.check(paths(tmp_path, "shared", "absent"))) == {"../shared", str(tmp_path / "absent")}


def test_files_with_a_second_name_are_to_be_watched_themselves(root: Path, tmp_path: Path) -> None:
    os.link(root / "src" / "a", tmp_path / "second")
    ground = footing(root, "src/a", "src/b")
    ground.find_linked()
    assert ground.linked == {str(root / "src" / "a")}


def test_a_new_match_of_a_pattern_counts_though_nobody_read_it(root: Path) -> None:
    (root / "src" / "deep").mkdir()
    ground = footing(root, "src/a", globs=("src/**/*.c",))
    assert str(root / "src" / "deep") in ground.folders()
    (root / "src" / "deep" / "note.txt").write_text("")
    assert ground.check(paths(root, "src/deep/note.txt")) == []
    (root / "src" / "deep" / "new.c").write_text("")
    assert ground.check(paths(root, "src/deep/new.c")) == ["@glob:src/**/*.c"]
    assert not ground.holds()
    (root / "src" / "deep" / "new.c").unlink()
    assert ground.check(paths(root, "src/deep/new.c")) == []
    assert ground.holds()


def test_another_tool_counts(root: Path, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("one")
    ground = footing(root, "src/a", tools=(str(tool),))
    assert ground.holds()
    tool.write_text("another")
    assert not ground.holds()
    assert ground.check(Changes(frozenset({str(tool)}))) == [str(tool)]


def test_a_later_build_takes_over_what_is_known_by_watching(root: Path) -> None:
    names = ("src/a", "src/b", "src/c", "src/missing")
    old = footing(root, *names)
    old.look(None)
    for name in ("a", "b"):
        (root / "src" / name).write_text(f"new {name}")
    new = footing(root, *names)
    (root / "src" / "b").write_text("newer b")
    (root / "src" / "c").write_text("never told of")  # so one sees that it is not looked at
    suspects = new.follow(old, paths(root, "src/a", "src/b"))
    assert suspects is not None
    new.look(suspects)
    assert new.news() == ["src/b"]
    assert footing(root, "src/a").follow(old, Changes()) is None
    assert footing(root, *names).follow(old, Changes(everything=True)) is None


def test_a_build_knows_the_files_patterns_and_tools_that_it_looked_at(root: Path, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("one")
    ground = footing(root, "src/a", "src/gone", globs=("src/*.c",), tools=(str(tool),))
    assert all(ground.knows(path) for path in ("src/a", "src/gone", "@glob:src/*.c", str(tool)))
    assert not any(ground.knows(path) for path in ("src/b", "@glob:*", "../else"))
    whole = footing_of(str(root), None, ())
    assert whole is not None
    assert all(whole.knows(path) for path in ("src/a", "src/gone", "@glob:src/*.c"))
    assert not whole.knows(str(tool))
