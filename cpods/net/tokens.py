"""Join tokens: the one line that a founder hands to whoever is to become a member.

Knows no connection, and not whether a token was used already: that is the steward's.

As text: ``cpods1.`` and, in base64url without padding, 4 bytes of SHA-256 and a zlib stream of a msgpack map (JoinToken).
Blanks and line breaks in between are passed over, since mail programs put some in. Whoever has the text may join once, as
that member: it is a secret until then.
"""

import base64
import binascii
import hashlib
import zlib

import msgspec

from cpods.errors import UsageError
from cpods.net import nkeypair
from cpods.net.identity import Federation
from cpods.net.nkeypair import Keypair
from cpods.net.roster import FOUNDER, ROLES
from cpods.net.subjects import token

_PREFIX = "cpods1."
_CHECK_BYTES = 4
#: Longest a token may be, packed and unpacked; with a chain of several authorities it is some thousand.
_BYTES_MAX = 64 << 10


class JoinToken(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An invitation: to be ``name`` in the role ``role``, until ``expires_s`` (seconds since the epoch, by the steward's clock).

    ``seed``: the one-time NKey with which to connect and to prove the invitation. ``founder``: the public NKey that signs the
    roster. ``broker``, ``ca_pem``, ``external``: as in identity.Federation. Raises ValueError for a field that cannot be.
    """

    federation: str
    name: str
    role: str
    broker: str
    founder: str
    ca_pem: str
    seed: str
    expires_s: int
    external: bool = False

    def __post_init__(self) -> None:
        """Checks what will be used before anybody has signed for it."""
        token(self.federation)
        token(self.name)
        if self.role not in ROLES or self.role == FOUNDER:
            raise ValueError(f"nobody can be invited as {self.role!r}")
        nkeypair.public_bytes(self.founder)
        Keypair(self.seed)

    def __repr__(self) -> str:
        """Without the secret: it may get into a log."""
        return f"<JoinToken for {self.name} of {self.federation}, {self.role}, {self.invited}>"

    @property
    def invited(self) -> str:
        """The public NKey of the invitation: what steward and broker know of it."""
        return Keypair(self.seed).public

    def to_federation(self) -> Federation:
        """What a member of this federation has to know to connect."""
        return Federation(self.federation, self.broker, self.founder, self.ca_pem, self.external)


def new_token(federation: Federation, name: str, role: str, expires_s: int) -> JoinToken:
    """An invitation with a key of its own. Raises UsageError for a name or role that cannot be."""
    try:
        return JoinToken(
            federation=federation.name,
            name=name,
            role=role,
            broker=federation.broker,
            founder=federation.founder,
            ca_pem=federation.ca_pem,
            seed=nkeypair.new_seed(),
            expires_s=expires_s,
            external=federation.external,
        )
    except ValueError as error:
        raise UsageError(f"{name} cannot be invited: {error}") from error


def encode(join: JoinToken) -> str:
    """The token as one line."""
    content = zlib.compress(msgspec.msgpack.encode(join), 9)
    return _PREFIX + _base64(_check(content) + content)


def decode(text: str) -> JoinToken:
    """The token in ``text``. Raises UsageError, in one sentence, if it is none, cut off or mistyped. Quotes none of it."""
    compact = "".join(text.split())
    if not compact.startswith(_PREFIX):
        raise UsageError(f"this is not a join token: one starts with {_PREFIX}")
    content = _content(compact.removeprefix(_PREFIX))
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(content, _BYTES_MAX)
        if not unpacker.eof or unpacker.unused_data:
            raise UsageError("this join token is longer than any can be")
        return msgspec.msgpack.decode(data, type=JoinToken)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError("this join token is of another release of cpods; ask the founder for a new one") from error


def _content(packed: str) -> bytes:
    broken = UsageError("this join token is cut off or mistyped; copy the whole line")
    if len(packed) > 2 * _BYTES_MAX:
        raise broken
    try:
        data = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise broken from error
    check, content = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    if _check(content) != check or _base64(data) != packed:
        raise broken
    return content


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _check(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_CHECK_BYTES]
