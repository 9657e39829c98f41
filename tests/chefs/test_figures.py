"""Figures reach an engine without their dates, and a project with many of them is not read anew at each pass."""

from pathlib import Path

from cpods.chefs.latex import LatexChef
from cpods.declaration import LatexDeclaration
from cpods.eyes import Eyes
from cpods.ids import FilePath
from cpods.store.objects import ObjectStore
from cpods.store.workspace import Folder
from cpods.wiring import WallClock

DATA = Path(__file__).parent / "data"


class CountingChef(LatexChef):
    """The latex chef, which notes the figures that it was asked to filter."""

    def __init__(self) -> None:
        self.filtered: list[FilePath] = []

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        self.filtered.append(path)
        return super().filter(name, path, data)


def test_a_figure_is_looked_at_once_for_all_passes_and_again_when_it_changes(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.tex").write_text("x")
    plot = (DATA / "matplotlib.pdf").read_bytes()
    (project / "plot.pdf").write_bytes(plot)
    (project / "bare.pdf").write_bytes(b"%PDF-1.4\nno dates\n")
    chef, objects = CountingChef(), ObjectStore(str(tmp_path / "store"))
    folder = Folder(str(project), objects, {}, WallClock())
    eyes = Eyes(folder, objects, {"latex": chef}, {})
    (engine,) = chef.plan(LatexDeclaration(main="a.tex"), 0, folder.listing(), {})

    first = eyes.substituted(engine, {}, frozenset())
    assert [eyes.substituted(engine, {}, frozenset()) for _ in range(3)] == [first] * 3
    assert list(first) == ["plot.pdf"]
    assert b"(0:00000000" in objects.read(first["plot.pdf"].digest)
    assert chef.filtered == ["bare.pdf", "plot.pdf"]

    (project / "plot.pdf").write_bytes(plot.replace(b"/MediaBox", b"/CropBoxx", 1))
    folder.refresh("plot.pdf")
    assert eyes.substituted(engine, {}, frozenset()) != first
    assert chef.filtered == ["bare.pdf", "plot.pdf", "plot.pdf"]


def test_a_figure_that_the_store_has_lost_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "a.tex").write_text("x")
    (tmp_path / "plot.pdf").write_bytes((DATA / "matplotlib.pdf").read_bytes())
    chef, objects = LatexChef(), ObjectStore(str(tmp_path / ".cpods" / "objects"))
    eyes = Eyes(Folder(str(tmp_path), objects, {}, WallClock()), objects, {"latex": chef}, {})
    (engine,) = chef.plan(LatexDeclaration(main="a.tex"), 0, ["a.tex", "plot.pdf"], {})
    plain = eyes.substituted(engine, {}, frozenset())["plot.pdf"]
    assert objects.discard([plain.digest]) == {plain.digest}
    assert eyes.substituted(engine, {}, frozenset()) == {"plot.pdf": plain}
    assert objects.read(plain.digest)
