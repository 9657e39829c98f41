"""docs/project-file.md tells every key that there is, with its type and default, and no other."""

import re
import typing
from pathlib import Path

import msgspec
import pytest

from cpods.declaration import FederationSettings, ProjectSettings, StoreSettings
from cpods.project import KINDS, parse

PAGE = (Path(__file__).parents[1] / "docs" / "project-file.md").read_text()
TABLES: dict[str, type[msgspec.Struct]] = {
    "[project]": ProjectSettings,
    "[store]": StoreSettings,
    "[federation]": FederationSettings,
    **KINDS,
}
#: What the table says instead of a default that stands elsewhere in the program.
ELSEWHERE = {
    **{(chef, "max_passes"): "20" for chef in ("latex", "tex", "context")},
    ("shell", "max_passes"): "100",
    ("shell", "tools"): "from `run`",
}


def rows() -> dict[tuple[str, str], tuple[str, str]]:
    """(table, key) -> (type, default) as documented."""
    found = re.findall(r"^\| `?([^|`]+)`? \| `(\w+)` \| ([^|]+) \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert len({row[:2] for row in found}) == len(found), "a key is documented twice"
    return {(table, key): (kind.strip(), default.strip()) for table, key, kind, default in found}


def default_of(field: msgspec.structs.FieldInfo) -> str:
    value = "required" if field.required else field.default
    if value is None:
        return "none"
    return {True: "true", False: "false", (): "[]"}.get(
        value, f'"{value}"' if isinstance(value, str) and not field.required else str(value)
    )


def test_every_key_is_in_the_table_and_no_other() -> None:
    assert set(rows()) == {(table, field.name) for table, kind in TABLES.items() for field in msgspec.structs.fields(kind)}


@pytest.mark.parametrize("table", TABLES)
def test_defaults_and_choices_are_the_programs(table: str) -> None:
    for field in msgspec.structs.fields(TABLES[table]):
        kind, default = rows()[table, field.name]
        if field.name == "chef" and table != "shell":
            assert default == "required"  # without it, a step is a shell step
        else:
            assert default.strip("`") == ELSEWHERE.get((table, field.name), default_of(field)).strip("`"), field.name
        if typing.get_origin(field.type) is typing.Literal:
            assert re.findall(r"`(\w+)`", kind) == list(typing.get_args(field.type)), field.name


def test_the_examples_are_good_project_files() -> None:
    examples = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        assert parse(example.encode()).declarations
