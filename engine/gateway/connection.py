"""A connection to a provider: one request at a time in HTTP/1.1 (RFC 9112), and its answer as it comes.

A client library would cost as much as all the rest of a request does. What is hard to get right, reading HTTP, is llhttp's
part: the parser of Node.js.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter
from typing import cast

from httptools import HttpParserError, HttpResponseParser

from engine.gateway.compression import Packed, unpacker

KEEP = 60.0
"""Seconds that a connection is kept for the next request."""

STALE = 2.0
"""Seconds within which a connection shows that it was given up before it was used again: one that takes longer has had work."""

MOST_HEADERS = 64 * 1024
"""Bytes of an answer's headers, and of whatever else may stand where no body comes."""

MOST_UNREAD = 256 * 1024
"""Bytes that wait to be read; until they are, the provider has to wait as well."""

MOST_BYTES = 64 * 1024 * 1024
"""That an answer may have which is kept until it is whole: as a stream of single words, the longest of any model have half."""


class Silence(TimeoutError):
    """The provider has said nothing for longer than it may."""


class Endless(OSError):
    """The body is longer than can be kept."""


class Reply:
    """A provider's answer: its `status`, its headers, and the body as it comes.

    Who is done with it closes it, or has it as a context: that closes the connection where something would still come,
    which is what stops the provider. `as_error` makes of what breaks it off the error that is raised for it. `pieces`: those
    of the body that wait to be read. `heard`, if any, is told of each piece. `unpack`, if any, makes of a compressed piece what
    was compressed. `is_stale`: nothing has come, by a connection that was kept and is no more, so that the provider may have
    given it up before it was asked (RFC 9112, 9.3.1).
    """

    def __init__(self, connection: "Connection", as_error: Callable[[OSError], Exception]):
        self.status = 0
        self.is_whole = False
        self.has_begun = False
        self.is_stale = False
        self.unread = 0
        self.heard: Callable[[bytes], None] | None = None
        self.pieces: list[bytes] = []
        self._lines: list[tuple[bytes, bytes]] = []
        self._headers: dict[str, str] | None = None
        self.unpack: Callable[[bytes], bytes] | None = None
        self._connection = connection
        self._as_error = as_error
        self._broken: OSError | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._taker: Callable[[bytes], bool] | None = None
        self._waited = 0.0
        self._since = 0.0  # when somebody has begun to wait

    def __enter__(self) -> "Reply":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def close(self) -> None:
        if not self.is_whole:
            self._connection.close()

    @property
    def headers(self) -> dict[str, str]:
        """By their names in small letters; what stands there several times is one list (RFC 9110, 5.3)."""
        if self._headers is None:
            self._headers = {}
            for raw_name, raw_value in self._lines:
                name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
                self._headers[name] = f"{self._headers[name]}, {value}" if name in self._headers else value
        return self._headers

    @property
    def is_stream(self) -> bool:
        """Whether it may be a stream, by what it is said to be."""
        said = self.headers.get("content-type", "")
        return "json" not in said and "html" not in said

    @property
    def waited(self) -> float:
        """The seconds for which somebody has waited for it until now."""
        is_waited_for = self._waiter is not None and not self._waiter.done()
        return self._waited + (perf_counter() - self._since if is_waited_for else 0.0)

    async def begin(self) -> None:
        """Wait for the status and the headers, unless it `is_stale`. Raises what `as_error` makes of it where none come."""
        while not self.has_begun and not self.is_stale:
            await self._more()

    async def next(self) -> bytes:
        """What has come of the body since; nothing at its end. Raises what `as_error` makes of it where it breaks off."""
        while not self.pieces and not self.is_whole:
            await self._more()
        return self._take()

    async def hand(self, take: Callable[[bytes], bool]) -> bool:
        """Give `take` what comes of the body, in the moment in which it comes, until it says that it has enough or the body ends.
        Gives whether it has enough; raises what `take` raises, and what `as_error` makes of it where the body breaks off.

        To wake somebody for each piece would be most of what it costs to pass one on.
        """
        while True:
            if self.pieces and take(self._take()):
                return True
            if self.is_whole:
                return False
            self._taker = take
            try:
                if await self._more():
                    return True
            finally:
                self._taker = None

    async def read(self) -> bytes:
        """The whole body. Raises what `as_error` makes of it where it breaks off, or has no end."""
        pieces = [self._take()]
        size = len(pieces[0])
        while not self.is_whole:
            await self._more()
            pieces.append(self._take())
            size += len(pieces[-1])
            if size > MOST_BYTES:
                raise self._as_error(Endless())
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def drain(self) -> None:
        """Read to the end what is over, if it ends at once: a connection read to its end can be used again."""
        with suppress(Exception):
            async with asyncio.timeout(0.1):
                while not self.is_whole:
                    await self.next()

    def _take(self) -> bytes:
        """What has come of the body since."""
        pieces, self.pieces = self.pieces, []
        self.unread = 0
        if self._connection.is_paused and not self.is_whole:  # else it may be another's by now
            self._connection.resume()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self.heard:
            self.heard(data)
        return data

    def _more(self) -> Awaitable[bool]:
        if self._broken:
            raise self._as_error(self._broken) from self._broken
        self._since = perf_counter()  # uvloop's clock knows whole milliseconds only
        self._waiter = self._connection.loop.create_future()
        return self._waiter

    # What the connection tells

    def begun(self, status: int) -> None:
        self.status, self.has_begun = status, True

    def line(self, name: bytes, value: bytes) -> None:
        self._lines.append((name, value))
        if name.lower() == b"content-encoding":
            self.unpack = unpacker(value.decode("latin-1").strip(" \t"))

    def forget(self) -> None:
        """What came was no answer yet (RFC 9110, 15.2)."""
        self._lines, self.unpack, self.has_begun = [], None, False

    def come(self) -> bool:
        """Something has come, of the headers or the body. Gives whether it has been taken."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._taker is None:
            self.wake()
            return False
        if self.pieces:
            came = perf_counter()
            try:
                has_enough = self._taker(self._take())
            except Exception as error:  # noqa: BLE001 - it is raised where the body is waited for
                waiter.set_exception(error)
            else:
                if has_enough:
                    self._waited += came - self._since
                    waiter.set_result(True)
        return True

    def wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waited += perf_counter() - self._since
            self._waiter.set_result(False)

    def end(self, broken: OSError | None = None) -> None:
        self.is_whole, self._broken = broken is None, broken
        self.wake()

    @property
    def ends_with_the_connection(self) -> bool:
        """Whether nothing else tells where its body ends (RFC 9112, 6.3)."""
        is_chunked = self.headers.get("transfer-encoding", "").lower().endswith("chunked")
        return self.has_begun and "content-length" not in self.headers and not is_chunked


class Connection(asyncio.Protocol):
    """`silence`: seconds that a provider may say nothing while it is to answer. `on_free` is told whenever another request
    can be made, `on_end` when none ever can."""

    def __init__(self, silence: float, on_free: Callable[["Connection"], None], on_end: Callable[["Connection"], None]):
        self.loop = asyncio.get_running_loop()
        self._silence = silence
        self._on_free = on_free
        self._on_end = on_end
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            # What is not quite HTTP is read where it cannot mean two things: no answer but the provider's own comes this way.
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._reply: Reply | None = None
        self._header_bytes = 0
        self._unsent = 0
        self.is_paused = False
        self._is_kept = False
        self._heard = self.loop.time()

    def ask(self, head: bytes, body: bytes, as_error: Callable[[OSError], Exception]) -> Reply:
        """Send a request, whose head and body these are."""
        self._reply = reply = Reply(self, as_error)
        self._header_bytes = 0
        self._heard = self.loop.time()
        self._transport.writelines((head, body))
        self._unsent = self._transport.get_write_buffer_size()
        return reply

    def close(self) -> None:
        """Now: nobody wants what may still come."""
        self._transport.abort()

    @property
    def is_closing(self) -> bool:
        """Whether it is closed, or will be at the loop's next turn."""
        return self._transport.is_closing()

    def resume(self) -> None:
        """Go on reading, which was stopped."""
        if not self.is_closing:
            self.is_paused = False
            self._heard = self.loop.time()
            self._transport.resume_reading()

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = self.loop.call_later(min(self._silence, KEEP), self._look)

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:  # what nobody has asked for, such as a farewell
            self.close()
            return
        self._heard = self.loop.time()
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._end(None if reply.is_whole else _what_is_wrong(error))
            self.close()
            return
        if reply.is_whole:
            self._end(None)
            if self._is_kept and not self._transport.get_write_buffer_size():
                self._on_free(self)
            else:
                self.close()
            return
        if reply.pieces:
            self._header_bytes = 0
        else:
            self._header_bytes += len(data)
            if self._header_bytes > MOST_HEADERS:
                self._end(ConnectionError(f"the headers of the answer are longer than {MOST_HEADERS:,} bytes"))
                self.close()
                return
        if not reply.come():
            reply.unread += len(data)
            if reply.unread > MOST_UNREAD:
                self.is_paused = True
                self._transport.pause_reading()

    def eof_received(self) -> None:
        self.close()  # by itself it would first have the rest of the request taken

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        if self._reply:
            is_over = error is None and self._reply.ends_with_the_connection
            broken = ConnectionResetError(str(error or "it was closed before the answer was whole"))
            is_soon = self.loop.time() - self._heard < STALE
            self._reply.is_stale = self._is_kept and is_soon and not self._header_bytes and not self._reply.has_begun
            self._end(None if is_over else broken)
        self._on_end(self)

    def _end(self, broken: OSError | None) -> None:
        reply, self._reply = self._reply, None
        if reply:
            reply.end(broken)

    def _look(self) -> None:
        """Whether there is silence for too long; again at the next moment at which there can be."""
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._unsent or self.is_paused:  # who still takes the request, or may not go on, is not silent
            self._heard = self.loop.time()
        self._unsent = unsent
        left = self._heard + (self._silence if self._reply else KEEP) - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(min(left, self._silence, KEEP), self._look)
            return
        self._end(Silence())
        self.close()

    # What the parser tells

    def on_message_begin(self) -> None:
        if self._reply is None or self._reply.is_whole:
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reply and not self._reply.has_begun:  # what stands behind the body is none of them (RFC 9110, 6.5.1)
            self._reply.line(name, value)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 101:
            raise ValueError("it goes on with another protocol")
        if self._reply:
            self._reply.begun(status)

    def on_body(self, data: bytes) -> None:
        if self._reply:
            if self._reply.unpack:
                data = self._reply.unpack(data)
            if data:
                self._reply.pieces.append(data)

    def on_message_complete(self) -> None:
        if self._reply is None:
            return
        if self._reply.status < 200:
            self._reply.forget()
        else:
            self._reply.is_whole = True
            self._is_kept = self._parser.should_keep_alive()  # which it forgets with the message


def _what_is_wrong(error: HttpParserError) -> OSError:
    """What is wrong with an answer: its HTTP, or what was found out while it was read."""
    reason = error.__context__
    return reason if isinstance(reason, Packed) else ConnectionError(f"what came is no HTTP: {reason or error}")
