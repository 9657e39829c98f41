"""A NATS server of somebody else, such as a federation may use instead of its own: real, without our configuration.

Knows no federation. With :func:`accounts` it is in operator mode, as hosted NATS is: who connects shows a .creds file.
"""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nkeys

from cpods.net.natsprogram import find_server


@asynccontextmanager
async def foreign(folder: Path, settings: Mapping[str, Any] | None = None) -> AsyncIterator[str]:
    """A server with JetStream at a free port of 127.0.0.1, its URL; ``settings``: more of its configuration."""
    config = folder / "foreign.conf"
    own = {"host": "127.0.0.1", "port": -1, "jetstream": {"store_dir": str(folder / "foreign")}}
    config.write_text(json.dumps(own | dict(settings or {})))
    server = await asyncio.create_subprocess_exec(find_server(), "-c", str(config), stderr=asyncio.subprocess.PIPE)
    assert server.stderr is not None
    url, said, last = "", b"", b""
    try:
        while b"Server is ready" not in said:
            last, said = said, await server.stderr.readline()
            assert said, f"nats-server did not start: {last.decode()}"
            if b"Listening for client connections on" in said:
                url = f"nats://{said.split()[-1].decode()}"
        yield url
    finally:
        server.kill()
        await server.communicate()


def accounts(folder: Path) -> tuple[dict[str, Any], str]:
    """Settings for :func:`foreign` with one account, and the path of a .creds file of a user of it."""
    operator, account, user = (_new_key(ord(letter) - ord("A") << 3) for letter in "OAU")
    system = _new_key(nkeys.PREFIX_BYTE_ACCOUNT)
    everything = {name: -1 for name in ("subs", "conn", "leaf", "imports", "exports", "data", "payload")} | {"wildcards": True}
    storage = {name: -1 for name in ("mem_storage", "disk_storage", "streams", "consumer")}
    operator_jwt = _jwt(operator[1], operator[1], {"type": "operator"})
    account_jwt = _jwt(operator[1], account[1], {"type": "account", "limits": everything | storage})
    system_jwt = _jwt(operator[1], system[1], {"type": "account", "limits": everything})
    user_jwt = _jwt(account[1], user[1], {"type": "user", "subs": -1, "data": -1, "payload": -1})
    creds = folder / "user.creds"
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user[0]}\n------END USER NKEY SEED------\n"
    )
    names = [key[1].public_key.decode() for key in (account, system)]
    preload = dict(zip(names, (account_jwt, system_jwt), strict=True))
    return {"operator": operator_jwt, "system_account": names[1], "resolver": "MEMORY", "resolver_preload": preload}, str(creds)


def _new_key(prefix: int) -> tuple[str, Any]:
    """(seed, key pair)."""
    seed = nkeys.encode_seed(secrets.token_bytes(32), prefix)
    return bytes(seed).decode(), nkeys.from_seed(bytearray(seed))


def _jwt(issuer: Any, subject: Any, claims: Mapping[str, Any]) -> str:
    """As the NATS server reads them: header, claims and Ed25519 signature in base64url."""
    said = {
        "jti": secrets.token_hex(8),
        "iat": 1,
        "iss": issuer.public_key.decode(),
        "name": "test",
        "sub": subject.public_key.decode(),
        "nats": {"version": 2, **claims},
    }
    text = ".".join(_base64url(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, said))
    return f"{text}.{_base64url(bytes(issuer.sign(text.encode())))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
