"""Anthropic's stream events: how the blocks of an answer are written, and how a client gathers them again."""

from collections.abc import Iterable
from typing import Any

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


class Blocks:
    """The events on their way out: the start of the message before all others, indexes from 0, one block at a time."""

    def __init__(self, message: dict[str, Any]) -> None:
        self.kind = ""  # of the open block, "" when none is
        self.started = False
        self.written = 0  # characters
        self._message = message
        self._events: list[Event] = []
        self._index = -1
        self._delta = self._field = ""

    def take(self) -> list[Event]:
        """What has been written since the last time."""
        events, self._events = self._events, []
        return events

    def emit(self, event: Event) -> None:
        self._events.append(event)

    def start(self) -> None:
        """The start of the message goes out with the first block (S21), or at the end of an answer without any."""
        if not self.started:
            self.started = True
            self._events.append({"type": "message_start", "message": self._message})

    def open(self, kind: str, **fields: Any) -> None:
        self.start()
        self.kind = kind
        self._index += 1
        start, self._delta, self._field = _KINDS[kind]
        block = {"type": kind, **start, **fields}
        self._events.append({"type": "content_block_start", "index": self._index, "content_block": block})

    def write(self, text: str) -> None:
        """More of what the open block is made of."""
        self.written += len(text)
        delta = {"type": self._delta, self._field: text}
        self._events.append({"type": "content_block_delta", "index": self._index, "delta": delta})

    def add(self, type: str, field: str, value: Any) -> None:
        """A delta of another type than the block's own: a signature, a citation."""
        delta = {"type": type, field: value}
        self._events.append({"type": "content_block_delta", "index": self._index, "delta": delta})

    def close(self) -> None:
        self.kind = ""
        self._events.append({"type": "content_block_stop", "index": self._index})


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
