"""PDF goals: what is drawn, what is swapped, where a page goes, and that a bad file never takes the good one away."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cpods.preview import copies
from cpods.preview.drawer import Drawer
from cpods.preview.frames import Answer, Question
from cpods.preview.pdfgoal import PdfGoal
from tests.helpers.browsing import previewed, publish, words
from tests.helpers.minipdf import pdf

NAMES = ["ash", "birch", "cedar", "dogwood", "elm", "fir", "gorse", "hazel"]


class Attentive(Drawer):
    """Draws, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Question] = []

    async def ask(self, question: Question, wanted: Callable[[], bool] = lambda: True) -> tuple[Answer, bytes]:
        self.asked.append(question)
        return await super().ask(question, wanted)

    def count(self, kind: str) -> int:
        return sum(question.kind == kind for question in self.asked)


def test_only_changed_pages_are_sent_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        pages = words(NAMES[:3])
        publish(tmp_path / "paper.pdf", pdf(pages))
        async with previewed(tmp_path, "paper.pdf") as (preview, browser), browser.listening() as events:
            await events.version(1)
            before = [await browser.get(f"0/page/{page}?v=1&w=300") for page in range(3)]
            for reply in before:
                assert reply.status == 200 and reply.headers["content-type"] == "image/png"
                assert reply.body[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(reply.body[16:20], "big") == 300
            digests = [reply.headers["x-digest"] for reply in before]
            assert len(set(digests)) == 3
            pages[1] += "\none more line"
            publish(tmp_path / "paper.pdf", pdf(pages))
            preview.built()
            await events.version(2)
            after = [await browser.get(f"0/page/{page}?v=2&w=300&known={digests[page]}") for page in range(3)]
            assert [reply.status for reply in after] == [204, 200, 204]
            assert after[1].headers["x-digest"] not in digests
            # Another width is another image, whatever is known.
            assert (await browser.get(f"0/page/0?v=2&w=301&known={digests[0]}")).status == 200
            assert (await browser.get("0/page/0?v=1&w=300")).status == 410

    asyncio.run(scenario())


def test_colours_are_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        publish(tmp_path / "paper.pdf", pdf(["red"], colour="1 0 0"))
        async with previewed(tmp_path, "paper.pdf") as (_, browser):
            image = (await browser.get("0/page/0?v=1&w=200")).body
            assert image[25] == 2  # RGB, where a black page is grey

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("before", "after", "at", "expected"),
    [
        (NAMES, NAMES, 3, 3),
        (NAMES, ["yew", "oak", *NAMES], 3, 5),
        (NAMES, NAMES[2:], 3, 1),
        (NAMES, NAMES[:2] + NAMES[4:], 3, 3),  # the page itself is gone: the same number
        (NAMES, NAMES[:2], 7, 1),  # there are not so many any more
        (NAMES, [*NAMES, "oak"], 7, 7),
        (["ash", "", "", "elm"], ["ash", "oak", "", "", "elm"], 2, 3),  # a blank page, by its neighbours
    ],
)
def test_a_reader_follows_the_page(tmp_path: Path, before: list[str], after: list[str], at: int, expected: int) -> None:
    async def scenario() -> None:
        publish(tmp_path / "paper.pdf", pdf(words_or_none(before)))
        async with previewed(tmp_path, "paper.pdf") as (preview, browser), browser.listening() as events:
            await events.version(1)
            publish(tmp_path / "paper.pdf", pdf([*words_or_none(after)]) + b"% another file\n")
            preview.built()
            await events.version(2)
            answer = (await browser.get(f"0/pages?since=1&at={at}")).json()
            assert (answer["version"], len(answer["sizes"]), answer["at"]) == (2, len(after), expected)

    def words_or_none(names: list[str]) -> list[str]:
        return [words([name])[0] if name else "" for name in names]

    asyncio.run(scenario())


def test_six_hundred_pages_are_not_drawn_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        names = [f"name{number}" for number in range(600)]
        publish(tmp_path / "paper.pdf", pdf(words(names)))
        drawer = Attentive()
        goal = PdfGoal(str(tmp_path), "paper.pdf", drawer)
        assert await goal.look()
        assert len((await goal.pages(0, 0))["sizes"]) == 600  # type: ignore[arg-type]
        assert [question.kind for question in drawer.asked] == ["sizes"]
        publish(tmp_path / "paper.pdf", pdf(words(["new", *names])))
        assert await goal.look()
        assert (await goal.pages(1, 300))["at"] == 301
        assert drawer.count("draw") == 0 and drawer.count("text") <= 40
        _, image = await goal.draw(301, 2, 200, "", lambda: True)
        assert image and drawer.count("draw") == 1
        # One changed word: the page stayed, and its neighbours are enough to know it.
        asked = drawer.count("text")
        publish(tmp_path / "paper.pdf", pdf(words(["new", *names])).replace(b"name500 line 3", b"name500 line x"))
        assert await goal.look()
        assert (await goal.pages(2, 501))["at"] == 501
        assert drawer.count("text") - asked == 6
        await goal.close()
        await drawer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("content", [b"", b"%PDF-1.5 and then nothing", pdf(words(NAMES))[:400], pdf([])])
