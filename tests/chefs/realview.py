"""A View over a real folder, and a way to run a step in it: what the pod does, as small as it can be.

Knows no cache and no passes.
"""

import os
import subprocess
from pathlib import Path

from cpods.model import Exit, Observation, Step
from cpods.ports import Chef

BASE_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/"),
    "SOURCE_DATE_EPOCH": "0",
    "FORCE_SOURCE_DATE": "1",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
}
Stat = tuple[int, int, int]


def snapshot(root: Path) -> dict[str, Stat]:
    """State of every regular file below a folder."""
    found = {}
    for path in root.rglob("*"):
        if path.is_file():
            state = path.stat()
            found[path.relative_to(root).as_posix()] = (state.st_size, state.st_mtime_ns, state.st_ino)
    return found


class RealView:
    """ports.View over a folder: ``earlier`` is its snapshot from before the run."""

    def __init__(self, root: Path, earlier: dict[str, Stat]) -> None:
        self.root = str(root)
        self._root, self._earlier, self._now = root, earlier, snapshot(root)

    def read(self, path: str) -> bytes | None:
        file = self._root / path
        return file.read_bytes() if file.is_file() else None

    def exists(self, path: str) -> bool:
        return (self._root / path).is_file()

    def before(self, path: str) -> bool:
        return path in self._earlier if not path.startswith("/") else Path(path).is_file()

    def changed(self) -> list[str]:
        return sorted(path for path, state in self._now.items() if self._earlier.get(path) != state)


def run(chef: Chef, step: Step, root: Path, extra: dict[str, str] | None = None) -> tuple[Observation, Exit]:
    """Really runs a step in a folder and lets its chef observe."""
    earlier = snapshot(root)
    done = subprocess.run(
        step.argv,
        cwd=root / step.cwd,
        env={**BASE_ENVIRONMENT, **(extra or {}), **dict(step.env)},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    exit = Exit(code=done.returncode, stdout=done.stdout, stderr=done.stderr)
    return chef.observe(step, RealView(root, earlier), exit), exit
