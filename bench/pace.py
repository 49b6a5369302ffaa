"""Streams by the clock, and how late their chunks come: what pace.c sends and what it sees."""

import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from bench import bodies
from bench.answers import CHAT, PIECES
from bench.upstream import END, OPENING, chunked

SOURCE = Path(__file__).with_suffix(".c")

_STAMP = b"@%lld@"
"""What stands in place of a chunk's text: the nanosecond at which it is sent."""


class Pace:
    """The program, compiled in `folder`; while it measures it is the provider on `port`."""

    def __init__(self, folder: Path, port: int):
        self.port = port
        self._folder = folder
        self._program = folder / "pace"
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", self._program, SOURCE], check=True)
        first, word, *_ = CHAT.stream
        (folder / "head").write_bytes(OPENING + chunked(first))
        (folder / "chunk").write_bytes(word.replace(PIECES[0].encode(), _STAMP))
        (folder / "tail").write_bytes(b"".join(map(chunked, CHAT.stream[1 + len(PIECES) :])) + END)

    def watch(self, url: str, path: str, *, streams: int, chunks: int, seconds: float) -> tuple[list[float], list[float]]:
        """Milliseconds from each chunk's being sent to its arrival, and from each request to its first chunk, of so many streams
        at once. Raises RuntimeError where one of them does not come to its end."""
        at = urlsplit(url)
        (self._folder / "request").write_bytes(_request(at.netloc, path))
        command = [self._program, self._folder, self.port, at.port, streams, chunks, seconds]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{url}: {done.stderr}")
        told: dict[str, list[float]] = {"chunk": [], "first": []}
        for line in done.stdout.splitlines():
            word, nanoseconds = line.split()
            told[word].append(int(nanoseconds) / 1e6)
        return told["chunk"], told["first"]


def _request(host: str, path: str) -> bytes:
    data = bodies.written(bodies.small(stream=True))
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nanthropic-version: 2023-06-01\r\n"
    return f"{head}x-api-key: any\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data
