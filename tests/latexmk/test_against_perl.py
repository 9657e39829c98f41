"""The reader of rc files against Perl itself: constant settings have the values that Perl gives them."""

import subprocess

import pytest

from cpods.latexmk.rcfile import DEFAULTS, Setting, read
from tests.latexmk.test_translate import NOT_NEEDED, TAKEN

NAMES = (
    *("pdf_mode", "dvi_mode", "postscript_mode", "pdflatex", "lualatex", "xelatex", "latex", "bibtex_use", "max_repeat"),
    *("jobname", "makeindex", "clean_ext", "pdf_previewer", "go_mode", "biber", "do_cd", "opts", "x", "y"),
)
STUBS = "".join(f"sub {name} {{}}\n" for name in ("add_cus_dep", "ensure_path", "set_tex_cmds", "Run_subst"))
TELL = (
    "\nprint join(\"\\1\", map { defined $_ ? $_ : '' } (" + ", ".join(f"${name}" for name in NAMES) + '), join("\\2", @default_files));\n'
)


def by_perl(text: str) -> list[str]:
    """The settings' values after Perl has run an rc file, '' for those without one; then the documents."""
    starts = "".join(f"{name} = '{value}';\n" for name, value in DEFAULTS.items())
    program = STUBS + starts + text.partition("\n__END__")[0] + TELL
    return subprocess.run(["perl", "-e", program], capture_output=True, text=True, check=True).stdout.split("\1")


@pytest.mark.parametrize("name", [*TAKEN, *NOT_NEEDED])
def test_perl_agrees(name: str) -> None:
    text = TAKEN[name].text if name in TAKEN else NOT_NEEDED[name]
    last = {**DEFAULTS, **{entry.name: entry.value for entry in read(text).entries if isinstance(entry, Setting)}}
    assert None not in [last.get(f"${other}", "") for other in NAMES if other not in ("x", "y")]
    mine = ["" if (value := last.get(f"${other}")) is None else str(value) for other in NAMES]
    documents = last.get("@default_files", [])
    assert isinstance(documents, list)
    for other, own, perls in zip(NAMES, mine, by_perl(text), strict=False):
        if f"${other}" not in last or last[f"${other}"] is not None:
            assert own == perls, other
    assert by_perl(text)[-1].split("\2") == (documents or [""])
