"""What chefs may ask about the machine: programs, their content, the packages that own the TeX trees.

Knows no chef; reads files only and starts no process.
"""

import os
from collections.abc import Mapping, Sequence

from cpods.chefs import ownersfile
from cpods.chefs.packages import PackageList, dpkg_packages, first_existing, stamp, tlpdb_packages
from cpods.digest import ABSENT, of_file, of_parts

#: Variable that names another dpkg status file; its package lists are looked for in ``info`` beside it, then in the usual place.
STATUS_VARIABLE = "CPODS_DPKG_STATUS"
_STATUS = "/var/lib/dpkg/status"
_INFO = "/var/lib/dpkg/info"
_LS_R = ("/usr/share/texlive/texmf-dist/ls-R", "/usr/share/texmf-dist/ls-R", "/usr/share/texmf/ls-R", "/var/lib/texmf/ls-R")

_DECIDING = ("PATH", "HOME", "TEXMFHOME", "TEXMFLOCAL", STATUS_VARIABLE)

Stamp = tuple[str, int, int, int]


class MachineToolbox:
    """The real toolbox. Answers are kept for its lifetime; :meth:`stamps` tells what they rest on."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """``environment``: the build's variables; PATH decides what :meth:`which` finds."""
        self._environment = dict(environment)
        self._stamps: dict[str, Stamp] = {}
        self._contents: dict[str, str] = {}
        self._packages: dict[tuple[str, ...], str] = {}
        self._names: dict[str, str] = {}
        self._found: dict[str, str | None] = {}
        self._key = ""

    def environment(self, name: str) -> str | None:
        """A variable of the build's environment."""
        return self._environment.get(name)

    def stamps(self) -> tuple[Stamp, ...]:
        """(path, size, mtime_ns, inode) of every file and folder that the answers so far rest on, sorted by path."""
        return tuple(self._stamps[path] for path in sorted(self._stamps))

    def environment_key(self) -> str:
        """Digest of the variables that decide the answers: stamps hold only under the same one."""
        self._key = self._key or of_parts(part for name in _DECIDING for part in (name, self._environment.get(name, "")))
        return self._key

    def which(self, program: str) -> str | None:
        """Absolute path of a program in the build's PATH."""
        if program not in self._found:
            self._found[program] = self._search(program)
        return self._found[program]

    def _search(self, program: str) -> str | None:
        if "/" in program:
            return program if os.access(program, os.X_OK) and os.path.isfile(program) else None
        for folder in self._environment.get("PATH", os.defpath).split(os.pathsep):
            path = os.path.join(folder or ".", program)
            # Noted even if it is not there: a program that appears earlier in PATH is another one.
            self._note(os.path.abspath(path))
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return os.path.abspath(path)
        return None

    def binary(self, program: str) -> str:
        """Content digest of the program's file (links followed)."""
        path = self.which(program)
        return ABSENT if path is None else self.content(path)

    def content(self, path: str) -> str:
        """Content digest of a file, ABSENT if there is none."""
        if path not in self._contents:
            self._note(path)
            try:
                self._contents[path] = of_file(path)[0]
            except OSError:
                self._contents[path] = ABSENT
        return self._contents[path]

    def packages(self, trees: Sequence[str]) -> str:
        """Digest of the (package, version) list of the owners of these trees: by dpkg, else TeX Live, else by ls-R."""
        key = tuple(trees)
        if key not in self._packages:
            self._packages[key] = self._owners(key)
        return self._packages[key]

    def _owners(self, trees: tuple[str, ...]) -> str:
        status = self._environment.get(STATUS_VARIABLE) or _STATUS
        info = os.path.join(os.path.dirname(status), "info")
        info = info if os.path.isdir(info) else _INFO
        kept = ownersfile.place(self._environment, (status, info, *trees))
        listed = ownersfile.recalled(kept, lambda: dpkg_packages(status, info, trees))
        if listed is None or not listed.packages:
            database = first_existing([os.path.join(os.path.dirname(tree), "tlpkg", "texlive.tlpdb") for tree in self._tex_roots(trees)])
            listed = tlpdb_packages(database) if database else listed
        if listed is None or not listed.packages:
            return of_parts(["ls-R", *(self.content(path) for path in _LS_R)])
        self._take(listed)
        return of_parts(part for pair in listed.packages for part in pair)

    def _tex_roots(self, trees: tuple[str, ...]) -> list[str]:
        kpsewhich = self.which("pdftex") or self.which("pdflatex")
        roots = [os.path.realpath(kpsewhich)] if kpsewhich else []
        return [os.path.dirname(os.path.dirname(root)) for root in roots] + list(trees)

    def _take(self, listed: PackageList) -> None:
        for mark in listed.stamps:
            self._stamps[mark[0]] = mark

    def names(self, tree: str) -> str:
        """Digest of the sorted names of the files below a folder, ABSENT if there are none."""
        if tree not in self._names:
            self._names[tree] = self._listing(tree)
        return self._names[tree]

    def _listing(self, tree: str) -> str:
        found: list[str] = []
        self._note(tree)
        for folder, folders, files in os.walk(tree):
            folders.sort()
            self._note(folder)
            found += (os.path.relpath(os.path.join(folder, name), tree) for name in sorted(files))
        return of_parts(sorted(found)) if found else ABSENT

    def _note(self, path: str) -> None:
        self._stamps[path] = stamp(path)


def still_valid(stamps: Sequence[Stamp]) -> bool:
    """Whether every file that a cached answer rests on has the same stat as then."""
    return all(stamp(mark[0]) == tuple(mark) for mark in stamps)
