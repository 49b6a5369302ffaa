"""Canned providers in a process of their own: whatever is asked is answered at once, from bytes made beforehand.

What a client wants travels in what every proxy passes on: a request with `stream` gets a hundred chunks in one burst.
"""

import asyncio
import re
import ssl
import sys
from typing import Any

from bench.answers import FORMATS

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": *true')

OPENING = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunked(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


WHOLE = {form: _whole(form.whole) for form in FORMATS.values()}
BURST = {form: OPENING + b"".join(map(chunked, form.stream)) + END for form in FORMATS.values()}


class Provider(asyncio.Protocol):
    """One connection: a request after the other, of which only the length is read, and the words above."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.missing = 0  # bytes of the request that is being read

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.missing -= len(data)
        if self.missing > 0:
            return
        request = b"".join(self.pieces)
        end = request.find(b"\r\n\r\n")
        if end < 0:
            self.pieces = [request]
            return
        length = _LENGTH.search(request, 0, end)
        self.missing = end + 4 + (int(length[1]) if length else 0) - len(request)
        if self.missing > 0:
            self.pieces = [request]
            return
        self.pieces, self.missing = [], 0
        self.answer(request, request[:end].split(b" ", 2)[1].partition(b"?")[0])

    def answer(self, request: bytes, path: bytes) -> None:
        ending = next((ending for ending in FORMATS if path.endswith(ending)), None)
        if ending is None:
            self.transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        form = FORMATS[ending]
        if not (path.endswith(b":streamGenerateContent") or _STREAM.search(request)):
            self.transport.write(WHOLE[form])
        else:
            self.transport.write(BURST[form])


async def main(port: int, tls_port: int, certificate: str, key: str) -> None:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(Provider, "127.0.0.1", port, backlog=1024)
    secure = await loop.create_server(Provider, "127.0.0.1", tls_port, ssl=trust, backlog=1024)
    await asyncio.gather(plain.serve_forever(), secure.serve_forever())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
