"""Many clients at once, each with a mark of its own: raw bytes, checked as they come."""

import asyncio
import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

from tests.slow_provider import WANTED

_CHUNK = re.compile(rb"<(\d+)\.(\d+)\.(\d+)>")
_END = re.compile(rb'event: message_stop\ndata: \{"type":"message_stop"\}\n\n\r\n0\r\n\r\n$')
_LONGEST_END = 4096
"""That the last events of a stream are shorter than."""


def request(address: str, mark: int, chunks: int, gap: float) -> bytes:
    """What a client sends that wants a stream of the slow provider."""
    asked = [{"role": "user", "content": WANTED.format(mark, chunks, gap)}]
    body = json.dumps({"model": "any", "max_tokens": 9, "stream": True, "messages": asked}).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: {urlsplit(address).netloc}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Client(asyncio.Protocol):
    """One stream. `over` is done when it is: with None where it came whole, else with what was wrong.

    `delays`: milliseconds from the provider's write to the arrival here, for each chunk since they were last taken.
    """

    def __init__(self, address: str, mark: int, chunks: int, gap: float):
        self.mark, self.chunks = mark, chunks
        self.request = request(address, mark, chunks, gap)
        self.over: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.delays: list[float] = []
        self.received = 0
        self.left_at: int | None = None
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now, end = time.monotonic_ns(), 0
        data = self._rest + data
        for chunk in _CHUNK.finditer(data):
            end = chunk.end()
            mark, number, sent = map(int, chunk.groups())
            if (mark, number) != (self.mark, self.received):
                self._finish(f"chunk {number} of stream {mark} came where {self.received} of {self.mark} should")
                return
            self.received += 1
            self.delays.append((now - sent) / 1e6)
        self._rest = data[max(end, len(data) - _LONGEST_END) :]
        if self.received == self.chunks and _END.search(self._rest):
            self._finish(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._finish(f"the connection broke after {self.received} of {self.chunks} chunks ({error}): {self._rest[-300:]!r}")

    def leave(self) -> None:
        """Go away in the middle, as a person does who presses Escape."""
        self.left_at = time.monotonic_ns()
        self._finish(None)

    def _finish(self, wrong: str | None) -> None:
        if not self.over.done():
            self.over.set_result(wrong)
        self.transport.close()


async def connect(address: str, mark: int, chunks: int, gap: float) -> Client:
    parts = urlsplit(address)
    create = asyncio.get_running_loop().create_connection
    _, client = await create(lambda: Client(address, mark, chunks, gap), parts.hostname, parts.port)
    return client
