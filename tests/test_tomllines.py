"""The scanner finds the line of every key that tomllib accepts."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from cpods.tomllines import key_lines, nearest_line

TEXT = '''# a comment with [brackets] and = signs
top = "a # b"

[project]
name = 'x' # why
"quoted.key" = 1
goals = [
  "a.pdf", # first
  "b.pdf",
]
inline = { one = 1, two = [2, 3] }
store.path = "p"

[[step]]
run = """
echo "quoted" \\
[[step]]
"""

[[step]]
run = \'\'\'
it's = 1
\'\'\'
last = 2020-01-01

[step.deeper]
key = true
'''


def test_every_kind_of_value_is_stepped_over() -> None:
    lines = key_lines(TEXT)
    assert tomllib.loads(TEXT)["step"][1]["last"].year == 2020
    assert lines[("top",)] == 2
    assert lines[("project",)] == 4
    assert lines[("project", "quoted.key")] == 6
    assert [lines[("project", "goals", number)] for number in (0, 1)] == [8, 9]
    assert lines[("project", "inline", "two", 1)] == 11
    assert lines[("project", "store", "path")] == 12
    assert lines[("step", 0)] == 14
    assert lines[("step", 0, "run")] == 15
    assert lines[("step", 1)] == 20
    assert lines[("step", 1, "last")] == 24
    assert lines[("step", 1, "deeper", "key")] == 27
    assert not any("it's" in path for path in lines)


def test_escapes_in_keys_mean_what_tomllib_says() -> None:
    text = '"a\\u00e9\\t\\"" = 1\n'
    assert set(key_lines(text)) == {(key,) for key in tomllib.loads(text)}


def test_a_string_may_end_in_quotes_of_its_own() -> None:
    text = 'a = """x"""""\nb = 1\n'
    assert tomllib.loads(text)["a"] == 'x""'
    assert key_lines(text)[("b",)] == 2


def test_nearest_line_goes_outwards() -> None:
    lines = key_lines(TEXT)
    assert nearest_line(lines, ("step", 1, "missing", 3)) == 20
    assert nearest_line(lines, ("project", "goals", 7)) == 7
    assert nearest_line({}, ("step", 0)) == 1


VALUES = st.one_of(
    st.integers(-9, 9).map(str),
    st.sampled_from(
        ['"s # ["', "'l = ]'", '"""m\n"q" """', "'''k\n''q'''", "true", "1979-05-27T07:32:00Z", "[1,\n 2]", "{ a = '}' }", "[]"]
    ),
)


@given(st.lists(st.tuples(st.sampled_from(["", "# c\n", "\n"]), VALUES), max_size=12))
def test_lines_of_generated_texts(rows: list[tuple[str, str]]) -> None:
    text, expected = "", {}
    for number, (before, value) in enumerate(rows):
        text += before
        expected[(f"k{number}",)] = text.count("\n") + 1
        text += f"k{number} = {value}\n"
    tomllib.loads(text)
    found = key_lines(text)
    assert {path: line for path, line in found.items() if len(path) == 1} == expected
