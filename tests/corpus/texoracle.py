#!/usr/bin/env python3
"""Runs a case of all of TeX from a clean seed, everything in every pass, counts afterwards, and prints JSON.

Knows nothing of cpods (standard library and strace only). Call: ``texoracle.py CASE_DIR [--keep]``.

The model is oracle.py's, with more nodes and exact reads:

- Nodes: every shell step; every document = one engine node and the tool nodes that its files ask for (textools.py).
- A helper is reached from its engine, which asks for it, as if it read something of it.
- Phase 1 runs all nodes for a few passes, only to learn who reads and writes what: by strace (textrace.py) for every tool, as
  declared for a shell step. Phase 2 restarts clean and walks the strongly connected components of the read/write graph in topological
  order (ties: listed order). A component without a circle: one run. A knot: passes of *all* its nodes in listed order, tools right
  behind their engine, each really executed in every pass, until the state repeats, then ``period`` more passes as a check.
- State: what readers in the knot can see, at rest after a pass, of the files that a node of the knot writes and a node of the knot reads.
  A project of one document needs no phase 1: the passes run all its nodes, and those outside its knot count one run behind it.
- Only then the runs are counted: a node runs in a pass if for none of its counted runs all that it read (and looked for in vain) is
  what is there, at rest just before; only passes 1..tail+period count. A look without opening counts as "is it there?", and only for files
  that the node opens in some run or that others write.
- With ``[edit]`` in case.toml (file, old, new) the build goes on after the edit from the state that it had reached (a warm seed), and
  ``edit_runs`` are the runs needed then.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import textools
import textrace

ENV = {**os.environ, "SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
NO_INPUTS = shutil.ignore_patterns("case.toml", "cpods.toml", "expected.json", "alt_seed*")
LEARNING_PASSES, ATTEMPTS = 3, 4
Snapshot = dict[str, str]


@dataclass
class Run:
    """One execution: what was there just before, what it read, its exit code."""

    node: str
    before: Snapshot
    reads: tuple[str, ...]
    looked: dict[str, bool]
    code: int


@dataclass
class Node:
    """A program of the case. ``order``: (step, place behind its engine); ``opened``: all that any run of it opened for reading."""

    name: str
    tool: str
    order: tuple[int, int]
    step: dict[str, Any]
    helper: textools.Tool | None = None
    opened: set[str] = field(default_factory=set)
    looked: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    required: list[str] = field(default_factory=list)


class Case:
    """A case in a folder of its own."""

    def __init__(self, case: Path) -> None:
        self.source = case.resolve()
        self.meta = tomllib.loads((case / "case.toml").read_text(encoding="utf-8"))
        self.project = tomllib.loads((case / "cpods.toml").read_text(encoding="utf-8"))
        self.root = Path(os.path.realpath(tempfile.mkdtemp(prefix="texoracle-"))) / "w"
        self.nodes: dict[str, Node] = {}
        self.heads: list[Node] = []
        self.contents: dict[str, bytes] = {}
        self.seconds: dict[str, float] = {}
        for number, step in enumerate(self.project["step"]):
            self._declare(number, step)

    def _declare(self, number: int, step: dict[str, Any]) -> None:
        chef = step.setdefault("chef", "shell")
        if chef == "shell":
            node = Node(step["name"], "shell", (number, 0), step, required=list(step.get("inputs", [])))
            node.opened |= set(node.required) | set(step.get("optional", []))
            node.writes |= set(step.get("outputs", []))
        else:
            node = Node(f"{chef}:{step['main']}", textools.engine_command(step)[0], (number, 0), step)
        self.nodes[node.name] = node
        self.heads.append(node)

    # the folder

    def clean(self) -> None:
        """Sources only."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.source, self.root, ignore=NO_INPUTS)
        self.sources = set(self.snapshot())
        self.missed: dict[str, set[str]] = {}
        self.wrote: dict[str, set[str]] = {}
        self.codes: dict[str, list[int]] = {}
        self.pages: dict[str, int] = {}
        self.counted: dict[str, list[Run]] = {}

    def snapshot(self) -> Snapshot:
        """Every file below the folder -> its digest."""
        found = {}
        for file in sorted(self.root.rglob("*")):
            if file.is_file():
                data = file.read_bytes()
                digest = hashlib.sha256(data).hexdigest()
                self.contents[digest] = data
                found[file.relative_to(self.root).as_posix()] = digest
        return found

    # running

    def execute(self, node: Node, command: list[str], records: list[Run]) -> textrace.Trace:
        """Really runs a node's command and writes down what it did."""
        folder = self.root / node.step.get("cwd", ".")
        before = self.snapshot()
        code, trace = textrace.run(command, folder, ENV, self.root)
        if node.tool == "shell":
            reads, looked = sorted(node.opened), {}
        else:
            made = self._path(node, node.helper.makes) if node.helper and node.helper.makes else ""
            reads = [path for path in trace.reads if not textools.unseen(path) and path != made]
            looked = {path: there for path, there in trace.looked.items() if not textools.unseen(path)}
            node.opened |= set(reads)
            node.looked |= set(looked)
            node.writes |= {path for path in trace.writes if not textools.unseen(path)}
        if node.helper and node.helper.preamble_of:
            reads = self._of_preamble(node, list(reads))
        records.append(Run(node.name, before, tuple(reads), looked, code))
        self.codes.setdefault(node.name, []).append(code)
        return trace

    def _of_preamble(self, node: Node, reads: list[str]) -> list[str]:
        """A picture's reads: its .md5, and what was opened before the .aux, which is read where the preamble ends."""
        assert node.helper
        end = next((place for place, path in enumerate(reads) if path.endswith(".aux")), len(reads))
        name = node.name.removeprefix("figure:")
        return reads[:end] + [path for path in [self._path(node, name + ".md5")] if path not in reads[:end]]

    def _path(self, node: Node, name: str) -> str:
        return os.path.normpath(os.path.join(node.step.get("cwd", "."), name))

    def run_document(self, node: Node, records: list[Run], among: set[str] | None) -> None:
        """An engine, then the tools that its files ask for: those in ``among``, or not known before; None: all."""
        self._unlog(node)
        trace = self.execute(node, textools.engine_command(node.step)[1], records)
        self._count_pages(node)
        for helper in self._asked_for(node, trace):
            known = helper.name in self.nodes
            there = self.nodes.setdefault(helper.name, Node(helper.name, helper.tool, node.order, node.step, helper))
            if not known or among is None or helper.name in among:
                self.execute(there, helper.command, records)

    def _asked_for(self, node: Node, trace: textrace.Trace | None) -> list[textools.Tool]:
        """In the order of running; gives known nodes their place behind the engine."""
        cwd = node.step.get("cwd", ".")

        def here(paths: Iterable[str]) -> set[str]:
            return {os.path.relpath(path, cwd) for path in paths}

        missed, wrote = self.missed.setdefault(node.name, set()), self.wrote.setdefault(node.name, set())
        if trace:
            missed |= {path for path, there in trace.looked.items() if not there}
            wrote |= trace.writes  # in any run: TikZ does not write a .gnuplot again that is there as it should be
        folder = textools.Folder(self.root / cwd, here(wrote), here(missed), here(node.opened), here(self.sources))
        found = textools.tools(node.step, folder)
        for place, helper in enumerate(found):
            if helper.name in self.nodes:
                self.nodes[helper.name].order = (node.order[0], place + 1)
        return found

    def _unlog(self, node: Node) -> None:
        if node.tool != "shell":
            (self.root / self._path(node, textools.jobname(node.step) + ".log")).unlink(missing_ok=True)

    def _count_pages(self, node: Node) -> None:
        log = self.root / self._path(node, textools.jobname(node.step) + ".log")
        self.pages[node.name] = textools.pages(log.read_bytes() if log.exists() else b"")

    def ready(self, node: Node) -> bool:
        """Are all required inputs there?"""
        return all((self.root / path).exists() for path in node.required)

    def run_pass(self, names: set[str], learning: bool = False) -> list[Run]:
        """One pass over the documents and shell steps in ``names``; a step whose required inputs are absent waits."""
        records: list[Run] = []
        todo = [node for node in self.heads if node.name in names]
        while node := next((node for node in todo if self.ready(node)), None):
            todo.remove(node)
            if node.tool == "shell":
                self.execute(node, ["sh", "-c", node.step["run"]], records)
            else:
                self.run_document(node, records, None if learning else names)
        return records

    def run_alone(self, name: str) -> list[Run]:
        """One run of a component without a circle; nothing if a tool is no longer asked for."""
        node = self.nodes[name]
        if node.helper is None:
            return self.run_pass({name})
        head = self.heads[node.order[0]]
        records: list[Run] = []
        for helper in self._asked_for(head, None):
            if helper.name == name:
                self.execute(node, helper.command, records)
        return records

    # the graph

    def components(self) -> list[tuple[list[str], bool]]:
        """(members in order, is it a knot?) in topological order, ties in listed order."""
        nodes = sorted(self.nodes.values(), key=lambda node: (node.order, node.name))
        follow = {a.name: {b.name for b in nodes if a.writes & b.opened or (b.helper and a is self.heads[b.order[0]])} for a in nodes}
        reach = {name: _reachable(follow, name) for name in follow}
        found: list[tuple[list[str], bool]] = []
        done: set[str] = set()
        for node in nodes:
            if node.name not in done:
                circle = [m.name for m in nodes if m is node or (m.name in reach[node.name] and node.name in reach[m.name])]
                done |= set(circle)
                found.append((circle, node.name in reach[node.name]))
        ordered = []
        while found:
            free = (c for c in found if not any(set(c[0]) & reach[other] for d in found if d is not c for other in d[0]))
            ordered.append(next(free))
            found.remove(ordered[-1])
        return ordered

    def feedback(self, members: list[str]) -> list[str]:
        """Paths written by a member and read by a member."""
        nodes = [self.nodes[name] for name in members]
        return sorted(set().union(*(n.writes for n in nodes)) & set().union(*(n.opened for n in nodes)))

    def sight(self, node: Node, path: str, digest: str | None) -> str | None:
        """What ``node`` sees of a file: a digest, or None for absent."""
        if digest is None:
            return None
        preamble = self._path(node, node.helper.preamble_of) if node.helper and node.helper.preamble_of else ""
        if node.tool not in textools.PARTIAL and not preamble and not textools.partly_seen(path):
            return digest
        return hashlib.sha256(textools.seen(node.tool, path, self.contents[digest], preamble)).hexdigest()

    def state(self, members: list[str], at: Snapshot) -> tuple[Any, ...]:
        """The knot's state at rest."""
        readers = {path: [self.nodes[m] for m in members if path in self.nodes[m].opened] for path in self.feedback(members)}
        return tuple((path, tuple(self.sight(node, path, at.get(path)) for node in readers[path])) for path in readers if path in at)

    # knots

    def knot(self, members: list[str], cap: int, whole: bool = False) -> dict[str, Any]:
        """Passes until the state repeats, and the verdict. ``whole``: all nodes run, and the members are those found out until then."""
        rests, passes, orbit, stop = [self.snapshot()], [], None, None
        while stop is None or len(passes) < stop:
            passes.append(self.run_pass(set(members), learning=whole))
            rests.append(self.snapshot())
            members = self._circle_of(members[0]) if whole else members
            if any(self.nodes[run.node].tool == "shell" and run.code for run in passes[-1]):
                about = {"verdict": "ERROR", "why": "shell step failed", "tail": None, "period": None, "passes": len(passes)}
                return {"steps": members, **about, "runs": self.count(members, passes)}
            before, orbit = orbit, self._orbit(members, rests)
            if orbit != before:  # found, or another one because files are read now that were not before: check it by a period more
                stop = len(passes) + orbit[1] if orbit else None
            if orbit is None and len(passes) >= cap:
                about = {"verdict": "DIVERGES", "tail": None, "period": None, "passes": len(passes), "cap": cap}
                return {"steps": members, **about, "feedback": self.feedback(members), "runs": self.count(members, passes)}
        assert orbit
        self.final_pass = passes[-1]
        return self._judged(members, passes, rests, *orbit)

    def _circle_of(self, name: str) -> list[str]:
        return next(members for members, _ in self.components() if name in members)

    def _orbit(self, members: list[str], rests: list[Snapshot]) -> tuple[int, int] | None:
        seen: dict[tuple[Any, ...], int] = {}
        for place, rest in enumerate(rests):
            key = self.state(members, rest)
            if key in seen:
                return seen[key], place - seen[key]
            seen[key] = place
        return None

    def _judged(self, members: list[str], passes: list[list[Run]], rests: list[Snapshot], tail: int, period: int) -> dict[str, Any]:
        for place in range(tail, len(rests) - period):  # the extra passes must follow the cycle
            assert self.state(members, rests[place]) == self.state(members, rests[place + period]), "not deterministic"
        counted = passes[: tail + period]
        errors: dict[str, list[int]] = {}
        for number, runs in enumerate(counted, 1):
            for run in runs:
                if run.code and run.node in members:
                    errors.setdefault(run.node, []).append(number)
        failing = [name for name, numbers in errors.items() if any(number > tail for number in numbers)]
        orbit = "FIXED" if period == 1 else f"PERIOD {period}"
        return {
            "steps": members,
            "verdict": "ERROR" if failing else orbit.split()[0],
            "orbit": orbit,
            "tail": tail,
            "period": period,
            "passes": tail + period,
            "runs": self.count(members, counted),
            "feedback": self.feedback(members),
            "errors": errors,
        }

    # counting

    def count(self, members: list[str], passes: list[list[Run]]) -> dict[str, int]:
        """Runs that were needed, by node, beside those counted before."""
        counts = dict.fromkeys(members, 0)
        for run in (run for runs in passes for run in runs if run.node in counts):
            earlier = self.counted.setdefault(run.node, [])
            if all(self.stale(other, run.before) for other in earlier):
                counts[run.node] += 1
                earlier.append(run)
        return counts

    def stale(self, last: Run, now: Snapshot) -> bool:
        """Would a run see anything that the earlier run ``last`` did not see?"""
        node = self.nodes[last.node]
        others = set().union(*(other.writes for other in self.nodes.values() if other is not node))
        if any(self.sight(node, path, last.before.get(path)) != self.sight(node, path, now.get(path)) for path in last.reads):
            return True
        asked = {path: there for path, there in last.looked.items() if path in node.opened or (path in others and path not in node.writes)}
        return any(there != (path in now) for path, there in asked.items())

    # the whole case

    def go(self) -> dict[str, Any]:
        """The answer, in the shape of the corpus' expected.json."""
        single = len(self.heads) == 1 and self.heads[0].tool != "shell"
        never = [] if single else self._learn()
        if never:
            return self._blocked(never)
        knots, runs = self._one_document() if single else self._graph()
        answer = self._summary(knots, runs)
        if "edit" in self.meta and answer["verdict"] == "FIXED":
            self._edit()
            knots, runs = self.walk(self.components(), warm=True)
            answer["edit_runs"] = self._by_tool(runs)
            answer["edit_verdict"] = _worst(knots)
        return answer

    def _graph(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Phase 2, again if it finds out more."""
        for _ in range(ATTEMPTS):
            order = self.components()
            self.clean()
            knots, runs = self.walk(order)
            if [names for names, _ in self.components()] == [names for names, _ in order]:
                break
        return knots, runs

    def _one_document(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """A project of one document: its knot, and one run of each tool behind it if it is FIXED."""
        head = self.heads[0].name
        self.clean()
        found = self.knot([head], self._cap([head]), whole=True)
        behind = [name for name in self.nodes if name not in found["steps"]]
        runs = {**found["runs"], **dict.fromkeys(behind, 0)}
        knots = [found] if found["verdict"] != "FIXED" or self.feedback(found["steps"]) else []
        for run in self.final_pass if found["verdict"] == "FIXED" else []:
            if run.node in behind:
                runs[run.node], self.counted[run.node] = 1, [run]
                if run.code:
                    about = {"verdict": "ERROR", "orbit": "FIXED", "tail": 0, "period": 1, "passes": 1}
                    knots.append({"steps": [run.node], **about, "runs": {run.node: 1}})
        return knots, runs

    def _learn(self) -> list[str]:
        self.clean()
        ran: set[str] = set()
        for _ in range(self.meta.get("learning_passes", LEARNING_PASSES)):
            ran |= {run.node for run in self.run_pass(set(self.nodes), learning=True)}
        return [node.name for node in self.heads if node.name not in ran]

    def walk(self, order: list[tuple[list[str], bool]], warm: bool = False) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Component by component: the knots' answers, and the runs by node; nothing runs behind what is not FIXED."""
        knots: list[dict[str, Any]] = []
        runs: dict[str, int] = {}
        dead: set[str] = set()
        for members, circle in order:
            reads = set().union(*(self.nodes[name].opened for name in members))
            before = {node.name for node in self.nodes.values() if node.writes & reads} - set(members)
            if before & dead:
                dead |= set(members)
                runs |= dict.fromkeys(members, 0)
                continue
            answer = self.knot(members, self._cap(members)) if circle else self._single(members)
            runs |= answer["runs"]
            if circle or answer["verdict"] != "FIXED":
                knots.append(answer)
            if answer["verdict"] != "FIXED":
                dead |= set(members)
        return knots, runs

    def _cap(self, members: list[str]) -> int:
        documents = any(self.nodes[name].tool != "shell" for name in members)
        return int(self.meta.get("cap", 12 if documents else 40))

    def _single(self, members: list[str]) -> dict[str, Any]:
        records = self.run_alone(members[0])
        failed = any(run.code for run in records if run.node == members[0])
        about = {"steps": members, "verdict": "ERROR" if failed else "FIXED", "orbit": "FIXED", "tail": 0, "period": 1, "passes": 1}
        return {**about, "runs": self.count(members, [records])}

    def _edit(self) -> None:
        edit = self.meta["edit"]
        file = self.root / edit["file"]
        text = file.read_text(encoding="utf-8")
        assert edit["old"] in text
        file.write_text(text.replace(edit["old"], edit["new"]), encoding="utf-8")

    def _by_tool(self, runs: dict[str, int]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for name, count in runs.items():
            counts[self.nodes[name].tool] = counts.get(self.nodes[name].tool, 0) + count
        return dict(sorted(counts.items()))

    def _blocked(self, never: list[str]) -> dict[str, Any]:
        made = set().union(*(node.writes for node in self.nodes.values()))
        lost = sorted({path for name in never for path in self.nodes[name].required if path not in made | self.sources})
        why = f"missing source {', '.join(lost)}" if lost else "knot cannot start"
        return {"name": self.meta["name"], "verdict": "ERROR", "why": why, "blocked": never, "tail": None, "period": None, "runs": {}}

    def _summary(self, knots: list[dict[str, Any]], runs: dict[str, int]) -> dict[str, Any]:
        verdict = _worst(knots)
        proven = [knot for knot in knots if knot["period"]]
        open_end = verdict == "DIVERGES" or (verdict == "ERROR" and any(knot["period"] is None for knot in knots))
        answer = {
            "name": self.meta["name"],
            "verdict": verdict,
            "tail": None if open_end else max((knot["tail"] for knot in proven), default=0),
            "period": None if open_end else math.lcm(*(knot["period"] for knot in proven)) if proven else 1,
            "runs": self._by_tool(runs),
            "runs_by_step": runs,
            "pages": {name: count for name, count in self.pages.items() if count},
            "knots": knots,
        }
        if verdict == "DIVERGES":
            answer["runs"] = dict.fromkeys(answer["runs"])  # depends on the cap
        if verdict == "FIXED":
            at = self.snapshot()
            written = set().union(*(node.writes for node in self.nodes.values()))
            fed_back = set().union(*(knot["feedback"] for knot in knots)) if knots else set()
            answer["final"] = {path: at[path] for path in sorted(fed_back & written) if path in at and textools.comparable(path)}
        return answer


def _worst(knots: list[dict[str, Any]]) -> str:
    verdicts = {knot["verdict"] for knot in knots}
    return next((verdict for verdict in ("ERROR", "DIVERGES", "PERIOD") if verdict in verdicts), "FIXED")


def _reachable(follow: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(follow[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += follow[name]
    return seen


def answer(case: Path, keep: bool = False) -> dict[str, Any]:
    """The oracle's answer for a case folder. Raises AssertionError where a tool is not deterministic."""
    at_work = Case(case)
    try:
        return at_work.go()
    finally:
        if keep:
            print("kept", at_work.root, file=sys.stderr)
        else:
            with contextlib.suppress(OSError):
                shutil.rmtree(at_work.root.parent)


if __name__ == "__main__":
    print(json.dumps(answer(Path(sys.argv[1]), "--keep" in sys.argv), indent=1, ensure_ascii=False))
