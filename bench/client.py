"""A client that sees when each chunk of a stream arrives: raw bytes, so that little of its own is measured."""

import asyncio
import re
from collections.abc import Mapping
from time import monotonic, monotonic_ns
from typing import Any
from urllib.parse import urlsplit

from bench import bodies

_STAMP = re.compile(rb"@(\d+)@")
_END = b"\r\n0\r\n\r\n"


class Stream(asyncio.Protocol):
    """One connection that asks again and again until the time is up.

    `delays`: milliseconds from the provider's write to the arrival here, for each chunk. `first`: from the request to the
    first chunk, for each stream.
    """

    def __init__(self, request: bytes, until: float):
        self.request = request
        self.until = until
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.delays: list[float] = []
        self.first: list[float] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.rest = b""
        self.waits_for_first = True
        self.asked = monotonic_ns()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        data = self.rest + data
        end = 0
        for stamp in _STAMP.finditer(data):
            end = stamp.end()
            self.delays.append((now - int(stamp[1])) / 1e6)
            if self.waits_for_first:
                self.waits_for_first = False
                self.first.append((now - self.asked) / 1e6)
        self.rest = data[max(end, len(data) - 64) :]
        if data.endswith(_END):
            self.at_end()

    def at_end(self) -> None:
        if self.waits_for_first:
            self.done.set_exception(RuntimeError(f"a stream without a stamp: {self.rest!r}"))
        elif monotonic() < self.until:
            self.ask()
        else:
            self.transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or RuntimeError("the connection was closed in the middle of a stream"))


def request(url: str, path: str, body: Mapping[str, Any]) -> bytes:
    host, data = urlsplit(url).netloc, bodies.written(body)
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nanthropic-version: 2023-06-01\r\n"
    return f"{head}x-api-key: any\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data


async def watch(url: str, path: str, body: Mapping[str, Any], *, streams: int, seconds: float) -> tuple[list[float], list[float]]:
    """The delays of all chunks and the times to all first ones, of so many streams at once."""
    loop, parts, asking = asyncio.get_running_loop(), urlsplit(url), request(url, path, body)
    until = monotonic() + seconds
    running: list[Stream] = []
    for _ in range(streams):
        _, stream = await loop.create_connection(lambda: Stream(asking, until), parts.hostname, parts.port)
        running.append(stream)
        # Not all in step: the providers' clocks are not either.
        await asyncio.sleep(0.0037)
    await asyncio.wait_for(asyncio.gather(*(stream.done for stream in running)), seconds + 60)
    return [delay for stream in running for delay in stream.delays], [first for stream in running for first in stream.first]
