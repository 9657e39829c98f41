"""Which pod gets a step: strategies by name, each a deterministic function of what it is shown, with a log that replays.

Knows no clock, no I/O and no randomness but a seed; how it is known what pods hold and do is for others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from cpods.digest import of_parts

#: A pod with more steps than this waiting for a slot gets no further one while another has a slot free.
QUEUE_BOUND = 0

Inputs = Sequence[tuple[int, int]]
Terms = tuple[tuple[str, float], ...]


class PodView(msgspec.Struct, frozen=True, array_like=True):
    """A pod as placement sees it. ``slots`` 0: it takes no steps. ``running`` and ``queued``: steps there, anybody's.

    ``load``: the machine's load average; ``bytes_per_second``: how fast it pulls and serves; 0 where it is not known.
    """

    name: str
    slots: int
    running: int = 0
    queued: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    load: float = 0.0
    bytes_per_second: float = 0.0

    @property
    def steps(self) -> int:
        """Steps that run or wait there."""
        return self.running + self.queued

    @property
    def waiting(self) -> int:
        """Steps there that have no slot."""
        return max(0, self.steps - self.slots)

    @property
    def idle(self) -> bool:
        """Whether a step would start at once."""
        return self.steps < self.slots


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """Where a step may go: pods with all of these ``tags`` (key, value), among ``fits`` (None: all), not among ``avoid``."""

    tags: tuple[tuple[str, str], ...] = ()
    fits: frozenset[str] | None = None
    avoid: frozenset[str] = frozenset()

    def allows(self, pod: PodView) -> bool:
        """Whether the pod takes steps, and this one."""
        fits = self.fits is None or pod.name in self.fits
        return pod.slots > 0 and fits and pod.name not in self.avoid and set(self.tags) <= set(pod.tags)


ANYWHERE = Rule()


class Held(Protocol):
    """Who holds how much of some artefacts."""

    def bytes_by_pod(self, ids: Sequence[int]) -> Mapping[str, int]:
        """Bytes of the artefacts with these ids that each pod holds, each id counted once."""


class View(msgspec.Struct):
    """What a strategy sees. ``holdings`` None: nobody holds anything. ``estimates``: seconds by step, where they are known."""

    pods: Sequence[PodView]
    holdings: Held | None = None
    estimates: Mapping[str, float] = {}

    def candidates(self, rule: Rule) -> list[PodView]:
        """The pods that a step may go to, by name: their order here has no meaning."""
        return sorted((pod for pod in self.pods if rule.allows(pod)), key=lambda pod: pod.name)

    def missing(self, inputs: Inputs) -> Callable[[PodView], int]:
        """Input bytes that a pod would have to pull: a function of the pod. An id that is named twice counts once."""
        sizes = dict(inputs)
        total = sum(sizes.values())
        held = self.holdings.bytes_by_pod(list(sizes)) if self.holdings is not None and sizes else {}
        return lambda pod: total - held.get(pod.name, 0)


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """``pod`` '': none may run the step. ``terms``: by name what counted for that pod, the weightiest first."""

    step: str
    pod: str
    terms: Terms = ()


class Strategy(Protocol):
    """A way to choose. What it is shown, and what it was asked before, determine the answer."""

    name: str
    seed: int

    def choose(self, step: str, inputs: Inputs, view: View, rule: Rule = ANYWHERE) -> Decision:
        """A pod for ``step``, whose inputs are (id in ``view.holdings``, size in bytes)."""


class Random:
    """Any pod, each as likely. Drawn from the seed and the step's name, so that no decision depends on an earlier one."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def choose(self, step: str, inputs: Inputs, view: View, rule: Rule = ANYWHERE) -> Decision:
        """The draw also depends on which pods there are: who is avoided at a second try is not drawn again."""
        pods = view.candidates(rule)
        if not pods:
            return Decision(step, "")
        drawn = int(of_parts([self.name, str(self.seed), step]).partition(":")[2], 16) % len(pods)
        return Decision(step, pods[drawn].name, (("drawn", float(drawn)),))


class RoundRobin:
    """One pod after the other, in the order of their names."""

    name = "round-robin"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._last = ""

    def choose(self, step: str, inputs: Inputs, view: View, rule: Rule = ANYWHERE) -> Decision:
        """The next pod behind the last one chosen; behind the end, the first."""
        names = [pod.name for pod in view.candidates(rule)]
        if not names:
            return Decision(step, "")
        self._last = next((name for name in names if name > self._last), names[0])
        return Decision(step, self._last)


class LeastLoaded:
    """The pod with the fewest steps a slot. Ties: fewer bytes to move, then the pod's name."""

    name = "least-loaded"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def choose(self, step: str, inputs: Inputs, view: View, rule: Rule = ANYWHERE) -> Decision:
        """See the class."""
        missing = view.missing(inputs)
        return _least(step, view.candidates(rule), lambda pod: (("steps_per_slot", _pressure(pod)), ("missing_bytes", missing(pod))))


class MaxLocality:
    """The pod that holds most of the input bytes, within a bound: who has steps waiting yields to who has a slot free.

    Ties: fewer steps a slot (or the first pods by name would get all steps whose inputs nobody holds), then the pod's name.
    """

    name = "max-locality"

    def __init__(self, seed: int = 0, bound: int = QUEUE_BOUND) -> None:
        self.seed = seed
        self.bound = bound

    def choose(self, step: str, inputs: Inputs, view: View, rule: Rule = ANYWHERE) -> Decision:
        """See the class."""
        missing = view.missing(inputs)
        pods = self.within_bound(view.candidates(rule))
        return _least(step, pods, lambda pod: (("missing_bytes", missing(pod)), ("steps_per_slot", _pressure(pod))))

    def within_bound(self, pods: list[PodView]) -> list[PodView]:
        """Without those that have more than ``bound`` steps waiting, if some pod has a slot free."""
        return [pod for pod in pods if pod.waiting <= self.bound] if any(pod.idle for pod in pods) else pods


