"""Who logs in where on a NATS server, and what the errors of that mean, each in one sentence.

Knows no connection: only its settings and its errors.
"""

import ssl
from typing import Any, NamedTuple

from nats import errors

from cpods.errors import Unavailable

#: Settings of a connection that is to last; seconds.
RECONNECT_WAIT = 0.25
PING_INTERVAL = 5
PINGS_MISSING_MAX = 2
#: What may wait to be sent while there is no connection; beyond that publishing fails.
OUTBOUND_BYTES_MAX = 2 << 20
_REFUSED = "authorization violation"


class Disconnected(Unavailable):
    """The connection to the broker is down, or broke while an answer was waited for: then nobody knows whether it arrived."""


class Login(NamedTuple):
    """How to connect. ``context``: for ``tls://``; ``first``: TLS before anything else, as our own broker wants it.

    ``seed``: of an NKey; ``credentials``: path of a .creds file instead. ``who``, ``federation``: for sentences.
    """

    url: str
    who: str
    federation: str
    inbox: str
    context: ssl.SSLContext | None = None
    first: bool = False
    seed: str = ""
    credentials: str = ""

    def options(self, timeout: float) -> dict[str, Any]:
        """Settings of the client for a first connection, which fails at once if it is refused."""
        options: dict[str, Any] = {
            "servers": [self.url],
            "name": self.who,
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "connect_timeout": timeout,
            "reconnect_time_wait": RECONNECT_WAIT,
            "ping_interval": PING_INTERVAL,
            "max_outstanding_pings": PINGS_MISSING_MAX,
            "pending_size": OUTBOUND_BYTES_MAX,
            "inbox_prefix": self.inbox,
        }
        if self.context is not None and self.url.startswith("tls://"):
            options |= {"tls": self.context, "tls_handshake_first": self.first}
        if self.credentials:
            options["user_credentials"] = self.credentials
        elif self.seed:
            options["nkeys_seed_str"] = self.seed
        return options

    def revoked(self) -> str:
        """The sentence for a connection that was good and is refused now."""
        return f"revoked: the broker of {self.federation} refuses the key of {self.who}, who is a member no longer"

    def sentence(self, error: Exception, lately: Exception | None = None) -> Unavailable:
        """What an error of the client means. ``lately``: what it told before; of a failed attempt to connect only that says why."""
        if isinstance(error, Unavailable):
            return error
        where = f"the broker of {self.federation} at {self.url}"
        cause = lately if isinstance(error, errors.NoServersError) and lately else error
        if is_refusal(cause):
            return Unavailable(f"{where} refuses the key of {self.who}: it was revoked, or never was a member's")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Unavailable(f"what answers at {self.url} has a certificate that is not of {self.federation}: {cause.verify_message}")
        if isinstance(cause, ssl.SSLError):
            return Unavailable(f"what answers at {self.url} does not speak TLS as {where} does: {cause.reason}")
        if isinstance(cause, TimeoutError | errors.TimeoutError):
            return Unavailable(f"{where} does not answer in time")
        if isinstance(cause, OSError):
            return Unavailable(f"{where} cannot be reached: {cause.strerror or cause}; does it run (`cpods federation start`)?")
        return Unavailable(f"{where}: {cause}")


def is_refusal(error: Exception) -> bool:
    """Whether the server does not know the key."""
    return isinstance(error, errors.AuthorizationError) or _REFUSED in str(error).lower()
