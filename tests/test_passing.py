"""The pieces of a stream on their way through, however many come in one turn of the loop."""

import asyncio
from collections.abc import Callable, Mapping

import orjson
import pytest

from engine.gateway.connection import Connection, Reply
from engine.gateway.http import Message
from engine.gateway.names import Named
from engine.gateway.settings import Config, ProviderConfig, RouteConfig
from engine.wire.framing import SSE
from server import Application
from tests.providers import on_both_loops
from tests.upstreams import chat_stream, stop_chunk, text_chunk

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WORDS = ["one ", "two ", "three ", "four "]
ASKED = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "count"}]}


class Transport(asyncio.Transport):
    """Takes what is sent."""

    def writelines(self, pieces: object) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass


class Provider:
    """One whose bytes come when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, meanwhile: Callable[[], object]) -> Reply:
        self.connection = Connection(60.0, lambda _: None, lambda _: None)
        self.connection.connection_made(Transport())
        reply = self.connection.ask(b"", body, lambda error: error)
        self.asked.set()
        await reply.begin()
        return reply


@pytest.mark.parametrize("turns", [[1, 1, 1, 1, 1], [2, 1, 2], [1, 2, 2], [1, 3, 1], [1, 4], [2, 3], [5]])
@on_both_loops
async def test_nothing_is_lost_of_what_comes_in_one_turn(turns: list[int]) -> None:
    config = Config(
        providers={"told": ProviderConfig("openai-chat", base_url="http://127.0.0.1:9/v1", keys=("k",))},
        routes={"default": RouteConfig(Named("told", "m"))},
    )
    application, provider = Application(config, lambda: config), Provider()
    application.service.providers["told"].upstream = provider  # type: ignore[assignment]
    sent: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": orjson.dumps(ASKED), "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))

    scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": [], "client": ("127.0.0.1", 5)}
    served = asyncio.ensure_future(application(scope, receive, send))
    await provider.asked.wait()
    events = [event for event in chat_stream(*map(text_chunk, WORDS), stop_chunk()) if isinstance(event, bytes)]
    told = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
    provider.connection.data_received(HEAD)
    pieces = [told[len(told) * number // 5 : len(told) * (number + 1) // 5] for number in range(5)]
    pieces[-1] += b"0\r\n\r\n"
    for count in turns:
        await asyncio.sleep(0.01)
        for piece in [pieces.pop(0) for _ in range(count)]:
            provider.connection.data_received(piece)
    await served
    told_events = SSE().feed(b"".join(sent))
    texts = [event["delta"]["text"] for event in told_events if event["type"] == "content_block_delta"]
    assert "".join(texts) == "".join(WORDS)
    assert told_events[-1]["type"] == "message_stop"
