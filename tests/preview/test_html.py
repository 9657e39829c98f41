"""HTML goals: the document, what lies beside it, and nothing else."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.helpers.browsing import previewed, publish

PAGE = b"<!doctype html><link rel=stylesheet href=style/site.css><p>Hello"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("outside")
    site = tmp_path / "site"
    (site / "style").mkdir(parents=True)
    (site / ".git").mkdir()
    (site / ".git" / "config").write_text("hidden")
    (site / "my index.html").write_bytes(PAGE)
    (site / "style" / "site.css").write_text("p { color: red }")
    (site / "out.txt").symlink_to("../secret.txt")
    (site / "up").symlink_to("..")
    (site / "in.css").symlink_to("style/site.css")
    (site / "shown").symlink_to(".git")
    os.mkfifo(site / "pipe")
    return tmp_path


def test_the_document_and_what_lies_beside_it(site: Path) -> None:
    async def scenario() -> None:
        async with previewed(site, "site/my index.html") as (_, browser), browser.listening() as events:
            goal = (await events.state())["goals"][0]
            assert (goal["kind"], goal["address"]) == ("html", "html/my%20index.html")
            reply = await browser.get("0/" + goal["address"])
            assert (reply.status, reply.headers["content-type"], reply.body) == (200, "text/html", PAGE)
            for path in ("style/site.css", "in.css", "style/site.css?v=2"):
                reply = await browser.get("0/html/" + path)
                assert (reply.status, reply.headers["content-type"], reply.body) == (200, "text/css", b"p { color: red }"), path

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "style/../../secret.txt",
        "style//site.css",
        "./style/site.css",
        "out.txt",
        "up/secret.txt",
        ".git/config",
        "shown/config",
        "style",
        "style/",
        "pipe",
        "nothing.css",
        "a%00b",
        "",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "x" * 300,
    ],
)
def test_nothing_from_elsewhere(site: Path, path: str) -> None:
    async def scenario() -> None:
        async with previewed(site, "site/my index.html") as (_, browser):
            assert (await browser.get("0/html/" + path)).status == 404

    asyncio.run(scenario())


def test_a_change_of_what_is_used_is_a_new_version(site: Path) -> None:
    async def scenario() -> None:
        index = "0/html/my%20index.html"
        async with previewed(site, "site/my index.html") as (preview, browser), browser.listening() as events:
            await events.version(1)
            preview.built()
            assert (await events.state())["goals"][0]["version"] == 1
            (site / "site" / "unused.css").write_text("new, but nobody asked for it")
            preview.built()
            assert (await events.state())["goals"][0]["version"] == 1
            await browser.get("0/html/style/site.css")
            publish(site / "site" / "style" / "site.css", b"p { color: blue }")
            preview.built()
            await events.version(2)
            await browser.get("0/html/late.js")  # looked for, and not there
            (site / "site" / "late.js").write_text("")
            preview.built()
            await events.version(3)
            (site / "site" / "my index.html").unlink()
            preview.built()
            assert (await events.state())["goals"][0]["version"] == 3
            assert (await browser.get(index)).body == PAGE  # the last good one
            publish(site / "site" / "my index.html", PAGE + b" again")
            preview.built()
            await events.version(4)
            assert (await browser.get(index)).body == PAGE + b" again"

    asyncio.run(scenario())
