"""The drawing process: its life, its answers, and what it is not asked."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cpods.preview.drawer import CannotDraw, Drawer, Unwanted
from cpods.preview.frames import Question
from tests.helpers.browsing import publish
from tests.helpers.minipdf import pdf


def test_a_drawing_process_that_dies_is_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "paper.pdf").write_bytes(pdf(["one"]))
        question = Question("draw", str(tmp_path / "paper.pdf"), width=100)
        drawer = Drawer()
        assert drawer.process_id is None  # nothing was drawn: no process
        await drawer.ask(question)
        first = drawer.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        with pytest.raises(CannotDraw, match="the drawing process ended over it"):
            await drawer.ask(question)
        _, image = await drawer.ask(question)
        assert image and drawer.process_id not in (None, first)
        await drawer.close()
        assert drawer.process_id is None

    asyncio.run(scenario())


def test_a_drawing_process_ends_with_whoever_started_it(tmp_path: Path) -> None:
    (tmp_path / "paper.pdf").write_bytes(pdf(["one"]))
    script = (
        "import asyncio, os, signal, sys\n"
        "from cpods.preview.drawer import Drawer\n"
        "from cpods.preview.frames import Question\n"
        "async def scenario():\n"
        "    drawer = Drawer()\n"
        "    await drawer.ask(Question('sizes', sys.argv[1]))\n"
        "    print(drawer.process_id, flush=True)\n"
        "    sys.stdin.readline()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(scenario())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "paper.pdf")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        watched = os.pidfd_open(int(owner.stdout.readline()))
        owner.communicate("die\n")
        assert owner.returncode == -signal.SIGKILL
    try:
        assert select.select([watched], [], [], 20)[0] == [watched]
    finally:
        os.close(watched)


def test_what_nobody_waits_for_is_not_drawn(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "paper.pdf").write_bytes(pdf(["one"]))
        question = Question("draw", str(tmp_path / "paper.pdf"), width=100)
        drawer = Drawer()
        with pytest.raises(Unwanted):
            await drawer.ask(question, lambda: False)
        assert drawer.process_id is None
        # One that is given up in the middle does not mix its answer up with the next.
        given_up = asyncio.ensure_future(drawer.ask(Question("sizes", question.path)))
        await asyncio.sleep(0)
        given_up.cancel()
        answer, image = await drawer.ask(question)
        assert answer.digest and image and given_up.cancelled()
        await drawer.close()

    asyncio.run(scenario())


def test_large_pages_are_drawn_smaller(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "paper.pdf").write_bytes(pdf(["a long ribbon"], size=(20, 14_000)))
        drawer = Drawer()
        _, image = await drawer.ask(Question("draw", str(tmp_path / "paper.pdf"), width=3000))
        width, height = int.from_bytes(image[16:20], "big"), int.from_bytes(image[20:24], "big")
        assert width * height < 25_000_000 and width < 3000
        await drawer.close()

    asyncio.run(scenario())


def test_another_document_at_the_same_path_is_seen(tmp_path: Path) -> None:
    async def scenario() -> None:
        drawer, path = Drawer(), str(tmp_path / "paper.pdf")
        for pages in (["one"], ["one", "two"]):
            publish(tmp_path / "paper.pdf", pdf(pages))
            answer, _ = await drawer.ask(Question("sizes", path))
            assert len(answer.sizes) == len(pages)
        assert "two" in (await drawer.ask(Question("text", path, 1)))[0].text
        await drawer.close()

    asyncio.run(scenario())
