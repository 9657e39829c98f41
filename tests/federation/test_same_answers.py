"""The same answers on 1, 2, 4 and 8 pods as on this machine alone: verdicts, feedback, executions per tool."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import corpus
from tests.helpers.corpus import EXIT_CODES, NO_INPUTS, Case
from tests.helpers.lab import Built, Lab, local

pytestmark = [pytest.mark.federation, pytest.mark.timeout(900)]

CASES = corpus.visible()
#: Real documents, as Debian ships them: bibtex, makeindex with biber, a class of its own.
DOCUMENTS = ("guides/usrguide.tex", "aomart/aomsample.tex", "biblatex-examples/21-indexing-multiple.tex")
FEEDBACK = (".aux", ".toc", ".lof", ".lot", ".out", ".bbl", ".ind", ".idx", ".bcf")
REAL = Path(__file__).parent.parent / "real"


@pytest.fixture(scope="module", params=[1, 2, 4, 8], ids=lambda count: f"{count}-pods")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A federation of so many pods, two slots each."""
    with Lab(tmp_path_factory.mktemp(f"lab{request.param}")) as lab:
        lab.pods_at_once([f"pod{number}" for number in range(1, request.param + 1)])
        yield lab


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """Every case built on this machine alone, once."""
    return {case.name: local(copied(case, tmp_path_factory.mktemp("alone"))) for case in CASES}


def copied(case: Case, place: Path) -> Path:
    """A copy of a case in a folder of its own; an empty store, so that nothing is known of it."""
    target = place / "p"
    shutil.copytree(case.folder, target, ignore=NO_INPUTS)
    return target


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_of_the_corpus(lab: Lab, alone: dict[str, Built], tmp_path: Path, case: Case) -> None:
    project = copied(case, tmp_path)
    built = lab.rebuild(project)
    here = alone[case.name]
    assert built.exit_code == here.exit_code, built.output
    assert built.tools == here.tools, built.output
    assert [knot["verdict"] for knot in built.report["knots"]] == [knot["verdict"] for knot in here.report["knots"]]
    assert _way(built) == _way(here)
    if built.exit_code == EXIT_CODES["FIXED"]:
        assert sums(project, case) == case.expected.get("final", {})
    again = lab.rebuild(project)
    assert again.exit_code == built.exit_code
    assert again.tools.total() <= len({e["step"] for e in built.report["executions"] if e["chef"] == "shell" and e["exit_code"]})


def _way(built: Built) -> list[tuple[object, ...]]:
    return [(knot["steps"], knot["passes"], knot["tail"], knot["period"]) for knot in built.report["knots"]]


def sums(project: Path, case: Case) -> dict[str, str]:
    """SHA-256 of the feedback files that the oracle lists."""
    files = {path: project / path for path in case.expected.get("final", {})}
    return {path: hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "absent" for path, file in files.items()}


@pytest.fixture(scope="module")
def library() -> Path:
    """The documents' sources; fetched once (about 300 MB) into a folder that git ignores."""
    folder = REAL / ".documents"
    if not (folder / "complete").exists():
        subprocess.run([str(REAL / "get_documents.sh"), str(folder)], check=True, timeout=1500)
        (folder / "complete").touch()
    return folder


@pytest.fixture(scope="module")
def read_alone(library: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Built, Path]]:
    """Every document built on this machine alone, once."""
    done = {}
    for main in DOCUMENTS:
        folder = tmp_path_factory.mktemp("alone") / "p"
        shutil.copytree((library / main).parent, folder)
        done[main] = local(folder, Path(main).name), folder
    return done


@pytest.mark.parametrize("main", DOCUMENTS)
def test_a_real_document(lab: Lab, library: Path, read_alone: dict[str, tuple[Built, Path]], tmp_path: Path, main: str) -> None:
    here, folder = read_alone[main]
    project = tmp_path / "p"
    shutil.copytree((library / main).parent, project)
    built = lab.rebuild(project, Path(main).name)
    assert built.exit_code == here.exit_code == 0, built.output
    assert built.tools == here.tools
    assert _way(built) == _way(here)
    made = sorted(path.name for path in folder.iterdir() if path.suffix in (*FEEDBACK, ".pdf"))
    assert made == sorted(path.name for path in project.iterdir() if path.suffix in (*FEEDBACK, ".pdf"))
    different = [name for name in made if (folder / name).read_bytes() != (project / name).read_bytes()]
    assert not different
    assert not lab.rebuild(project, Path(main).name).tools
