"""NKeys: the Ed25519 keys of NATS, by which a member is known, and what signing with one means.

Knows no message, no member and no connection.

The text forms are those of NATS (base32 of a prefix, the 32 bytes of the key and a CRC-16): a seed starts with ``SU``, a
public key with ``U``. Ed25519 is RFC 8032, computed by libsodium through PyNaCl (27 us to sign 700 bytes and 62 us to verify,
where ``cryptography`` took 40 and 117 in the same run).
"""

import base64
import binascii
import secrets
from functools import lru_cache

import nkeys
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

SIGNATURE_BYTES = 64
_KEY_BYTES = 32
_CRC_BYTES = 2


class Keypair:
    """A member's secret key. ``public``: its public NKey, as text. Raises ValueError for a seed that is none of a user."""

    def __init__(self, seed: str) -> None:
        self._key = SigningKey(_seed_bytes(seed))
        self.public = public_text(bytes(self._key.verify_key))

    def sign(self, purpose: bytes, data: bytes) -> bytes:
        """64 bytes. ``purpose`` keeps what is signed for one use from being taken for another; the verifier names it too.

        What is signed is the byte 0xff, ``purpose``, a zero byte, ``data``. A broker lets each client sign a text of its
        choice (the nonce of NATS): no UTF-8 text starts with 0xff, so no broker gets a message signed that way.
        """
        return bytes(self._key.sign(_signed(purpose, data)).signature)


def new_seed() -> str:
    """The seed of a new user key, from the system's random source."""
    return bytes(nkeys.encode_seed(secrets.token_bytes(_KEY_BYTES), nkeys.PREFIX_BYTE_USER)).decode("ascii")


def is_signed(public: str, purpose: bytes, data: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is that of the owner of ``public`` for this. Raises ValueError if ``public`` is no public NKey."""
    key = _public_key(public)
    try:
        key.verify(_signed(purpose, data), signature)
    except (BadSignatureError, ValueError):  # ValueError: not as long as a signature is
        return False
    return True


def public_bytes(public: str) -> bytes:
    """The 32 bytes of a user's public NKey. Raises ValueError if the text is none."""
    content = _checked(public)
    if content is None or len(content) != 1 + _KEY_BYTES or content[0] != nkeys.PREFIX_BYTE_USER:
        raise ValueError(f"{public[:60]!r} is not a public NKey of a user (56 letters and digits, the first is U)")
    return content[1:]


@lru_cache(maxsize=4096)  # asked for with every message that comes
def public_text(raw: bytes) -> str:
    """The public NKey of the 32 bytes of a key."""
    content = bytes([nkeys.PREFIX_BYTE_USER]) + raw
    return base64.b32encode(content + nkeys.crc16_checksum(content)).decode("ascii")


@lru_cache(maxsize=4096)  # Parsing a key costs as much as a good part of verifying with it.
def _public_key(public: str) -> VerifyKey:
    return VerifyKey(public_bytes(public))


def _seed_bytes(seed: str) -> bytes:
    """The secret must not get into a message: it is not quoted."""
    content = _checked(seed)
    if content is not None:
        try:
            prefix, raw = nkeys.decode_seed(seed.encode("ascii"))
        except nkeys.NkeysError:
            prefix, raw = 0, b""
        if prefix == nkeys.PREFIX_BYTE_USER and len(raw) == _KEY_BYTES:
            return bytes(raw)
    raise ValueError("this is not the seed of a user's NKey (58 letters and digits, the first are SU)")


def _checked(text: str) -> bytes | None:
    """The bytes behind a text whose checksum is right, without the checksum."""
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return None
    content, checksum = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
    return content if nkeys.crc16_checksum(content) == checksum else None


def _signed(purpose: bytes, data: bytes) -> bytes:
    return b"\xff" + purpose + b"\0" + data
