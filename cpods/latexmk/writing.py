"""Writes the steps of an imported project as a ``cpods.toml``.

Knows no rc file.
"""

import json
from collections.abc import Mapping, Sequence


def project_file(steps: Sequence[Mapping[str, object]], origin: str) -> str:
    """The text of a project file; documents are built until they are at rest, as latexmk does."""
    parts = [f"# Made by `cpods import latexmk` from {origin}; yours to edit.\n[project]\nuntil_stable = true\n"]
    parts += ["[[step]]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in step.items()) for step in steps]
    return "\n".join(parts)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, Sequence):
        inner = [_value(one) for one in value]
        return "[\n" + "".join(f"  {one},\n" for one in inner) + "]" if any(map(_is_table, value)) else f"[{', '.join(inner)}]"
    return str(value)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)
