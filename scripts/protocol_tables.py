"""Writes the tables of docs/protocol.md out of the code that speaks the protocol, so that it says what is so.

Knows no prose: what stands outside of the marks in the page is left as it is. ``--check`` writes nothing and exits 1 if it is old.
"""

import inspect
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from cpods.net import membership, messages, questions, rights, roster, serving, stewardship, subjects, tokens
from cpods.net.identity import Federation
from cpods.net.wire import VERSION, Wire

PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "protocol.md")
_MARK = re.compile(r"(<!-- begin (\w+)[^>]*-->\n).*?(<!-- end \2 -->)", re.DOTALL)
_PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false", bytes: "bytes", Any: "anything", type(None): "null"}
_ROLES = (roster.FOUNDER, roster.MAJORDOMO, roster.POD)
#: Where messages are defined; each has a section of its own.
_FORMS = {"messages": messages, "questions": questions, "stewardship": stewardship, "membership": membership}


def page(text: str) -> str:
    """The page with fresh tables."""
    return _MARK.sub(lambda found: found[1] + _SECTIONS[found[2]]() + found[3], text)


def _versions() -> str:
    return f"Version of all messages: **{VERSION}**.\n"


# -- messages --------------------------------------------------------------------------------------------------------


def _messages_of(module: types.ModuleType) -> Callable[[], str]:
    return lambda: "".join(_struct(kind) for kind in _wires(module))


def _wires(module: types.ModuleType) -> list[type[Wire]]:
    """The messages that a module defines, in its order."""
    found = [kind for kind in vars(module).values() if inspect.isclass(kind) and issubclass(kind, Wire) and kind is not Wire]
    return [kind for kind in found if kind.__module__ == module.__name__]


def _parts() -> str:
    """What is no message of its own but stands in one: everything that can be reached from the messages."""
    top = [kind for module in _FORMS.values() for kind in _wires(module)]
    found: dict[type, None] = {}
    waiting = list(top)
    while waiting:
        for inner in sorted(_reached(waiting.pop()), key=lambda kind: kind.__name__):
            if inner not in found and inner not in top:
                found[inner] = None
                waiting.append(inner)
    found.setdefault(messages.Listing, None)  # an artefact of its own: no message holds it
    return "".join(_struct(kind) for kind in sorted(found.keys() - {Federation}, key=lambda kind: kind.__name__))


def _reached(kind: type) -> set[type]:
    return {inner for form in typing.get_type_hints(kind).values() for inner in _structs_in(form)}


def _structs_in(form: Any) -> Iterator[type]:
    if inspect.isclass(form) and issubclass(form, msgspec.Struct):
        yield form
    for argument in typing.get_args(form):
        yield from _structs_in(argument)


def _struct(kind: type) -> str:
    """A heading, what the docstring says, and the fields."""
    config = kind.__struct_config__  # type: ignore[attr-defined]
    tag = f" `{config.tag}`" if isinstance(config.tag, str) else ""
    lines = [f"#### {kind.__name__}{tag}", "", _prose(kind), ""]
    fields = msgspec.structs.fields(kind)
    if config.array_like:
        lines += ["Travels as a list, in this order.", ""]
    if fields:
        lines += ["| field | type | if it is not there |", "|---|---|---|"]
        lines += [f"| `{one.encode_name}` | {_words(one.type)} | {_default(one)} |" for one in fields]
        lines.append("")
    return "\n".join(lines) + "\n"