class Factory(Protocol):
    """Makes a strategy in its first state."""

    def __call__(self, seed: int = 0) -> Strategy:
        """``seed``: for all that the strategy draws."""


#: All strategies by name.
STRATEGIES: dict[str, Factory] = {"random": Random, "round-robin": RoundRobin, "least-loaded": LeastLoaded, "max-locality": MaxLocality}
DEFAULT_STRATEGY = "max-locality"


class Begun(msgspec.Struct, frozen=True, array_like=True, tag="begun"):
    """The log's first entry: the strategy and its seed."""

    strategy: str
    seed: int


class Seen(msgspec.Struct, frozen=True, array_like=True, tag="seen"):
    """A pod is there, or is in another state than it was at the decision before."""

    pod: PodView


class Gone(msgspec.Struct, frozen=True, array_like=True, tag="gone"):
    """A pod is there no longer."""

    pod: str


class Decided(msgspec.Struct, frozen=True, array_like=True, tag="decided"):
    """A decision with all that it stood on besides the pods: ``held`` bytes by pod, the step's estimate in seconds."""

    decision: Decision
    inputs: tuple[tuple[int, int], ...] = ()
    held: tuple[tuple[str, int], ...] = ()
    rule: Rule = ANYWHERE
    estimate: float | None = None


Entry = Begun | Seen | Gone | Decided


class DecisionLog:
    """A strategy that writes down each decision, and between two of them only which pods have changed."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._seen: dict[str, PodView] = {}
        self.entries: list[Entry] = [Begun(strategy.name, strategy.seed)]

    def choose(self, step: str, inputs: Inputs, view: View, rule: Rule = ANYWHERE) -> Decision:
        """As the strategy's."""
        self._note(view.pods)
        held = _Recorded(view.holdings.bytes_by_pod(list(dict(inputs)))) if view.holdings is not None and inputs else None
        estimate = view.estimates.get(step)
        decision = self._strategy.choose(step, inputs, msgspec.structs.replace(view, holdings=held), rule)
        bytes_held = () if held is None else tuple(sorted(held.by_pod.items()))
        self.entries.append(Decided(decision, tuple(inputs), bytes_held, rule, estimate))
        return decision

    def _note(self, pods: Iterable[PodView]) -> None:
        now = {pod.name: pod for pod in pods}
        self.entries += [Gone(name) for name in sorted(self._seen.keys() - now.keys())]
        self.entries += [Seen(pod) for name, pod in sorted(now.items()) if self._seen.get(name) != pod]
        self._seen = now


def replay(entries: Sequence[Entry], factories: Mapping[str, Factory] | None = None) -> list[Entry]:
    """Decides everything in a log again, from nothing but the log: the result equals it, or the strategy has changed.

    ``factories``: of strategies that are not in STRATEGIES. Raises ValueError for a log without a beginning or of an
    unknown strategy.
    """
    known = {**STRATEGIES, **(factories or {})}
    if not entries or not isinstance(begun := entries[0], Begun) or begun.strategy not in known:
        raise ValueError("this is no decision log of a strategy that is known here")
    log = DecisionLog(known[begun.strategy](begun.seed))
    pods: dict[str, PodView] = {}
    for entry in entries[1:]:
        if isinstance(entry, Seen):
            pods[entry.pod.name] = entry.pod
        elif isinstance(entry, Gone):
            pods.pop(entry.pod, None)
        elif isinstance(entry, Decided):
            step = entry.decision.step
            estimates = {} if entry.estimate is None else {step: entry.estimate}
            log.choose(step, entry.inputs, View(list(pods.values()), _Recorded(dict(entry.held)), estimates), entry.rule)
    return log.entries


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Entry)


def to_lines(entries: Iterable[Entry]) -> bytes:
    """A log as JSON lines: equal logs give equal bytes."""
    return b"".join(_encoder.encode(entry) + b"\n" for entry in entries)


def from_lines(data: bytes) -> list[Entry]:
    """What :func:`to_lines` wrote. Raises msgspec.MsgspecError for anything else."""
    return [_decoder.decode(line) for line in data.splitlines()]


class _Recorded:
    """What was held when it was asked about one step's inputs."""

    def __init__(self, by_pod: Mapping[str, int]) -> None:
        self.by_pod = by_pod

    def bytes_by_pod(self, ids: Sequence[int]) -> Mapping[str, int]:
        """The answer that is kept, whatever is asked."""
        return self.by_pod


def _pressure(pod: PodView) -> float:
    return pod.steps / pod.slots


def _least(step: str, pods: list[PodView], terms: Callable[[PodView], Terms]) -> Decision:
    """The pod whose terms are least, compared one after the other; ties: the pod's name, by which ``pods`` are sorted."""
    if not pods:
        return Decision(step, "")
    best = min(((terms(pod), pod.name) for pod in pods), key=lambda found: ([value for _, value in found[0]], found[1]))
    return Decision(step, best[1], tuple((name, float(value)) for name, value in best[0]))
