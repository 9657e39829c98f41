"""The machines of real runs, and how a build is followed: what was started ends, and times are those of the steps."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.realfederation import _follow
from benchmarks.realplaces import FOUNDER, PODS, is_shaped, machines, sent_bytes, speed_of_links
from scripts.demo_places import marked

WAITING = [sys.executable, "-I", "-S", "-c", "import sys; print('here', flush=True); sys.stdin.read()"]


def test_what_was_started_on_a_machine_ends_with_the_block(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), machines(str(tmp_path), 1e6, print, loopback=True) as where:
        assert list(where.machines) == [FOUNDER, *PODS] and not is_shaped(where)
        process = where.start(PODS[0], WAITING, dict(os.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        assert marked(str(tmp_path)) == [process.pid]
        assert sent_bytes(where, PODS[0]) == 0
        raise KeyboardInterrupt
    assert process.poll() is not None and marked(str(tmp_path)) == []
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def test_links_that_cannot_be_shaped_have_no_speed(tmp_path: Path) -> None:
    said: list[str] = []
    assert speed_of_links(str(tmp_path), 1e6, said.append, loopback=True) == 0.0
    assert said == ["the links have no speed of their own: bytes can be compared, times say little"]


def test_a_build_lasts_from_its_first_step_to_the_end_of_its_last() -> None:
    read: list[str] = []

    def lines() -> Iterator[str]:
        for event in ("planned", "started", "started", "executed", "settled", "executed", "settled", "ended"):
            read.append(event)
            yield json.dumps({"event": event, "errors": ["none"]})

    first, last, report = _follow(lines())
    assert 0 < first <= last and report["errors"] == ["none"] and len(read) == 8
    assert _follow([json.dumps({"event": "ended", "status": "failed"})]) == (0.0, 0.0, {"event": "ended", "status": "failed"})
