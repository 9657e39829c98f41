"""What decides a step's result besides the files it reads: tools, arguments, environment, date.

Knows no results; see lookup for those.
"""

import datetime
from collections.abc import Mapping, Sequence
from functools import cache

from cpods import digest
from cpods.chefs.toolbox import MachineToolbox, still_valid
from cpods.declaration import ProjectSettings
from cpods.errors import UsageError
from cpods.model import Step
from cpods.ports import Chef, Clock, Fingerprint

#: Given to every step but never part of a key: where things lie on this machine.
_PLACE = ("PATH", "HOME", "USER", "TMPDIR")
_LOCALE = ("LANG", "LC_ALL", "TZ")
#: Seconds up to the year 5138; beyond it tools fail each in its own way.
_EPOCH_DIGITS_MAX = 11
#: 1970-01-01 in days since the year 1.
_DAY_ZERO = 719_163


class Calendar:
    """The date that tools are told: SOURCE_DATE_EPOCH wins, else the project's date, else today (00:00 UTC of that date).

    ``fixed`` is None only for "today": then a stored result of another day is still a result, and only a step that must
    run takes today's date.
    """

    def __init__(self, settings: ProjectSettings, environment: Mapping[str, str], clock: Clock) -> None:
        self.fixed: int | None = None
        said = environment.get("SOURCE_DATE_EPOCH")
        if said:
            if not (said.isascii() and said.isdecimal() and len(said) <= _EPOCH_DIGITS_MAX):
                raise UsageError(f"SOURCE_DATE_EPOCH is {said[:40]!r}: expected whole seconds since 1970, such as 1700000000")
            self.fixed = int(said)
        elif settings.date != "today":
            self.fixed = epoch(settings.date)
        self._clock = clock

    def today(self) -> int:
        """The date for a step that must run, as seconds since 1970."""
        return self.fixed if self.fixed is not None else epoch(self._clock.today())

    def fits(self, recorded: int, wanted: int | None) -> bool:
        """Whether a result of date ``recorded`` counts. ``wanted`` None: any date does, if the project's date is today's."""
        if self.fixed is not None:
            return recorded == self.fixed
        return wanted is None or recorded == wanted


@cache
def epoch(date: str) -> int:
    """00:00 UTC of a date YYYY-MM-DD, in seconds since 1970: TeX reads SOURCE_DATE_EPOCH as UTC."""
    return (datetime.date.fromisoformat(date).toordinal() - _DAY_ZERO) * 86_400


class Keys:
    """Static keys and environments of steps. Fingerprints are kept in ``known`` by the state of the files behind them."""

    def __init__(
        self,
        settings: ProjectSettings,
        environment: Mapping[str, str],
        chefs: Mapping[str, Chef],
        toolbox: MachineToolbox,
        known: dict[str, Fingerprint],
    ) -> None:
        self._settings = settings
        self._environment = dict(environment)  # os.environ decodes at each look-up
        self._chefs = chefs
        self._toolbox = toolbox
        self._known = known
        self._static: dict[str, tuple[Step, str]] = {}
        self._counted: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        self._environments: dict[tuple[object, ...], tuple[tuple[str, str], ...]] = {}
        self._names: dict[tuple[object, ...], str] = {}
        self._checked: dict[str, str] = {}
        self.fresh: dict[str, Fingerprint] = {}
        self.used: dict[str, Fingerprint] = {}

    def counted(self, step: Step) -> list[tuple[str, str]]:
        """The variables that are part of the key, with their values, sorted."""
        if step.pass_env not in self._counted:
            names = {*_LOCALE, *step.pass_env, *self._settings.env}
            self._counted[step.pass_env] = sorted(
                (name, self._environment[name]) for name in names if name in self._environment and name not in _PLACE
            )
        passed = self._counted[step.pass_env]
        if not step.env:
            return passed
        return sorted({**dict(passed), **{name: value for name, value in step.env if name not in step.quiet}}.items())

    def environment(self, step: Step, date: int) -> tuple[tuple[str, str], ...]:
        """The whole environment of a run; the very same tuple for steps that have the same."""
        kind = (step.pass_env, step.env, step.quiet, date)
        known = self._environments.get(kind)
        if known is None:
            known = self._environments[kind] = self._environment_of(step, date)
        return known

    def _environment_of(self, step: Step, date: int) -> tuple[tuple[str, str], ...]:
        found = {name: self._environment[name] for name in _PLACE if name in self._environment}
        found.update(self.counted(step))
        found.update(step.env)
        found.update(SOURCE_DATE_EPOCH=str(date), FORCE_SOURCE_DATE="1")
        return tuple(sorted(found.items()))

    def fit_name(self, step: Step) -> str:
        """Names what decides a step's fingerprint on any machine: two steps of one name have one fingerprint there."""
        counted = (f"{name}={value}" for name, value in self.counted(step))
        return digest.of_parts([step.chef, step.tool, *step.argv[:1], "tools", *step.tools, "env", *counted])

    def fingerprint(self, step: Step) -> str:
        """The tools' fingerprint; computed again only if a file behind it has another state."""
        deciding = (step.chef, step.tool, step.argv[:1], step.tools, step.pass_env, step.env, step.quiet)
        if deciding not in self._names:
            self._names[deciding] = self._name(step)
        name = self._names[deciding]
        if name not in self._checked:
            self._checked[name] = self._fingerprint(name, step)
        return self._checked[name]

    def _name(self, step: Step) -> str:
        """Digest of what decides which tools a step runs, and how they see the environment."""
        programs = sorted({step.argv[0], *step.tools}) if step.argv else sorted(step.tools)
        paths = [f"{program}={self._toolbox.which(program)}" for program in programs]
        return digest.of_parts(
            [step.chef, step.tool, self._toolbox.environment_key(), *paths, *(f"{n}={v}" for n, v in self.counted(step))]
        )

    def _fingerprint(self, name: str, step: Step) -> str:
        known = self._known.get(name)
        if known is None or not still_valid(known.stamps):
            value = self._chefs[step.chef].fingerprint(step, self._toolbox)
            known = self._known[name] = self.fresh[name] = Fingerprint(value, self._toolbox.stamps())
        self.used[name] = known
        return known.digest

    def static(self, step: Step) -> str:
        """The static key: chef and version, arguments, counted environment, tools, declared names."""
        known = self._static.get(step.name)
        if known is None or known[0] is not step:
            known = self._static[step.name] = (step, self._static_key(step))
        return known[1]

    def _static_key(self, step: Step) -> str:
        chef = self._chefs[step.chef]
        parts: list[str] = [chef.name, str(chef.version), self.fingerprint(step), step.cwd, step.depfile, "argv"]
        for title, values in (
            ("", step.argv),
            ("inputs", [] if step.globs else step.inputs),
            ("globs", step.globs),
            ("optional", step.optional),
            ("outputs", step.outputs),
            ("env", [f"{name}={value}" for name, value in self.counted(step)]),
            ("options", [f"{name}={value}" for name, value in step.options]),
        ):
            parts += [title, *values]
        return digest.of_parts(parts)

    def solution(self, members: Sequence[Step], extra: str = "") -> str:
        """The static key of a knot: its declared steps' keys in order, and their policies."""
        return digest.of_parts(["knot", extra, *(f"{self.static(step)} {step.policy}" for step in members)])
