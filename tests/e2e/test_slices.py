"""A build after a change looks only at what the change reaches, and still ends as a build of the whole would."""

from pathlib import Path

import pytest

from tests.helpers.sandbox import Outcome, Sandbox

CHAINS = 6


def chains(more: str = "") -> str:
    """Independent chains: a source, a copy, a copy of the copy."""
    return (
        "".join(
            f'[[step]]\nname = "first {n}"\nrun = "cat src{n}.txt > mid{n}.txt"\ninputs = ["src{n}.txt"]\noutputs = ["mid{n}.txt"]\n'
            f'[[step]]\nname = "second {n}"\nrun = "cat mid{n}.txt > end{n}.txt"\ninputs = ["mid{n}.txt"]\noutputs = ["end{n}.txt"]\n'
            for n in range(CHAINS)
        )
        + more
    )


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    sandbox = Sandbox(tmp_path / "w", slices=True)
    for number in range(CHAINS):
        sandbox.write(f"src{number}.txt", f"source {number}\n")
    return sandbox


def begin(sandbox: Sandbox, more: str = "") -> None:
    sandbox.write("cpods.toml", chains(more))
    built = sandbox.build()
    assert built.exit_code == 0, built.said
    assert (sandbox.sliced, sandbox.null) == (0, 0)


def sliced(sandbox: Sandbox) -> Outcome:
    """A build for which a slice was enough."""
    before = sandbox.sliced
    built = sandbox.build()
    assert sandbox.sliced == before + 1, built.said
    return built


def whole(sandbox: Sandbox) -> Outcome:
    """A build that had to look at everything."""
    before = sandbox.sliced
    built = sandbox.build()
    assert sandbox.sliced == before, built.said
    return built


def at_rest(sandbox: Sandbox) -> None:
    before = sandbox.null
    assert sandbox.build().runs == ()
    assert sandbox.null == before + 1


def test_only_what_a_change_reaches_is_looked_at(sandbox: Sandbox) -> None:
    begin(sandbox)
    sandbox.write("src2.txt", "changed\n")
    built = sliced(sandbox)
    assert built.runs == ("first 2", "second 2")
    assert sandbox.read("end2.txt") == b"changed\n"
    assert built.report["steps"] == {"total": 12, "ran": 2, "cached": 0, "up_to_date": 10}
    assert len(built.report["goals"]) == 12 and all(goal["sha256"] for goal in built.report["goals"])
    at_rest(sandbox)


def test_what_was_undone_comes_from_the_store(sandbox: Sandbox) -> None:
    begin(sandbox)
    sandbox.write("src2.txt", "changed\n")
    sliced(sandbox)
    sandbox.write("src2.txt", "source 2\n")
    built = sliced(sandbox)
    assert built.runs == () and built.report["steps"]["cached"] == 2
    assert sandbox.read("end2.txt") == b"source 2\n"


def test_products_changed_or_deleted_by_hand_come_back(sandbox: Sandbox) -> None:
    begin(sandbox)
    sandbox.write("mid1.txt", "by hand\n")
    (sandbox.root / "end4.txt").unlink()
    built = sliced(sandbox)
    assert built.runs == ()
    assert (sandbox.read("mid1.txt"), sandbox.read("end1.txt"), sandbox.read("end4.txt")) == (b"source 1\n", b"source 1\n", b"source 4\n")
    assert "mid1.txt was changed by hand" in built.said
    at_rest(sandbox)


JUDGE = """\
[[step]]
name = "judge"
run = "grep -q good verdict.txt && cp verdict.txt fine.txt"
inputs = ["verdict.txt"]
outputs = ["fine.txt"]
"""


