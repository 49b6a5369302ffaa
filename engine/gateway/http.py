"""ASGI in a dozen small functions: bodies in, answers out."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from random import getrandbits
from typing import Any

import orjson

from engine.wire import jsontext, recurring
from engine.wire.errors import ApiError

LONGEST_LINE = 1_000

KEY_NAME = "ccproxy.key"
"""Where a request's scope has the name of the key that it came with (access.py)."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[str, str]]


class ClientLeft(Exception):
    """The client closed the connection before its request was whole."""


async def read_body(receive: Receive, limit: int, length: int | None = None) -> bytes:
    """The request's body. Raises ApiError 413 past `limit` bytes, and ClientLeft.

    `length`: of how many bytes it is, where that is known. Granian tells the end of a body by another, empty message only, and
    to ask for that is to wait for two other threads.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        body: bytes = message.get("body", b"")
        size += len(body)
        if size > limit:
            raise ApiError(413, "request_too_large", f"the request is larger than {limit:,} bytes")
        pieces.append(body)
        if size == length or not message.get("more_body"):
            return b"".join(pieces) if len(pieces) > 1 else body


def read_json(data: bytes) -> Any:
    """Raises ApiError 400 where the body is no JSON."""
    try:
        return recurring.read(data)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "invalid_request_error", f"the request's body is not JSON: {error}") from None


def header(scope: Scope, name: bytes) -> str | None:
    """A request header's first value."""
    for key, value in scope["headers"]:
        if key == name:
            told: str = value.decode("latin-1")
            return told
    return None


def headers(scope: Scope, name: bytes) -> list[str]:
    """All values of a request header that stands there several times."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def length(scope: Scope) -> int | None:
    """Of how many bytes a request's body is, where its headers tell (RFC 9112, 6.3)."""
    told = b""
    for name, value in scope["headers"]:
        if name == b"content-length":
            told = value
        elif name == b"transfer-encoding":
            return None
    return int(told) if told.isdigit() else None


def protocol_headers(scope: Scope) -> dict[str, str]:
    """Those of a request's headers that belong to Anthropic's protocol and to its client; no key is among them."""
    told: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        if raw_name.startswith((b"anthropic-", b"x-claude-code-")):
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            if value.isprintable() and value.isascii():
                told[name] = f"{told[name]},{value}" if name in told else value
    return told


def request_id() -> str:
    """A new name for a request, by which a client's error and the log find each other."""
    return f"req_{getrandbits(96):024x}"


def one_line(text: str) -> str:
    """Text that may stand in a header or a line of the log: names come from outside, and may hold anything at any length."""
    if len(text) <= LONGEST_LINE and text.isascii() and text.isprintable():
        return text
    return "".join(character if " " <= character <= "~" else "?" for character in text[:LONGEST_LINE])


def json(value: Any) -> bytes:
    """What is sent of a value: halves of an emoji, which a model may write, are no reason to send nothing."""
    return jsontext.dumps(value)


def start(send: Send, status: int, headers: Headers) -> Awaitable[None]:
    lines = []
    for name, value in headers:
        if len(value) > LONGEST_LINE or not (value.isascii() and value.isprintable()):
            value = one_line(value)
        lines.append((name.encode(), value.encode()))
    return send({"type": "http.response.start", "status": status, "headers": lines})


def send_piece(send: Send, data: bytes, *, last: bool = False) -> Awaitable[None]:
    return send({"type": "http.response.body", "body": data, "more_body": not last})


async def send_json(send: Send, status: int, data: bytes, headers: Headers = ()) -> None:
    await start(send, status, [("content-type", "application/json"), ("content-length", str(len(data))), *headers])
    await send_piece(send, data, last=True)


async def send_body(send: Send, data: bytes, headers: Headers) -> None:
    """A whole body of any type."""
    await start(send, 200, [("content-length", str(len(data))), *headers])
    await send_piece(send, data, last=True)


async def client_left(receive: Receive) -> None:
    """Wait until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_error(send: Send, error: ApiError, id: str, headers: Headers = ()) -> None:
    await send_json(send, error.status, json(error.body(id)), [("request-id", id), *error.headers().items(), *headers])
