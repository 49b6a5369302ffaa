"""Whole requests within one process, the network left out: an application of ASGI in front, canned answers behind."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import redirect_stderr
from functools import partial
from typing import Any

import uvloop

from bench import bodies
from bench.answers import CHAT, GEMINI, RESPONSES, Format
from bench.floor import Floor
from engine.gateway import logs
from engine.gateway.names import Named
from engine.gateway.settings import Config, ProviderConfig, RouteConfig
from server import Application

Journeys = Callable[[int], None]
"""So many requests, one after the other."""


class Canned:
    """A provider's answer, as engine/gateway/connection.py and aiohttp give it: a turn of the loop for each piece."""

    status = 200
    waited = 0.0

    def __init__(self, pieces: Sequence[bytes], type: str):
        self.headers = {"content-type": type}
        self.is_stream = type == "text/event-stream"
        self.content = self
        self.pieces = list(reversed(pieces))

    def close(self) -> None:
        pass

    @property
    def is_whole(self) -> bool:
        return not self.pieces

    async def next(self) -> bytes:
        return self.pieces.pop() if self.pieces else b""

    async def hand(self, take: Callable[[bytes], bool]) -> bool:
        while self.pieces:
            if take(self.pieces.pop()):
                return True
            await asyncio.sleep(0)
        return False

    read = next

    async def drain(self) -> None:
        pass

    async def __aenter__(self) -> "Canned":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def iter_any(self) -> Any:
        while data := await self.next():
            yield data
            await asyncio.sleep(0)


class Provider:
    """What stands for the connections to a provider."""

    def __init__(self, pieces: Sequence[bytes], type: str):
        self._answer = partial(Canned, pieces, type)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, meanwhile: Callable[[], object]) -> Canned:
        meanwhile()
        return self._answer()


class Session:
    """What stands for aiohttp's, in the floor."""

    def __init__(self, pieces: Sequence[bytes], type: str):
        self._answer = partial(Canned, pieces, type)

    def post(self, url: str, data: bytes) -> Canned:
        return self._answer()


def own(
    mapping: str,
    request: dict[str, Any],
    answer: Sequence[bytes],
    type: str,
    written: Callable[[dict[str, Any]], bytes] = bodies.written,
) -> Journeys:
    """Requests that ccproxy serves, with its log."""
    logs.set_up("info", "text")
    told = ProviderConfig(mapping, base_url="http://127.0.0.1:9/v1", keys=("k",))
    routes = {name: RouteConfig(Named("told", "m")) for name in ("default", "background", "think")}
    config = Config(providers={"told": told}, routes=routes)
    application = Application(config, lambda: config)
    application.service.providers["told"].upstream = Provider(answer, type)
    return partial(_serve, application, written(request))


def by_hand(request: dict[str, Any], answer: Sequence[bytes], type: str) -> Journeys:
    """The same requests, served by the floor."""
    floor = Floor("http://127.0.0.1:9/v1")
    floor.session = Session(answer, type)
    return partial(_serve, floor, bodies.written(request))


def _serve(application: Callable[..., Awaitable[None]], body: bytes, count: int) -> None:
    async def run() -> None:
        for _ in range(count):
            await _one(application, body)

    with redirect_stderr(io.StringIO()):
        uvloop.run(run())


async def _one(application: Callable[..., Awaitable[None]], body: bytes) -> None:
    headers = {
        "host": "127.0.0.1:3456",
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "any",
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": raw, "client": ("127.0.0.1", 5)}
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    if sent[0]["status"] != 200 or sent[-1].get("more_body"):
        raise RuntimeError(f"no whole answer: {sent[-1]}")


def burst(format: Format) -> tuple[Sequence[bytes], str]:
    return [b"".join(format.stream)], "text/event-stream"


def paced(format: Format) -> tuple[Sequence[bytes], str]:
    return format.stream, "text/event-stream"


def whole(format: Format) -> tuple[Sequence[bytes], str]:
    return [format.whole], "application/json"


def pairs() -> dict[str, tuple[Journeys, Journeys]]:
    """By name, requests as ccproxy serves them and as the floor does, which speaks Chat only."""
    small, streamed = bodies.small(), bodies.small(stream=True)
    by_floor = by_hand(streamed, *burst(CHAT))
    large = {"300 KB": bodies.session(), "200 turns": bodies.turns()}
    chat, by_floors = whole(CHAT), {name: by_hand(request, *whole(CHAT)) for name, request in large.items()}
    return {
        "small": (own("openai-chat", small, *whole(CHAT)), by_hand(small, *whole(CHAT))),
        "stream": (own("openai-chat", streamed, *burst(CHAT)), by_floor),
        "stream, Responses": (own("openai", streamed, *burst(RESPONSES)), by_floor),
        "stream, Gemini": (own("gemini", streamed, *burst(GEMINI)), by_floor),
        "stream, chunk by chunk": (own("openai-chat", streamed, *paced(CHAT)), by_hand(streamed, *paced(CHAT))),
        **{name: (own("openai-chat", request, *chat), by_floors[name]) for name, request in large.items()},
        "300 KB, all of it read": (own("openai-chat", large["300 KB"], *chat, bodies.spaced), by_floors["300 KB"]),
    }
