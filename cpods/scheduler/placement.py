"""Which pod gets a step: strategies by name, each a deterministic function of the outlook.

Knows no clock, no I/O and no randomness but a seed; what pods hold and do is the outlook's, who waits where the allotment's.
"""

import heapq
from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from cpods.scheduler.outlook import Outlook

#: With more pods than this, strategies that compare pods look at holders and at the least loaded only.
PODS_COMPARED_MAX = 64
_HOLDERS_COMPARED = 8
#: A file that so many pods hold is close to everybody: it does not say whom to ask.
_CROWD = 32


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """``pod`` -1: none may run the step. ``values``: of that pod, what the strategy's ``terms`` name, the weightiest first."""

    step: int
    pod: int
    values: tuple[float, ...] = ()


class Strategy(Protocol):
    """A way to choose. What it is shown, and what it was asked before, determine the answer.

    ``terms``: names of a decision's values. ``steals``: a pod that has nothing to do may take what waits for another.
    """

    name: str
    seed: int
    terms: tuple[str, ...]
    steals: bool

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """A pod for ``step``; ``allowed``: of these only (None: of all). Steps that are ready together come in rank order."""

    def cost(self, step: int, pod: int, look: Outlook, finish: float, missing: int) -> float:
        """What it costs that the step ends on the pod at ``finish``, after ``missing`` bytes came: the least is best."""


class _Base:
    """What strategies share: their seed, and that nobody steals."""

    name = ""
    terms: tuple[str, ...] = ()
    steals = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def cost(self, step: int, pod: int, look: Outlook, finish: float, missing: int) -> float:
        """See Strategy."""
        return finish


class Random(_Base):
    """Any pod, each as likely. Drawn from the seed and the step's number, so that no decision depends on an earlier one."""

    name = "random"
    terms: tuple[str, ...] = ("drawn",)

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """The draw is among the pods that there are: who is not allowed at a second try is not drawn again."""
        pods = _allowed(look, allowed)
        if not pods:
            return Decision(step, -1)
        drawn = mixed(step, self.seed) % len(pods)
        return Decision(step, pods[drawn], (float(drawn),))


class RoundRobin(_Base):
    """One pod after the other, by their numbers."""

    name = "round-robin"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._last = -1

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """The next pod behind the last one chosen; behind the end, the first."""
        pods = _allowed(look, allowed)
        if not pods:
            return Decision(step, -1)
        self._last = next((pod for pod in pods if pod > self._last), pods[0])
        return Decision(step, self._last)


class LeastLoaded(_Base):
    """The pod that has a slot free first, as far as is known. Ties: the lowest number."""

    name = "least-loaded"
    terms: tuple[str, ...] = ("slot_free",)

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """See the class."""
        if not _allowed(look, allowed):
            return Decision(step, -1)
        pod = look.least(now, allowed)
        return Decision(step, pod, (look.free(pod, now),))


class MaxLocality(_Base):
    """The pod that holds most of the input bytes, literally: however much it has to do already.

    Ties: whose slot is free first, then the lowest number. What nobody holds goes to the least loaded.
    """

    name = "max-locality"
    terms: tuple[str, ...] = ("missing_bytes", "slot_free")

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """See the class."""
        if not _allowed(look, allowed):
            return Decision(step, -1)
        held, total = _held(step, look, allowed)
        most = max(held.values(), default=0)
        if most:
            pod = min((pod for pod in held if held[pod] == most), key=lambda pod: (look.free(pod, now), pod))
        else:
            pod = look.least(now, allowed)
        return Decision(step, pod, (float(total - most), look.free(pod, now)))


class EarliestFinish(_Base):
    """The pod on which the step ends first: its slot, its link and its run counted; ties: fewer bytes, then the lowest number.

    Among all pods up to 64, else the eight that hold most and the least loaded. HEFT without insertion (Topcuoglu, Hariri
    and Wu, 2002), decided when a step is ready.
    """

    name = "earliest-finish"
    terms: tuple[str, ...] = ("finish", "missing_bytes")

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """See the class."""
        pods: Collection[int] = _allowed(look, allowed)
        if not pods:
            return Decision(step, -1)
        held, total = _held(step, look, allowed)
        if len(pods) > PODS_COMPARED_MAX:
            near = heapq.nlargest(_HOLDERS_COMPARED, held, key=lambda pod: (held[pod], -pod))
            pods = sorted({*near, look.least(now, allowed)})
        finish = look.finish
        best = min([(finish(step, pod, now, missing := total - held.get(pod, 0)), missing, pod) for pod in pods])
        return Decision(step, best[2], (best[0], float(best[1])))


