"""One request and one response on a connection: as little of HTTP/1.1 as a browser on this machine needs.

Knows no document. GET and HEAD only, no body, one request a connection, and nobody but this machine's own address as Host.
"""

import asyncio
import urllib.parse
from collections.abc import Mapping
from typing import BinaryIO

import msgspec

HEAD_BYTES_MAX = 16 << 10
_CHUNK_BYTES = 256 << 10

_REASONS = {
    200: "OK",
    204: "No Content",
    308: "Permanent Redirect",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    410: "Gone",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

#: Nothing is kept by the browser (a new version is a new request), nothing tells other sites our address.
_ALWAYS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Refused(Exception):
    """A request that is answered with ``status`` and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Request(msgspec.Struct, frozen=True):
    """``parts``: the path between slashes, decoded, the empty first one left out. ``headers``: names in lower case."""

    method: str
    parts: tuple[str, ...]
    query: dict[str, str]
    headers: dict[str, str]

    def number(self, name: str, default: int = 0) -> int:
        """A query's value as a number from 0; 400 if it is none."""
        said = self.query.get(name)
        if said is None:
            return default
        if not (said.isascii() and said.isdigit() and len(said) < 10):
            raise Refused(400, f"{name}={said[:40]}: expected a number from 0")
        return int(said)


class Response(msgspec.Struct, frozen=True):
    """``file``: open at its start, sent instead of ``body`` and closed afterwards; ``size``: its bytes."""

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    headers: Mapping[str, str] = {}
    file: BinaryIO | None = None
    size: int = 0


async def receive(reader: asyncio.StreamReader, port: int) -> Request:
    """Reads one request. Raises Refused; EOFError if none came."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise Refused(431, "the request's head is too long") from error
    request = parse(head)
    if request.headers.get("host", "").lower() not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        # A page of another site whose name was made to point here (DNS rebinding) says its own name.
        raise Refused(403, "this preview answers to its loopback address only")
    if request.method not in ("GET", "HEAD"):
        raise Refused(405, "only GET and HEAD are answered")
    return request


def parse(head: bytes) -> Request:
    """A request's head, the empty line included. Raises Refused."""
    try:
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = first.split(" ")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or name.strip() != name or (name.lower() == "host" and "host" in headers):
                raise ValueError
            headers.setdefault(name.lower(), value.strip())
        path, _, query = target.partition("?")
        if not version.startswith("HTTP/1.") or not path.startswith("/"):
            raise ValueError
        parts = tuple(urllib.parse.unquote(part, errors="strict") for part in path[1:].split("/"))
        return Request(method, parts, dict(urllib.parse.parse_qsl(query, max_num_fields=20)), headers)
    except ValueError as error:
        raise Refused(400, "this is no HTTP/1.1 request that a browser sends") from error


async def send(writer: asyncio.StreamWriter, response: Response, head_only: bool = False) -> None:
    """Writes a whole response."""
    size = response.size if response.file is not None else len(response.body)
    writer.write(_head(response, None if response.status == 204 else size))
    if response.file is not None:
        with response.file:
            while not head_only and (chunk := await asyncio.to_thread(response.file.read, _CHUNK_BYTES)):
                writer.write(chunk)
                await writer.drain()
    elif not head_only:
        writer.write(response.body)
    await writer.drain()


def begin_events(writer: asyncio.StreamWriter) -> None:
    """Begins a response that stays open: server-sent events."""
    writer.write(_head(Response(content_type="text/event-stream"), None))


def event(name: str, data: bytes) -> bytes:
    """One server-sent event. ``data`` has no line breaks: JSON."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _head(response: Response, size: int | None) -> bytes:
    headers = {**_ALWAYS, "Content-Type": response.content_type, **response.headers}
    if size is not None:
        headers["Content-Length"] = str(size)
    lines = [f"HTTP/1.1 {response.status} {_REASONS[response.status]}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
