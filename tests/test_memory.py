"""What a request held is freed with it, and what does not end is not kept."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from engine import load_mapping
from engine.gateway.answer import Answer
from engine.gateway.exchange import Exchange
from engine.gateway.http import Headers, Message
from engine.gateway.opening import Opening
from engine.gateway.relay import Relay
from engine.wire import framing
from engine.wire.errors import ApiError

REQUEST: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def without_collector() -> Iterator[None]:
    """What holds itself in a circle is freed only now and then, and a request may be of megabytes."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
def test_an_exchange_is_freed_with_its_last_reader() -> None:
    exchange = Exchange("p", load_mapping("openai-chat"), "m", REQUEST, request_id="req_1")
    freed = weakref.ref(exchange)
    del exchange
    assert freed() is None


@pytest.mark.usefixtures("without_collector")
def test_an_answer_that_is_over_holds_no_request() -> None:
    class Request:
        def __init__(self) -> None:
            self.answer = Answer(send, self.headers)

        def headers(self) -> Headers:
            return []

    async def send(message: Message) -> None:
        pass

    async def run() -> "weakref.ref[Request]":
        request = Request()
        request.answer.keep_alive(300, lambda: None)
        await request.answer.events(b"event: ping\n\n", last=True)
        request.answer.close()
        return weakref.ref(request)

    assert asyncio.run(run())() is None


def test_a_stream_of_pings_is_not_kept_for_ever() -> None:
    opening = Opening(Relay("p", load_mapping("anthropic"), "m", REQUEST, b"{}"), may_be_empty=True)
    pings = framing.PING * 40_000
    fits = framing.MAX_CHUNK // len(pings)
    assert {opening.receive(pings) for _ in range(fits)} == {b""}
    with pytest.raises(ApiError, match="no block of the answer has begun"):
        opening.receive(pings)
