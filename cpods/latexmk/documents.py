"""Which documents an rc file of latexmk stands for, and the step of each.

Knows no file system: the names that there are are given.
"""

import fnmatch
import posixpath
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from cpods.latexmk.rcfile import Setting

Kind = Literal["taken", "not needed", "not taken"]
_DOCUMENT_ENDINGS = (".tex", ".ltx")


class Remark(NamedTuple):
    """What became of one line of the rc file."""

    line: int
    kind: Kind
    text: str


def documents_of(
    settings: Mapping[str, Setting], keys: Mapping[str, object], listing: Sequence[str], documents: Sequence[str]
) -> tuple[list[dict[str, object]], list[Remark]]:
    """One step a document, with the ``keys`` that all have; and the remarks on what decides which these are."""
    work = _Documents(settings, keys)
    return work.steps(listing, documents), work.remarks


class _Documents:
    def __init__(self, settings: Mapping[str, Setting], keys: Mapping[str, object]) -> None:
        self._settings = settings
        self._common = keys
        self.remarks: list[Remark] = []

    def _say(self, line: int, kind: Kind, text: str) -> None:
        self.remarks.append(Remark(line, kind, text))

    def steps(self, listing: Sequence[str], documents: Sequence[str]) -> list[dict[str, object]]:
        """One step a document."""
        mains = self._mains(listing, documents)
        excluded = self._settings.get("@default_excluded_files")
        if excluded is not None and isinstance(excluded.value, list):
            gone = {path for pattern in excluded.value for path in mains if _matches(path, pattern)}
            mains = [path for path in mains if path not in gone]
            self._say(excluded.line, "taken", f"@default_excluded_files: {', '.join(sorted(gone)) or 'no document'} left out")
        steps: list[dict[str, object]] = []
        products: dict[str, str] = {}
        for main in mains:
            step = self._step(main)
            product = posixpath.join(str(step.get("cwd", ".")), str(step.get("jobname") or posixpath.splitext(posixpath.basename(main))[0]))
            if product in products:
                self._say(0, "not taken", f"{main} would make the same file as {products[product]}; give it a jobname or a cwd of its own")
                continue
            products[product] = main
            steps.append(step)
        return steps

    def _mains(self, listing: Sequence[str], documents: Sequence[str]) -> list[str]:
        setting = self._settings.get("@default_files")
        if setting is None or not isinstance(setting.value, list):
            if setting is not None:
                self._say(
                    setting.line, "not taken", "@default_files is computed, which only Perl can do; documents of this folder are taken"
                )
            return sorted(documents)
        found: list[str] = []
        for pattern in setting.value:
            names = sorted(path for path in listing if _matches(path, pattern) and path.endswith(_DOCUMENT_ENDINGS))
            if not names and not any(sign in pattern for sign in "*?["):
                names = [pattern if pattern.endswith(_DOCUMENT_ENDINGS) else pattern + ".tex"]
                names = [posixpath.normpath(name) for name in names]
                self._say(setting.line, "taken", f"@default_files: {names[0]} is not there now")
            elif not names:
                self._say(setting.line, "not taken", f"@default_files: no document matches {pattern}")
            found += names
        if found:
            self._say(setting.line, "taken", f"@default_files as {len(set(found))} [[step]]{'s' if len(set(found)) > 1 else ''}")
        return list(dict.fromkeys(found))

    def _step(self, main: str) -> dict[str, object]:
        step: dict[str, object] = {"chef": "latex", "main": main, **self._common}
        stem = posixpath.splitext(posixpath.basename(main))[0]
        if isinstance(jobname := step.get("jobname"), str):
            step["jobname"] = jobname.replace("%A", stem)
        folder = posixpath.dirname(main)
        cd = self._settings.get("$do_cd")
        if cd is not None and cd.value not in (None, "", "0") and folder:
            step.update(main=posixpath.basename(main), cwd=folder)
        return step


def _matches(path: str, pattern: str) -> bool:
    """As the shell's globs: ``*`` stays within a folder. A name without its ending counts, too."""
    clean = posixpath.normpath(pattern)
    candidates = (clean, clean + ".tex") if not clean.endswith(_DOCUMENT_ENDINGS) else (clean,)
    return any(path.count("/") == one.count("/") and fnmatch.fnmatchcase(path, one) for one in candidates)
