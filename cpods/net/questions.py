"""What members ask each other besides steps: how a pod is, what it holds, what it owns; and what is told to all.

Knows no connection and no signature. Each question is answered with the struct that its docstring names.
"""

from collections.abc import Mapping

from cpods.ids import FilePath
from cpods.model import Artefact, Result, Solution, Step
from cpods.net.messages import Owned
from cpods.net.wire import Wire


class PodStatus(Wire, frozen=True, tag="status"):
    """How a pod is, told to all every few seconds and when something changes. ``sent_ns``: its wall clock.

    ``state``: ready, draining or stopped. ``load``: the machine's load average over one minute. ``sftp``: (host, port).
    ``tools``: (program, first line of its version). ``held_bytes``, ``held_objects``: what its store holds.
    """

    pod: str
    sent_ns: int
    state: str
    slots: int
    free_slots: int
    sftp: tuple[str, int]
    chefs: tuple[str, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    load: float = 0.0
    disk_free_bytes: int = 0
    held_bytes: int = 0
    held_objects: int = 0
    algorithm: str = "xxh3"
    version: str = ""


class AskStatus(Wire, frozen=True, tag="ask-status"):
    """Tell how you are. Answer: PodStatus."""


class AskFits(Wire, frozen=True, tag="ask-fits"):
    """Which fingerprint do your tools have for each of these steps? Answer: Fits."""

    steps: tuple[Step, ...]


class Fits(Wire, frozen=True, tag="fits"):
    """Fingerprints in the order of the steps; '' where a program is missing."""

    fingerprints: tuple[str, ...]


class AskHeld(Wire, frozen=True, tag="ask-held"):
    """Which of these digests do you hold? All of them, if ``digests`` is None, in pages behind ``after``. Answer: Held."""

    digests: tuple[str, ...] | None = None
    after: str = ""


class Held(Wire, frozen=True, tag="held"):
    """Digest -> bytes. ``next``: where to ask on, '' at the end."""

    artefacts: Mapping[str, int]
    next: str = ""


class Fetch(Wire, frozen=True, tag="fetch"):
    """Pull these artefacts, each from the holders given, and keep them (``pin``: never evict). Answer: Fetched."""

    artefacts: tuple[Artefact, ...]
    holders: Mapping[str, tuple[str, ...]]
    sftp: Mapping[str, tuple[str, int]] = {}
    pin: bool = False


class Fetched(Wire, frozen=True, tag="fetched"):
    """``bytes`` moved, by holder; ``failed``: digest -> reason."""

    bytes: Mapping[str, int]
    failed: Mapping[str, str] = {}


class AskOwned(Wire, frozen=True, tag="ask-owned"):
    """Which paths do you own, of ``project`` or ('') of all? Answer: OwnedPaths."""

    project: str = ""


class OwnedPaths(Wire, frozen=True, tag="owned"):
    """By project."""

    projects: Mapping[str, tuple[Owned, ...]]


class Own(Wire, frozen=True, tag="own"):
    """You own these paths from now on (the artefacts are in your store). Answer: Okay."""

    project: str
    paths: tuple[Owned, ...]


class Disown(Wire, frozen=True, tag="disown"):
    """You do not own these paths any more, if your epoch is not higher (path -> epoch). Answer: Okay."""

    project: str
    paths: Mapping[FilePath, int]


class Resume(Wire, frozen=True, tag="resume"):
    """A MajorDomo starts to build ``project``: say what runs for it, and send what is done again. Answer: Resumed."""

    project: str
    majordomo: str


class Resumed(Wire, frozen=True, tag="resumed"):
    """Ids that run or wait here; ``done``: ids whose results are on their way. ``owned``: as in OwnedPaths."""

    running: tuple[str, ...]
    done: tuple[str, ...]
    owned: tuple[Owned, ...] = ()


class Drain(Wire, frozen=True, tag="drain"):
    """Take no more steps (or, ``off``, take them again). Answer: Okay."""

    off: bool = False


class Stop(Wire, frozen=True, tag="stop"):
    """End: running steps are given up, results not yet acknowledged are kept for the next start. Answer: Okay."""


class Forget(Wire, frozen=True, tag="forget"):
    """Somebody got other bytes from you for these digests: look at your copies. Answer: Okay."""

    digests: tuple[str, ...]


class Okay(Wire, frozen=True, tag="ok"):
    """It is done; or, ``refused`` not empty, it is not, and why."""

    refused: str = ""


class AskResults(Wire, frozen=True, tag="ask-results"):
    """To the steward: what is stored under these static keys of steps and of knots? Answer: Results."""

    steps: tuple[str, ...] = ()
    knots: tuple[str, ...] = ()


class Results(Wire, frozen=True, tag="results"):
    """Results and solutions; as an answer from the steward, or sent to it to be kept (then answered with Okay)."""

    results: tuple[Result, ...] = ()
    solutions: tuple[Solution, ...] = ()


class AskPods(Wire, frozen=True, tag="ask-pods"):
    """To the steward: the last status of each pod. Answer: Pods."""


class Pods(Wire, frozen=True, tag="pods"):
    """Last statuses, and how many seconds ago each came (by the steward's clock)."""

    statuses: tuple[PodStatus, ...]
    ages: tuple[float, ...]


class Happened(Wire, frozen=True, tag="event"):
    """Something that whoever looks on may want to know. ``what``: started, ran, cached, failed, verdict, joined, lost, …"""

    what: str
    project: str = ""
    step: str = ""
    pod: str = ""
    text: str = ""
