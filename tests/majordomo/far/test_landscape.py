"""What a far step is shown: all sources, and the products that count for it."""

import os
from pathlib import Path

from cpods.digest import of_bytes
from cpods.model import Artefact
from cpods.ports import Written
from tests.helpers.farside import FarSide, shell
from tests.helpers.playedpods import Town
from tests.helpers.stilltime import play

STEPS = (shell("a", ["src.txt"], ["a.txt"]), shell("b", ["a.txt"], ["b.txt"]), shell("doc", [], ["doc.pdf"], open_reads=True))


def test_sources_are_shown_with_their_modes_and_lie_in_the_store_then(tmp_path: Path) -> None:
    async def story() -> None:
        side = FarSide(tmp_path, Town(), STEPS)
        digest = side.write("src.txt", "hello")
        side.write("run.sh", "#!/bin/sh")
        os.chmod(side.root / "run.sh", 0o755)
        side.write("a.txt", "a product is no source")
        files = side.landscape.tree().files
        assert {path: row.executable for path, row in files.items()} == {"src.txt": False, "run.sh": True}
        assert side.objects.has_here(digest)
        assert side.landscape.tree() is side.landscape.tree()
        side.objects.close()

    play(story())


def test_a_step_is_shown_what_it_names_and_an_engine_all_that_is_not_hidden(tmp_path: Path) -> None:
    async def story() -> None:
        side = FarSide(tmp_path, Town(), STEPS)
        for path, step in (("a.txt", "a"), ("b.txt", "b")):
            side.memory.written[path] = Written(step, side.write(path, path))
        assert [*side.landscape.shown(side.order("b")).products] == ["a.txt"]
        assert [*side.landscape.shown(side.order("doc", knot="doc")).products] == ["a.txt", "b.txt"]
        assert [*side.landscape.shown(side.order("doc", knot="doc", hidden=frozenset({"a.txt"}))).products] == ["b.txt"]
        side.objects.close()

    play(story())


def test_a_far_product_is_shown_even_if_nobody_holds_it_any_more(tmp_path: Path) -> None:
    async def story() -> None:
        side = FarSide(tmp_path, Town(), STEPS)
        side.folder.place("a.txt", Artefact(of_bytes(b"gone"), 4))
        row = side.landscape.shown(side.order("b")).get("a.txt")
        assert row is not None and (row.digest, row.size) == (of_bytes(b"gone"), 4)
        side.objects.close()

    play(story())


def test_moved_compares_with_what_this_step_was_shown(tmp_path: Path) -> None:
    async def story() -> None:
        side = FarSide(tmp_path, Town(), STEPS)
        side.write("src.txt", "hello")
        shown = side.landscape.shown(side.order("a"))
        assert side.landscape.moved(shown, ["src.txt", "nowhere.txt", "/etc/passwd", "@glob:*"]) == []
        side.write("src.txt", "edited")
        side.write("appeared.txt", "new")
        side.landscape.forget()
        side.landscape.tree()
        assert side.landscape.moved(shown, iter(["src.txt", "appeared.txt"])) == ["src.txt", "appeared.txt"]
        side.objects.close()

    play(story())
