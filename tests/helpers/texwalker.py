"""Random walks over a small LaTeX document: after each action a build, compared with one of the same sources from nothing.

Knows nothing of how cpods decides; it compares files and verdicts, and runs the engine once more by itself.
"""

import gzip
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.helpers.sandbox import Outcome, Sandbox
from tests.helpers.walker import CLI_SHARE, Diverged, Reference

_PROJECT = '[[step]]\nchef = "latex"\nmain = "paper.tex"\n'
_BIBS = (
    "@book{one, author = {A. Author}, title = {First}, publisher = {P}, year = 1999}\n",
    "@book{one, author = {B. Author}, title = {Second}, publisher = {P}, year = 2001}\n",
)
#: Two fixed points: once the label is known to be on page 2 it stays there.
_BISTABLE = "\\ifnum\\getpagerefnumber{far}>1 \\clearpage\\fi far\\label{far}"
#: Parts of the document that come and go: what stands in the preamble, and in the body.
FEATURES: dict[str, tuple[str, str]] = {
    "toc": ("", "\\tableofcontents\\section{Start}"),
    "ref": ("", "see \\ref{end} \\pageref{end}\\section{End}\\label{end}"),
    "exists": ("", "\\IfFileExists{tune.tex}{\\input{tune}}{no tune}"),
    "index": ("\\usepackage{makeidx}\\makeindex", "word\\index{word}\\printindex"),
    "bib": ("", "\\cite{one}\\bibliographystyle{plain}\\bibliography{refs}"),
    "bistable": ("\\usepackage{refcount}", _BISTABLE),
    "kicked": ("\\usepackage{refcount}", "\\IfFileExists{kick.tex}{\\clearpage}{}" + _BISTABLE),
    "unstable": ("\\usepackage{refcount}", "\\ifnum\\getpagerefnumber{off}>1 \\else\\clearpage\\fi off\\label{off}"),
    "broken": ("", "\\undefinedmacro"),
}
_RARE = ("unstable", "broken")


@dataclass(frozen=True)
class TexWorld:
    """The document as its author sees it."""

    features: tuple[str, ...]
    chosen: str = "a"
    word: str = "word"
    bib: int = 0
    extra: tuple[str, ...] = ()

    def files(self) -> dict[str, bytes]:
        """All sources."""
        heads, bodies = zip(*(FEATURES[name] for name in self.features), strict=True) if self.features else ((), ())
        lines = ["\\documentclass{article}", *heads, "\\begin{document}", f"The {self.word}. \\input{{{self.chosen}}}", *bodies]
        texts = {
            "cpods.toml": _PROJECT,
            "paper.tex": "\n".join([*lines, "\\end{document}", ""]),
            "a.tex": "from a\n",
            "b.tex": "from b \\newpage\n",
            "refs.bib": _BIBS[self.bib],
        }
        return {path: text.encode() for path, text in {**texts, **dict.fromkeys(self.extra, "extra text\n")}.items()}


@dataclass
class _Scene:
    world: TexWorld
    place: Sandbox
    past: list[TexWorld]


def _toggle(rng: random.Random, scene: _Scene) -> None:
    names = [name for name in FEATURES if name not in _RARE] if rng.random() < 0.85 else list(_RARE)
    name = rng.choice(names)
    kept = scene.world.features
    taken = tuple(other for other in kept if other != name and {name, other} != {"bistable", "kicked"})
    scene.world = replace(scene.world, features=taken if name in kept else (*taken, name))


def _swap(rng: random.Random, scene: _Scene) -> None:
    scene.world = replace(scene.world, chosen="b" if scene.world.chosen == "a" else "a")


def _write(rng: random.Random, scene: _Scene) -> None:
    scene.world = replace(scene.world, word=rng.choice(("word", "world", "sword")))


def _cite(rng: random.Random, scene: _Scene) -> None:
    scene.world = replace(scene.world, bib=1 - scene.world.bib)


def _appear(rng: random.Random, scene: _Scene) -> None:
    path = rng.choice(("tune.tex", "kick.tex", "kick.tex"))
    extra = scene.world.extra
    scene.world = replace(scene.world, extra=tuple(p for p in extra if p != path) if path in extra else (*extra, path))


def _revert(rng: random.Random, scene: _Scene) -> None:
    scene.world = rng.choice(scene.past)


def _spoil(rng: random.Random, scene: _Scene) -> None:
    """A product is deleted or changed by hand."""
    products = sorted(path for path in scene.place.files() if path not in scene.world.files() and path.startswith("paper."))
    if products and rng.random() < 0.5:
        (scene.place.root / rng.choice(products)).unlink()
    elif products:
        scene.place.write(rng.choice(products), "% by hand\n")


ACTIONS: dict[str, tuple[int, Callable[[random.Random, _Scene], None]]] = {
    "toggle": (5, _toggle),
    "swap": (2, _swap),
    "write": (2, _write),
    "cite": (1, _cite),
    "appear": (4, _appear),
    "revert": (4, _revert),
    "spoil": (2, _spoil),
}


