"""Random walks over shell projects: after each action a build, compared with a build of the same sources from nothing.

Knows nothing of how cpods decides; it compares files, verdicts and exit codes, and runs recipes by ``sh`` itself.
"""

import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.sandbox import ENVIRONMENT, Outcome, Sandbox
from tests.helpers.shellactions import ACTIONS, Scene, choose
from tests.helpers.shellworld import ShellWorld, make, naive_pass

Plan = Sequence[tuple[str, int]]
#: Of the walks, the share that goes through the real CLI, one in this many.
CLI_SHARE = 20
#: The share in which only what changes reach is looked at, one in this many.
SLICES_SHARE = 2


class Diverged(AssertionError):
    """An incremental build that is not what a clean one is."""


@dataclass(frozen=True)
class Reference:
    """What a build from nothing came to: its outcome and the files that stood there then."""

    outcome: Outcome
    files: Mapping[str, bytes]


class ShellWalk:
    """One walk. All randomness comes from ``seed``; ``place`` is an empty folder."""

    def __init__(self, seed: int, place: Path, knots: bool | None = None) -> None:
        rng = random.Random(seed)
        self.knots = rng.random() < 0.7 if knots is None else knots
        self.first = make(rng, self.knots)
        self._place = place
        self._rng = random.Random(seed + 1)
        (place / "bin").mkdir(parents=True)
        self._environment = {"PATH": f"{place / 'bin'}:{ENVIRONMENT['PATH']}"}
        cli = seed % CLI_SHARE == CLI_SHARE - 1
        slices = not cli and seed % SLICES_SHARE == 0
        sandbox = Sandbox(place / "walk", self._environment, cli, slices, mends=slices)
        self.scene = Scene(self.first, sandbox, [])
        self._lying = ShellWorld({}, ())
        self._references: dict[str, Reference] = {}
        self.log: list[str] = []

    def go(self, plan: Plan) -> None:
        """Builds, then acts and builds for each entry. Raises Diverged."""
        self._step("start")
        said: list[str] = []
        for name, number in plan:
            what = ACTIONS[name][1](random.Random(number), self.scene)
            self.scene.world = self.scene.world.without_products()
            said.append(f"{name} {what}")
            if number % 4:  # else the next action comes before anything is built
                self._step(", ".join(said))
                said.clear()

    def _step(self, said: str) -> None:
        self.log.append(said)
        self._lay()
        self._check()
        self.scene.past.append(self.scene.world)

    # -- the folder ------------------------------------------------------------------------------------------------

    def _lay(self) -> None:
        """Makes the folder what the user wants it to be: only files that change are written."""
        world, place = self.scene.world, self.scene.place
        old, new = self._lying.files(), world.files()
        for path in old.keys() - new.keys():
            (place.root / path).unlink(missing_ok=True)
        for recipe in self._lying.recipes:  # who removes a step tidies up after it
            gone = [path for path in recipe.outputs if recipe.name not in {other.name for other in world.recipes} or path in new]
            for path in gone:
                if path not in new or old.get(path) != new[path]:
                    (place.root / path).unlink(missing_ok=True)
        for path, data in new.items():
            file = place.root / path
            if not file.exists() or file.read_bytes() != data:
                place.write(path, data, executable=path == "gen.sh")
        if self._lying.tool != world.tool or not (self._place / "bin" / "mytool").exists():
            self._lay_tool(world)
        place.environment["FLAVOUR"] = world.flavour
        self._lying = world

    def _lay_tool(self, world: ShellWorld) -> None:
        fresh = self._place / "bin" / "mytool.new"
        fresh.write_bytes(world.tool_script())
        fresh.chmod(0o755)
        fresh.rename(self._place / "bin" / "mytool")

    # -- comparing -------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        warm = self.scene.place.build()
        want = self._reference()
        self._compare_warm(warm, want)
        chance = self._rng.random()
        if chance < 0.3:
            self._compare_clean(self.scene.place, want)
        elif chance < 0.6:
            again = self.scene.place.copy(self._place / "copy", with_state=True)
            self._compare_clean(again, want)
            shutil.rmtree(again.root)
        else:
            self._compare_null(warm)

    def _reference(self) -> Reference:
        """A build of the same sources in a folder of its own, with an empty store."""
        world = self.scene.world
        known = self._references.get(repr(world))
        if known is None:
            place = Sandbox(self._place / "fresh", {**self._environment, "FLAVOUR": world.flavour})
            for path, data in world.files().items():
                place.write(path, data, executable=path == "gen.sh")
            known = self._references[repr(world)] = Reference(place.build(seed="clean"), place.files())
            shutil.rmtree(place.root)
        return known

    def _compare_clean(self, place: Sandbox, want: Reference) -> None:
        """``--seed clean`` here is a build from nothing."""
        self._same(place.build(seed="clean"), place.files(), want, "--seed clean")

    def _compare_null(self, warm: Outcome) -> None:
        """A second build comes to the same end, and after a good one it runs nothing."""
        again = self.scene.place.build()
        if (again.exit_code, again.verdicts) != (warm.exit_code, warm.verdicts) or (warm.exit_code == 0 and again.runs):
            self._fail(f"a second build: exit code {again.exit_code} after {warm.exit_code}, ran {again.runs}", again)

    def _compare_warm(self, warm: Outcome, want: Reference) -> None:
        """The warm result is the clean one, or both are fixed points, as one more pass of all recipes shows."""
        files = self.scene.place.files()
        try:
            self._same(warm, files, want, "warm")
        except Diverged:
            if not warm.verdicts and not want.outcome.verdicts:
                raise
            if want.outcome.exit_code == 0:
                self._is_fixed(want.files, want.outcome, "clean")
        if warm.exit_code == 0:
            self._is_fixed(files, warm, "warm")
            self._no_more_than(files, want.files)

    def _is_fixed(self, files: Mapping[str, bytes], outcome: Outcome, title: str) -> None:
        scratch = Sandbox(self._place / "scratch", self.scene.place.environment)
        for path, data in files.items():
            scratch.write(path, data, executable=path == "gen.sh")
        moved = naive_pass(self.scene.world, scratch.root, scratch.environment)
        shutil.rmtree(scratch.root)
        if moved:
            self._fail(f"{title}: one more pass moves {moved}", outcome)

    def _no_more_than(self, files: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> None:
        """No product of a step that is gone, or that got another name, is left."""
        known = {*self.scene.world.files(), *self.scene.world.outputs(), *wanted}
        left = [path for path in files if path not in known and not path.endswith(".d")]
        if left:
            self._fail(f"left over: {left}")

    def _same(self, got: Outcome, here: Mapping[str, bytes], reference: Reference, title: str) -> None:
        want, there = reference.outcome, reference.files
        if (got.exit_code, got.status) != (want.exit_code, want.status):
            self._fail(f"{title}: {got.status} ({got.exit_code}) instead of {want.status} ({want.exit_code})", got, want)
        if got.verdicts != want.verdicts:
            self._fail(f"{title}: verdicts {dict(got.verdicts)} instead of {dict(want.verdicts)}", got, want)
        if got.done is not None and want.done is not None and got.done != want.done:
            self._fail(f"{title}: done are {sorted(got.done)} instead of {sorted(want.done)}", got, want)
        if want.exit_code == 0:
            paths = {path for path in here.keys() | there.keys() if not path.endswith(".d")}
        else:
            finished = want.done or frozenset()
            paths = {path for recipe in self.scene.world.recipes if recipe.name in finished for path in recipe.outputs}
        moved = sorted(path for path in paths if here.get(path) != there.get(path))
        wrong = "; ".join(f"{path}: {here.get(path)!r} instead of {there.get(path)!r}" for path in moved)
        if wrong:
            self._fail(f"{title}: {wrong}", got, want)

    def _fail(self, text: str, *outcomes: Outcome) -> None:
        said = "\n".join(f"--- {outcome.status}, ran {outcome.runs}\n{outcome.said}" for outcome in outcomes)
        raise Diverged(f"{text}\n{said}")


def plan_of(seed: int, actions: int) -> list[tuple[str, int]]:
    """The actions of a walk."""
    rng = random.Random(seed + 2)
    return [choose(rng) for _ in range(actions)]


def walk(seed: int, place: Path, actions: int = 4, knots: bool | None = None) -> None:
    """One walk. Raises Diverged that tells the seed, what was done, and the project."""
    plan = plan_of(seed, actions)
    one = ShellWalk(seed, place / "w", knots)
    try:
        one.go(plan)
    except Diverged as error:
        raise Diverged(_told(seed, one, plan, str(error))) from None
    finally:
        shutil.rmtree(place / "w", ignore_errors=True)


def _told(seed: int, one: ShellWalk, plan: Plan, text: str) -> str:
    world = one.scene.world
    sources = "\n".join(f"{path}: {data!r}" for path, data in sorted(world.sources.items()))
    recipes = "\n".join(recipe.toml() for recipe in world.recipes)
    return f"seed {seed}: {text}\nactions: {one.log}\nplan: {list(plan)}\n{recipes}\n{sources}"


def shortest(seed: int, place: Path, plan: Plan, knots: bool | None = None) -> list[tuple[str, int]]:
    """The plan without the actions that its divergence does not need: dropped one by one while it still diverges."""
    kept = list(plan)
    index = 0
    while index < len(kept):
        shorter = kept[:index] + kept[index + 1 :]
        try:
            ShellWalk(seed, place / "s", knots).go(shorter)
        except Diverged:
            kept = shorter
        else:
            index += 1
        finally:
            shutil.rmtree(place / "s", ignore_errors=True)
    return kept
