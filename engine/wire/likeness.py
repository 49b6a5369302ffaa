"""Most chunks of a stream are like the one before, but for a text: that text is then all that is read.

Where a chunk differs from the last in one string, and this string is known to become a delta as it is, and nothing else
to come of the chunk, then of those that follow with the same bytes around it only the string is parsed.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from engine.wire.jsontext import STRING

_MARK = "the text that differs"

TRIES = 4
"""How often it is looked whether a chunk is like the last: some providers say something new with each."""

WORTH = 10
"""Chunks that have to be like one another for that to be looked for again: some tell the second in which each is sent."""


class Likeness:
    """Reads the chunks of one stream. `becomes`: a chunk and a text in it -> the kind of delta that any text in its place
    becomes, where that is all that comes of the chunk; else None. `kind`: this kind, of the chunks that are now like one another.
    `is_over`: no chunk was like the last, and none is looked at any more."""

    def __init__(self, becomes: Callable[[Any, str], str | None]) -> None:
        self.kind = ""
        self.is_over = False
        self._becomes = becomes
        self._last = b""
        self._tries = TRIES
        self._served = 0
        self._before, self._after = b"\n", b""  # around the text of an event, each with a quote; none begins like this
        self._start = self._end = 0  # of the string with its quotes, in an event that is like the last, the latter from its end

    def recognise(self, event: bytes) -> str:
        """The text of an event that is like the last; nothing of any other."""
        if event.startswith(self._before) and event.endswith(self._after):
            try:
                text: str = orjson.loads(event[self._start : self._end])
            except ValueError:  # more than the one string differs
                return ""
            self._served += 1
            return text
        return ""

    def read(self, head: bytes, data: bytes) -> Any:
        """The chunk of an event, of whose data this is the JSON text; `head` stands before them. Raises ValueError."""
        chunk = orjson.loads(data)
        if self._served >= WORTH:
            self._tries = TRIES
        if self._tries and self._last:
            self._tries -= 1
            self._served = 0
            self._compare(head, data)
            self.is_over = not (self._tries or self.kind)
        self._last = data
        return chunk

    def read_on(self, events: bytes) -> tuple[list[str], bytes]:
        """The texts of those events at the beginning that are like the last, but for the last of them, and the rest of the
        events."""
        before = self._before
        between = self._after + b"\n\n" + before
        pieces: list[bytes] = []
        start = len(before) if events.startswith(before) else len(events)
        while events.startswith(between, end := events.find(b'"', start)):
            pieces.append(events[start:end])
            start = end + len(between)
        try:
            # No piece holds a quote, and behind one that ends in a backslash a string would be left open at the end.
            texts: list[str] = orjson.loads(b'["' + b'","'.join(pieces) + b'"]')
        except ValueError:
            return [], events
        if not all(texts):  # [""] where there are no pieces
            return [], events
        self._served += len(texts)
        return texts, events[start - len(before) :]

    def _compare(self, head: bytes, data: bytes) -> None:
        """Look for a string in which alone the data differ from the last."""
        string = STRING.match(data, data.rfind(b'"', 0, _first_difference(data, self._last)))
        if string is None:
            return
        before, after = data[: string.start() + 1], data[string.end() - 1 :]
        if not self._last.endswith(after) or len(after) == 1:
            return
        # Where that is no string, or one that is no value, this is no JSON, or the mark is nowhere in it.
        with suppress(ValueError):
            chunk = orjson.loads(before + _MARK.encode() + after)
            if kind := self._becomes(chunk, _MARK):
                self.kind, self._before, self._after = kind, head + before, after
                self._start, self._end = len(self._before) - 1, 1 - len(after)
            else:  # what looks into this text, or makes more of this chunk, does so with the next
                self._tries = 0


def _first_difference(one: bytes, other: bytes) -> int:
    """The index of the first byte in which they differ."""
    length = min(len(one), len(other))
    difference = int.from_bytes(one[:length]) ^ int.from_bytes(other[:length])
    return length - (difference.bit_length() + 7) // 8
