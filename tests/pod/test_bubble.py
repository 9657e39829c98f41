"""Programs that see their slot at one fixed path: the same bytes in any slot, and nothing else is different."""

import asyncio
from pathlib import Path

import pytest

from cpods.chefs.registry import chefs
from cpods.declaration import CompilerDeclaration, LatexDeclaration
from cpods.orders import Order
from cpods.pod import bubble
from cpods.pod.bubble import FIXED
from cpods.scheduler import groups
from tests.helpers.podworld import DATE, Yard, shell_step

MAIN = b'#include "a.h"\nint main(void) { return VALUE; }\n'
DOCUMENT = rb"\documentclass{article}\begin{document}Hello\end{document}"


def test_two_slots_and_two_pods_give_the_same_bytes(tmp_path: Path) -> None:
    files = {"main.c": MAIN, "a.h": b"#define VALUE 3\n"}
    declaration = CompilerDeclaration(program="p", sources=("main.c",), cflags=("-g",))
    step = chefs()["compiler"].plan(declaration, 0, sorted(files), {})[0]
    (latex,) = chefs()["latex"].plan(LatexDeclaration(main="p.tex"), 0, ["p.tex"], {})
    order = Order(latex, "key", (("SOURCE_DATE_EPOCH", str(DATE)), ("FORCE_SOURCE_DATE", "1"), *latex.env), DATE, "", knot="latex:p.tex")

    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        ends = []
        for pod in ("east", "far-away"):
            async with yard.pod(pod, fixed_path=True):
                shell = await boss.cook(pod, boss.request(f"pwd {pod}", shell_step("s", "pwd; echo > out", ["out"])))
                assert FIXED in shell.log.splitlines()
                compiled = await boss.cook(pod, boss.request(f"cc {pod}", step, files))
                typeset = await boss.cook(pod, boss.request(f"tex {pod}", latex, {"p.tex": DOCUMENT}, order=order))
                for end in (compiled, typeset):
                    assert end.cooked.result is not None and end.cooked.exit_code == 0, end.cooked.problems
                ends.append((compiled.cooked.result.outputs, typeset.cooked.result.outputs))  # type: ignore[union-attr]
                assert "a.h" in compiled.cooked.reads and "p.tex" in typeset.cooked.reads
        assert ends[0] == ends[1]

    asyncio.run(scenario())


def test_failures_and_cancels_are_what_they_are_without(tmp_path: Path) -> None:
    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        async with yard.pod(fixed_path=True) as pod:
            failed = await boss.cook("east", boss.request("fails", shell_step("s", "exit 7", ["out"])))
            assert failed.cooked.exit_code == 7
            gone = shell_step("s", "", ["out"], argv=("./no-such-script",))
            missing = await boss.cook("east", boss.request("gone", gone))
            assert missing.cooked.exit_code == 127
            note = tmp_path / "pid"
            await boss.send("east", boss.request("long", shell_step("s", f"ps -o pgid= $$ > {note}.new; mv {note}.new {note}; sleep 1000")))
            while not note.exists():
                await asyncio.sleep(0.01)
            await boss.cancel("east", "long")
            while pod.board.free != 2:
                await asyncio.sleep(0.01)
            assert groups.members(int(note.read_text())) == []

    asyncio.run(scenario())


def test_where_it_does_not_work_it_is_said_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubble, "_wrapper", lambda root, cwd: ("no-such-bubble",))

    async def scenario() -> Yard:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        async with yard.pod(fixed_path=True):
            end = await boss.cook("east", boss.request("one", shell_step("s", "echo > out", ["out"])))
            assert end.cooked.exit_code == 0
        return yard

    yard = asyncio.run(scenario())
    assert yard.lines == [f"steps run each in its own folder, not at {FIXED}: program not found: no-such-bubble"]
