"""What goes to a client goes in order, whoever waits for it, and however slowly it is taken."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest

from engine.gateway import answer
from engine.gateway.answer import Answer
from engine.gateway.http import Message
from engine.wire.framing import PING
from tests.providers import on_both_loops


class Client:
    """What it has been sent, and takes only while it `takes`."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.begun = 0
        self.takes = asyncio.Event()
        self.takes.set()
        self.answer = Answer(self.send, lambda: [])

    async def send(self, message: Message) -> None:
        self.begun += 1
        while not self.takes.is_set():
            await self.takes.wait()
            await asyncio.sleep(0.001)
        self.sent.append(message.get("body", b"head"))


class Sent:
    """What Granian gives for a message that it could take."""

    def __await__(self) -> Iterator[None]:
        return self

    def __iter__(self) -> Iterator[None]:
        return self

    def __next__(self) -> None:
        raise StopIteration


@on_both_loops
async def test_what_can_be_taken_is_sent_at_the_next_turn() -> None:
    sent: list[Message] = []

    def send(message: Message) -> Sent:
        sent.append(message)
        return Sent()

    answer = Answer(send, lambda: [])  # type: ignore[arg-type]
    assert not answer.events_soon(b"0")  # there are headers to be sent first
    await answer.events(b"1")
    assert answer.events_soon(b"2")
    assert len(sent) == 2
    await asyncio.sleep(0)
    assert answer.events_soon(b"3")
    assert not answer.events_soon(b"4")  # there may be megabytes before the turn has come
    await answer.events(b"4", last=True)  # which does not go ahead
    assert not answer.events_soon(b"5")
    await asyncio.sleep(0)
    assert [message.get("body") for message in sent] == [None, b"1", b"2", b"3", b"4"]
    assert [message.get("more_body") for message in sent] == [None, True, True, True, False]


@on_both_loops
async def test_who_has_left_is_sent_nothing_more() -> None:
    client = Client()
    await client.answer.events(b"1")
    assert client.answer.events_soon(b"2")
    client.answer.close()
    await asyncio.sleep(0.01)
    assert client.sent == [b"head", b"1"]


@on_both_loops
async def test_what_is_taken_slowly_is_ahead_of_what_follows() -> None:
    client = Client()
    await client.answer.events(b"1")
    client.takes.clear()
    assert client.answer.events_soon(b"2")
    await asyncio.sleep(0)
    assert not client.answer.events_soon(b"3")
    following = asyncio.create_task(client.answer.events(b"3"))
    await asyncio.sleep(0.02)
    assert client.sent == [b"head", b"1"]
    client.takes.set()
    await following
    assert client.answer.events_soon(b"4")
    await asyncio.sleep(0.01)
    assert client.sent == [b"head", b"1", b"2", b"3", b"4"]


@on_both_loops
async def test_nothing_is_sent_in_the_middle_of_a_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "PING_AFTER", 0.01)
    client = Client()
    await client.answer.events(b"1")
    client.takes.clear()
    client.answer.keep_alive(300, lambda: None)
    while client.begun < 3:
        await asyncio.sleep(0.01)
    assert not client.answer.events_soon(b"2")
    client.takes.set()
    await client.answer.events(b"2")
    client.answer.close()
    assert client.sent == [b"head", b"1", PING, b"2"]


@on_both_loops
async def test_who_does_not_take_what_was_sent_is_not_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "PING_AFTER", 0.01)
    client = Client()
    await client.answer.events(b"1")
    client.takes.clear()
    assert client.answer.events_soon(b"2")
    client.answer.keep_alive(300, lambda: None)
    await asyncio.sleep(1.1)  # looked for once more
    client.takes.set()
    await client.answer.events(b"3")
    client.answer.close()
    assert client.sent == [b"head", b"1", b"2", b"3"]


@on_both_loops
async def test_who_takes_nothing_for_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "PING_AFTER", 0.01)
    clients = {what: Client() for what in ("nothing", "a ping", "what comes soon", "what is waited for")}
    given_up: list[str] = []
    for what, client in clients.items():
        await client.answer.events(b"1")
        if what != "nothing":
            client.takes.clear()
        client.answer.keep_alive(0.5, partial(given_up.append, what))
    assert clients["what comes soon"].answer.events_soon(b"2")
    waiting = asyncio.create_task(clients["what is waited for"].answer.events(b"2"))
    await asyncio.sleep(2.2)  # looked for three times
    waiting.cancel()
    for client in clients.values():
        client.answer.close()
    assert sorted(given_up) == ["a ping", "what comes soon", "what is waited for"]
