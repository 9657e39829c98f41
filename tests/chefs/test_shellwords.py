"""Which programs a command line starts, and when it needs no shell."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpods.chefs.shellwords import BUILTINS, KEYWORDS, direct, local_programs, programs


@pytest.mark.parametrize(
    ("run", "found"),
    [
        ("python3 script.py", ["python3"]),
        ("a && b || c; d | e & f", ["a", "b", "c", "d", "e", "f"]),
        ("a\nb \\\n c\nd", ["a", "b", "d"]),
        ("X=1 Y='a b' foo > out 2>&1 < in", ["foo"]),
        (">out foo", ["foo"]),
        ('foo $(bar `baz \\`qux\\``) "$(quux)"', ["foo", "bar", "baz", "qux", "quux"]),
        ("echo ${x:-$(uname -s)} $((1 + 2)) $((1 + $(nproc)))", ["uname", "nproc"]),
        ("if test -f x; then cat x; elif grep y z; then :; else ls; fi", ["cat", "grep", "ls"]),
        ("for i in gcc clang; do make $i; done", ["make"]),
        ("while read l; do tr a b; done < x | sort", ["tr", "sort"]),
        ("until cmp a b; do ./step; done", ["cmp", "./step"]),
        ("case $x in a|b) foo;; (c) bar;; *) qux;; esac; last", ["foo", "bar", "qux", "last"]),
        ("f() { gcc x; }; f", ["gcc"]),
        ("function g { awk x; }; g", ["awk"]),
        ("(cd x && make) > log", ["make"]),
        ("{ a; b; }", ["a", "b"]),
        ("env -i A=b -u C python3 s.py", ["env", "python3"]),
        ("exec nice -n 3 timeout -k 2 5 gcc", ["nice", "timeout", "gcc"]),
        ("time -f %e nohup tex", ["time", "nohup", "tex"]),
        ("find . | xargs -n 1 -I {} wc {}", ["find", "xargs", "wc"]),
        ("command -v gcc && command gcc", ["gcc"]),
        ("sh -c 'awk x | sort' && bash -e -c 'sed p'", ["sh", "awk", "sort", "bash", "sed"]),
        ("cat <<EOF > x\ngcc $(no)\nEOF\nls", ["cat", "ls"]),
        ("cat <<-'E F'\n\tgcc\n\tE F\nls", ["cat", "ls"]),
        ("echo hi # gcc; clang\nmake", ["make"]),
        ("echo a#b; 'quo ted' x; \"mixed\"name", ["quo ted", "mixedname"]),
        ("$CC -c x; ${LD} y; real", ["real"]),
        ("! grep x y", ["grep"]),
        ("/opt/bin/tool x", ["/opt/bin/tool"]),
        ("a 'unclosed", ["a"]),
        ("a $(unclosed", ["a", "unclosed"]),
        ("", []),
    ],
)
def test_programs(run: str, found: list[str]) -> None:
    assert list(programs(run)) == found


@pytest.mark.parametrize(
    ("run", "argv"),
    [
        ("python3 square.py", ("python3", "square.py")),
        ("awk '{print $1}' \"a b\" c\\ d ''", ("awk", "{print $1}", "a b", "c d", "")),
        ("  env  A=b  x ", ("env", "A=b", "x")),
        ("cp a b > c", None),
        ("cp *.c d", None),
        ("cp {a,b} d", None),
        ("cp ~/a d", None),
        ("cp $a d", None),
        ('cp "$a" d', None),
        ("cp a b # why", None),
        ("cp a b;", None),
        ("cp 'a", None),
        ("cp a\\", None),
        ("A=b cp a", None),
        ("echo hi", None),
        ("cd x", None),
        ("time cp a b", None),
        ("./gen a", None),
        ("", None),
        ("''", None),
    ],
)
def test_what_needs_no_shell(run: str, argv: tuple[str, ...] | None) -> None:
    assert direct(run) == argv


@pytest.mark.parametrize(
    ("run", "found"),
    [
        ("./gen > x", ["./gen"]),
        ("mkdir -p out && tools/gen.sh a", ["tools/gen.sh"]),
        ("cc x.c -o x && ./x", []),
        ("cd sub && ./gen", []),
        ("/bin/cat x", []),
        ("env A=b ./a | ./b | ./a", ["./a", "./b"]),
    ],
)
def test_programs_of_the_project(run: str, found: list[str]) -> None:
    assert list(local_programs(run)) == found


WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=383, exclude_characters="\x7f"), max_size=8)
PROGRAMS = st.from_regex(r"[a-z]{2,6}[0-9]", fullmatch=True).filter(lambda name: name not in BUILTINS | KEYWORDS)


@given(PROGRAMS, st.lists(WORDS, max_size=5))
def test_quoted_arguments_stay_what_they_are(program: str, words: list[str]) -> None:
    run = shlex.join([program, *words])
    assert direct(run) == (program, *words)
    assert programs(run) == (program,)


@given(st.lists(PROGRAMS, min_size=1, max_size=5, unique=True), st.sampled_from([" && ", "; ", " | ", "\n", " || ", " & "]), WORDS)
def test_each_command_of_a_list_is_found(names: list[str], operator: str, word: str) -> None:
    assert programs(operator.join(f"{name} {shlex.quote(word)}" for name in names)) == tuple(names)
    assert programs(f"echo $({operator.join(names)})") == tuple(names)


@given(st.text("ab '\"\\$`(){}|&;<>#\n=*", max_size=40))
def test_no_text_makes_it_crash(run: str) -> None:
    programs(run)
    local_programs(run)


@pytest.mark.parametrize(
    "run", ["awk '{print $1}' \"a b\" c\\ d ''", 'printer "back\\\\slash \\" \\a"', "p a'b'\"c\"d", "p \\\n x", "p a=b %x ^y"]
)
def test_direct_means_what_sh_means(tmp_path: Path, run: str) -> None:
    """The real sh starts the program with the very same arguments."""
    argv = direct(run)
    assert argv
    program = tmp_path / argv[0]
    program.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "[$word]"; done\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    said = subprocess.run(["sh", "-c", run], env=environment, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [f"[{word}]" for word in argv[1:]]