def test_a_slice_that_fails_and_is_mended(sandbox: Sandbox) -> None:
    sandbox.write("verdict.txt", "good\n")
    begin(sandbox, JUDGE)
    sandbox.write("verdict.txt", "bad\n")
    for _ in range(2):  # nothing is remembered of it but that it failed
        failed = sandbox.build()
        assert (failed.exit_code, failed.status) == (1, "failed"), failed.said
        assert "verdict" not in failed.said or "judge" in failed.said
    sandbox.write("verdict.txt", "good again\n")
    assert sliced(sandbox).runs == ("judge",)
    assert sandbox.read("fine.txt") == b"good again\n"
    at_rest(sandbox)


def test_another_project_file_is_about_the_whole(sandbox: Sandbox) -> None:
    begin(sandbox)
    sandbox.write("cpods.toml", chains().replace("cat mid1.txt", "cat mid1.txt mid1.txt"))
    sandbox.write("src1.txt", "x\n")
    assert whole(sandbox).runs == ("first 1", "second 1")
    assert sandbox.read("end1.txt") == b"x\nx\n"
    at_rest(sandbox)


DEPFILE = """\
[[step]]
name = "deps"
run = "cat $(cat list.txt) > found.txt; echo found.txt: list.txt $(cat list.txt) > found.d"
inputs = ["list.txt"]
outputs = ["found.txt"]
depfile = "found.d"
"""


def test_reads_that_a_slice_discovers_count_from_then_on(sandbox: Sandbox) -> None:
    sandbox.write("list.txt", "one.h\n")
    sandbox.write("one.h", "1\n")
    sandbox.write("two.h", "2\n")
    begin(sandbox, DEPFILE)
    sandbox.write("list.txt", "one.h two.h\n")
    assert sliced(sandbox).runs == ("deps",)
    at_rest(sandbox)
    sandbox.write("two.h", "two\n")
    assert sliced(sandbox).runs == ("deps",)
    assert sandbox.read("found.txt") == b"1\ntwo\n"
    sandbox.write("list.txt", "two.h\n")
    sliced(sandbox)
    sandbox.write("one.h", "nobody reads it\n")
    at_rest(sandbox)
    sandbox.write("src0.txt", "others still count\n")
    assert sliced(sandbox).runs == ("first 0", "second 0")


WISHES = """\
[[step]]
name = "maybe"
run = "cat made/*.txt > sum.txt 2>/dev/null || true"
inputs = ["made/*.txt"]
outputs = ["sum.txt"]
"""


def test_a_new_match_of_a_pattern_is_about_the_whole(sandbox: Sandbox) -> None:
    sandbox.write("made/a.txt", "a\n")
    begin(sandbox, WISHES)
    sandbox.write("made/b.txt", "b\n")
    sandbox.write("src5.txt", "changed\n")
    assert set(whole(sandbox).runs) == {"first 5", "second 5", "maybe"}
    assert sandbox.read("sum.txt") == b"a\nb\n"
    sandbox.write("made/b.txt", "B\n")
    assert sliced(sandbox).runs == ("maybe",)
    assert sandbox.read("sum.txt") == b"a\nB\n"


OPTIONAL = """\
[[step]]
name = "hopeful"
run = "cat extra.txt > seen.txt 2>/dev/null || echo none > seen.txt"
optional = ["extra.txt"]
outputs = ["seen.txt"]
"""


def test_a_file_that_was_missing_appears(sandbox: Sandbox) -> None:
    begin(sandbox, OPTIONAL)
    assert sandbox.read("seen.txt") == b"none\n"
    sandbox.write("extra.txt", "there\n")
    assert sliced(sandbox).runs == ("hopeful",)
    assert sandbox.read("seen.txt") == b"there\n"
    (sandbox.root / "extra.txt").unlink()
    assert sliced(sandbox).runs == ()
    assert sandbox.read("seen.txt") == b"none\n"
    at_rest(sandbox)


