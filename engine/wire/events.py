"""Anthropic's stream events: how the blocks of an answer are written, and how a client gathers them again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from engine.wire.framing import encode
from engine.wire.jsontext import dumps, dumps_all
from engine.wire.toolcalls import as_object

Event = dict[str, Any]

# How a block of each kind begins, the type of its deltas, and the field that these fill.
_KINDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "text": ({"text": ""}, "text_delta", "text"),
    "thinking": ({"thinking": "", "signature": ""}, "thinking_delta", "thinking"),
    "tool_use": ({}, "input_json_delta", "partial_json"),
    "redacted_thinking": ({}, "", ""),
    "server_tool_use": ({}, "input_json_delta", "partial_json"),
    "web_search_tool_result": ({}, "", ""),
}


@dataclass
class _Block:
    """A block that is open, and how more of it is told: as events, and by what stands before and behind the text of each.

    Nearly all that a stream is made of are such events, so that none is made first where only its bytes are wanted.
    """

    index: int
    type: str
    field: str

    def more(self, text: str) -> Event:
        return {"type": "content_block_delta", "index": self.index, "delta": {"type": self.type, self.field: text}}

    @cached_property
    def _frame(self) -> tuple[bytes, bytes]:
        """What stands before the text of an event, and behind it."""
        before, _, after = encode([self.more("")]).rpartition(b'""')
        return before, after

    def framed_one(self, text: str) -> bytes:
        before, after = self._frame
        return before + dumps(text) + after

    def framed(self, texts: Sequence[str]) -> bytes:
        if len(texts) == 1:
            return self.framed_one(texts[0])
        before, after = self._frame
        return before + (after + before).join(dumps_all(texts)) + after


_block = lru_cache(maxsize=1024)(_Block)  # the same in every stream


class Blocks:
    """The events on their way out: the start of the message before all others, indexes from 0, one block at a time."""

    def __init__(self, message: dict[str, Any]) -> None:
        self.kind = ""  # of the open block, "" when none is
        self.last = ""  # of the last one, open or not
        self.started = False
        self.written = 0  # characters
        self._message = message
        self._told: list[Event | tuple[_Block, Sequence[str]]] = []
        self._block = _block(-1, "", "")  # the last one

    def take(self) -> list[Event]:
        """What has been written since the last time."""
        told, self._told = self._told, []
        return [event for each in told for event in (map(each[0].more, each[1]) if isinstance(each, tuple) else (each,))]

    def take_framed(self) -> bytes:
        """The same, as it goes to the client."""
        told, self._told = self._told, []
        return b"".join([each[0].framed(each[1]) if isinstance(each, tuple) else encode([each]) for each in told])

    def emit(self, event: Event) -> None:
        self._told.append(event)

    def start(self) -> None:
        """The start of the message goes out with the first block (S21), or at the end of an answer without any."""
        if not self.started:
            self.started = True
            self.emit({"type": "message_start", "message": self._message})

    def open(self, kind: str, **fields: Any) -> None:
        self.start()
        self.kind = self.last = kind
        start, type, field = _KINDS[kind]
        self._block = _block(self._block.index + 1, type, field)
        self.emit({"type": "content_block_start", "index": self._block.index, "content_block": {"type": kind, **start, **fields}})

    def write(self, text: str) -> None:
        """More of what the open block is made of."""
        self.written += len(text)
        self._told.append((self._block, (text,)))

    def write_all(self, texts: Sequence[str]) -> None:
        """The same, an event for each text."""
        self.written += sum(map(len, texts))
        self._told.append((self._block, texts))

    def framed(self, text: str) -> bytes:
        """More of what the open block is made of, as it goes to the client, behind what waits to be taken."""
        if self._told:
            self.write(text)
            return self.take_framed()
        self.written += len(text)
        return self._block.framed_one(text)

    def add(self, type: str, field: str, value: Any) -> None:
        """A delta of another type than the block's own: a signature, a citation."""
        delta = {"type": type, field: value}
        self.emit({"type": "content_block_delta", "index": self._block.index, "delta": delta})

    def close(self) -> None:
        self.kind = ""
        self.emit({"type": "content_block_stop", "index": self._block.index})


def fold(events: Iterable[Event]) -> dict[str, Any]:
    """The message that a client gathers from the events of a whole answer.

    This is how an answer without streaming is made, so it cannot differ from the streamed one. Raises ValueError for
    events that end in an error: half an answer is none.
    """
    message: dict[str, Any] = {}
    written: list[list[str]] = []
    for event in events:
        kind = event["type"]
        if kind == "message_start":
            message = {**event["message"], "content": [], "usage": {**event["message"]["usage"]}}
        elif kind == "content_block_start":
            message["content"].append({**event["content_block"]})
            written.append([])
        elif kind == "content_block_delta":
            _gather(message["content"][event["index"]], written[event["index"]], event["delta"])
        elif kind == "message_delta":
            message.update(event["delta"])
            message["usage"].update(event["usage"])
        elif kind == "error":
            raise ValueError(f"a broken answer cannot be folded: {event['error']['message']}")
    for block, pieces in zip(message["content"], written, strict=True):
        _complete(block, "".join(pieces))
    return message


def _gather(block: dict[str, Any], pieces: list[str], delta: dict[str, Any]) -> None:
    if delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    elif delta["type"] == "citations_delta":
        block.setdefault("citations", []).append(delta["citation"])
    else:
        pieces.append(delta[_KINDS[block["type"]][2]])


def _complete(block: dict[str, Any], text: str) -> None:
    if block["type"] in ("tool_use", "server_tool_use"):
        block["input"] = as_object(text)
    elif block["type"] in ("text", "thinking"):
        block[block["type"]] = text
