"""The command line of an engine, as latexmk's variables hold it: which engine, and which of its options cpods has a key for.

Knows no other setting.
"""

import shlex
from collections.abc import Sequence

import msgspec

ENGINES = ("pdflatex", "xelatex", "lualatex", "latex")
#: Options that say what cpods does anyway, or decides for itself.
_NOT_NEEDED = frozenset(
    {"interaction", "file-line-error", "recorder", "halt-on-error", "no-pdf", "file-line-error-style", "synctex", "src-specials"}
)
_PLACES = frozenset({"%O", "%S", "%B", "%P", "%T", "%A"})


class Engine(msgspec.Struct, frozen=True):
    """An engine by its name, the keys that its options become, and what of its command cannot be taken: a clause each."""

    name: str
    keys: dict[str, object] = {}
    refused: tuple[str, ...] = ()


def engine_of(default: str, command: str, pre_tex_code: str) -> Engine:
    """The engine that a command line names; ``default`` where it names none of cpods' engines."""
    words = _words(command)
    if words is None:
        return Engine(default, {}, ("its quotes cannot be understood",))
    if not words or words[0] == "internal":
        return Engine(default, {}, ("it calls a Perl subroutine, which cpods does not run",))
    end = next((at for at, word in enumerate(words) if set(word) <= set(";&|<>") or word.endswith(";")), len(words))
    refused = ["it runs more than the engine; declare a [[step]] for the rest"] if end < len(words) else []
    program = words[0].rpartition("/")[2].removesuffix(".exe")
    if program not in ENGINES:
        return Engine(default, {}, (*refused, f"{program} is no engine of the latex chef (those are {', '.join(ENGINES)})"))
    keys, more = _keys(words[1:end], pre_tex_code)
    return Engine(program, keys, (*refused, *more))


def _words(command: str) -> list[str] | None:
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|<>")
        lexer.whitespace_split = True
        lexer.commenters = ""
        return list(lexer)
    except ValueError:
        return None


def _keys(words: Sequence[str], pre_tex_code: str) -> tuple[dict[str, object], list[str]]:
    keys: dict[str, object] = {}
    refused: list[str] = []
    skip = False
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if skip:
            skip = False
        elif word == "%P" and pre_tex_code:
            refused.append("code before the document ($pre_tex_code) is for the document itself, or a main file that inputs it")
        elif word in _PLACES or word.strip("%OSBP") == "":
            continue
        elif word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            if not equals and name in ("jobname", "output-directory", "aux-directory", "interaction", "fmt", "cnf-line"):
                value, skip = following, True
            _option(name, value, keys, refused)
        else:
            refused.append(f"{word} is no option; a main file of its own can say it")
    return keys, refused


def _option(name: str, value: str, keys: dict[str, object], refused: list[str]) -> None:
    if name in ("shell-escape", "enable-write18"):
        keys["shell_escape"] = True
    elif name in ("no-shell-escape", "disable-write18", "shell-restricted"):
        keys.pop("shell_escape", None)
    elif name == "synctex":
        keys.pop("synctex", None)
        if value == "0":
            keys["synctex"] = False
    elif name == "jobname" and "%" not in value and "/" not in value and value:
        keys["jobname"] = value
    elif name in ("output-directory", "aux-directory"):
        refused.append(f"-{name}: cpods puts what a document makes into its cwd")
    elif name not in _NOT_NEEDED:
        refused.append(f"-{name} has no key in cpods.toml")
