"""What open pages are told: states, failures, the end; and what the front refuses."""

import asyncio
from pathlib import Path

import pytest

from cpods.errors import UsageError
from cpods.model import Problem
from cpods.preview.audience import LIVE_MAX
from cpods.preview.server import Preview
from cpods.preview.standing import Fault
from tests.helpers.browsing import Browser, previewed, publish
from tests.helpers.minipdf import pdf


def test_a_page_hears_of_each_stable_build(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (preview, browser), browser.listening() as events:
            state = await events.state()
            assert [goal["version"] for goal in state["goals"]] == [0] and not state["failure"]
            assert (await browser.get("0/file/paper.pdf")).status == 404
            preview.building()
            assert (await events.state())["building"]
            publish(tmp_path / "paper.pdf", pdf(["one"]))
            preview.built()
            state = await events.version(1)
            assert not state["building"]
            assert (await browser.get("0/pages?since=0&at=0")).json() == {"version": 1, "sizes": [[595.0, 842.0]], "at": 0}
            assert (await browser.get("0/file/paper.pdf")).body == pdf(["one"])
            preview.built()  # the same bytes: no other version
            assert (await events.state())["goals"][0]["version"] == 1

    asyncio.run(scenario())


def test_what_is_wrong_stays_until_the_next_stable_build(tmp_path: Path) -> None:
    async def scenario() -> None:
        publish(tmp_path / "paper.pdf", pdf(["one"]))
        async with previewed(tmp_path, "paper.pdf") as (preview, browser), browser.listening() as events:
            assert (await events.state())["goals"][0]["version"] == 1
            preview.broken(
                [Problem("Undefined control sequence.", file="paper.tex", line=12, source="See \\citp{x}."), Fault("Emergency stop.")]
            )
            first = await events.state()
            assert first["problems"] == [
                {"message": "Undefined control sequence.", "file": "paper.tex", "line": 12, "source": "See \\citp{x}."},
                {"message": "Emergency stop.", "file": None, "line": None, "source": None},
            ]
            preview.building()
            during = await events.state()
            assert during["building"] and during["failure"] == first["failure"]
            preview.broken([Fault("Missing $ inserted.", "paper.tex", 3)])
            other = await events.state()
            assert other["failure"] not in ("", first["failure"])
            preview.broken([])
            assert (await events.state())["failure"]  # no more is known than that it is broken
            preview.built()
            mended = await events.state()
            assert mended["failure"] == "" and mended["problems"] == []

    asyncio.run(scenario())


def test_a_long_list_is_cut_and_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (preview, browser), browser.listening() as events:
            await events.state()
            preview.broken([Fault(f"problem {number}") for number in range(70)])
            state = await events.state()
            assert (len(state["problems"]), state["more"]) == (50, 20)

    asyncio.run(scenario())


def test_a_page_that_leaves_is_forgotten_and_others_still_hear(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (preview, browser), browser.listening() as stays:
            await stays.state()
            async with browser.listening() as leaves:
                await leaves.state()
                assert len(preview._audience) == 2
            while len(preview._audience) > 1:
                await asyncio.sleep(0)
            preview.building()
            assert (await stays.state())["building"]

    asyncio.run(scenario())


def test_a_page_too_many_retires_the_oldest(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (_, browser), browser.listening() as oldest:
            await oldest.state()
            await hear_with(browser, LIVE_MAX)
            assert await oldest.next() == ("retired", {})
            assert await oldest.next() == ("", None)

    async def hear_with(browser: Browser, more: int) -> None:
        if more:
            async with browser.listening() as events:
                await events.state()
                await hear_with(browser, more - 1)

    asyncio.run(scenario())


def test_the_end_is_told_and_frees_the_port(tmp_path: Path) -> None:
    async def scenario() -> None:
        preview = Preview(str(tmp_path), ["paper.pdf"])
        browser = Browser(await preview.start())
        async with browser.listening() as events:
            await events.state()
            await preview.close()
            assert await events.next() == ("ended", {})
            assert await events.next() == ("", None)
        again = Preview(str(tmp_path), ["paper.pdf"], browser.port)
        assert Browser(await again.start()).port == browser.port
        await again.close()

    asyncio.run(scenario())


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (_, browser):
            second = Preview(str(tmp_path), ["paper.pdf"], browser.port)
            with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{browser.port}: the preview cannot listen there .* choose another port"):
                await second.start()
            await second.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("goals", "sentence"),
    [
        ([], "a preview needs a .pdf or .html goal"),
        (["notes.txt"], "notes.txt: a preview shows .pdf and .html goals"),
        (["../paper.pdf"], "../paper.pdf: a preview shows goals of the project"),
        (["/tmp/paper.pdf"], "/tmp/paper.pdf: a preview shows goals of the project"),
    ],
)
def test_goals_that_cannot_be_shown(tmp_path: Path, goals: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        Preview(str(tmp_path), goals)
    assert str(caught.value).startswith(sentence)


def test_without_pdfium_the_browser_shows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pypdfium2", None)  # as if it were not installed

    async def scenario() -> None:
        publish(tmp_path / "paper.pdf", b"%PDF- nobody reads this here")
        async with previewed(tmp_path, "paper.pdf") as (_, browser), browser.listening() as events:
            state = await events.state()
            assert state["goals"] == [{"name": "paper.pdf", "kind": "viewer", "version": 1, "address": "file/paper.pdf"}]
            assert state["note"].endswith("pip install 'cpods[preview]'")
            reply = await browser.get("0/file/paper.pdf")
            assert (reply.headers["content-type"], reply.body) == ("application/pdf", b"%PDF- nobody reads this here")
            assert (await browser.get("0/page/0?v=1")).status == 410

    asyncio.run(scenario())
