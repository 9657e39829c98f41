"""``cpods watch`` as a user has it: what it notices, when it builds, and how it ends."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.calls import write
from tests.helpers.watched import Event, Watch, call, children, descriptors, nurseries, overwrite, save, watches, watching

PROJECT = """\
[[step]]
name = "upper"
run = "tr a-z A-Z < src/text > upper"
inputs = ["src/text"]
outputs = ["upper"]

[[step]]
name = "count"
run = "wc -c < upper > count"
inputs = ["upper"]
outputs = ["count"]

[[step]]
name = "other"
run = "cat src/other > other"
inputs = ["src/other"]
outputs = ["other"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    (place / "src").mkdir(parents=True)
    write(place, cpods__toml=PROJECT)
    write(place / "src", text="one", other="two")
    return place


def ran(events: list[Event]) -> list[str]:
    return [event["step"] for event in events if event["event"] == "executed"]


def text_of(path: Path) -> str:
    """What a file holds; nothing while it is made anew."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def test_changes_of_sources_outputs_and_the_project_file_are_built(folder: Path) -> None:
    with watching(folder) as watch:
        assert sorted(ran(watch.events)) == ["count", "other", "upper"]
        assert ran(watch.after(lambda: overwrite(folder / "src/text", "three"))) == ["upper", "count"]
        assert (folder / "count").read_text().strip() == "5"
        assert ran(watch.after(lambda: save(folder / "src/text", "seven"))) == ["upper", "count"]
        assert ran(watch.after(lambda: save(folder / "src/other", "2"))) == ["other"]
        for spoil in ((folder / "upper").unlink, lambda: (folder / "upper").write_text("by hand")):
            assert ran(watch.after(spoil)) == []
            assert (folder / "upper").read_text() == "SEVEN"
        few = descriptors(watch.pid), watches(watch.pid)
        broken = watch.after(lambda: save(folder / "cpods.toml", PROJECT + "bad"))
        assert any("broken TOML" in event.get("text", str(event)) for event in broken)
        mended = watch.after(lambda: save(folder / "cpods.toml", PROJECT.replace("wc -c", "wc -l")))
        assert ran(mended) == ["count"]
        assert (descriptors(watch.pid), watches(watch.pid)) == few
        assert watch.end() == 0
    assert watch.said() == ""


def test_a_failed_build_is_mended_by_whatever_it_missed(folder: Path) -> None:
    write(
        folder,
        cpods__toml=PROJECT + '\n[[step]]\nname = "late"\nrun = "cat count src/new > late"\ninputs = ["count"]\noutputs = ["late"]\n',
    )
    with watching(folder) as watch:
        assert watch.events[-2]["status"] == "failed"
        assert ran(watch.after(lambda: save(folder / "src/text", "longer text"))) == ["upper", "count", "late"]
        assert not (folder / "late").exists()
        (folder / "src/new").write_text("new\n")
        mended = (folder / "cpods.toml").read_text().replace('["count"]\noutputs = ["late"]', '["count", "src/new"]\noutputs = ["late"]')
        assert ran(watch.after(lambda: save(folder / "cpods.toml", mended))) == ["late"]
        assert (folder / "late").read_text() == f"{len('longer text')}\nnew\n"


def test_a_project_that_cannot_be_planned_is_mended_by_any_file(folder: Path) -> None:
    (folder / "count").write_text("not made by cpods")
    with watching(folder) as watch:
        assert watch.events[-2]["status"] == "invalid"
        assert sorted(ran(watch.after((folder / "count").unlink))) == ["count", "other", "upper"]


def test_a_folder_in_the_way_of_a_product_is_waited_for(folder: Path) -> None:
    (folder / "count").mkdir()
    with watching(folder) as watch:
        assert statuses(watch.events) == ["invalid"]
        assert sorted(ran(watch.after((folder / "count").rmdir))) == ["count", "other", "upper"]


def statuses(events: list[Event]) -> list[str]:
    return [event["status"] for event in events if event["event"] == "ended"]


def test_what_a_bad_build_has_seen_is_not_built_again_because_the_good_one_before_it_had_not(folder: Path) -> None:
    """A new match of a pattern, and a file that went while the project cannot be planned."""
    step = '\n[[step]]\nname = "all"\nrun = "cat src/* > all"\ninputs = ["src/*"]\noutputs = ["all"]\n'
    write(folder, cpods__toml=PROJECT.replace("cat src/other", "grep two src/other") + step)
    with watching(folder) as watch:
        assert statuses(watch.events) == ["done"]
        assert statuses(watch.after(lambda: save(folder / "src/other", "three"))) == ["failed"]
        new = watch.after(lambda: (folder / "src/new").write_text("new"))
        assert statuses(new) == ["failed"]
        assert [(event["paths"], event["patterns"]) for event in new if event["event"] == "changed"] == [([], ["src/*"])]
        assert statuses(watch.after(lambda: save(folder / "src/other", "two"))) == ["done"]
        good = (folder / "cpods.toml").read_text()
        assert statuses(watch.after(lambda: save(folder / "cpods.toml", good + "bad"))) == ["invalid"]
        assert statuses(watch.after((folder / "src/new").unlink)) == ["invalid"]
        assert statuses(watch.after(lambda: save(folder / "cpods.toml", good))) == ["done"]
        assert not [event for event in watch.events if event["event"] == "note"]


def test_a_missing_input_is_waited_for(folder: Path) -> None:
    (folder / "src/other").unlink()
    with watching(folder) as watch:
        assert watch.events[-2]["event"] == "ended" and "src/other" in str(watch.events[-2]["errors"])
        (folder / "unrelated").write_text("noise")
        assert "other" in ran(watch.after(lambda: save(folder / "src/other", "here")))
        assert watch.events[-2]["status"] == "done"


def test_folders_that_are_moved_and_made_again_are_watched_on(folder: Path) -> None:
    def come_back() -> None:
        (folder / "src").mkdir()
        for name in ("text", "other"):
            os.rename(folder / "away" / name, folder / "src" / name)

    with watching(folder) as watch:
        since = len(watch.events)
        os.rename(folder / "src", folder / "away")
        watch.rests(watch.place(lambda event: event["event"] == "ended" and event["exit_code"] != 0, since))
        since = len(watch.events)
        come_back()
        watch.rests(watch.place(lambda event: event["event"] == "ended" and event["exit_code"] == 0, since))
        assert ran(watch.events[since:]) == []
        assert ran(watch.after(lambda: save(folder / "src/other", "3"))) == ["other"]


SLOW = """\
[[step]]
name = "slow"
run = "cat gate; cat slow.in > slow.out"
inputs = ["slow.in"]
outputs = ["slow.out"]

[[step]]
name = "quick"
run = "cat quick.in > quick.out"
inputs = ["quick.in"]
outputs = ["quick.out"]
"""


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    """A project with a step that goes on until somebody has opened and closed the gate for writing."""
    place = tmp_path / "gated"
    place.mkdir()
    os.mkfifo(place / "gate")
    write(place, cpods__toml=SLOW, slow__in="1", quick__in="1")
    return place


def open_gate(folder: Path) -> None:
    (folder / "gate").open("w").close()


def starts(watch: Watch, step: str, since: int = 0) -> Event:
    return watch.until(lambda event: event["event"] == "started" and event["step"] == step, since)


def test_a_change_restarts_the_steps_that_read_it_and_no_others(gated: Path) -> None:
    watch = Watch(gated, "-j2")
    starts(watch, "slow")
    open_gate(gated)
    watch.rests()
    since = len(watch.events)
    save(gated / "slow.in", "2")
    starts(watch, "slow", since)
    save(gated / "quick.in", "2")  # read by no step that runs: built afterwards
    open_gate(gated)
    watch.rests(watch.place(lambda event: event["event"] == "executed" and event["step"] == "quick", since))
    assert ran(watch.events[since:]) == ["slow", "quick"]
    since = len(watch.events)
    save(gated / "slow.in", "3")
    starts(watch, "slow", since)
    again = len(watch.events)
    save(gated / "slow.in", "4")  # read by the step that runs: it is ended and started again
    watch.until(lambda event: event["event"] == "changed", again)
    starts(watch, "slow", again)
    open_gate(gated)
    watch.rests(again)
    assert (gated / "slow.out").read_text() == "4"
    assert watch.end() == 0


#: Two steps that wait, each at a gate of its own, and a circle of two of which one waits.
BESIDE = """\
[[step]]
name = "one"
run = "cat gate1; cat one.in both.in > one.out"
inputs = ["one.in", "both.in"]
outputs = ["one.out"]

[[step]]
name = "other"
run = "cat gate2; cat both.in > other.out"
inputs = ["both.in"]
outputs = ["other.out"]
"""
CIRCLE = """\
[[step]]
name = "there"
run = "cat {gate}; cat there.in > there.out; cat back.out >> there.out || true"
inputs = ["there.in"]
optional = ["back.out"]
outputs = ["there.out"]

[[step]]
name = "back"
run = "head -n 1 there.out > back.out"
inputs = ["there.out"]
outputs = ["back.out"]
"""


@contextmanager
def opened(folder: Path, *gates: str) -> Iterator[None]:
    """Gates that open by themselves, again and again."""
    text = "\n".join(f"(while :; do : > {gate}; done) &" for gate in gates)
    opener = subprocess.Popen(["sh", "-c", f"{text}\nwait"], cwd=folder, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(opener.pid, signal.SIGKILL)
        opener.wait()


@pytest.mark.parametrize("first", [False, True], ids=["a later build", "the first build"])
def test_what_runs_beside_a_step_that_begins_again_goes_on(tmp_path: Path, first: bool) -> None:
    folder = tmp_path / "beside"
    folder.mkdir()
    write(folder, cpods__toml=BESIDE, one__in="1", both__in="1")
    for number in (1, 2):
        os.mkfifo(folder / f"gate{number}")
    watch = Watch(folder, "-j2")
    begun = 0
    if not first:
        with opened(folder, "gate1", "gate2"):
            watch.rests()
        begun = len(watch.events)
        write(folder, both__in="2")
    starts(watch, "one", begun)
    starts(watch, "other", begun)
    since = len(watch.events)
    (folder / "one.in").write_text("3")
    if first:  # nothing is known of what steps read: what changed is built afterwards
        (folder / "gate1").open("w").close()
    else:
        watch.until(lambda event: event["event"] == "changed", since)
    starts(watch, "one", since)
    (folder / "gate1").open("w").close()
    (folder / "gate2").open("w").close()
    watch.rests(since)
    wanted = ("31", "1") if first else ("32", "2")
    assert ((folder / "one.out").read_text(), (folder / "other.out").read_text()) == wanted
    assert [event["step"] for event in watch.events[begun:] if event["event"] == "started"].count("other") == 1
    assert watch.end() == 0


def test_a_step_of_a_circle_begins_again_too(tmp_path: Path) -> None:
    folder = tmp_path / "circle"
    folder.mkdir()
    os.mkfifo(folder / "gate")
    write(folder, cpods__toml=CIRCLE.format(gate=folder / "gate"), there__in="1\n")
    watch = Watch(folder, "-j2", "--until-stable")
    with opened(folder, "gate"):
        watch.rests()
    since = len(watch.events)
    (folder / "there.in").write_text("2\n")
    starts(watch, "there", since)
    again = len(watch.events)
    (folder / "there.in").write_text("3\n")
    watch.until(lambda event: event["event"] == "changed", again)
    starts(watch, "there", again)
    with opened(folder, "gate"):
        watch.rests(again)
    assert (folder / "there.out").read_text() == "3\n3\n"
    assert [event["event"] for event in watch.events[since:]].count("ended") == 1
    assert watch.end() == 0


def test_what_changed_before_a_build_began_starts_no_step_again(gated: Path) -> None:
    """The last good build had not seen it, a bad one has."""
    slow, quick = SLOW.strip().split("\n\n")
    write(gated, cpods__toml=f"{quick.replace('cat quick.in', 'grep 1 quick.in')}\n\n{slow}\n", slow__in="1\n", quick__in="1\n")
    watch = Watch(gated, "-j1")
    starts(watch, "slow")
    open_gate(gated)
    watch.rests()
    for name in ("quick.in", "slow.in"):
        since = len(watch.events)
        save(gated / name, "2\n")
        watch.rests(since)
        assert statuses(watch.events[since:]) == ["failed"]
    since = len(watch.events)
    save(gated / "quick.in", "1\n")
    starts(watch, "slow", since)
    for number in range(20):  # so that the watch looks what changed
        (gated / f"noise{number}").write_text("")
    again = len(watch.events)
    save(gated / "slow.in", "3\n")
    starts(watch, "slow", again)
    open_gate(gated)
    watch.rests(again)
    assert (gated / "slow.out").read_text() == "3\n"
    assert [event["paths"] for event in watch.events[since:] if event["event"] == "changed"] == [["quick.in"], ["slow.in"]]
    assert watch.end() == 0


def test_a_build_that_is_killed_is_done_again(gated: Path) -> None:
    watch = Watch(gated)
    starts(watch, "slow")
    (nursery,) = nurseries(watch.pid)
    (build,) = children(nursery)
    since = len(watch.events)
    os.kill(build, signal.SIGKILL)
    note = watch.until(lambda event: event["event"] == "note", since)
    assert note["text"] == "the build was ended by SIGKILL; it is done again"
    starts(watch, "slow", since)
    open_gate(gated)
    watch.rests(since)
    assert (gated / "slow.out").read_text() == "1"
    assert watch.end() == 0


def test_it_ends_quietly_when_nobody_reads_what_it_says(folder: Path) -> None:
    watch = Watch(folder)
    watch.rests()
    assert watch.process.stdout is not None
    watch.process.stdout.close()
    save(folder / "src/text", "three")
    assert watch.process.wait(60) == 0
    assert watch.said() == ""


def test_an_interrupt_ends_the_build_and_nothing_stays_behind(gated: Path) -> None:
    watch = Watch(gated)
    starts(watch, "slow")
    family = nurseries(watch.pid)
    assert watch.end(signal.SIGTERM) == 130
    assert not (gated / "slow.out").exists()
    assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []
    assert call(gated, "rebuild", "--no-wait", "quick.out").code == 0  # the lock is free


def test_a_rebuild_beside_a_watch_asks_it(folder: Path) -> None:
    with watching(folder) as watch:
        assert call(folder, "rebuild").out == call(folder, "rebuild", env={"CPODS_MAJORDOMO": "off"}).out
        asked = call(folder, "majordomo", "status")
        assert f"process {watch.pid}," in asked.out and "1 call answered at once" in asked.out


def test_a_checkout_of_many_files_is_one_or_few_builds(folder: Path) -> None:
    steps = "".join(f'[[step]]\nname = "s{n}"\nrun = "cp src/{n} {n}"\ninputs = ["src/{n}"]\noutputs = ["{n}"]\n' for n in range(60))
    write(folder, cpods__toml=steps)

    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *words], cwd=folder, check=True, capture_output=True)

    (folder / ".gitignore").write_text("[0-9]*\n!src/*\n.cpods\n")
    for branch in ("one", "two"):
        for number in range(60):
            (folder / "src" / str(number)).write_text(f"{branch} {number}")
        if branch == "one":
            git("init", "-b", "one")
        else:
            git("checkout", "-b", "two")
        git("add", ".")
        git("commit", "-m", branch)
    with watching(folder, "-j2") as watch:
        since = len(watch.events)
        git("checkout", "one")
        watch.until(
            lambda event: event["event"] == "watching" and all(text_of(folder / str(number)) == f"one {number}" for number in range(60)),
            since,
        )
        assert sorted(ran(watch.events[since:])) == sorted(f"s{number}" for number in range(60))
        assert ran(watch.after(lambda: git("checkout", "two"))) == []  # out of the store


def test_bad_flags_and_folders_end_at_once(folder: Path) -> None:
    for words, sentence in (
        (("--until-stable", "--once"), "exclude each other"),
        (("-C", "nowhere"), "no such folder"),
        (("--preview",), "a preview needs a .pdf or .html goal"),
    ):
        said = call(folder, "watch", *words)
        assert said.code == 2 and sentence in said.err and said.err.startswith("cpods: ")


def state_until(url: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first state of a preview, as its pages are told, that is wanted."""
    with urllib.request.urlopen(f"{url}events", timeout=60) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                state: dict[str, Any] = json.loads(line[6:])
                if wanted(state):
                    return state
    raise AssertionError("the stream has ended")


def test_the_preview_follows_good_builds_and_shows_what_is_wrong(folder: Path) -> None:
    page = '[[step]]\nname = "page"\nrun = "grep title src/text > page.html"\ninputs = ["src/text"]\noutputs = ["page.html"]\n'
    write(folder, cpods__toml=page)
    (folder / "src/text").write_text("<title>one</title>")
    with watching(folder, "--preview") as watch:
        url = next(event["url"] for event in watch.events if event["event"] == "preview")
        first = state_until(url, lambda state: state["goals"][0]["version"] > 0 and not state["building"])
        watch.after(lambda: save(folder / "src/text", "nothing of the kind"))
        broken = state_until(url, lambda state: bool(state["problems"]))
        assert "exit code 1" in broken["problems"][0]["message"]
        watch.after(lambda: save(folder / "src/text", "<title>two</title>"))
        state_until(url, lambda state: not state["problems"] and state["goals"][0]["version"] > first["goals"][0]["version"])
        with urllib.request.urlopen(f"{url}0/html/page.html", timeout=60) as shown:
            assert b"two" in shown.read()


def test_the_preview_tells_what_is_wrong_after_a_single_pass_too(folder: Path) -> None:
    write(folder, cpods__toml='[[step]]\nchef = "latex"\nmain = "paper.tex"\n')
    text = r"\documentclass{article}\begin{document}\section{One}\label{one}\tableofcontents\ref{one}\input{part}\end{document}"
    write(folder, paper__tex=text, part__tex="one")
    with watching(folder, "--preview") as watch:
        url = watch.until(lambda event: event["event"] == "preview")["url"]
        assert statuses(watch.events) == ["unstable"]
        state_until(url, lambda state: bool(state["goals"][0]["version"]) and not state["problems"])
        watch.after(lambda: os.rename(folder / "part.tex", folder / "away.tex"))
        assert statuses(watch.events)[-1] == "unstable"
        (problem,) = state_until(url, lambda state: bool(state["problems"]))["problems"]
        assert (problem["message"], problem["file"]) == ("LaTeX Error: File `part.tex' not found.", "paper.tex")
        watch.after(lambda: os.rename(folder / "away.tex", folder / "part.tex"))
        state_until(url, lambda state: not state["problems"])


def test_a_file_whose_times_say_nothing_is_seen_all_the_same(folder: Path) -> None:
    """A clock that jumps, or a program that puts the old time back: another content of the same length."""
    with watching(folder) as watch:
        for text in ("ONE", "Two"):
            then = (folder / "src/text").stat()

            def change(text: str = text, then: os.stat_result = then) -> None:
                overwrite(folder / "src/text", text)
                os.utime(folder / "src/text", ns=(then.st_atime_ns, then.st_mtime_ns))

            watch.after(change)
            assert (folder / "upper").read_text() == text.upper()
        for seconds in (2e9, 1e6):

            def jump(seconds: float = seconds) -> None:
                (folder / "beside").write_text(f"{seconds}")
                os.utime(folder / "beside", (seconds, seconds))
                os.rename(folder / "beside", folder / "src/other")

            assert ran(watch.after(jump)) == ["other"]


def test_two_editors_at_once_and_a_save_in_pieces_are_right_at_the_end(folder: Path) -> None:
    with watching(folder) as watch:

        def save_in_pieces() -> None:
            with (folder / "src/text").open("w") as one, (folder / "src/other").open("w") as two:
                for piece in ("first", " second", " third"):
                    for file in (one, two):
                        file.write(piece)
                        file.flush()
                    watch.read(0.015)  # longer than the quiet after which a build starts

        def is_right() -> bool:
            return (text_of(folder / "upper"), text_of(folder / "other")) == ("FIRST SECOND THIRD", "first second third")

        since = len(watch.events)
        save_in_pieces()
        watch.until(lambda event: event["event"] == "watching" and is_right(), since)