def test_a_bad_file_leaves_the_last_good_version(tmp_path: Path, content: bytes) -> None:
    async def scenario() -> None:
        good = pdf(["one"])
        publish(tmp_path / "paper.pdf", good)
        async with previewed(tmp_path, "paper.pdf") as (preview, browser), browser.listening() as events:
            await events.version(1)
            publish(tmp_path / "paper.pdf", content)
            preview.built()
            state = await events.state()
            assert state["goals"][0]["version"] == 1 and state["problems"][0]["file"] == "paper.pdf"
            assert (await browser.get("0/page/0?v=1&w=200")).status == 200
            assert (await browser.get("0/file/paper.pdf")).body == good
            publish(tmp_path / "paper.pdf", pdf(["mended"]))
            preview.built()
            assert (await events.version(2))["failure"] == ""

    asyncio.run(scenario())


def test_a_file_that_is_written_in_place_or_deleted_takes_nothing_away(tmp_path: Path) -> None:
    async def scenario() -> None:
        good = pdf(words(NAMES))
        publish(tmp_path / "paper.pdf", good)
        async with previewed(tmp_path, "paper.pdf") as (preview, browser), browser.listening() as events:
            await events.version(1)
            with open(tmp_path / "paper.pdf", "r+b") as file:
                file.write(b"x" * 2000)
                file.truncate()
            assert (await browser.get("0/page/5?v=1&w=200")).status == 200
            (tmp_path / "paper.pdf").unlink()
            preview.built()
            assert (await events.state())["failure"] == ""
            assert (await browser.get("0/page/6?v=1&w=200")).status == 200
            assert (await browser.get("0/file/paper.pdf")).body == good

    asyncio.run(scenario())


LINKS = [
    "/Rect [59.5 84.2 119 168.4] /A << /S /URI /URI (https://example.org/a?b) >>",
    "/Rect [0 0 595 842] /Dest [6 0 R /XYZ 0 421 0]",
    "/Rect [0 0 10 10] /A << /S /GoTo /D [8 0 R /Fit] >>",
    "/Rect [0 0 10 10] /A << /S /URI /URI (javascript:alert\\(1\\)) >>",
    "/Rect [0 0 10 10] /A << /S /Launch /F (calc.exe) >>",
]


@pytest.mark.parametrize(("turned", "box"), [(0, [0.1, 0.8, 0.1, 0.1]), (90, [0.1, 0.1, 0.1, 0.1]), (180, [0.8, 0.1, 0.1, 0.1])])
def test_links_lie_and_lead_where_they_should(tmp_path: Path, turned: int, box: list[float]) -> None:
    async def scenario() -> None:
        publish(tmp_path / "paper.pdf", pdf(["one", "two", "three"], links=LINKS, turned=turned))
        async with previewed(tmp_path, "paper.pdf") as (_, browser):
            away, inside, to_page = (await browser.get("0/links/0?v=1")).json()  # no script, no program
            assert (away["url"], away["page"]) == ("https://example.org/a?b", -1)
            assert away["box"] == pytest.approx(box, abs=0.001)
            assert inside["page"] == 1 and inside["box"] == [0, 0, 1, 1] and (turned or inside["down"] == 0.5)
            assert (to_page["page"], to_page["down"]) == (2, 0)
            assert (await browser.get("0/links/0?v=2")).status == 410
            assert (await browser.get("0/links/3?v=1")).status == 410

    asyncio.run(scenario())


def test_many_builds_leave_nothing_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (preview, browser), browser.listening() as events:
            opened = []
            for number in range(1, 31):
                publish(tmp_path / "paper.pdf", pdf([f"number {number}"]))
                preview.built()
                await events.version(number)
                assert (await browser.get(f"0/page/0?v={number}&w=100")).status == 200
                opened.append(len(os.listdir("/proc/self/fd")))
            assert max(opened[10:]) <= max(opened[:10])

    asyncio.run(scenario())


def test_a_build_during_a_look_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawer = Attentive()
    monkeypatch.setattr("cpods.preview.server.Drawer", lambda: drawer)

    async def scenario() -> None:
        publish(tmp_path / "paper.pdf", pdf(["one"]))
        async with previewed(tmp_path, "paper.pdf") as (preview, browser), browser.listening() as events:
            await events.version(1)
            async with drawer._turn:  # as while a large page is drawn
                publish(tmp_path / "paper.pdf", pdf(["two"]))
                preview.built()
                while drawer.count("sizes") < 2:  # its copy was taken
                    await asyncio.sleep(0)
                publish(tmp_path / "paper.pdf", pdf(["three"]))
                preview.built()
            await events.version(3)
            assert (await browser.get("0/file/paper.pdf")).body == pdf(["three"])

    asyncio.run(scenario())


def test_a_file_that_does_not_hold_still_is_not_taken(tmp_path: Path) -> None:
    assert copies.take("/proc/self/status") is None  # says that it has no bytes, and has some
    assert copies.take(str(tmp_path / "nothing")) is None
    (tmp_path / "still").write_bytes(b"still")
    copy = copies.take(str(tmp_path / "still"))
    assert copy is not None
    with copy.open() as file:
        copy.close()
        assert file.read() == b"still" and copy.closed  # who has it open goes on reading