NOISY = """\
[[step]]
name = "noisy"
run = "{ echo '# made from' $(wc -c < noise.txt); echo fact; } > noisy.txt"
inputs = ["noise.txt"]
outputs = ["noisy.txt"]
insignificant = ["^# made from .*"]
[[step]]
name = "reader"
run = "cat noisy.txt own.txt | grep -v made > read.txt"
inputs = ["noisy.txt", "own.txt"]
outputs = ["read.txt"]
"""


def test_what_a_step_outside_declares_insignificant_stays_so(sandbox: Sandbox) -> None:
    sandbox.write("noise.txt", "1\n")
    sandbox.write("own.txt", "1\n")
    begin(sandbox, NOISY)
    sandbox.write("noise.txt", "longer\n")
    assert sliced(sandbox).runs == ("noisy",)
    sandbox.write("own.txt", "2\n")
    assert sliced(sandbox).runs == ("reader",)
    assert sandbox.read("read.txt") == b"fact\n2\n"
    at_rest(sandbox)


CIRCLE = """\
[[step]]
name = "there"
run = "{ cat seed.txt; cat back.txt 2>/dev/null; } | sort -u > there.txt"
inputs = ["seed.txt"]
optional = ["back.txt"]
outputs = ["there.txt"]
[[step]]
name = "back"
run = "tr a-y b-z < there.txt | head -n 3 > back.txt"
inputs = ["there.txt"]
outputs = ["back.txt"]
"""


def test_a_circle_in_a_slice_comes_to_its_fixed_point(sandbox: Sandbox) -> None:
    sandbox.write("seed.txt", "a\n")
    begin(sandbox, CIRCLE)
    sandbox.write("seed.txt", "m\n")
    built = sliced(sandbox)
    assert built.verdicts == {frozenset({"there", "back"}): "FIXED"}
    assert "first 0" not in built.runs
    assert (sandbox.read("there.txt"), sandbox.read("back.txt")) == (b"m\nn\no\np\n", b"n\no\np\n")
    at_rest(sandbox)


def test_a_file_that_another_step_makes_is_still_refused(sandbox: Sandbox) -> None:
    begin(sandbox)
    sandbox.write("cpods.toml", chains(OPTIONAL.replace("seen.txt", "end0.txt")))
    assert whole(sandbox).exit_code == 2


def test_why_knows_what_the_last_build_did_not_look_at(sandbox: Sandbox) -> None:
    sandbox.cli = True
    sandbox.write("cpods.toml", chains())
    assert sandbox.build().exit_code == 0
    sandbox.write("src2.txt", "changed\n")
    assert sandbox.build().runs == ("first 2", "second 2")
    assert sandbox.run("why", "first 2").stdout.startswith("first 2 ran in the last build: src2.txt changed")
    assert sandbox.run("why", "first 3").stdout.startswith("first 3 did not run in the last build: it was up to date")


def test_a_project_file_that_is_edited_during_a_build_is_not_what_the_build_stood_on(sandbox: Sandbox) -> None:
    edit = '[[step]]\nname = "edit"\nrun = "cat new.toml > cpods.toml; echo > edited.txt"\noutputs = ["edited.txt"]\n'
    sandbox.write("new.toml", chains(edit).replace("cat mid1.txt", "cat mid1.txt mid1.txt"))
    begin(sandbox, edit)
    assert sandbox.read("end1.txt") == b"source 1\n"
    assert whole(sandbox).runs == ("second 1",)
    assert sandbox.read("end1.txt") == b"source 1\nsource 1\n"
    at_rest(sandbox)


def test_all_outputs_deleted_come_back_without_the_project_file_being_read_again(sandbox: Sandbox) -> None:
    begin(sandbox)
    for number in range(CHAINS):
        (sandbox.root / f"mid{number}.txt").unlink()
        (sandbox.root / f"end{number}.txt").unlink()
    built = whole(sandbox)
    assert built.runs == () and built.report["steps"]["cached"] == 2 * CHAINS
    assert sandbox.read("end1.txt") == b"source 1\n"
    at_rest(sandbox)
