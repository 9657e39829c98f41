"""The benchmark of tool runs: its edits and counts; behind the marker ``tex`` all of its quick form."""

from pathlib import Path

import pytest

from benchmarks import results, toolruns
from benchmarks.__main__ import main

DOCUMENT = "\\documentclass{article}\n\\begin{document}\n\\section{Something}\nThe first sentence. % percentage\n\\end{document}\n"


def test_an_edit_changes_one_word_of_prose_to_another_one_each_time() -> None:
    edited = [toolruns.with_a_word_changed(DOCUMENT, number) for number in range(20)]
    assert DOCUMENT not in edited
    assert len(set(edited)) > 15
    for text in edited:
        assert text.replace("The first ", "").startswith("\\documentclass{article}\n\\begin{document}\n\\section{Something}\n")
        assert sorted(text) == sorted(DOCUMENT)


def test_a_document_without_a_long_word_gets_one() -> None:
    text = "\\begin{document}\nA b.\n\\end{document}\n"
    assert len(toolruns.with_a_word_changed(text, 1)) > len(text)


def test_ninja_gets_the_steps_of_the_example(tmp_path: Path) -> None:
    toolruns._program_sources(tmp_path / "p")
    text = (tmp_path / "p/build.ninja").read_text()
    sources = list((tmp_path / "p/src").rglob("*.c"))
    assert text.count(": cc src/") == len(sources)
    assert text.count(": report ") == (tmp_path / "p/cpods.toml").read_text().count('run = "bin/figures ') == 5


@pytest.mark.tex
@pytest.mark.timeout(900)
def test_the_quick_form_counts_what_both_builders_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    assert main(["toolruns", "--quick", "--repeats", "1", "--folder", str(tmp_path), "--out", str(out)]) == 0, capfd.readouterr().err
    runs = {(one.extra["project"], one.extra["situation"]): one for one in results.read(out) if one.extra["measure"] == "runs"}
    documents = ("book", "toc-lof-lot")
    for name in documents:
        assert runs[name, "nothing changed"].values == [0]
        assert runs[name, "that edit taken back"].values == [0]
        for situation in ("cold", "one word edited"):
            one = runs[name, situation]
            assert 1 <= one.values[0] <= one.peer_values[0]
    program = "program (39 C files)"
    assert runs[program, "cold"].extra["tools"]["cpods"] == runs[program, "cold"].extra["tools"]["ninja"] == {"cc": 39, "sh": 5}
    assert runs[program, "one header touched"].values == [0] and runs[program, "one header touched"].peer_values[0] > 0
    edited = runs[program, "a comment in one header changed"]
    assert 0 < edited.values[0] <= edited.peer_values[0]
