"""What a pod does with an order: the same as the worker beside the project would, with bytes that it had to fetch."""

import asyncio
import os
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from cpods.chefs.registry import chefs
from cpods.declaration import CompilerDeclaration, LatexDeclaration
from cpods.eyes import Eyes
from cpods.model import Step, Version
from cpods.net.messages import Input, StepDone
from cpods.orders import Cooked, Order
from cpods.pod.cook import Pod
from cpods.scheduler.executor import ProcessExecutor
from cpods.store.journal import Journal
from cpods.store.mirror import Mirror
from cpods.store.objects import ObjectStore
from cpods.store.views import folder_view
from cpods.store.workspace import Folder
from cpods.wiring import WallClock
from tests.helpers.podworld import DATE, ENVIRONMENT, Yard, shell_step

ENV = tuple(sorted({**ENVIRONMENT, "SOURCE_DATE_EPOCH": str(DATE), "FORCE_SOURCE_DATE": "1"}.items()))
GREETER = b'#include <stdio.h>\n#include "greet.h"\nint main(void) { puts(GREETING); return 0; }\n'
DOCUMENT = rb"""\documentclass{article}\begin{document}\section{One}\label{one}See \ref{one}. \input{part}\end{document}
"""


def local(folder: Path, files: dict[str, bytes], order: Order) -> Cooked:
    """What the worker beside a project with these files makes of an order."""
    for path, data in files.items():
        (folder / "project" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "project" / path).write_bytes(data)
        os.utime(folder / "project" / path, (1_600_000_000, 1_600_000_000))
    (folder / "state" / "log").mkdir(parents=True)
    with closing(ObjectStore(str(folder / "store"))) as objects, closing(Journal(str(folder / "state"))) as journal:
        project = Folder(str(folder / "project"), objects, {}, WallClock())
        for path in files:
            project.digest(path)  # as a build does, which has looked at its sources before it runs anything
        mirror = Mirror(str(folder / "state" / "mirror"), project, objects)
        eyes = Eyes(project, objects, chefs(), {})
        pod = Pod(
            name="east",
            folder=project,
            objects=objects,
            chefs=chefs(),
            executor=ProcessExecutor(),
            clock=WallClock(),
            eyes=eyes,
            mirror=lambda *_: mirror,
            plain_view=lambda paths: folder_view(project, paths),
            diary=journal,
            state=str(folder / "state"),
        )
        cooked = asyncio.run(pod.cook(order))
        objects.commit()
        return cooked


def far(folder: Path, files: dict[str, bytes], order: Order, **more: object) -> StepDone:
    """What a pod makes of it."""

    async def scenario() -> StepDone:
        yard = Yard(folder / "far")
        boss = await yard.boss()
        async with yard.pod() as pod:
            done = await boss.cook("east", boss.request("one", order.step, files, order=order, **more))  # type: ignore[arg-type]
            assert pod.board.free == 2
        return done

    return asyncio.run(scenario())


def comparable(cooked: Cooked) -> tuple[object, ...]:
    """All of it but times."""
    result = None if cooked.result is None else msgspec.structs.replace(cooked.result, seconds=0.0)
    return result, cooked.stale, cooked.problems, cooked.exit_code, set(cooked.reads), dict(cooked.artefacts)


def planned(chef: str, declaration: object, files: dict[str, bytes]) -> tuple[Step, ...]:
    """The steps of a declaration."""
    return tuple(chefs()[chef].plan(declaration, 0, sorted(files), {}))  # type: ignore[arg-type]


