"""The roster: who is a member of a federation, by which keys, signed by its founder.

Knows no connection and no file.

As bytes it is a JSON object ``{"signature": hex, "roster": {...}}``; the signature is the founder's NKey's (module nkeypair,
purpose ``cpods roster 1``) over the bytes of the inner object exactly as they stand there.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from functools import cached_property

import msgspec

from cpods.errors import UsageError
from cpods.net import nkeypair
from cpods.net.nkeypair import Keypair
from cpods.net.subjects import token
from cpods.net.wire import BadMessage

FOUNDER, MAJORDOMO, POD = "founder", "majordomo", "pod"
ROLES = (FOUNDER, MAJORDOMO, POD)

#: Who may tell a pod what to do.
COMMANDERS = (FOUNDER, MAJORDOMO)

_PURPOSE = b"cpods roster 1"
_SSH_PUBLIC = re.compile(r"ssh-ed25519 ([A-Za-z0-9+/]+={0,2})\Z")
#: An Ed25519 key in SSH's form: length and name of the algorithm, length of the key; 32 bytes of key follow.
_SSH_HEAD = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"
_SSH_BYTES = len(_SSH_HEAD) + 32


def check_ssh_public(text: str) -> str:
    """``text``, if it is exactly one Ed25519 key (``ssh-ed25519 AAAA...``, no comment). Raises ValueError.

    Such lines get into files of authorised keys, where a line break or an option would open more than one door.
    """
    match = _SSH_PUBLIC.match(text)
    try:
        data = base64.b64decode(match[1], validate=True) if match else b""
    except binascii.Error:
        data = b""
    if not data.startswith(_SSH_HEAD) or len(data) != _SSH_BYTES:
        raise ValueError(f"{text[:60]!r} is not an SSH key as it should be: ssh-ed25519 and the key, without a comment")
    return text


class Member(msgspec.Struct, frozen=True):
    """Who it is: role (founder, majordomo, pod), public NKey, SSH key to log in with, SSH key as a host.

    Raises ValueError for a name or key that is none.
    """

    name: str
    role: str
    nkey: str
    ssh_public: str
    host_public: str
    revoked: bool = False

    def __post_init__(self) -> None:
        """Checks every field: they come from others, and get into configurations and key files."""
        token(self.name)
        if self.role not in ROLES:
            raise ValueError(f"{self.role!r} is not a role; there are {', '.join(ROLES)}")
        nkeypair.public_bytes(self.nkey)
        check_ssh_public(self.ssh_public)
        check_ssh_public(self.host_public)


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    signature: str
    roster: msgspec.Raw


class Roster(msgspec.Struct, frozen=True, dict=True):
    """All members by name, revoked ones included. Never changed in place: a change makes a new one, one ``version`` higher.

    Raises ValueError if two members share a key.
    """

    federation: str
    version: int = 0
    members: Mapping[str, Member] = {}

    def __post_init__(self) -> None:
        """Checks what one member alone does not show."""
        token(self.federation)
        if any(name != member.name for name, member in self.members.items()):
            raise ValueError("a member stands under another's name in the roster")
        keys = [key for member in self.members.values() for key in (member.nkey, member.ssh_public)]
        if len(set(keys)) != len(keys):
            raise ValueError("two members of the roster have the same key")

    def active(self) -> dict[str, Member]:
        """Those who are not revoked, by name."""
        return {name: member for name, member in self.members.items() if not member.revoked}

    def by_nkey(self, nkey: str) -> Member | None:
        """Whose public NKey this is, revoked or not."""
        return self._by_nkey.get(nkey)

    @cached_property
    def _by_nkey(self) -> dict[str, Member]:
        return {member.nkey: member for member in self.members.values()}

    def with_member(self, member: Member) -> "Roster":
        """The next roster, with ``member`` instead of one of that name. Raises UsageError if that one is present."""
        present = self.members.get(member.name)
        if present is not None and not present.revoked:
            raise UsageError(f"{member.name} is a member of {self.federation} already; `cpods federation revoke {member.name}` first")
        try:
            return Roster(self.federation, self.version + 1, {**self.members, member.name: member})
        except ValueError as error:
            raise UsageError(f"{member.name} cannot become a member: {error}") from error

    def without(self, name: str) -> "Roster":
        """The next roster, in which ``name`` is revoked. Raises UsageError if there is no such member, or for the founder."""
        member = self.members.get(name)
        if member is None or member.revoked:
            known = ", ".join(sorted(self.active())) or "nobody"
            raise UsageError(f"{name} is not a member of {self.federation}; members are {known}")
        if member.role == FOUNDER:
            raise UsageError(f"{name} founded {self.federation} and cannot be revoked: its key signs the roster")
        gone = msgspec.structs.replace(member, revoked=True)
        return Roster(self.federation, self.version + 1, {**self.members, name: gone})

    def newest(self, other: "Roster") -> "Roster":
        """The one with the higher version; this one if they are equal. Raises BadMessage if ``other`` is another federation's."""
        if other.federation != self.federation:
            raise BadMessage(f"a roster of federation {other.federation} came, this is {self.federation}")
        return other if other.version > self.version else self

    def encode(self, founder: Keypair) -> bytes:
        """The signed bytes; equal rosters give equal bytes."""
        content = msgspec.json.encode(self, order="deterministic")
        return _envelope(founder.sign(_PURPOSE, content), content)

    @classmethod
    def decode(cls, data: bytes, founder_nkey: str) -> "Roster":
        """The roster in ``data``. Raises BadMessage if it is none, or not signed by ``founder_nkey``."""
        try:
            envelope = msgspec.json.decode(data, type=_Envelope)
            signature, content = bytes.fromhex(envelope.signature), bytes(envelope.roster)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise BadMessage(f"something that is no roster came: {error}") from error
        # There is one way to write it, so that no byte of it is outside of what was signed.
        if _envelope(signature, content) != data or not nkeypair.is_signed(founder_nkey, _PURPOSE, content, signature):
            raise BadMessage("a roster came that the founder of this federation did not sign")
        try:
            return msgspec.json.decode(content, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadMessage(f"the founder's roster cannot be read by this release of cpods: {error}") from error


def _envelope(signature: bytes, content: bytes) -> bytes:
    return msgspec.json.encode(_Envelope(signature.hex(), msgspec.Raw(content)))
