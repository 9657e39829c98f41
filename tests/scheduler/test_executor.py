"""Programs are run as a user expects: output complete, limits kept, nothing left behind. Real processes throughout."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cpods.model import Exit
from cpods.ports import Command, Withdrawn
from cpods.scheduler import groups
from cpods.scheduler.executor import ProcessExecutor
from cpods.scheduler.streams import Capture
from tests.helpers.offspring import children

ENVIRONMENT = (("PATH", os.environ["PATH"]), ("LANG", "C.UTF-8"))


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def command(*argv: str, cwd: str = "/", **fields: Any) -> Command:
    return Command(argv=argv, cwd=cwd, env=ENVIRONMENT, **fields)


def shell(text: str, **fields: Any) -> Command:
    return command("sh", "-c", text, **fields)


def python(text: str, **fields: Any) -> Command:
    return command(sys.executable, "-c", text, **fields)


def execute(asked: Command, executor: ProcessExecutor | None = None) -> Exit:
    exit: Exit = run((executor or ProcessExecutor(grace_seconds=0.3)).run(asked))
    return exit


def running(pid: int) -> bool:
    """Whether a process still runs; one that init has yet to bury does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def written(path: Path, lines: int = 1) -> list[str]:
    """The lines of a file as soon as there are so many whole ones."""
    while not path.exists() or path.read_text().count("\n") < lines:
        await asyncio.sleep(0.002)
    return path.read_text().split("\n")[:lines]


class Launching(ProcessExecutor):
    """Has every program started by launchers, which end with the last one."""

    under_way = 0

    def begin(self, command: Command, started: Callable[[int, int], None] | None, ended: Callable[[Any], None]) -> Any:
        def over(how: Any) -> None:
            self.under_way -= 1
            if not self.under_way:
                self.rest()
            ended(how)

        if not self.under_way:
            self._alone = 0
            self.expect(2)
        self.under_way += 1
        return super().begin(command, started, over)


