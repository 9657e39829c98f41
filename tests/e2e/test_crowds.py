"""Many short steps, as launchers start them: what a failure leaves, and that no more run at once than asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.calls import Zygote, cpods, end_stragglers, write  # noqa: F401  a fixture

CHAINS = 60


def chains(failing: int = -1) -> str:
    """A source, a copy, a copy of the copy; one copy fails."""
    text = ""
    for n in range(CHAINS):
        run = "exit 3" if n == failing else f"cp in.txt mid{n}"
        text += f'[[step]]\nname = "first {n}"\nrun = "{run}"\ninputs = ["in.txt"]\noutputs = ["mid{n}"]\n'
        text += f'[[step]]\nname = "second {n}"\nrun = "cp mid{n} end{n}"\ninputs = ["mid{n}"]\noutputs = ["end{n}"]\n'
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "project"
    place.mkdir()
    yield place
    end_stragglers(place)


@pytest.mark.parametrize("jobs", ["1", "2", "5"])
def test_after_a_failure_nothing_more_is_begun_and_that_is_what_is_said(cpods: Zygote, folder: Path, jobs: str) -> None:  # noqa: F811
    write(folder, cpods__toml=chains(failing=30), in__txt="text\n")
    said = cpods.run(folder, "rebuild", "-j", jobs)
    assert said.code == 1 and said.report is not None
    assert said.report["status"] == "failed" and said.report["errors"] == ["step first 30 failed with exit code 3"]
    notes = said.report["notes"]
    assert all(" was not run: " in note for note in notes) and "second 30 was not run: it needs first 30, which failed" in notes
    ran = len(said.report["executions"])
    assert ran + len(notes) == 2 * CHAINS, "each step ran or is told of"
    assert said.out.count("\n") == 21 and f"… and {len(notes) - 20} more like these" in said.out
    assert not list(folder.glob("mid5?"))
    write(folder, cpods__toml=chains())
    again = cpods.run(folder, "rebuild", "-j", jobs)
    assert again.code == 0 and len(again.tools) == 2 * CHAINS - ran + 1
    assert cpods.run(folder, "rebuild").tools == []


@pytest.mark.parametrize("jobs", [2, 3])
def test_no_more_at_once_than_asked_for(cpods: Zygote, folder: Path, jobs: int) -> None:  # noqa: F811
    """Each step takes one of as many places as may be taken; one that finds none fails."""
    places = " || ".join(f"{{ mkdir ../place{n} 2>/dev/null && p={n}; }}" for n in range(jobs))
    text = "".join(
        f'[[step]]\nname = "{n}"\nrun = "{places} || exit 9; sleep 0.00{n % 5}; echo {n} > o{n}; rmdir ../place$p"\noutputs = ["o{n}"]\n'
        for n in range(150)
    )
    write(folder, cpods__toml=text)
    said = cpods.run(folder, "rebuild", "-j", str(jobs))
    assert said.code == 0, said.err