class DaskLike(_Base):
    """As dask.distributed's ``decide_worker`` (its documentation, "Scheduling policies"): only pods that hold an input are asked
    (if nobody does, the least loaded); the one that starts it first by occupancy per slot and bytes to move. Ties: the fewest
    seconds of steps ever given, then the lowest number.
    """

    name = "dask-like"
    terms: tuple[str, ...] = ("start", "missing_bytes")

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """See the class."""
        if not _allowed(look, allowed):
            return Decision(step, -1)
        held, total = _held(step, look, allowed)
        if not held:
            pod = look.least(now, allowed)
            return Decision(step, pod, (look.free(pod, now), float(total)))
        best = min((look.occupancy(pod, now) + (total - held[pod]) / look.bandwidth[pod], look.given[pod], pod) for pod in held)
        return Decision(step, best[2], (best[0], float(total - held[best[2]])))


class Weights(msgspec.Struct, frozen=True):
    """What ``locality`` weighs. ``slack``: up to this part of the projected build time delay costs nothing (0.9: faster, 1.1:
    fewer bytes). ``ties``: of two delays that cost nothing, so much of the earlier end counts. ``price``: a byte costs so many
    times its time on the wire; ``relative``: and so many mean step times a mean step's input. ``lookahead``: how much it counts
    that other inputs of the readers of what the step makes lie there; what cannot save the part ``negligible`` of a mean step is
    not looked at. The rest bounds the work for a decision.
    """

    slack: float = 1.0
    ties: float = 0.05
    price: float = 2.0
    relative: float = 0.1
    lookahead: float = 1.0
    negligible: float = 0.001
    holders: int = 4
    readers: int = 4
    siblings: int = 16


WEIGHTS = Weights()


class Locality(_Base):
    """Delay costs nothing until it would push the projected end of the whole build; up to there only bytes count, beyond there
    it is the earliest finish plus a price for each byte.

    Compared are the pods that hold most, the least loaded, and the one to which the readers of the step's outputs are drawn. The
    projected end only grows: by the longest chain, the work that is left, and the best finish of each step that
    was placed; by the best, not by the chosen one, or each bargain would make room for the next.
    """

    name = "locality"
    terms: tuple[str, ...] = ("delay", "bytes_price", "finish", "missing_bytes", "projected_end")
    steals = True

    def __init__(self, seed: int = 0, weights: Weights = WEIGHTS) -> None:
        super().__init__(seed)
        self.weights = weights
        #: When the whole build is expected to end, seconds; only grows.
        self.end = 0.0

    def choose(self, step: int, look: Outlook, now: float, allowed: Collection[int] | None = None) -> Decision:
        """See the class."""
        held, total, wide = _near(step, look)
        pull = self._pull(step, look)
        pods = self._candidates(step, held, pull, look, now, allowed)
        if not pods:
            return Decision(step, -1)
        # As Outlook.finish for each pod, but without its calls: this loop is most of what a decision costs.
        estimate, bandwidth, link, free_at, stale = look.estimate[step], look.bandwidth, look.link, look.free_at, look.stale
        egress = look.egress
        found = []
        for pod in pods:
            missing = total - held[pod] if pod in held else total
            if wide:
                missing -= sum([look.size[file] for file in wide if pod in look.where[file]])
            if stale[pod]:
                look.project(pod, now)
            begin = free_at[pod]
            ready = link[pod]
            if egress or (not missing and ready > now):
                ready = look.arrival(step, pod, now, missing)
            elif missing:
                ready = (ready if ready > now else now) + missing / bandwidth[pod]
            if ready > begin:
                begin = ready
            found.append(((begin if begin > now else now) + estimate, missing, pod))
        tail = look.rank[step] - estimate
        end = self._project(min(found)[0] + tail, look, now)
        weights = self.weights
        slack, ties, price = weights.slack * end - tail, weights.ties, self.price(look)
        least: tuple[float, int, int, float] | None = None
        for finish, missing, pod in found:
            cost = (finish if finish > slack else slack) + ties * finish + price * missing
            if pull and pod in pull:
                cost -= weights.lookahead / bandwidth[pod] * pull[pod]
            if least is None or cost < least[0] or (cost == least[0] and (missing, pod) < least[1:3]):
                least = (cost, missing, pod, finish)
        assert least is not None
        _, missing, pod, finish = least
        delay = (finish - slack if finish > slack else 0.0) + ties * finish
        return Decision(step, pod, (delay, price * missing, finish, float(missing), end))

    def cost(self, step: int, pod: int, look: Outlook, finish: float, missing: int) -> float:
        """See Strategy."""
        slack = self.weights.slack * self.end - look.rank[step] + look.estimate[step]
        return max(finish, slack) + self.weights.ties * finish + self.price(look) * missing

    def price(self, look: Outlook) -> float:
        """Seconds that a byte is worth."""
        weights, mean = self.weights, look.bytes_mean
        return weights.price / look.bandwidth_mean + (weights.relative * look.seconds_mean / mean if mean else 0.0)

    def _project(self, best: float, look: Outlook, now: float) -> float:
        left = now + look.left(now) / (look.slots_total or 1)
        if best < left:
            best = left
        if best < look.critical:
            best = look.critical
        if best > self.end:
            self.end = best
        return self.end

    def _candidates(
        self, step: int, held: dict[int, int], pull: dict[int, float], look: Outlook, now: float, allowed: Collection[int] | None
    ) -> list[int]:
        alive, holders = look.alive, self.weights.holders
        if allowed is not None:
            alive = [pod for pod in alive if pod in allowed]
            held = {pod: there for pod, there in held.items() if pod in allowed}
            pull = {pod: saved for pod, saved in pull.items() if pod in allowed}
        if not alive:
            return []
        pods = list(held) if len(held) <= holders else sorted(held, key=held.__getitem__, reverse=True)[:holders]
        pods.append(look.least(now, allowed))
        if pull:
            pods.append(max(pull, key=pull.__getitem__))
        if len(look.alive) == len(look.pods):
            return pods
        slots = look.slots
        return [pod for pod in pods if slots[pod] > 0]

    def _pull(self, step: int, look: Outlook) -> dict[int, float]:
        """Bytes, by pod, that need not move later if the step's outputs are made where their readers' other inputs lie."""
        weights, size = self.weights, look.size
        pull: dict[int, float] = {}
        if not weights.lookahead:
            return pull
        least = weights.negligible * look.seconds_mean * look.bandwidth_mean
        for file in look.outputs[step]:
            length = size[file]
            if length > least:
                readers = look.readers[file]
                for reader in readers[: weights.readers]:
                    near = self._siblings(reader, file, look)
                    if near:
                        most = max(near.values())
                        if most > least:
                            share = (length if length < most else most) / len(readers) / most
                            for pod, there in near.items():
                                pull[pod] = pull.get(pod, 0.0) + share * there
        return pull

    def _siblings(self, reader: int, file: int, look: Outlook) -> dict[int, int]:
        """Bytes of a reader's other inputs by the pod that has them, or will make them."""
        size, where, maker, placed = look.size, look.where, look.maker, look.placed
        near: dict[int, int] = {}
        for other in look.inputs[reader][: self.weights.siblings]:
            if other != file:
                holders = where[other]
                if holders:
                    if len(holders) <= _CROWD:
                        for pod in holders:
                            near[pod] = near.get(pod, 0) + size[other]
                elif (made := maker[other]) >= 0 and (pod := placed[made]) >= 0:
                    near[pod] = near.get(pod, 0) + size[other]
        return near


