"""Who gets in: this machine's address, the token, and requests as browsers send them."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.helpers.browsing import Reply, previewed, publish
from tests.helpers.minipdf import pdf


def test_only_loopback_names_are_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (_, browser):
            for host in (f"127.0.0.1:{browser.port}", f"localhost:{browser.port}"):
                assert (await browser.get(Host=host)).status == 200
            for host in (
                "evil.example",
                f"evil.example:{browser.port}",
                "127.0.0.1",
                f"127.0.0.1:{browser.port + 1}",
                f"127.0.0.1.evil:{browser.port}",
            ):
                assert (await browser.get(Host=host)).status == 403, host
            assert Reply(await browser.raw(f"GET {browser.base} HTTP/1.1\r\n\r\n".encode())).status == 403

    asyncio.run(scenario())


def test_nothing_is_outside_of_the_token(tmp_path: Path) -> None:
    async def scenario() -> None:
        publish(tmp_path / "paper.pdf", pdf(["one"]))
        async with previewed(tmp_path, "paper.pdf") as (_, browser):
            assert len(browser.base) > 20
            for path in ("/", "/events", "/0/pages", "/x" + browser.base[1:], browser.base[:-2] + "/", "//" + browser.base, "/%00/"):
                assert (await browser.send("GET", path)).status == 404, path
            reply = await browser.send("GET", browser.base.rstrip("/"))
            assert (reply.status, reply.headers["location"]) == (308, browser.base)
            for path in ("1/pages", "x/pages", "0/nothing", "0/page/x", "0/html/paper.pdf", "page.py", "../events", "99999999999/pages"):
                assert (await browser.get(path)).status == 404, path

    asyncio.run(scenario())


def test_only_reading(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (_, browser):
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "CONNECT"):
                assert (await browser.send(method, browser.base)).status == 405
            whole, head = await browser.get(), await browser.send("HEAD", browser.base)
            assert head.body == b"" and head.headers["content-length"] == str(len(whole.body)) != "0"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET http://127.0.0.1/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /%ff/ HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00 TLS \r\n\r\n",
    ],
)
def test_what_no_browser_sends(tmp_path: Path, request_bytes: bytes) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (_, browser):
            assert Reply(await browser.raw(request_bytes)).status == 400
            assert (await browser.get()).status == 200  # others are served as before

    asyncio.run(scenario())


def test_an_endless_head_is_cut_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (_, browser):
            assert Reply(await browser.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000)).status == 431

    asyncio.run(scenario())


def test_numbers_are_numbers(tmp_path: Path) -> None:
    async def scenario() -> None:
        publish(tmp_path / "paper.pdf", pdf(["one"]))
        async with previewed(tmp_path, "paper.pdf") as (_, browser):
            for query in ("since=-1", "since=x", "at=1e3", "at=99999999999"):
                assert (await browser.get(f"0/pages?{query}")).status == 400, query

    asyncio.run(scenario())


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with previewed(tmp_path, "paper.pdf") as (_, browser):
            page = await browser.get()
            assert "default-src 'none'" in page.headers["content-security-policy"]
            assert page.headers["referrer-policy"] == "no-referrer" and page.headers["cache-control"] == "no-store"
            text, seen = page.body.decode(), set()
            waiting = re.findall(r'(?:href|src)="([^"#]+)"', text)
            while waiting:
                name = waiting.pop()
                if name in seen or name.startswith("data:"):
                    continue
                seen.add(name)
                reply = await browser.get(name)
                assert reply.status == 200, name
                script = reply.body.decode()
                assert "://" not in script.replace("http://www.w3.org/2000/svg", "")
                waiting += re.findall(r'from "\./([^"]+)"', script)
            assert seen == {"page.css", "page.js", "pages.js", "frames.js", "trouble.js"}

    asyncio.run(scenario())
