"""A provider that writes exact bytes, in the test's own loop, and remembers what came."""

import asyncio
import inspect
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

import pytest
import uvloop

from engine.gateway.settings import Timeouts
from engine.gateway.upstream import Upstream

SECONDS = 20
"""That a test may take."""

CLOSE, HALF_CLOSE, RESET, STAY = "close", "half close", "reset", "stay"

Part = bytes | float | str | asyncio.Event | Callable[["Visit"], Awaitable[None]]
"""Of what a provider does: bytes are written, a number of seconds passes, an event is waited for; the rest is what it says."""

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Visit:
    """One connection, as the provider has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader = reader
        self.writer = writer

    async def do(self, part: Part) -> None:
        if isinstance(part, bytes):
            self.writer.write(part)
            await self.writer.drain()
        elif isinstance(part, float):
            await asyncio.sleep(part)
        elif isinstance(part, asyncio.Event):
            await part.wait()
        elif part == STAY:
            while await self.reader.read(2**20):
                pass
            raise ConnectionResetError
        elif part == CLOSE:
            self.writer.close()
        elif part == HALF_CLOSE:
            self.writer.write_eof()
        elif part == RESET:
            linger = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.writer.transport.abort()
        else:
            assert callable(part)
            await part(self)


class There(Upstream):
    """The way to an address, which it remembers."""

    def __init__(self, base_url: str, *, connect: float = 5.0, silence: float = 5.0):
        super().__init__("p", base_url, Timeouts(connect, silence))
        self.url = base_url


class Provider:
    """What it does with each request, in order, the last of it for ever.

    `heads` and `bodies` are what was asked, `visits` the connections in the order in which they were made, and `left`
    counts those that the other side has closed. With `reads_bodies` off the rest of a request is left lying.
    """

    def __init__(
        self,
        *answers: Part | list[Part],
        tls: ssl.SSLContext | None = None,
        reads_bodies: bool = True,
        host: str = "127.0.0.1",
    ):
        self.answers = [answer if isinstance(answer, list) else [answer] for answer in answers]
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.visits: list[Visit] = []
        self.left = 0
        self.has_left = asyncio.Event()
        self._tls = tls
        self._host = host
        self._reads_bodies = reads_bodies
        self._tasks: set[asyncio.Task[Any]] = set()
        self._upstreams: list[Upstream] = []

    async def __aenter__(self) -> "Provider":
        self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        for upstream in self._upstreams:
            upstream.close()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for visit in self.visits:
            visit.writer.transport.abort()
        await asyncio.sleep(0.01)

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http{'s' if self._tls else ''}://{host}:{self.port}/v1"

    def upstream(self, base_url: str | None = None, *, silence: float = 5.0) -> There:
        there = There(base_url or self.url, silence=silence)
        self._upstreams.append(there)
        return there

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        visit = Visit(reader, writer)
        self.visits.append(visit)
        try:
            while True:
                await self._one(visit)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left += 1
            self.has_left.set()
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    async def _one(self, visit: Visit) -> None:
        head = (await visit.reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        length = next((line[16:] for line in head.split("\r\n") if line.lower().startswith("content-length: ")), "0")
        if self._reads_bodies:
            self.bodies.append(await visit.reader.readexactly(int(length)))
        for part in self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]:
            await visit.do(part)


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that is a coroutine."""
    signature = inspect.signature(test)

    @wraps(test)
    def run(*, loop: Callable[[], asyncio.AbstractEventLoop], **given: Any) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(_in_time(test(**given)))

    del run.__wrapped__  # type: ignore[attr-defined]
    loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), loop])  # type: ignore[attr-defined]
    loops = [asyncio.new_event_loop, uvloop.new_event_loop]
    return pytest.mark.parametrize("loop", loops, ids=["asyncio", "uvloop"])(run)


async def _in_time(story: Awaitable[None]) -> None:
    async with asyncio.timeout(SECONDS):
        await story


@asynccontextmanager
async def listening(part: Part, *, after: int = 0) -> AsyncIterator[str]:
    """The host of one who does this as soon as somebody connects, or has sent so many bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(after)
            await Visit(reader, writer).do(part)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.sleep(0.02)
