"""The configuration of a federation's own nats-server: TLS, one user per member with its permissions, JetStream.

Knows no process; a pure function from members to text. JSON is a subset of what nats-server reads.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from cpods.net import rights
from cpods.net.roster import Member

MAX_PAYLOAD_BYTES = 1 << 20


class Place(NamedTuple):
    """Where the broker listens, and its files."""

    host: str
    port: int
    certificate: str
    key: str
    data: str
    log: str
    pid: str


def render(federation: str, place: Place, members: Iterable[Member], guests: Sequence[str] = ()) -> bytes:
    """The configuration. Revoked members get no line; ``guests``: one-time public NKeys of open invitations."""
    present = [one for one in members if not one.revoked]
    askers = {role: _askers(role, present, guests) for role in ("founder", "majordomo", "pod")}
    users = [{"nkey": one.nkey, "permissions": rights.permissions(federation, one.name, one.role, askers[one.role])} for one in present]
    users += [{"nkey": nkey, "permissions": rights.guest_permissions(federation, nkey)} for nkey in guests]
    return json.dumps(_server(federation, place) | {"authorization": {"timeout": 5, "users": users}}, indent=1).encode()


def _askers(role: str, members: Iterable[Member], guests: Sequence[str]) -> list[str]:
    """Whose questions a member of this role answers. Named, because a reload makes the server forget whom it let answer."""
    names = [one.name for one in members if role != "pod" or one.role in rights.COMMANDING]
    return [*names, *(guests if role == "founder" else ())]


def server_name(federation: str) -> str:
    """How the server calls itself."""
    return f"cpods-{federation}"


def _server(federation: str, place: Place) -> dict[str, Any]:
    return {
        "server_name": server_name(federation),
        "host": place.host,
        "port": place.port,
        # TLS comes before anything else: nobody between can make a client go on without it.
        "tls": {"cert_file": place.certificate, "key_file": place.key, "min_version": "1.3", "handshake_first": True, "timeout": 5},
        "jetstream": {"store_dir": place.data, "max_memory_store": 64 << 20, "max_file_store": 1 << 30},
        "max_payload": MAX_PAYLOAD_BYTES,
        # A pod whose machine vanished keeps its subscriptions until then.
        "ping_interval": "10s",
        "ping_max": 2,
        "pid_file": place.pid,
        "log_file": place.log,
        "logfile_size_limit": 16 << 20,
        "logfile_max_num": 3,
    }
