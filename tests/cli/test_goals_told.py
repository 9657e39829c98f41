"""Of which goals a user is told: what was asked for; and if nothing was, what a project makes in the end, not on the way."""

from pathlib import Path

from tests.cli.conftest import Cli


def step(name: str, inputs: list[str], output: str) -> str:
    listed = ", ".join(f'"{path}"' for path in inputs)
    return f'[[step]]\nname = "{name}"\nrun = "cat {" ".join(inputs)} > {output}"\ninputs = [{listed}]\noutputs = ["{output}"]\n'


def told(cli: Cli, *arguments: str) -> list[str]:
    """The lines of a build but the last."""
    said = cli("rebuild", *arguments)
    assert said.code == 0, said.err
    return said.out.splitlines()[:-1]


def test_what_another_step_reads_is_told_only_if_it_was_asked_for(project: Path, cli: Cli) -> None:
    parts = [f"part{number}.txt" for number in range(30)]
    text = "".join(step(f"make {part}", ["in.txt"], part) for part in parts) + step("join", parts, "all.txt") + step("more", parts, "b.txt")
    (project / "cpods.toml").write_text(text)
    for word in ("one\n", "two\n"):
        (project / "in.txt").write_text(word)
        assert told(cli) == ["all.txt", "b.txt"]  # cold; then a slice
        assert told(cli) == ["all.txt", "b.txt"]  # nothing changed
    (project / "part3.txt").unlink()
    assert told(cli) == ["all.txt", "b.txt"]  # from the store
    assert told(cli, "part3.txt", "all.txt") == ["part3.txt", "all.txt"]
    (project / "cpods.toml").write_text('[project]\ngoals = ["part3.txt", "b.txt"]\n' + text)
    assert told(cli) == ["part3.txt", "b.txt"]


def test_so_many_and_how_many_more(project: Path, cli: Cli) -> None:
    (project / "in.txt").write_text("one\n")
    (project / "cpods.toml").write_text("".join(step(f"make {number}", ["in.txt"], f"{number:02}.txt") for number in range(21)))
    for _ in range(2):
        assert told(cli) == [*(f"{number:02}.txt" for number in range(20)), "… and 1 more goal"]


#: Two steps that read each other's file, and stand still at 4.
TURN = """
[[step]]
name = "there"
run = "n=$(cat back.txt 2>/dev/null || echo 0); echo $((n < 4 ? n + 1 : n)) > there.txt"
optional = ["back.txt"]
outputs = ["there.txt"]
[[step]]
name = "back"
run = "cp there.txt back.txt%s"
inputs = ["there.txt"]
outputs = ["back.txt"%s]
"""


def test_a_circle_is_told_by_what_leaves_it_and_as_a_whole_where_nothing_does(project: Path, cli: Cli) -> None:
    proven = ": fixed point, proven in 5 passes"
    (project / "cpods.toml").write_text(TURN % ("", ""))
    assert told(cli, "--until-stable") == [f"there.txt{proven}", f"back.txt{proven}"]
    (project / "cpods.toml").write_text(TURN % (" && cp there.txt own.txt", ', "own.txt"'))
    assert told(cli, "--until-stable", "--seed", "clean") == [f"own.txt{proven}"]
    (project / "cpods.toml").write_text(TURN % ("", "") + step("after", ["back.txt"], "end.txt"))
    assert told(cli, "--until-stable", "--seed", "clean") == [f"there.txt{proven}", f"back.txt{proven}", "end.txt"]