def _prose(kind: Any) -> str:
    """A docstring as Markdown."""
    text = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
    text = re.sub(r":\w+:`\.?~?([^`]+)`", lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`")


def _default(field: Any) -> str:
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "an error"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return "null"
    return "empty" if value in ("", b"", (), {}, [], frozenset()) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _words(form: Any) -> str:
    """A type in plain words."""
    if form in _PLAIN:
        return _PLAIN[form]
    origin, arguments = typing.get_origin(form), typing.get_args(form)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_words(one) for one in arguments)
    if origin is typing.Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return _tuple(arguments)
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"object of {_words(arguments[1])} by {_words(arguments[0])}"
    if inspect.isclass(origin) and issubclass(origin, AbstractSet | list):
        return f"list of {_words(arguments[0])}"
    return f"[{form.__name__}](#{_anchor(form)})"


def _tuple(arguments: tuple[Any, ...]) -> str:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return f"list of {_words(arguments[0])}"
    return f"list ({', '.join(_words(one) for one in arguments)})"


def _anchor(kind: type) -> str:
    """As GitHub makes anchors of headings."""
    tag = kind.__struct_config__.tag  # type: ignore[attr-defined]
    return f"{kind.__name__.lower()}{f'-{tag}' if isinstance(tag, str) else ''}"


# -- subjects and rights -----------------------------------------------------------------------------------------------

#: What travels on each subject: the function that makes it, its tokens as the page shows them, messages, their answer, and what it
#: is for where the function makes several.
_SUBJECTS: tuple[tuple[Any, ...], ...] = (
    (subjects.step, ("F", "POD"), "Steps, Detour", "Leases"),
    (subjects.cancel, ("F", "POD"), "Cancel", "none"),
    (subjects.ask, ("F", "POD"), "questions to a pod", "as each says"),
    (
        subjects.result,
        ("F", "MAJORDOMO", "POD", "done"),
        "Done, Detour",
        "Acks",
        "Where a pod tells a MajorDomo how its steps ended, until it is acknowledged.",
    ),
    (subjects.result, ("F", "MAJORDOMO", "POD", "renewal"), "Renewal", "none", "Where a pod says that steps still run."),
    (subjects.result, ("F", "MAJORDOMO", "POD", "log"), "LogChunk", "none", "Where a pod passes on what a running tool says."),
    (
        subjects.result,
        ("F", "MAJORDOMO", "POD", "edited"),
        "Edited",
        "none",
        "Where a pod tells that a path which it owns was changed or damaged.",
    ),
    (subjects.status, ("F", "POD"), "PodStatus", "none"),
    (subjects.event, ("F", "MEMBER"), "Happened", "of JetStream, if it is kept"),
    (subjects.steward, ("F",), "questions to the steward", "as each says"),
    (subjects.join, ("F",), "JoinRequest, not sealed", "JoinAnswer, not sealed"),
    (subjects.roster, ("F",), "RosterNews", "none"),
)


def _subjects() -> str:
    lines = ["| subject | what for | message | answer |", "|---|---|---|---|"]
    for make, names, said, answer, *purpose in _SUBJECTS:
        lines.append(f"| `{make(*names)}` | {purpose[0] if purpose else _prose(make)} | {said} | {answer} |")
    return "\n".join(lines) + "\n"


def _rights() -> str:
    lines = ["| role | may send to | may listen to |", "|---|---|---|"]
    for role in _ROLES:
        lines.append(f"| {role} | {_allowed(rights.permissions('F', 'NAME', role))} |")
    lines.append(f"| who was invited | {_allowed(rights.guest_permissions('F', 'KEY'))} |")
    return "\n".join(lines) + "\n"


def _allowed(permissions: Mapping[str, Any]) -> str:
    return " | ".join(", ".join(f"`{one}`" for one in permissions[way]["allow"]) for way in ("publish", "subscribe"))


def _structs(*kinds: type) -> Callable[[], str]:
    return lambda: "".join(_struct(kind) for kind in kinds)


_SECTIONS: Mapping[str, Callable[[], str]] = {
    "versions": _versions,
    "subjects": _subjects,
    "rights": _rights,
    **{name: _messages_of(module) for name, module in _FORMS.items()},
    "parts": _parts,
    "roster": _structs(roster.Roster, roster.Member),
    "token": _structs(tokens.JoinToken),
    "federation": _structs(Federation),
    "serving": _structs(serving.Setup, serving.Order, serving.State),
}


def main(arguments: Iterable[str]) -> int:
    """The exit code."""
    with open(PAGE, encoding="utf-8") as file:
        before = file.read()
    after = page(before)
    if "--check" in arguments:
        return int(before != after)
    if before != after:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(after)
        print(f"{os.path.relpath(PAGE)} is new")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
