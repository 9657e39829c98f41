"""The messages between MajorDomo and pods: versioned structs, JSON on the wire.

Knows no connection and no signature: those wrap the bytes.
"""

import msgspec

from cpods.errors import Unavailable
from cpods.ids import FilePath
from cpods.orders import Cooked, Order

#: Version of everything below. A reader takes its own only: a federation is updated together.
VERSION = 1


class BadMessage(Unavailable):
    """Bytes that are no message, or one of another version. The receiver says so and goes on."""


class _Message(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    """What all messages share. Times are nanoseconds of the wall clock since the epoch."""


class Input(msgspec.Struct, frozen=True, array_like=True):
    """A file that a step needs: the pod makes ``path`` hold the artefact ``digest`` of ``size`` bytes before it starts."""

    path: FilePath
    digest: str
    size: int


class StepRequest(_Message, frozen=True, tag="step"):
    """Run this order. ``id`` names the dispatch: sent again, it gets the lease that already runs.

    ``epochs``: the owner's epoch of each output path, so that a late result cannot take a path that has moved on.
    ``holders``: pods that hold a digest, best first. After ``expiry_ns`` the request is void.
    """

    id: str
    federation: str
    sender: str
    epoch: int
    expiry_ns: int
    order: Order
    inputs: tuple[Input, ...] = ()
    holders: dict[str, tuple[str, ...]] = {}
    epochs: dict[FilePath, int] = {}


class Lease(_Message, frozen=True, tag="lease"):
    """The pod's answer to a request: it runs, or waits in its queue, until ``expiry_ns`` unless renewed.

    ``refused`` not empty: it will not run there, and why.
    """

    id: str
    pod: str
    epoch: int
    expiry_ns: int
    refused: str = ""


class Renewal(_Message, frozen=True, tag="renewal"):
    """The step still runs; the lease holds until ``expiry_ns``."""

    id: str
    pod: str
    epoch: int
    expiry_ns: int


class StepDone(_Message, frozen=True, tag="done"):
    """The end of an order, with the artefacts that ``pod`` now holds. Sent again until it is acknowledged."""

    id: str
    pod: str
    epoch: int
    cooked: Cooked


class Cancel(_Message, frozen=True, tag="cancel"):
    """Give the step up; there will be no result. A cancel of an unknown ``id`` is no error."""

    id: str
    federation: str
    sender: str
    epoch: int
    expiry_ns: int


class PodStatus(_Message, frozen=True, tag="status"):
    """How a pod is. ``free_slots`` counts steps that it could start now; ``held_bytes`` is the size of its store."""

    pod: str
    federation: str
    sent_ns: int
    slots: int
    free_slots: int
    chefs: tuple[str, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    held_bytes: int = 0


Message = StepRequest | Lease | Renewal | StepDone | Cancel | PodStatus


class _Envelope(msgspec.Struct, frozen=True):
    version: int
    message: msgspec.Raw


_envelopes = msgspec.json.Decoder(_Envelope)
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_encoder = msgspec.json.Encoder(order="deterministic")


def encode(message: Message) -> bytes:
    """The message as it travels; equal messages give equal bytes. Raises BadMessage for a name that is not UTF-8."""
    try:
        return _encoder.encode({"version": VERSION, "message": message})
    except UnicodeEncodeError as error:
        raise BadMessage(f"{error.object!r} is not UTF-8 and cannot be sent to another pod; rename it") from error


def decode(data: bytes) -> Message:
    """The message in ``data``. Raises BadMessage for another version or anything else that is not one of ours."""
    try:
        envelope = _envelopes.decode(data)
        if envelope.version != VERSION:
            raise BadMessage(
                f"a message of version {envelope.version} came, this cpods reads version {VERSION}; run one release on all pods"
            )
        return _decoder.decode(envelope.message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(f"something that is no message of cpods came: {error}") from error
