"""How messages become bytes: versioned structs, JSON on the wire.

Knows no message, no connection and no signature: those come from messages, questions and membership, bus, signing.
"""

from functools import cache
from typing import Any, TypeVar

import msgspec

from cpods.errors import Unavailable

#: Version of all messages. A reader takes its own only: a federation is updated together.
VERSION = 1

#: A message longer than this goes through the store instead: see messages.Detour.
MESSAGE_BYTES_MAX = 512 << 10

Kind = TypeVar("Kind", bound="Wire")


class BadMessage(Unavailable):
    """Bytes that are no message, or one of another version. The receiver says so and goes on."""


class Wire(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind"):
    """What all messages share. Durations are seconds: the clocks of two machines need not agree."""


class _Envelope(msgspec.Struct, frozen=True):
    version: int
    message: msgspec.Raw


_envelopes = msgspec.json.Decoder(_Envelope)
_encoder = msgspec.json.Encoder(order="deterministic")


def encode(message: Wire) -> bytes:
    """The message as it travels; equal messages give equal bytes. Raises BadMessage for a name that is not UTF-8."""
    try:
        return _encoder.encode({"version": VERSION, "message": message})
    except UnicodeEncodeError as error:
        raise BadMessage(f"{error.object!r} is not UTF-8 and cannot be sent to another pod; rename it") from error


def decode(data: bytes, *kinds: type[Kind]) -> Kind:
    """The message in ``data``, which is one of ``kinds``. Raises BadMessage for another version or anything else."""
    try:
        envelope = _envelopes.decode(data)
        if envelope.version != VERSION:
            raise BadMessage(
                f"a message of version {envelope.version} came, this cpods reads version {VERSION}; run one release on all pods"
            )
        message: Kind = _decoder(kinds).decode(envelope.message)
        return message
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(f"something that is no message of cpods came: {error}") from error


@cache
def _decoder(kinds: tuple[type[Wire], ...]) -> "msgspec.json.Decoder[Any]":
    union: Any = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return msgspec.json.Decoder(union)
