"""Bytes <-> events: how a provider frames its stream, and how the client wants its own framed.

A decoder is fed the bytes of a body as they come, cut anywhere, and gives the chunks that are complete. Two rules hold
for all of them. A body that is something else altogether, a page of HTML say, raises FramingError. A chunk that is
itself cut off by the end of the body is left out: what is missing tells that the stream broke off.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, AnyStr, Generic, Protocol

import orjson

from engine.wire.jsontext import dumps, loads
from engine.wire.likeness import Likeness

MAX_CHUNK = 32 * 1024 * 1024
"""How many bytes a provider may send without completing a chunk."""

FEW = 4
"""Events after which it is looked whether those that follow can be read together."""

_FIELDS = (b"data", b"event", b"id", b"retry")
_CR, _LF = b"\r\n"  # as numbers, which are found in bytes several times faster than a text is
_BLANK_LINE = re.compile(rb"\n\n")  # which splits in half the time that bytes.split takes
_HEAD = re.compile(rb"(?:event: (?!\s*error)[^\n]*\n)?")
"""What stands before the one line of data of most events."""


class FramingError(ValueError):
    """The `body` is not what its framing promises; the message quotes its beginning."""

    def __init__(self, problem: str, body: bytes | str) -> None:
        self.body = body.decode(errors="replace") if isinstance(body, bytes) else body
        super().__init__(f"{problem}: {self.body[:200].strip()}")


class Decoder(Protocol):
    """What every framing has; `done` is true once the provider has said that its stream is complete. `likeness` reads the
    chunks, if there is one, and as long as that is worth it."""

    done: bool
    likeness: Likeness | None = None

    def recognise(self, data: bytes) -> str:
        """The text of data that are one event, and like the last (likeness.py); nothing of any other, which are to be fed."""
        return ""

    def feed(self, data: bytes) -> list[Any]: ...
    def end(self) -> list[Any]:
        """The last chunks; none when it is asked again."""
        ...


class _Kept(Generic[AnyStr]):
    """The beginning of a chunk that is not complete yet; its pieces are joined only when something may be in them."""

    def __init__(self, nothing: AnyStr) -> None:
        self._nothing: AnyStr = nothing
        self.pieces: list[AnyStr] = []
        self._size = 0

    def keep(self, piece: AnyStr) -> None:
        if not piece:
            return
        self.pieces.append(piece)
        self._size += len(piece)
        if self._size > MAX_CHUNK:
            raise FramingError(f"the provider sent more than {MAX_CHUNK} bytes without an end", self.pieces[0])

    def take(self) -> AnyStr:
        if not self.pieces:
            return self._nothing
        kept: AnyStr = self._nothing.join(self.pieces)
        self.pieces, self._size = [], 0
        return kept


class SSE(Decoder):
    """Server-sent events, by the standard (https://html.spec.whatwg.org/multipage/server-sent-events.html); S26, S27.

    More lenient in three things: the last event needs no blank line after it; an `event: error` is wrapped as
    `{"error": …}` where its data is not; and a JSON document in place of a stream is taken as its only chunk.
    """

    def __init__(self) -> None:
        self.done = False
        self._kept = _Kept(b"")
        self._begun = False  # something that is not blank has come
        self._is_document = False
        self._is_stream = False  # something that only an event stream has was seen
        self._ended_in_cr = False
        self._usual_head = b""

    def recognise(self, data: bytes) -> str:
        if self.likeness is None or self._kept.pieces or not data.endswith(b"\n\n"):
            return ""
        text = self.likeness.recognise(data[:-2])
        if text:
            self._ended_in_cr = False
        return text

    def feed(self, data: bytes) -> list[Any]:
        if _CR in data or (self._ended_in_cr and data):
            data = self._with_plain_line_ends(data)
        if not self._begun:
            data = data.lstrip(b"\xef\xbb\xbf \t\n")  # a byte order mark, and blank lines that keep the line alive
            self._begun = bool(data)
            self._is_document = data.startswith((b"{", b"["))
        if self._is_document:
            self._kept.keep(data)
            return []
        # Looked for where it can be: to read all that is kept again for each line of an event would take for ever.
        if self._kept.pieces and data.startswith(b"\n") and self._kept.pieces[-1].endswith(b"\n"):
            data = self._kept.take() + data
        events, end, rest = data.rpartition(b"\n\n")
        if end and self._kept.pieces:
            self._kept.keep(events)
            events = self._kept.take()
        if rest:
            self._kept.keep(rest)
        return self._chunks(events) if end else []

    def end(self) -> list[Any]:
        rest = self._kept.take()
        if self._is_document and not self.done:
            return self._document(rest)
        try:
            return self._chunks(rest)
        except FramingError:
            if self._is_stream:
                return []
            raise

    def _with_plain_line_ends(self, data: bytes) -> bytes:
        if self._ended_in_cr:  # the other half of a line end that was cut in two
            data = data.removeprefix(b"\n")
        self._ended_in_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _document(self, text: bytes) -> list[Any]:
        document = _parsed(text)
        self.done = True
        return document if isinstance(document, list) else [document]

    def _chunks(self, events: bytes) -> list[Any]:
        chunks: list[Any] = []
        many = FEW if self.likeness else 0  # none is all of them
        while events:
            some = _BLANK_LINE.split(events, many)
            events = some.pop() if 0 < many < len(some) else b""
            self._read_each(some, chunks)
            if events and self.likeness and chunks and type(chunks[-1]) is tuple:
                texts, events = self.likeness.read_on(events)
                chunks[-1][1].extend(texts)
            many = 2 * many if self.likeness else 0  # the rest is copied each time
        return chunks

    def _read_each(self, events: list[bytes], chunks: list[Any]) -> None:
        likeness = self.likeness
        for event in events:
            if likeness and (text := likeness.recognise(event)):
                chunks.append((likeness.kind, [text]))
                continue
            head, field, data = event.partition(b"data: ")
            if head == self._usual_head and _LF not in data:
                try:
                    chunks.append(likeness.read(head + field, data) if likeness else orjson.loads(data))
                except ValueError:  # the end of the stream, or what only Python reads
                    chunks += self._read(event)
                else:
                    self._is_stream = True
                    if likeness and likeness.is_over:
                        likeness = self.likeness = None
            else:
                chunks += self._read(event)
                if _HEAD.fullmatch(head):
                    self._usual_head = head

    def _read(self, event: bytes) -> list[Any]:
        """The chunk of any event, if it has one."""
        name, data = self._fields(event)
        if data.startswith(b"[DONE]"):
            self.done = True
        elif data and not data.isspace():
            return [_error(data) if name == b"error" else _parsed(data)]
        return []

    def _fields(self, event: bytes) -> tuple[bytes, bytes]:
        """The name and the data of an event."""
        name, data = b"", []
        for line in event.split(b"\n"):
            field, _, value = line.partition(b":")
            self._is_stream |= field in _FIELDS or line.startswith(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.strip()
        if not self._is_stream and event.strip():
            raise FramingError("the provider sent no event stream", event)
        return name, b"\n".join(data)


class NDJSON(Decoder):
    """One JSON value a line."""

    def __init__(self) -> None:
        self.done = False
        self._kept = _Kept(b"")
        self._begun = False

    def feed(self, data: bytes) -> list[Any]:
        self._kept.keep(data)
        if b"\n" not in data:
            return []
        lines, _, rest = self._kept.take().rpartition(b"\n")
        self._kept.keep(rest)
        return self._chunks(lines)

    def end(self) -> list[Any]:
        try:
            return self._chunks(self._kept.take())
        except FramingError:
            if self._begun:
                return []
            raise

    def _chunks(self, lines: bytes) -> list[Any]:
        chunks = [_parsed(line) for line in lines.split(b"\n") if line.strip()]
        self._begun = self._begun or bool(chunks)
        return chunks


class JSONArray(Decoder):
    """A JSON array of objects that is written while they are made: `[{…}`, `,{…}`, `]`."""

    _object = json.JSONDecoder(strict=False).raw_decode
    _between = re.compile(r"[\s,\[]*")

    def __init__(self) -> None:
        self.done = False
        self._kept = _Kept("")
        self._begun = False
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, data: bytes) -> list[Any]:
        self._kept.keep(self._utf8.decode(data))
        return self._chunks() if b"}" in data or b"]" in data else []

    def end(self) -> list[Any]:
        rest = self._kept.take()
        if rest.strip() and not (self._begun or self.done):
            raise FramingError("the provider sent no JSON array", rest)
        return []

    def _chunks(self) -> list[Any]:
        text = self._kept.take()
        chunks: list[Any] = []
        start = self._start(text, 0)
        while text.startswith("{", start):
            try:
                chunk, end = self._object(text, start)
            except ValueError:  # not complete yet
                break
            chunks.append(chunk)
            start = self._start(text, end)
        self.done = self.done or text.startswith("]", start)
        self._begun = self._begun or bool(chunks)
        self._kept.keep(text[start:])
        return chunks

    def _start(self, text: str, position: int) -> int:
        found = self._between.match(text, position)
        return found.end() if found else position


DECODERS: Mapping[str, Callable[[], Decoder]] = {"sse": SSE, "ndjson": NDJSON, "json_array": JSONArray}


def encode(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Anthropic events, framed. The client ignores an event that has no `event:` line."""
    return b"".join([_framed(event["type"]) % dumps(event) for event in events])


@cache
def _framed(type: str) -> bytes:
    """An event of one of the protocol's types; its data goes in place of %b."""
    return b"event: %b\ndata: %%b\n\n" % type.encode()


PING = encode([{"type": "ping"}])


def _parsed(text: bytes) -> Any:
    try:
        return loads(text)
    except ValueError:
        raise FramingError("the provider sent what is no JSON", text) from None


def _error(data: bytes) -> Any:
    """An event that is named `error` says so in its chunk, whatever its data look like."""
    try:
        told = loads(data)
    except ValueError:
        told = data.decode(errors="replace")
    return told if isinstance(told, dict) and "error" in told else {"error": told}
