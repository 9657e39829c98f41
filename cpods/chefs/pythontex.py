"""PythonTeX: the code of a document, run by pythontex from the .pytxcode file that the engine wrote.

Knows no engine. pythontex keeps a .pkl with times and runs only what it believes changed; here it starts without that file
and runs everything, since the step runs only if what it reads changed, and the time that it writes into its .pytxmcr, a
comment there, is taken out: its outputs are a function of its inputs. What the code reads: files that it names in quotes,
and the project's own modules that it imports, with what these name and import. A file that the run itself rewrites is not
read. Line numbers of the document in .pytxcode serve its messages only, so that a text edit above the code runs nothing.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from cpods.chefs.helping import HelperChef, helper_step, named_files, said, text_of
from cpods.ids import FilePath, normalise
from cpods.model import Exit, Problem, Step
from cpods.ports import View

_CODE = "pytxcode/1"
_PLACE = re.compile(rb"^(=>PYTHONTEX#.*#)\d+#$", re.MULTILINE)
_SETTING = re.compile(r"^(outputdir|workingdir|makestderr)=(.*)$", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+([\w, \t]+)|import[ \t]+([\w., \t]+))", re.MULTILINE)
_ERROR = re.compile(
    r"^\* PythonTeX (?:stderr - )?(?P<severity>error|warning) on line (?P<line>\d+):\n(?P<more>(?:[ \t]+.*\n?)*)", re.MULTILINE
)
_SCRIPT = """rm -f -- "$2/pythontex_data.pkl"
pythontex --rerun always --interpreter python:python3 "$1"
code=$?
rm -f -- "$2/pythontex_data.pkl"
for file in "$2"/*.pytxmcr; do
  if [ -f "$file" ]; then sed -i '/^%Last time of file creation:/d' "$file"; fi
done
exit $code"""


def pythontex_helpers(engine: Step, view: View, written: Sequence[FilePath], place: int) -> list[Step]:
    """The step that runs the code of a document, if its run wrote any."""
    code = next((path for path in written if path.endswith(".pytxcode")), None)
    if code is None:
        return []
    settings = _settings(text_of(view.read(code)))
    folder = settings.get("outputdir", "") or f"pythontex-files-{engine.jobname}"
    job = posixpath.relpath(code, engine.cwd)[: -len(".pytxcode")]
    step = helper_step(engine, f"pythontex:{job}", ("sh", "-c", _SCRIPT, "sh", job, folder), (place,))
    quiet = (("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONHASHSEED", "0"))
    within = normalise(folder, engine.cwd)
    return [
        replace(
            step,
            inputs=(code,),
            main=code,
            jobname=job,
            may_write=(within + "/",),
            env=(*step.env, *quiet),
            pass_env=(*step.pass_env, "PYTHONPATH"),
        )
    ]


def _settings(text: str) -> dict[str, str]:
    return dict(_SETTING.findall(text))


def imported(text: str) -> Iterator[str]:
    """Files that the imports of a Python text could mean, as they would be found beside it."""
    for source, names, plain in _IMPORT.findall(text):
        modules = [source, *(f"{source}.{name.strip()}" for name in names.split(","))] if source else plain.split(",")
        for module in modules:
            words = module.split(" as ")[0].strip().strip(".").replace(".", "/")
            if words:
                yield words + ".py"
                yield words + "/__init__.py"


class PythontexChef(HelperChef):
    """Runs pythontex on a document's code."""

    name = "pythontex"
    version = 1
    tools = ("sh", "pythontex", "python3", "sed")
    trees = ("/usr/lib/python3/dist-packages",)

    def seen(self, step: Step, view: View, exit: Exit) -> tuple[set[FilePath], set[FilePath]]:
        """Quoted names and imported modules, from the folder of the document and the one that the code works in."""
        text = text_of(view.read(step.main))
        folders = {step.cwd, normalise(_settings(text).get("workingdir", "."), step.cwd)}
        reads, absent = set[FilePath](), set[FilePath]()
        for folder in folders:
            found, missed = named_files((step.main,), folder, view, nested=imported)
            reads |= found
            absent |= missed
        own = step.may_write[0]
        return {path for path in reads if not path.startswith(own)}, absent

    def problems(self, step: Step, exit: Exit, view: View) -> tuple[Problem, ...]:
        """``* PythonTeX error on line N``: the document's line, and the last line of the traceback."""
        main = step.main[: -len("pytxcode")] + "tex"
        problems = []
        for found in _ERROR.finditer(said(exit) + "\n"):
            lines = [line.strip() for line in found["more"].splitlines() if line.strip()]
            is_error = found["severity"] == "error" and exit.code != 0
            message = lines[-1] if lines else "pythontex reports an error here"
            file = main if view.exists(main) else step.main
            problems.append(Problem(message, file, int(found["line"]), severity="error" if is_error else "warning"))
        return tuple(problems)

    def is_write(self, step: Step, path: FilePath) -> bool:
        """All but its own memory of earlier runs."""
        return not path.endswith((".pkl", ".pyc"))

    def filter_for(self, step: Step, path: FilePath) -> str:
        """Of the code all but where it stands in the document."""
        return _CODE if path == step.main else ""

    def filter(self, name: str, path: FilePath, data: bytes) -> bytes:
        """The code without the numbers of the document's lines, unless its error messages are typeset with them."""
        if name != _CODE or b"\nmakestderr=true" in data:
            return data
        return _PLACE.sub(rb"\1#", data)
