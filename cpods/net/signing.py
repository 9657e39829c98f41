"""Sealed messages: whoever reads one knows which member said it, in which federation and to which subject.

Knows no connection, and of the payload only that it is bytes.

A sealed message, all of it binary:

====================  ==================================================================================
1 byte                version of the seal, 1
1 byte, n bytes       length and name of the federation (ASCII)
32 bytes              public key of the sender: the raw Ed25519 key behind its NKey
2 bytes, n bytes      length (big-endian) and text of the subject that it was sent to (UTF-8)
rest but 64 bytes     payload
64 bytes              Ed25519 signature (module nkeypair, purpose ``cpods seal 1``) over everything before
====================  ==================================================================================

Version, federation, sender, subject and payload are thus all signed. The receiver compares federation and subject with its
own and with that of the message as it came; the sender's name and role are what its roster says of the key, never what a
message says. Not signed are the reply subject (whoever answers checks that it lies in the sender's inbox) and the time: a
message sent again to the same subject opens again. What must not happen twice carries an id or an epoch of its own.
"""

from typing import NamedTuple

from cpods.net import nkeypair
from cpods.net.nkeypair import SIGNATURE_BYTES, Keypair
from cpods.net.roster import Member, Roster
from cpods.net.subjects import SUBJECT_CHARACTERS_MAX, token
from cpods.net.wire import BadMessage

#: Version of the seal. A reader takes its own only.
SEAL_VERSION = 1
_PURPOSE = b"cpods seal 1"
_KEY_BYTES = 32

#: What a seal adds to a payload at most, in bytes.
SEAL_BYTES_MAX = 1 + 1 + 64 + _KEY_BYTES + 2 + 4 * SUBJECT_CHARACTERS_MAX + SIGNATURE_BYTES


class Signer(Keypair):
    """A member who seals what it says. ``public``: its public NKey. Raises ValueError for a seed that is none."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._raw_public = nkeypair.public_bytes(self.public)

    def seal(self, federation: str, subject: str, payload: bytes) -> bytes:
        """``payload``, sealed for one subject of one federation. Raises ValueError for a name that is none."""
        body = b"".join((_head(federation), self._raw_public, _sized_subject(subject), payload))
        return body + self.sign(_PURPOSE, body)


def open_sealed(data: bytes, subject: str, federation: str, roster: Roster) -> tuple[str, bytes]:
    """(sender's name, payload) of a sealed message that came to ``subject``.

    Raises BadMessage, in one sentence: no sealed message, wrong federation, wrong subject, unknown or revoked member, wrong
    signature. The name is one of ``roster.active()``.
    """
    parts = _parts(data)
    if parts.federation != federation.encode("ascii"):
        raise BadMessage(f"a message of federation {parts.federation.decode('ascii', 'replace')!r} came on {subject}, this is {federation}")
    if parts.subject != subject.encode():
        raise BadMessage(f"a message for {parts.subject.decode('utf-8', 'replace')!r} came on {subject}: somebody sent it on")
    member = _member(parts.sender, subject, federation, roster)
    if not nkeypair.is_signed(member.nkey, _PURPOSE, data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]):
        raise BadMessage(f"a message on {subject} says that it is from {member.name}, but {member.name} did not sign it")
    return member.name, parts.payload


def _member(sender: bytes, subject: str, federation: str, roster: Roster) -> Member:
    nkey = nkeypair.public_text(sender)
    member = roster.by_nkey(nkey)
    if member is None:
        raise BadMessage(f"a message on {subject} is signed by {nkey}, who is not a member of {federation}")
    if member.revoked:
        raise BadMessage(f"a message on {subject} is from {member.name}, who was revoked from {federation}")
    return member


class _Parts(NamedTuple):
    federation: bytes
    sender: bytes
    subject: bytes
    payload: bytes


def _parts(data: bytes) -> _Parts:
    if not data or data[0] != SEAL_VERSION:
        version = f"seal version {data[0]}" if data else "no bytes"
        raise BadMessage(f"something that is no sealed message came ({version}, expected {SEAL_VERSION}); run one release on all pods")
    end = len(data) - SIGNATURE_BYTES
    key = 2 + (data[1] if len(data) > 1 else 0)
    length = key + _KEY_BYTES
    subject = length + 2
    payload = subject + int.from_bytes(data[length:subject])
    if payload > end:
        raise BadMessage("a sealed message came that is cut off")
    return _Parts(data[2:key], data[key:length], data[subject:payload], data[payload:end])


def _head(federation: str) -> bytes:
    name = token(federation).encode("ascii")
    return bytes((SEAL_VERSION, len(name))) + name


def _sized_subject(subject: str) -> bytes:
    if not 0 < len(subject) <= SUBJECT_CHARACTERS_MAX:
        raise ValueError(f"not a subject: {subject!r}")
    text = subject.encode()
    return len(text).to_bytes(2) + text
