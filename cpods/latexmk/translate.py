"""From what an rc file says to the steps of a project file, and one sentence on each line: taken, not needed, or why it cannot be.

Knows no file system: which documents there are is given.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cpods.latexmk import cusdep, meanings
from cpods.latexmk.command import Engine, engine_of
from cpods.latexmk.documents import Kind, Remark, documents_of
from cpods.latexmk.meanings import BUILT_IN_PAIRS, BUILT_IN_PROGRAMS, LATER, NOT_NEEDED
from cpods.latexmk.perl import Sub
from cpods.latexmk.rcfile import Call, Conditional, Entry, RcFile, Setting, Unread

_ENGINE_COMMANDS = ("$pdflatex", "$lualatex", "$xelatex", "$latex", "$dvilualatex")
_PDF_MODES = {"1": "$pdflatex", "2": "$latex", "3": "$latex", "4": "$lualatex", "5": "$xelatex"}


class Imported(NamedTuple):
    """Steps by their keys, in order, and the remarks in the order of their lines (0: of no line)."""

    steps: tuple[dict[str, object], ...]
    remarks: tuple[Remark, ...]


def translate(rc: RcFile, listing: Sequence[str], documents: Sequence[str]) -> Imported:
    """The project of an rc file. ``listing``: all files of the folder; ``documents``: files beside it with a \\documentclass."""
    work = _Translation(rc)
    work.read()
    steps, more = documents_of(work.settings, work.keys(), listing, documents)
    return Imported(tuple(steps), tuple(sorted((*work.remarks, *more), key=lambda remark: remark.line)))


class _Translation:
    def __init__(self, rc: RcFile) -> None:
        self._rc = rc
        self.settings: dict[str, Setting] = {}
        self._common: dict[str, object] = {}
        self._rules: list[dict[str, str]] = []
        self.remarks: list[Remark] = []

    def _say(self, line: int, kind: Kind, text: str) -> None:
        self.remarks.append(Remark(line, kind, text))

    def keys(self) -> dict[str, object]:
        """What all steps have in common."""
        return {**self._common, **({"rules": self._rules} if self._rules else {})}

    # -- entries ---------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Takes every entry; the last assignment of a name counts."""
        last = {entry.name: entry for entry in self._rc.entries if isinstance(entry, Setting)}
        for entry in self._rc.entries:
            self._enter(entry, last)
        self._engine()

    def _enter(self, entry: Entry, last: Mapping[str, Setting]) -> None:
        if isinstance(entry, Unread):
            self._say(entry.line, "not taken", f"from here on the file cannot be read without Perl: {entry.what}")
        elif isinstance(entry, Conditional):
            self._say(
                entry.line, "not taken", f"whether {entry.name} is reached is for Perl to decide; put what holds here into cpods.toml"
            )
        elif isinstance(entry, Call):
            self._call(entry)
        elif last[entry.name] is not entry:
            if not entry.name.startswith("@"):  # a list grows by push, which is no other value
                self._say(entry.line, "not needed", f"{entry.name} is set again in line {last[entry.name].line}")
        else:
            self.settings[entry.name] = entry
            self._setting(entry)

    def _setting(self, setting: Setting) -> None:
        name = setting.name
        special: dict[str, Callable[[Setting], None]] = {
            "$bibtex_use": self._bibtex_use,
            "$max_repeat": self._max_repeat,
            "$makeindex": self._makeindex,
            "$jobname": self._jobname,
            "$do_cd": self._do_cd,
        }
        if name in LATER or name in _ENGINE_COMMANDS:
            return  # decided when all is known
        if name.startswith("$ENV{"):
            self._environment(setting, name[len("$ENV{") : -1])
        elif name.startswith("$hash_calc_ignore_pattern"):
            self._ignored(setting)
        elif name in special and setting.value is None:
            self._say(setting.line, "not taken", f"the value of {name} is computed, which only Perl can do; put it into cpods.toml")
        elif name in special:
            special[name](setting)
        elif name in NOT_NEEDED:
            self._say(setting.line, "not needed", f"{name}: {NOT_NEEDED[name]}")
        elif (why := meanings.refusal(name, setting.value)) is not None:
            self._say(setting.line, "not taken", f"{name}: {why}")
        elif meanings.is_known(name):
            self._say(setting.line, "not needed", f"{name} says what cpods does anyway")
        else:
            self._say(setting.line, "not needed", f"{name} is a variable of the file's own, or says nothing about what is made")

    def _call(self, call: Call) -> None:
        if call.name == "add_cus_dep":
            self._cus_dep(call)
        elif call.name == "ensure_path":
            variable = call.arguments[0] if call.arguments else "a variable"
            value = ":".join([*reversed((call.arguments or [])[1:]), ""])
            self._environment(Setting(call.line, "", value if call.arguments else None), variable)
        elif call.name in ("set_tex_cmds", "std_tex_cmds", "alt_tex_cmds"):
            arguments = call.arguments if call.name == "set_tex_cmds" else ["%O %S" if call.name == "std_tex_cmds" else "%O %P"]
            text = arguments[0] if arguments else None
            for name in _ENGINE_COMMANDS:
                self.settings[name] = Setting(call.line, name, f"{name[1:]} {text}" if text is not None else None)
        elif call.name in meanings.CALLS_NOT_NEEDED:
            self._say(call.line, "not needed", f"{call.name}: {meanings.CALLS_NOT_NEEDED[call.name]}")
        else:
            self._say(call.line, "not taken", f"{call.name}(…) is Perl that cpods does not run")

    # -- single settings -------------------------------------------------------------------------------------------

    def _take(self, setting: Setting, key: str, value: object, shown: str) -> None:
        self._common[key] = value
        self._say(setting.line, "taken", f"{setting.name} as {key} = {shown}")

    def _bibtex_use(self, setting: Setting) -> None:
        if setting.value == "0":
            self._take(setting, "bibliography", "none", '"none"')
        else:
            self._say(
                setting.line, "not needed", "$bibtex_use: cpods runs bibtex or biber where a database is there, else a .bbl is a source"
            )

    def _max_repeat(self, setting: Setting) -> None:
        value = str(setting.value)
        if value.isdecimal() and int(value):
            self._take(setting, "max_passes", int(value), value)
        else:
            self._say(setting.line, "not taken", f"$max_repeat is {value}; max_passes is a whole number above 0")

    def _makeindex(self, setting: Setting) -> None:
        words = str(setting.value).split()
        if words[:1] == ["makeindex"] and not (options := [word for word in words[1:] if word not in ("%O", "%S", "-o", "%D", "-q")]):
            self._say(setting.line, "not needed", "$makeindex says what cpods does anyway")
        elif words[:1] == ["internal"] or re.search(r"[;|&<>%]", str(setting.value).replace("%O", "").replace("%D", "").replace("%S", "")):
            self._say(setting.line, "not taken", "$makeindex is more than one program with options; declare a [[step]] for it")
        else:
            options = [word for word in words[1:] if word not in ("%O", "%S", "%D", "-o")]
            self._rules.append({"from": ".idx", "to": ".ind", "run": " ".join([words[0], *options, "-o", "{to}", "{from}"])})
            self._common["index"] = "none"
            text = '$makeindex as a rule from .idx to .ind, with index = "none" (glossaries then need a rule, too)'
            self._say(setting.line, "taken", text)

    def _jobname(self, setting: Setting) -> None:
        value = str(setting.value).replace("%A", "")
        if "%" in value or "/" in value:
            self._say(setting.line, "not taken", f"$jobname is {setting.value!r}; jobname is a name without a folder")
        elif setting.value:
            self._take(setting, "jobname", setting.value, f'"{setting.value}"')

    def _do_cd(self, setting: Setting) -> None:
        if setting.value == "0":
            self._say(setting.line, "not needed", "$do_cd = 0 is what cpods does anyway")
        else:
            self._say(setting.line, "taken", "$do_cd as cwd: each document is built in its own folder")

    def _environment(self, setting: Setting, variable: str) -> None:
        shown = f"`export {variable}='{setting.value}'`" if isinstance(setting.value, str) else f"export {variable}"
        shown = shown.replace("'", '"') if "$" in shown else shown
        if variable in meanings.PASSED_ON:
            text = f"a project file sets no variable: {shown} before `cpods rebuild`, which passes {variable} on to every tool"
            self._say(setting.line, "not taken", text)
        elif variable in meanings.LOG_SHAPE:
            self._say(setting.line, "not needed", f"$ENV{{{variable}}}: cpods sets it, so that logs can be read")
        elif not re.fullmatch(r"[A-Za-z_]\w*", variable):
            self._say(setting.line, "not taken", "the name of the variable is computed, which only Perl can do")
        else:
            known = self._common.setdefault("env", [])
            assert isinstance(known, list)
            known.append(variable)
            self._say(setting.line, "taken", f'{variable} as env = ["{variable}"], which passes it on; its value is yours to set: {shown}')

    def _ignored(self, setting: Setting) -> None:
        ending = setting.name.partition("{")[2].rstrip("}")
        if ending in meanings.DATED:
            self._say(setting.line, "not needed", f"{setting.name}: cpods tells tools one date, and readers of a PDF do not see its dates")
            return
        text = f"a document has no such key; a [[step]] that makes the .{ending} may say `insignificant = […]` for whole lines"
        self._say(setting.line, "not taken", f"{setting.name}: {text}")

    # -- custom dependencies ---------------------------------------------------------------------------------------

    def _cus_dep(self, call: Call) -> None:
        if call.arguments is None or len(call.arguments) < 4:
            self._say(call.line, "not taken", "what add_cus_dep is given is computed, which only Perl can do")
            return
        source, to, _, name = (argument.lstrip(".") for argument in call.arguments[:4])
        what = f"the custom dependency .{source} -> .{to}"
        sub = self._rc.subs.get(name)
        if name == "cus_dep_delete_dest":
            self._say(call.line, "not needed", f"{what}: the engine converts it in its own run, and cpods sees when it must again")
        elif sub is None:
            self._say(call.line, "not taken", f"{what}: its subroutine {name} is not in this file")
        elif (known := BUILT_IN_PAIRS.get((source, to))) or (known := _built_in(sub)):
            self._say(call.line, "not needed", f"{what}: cpods runs {known} by itself when the document asks for it")
        else:
            self._rule(call.line, what, name, lambda: cusdep.rule(source, to, sub))

    def _rule(self, line: int, what: str, name: str, make: Callable[[], cusdep.Rule]) -> None:
        try:
            made = make()
        except cusdep.CannotTake as error:
            self._say(line, "not taken", f"{what}: {name} {error}; write a rule or a [[step]] for it")
            return
        pair = (made.source, made.to)
        if any((rule["from"], rule["to"]) == pair for rule in self._rules):
            self._say(line, "not taken", f"{what}: there is a rule for these endings already")
            return
        self._rules.append({"from": made.source, "to": made.to, "run": made.run})
        self._say(line, "taken", f"{what} as a rule: {made.run}")

    # -- the engine ------------------------------------------------------------------------------------------------

    def _value(self, name: str) -> str:
        setting = self.settings.get(name)
        return setting.value if setting is not None and isinstance(setting.value, str) else ""

    def _engine(self) -> None:
        """Which engine, with what output and options, by the modes and by the engine's command line."""
        mode, command = self._mode()
        for name in _ENGINE_COMMANDS:
            setting = self.settings.get(name)
            if setting is not None and name != command and not self._is_shared(setting):
                self._say(setting.line, "not needed", f"{name} is not used: documents are made by {command[1:]}")
        setting = self.settings.get(command)
        found = Engine(command[1:])
        if setting is not None and setting.value is None:
            self._say(
                setting.line, "not taken", f"the value of {command} is computed, which only Perl can do; put its options into cpods.toml"
            )
        elif setting is not None:
            found = engine_of(command[1:], str(setting.value), self._value("$pre_tex_code"))
            for text in found.refused:
                self._say(setting.line, "not taken", f"{command}: {text}")
        self._options(setting, command)
        self._adopt(found, setting, mode)

    def _is_shared(self, setting: Setting) -> bool:
        """Whether one call set all commands at once."""
        return all((other := self.settings.get(name)) is not None and other.line == setting.line for name in _ENGINE_COMMANDS)

    def _mode(self) -> tuple[str, str]:
        """(the mode, '' for none; the name of the command that makes documents)."""
        said = {name: self.settings[name] for name in ("$pdf_mode", "$dvi_mode", "$postscript_mode") if name in self.settings}
        for name, setting in said.items():
            if setting.value is None or (name == "$pdf_mode" and setting.value not in ("0", *_PDF_MODES)):
                self._say(setting.line, "not taken", f"{name} is no constant from 0 to 5; pdflatex is taken")
                self.settings.pop(name)
        mode = self._value("$pdf_mode")
        if mode in _PDF_MODES:
            return mode, _PDF_MODES[mode]
        if self._value("$dvi_mode") == "2":
            self._say(said["$dvi_mode"].line, "not taken", "$dvi_mode = 2: cpods has no dvilualatex; lualatex is taken, which makes PDF")
            return "4", "$lualatex"
        if mode == "0" or any(self._value(name) not in ("", "0") for name in ("$dvi_mode", "$postscript_mode")):
            return "0", "$latex"
        self._say(0, "taken", "no $pdf_mode: latexmk alone would make DVI; pdflatex is taken, as `latexmk -pdf` does")
        return "", "$pdflatex"

    def _options(self, setting: Setting | None, command: str) -> None:
        for name in (f"@extra_{command[1:]}_options", f"${command[1:]}_default_switches"):
            extra = self.settings.get(name)
            if extra is None:
                continue
            words = extra.value if isinstance(extra.value, list) else str(extra.value or "").split()
            found = engine_of(command[1:], " ".join([command[1:], *words]), "")
            self._common.update(found.keys)
            for text in found.refused:
                self._say(extra.line, "not taken", f"{name}: {text}")
            if found.keys:
                self._say(extra.line, "taken", f"{name} as {_shown(found.keys)}")

    def _adopt(self, found: Engine, setting: Setting | None, mode: str) -> None:
        self._common.update(found.keys)
        output = "pdf"
        if mode == "0" and found.name == "latex":
            output = "ps" if self._value("$postscript_mode") not in ("", "0") else "dvi"
        if found.name != "pdflatex":
            self._common["engine"] = found.name
        if output != "pdf":
            self._common["output"] = output
        keys = {"engine": found.name, **({"output": output} if output != "pdf" else {})}
        modes = [name for name in ("$pdf_mode", "$dvi_mode", "$postscript_mode") if name in self.settings]
        for name in modes:
            by_default = name != "$pdf_mode" and self._value(name) == "0"
            text = f"{name} = {self._value(name)} " + ("is what cpods does anyway" if by_default else f"as {_shown(keys)}")
            self._say(self.settings[name].line, "not needed" if by_default else "taken", text)
            if name == "$pdf_mode" and mode == "3":
                self._say(self.settings[name].line, "not taken", "dvipdf: cpods goes from DVI to PDF by dvips and ps2pdf")
        if setting is not None and (found.keys or found.name != setting.name[1:]):
            shown = {**found.keys, **({"engine": found.name} if found.name != setting.name[1:] else {})}
            self._say(setting.line, "taken", f"{setting.name} as {_shown(shown)}")
        elif setting is not None and not found.refused and isinstance(setting.value, str):
            self._say(setting.line, "not needed", f"{setting.name} says what cpods does anyway")


def _built_in(sub: Sub) -> str:
    """The program among those that cpods plans by itself that a subroutine runs."""
    return next((name for name in cusdep.programs(sub) if name in BUILT_IN_PROGRAMS), "")


def _shown(keys: Mapping[str, object]) -> str:
    return ", ".join(f"{key} = {_value_shown(value)}" for key, value in keys.items())


def _value_shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'