CASES = {
    "reads and writes in folders": (shell_step("s", "cat a/b c > d/e", ["d/e"], ["a/b", "c"]), {"a/b": b"1", "c": b"2"}),
    "an optional file is absent": (shell_step("s", "echo > d", ["d"], ["a"], optional=("zz",)), {"a": b""}),
    "fails": (shell_step("s", "echo wrong >&2; exit 3", ["d"], ["a"]), {"a": b"", "unseen": b""}),
    "makes nothing": (shell_step("s", "true", ["d"], ["a"]), {"a": b""}),
    "its old output lies there": (shell_step("s", "test ! -e d && echo > d", ["d"], ["a"]), {"a": b"", "d": b"old"}),
    "a listing of a pattern": (shell_step("s", "ls src > d", ["d"], ["src/x", "src/y"], globs=("src/*",)), {"src/x": b"", "src/y": b""}),
    "a depfile": (
        shell_step("s", "cat h > d; echo 'd: h' > d.d", ["d"], depfile="d.d"),
        {"h": b"1"},
    ),
    "an executable": (shell_step("s", "cp /bin/true d", ["d"]), {"a": b""}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_shell_step_ends_as_it_does_beside_the_project(name: str, tmp_path: Path) -> None:
    step, files = CASES[name]
    order = Order(step, "key", ENV, DATE, "a.log")
    here, there = local(tmp_path, files, order), far(tmp_path, files, order)
    assert comparable(there.cooked) == comparable(here)
    assert not there.trouble and not there.missing


@pytest.mark.parametrize(("name", "kept"), [("SEGV", True), ("FPE", True), ("ABRT", False), ("BUS", False), ("KILL", False)])
def test_only_a_failure_that_the_same_inputs_bring_again_is_kept(name: str, kept: bool, tmp_path: Path) -> None:
    """A full disk has programs abort, or get SIGBUS; somebody else sends SIGKILL."""
    step = msgspec.structs.replace(shell_step("s", f"kill -{name} $$", ["d"], ["a"]), pure=True)
    cooked = local(tmp_path, {"a": b""}, Order(step, "key", ENV, DATE, "a.log"))
    assert cooked.exit_code < 0
    assert (cooked.result is not None) == kept


def test_a_compile_step_ends_as_it_does_beside_the_project(tmp_path: Path) -> None:
    files = {"src/main.c": GREETER, "include/greet.h": b'#define GREETING "hello"\n', "src/other.h": b""}
    declaration = CompilerDeclaration(program="hello", sources=("src/main.c",), include=("src", "include"))
    compile_step = planned("compiler", declaration, files)[0]
    order = Order(compile_step, "key", ENV, DATE, "a.log")
    here, there = local(tmp_path, files, order), far(tmp_path, files, order)
    assert comparable(there.cooked) == comparable(here)
    assert there.cooked.result is not None
    assert {read.path for read in there.cooked.result.reads} >= {"src/main.c", "include/greet.h", "src/greet.h"}


def test_a_pass_of_pdflatex_ends_as_it_does_beside_the_project(tmp_path: Path) -> None:
    files = {"paper.tex": DOCUMENT, "part.tex": b"A part.\n"}
    (step,) = planned("latex", LatexDeclaration(main="paper.tex"), files)
    order = Order(step, "key", (*ENV, *step.env), DATE, "a.log", knot="latex:paper.tex", pass_number=1)
    here, there = local(tmp_path, files, order), far(tmp_path, files, order)
    assert there.cooked.result is not None and there.cooked.result.pages == 1
    assert here.result is not None
    assert there.cooked.result.outputs == here.result.outputs  # byte for byte: also .log and .synctex.gz
    assert there.cooked.result.reads == here.result.reads
    assert there.cooked.result.problems == here.result.problems


def test_a_file_that_the_compiler_looks_for_is_fetched_and_it_runs_again(tmp_path: Path) -> None:
    files = {"main.c": GREETER, "greet.h": b'#include "word.h"\n#define GREETING WORD\n', "word.h": b'#define WORD "hi"\n', "big": b"x"}
    step = planned("compiler", CompilerDeclaration(program="hello", sources=("main.c",)), files)[0]
    order = Order(step, "key", ENV, DATE, "a.log")
    here, there = local(tmp_path, files, order), far(tmp_path, files, order, wanted=[])
    assert comparable(there.cooked)[0] == comparable(here)[0]
    assert [execution.exit_code for execution in there.cooked.earlier] == [1, 1]  # without greet.h, then without word.h
    assert there.cooked.execution is not None and there.cooked.execution.exit_code == 0


def test_a_header_that_hides_another_is_fetched_although_the_compiler_was_content(tmp_path: Path) -> None:
    files = {"main.c": GREETER, "near/greet.h": b'#define GREETING "near"\n', "far/greet.h": b'#define GREETING "far"\n'}
    declaration = CompilerDeclaration(program="hello", sources=("main.c",), include=("near", "far"))
    step = planned("compiler", declaration, files)[0]
    there = far(tmp_path, files, Order(step, "key", ENV, DATE, "a.log"), wanted=["far/greet.h"])
    assert there.cooked.result is not None
    assert "near/greet.h" in {read.path for read in there.cooked.result.reads}
    assert [execution.exit_code for execution in there.cooked.earlier] == [0]


def test_a_shell_step_that_fails_gets_everything_before_that_counts(tmp_path: Path) -> None:
    step = shell_step("s", "cat hidden/file > d", ["d"])
    there = far(tmp_path, {"hidden/file": b"found"}, Order(step, "key", ENV, DATE, "a.log"), wanted=[])
    assert there.cooked.exit_code == 0
    assert len(there.cooked.earlier) == 1


def test_what_stands_over_the_project_is_what_the_step_sees(tmp_path: Path) -> None:
    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        new = boss.put(b"new")
        step = shell_step("s", "cat seen > out; ls gone hidden >> out 2>/dev/null; true", ["out"], optional=("seen", "gone", "hidden"))
        overlay = {"seen": Version(new.digest, new.size), "gone": None}
        order = Order(step, "key", ENV, DATE, "a.log", knot="k", overlay=overlay, hidden=frozenset({"hidden"}))
        async with yard.pod() as pod:
            done = await boss.cook("east", boss.request("one", step, {"seen": b"old", "gone": b"", "hidden": b""}, order=order))
            result = done.cooked.result
            assert result is not None
            assert pod.kitchen._objects.read(result.outputs[0].version.digest) == b"new"
            assert {read.path: read.absent for read in result.reads} == {"gone": True, "hidden": True, "seen": False}

    asyncio.run(scenario())


def test_places_are_the_pods_own_and_all_else_is_as_ordered(tmp_path: Path) -> None:
    step = shell_step("s", "echo $HOME $USER $LANG >out; echo $TMPDIR >>out; cd $TMPDIR; ls", ["out"])
    env = (("HOME", "/theirs"), ("LANG", "de_DE.UTF-8"), ("PATH", "/nowhere"), ("TMPDIR", "/nowhere"), ("USER", "them"))

    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        async with yard.pod() as pod:
            done = await boss.cook("east", boss.request("one", step, order=Order(step, "key", env, DATE, "a.log")))
            assert done.cooked.result is not None
            said = pod.kitchen._objects.read(done.cooked.result.outputs[0].version.digest).decode().splitlines()
            assert said[0] == "/ nobody de_DE.UTF-8"
            assert said[1].startswith(str(tmp_path / "east" / "work"))

    asyncio.run(scenario())


def test_programs_of_the_project_and_of_earlier_steps_can_be_run(tmp_path: Path) -> None:
    script = b"#!/bin/sh\necho made by $1 > out\n"

    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        tool = boss.put(script)
        step = shell_step("s", "./gen one; cat out > two; ./bin/gen three; cat out >> two", ["two"])
        order = Order(step, "key", ENV, DATE, "a.log", overlay={"bin/gen": Version(tool.digest, tool.size)})
        request = boss.request("one", step, {"gen": script}, executable=["gen"], order=order)
        request = msgspec.structs.replace(request, executable=(tool.digest,))
        async with yard.pod() as pod:
            done = await boss.cook("east", request)
            assert done.cooked.result is not None, done.cooked.problems
            assert pod.kitchen._objects.read(done.cooked.result.outputs[0].version.digest) == b"made by one\nmade by three\n"

    asyncio.run(scenario())


def test_lines_that_do_not_count_do_not_count_here_either(tmp_path: Path) -> None:
    reads = []
    for stamp in (b"# made at 1\n", b"# made at 2\n"):
        step = shell_step("s", "cat table > out", ["out"], ["table"])
        there = far(
            tmp_path / stamp.decode().strip("\n# ").replace(" ", ""),
            {"table": stamp + b"1 2 3\n"},
            Order(step, "key", ENV, DATE, "a.log"),
            insignificant={"table": ("^# made",)},
        )
        assert there.cooked.result is not None
        reads.append(there.cooked.result.reads)
    assert reads[0] == reads[1]


def test_what_cannot_be_carried_out_is_told_and_says_nothing_of_the_step(tmp_path: Path) -> None:
    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        step = shell_step("s", "cat a > out", ["out"], ["a"])
        async with yard.pod():
            gone = boss.request("gone", step, {"a": b"will be lost"})
            boss.store.evict(boss.put(b"will be lost").digest)
            done = await boss.cook("east", gone)
            assert list(done.missing) == [boss.store.put_bytes(b"will be lost").digest]
            assert done.cooked.result is None and done.cooked.execution is None and "boss does not have it" in done.trouble
            outside = boss.request("outside", step, {"../../a": b""})
            assert "outside of the project" in (await boss.cook("east", outside)).trouble
            damaged = msgspec.structs.replace(boss.request("damaged", step), tree=boss.put(b"\xc1 no listing"))
            assert "cannot be read" in (await boss.cook("east", damaged)).trouble
            assert (await boss.cook("east", boss.request("good", step, {"a": b""}))).cooked.exit_code == 0

    asyncio.run(scenario())


def test_a_pod_goes_on_answering_while_it_stores_and_copies_large_files(tmp_path: Path) -> None:
    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        async with yard.pod(slots=1, lease_seconds=0.3) as pod:
            made = await boss.cook("east", boss.request("one", shell_step("s", "head -c 80000000 /dev/zero > big", ["big"])))
            (output,) = made.cooked.result.outputs  # type: ignore[union-attr]
            row = Input("big", output.version.digest, output.version.size)
            step = shell_step("t", "wc -c < big > out", ["out"], ["big"])
            done = await boss.cook("east", msgspec.structs.replace(boss.request("two", step), inputs=(row,)))
            assert done.cooked.result is not None
            assert int(pod.kitchen._objects.read(done.cooked.result.outputs[0].version.digest)) == 80_000_000
            assert not done.fetched.get("east")

    asyncio.run(scenario())


def test_the_mess_of_one_step_is_no_other_steps_problem(tmp_path: Path) -> None:
    mess = "mkdir -p shut/in; echo > shut/in/x; chmod 0 shut; ln -s /etc sub; echo bad > a; rm -f b; touch c/junk; chmod 0 c; mkdir out"
    files = {"a": b"1", "b": b"2", "c/d": b"3"}

    async def scenario() -> None:
        yard = Yard(tmp_path)
        boss = await yard.boss()
        async with yard.pod(slots=1):
            made = await boss.cook("east", boss.request("one", shell_step("mess", mess, ["out"]), files))
            assert made.cooked.result is None
            look = shell_step(
                "look", "find . -type f | sort; cat a b c/d; test -L sub && echo link; ls -d c/junk out shut; true > z", ["z"]
            )
            done = await boss.cook("east", boss.request("two", look, files))
            assert done.log.partition("== stderr")[0].splitlines()[1:] == ["./a", "./b", "./c/d", "123"]

    asyncio.run(scenario())
