"""Reads WfFormat, the JSON in which WfCommons keeps workflows that really ran: versions 1.4, 1.5 and 1.6, without WfCommons.

Knows what of the format a workload needs: tasks, runtimes, files with sizes, parents and children. All else is passed over.
"""

from pathlib import Path

import msgspec

from benchmarks.workload import Workload, check


class _File(msgspec.Struct, frozen=True):
    """Of 1.4, where each task names its files itself. ``link``: "input" or "output"."""

    link: str
    name: str
    sizeInBytes: float = 0


class _Task(msgspec.Struct, frozen=True):
    """``runtimeInSeconds`` and ``files`` stand here in 1.4, else in execution and in specification."""

    name: str = ""
    id: str = ""
    parents: list[str] = []
    children: list[str] = []
    inputFiles: list[str] = []
    outputFiles: list[str] = []
    files: list[_File] = []
    runtimeInSeconds: float | None = None


class _Size(msgspec.Struct, frozen=True):
    id: str
    sizeInBytes: float = 0


class _Specification(msgspec.Struct, frozen=True):
    tasks: list[_Task]
    files: list[_Size] = []


class _Execution(msgspec.Struct, frozen=True):
    tasks: list[_Task] = []


class _Workflow(msgspec.Struct, frozen=True):
    tasks: list[_Task] = []
    specification: _Specification | None = None
    execution: _Execution = _Execution()


class _Instance(msgspec.Struct, frozen=True):
    workflow: _Workflow
    name: str = ""
    schemaVersion: str = ""


def from_wfformat(path: str | Path) -> Workload:
    """The workflow in such a file, tasks and files numbered in the order in which it names them.

    Dependencies are those that it states; if it states none at all, a step waits for the makers of what it reads. Raises ValueError
    with one sentence if the file is not WfFormat or contradicts itself, OSError if it cannot be read.
    """
    try:
        instance = msgspec.json.decode(Path(path).read_bytes(), type=_Instance)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: not WfFormat 1.4 to 1.6: {error}.") from None
    workflow = instance.workflow
    try:
        if workflow.specification is None:
            made = _Reading(workflow.tasks, workflow.tasks, {})
        else:
            sizes = {file.id: int(file.sizeInBytes) for file in workflow.specification.files}
            made = _Reading(workflow.specification.tasks, workflow.execution.tasks, sizes)
        return check(made.workload(instance.name or Path(path).stem))
    except _Contradiction as error:
        raise ValueError(f"{path}: {error}; correct the file.") from None


class _Contradiction(Exception):
    """What is wrong with a file, without its name."""


class _Reading:
    """One workflow while it is read."""

    def __init__(self, tasks: list[_Task], executions: list[_Task], sizes: dict[str, int]) -> None:
        if not tasks:
            raise _Contradiction("it holds no tasks")
        self._tasks = tasks
        self._seconds = {task.id or task.name: task.runtimeInSeconds for task in executions}
        self._sizes = sizes
        self._files: dict[str, int] = {}
        self._size: list[int] = []
        self._step: dict[str, int] = {}
        for number, task in enumerate(tasks):
            if self._step.setdefault(task.id or task.name, number) != number:
                raise _Contradiction(f"two tasks are called {task.id or task.name!r}")
        # Tasks refer to each other by id; those of 1.4 often by name.
        self._called = {**{task.name: number for number, task in enumerate(tasks)}, **self._step}

    def workload(self, name: str) -> Workload:
        runtime, inputs, outputs = [], [], []
        for task in self._tasks:
            for file in task.files:
                self._sizes.setdefault(file.name, int(file.sizeInBytes))
            runtime.append(self._runtime(task.id or task.name))
            inputs.append(self._numbers([*task.inputFiles, *(file.name for file in task.files if file.link.lower() == "input")]))
            outputs.append(self._numbers([*task.outputFiles, *(file.name for file in task.files if file.link.lower() != "input")]))
        followers = self._stated() or self._by_files(inputs, outputs)
        return Workload(name, runtime, inputs, outputs, self._size, followers, list(self._step))

    def _runtime(self, task: str) -> float:
        seconds = self._seconds.get(task)
        if seconds is None:
            raise _Contradiction(f"task {task!r} has no runtimeInSeconds")
        return seconds

    def _numbers(self, names: list[str]) -> list[int]:
        for name in names:
            if name not in self._sizes:
                raise _Contradiction(f"file {name!r} has no size")
            if name not in self._files:
                self._files[name] = len(self._size)
                self._size.append(self._sizes[name])
        return list(dict.fromkeys(self._files[name] for name in names))

    def _stated(self) -> list[list[int]]:
        """Followers as parents and children say, either side is enough; nothing if no task has any."""
        found: list[dict[int, None]] = [{} for _ in self._tasks]
        for number, task in enumerate(self._tasks):
            for child in task.children:
                found[number][self._named(child, task)] = None
        for number, task in enumerate(self._tasks):
            for parent in task.parents:
                found[self._named(parent, task)][number] = None
        return [list(each) for each in found] if any(found) else []

    def _named(self, other: str, task: _Task) -> int:
        if other not in self._called:
            raise _Contradiction(f"task {task.id or task.name!r} names {other!r} as parent or child, which is no task")
        return self._called[other]

    def _by_files(self, inputs: list[list[int]], outputs: list[list[int]]) -> list[list[int]]:
        maker = {file: step for step, files in enumerate(outputs) for file in files}
        found: list[dict[int, None]] = [{} for _ in self._tasks]
        for step, files in enumerate(inputs):
            for file in files:
                if maker.get(file, step) != step:
                    found[maker[file]][step] = None
        return [list(each) for each in found]
