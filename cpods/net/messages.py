"""What a MajorDomo and the pods say to each other about steps: orders, leases, results.

Knows no connection and no signature: those wrap the bytes. Other talk is in questions and membership.
"""

from collections.abc import Mapping

import msgspec

from cpods.ids import FilePath
from cpods.model import Artefact
from cpods.net.wire import BadMessage, Wire
from cpods.orders import Cooked, Order

__all__ = [
    "Ack",
    "Acks",
    "BadMessage",
    "Cancel",
    "Detour",
    "Done",
    "Edited",
    "Input",
    "Lease",
    "Leases",
    "Listing",
    "LogChunk",
    "Owned",
    "Renewal",
    "StepDone",
    "StepRequest",
    "Steps",
]


class Input(msgspec.Struct, frozen=True, array_like=True):
    """A file of the project as a step is to see it: its digest and size, and whether it may be executed."""

    path: FilePath
    digest: str
    size: int
    executable: bool = False


class Listing(msgspec.Struct, frozen=True):
    """All source files of a project, with its folders: an artefact of its own, in msgpack, sent once per change."""

    files: tuple[Input, ...]
    folders: tuple[FilePath, ...] = ()


class StepRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Run this order. ``id`` is a function of what is asked, so that a restarted MajorDomo asks by the same one.

    What the step sees: the files of ``tree`` (a :class:`Listing`) with ``inputs`` on top, and the order's overlay over both.
    ``wanted``: of these the paths that must be there before it starts, None for all; the rest may be fetched when it turns
    out that the tool looked for it. ``holders``: pods by digest, best first, as indexes into ``Steps.pods``; a digest that
    is not named is held by the sender. ``epochs``: the owner's epoch of each output path, so that a late result
    cannot take a path that has moved on. ``fingerprint``: the tools that the pod must have, '' for any.
    ``executable``: digests of the overlay that may be executed. ``insignificant``: files of which other steps say that some
    lines do not count, with the regular expressions of these lines: readers see them through that filter.
    """

    id: str
    order: Order
    tree: Artefact
    inputs: tuple[Input, ...] = ()
    wanted: tuple[FilePath, ...] | None = None
    holders: Mapping[str, tuple[int, ...]] = {}
    epochs: Mapping[FilePath, int] = {}
    fingerprint: str = ""
    executable: tuple[str, ...] = ()
    insignificant: Mapping[FilePath, tuple[str, ...]] = {}


class Steps(Wire, frozen=True, tag="steps"):
    """Orders for one pod, sent as a request and answered with :class:`Leases`.

    ``project``: whose they are. ``majordomo``: the member to whom results go. ``sftp``: (host, port) where it serves its store.
    """

    project: str
    majordomo: str
    requests: tuple[StepRequest, ...]
    pods: tuple[str, ...] = ()
    sftp: tuple[str, int] = ("", 0)


class Detour(Wire, frozen=True, tag="detour"):
    """Instead of a message that is too long: it is this artefact, held by the sender who serves its store at ``sftp``."""

    artefact: Artefact
    majordomo: str
    sftp: tuple[str, int]


class Lease(msgspec.Struct, frozen=True, omit_defaults=True):
    """The pod runs it, or has it in its queue, for ``seconds`` unless renewed. ``refused``: it will not run there, and why."""

    id: str
    seconds: float = 0.0
    refused: str = ""


class Leases(Wire, frozen=True, tag="leases"):
    """The answer to :class:`Steps`, at once."""

    pod: str
    leases: tuple[Lease, ...]


class Renewal(Wire, frozen=True, tag="renewal"):
    """These steps still run; their leases hold for ``seconds`` from now."""

    pod: str
    ids: tuple[str, ...]
    seconds: float


class StepDone(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of an order. ``epochs`` as they were asked. ``fetched``: bytes that the pod had to pull for it, by holder.

    ``pulled``: (bytes, seconds) of all the pod's pulls of some size since the last end that it told: what its link gives.
    ``missing``: inputs that no holder delivered (digest -> reason); then nothing was run and ``cooked`` has no result.
    ``trouble``: the pod could not carry it out, and why; nothing is said about the step then. ``executable``: digests of
    outputs that may be executed. ``log``: what the tool said, its end if it was long.
    """

    id: str
    project: str
    cooked: Cooked
    epochs: Mapping[FilePath, int] = {}
    fetched: Mapping[str, int] = {}
    pulled: tuple[int, float] = (0, 0.0)
    missing: Mapping[str, str] = {}
    trouble: str = ""
    executable: tuple[str, ...] = ()
    log: str = ""


class Done(Wire, frozen=True, tag="done"):
    """Ends of orders, sent as a request, again and again until the MajorDomo answers with :class:`Acks`.

    One that is too long comes as a :class:`Detour` to the same subject, and is answered in the same way.
    """

    pod: str
    steps: tuple[StepDone, ...]


class Ack(msgspec.Struct, frozen=True, omit_defaults=True):
    """The MajorDomo has it for good. ``owned``: outputs whose paths the pod owns now, with their epochs."""

    id: str
    owned: Mapping[FilePath, int] = {}


class Acks(Wire, frozen=True, tag="acks"):
    """The answer to :class:`Done`. What is not named is to be sent again later."""

    acks: tuple[Ack, ...]


class Cancel(Wire, frozen=True, tag="cancel"):
    """Give these steps up; there will be no result. An unknown id is no error."""

    majordomo: str
    ids: tuple[str, ...]


class LogChunk(Wire, frozen=True, tag="log"):
    """What a running step's tool has said since the last one; bytes that are no UTF-8 are replaced."""

    id: str
    text: str


class Owned(msgspec.Struct, frozen=True, array_like=True):
    """A path of a project that a pod owns: epoch and digest as the MajorDomo gave it, and the digest that lies there now."""

    path: FilePath
    epoch: int
    digest: str
    now: str


class Edited(Wire, frozen=True, tag="edited"):
    """Paths that the pod owns do not hold any more what they should: somebody edited or damaged them there."""

    pod: str
    project: str
    paths: tuple[Owned, ...]
