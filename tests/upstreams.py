"""A provider that does as it is told: for faults that real ones cannot be asked to show."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    """What the next request gets. A number among the pieces is a pause, in seconds; `cut` drops the connection."""

    pieces: list[bytes | float] = field(default_factory=list)
    status: int = 200
    content_type: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


def chat_stream(*chunks: dict[str, Any], done: bool = True) -> list[bytes | float]:
    """Chunks as OpenAI frames them."""
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + ([b"data: [DONE]\n\n"] if done else [])


def text_chunk(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def stop_chunk(reason: str = "stop") -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage}


class Upstream:
    """Answers in order, the last one for ever; remembers what it was asked and which clients left in mid-answer.

    `answering`, where it is set, makes an answer of each request instead.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.answering: Callable[[dict[str, Any]], Answer] | None = None
        self.requests: list[dict[str, Any]] = []
        self.left = threading.Event()
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            writer.close()

    def _answer(self, request: dict[str, Any]) -> Answer:
        if self.answering:
            return self.answering(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve a request; whether the connection lives on."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append({"path": first.split(" ")[1], "headers": headers, "body": json.loads(body) if body else None})
        answer = self._answer(self.requests[-1])
        told = {"content-type": answer.content_type, "transfer-encoding": "chunked", "connection": "close", **answer.headers}
        head_lines = [f"HTTP/1.1 {answer.status} Told", *(f"{name}: {value}" for name, value in told.items())]
        writer.write("\r\n".join([*head_lines, "", ""]).encode())
        gone = asyncio.ensure_future(reader.read(1))
        for piece in answer.pieces:
            if isinstance(piece, float):
                done, _ = await asyncio.wait([gone], timeout=piece)
                if done:
                    raise ConnectionResetError
                continue
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        gone.cancel()
        if answer.cut:
            writer.transport.abort()
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()
        return False


@contextmanager
def scripted() -> Iterator[Upstream]:
    """An upstream on a port of its own, in a thread of its own."""
    upstream = Upstream()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(upstream.serve, "127.0.0.1", 0))
    upstream.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(_stop, loop, server)
        thread.join()
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, server: asyncio.Server) -> None:
    server.close()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon(loop.call_soon, loop.stop)
