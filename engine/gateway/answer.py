"""The client's side of a request: one answer, whole or as a stream, kept alive with pings while there is silence."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterator
from types import coroutine
from typing import Any

from engine.gateway import http
from engine.gateway.http import Headers, Send
from engine.wire import framing

PING_AFTER = 10.0
"""Seconds of silence after which the client gets a ping. Claude Code shows a banner after 20 s and gives up after 300."""

_DONE = object()
_STREAM = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")]


class Answer:
    """`status` is 0 until something has gone out, which is as long as an error can still be a status.

    `headers` gives those of every answer, asked for when the first byte goes out.
    """

    def __init__(self, send: Send, headers: Callable[[], Headers]):
        self.status = 0
        self.is_complete = False
        self._send = send
        self._headers = headers
        self._is_sending = False
        self._loop = asyncio.get_running_loop()
        self._written = self._loop.time()
        self._ahead: asyncio.Task[None] | None = None  # whose bytes would be among those that are sent meanwhile
        self._timer: asyncio.TimerHandle | None = None
        self._held = b""  # until the loop's next turn

    def json(self, status: int, value: Any, headers: Headers = ()) -> Awaitable[None]:
        """A whole answer."""
        return self.body(status, http.json(value), headers)

    async def body(self, status: int, data: bytes, headers: Headers = ()) -> None:
        """A whole answer, already written."""
        self.status = status
        self._is_sending = True
        await http.send_json(self._send, status, data, [*self._headers(), *headers])
        self.is_complete = True

    async def events(self, data: bytes, *, last: bool = False) -> None:
        """A stretch of a stream, which the first one opens."""
        self._send_held()
        if self._ahead:
            await asyncio.wait([self._ahead])
            self._ahead = None
        if self.is_complete:
            return
        self._is_sending = True
        if not self.status:
            await self._start()
        self._written = self._loop.time()
        await http.send_piece(self._send, data, last=last)
        self.is_complete = last
        self._is_sending = False

    def events_soon(self, data: bytes) -> bool:
        """The same, of a stream that is open, and with nobody waiting for it; False where something else has to go out first.

        What all streams have for their clients goes out together, at the loop's next turn: the thread that writes it is
        woken once.
        """
        if self._held or self._ahead or self._is_sending or self.is_complete or not self.status:
            return False
        self._loop.call_soon(self._send_held)
        self._held = data
        return True

    def _send_held(self) -> None:
        data, self._held = self._held, b""
        if not data:
            return
        self._written = self._loop.time()
        steps = http.send_piece(self._send, data).__await__()
        if (step := next(steps, _DONE)) is not _DONE:  # the client reads more slowly than is sent
            self._ahead = self._loop.create_task(_finish(step, steps))

    def _start(self) -> Awaitable[None]:
        self.status = 200
        return http.start(self._send, 200, [*_STREAM, *self._headers()])

    def keep_alive(self, patience: float, give_up: Callable[[], None]) -> None:
        """From now on the client is pinged in silence, also before the first event. One that for `patience` seconds has not
        taken what was sent is given up."""
        self._timer = self._loop.call_later(PING_AFTER, self._look, patience, give_up)

    def _look(self, patience: float, give_up: Callable[[], None]) -> None:
        silence = self._loop.time() - self._written
        if self._is_sending or (self._ahead and not self._ahead.done()):  # so that a ping would not help
            if silence >= patience:
                give_up()
                return
        elif silence >= PING_AFTER:
            self._ahead = self._loop.create_task(self._say_ping())
        self._timer = self._loop.call_later(max(PING_AFTER - silence, 1.0), self._look, patience, give_up)

    async def _say_ping(self) -> None:
        if self._is_sending or self.is_complete:  # which may have changed since this was put on
            return
        if not self.status:
            await self._start()
        self._written = self._loop.time()
        await http.send_piece(self._send, framing.PING)

    def close(self) -> None:
        """Nothing more is sent."""
        self._held = b""
        if self._timer:
            self._timer.cancel()
        if self._ahead:
            self._ahead.cancel()
        # The request holds its answer: held by it in turn it would stay, a body of megabytes with it, until the collector comes.
        self._headers = tuple


@coroutine
def _finish(step: Any, steps: Iterator[Any]) -> Generator[Any, Any, None]:
    """Wait for what has been begun: the `step` that it waits at, and those behind it."""
    yield step
    yield from steps