@pytest.fixture(params=["here", "launched"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs are started in this process, and by launchers."""
    if request.param == "launched":
        monkeypatch.setitem(globals(), "ProcessExecutor", Launching)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test may leave a descriptor open or a child unburied."""
    before = sorted(os.listdir("/proc/self/fd")), children()
    yield
    assert (sorted(os.listdir("/proc/self/fd")), children()) == before


@pytest.mark.usefixtures("both_ways")
class TestOutcome:
    def test_output_and_code(self) -> None:
        exit = execute(shell("echo out; echo err >&2; exit 3"))
        assert (exit.code, exit.stdout, exit.stderr, exit.timed_out, exit.error) == (3, b"out\n", b"err\n", False, "")

    def test_signal_is_negative(self) -> None:
        assert execute(shell("kill -SEGV $$")).code == -signal.SIGSEGV

    def test_folder_and_whole_environment(self, tmp_path: Path) -> None:
        exit = execute(Command(argv=("/usr/bin/env",), cwd=str(tmp_path), env=(("ONLY", "this"),)))
        assert exit.stdout == b"ONLY=this\n"
        assert execute(command("pwd", cwd=str(tmp_path))).stdout == os.fsencode(tmp_path) + b"\n"

    def test_program_is_found_in_the_given_path_not_ours(self, tmp_path: Path) -> None:
        program = tmp_path / "bin" / "cpods-test-tool"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho mine\n")
        program.chmod(0o755)
        env = (("PATH", str(program.parent)),)
        assert execute(Command(argv=("cpods-test-tool",), cwd="/", env=env)).stdout == b"mine\n"
        assert execute(Command(argv=("./cpods-test-tool",), cwd=str(program.parent), env=())).stdout == b"mine\n"

    def test_standard_input_is_empty(self) -> None:
        assert execute(command("cat")).code == 0

    def test_no_terminal_to_wait_for(self) -> None:
        exit = execute(python("import os; os.open('/dev/tty', os.O_RDWR)"))
        assert exit.code == 1 and b"OSError" in exit.stderr

    def test_no_descriptor_of_ours_is_inherited(self) -> None:
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        try:
            exit = execute(shell("ls /proc/$$/fd"))
        finally:
            os.close(reader)
            os.close(writer)
        assert set(exit.stdout.split()) <= {b"0", b"1", b"2"}

    def test_resource_use_is_recorded(self) -> None:
        exit = execute(python("block = bytearray(300 << 20)\nfor i in range(2_000_000): pass"))
        assert exit.memory_bytes_max > 300 << 20
        assert exit.cpu_seconds > 0 and exit.seconds > 0


class TestStarted:
    def test_started_gets_what_names_the_process(self) -> None:
        seen: list[tuple[int, int]] = []
        asked = shell("echo $$; cut -d' ' -f22 /proc/$$/stat")
        exit = run(ProcessExecutor().run(asked, lambda pid, ticks: seen.append((pid, ticks))))
        assert [tuple(map(int, exit.stdout.split()))] == seen

    def test_start_times_are_those_of_proc_for_one_process_after_the_other(self) -> None:
        seen: list[tuple[int, int]] = []
        told: list[tuple[int, ...]] = []

        async def scenario() -> None:
            executor = ProcessExecutor()
            for _ in range(25):
                exit = await executor.run(shell("echo $$; cut -d' ' -f22 /proc/$$/stat"), lambda pid, ticks: seen.append((pid, ticks)))
                told.append(tuple(map(int, exit.stdout.split())))

        run(scenario())
        assert told == seen

    def test_an_error_in_started_ends_the_program(self, tmp_path: Path) -> None:
        pids: list[int] = []

        def refuse(pid: int, ticks: int) -> None:
            pids.append(pid)
            raise RuntimeError("the journal is full")

        with pytest.raises(RuntimeError, match="journal"):
            run(ProcessExecutor().run(command("sleep", "600"), refuse))
        assert not running(pids[0])


@pytest.mark.usefixtures("both_ways")
class TestOutput:
    def test_any_bytes(self) -> None:
        assert execute(python(r"import os; os.write(1, b'\xff\xfe\x00caf\xe9\r\n')")).stdout == b"\xff\xfe\x00caf\xe9\r\n"

    def test_both_streams_at_once_do_not_deadlock(self) -> None:
        exit = execute(python("import os\nfor i in range(200): os.write(1, b'o' * 65536); os.write(2, b'e' * 65536)"))
        assert (len(exit.stdout), len(exit.stderr)) == (200 << 16, 200 << 16)

    def test_huge_output_keeps_both_ends_in_little_memory(self, tmp_path: Path) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        text = "import os\nos.write(1, b'first')\nfor i in range(800): os.write(1, b'x' * 65536)\nos.write(1, b'last')"
        exit = execute(python(text, log=str(tmp_path / "log")), ProcessExecutor(output_bytes_max=1 << 20))
        assert exit.code == 0
        assert exit.stdout.startswith(b"first") and exit.stdout.endswith(b"last")
        assert b"\n[51380233 bytes left out]\n" in exit.stdout
        assert len(exit.stdout) < (1 << 20) + 100
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 16 << 10

    def test_line_by_line_loses_nothing(self) -> None:
        """It is read in gulps then, out of a wider pipe; some 3 MiB are more than that holds."""
        lines = b"".join(b"kdebug: line %d of a search, as an engine says it\n" % number for number in range(60_000))
        exit = execute(
            python("import os\nfor n in range(60_000): os.write(2, b'kdebug: line %d of a search, as an engine says it\\n' % n)")
        )
        assert exit.stderr == lines

    def test_reopening_a_stream_loses_nothing(self) -> None:
        exit = execute(shell("echo one >&2; echo two | tee /dev/stderr; echo three >/dev/stderr; echo four >&2"))
        assert exit.stderr == b"one\ntwo\nthree\nfour\n"

    def test_log_holds_both_streams(self, tmp_path: Path) -> None:
        log = tmp_path / "step.log"
        execute(shell("printf 'no newline'; echo bad >&2", log=str(log)))
        lines = log.read_bytes().splitlines()
        assert lines[0].startswith(b"== stdout of sh -c ") and lines[1] == b"no newline"
        assert lines[2].startswith(b"== stderr of sh -c ") and lines[3:] == [b"bad"]

    def test_log_of_what_did_not_start(self, tmp_path: Path) -> None:
        log = tmp_path / "step.log"
        execute(command("no-such-program", log=str(log)))
        assert log.read_text().startswith("program not found: no-such-program\n")

    def test_log_that_cannot_be_written_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            execute(shell("echo said", log=str(tmp_path / "no" / "log")))

    def test_silent_run_leaves_no_log_and_none_of_an_earlier_one(self, tmp_path: Path) -> None:
        log = tmp_path / "step.log"
        execute(shell("exit 3", log=str(log)))
        assert log.read_bytes() == b"== stdout of sh -c 'exit 3' ==\n== stderr of sh -c 'exit 3' ==\n"
        execute(shell("true", log=str(log)))
        assert not log.exists()

    @pytest.mark.parametrize("sizes", [[0], [10], [11], [3, 3, 3, 3], [5, 5, 1], [100], [4, 100, 4], [1] * 50])
    def test_capture_keeps_exactly_the_ends(self, sizes: list[int]) -> None:
        data = bytes(range(256))[: sum(sizes)]
        capture = Capture(10)
        at = 0
        for size in sizes:
            capture.add(data[at : at + size])
            at += size
        expected = data if at <= 10 else data[:5] + b"\n[%d bytes left out]\n" % (at - 10) + data[-5:]
        assert capture.value() == expected


@pytest.mark.usefixtures("both_ways")
class TestNotStarted:
    def test_binary_not_found(self) -> None:
        exit = execute(command("no-such-program", "x"))
        assert (exit.code, exit.error) == (127, "program not found: no-such-program")

    def test_path_not_found(self, tmp_path: Path) -> None:
        assert execute(command("./tool", cwd=str(tmp_path))).error == "program not found: ./tool"
        (tmp_path / "file").touch()
        assert execute(command("file/tool", cwd=str(tmp_path))).code == 127

    def test_not_executable(self, tmp_path: Path) -> None:
        (tmp_path / "tool").write_text("#!/bin/sh\n")
        exit = execute(command("./tool", cwd=str(tmp_path)))
        assert (exit.code, exit.error) == (126, "not executable: ./tool")

    def test_no_program_format(self, tmp_path: Path) -> None:
        (tmp_path / "tool").write_text("just text\n")
        (tmp_path / "tool").chmod(0o755)
        assert execute(command("./tool", cwd=str(tmp_path))).error == "not executable: ./tool"

    def test_directory_as_program(self, tmp_path: Path) -> None:
        (tmp_path / "tool").mkdir()
        exit = execute(command("./tool", cwd=str(tmp_path)))
        assert (exit.code, exit.error) == (126, "not executable: ./tool")

    def test_interpreter_missing(self, tmp_path: Path) -> None:
        (tmp_path / "tool").write_text("#!/no/such/interpreter\n")
        (tmp_path / "tool").chmod(0o755)
        exit = execute(command("./tool", cwd=str(tmp_path)))
        assert exit.code == 126 and "interpreter" in exit.error

    def test_folder_missing(self, tmp_path: Path) -> None:
        exit = execute(command("true", cwd=str(tmp_path / "gone")))
        assert (exit.code, exit.error) == (127, f"folder not found: {tmp_path / 'gone'}")

    def test_nothing_to_run_and_nul_bytes_and_too_many_arguments(self) -> None:
        assert execute(Command(argv=(), cwd="/", env=())).error == "cannot start a program: no program given"
        assert execute(command("echo", "a\0b")).code == 126
        assert "Argument list too long" in execute(command("true", "x" * (1 << 20))).error

    @pytest.mark.parametrize("free", range(8))
    def test_out_of_descriptors_at_any_point(self, free: int) -> None:
        exit = run(self.starved(free))
        assert exit.code == 0 or (exit.code == 126 and exit.error == "cannot start true: Too many open files")
        assert exit.code == (0 if free == 7 else 126)

    @staticmethod
    async def starved(free: int) -> Exit:
        """Runs ``true`` with so many file descriptors left to this process."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            with suppress(OSError):
                while True:
                    taken.append(os.open("/dev/null", os.O_RDONLY))
            for _ in range(free):
                os.close(taken.pop())
            return await ProcessExecutor().run(command("true"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in taken:
                os.close(descriptor)


#: A leader, its child, its grandchild, each ignoring SIGTERM; each writes its process id and waits for ever.
THREE_LEVELS = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
level = 1
while level < 3 and os.fork() == 0:
    level += 1
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()}\\n")
while True:
    signal.pause()
"""


@pytest.mark.usefixtures("both_ways")
class TestEnding:
    def test_time_limit(self) -> None:
        exit = execute(shell("echo before; exec sleep 600", timeout=0.1))
        assert (exit.timed_out, exit.code, exit.stdout) == (True, -signal.SIGTERM, b"before\n")

    def test_time_limit_not_reached(self) -> None:
        assert not execute(command("true", timeout=60)).timed_out

    def test_time_limit_gives_time_to_tidy_up(self, tmp_path: Path) -> None:
        text = f"trap 'echo tidy; exit 9' TERM; echo $$ > {tmp_path}/ready; while :; do sleep 0.01; done"
        exit = execute(shell(text, timeout=0.2), ProcessExecutor(grace_seconds=30))
        assert (exit.timed_out, exit.code, exit.stdout) == (True, 9, b"tidy\n")

    def test_three_levels_that_ignore_sigterm(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"

        async def scenario() -> None:
            executor = ProcessExecutor(grace_seconds=0.1)
            task = asyncio.create_task(executor.run(command(sys.executable, "-c", THREE_LEVELS, str(pids))))
            await written(pids, 3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(scenario())
        found = [int(line) for line in pids.read_text().split()]
        assert len(found) == 3 and not any(running(pid) for pid in found)

    def test_second_cancel_does_not_wait_for_grace(self, tmp_path: Path) -> None:
        pids = tmp_path / "pids"

        async def scenario() -> None:
            executor = ProcessExecutor(grace_seconds=3600)
            task = asyncio.create_task(executor.run(command(sys.executable, "-c", THREE_LEVELS, str(pids))))
            await written(pids, 3)
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task

        run(scenario())
        assert not any(running(int(line)) for line in pids.read_text().split())

    def test_cancel_writes_the_log(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            asked = shell(f"echo so far; echo > {tmp_path}/ready; exec sleep 600", log=str(tmp_path / "log"))
            task = asyncio.create_task(ProcessExecutor().run(asked))
            await written(tmp_path / "ready")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(scenario())
        assert b"so far" in (tmp_path / "log").read_bytes()

    def test_end_of_the_program_ends_its_helpers(self) -> None:
        exit = execute(shell("sleep 600 & echo $!; sleep 601 & echo $!"))
        assert exit.code == 0
        assert [running(int(line)) for line in exit.stdout.split()] == [False, False]

    def test_helper_that_ignores_sigterm(self, tmp_path: Path) -> None:
        text = f"(trap '' TERM; echo > {tmp_path}/ready; exec sleep 600) & echo $!; while ! test -e {tmp_path}/ready; do sleep 0.01; done"
        exit = execute(shell(text), ProcessExecutor(grace_seconds=0.1))
        assert not running(int(exit.stdout))

    def test_daemon_in_a_session_of_its_own_does_not_hold_us(self, tmp_path: Path) -> None:
        """It is beyond the group; that it keeps our pipe open must not matter."""
        text = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 600' & while ! test -s {tmp_path}/pid; do :; done; echo done"
        exit = execute(shell(text))
        assert exit.stdout == b"done\n"
        pid = int((tmp_path / "pid").read_text())
        assert running(pid)
        os.kill(pid, signal.SIGKILL)

    def test_one_that_is_just_being_started_can_be_cancelled(self) -> None:
        async def scenario() -> Exit | Exception:
            over: asyncio.Future[Exit | Exception] = asyncio.get_running_loop().create_future()
            run = ProcessExecutor(grace_seconds=3600).begin(shell("trap '' TERM; while :; do sleep 600; done"), None, over.set_result)
            run.cancel()
            run.cancel()
            return await over

        exit = run(scenario())
        assert isinstance(exit, Withdrawn) or (isinstance(exit, Exit) and exit.code in (-signal.SIGTERM, -signal.SIGKILL))

    def test_one_executor_serves_one_loop_after_the_other(self) -> None:
        executor = ProcessExecutor()
        assert [execute(command("true"), executor).code for _ in range(3)] == [0, 0, 0]

    def test_five_hundred_at_once_and_in_turn(self) -> None:
        async def scenario() -> list[int]:
            executor = ProcessExecutor()
            asked = iter([command("true", log="")] * 500)

            async def worker() -> list[int]:
                return [(await executor.run(one)).code for one in asked]

            return [code for codes in await asyncio.gather(*(worker() for _ in range(20))) for code in codes]

        assert run(scenario()) == [0] * 500


class TestGroups:
    def test_ends_the_group_that_it_means(self) -> None:
        child = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, process_group=0)
        with child:
            assert child.stdout is not None
            helper = int(child.stdout.readline())
            ticks = groups.start_ticks(child.pid)
            assert ticks is not None
            assert not groups.end_group(child.pid, ticks + 1)
            assert running(child.pid) and running(helper)
            assert groups.members(child.pid) == sorted([child.pid, helper])
            assert groups.end_group(child.pid, ticks)
            assert not running(child.pid) and not running(helper)
        assert child.returncode == -signal.SIGTERM

    def test_kills_what_ignores_sigterm(self) -> None:
        with subprocess.Popen(["sh", "-c", "trap '' TERM; echo; sleep 600"], stdout=subprocess.PIPE, process_group=0) as child:
            assert child.stdout is not None
            child.stdout.readline()
            assert groups.end_group(child.pid, groups.start_ticks(child.pid) or 0, grace_seconds=0.05)
        assert child.returncode == -signal.SIGKILL

    def test_never_touches_a_process_that_leads_no_group(self) -> None:
        with subprocess.Popen(["sleep", "600"]) as child:
            assert not groups.end_group(child.pid, groups.start_ticks(child.pid) or 0)
            assert running(child.pid)
            child.kill()

    def test_nobody_there(self) -> None:
        with subprocess.Popen(["true"]) as child:
            pass
        assert groups.start_ticks(child.pid) is None
        assert not groups.end_group(child.pid, 1)

    def test_names_with_brackets(self, tmp_path: Path) -> None:
        odd = tmp_path / "a) R (b"
        odd.symlink_to("/bin/sleep")
        with subprocess.Popen([str(odd), "600"], process_group=0) as child:
            assert groups.members(child.pid) == [child.pid]
            child.kill()