class TexWalk:
    """One walk; all randomness comes from ``seed``."""

    def __init__(self, seed: int, place: Path) -> None:
        self._rng = random.Random(seed)
        features = self._rng.sample([name for name in FEATURES if name not in _RARE and name != "kicked"], k=2)
        self._place = place
        sandbox = Sandbox(place / "walk", cli=seed % CLI_SHARE == CLI_SHARE - 1, slices=seed % 2 == 0, mends=seed % 2 == 0)
        self._scene = _Scene(TexWorld(tuple(features)), sandbox, [])
        self._lying: dict[str, bytes] = {}
        self._references: dict[TexWorld, Reference] = {}
        self.log: list[str] = []

    def go(self, actions: int) -> None:
        """Builds, then acts and builds. Raises Diverged."""
        self._step("start")
        for _ in range(actions):
            name = self._rng.choices(list(ACTIONS), [weight for weight, _ in ACTIONS.values()])[0]
            ACTIONS[name][1](self._rng, self._scene)
            self._step(name)

    def _step(self, said: str) -> None:
        self.log.append(f"{said}: {self._scene.world}")
        self._lay()
        self._check()
        self._scene.past.append(self._scene.world)

    def _lay(self) -> None:
        new, place = self._scene.world.files(), self._scene.place
        for path in self._lying.keys() - new.keys():
            (place.root / path).unlink()
        for path, data in new.items():
            if self._lying.get(path) != data:
                place.write(path, data)
        self._lying = new

    def _check(self) -> None:
        warm, want = self._scene.place.build(), self._reference()
        files = visible(self._scene.place)
        wrong = differences(warm, files, want)
        left = sorted(files.keys() - want.files.keys())
        if left and warm.exit_code == want.outcome.exit_code == 0:
            raise Diverged(f"left over: {left}\n{warm.said}")
        if wrong:
            if warm.exit_code == want.outcome.exit_code == 0 or not warm.verdicts:
                self._is_fixed(files, f"warm: {wrong}", warm)
            self._compare(want, again=warm)
        elif self._rng.random() < 0.4:
            self._compare(want, again=warm)

    def _compare(self, want: Reference, again: Outcome) -> None:
        """``--seed clean`` here, or (so that a warm history goes on) in a copy with all of cpods' memory."""
        in_copy = self._rng.random() < 0.5
        place = self._scene.place.copy(self._place / "copy", with_state=True) if in_copy else self._scene.place
        clean = place.build(seed="clean")
        wrong = differences(clean, visible(place), want)
        if in_copy:
            shutil.rmtree(place.root)
        if wrong:
            raise Diverged(f"--seed clean: {wrong}\n--- {clean.said}\n--- {want.outcome.said}\n--- warm {again.said}")

    def _reference(self) -> Reference:
        world = self._scene.world
        if world not in self._references:
            place = Sandbox(self._place / "anew")  # as long as "walk": SyncTeX counts bytes
            for path, data in world.files().items():
                place.write(path, data)
            self._references[world] = Reference(place.build(seed="clean"), visible(place))
            shutil.rmtree(place.root)
        return self._references[world]

    def _is_fixed(self, files: Mapping[str, bytes], title: str, outcome: Outcome) -> None:
        """One more run of the engine by hand leaves its feedback files as they are."""
        scratch = Sandbox(self._place / "scratch")
        for path, data in files.items():
            scratch.write(path, data)
        subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "paper.tex"],
            cwd=scratch.root,
            env=scratch.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        fed = [path for path in files if path.endswith((".aux", ".toc", ".ind", ".idx", ".bbl"))]
        moved = [path for path in fed if scratch.read(path) != files[path]]
        shutil.rmtree(scratch.root)
        if moved:
            raise Diverged(f"{title}: and one more pass moves {moved}\n{outcome.said}")


def visible(place: Sandbox) -> dict[str, bytes]:
    """The folder's files, SyncTeX without the name of the folder."""
    files = place.files()
    for path in files:
        if path.endswith(".synctex.gz"):
            files[path] = gzip.decompress(files[path]).replace(str(place.root).encode(), b"")
    return files


def differences(got: Outcome, files: Mapping[str, bytes], want: Reference) -> str:
    """Where an outcome and its files differ from the reference's, '' if nowhere. Files count only after a good end."""
    if (got.exit_code, got.status, got.verdicts) != (want.outcome.exit_code, want.outcome.status, want.outcome.verdicts):
        return f"{got.status} {dict(got.verdicts)} instead of {want.outcome.status} {dict(want.outcome.verdicts)}"
    if got.exit_code:
        return ""
    return ", ".join(sorted(path for path in files.keys() | want.files.keys() if files.get(path) != want.files.get(path)))


def tex_walk(seed: int, place: Path, actions: int = 4) -> None:
    """One walk. Raises Diverged that tells the seed and what was done."""
    one = TexWalk(seed, place / "t")
    try:
        one.go(actions)
    except Diverged as error:
        done = "\n".join(one.log)
        raise Diverged(f"TeX seed {seed}: {error}\nactions:\n{done}") from None
    finally:
        shutil.rmtree(place / "t", ignore_errors=True)
