"""A provider in a process of its own that streams by the clock, and writes down when each stream begins and how it ends.

What is wanted of it travels in the words of the request: `mark=7 chunks=240 gap=0.5`. Each chunk carries the mark, its number
and when it was sent. With a gap of 0 it sends as fast as it is taken from it, a kilobyte at a time.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.running import ROOT
from tests.upstreams import stop_chunk, text_chunk

WANTED = "mark={} chunks={} gap={}"

_WANTED = re.compile(rb"mark=(\d+) chunks=(\d+) gap=([\d.]+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_FILLING = "x" * 1000


def _framed(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event) + 8, b"data: %b\n\n" % event)


_TEXT = json.dumps(text_chunk("TEXT")).encode()
_END = _framed(json.dumps(stop_chunk()).encode()) + _framed(b"[DONE]") + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection, on which a stream may follow another."""

    def __init__(self) -> None:
        self.received = b""
        self.stream: Stream | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        length, wanted = _LENGTH.search(head), _WANTED.search(body)
        if blank and length and len(body) >= int(length[1]):
            self.received = b""
            assert wanted, body
            self.stream = Stream(self.transport, int(wanted[1]), int(wanted[2]), float(wanted[3]))
            self.stream.send()

    def pause_writing(self) -> None:
        if self.stream:
            self.stream.waits = True
            _tell("waits", self.stream.mark, self.stream.sent)

    def resume_writing(self) -> None:
        if self.stream:
            self.stream.waits = False
            self.stream.send()

    def connection_lost(self, error: Exception | None) -> None:
        if self.stream:
            self.stream.stop()


class Stream:
    """An answer: `sent` of its `chunks`, one every `gap` seconds."""

    def __init__(self, transport: Any, mark: int, chunks: int, gap: float):
        self.transport, self.mark, self.chunks, self.gap = transport, mark, chunks, gap
        self.sent = 0
        self.waits = False
        self.loop = asyncio.get_running_loop()
        self.due = self.loop.time()
        self.timer: asyncio.TimerHandle | None = None
        self.is_over = False
        _tell("began", mark)
        transport.write(_HEAD)

    def send(self) -> None:
        while not self.is_over and not self.waits:
            if self.sent == self.chunks:
                self.transport.write(_END)
                self._end("ended")
                return
            text = b"<%d.%d.%d>" % (self.mark, self.sent, time.monotonic_ns())
            self.transport.write(_framed(_TEXT.replace(b"TEXT", text if self.gap else text + _FILLING.encode())))
            self.sent += 1
            if self.gap:
                self.due += self.gap
                self.timer = self.loop.call_at(self.due, self.send)
                return

    def stop(self) -> None:
        """The connection is gone."""
        if self.timer:
            self.timer.cancel()
        if not self.is_over:
            self._end("left")

    def _end(self, how: str) -> None:
        self.is_over = True
        _tell(how, self.mark, self.sent)


def _tell(*words: object) -> None:
    os.write(1, (" ".join(map(str, [time.monotonic_ns(), *words])) + "\n").encode())


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    _tell("listens", server.sockets[0].getsockname()[1])
    await server.serve_forever()


class SlowProvider:
    """The provider as who started it sees it: when a mark's stream began, ended, or was left, in nanoseconds of the machine."""

    def __init__(self, port: int, told: Path, process: "subprocess.Popen[bytes]"):
        self.port = port
        self.process = process
        self._told = told

    @property
    def configuration(self) -> str:
        told = f"mapping: openai-chat, base_url: 'http://127.0.0.1:{self.port}/v1', api_key: none"
        return f"providers: {{ slow: {{ {told} }} }}\nroutes: {{ default: slow/m }}\n"

    def all(self, word: str) -> dict[int, int]:
        """When this was told of each mark."""
        lines = [line.split() for line in self._told.read_text().splitlines()]
        return {int(mark): int(at) for at, said, mark, *_ in lines if said == word}

    def sent(self, mark: int) -> int:
        """How many chunks of a mark's stream had been sent when this was last told."""
        lines = [line.split() for line in self._told.read_text().splitlines()]
        return max(int(rest[0]) for _, _, told, *rest in lines if rest and int(told) == mark)

    @property
    def running(self) -> int:
        """How many streams have begun and not ended."""
        return len(self.all("began")) - len(self.all("ended")) - len(self.all("left"))


@contextmanager
def slow_provider(folder: Path) -> Iterator[SlowProvider]:
    """The provider, until the block is left."""
    told = folder / "provider.txt"
    with told.open("wb") as sink:
        command = [sys.executable, "-P", "-m", "tests.slow_provider"]
        process = subprocess.Popen(command, stdout=sink, env={"PYTHONPATH": str(ROOT)})
    try:
        while not (said := told.read_text().split()):
            assert process.poll() is None
            time.sleep(0.01)
        yield SlowProvider(int(said[2]), told, process)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    asyncio.run(main())
