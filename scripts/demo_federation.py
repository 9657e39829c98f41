"""``make demo-federation``: a broker and four pods as separate processes build a document and a C program, as one machine would.

Knows no internals of cpods: it uses the commands and reads the reports that everybody has.
"""

import argparse
import filecmp
import fnmatch
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from demo_places import Places, places

FEDERATION = "demo"
PODS = ("amber", "birch", "cedar", "dogwood")
PROJECTS = ("book", "program")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CPODS = (os.path.join(os.path.dirname(sys.executable), "cpods"),)

_READY_SECONDS = 60.0
_CALL_SECONDS = 600.0
_DROPPED = ("CPODS_HOME", "CPODS_STORE", "CPODS_STATE", "CPODS_FEDERATION", "CPODS_SFTP_HOST", "CPODS_SFTP_PORT")


class Failed(Exception):
    """The demonstration did not show what it is to show; one sentence."""


class Demo:
    """One run, below the folder ``top``."""

    def __init__(self, top: str, where: Places) -> None:
        self.top = top
        self.where = where

    def environment(self, member: str) -> dict[str, str]:
        """What programs of a member get: its own home, nothing of this machine's user."""
        kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        home = os.path.join(self.top, member, "home")
        return {**kept, "CPODS_HOME": home, "CPODS_SFTP_HOST": self.where.machines[member].address}

    def call(self, member: str, *words: str, good: Iterable[int] = (0,)) -> str:
        """Runs cpods as a member to its end; what it printed. Raises Failed."""
        process = self.where.start(member, [*CPODS, *words], self.environment(member), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, said = process.communicate(timeout=_CALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"cpods {_short(words)} on {member} did not end within {_CALL_SECONDS:.0f} s") from None
        if process.returncode not in good:
            raise Failed(f"cpods {_short(words)} on {member} ended with {process.returncode}:\n{(said + out)[-3000:]}")
        return out

    def found(self) -> None:
        """The federation, its broker and its pods."""
        founder = self.where.machines["founder"]
        say(self.call("founder", "federation", "init", FEDERATION, "--listen", founder.address).splitlines()[0])
        for pod in PODS:
            token = self.call("founder", "federation", "invite", pod).split()[0]
            self.call(pod, "federation", "join", token)
            self._start_pod(pod)
        self._wait_for_pods()
        print(self.call("founder", "pod", "list"))

    def _start_pod(self, pod: str) -> None:
        folder = os.path.join(self.top, pod)
        words = ("pod", "start", "--slots", "1", "--listen", self.where.machines[pod].address)
        command = [*CPODS, *words, "--store", os.path.join(folder, "store"), "--work", os.path.join(folder, "work")]
        with open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:
            self.where.start(pod, command, self.environment(pod), stdout=log, stderr=log)

    def _wait_for_pods(self) -> None:
        until = time.monotonic() + _READY_SECONDS
        while True:
            states = {pod["pod"]: pod["state"] for pod in json.loads(self.call("founder", "pod", "list", "--json"))}
            if all(states.get(pod) == "ready" for pod in PODS):
                return
            if time.monotonic() > until:
                raise Failed(f"not all pods came up within {_READY_SECONDS:.0f} s: {states}; their logs are {self.top}/*/log")
            time.sleep(0.2)

    def rebuild(self, folder: str, federation: bool, goals: Sequence[str] = ()) -> dict[str, Any]:
        """Builds a project as the founder; the report. Raises Failed."""
        report = folder + ".json"
        words = ["rebuild", *goals, "-C", folder, "--until-stable", "--report", report]
        self.call("founder", *words, *(("--federation", FEDERATION) if federation else ()))
        with open(report, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
        return found

    def stop(self) -> None:
        """The federation's steward ends, and its broker with it."""
        if os.path.isdir(os.path.join(self.top, "founder", "home", FEDERATION)):
            self.call("founder", "federation", "stop", good=(0, 1, 2, 5))


def show(demo: Demo, project: str) -> None:
    """Builds one project on the pods, and once more on one machine; says what happened. Raises Failed if the two differ."""
    example = os.path.join(ROOT, "examples", project)
    far, near, other = (os.path.join(demo.top, "founder", f"{project}-{kind}") for kind in ("pods", "one", "other"))
    copy_sources(example, far)
    copy_sources(example, near)
    sources = set(files(near))
    report = demo.rebuild(far, federation=True)
    single = demo.rebuild(near, federation=False)
    print_work(project, report, single)
    graph = json.loads(demo.call("founder", "graph", "show", "--format", "json", "-C", near))
    outputs = {path for step in graph["steps"] for path in step["outputs"]}
    made = sorted((set(files(near)) - sources) & (outputs | set(files(far))))  # a compiler's depfile is nobody's product
    # The pods have kept what is no goal, such as objects; asked for by name it comes as well.
    wanted = [path for path in made if not os.path.exists(os.path.join(far, path))]
    if wanted:
        again = demo.rebuild(far, federation=True, goals=wanted)
        if ran := [entry for entry in again["executions"] if entry["kind"] == "run"]:
            raise Failed(f"{project}: bringing what is no goal ran {len(ran)} tools again")
    check_knots(project, report, single)
    different = [path for path in made if not same(far, near, path)]
    exempt: list[str] = []
    if different:
        copy_sources(example, other)
        demo.rebuild(other, federation=False)
        exempt = [path for path in different if not same(near, other, path)]
    if wrong := [path for path in different if path not in exempt]:
        raise Failed(f"{project}: {', '.join(wrong)} came out otherwise on the pods than on one machine (left in {demo.top})")
    goals = ", ".join(goal["path"] for goal in report["goals"])
    say(f"{project}: {len(made) - len(exempt)} of {len(made)} files equal those of one machine byte for byte, among them {goals}")
    for path in exempt:
        say(f"{project}: exempt is {path}: two plain builds in two folders make it differently")
    print()


def check_knots(project: str, report: Mapping[str, Any], single: Mapping[str, Any]) -> None:
    """The circles ended alike, after as many passes. Raises Failed."""
    for one, two in zip(report["knots"], single["knots"], strict=True):
        if any(one[key] != two[key] for key in ("verdict", "passes", "feedback")):
            raise Failed(f"{project}: the circle of {', '.join(one['steps'])} ended otherwise on the pods than on one machine")
        ended = f"{one['verdict']} after {one['passes']} passes"
        say(f"{project}: {ended}, with the same digests of {len(one['feedback'])} feedback files as on one machine")


def print_work(project: str, report: Mapping[str, Any], single: Mapping[str, Any]) -> None:
    """Who ran what, and which bytes moved."""
    runs = [entry for entry in report["executions"] if entry["kind"] == "run"]
    alone = [entry for entry in single["executions"] if entry["kind"] == "run"]
    print(f"{project}: {len(runs)} runs on the pods in {report['seconds']:.1f} s; {len(alone)} on one machine in {single['seconds']:.1f} s")
    rows = []
    for pod in sorted({entry["pod"] for entry in runs} | set(PODS)):
        mine = [entry for entry in runs if entry["pod"] == pod]
        tools = Counter(entry["tool"] for entry in mine)
        steps = len({entry["step"] for entry in mine})
        rows.append((pod, str(steps), str(len(mine)), ", ".join(f"{tool} {count}" for tool, count in sorted(tools.items()))))
    table(("pod", "steps", "runs", "tools"), rows)
    moved = report["federation"]["moved_bytes"]
    went = [(receiver, holder, f"{count:,}") for receiver, by in sorted(moved.items()) for holder, count in sorted(by.items())]
    table(("bytes went to", "from", "bytes"), went)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def same(folder: str, other: str, path: str) -> bool:
    """Whether both folders have this file with the same bytes."""
    try:
        return filecmp.cmp(os.path.join(folder, path), os.path.join(other, path), shallow=False)
    except FileNotFoundError:
        return False


def files(folder: str) -> Iterator[str]:
    """All files below a folder but cpods' own, relative to it."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".cpods"]
        yield from (os.path.relpath(os.path.join(place, name), folder) for name in names)


def copy_sources(example: str, folder: str) -> None:
    """An example without what an earlier build of it has left: what .gitignore names."""
    name = os.path.basename(example)
    patterns = [line.removeprefix(f"/examples/{name}/") for line in _lines(os.path.join(ROOT, ".gitignore")) if f"examples/{name}/" in line]
    patterns += [line.strip("/") for line in _lines(os.path.join(example, ".gitignore"))]
    for path in files(example):
        top = path.split(os.sep)[0]
        if not any(fnmatch.fnmatch(top, pattern) for pattern in patterns) and top != ".gitignore":
            target = os.path.join(folder, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(os.path.join(example, path), target)


def _short(words: Sequence[str]) -> str:
    """A call as a sentence can have it."""
    return " ".join(words if len(words) < 12 else (*words[:4], "…", *words[-6:]))


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def say(text: str) -> None:
    """One line of what happens."""
    print(text, flush=True)


def run(wish: str, keep: bool) -> int:
    """The whole demonstration; the exit code. Everything that it started has ended when it returns."""
    top = tempfile.mkdtemp(prefix="cpods-demo-")
    where = None
    code = 1
    try:
        where = places(("founder", *PODS), top, wish, say)
        say(f"a broker and {len(PODS)} pods, each with its own home, store and workspaces below {top}, on {where.what}")
        for member in where.machines:
            os.makedirs(os.path.join(top, member))
        demo = Demo(top, where)
        demo.found()
        for project in PROJECTS:
            show(demo, project)
        code = 0
    except (Failed, RuntimeError) as error:
        print(f"demo-federation: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("demo-federation: interrupted", file=sys.stderr)
        code = 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # the end is not to be interrupted
            signal.signal(number, signal.SIG_IGN)
        code = _end(top, where, code, keep)
    return code


def _end(top: str, where: Places | None, code: int, keep: bool) -> int:
    if where is not None:
        _quietly(Demo(top, where).stop)
        killed = where.close()
        if killed:
            print(f"these processes did not end by themselves and were killed: {killed}", file=sys.stderr)
            code = code or 1
        else:
            say("everything that was started has ended")
    if keep or code not in (0, 130):
        say(f"left for a look: {top}")
    else:
        shutil.rmtree(top, ignore_errors=True)
    return code


def _quietly(work: Callable[[], None]) -> None:
    """A steward that cannot be asked any more is ended with the rest."""
    try:
        work()
    except Failed as error:
        print(f"demo-federation: {error}", file=sys.stderr)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    what = "A federation of four pods on this machine builds two examples."
    parser = argparse.ArgumentParser(prog="demo_federation.py", description=what)
    parser.add_argument("--on", choices=("namespaces", "loopback"), default="", help="where (default: namespaces if root allows it)")
    parser.add_argument("--keep", action="store_true", help="leave the folders for a look")
    said = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupted)
    return run(said.on, said.keep)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