def _near(step: int, look: Outlook, crowd: int = _CROWD) -> tuple[dict[int, int], int, list[int]]:
    """Input bytes by the pods that hold some, all input bytes, and the files that more than ``crowd`` hold: not looked at."""
    size, where = look.size, look.where
    held: dict[int, int] = {}
    total, wide = 0, []
    for file in look.inputs[step]:
        length = size[file]
        total += length
        holders = where[file]
        if len(holders) > crowd:
            wide.append(file)
        else:
            for pod in holders:
                if pod in held:
                    held[pod] += length
                else:
                    held[pod] = length
    return held, total, wide


class Factory(Protocol):
    """Makes a strategy in its first state."""

    def __call__(self, seed: int = 0) -> Strategy:
        """``seed``: for all that the strategy draws."""


#: All strategies by name.
STRATEGIES: dict[str, Factory] = {
    one.name: one for one in (Random, RoundRobin, LeastLoaded, MaxLocality, EarliestFinish, DaskLike, Locality)
}
DEFAULT_STRATEGY = Locality.name


def mixed(number: int, seed: int) -> int:
    """A number of 64 bits that looks drawn: splitmix64 (Steele, Lea and Flood, 2014)."""
    value = (number * 0x9E3779B97F4A7C15 + seed * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)


def _allowed(look: Outlook, allowed: Collection[int] | None) -> Sequence[int]:
    return look.alive if allowed is None else [pod for pod in look.alive if pod in allowed]


def _held(step: int, look: Outlook, allowed: Collection[int] | None) -> tuple[dict[int, int], int]:
    """Input bytes by the pods that hold some and may get the step, and all input bytes."""
    slots = look.slots
    held, total, _ = _near(step, look, crowd=len(slots))
    return {pod: length for pod, length in held.items() if slots[pod] > 0 and (allowed is None or pod in allowed)}, total
