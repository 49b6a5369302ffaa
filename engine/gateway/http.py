"""ASGI in a dozen small functions: bodies in, answers out."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from engine.wire.errors import ApiError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[str, str]]


class ClientLeft(Exception):
    """The client closed the connection before its request was whole."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """The request's body. Raises ApiError 413 past `limit` bytes, and ClientLeft."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise ApiError(413, "request_too_large", f"the request is larger than {limit:,} bytes")
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)


def read_json(data: bytes) -> Any:
    """Raises ApiError 400 where the body is no JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "invalid_request_error", f"the request's body is not JSON: {error}") from None


def header(scope: Scope, name: bytes) -> str | None:
    """A request header's first value."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


async def start(send: Send, status: int, headers: Headers) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        }
    )


async def send_piece(send: Send, data: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": not last})


async def send_json(send: Send, status: int, value: Any, headers: Headers = ()) -> None:
    data = orjson.dumps(value)
    await start(send, status, [("content-type", "application/json"), ("content-length", str(len(data))), *headers])
    await send_piece(send, data, last=True)


async def send_error(send: Send, error: ApiError, request_id: str, headers: Headers = ()) -> None:
    told = {"request-id": request_id, **dict(headers), **error.headers()}
    await send_json(send, error.status, error.body(request_id), told.items())
