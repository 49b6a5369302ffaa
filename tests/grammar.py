"""What a stream of Anthropic events must look like, and what the real SDK makes of one.

Every test that produces a stream hands it to `check`; `sdk_message` is the second opinion.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import anthropic
import httpx2

from engine.wire.framing import encode

Event = Mapping[str, Any]

_STARTS: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    "tool_use": {"type": "tool_use", "id": str, "name": str, "input": {}},
    "redacted_thinking": {"type": "redacted_thinking", "data": str},
    "server_tool_use": {"type": "server_tool_use", "id": str, "name": "web_search", "input": {}},
    "web_search_tool_result": {"type": "web_search_tool_result", "tool_use_id": str, "content": (list, dict)},
}
_DELTAS: dict[str, dict[str, str]] = {
    "text": {"text_delta": "text", "citations_delta": "citation"},
    "thinking": {"thinking_delta": "thinking", "signature_delta": "signature"},
    "tool_use": {"input_json_delta": "partial_json"},
    "redacted_thinking": {},
    "server_tool_use": {"input_json_delta": "partial_json"},
    "web_search_tool_result": {},
}
_PAGE = {"type", "url", "title", "page_age", "encrypted_content"}
_STOP_REASONS = (
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
)
_BESIDE_TOOLS = ("tool_use", "max_tokens", "refusal", "model_context_window_exceeded")
_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def check(events: Iterable[Event], *, broken_json: bool = False) -> None:
    """Raises AssertionError, naming the event, where the events are not a whole and well-formed answer.

    A tool's arguments that are no JSON object are an error unless the answer was cut (max_tokens, an error event), or
    `broken_json` allows for a model that wrote them so.
    """
    reader = _Reader(broken_json)
    for number, event in enumerate(events):
        try:
            reader.read(event)
        except AssertionError as problem:
            raise AssertionError(f"event {number}, {event!r}: {problem}") from None
    assert reader.over, "the stream ends without message_stop or error"


def sdk_message(events: Iterable[Event]) -> dict[str, Any]:
    """The message that the anthropic SDK gathers from the events, sent to it as bytes. Raises as the SDK does."""
    body = encode(events)
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    http = httpx2.Client(transport=httpx2.MockTransport(lambda request: answer))
    client = anthropic.Anthropic(api_key="none", http_client=http, max_retries=0)
    with client.messages.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "?"}]) as stream:
        return stream.get_final_message().to_dict()


class _Reader:
    def __init__(self, broken_json: bool) -> None:
        self.over = False
        self._broken_json = broken_json
        self._started = False
        self._stop_reason: str | None = None
        self._index = -1
        self._kind: str | None = None  # of the open block
        self._written: list[str] = []
        self._signed = False
        self._ids: set[str] = set()
        self._searching: str | None = None  # the id of a search without its result
        self._has_broken_json = False

    def read(self, event: Event) -> None:
        assert not self.over, "nothing may follow the end"
        assert next(iter(event)) == "type", "`type` goes first"
        json.dumps(event, allow_nan=False)
        kind = event["type"]
        if kind == "ping":
            return
        if kind not in ("message_start", "error"):
            assert self._started, "message_start goes first"
        assert self._stop_reason is None or kind in ("message_stop", "error"), "only message_stop follows message_delta"
        read = getattr(self, f"_read_{kind}", None)
        assert read is not None, "there is no such event"
        read(event)

    def _read_message_start(self, event: Event) -> None:
        assert not self._started, "message_start comes once"
        self._started = True
        message = event["message"]
        assert message["id"], "a message has an id"
        assert isinstance(message["id"], str)
        assert isinstance(message["model"], str)
        fixed: Event = {"type": "message", "role": "assistant", "content": [], "stop_reason": None, "stop_sequence": None}
        assert fixed.items() <= message.items(), f"it begins as {fixed}"
        _check_usage(message["usage"])

    def _read_content_block_start(self, event: Event) -> None:
        assert self._kind is None, f"the {self._kind} block is still open"
        self._index += 1
        assert event["index"] == self._index, f"the index should be {self._index}"
        block = event["content_block"]
        self._kind, self._written, self._signed = block["type"], [], False
        assert self._kind in _STARTS, "there is no such block"
        expected = _STARTS[self._kind]
        assert block.keys() == expected.keys(), f"the fields should be {list(expected)}"
        for name, value in expected.items():
            assert block[name] == value or _is_of(value, block[name]), f"{name} is wrong"
        if self._kind == "server_tool_use":
            self._searching = block["id"]
        elif self._kind == "web_search_tool_result":
            _check_found(block, self._searching)
            self._searching = None
        else:
            assert self._searching is None, "a search is followed by its result"
        if self._kind == "tool_use":
            assert block["id"] not in self._ids, "the id is not unique"
            self._ids.add(block["id"])

    def _read_content_block_delta(self, event: Event) -> None:
        assert self._kind is not None, "no block is open"
        assert event["index"] == self._index, f"block {self._index} is open"
        delta = event["delta"]
        assert delta["type"] in _DELTAS[self._kind], f"this is no delta of a {self._kind} block"
        field = _DELTAS[self._kind][delta["type"]]
        assert delta.keys() == {"type", field}, f"the fields should be type and {field}"
        assert not self._signed, "the signature is the last delta of its block"
        if field == "citation":
            assert isinstance(delta[field], dict), "a citation is an object"
            return
        assert isinstance(delta[field], str), f"{field} is text"
        if field == "signature":
            self._signed = True
        else:
            assert delta[field], "a delta is not empty"
            self._written.append(delta[field])

    def _read_content_block_stop(self, event: Event) -> None:
        assert self._kind is not None, "no block is open"
        assert event["index"] == self._index, f"block {self._index} is open"
        text = "".join(self._written)
        if self._kind == "thinking":
            assert self._signed, "a thinking block ends with its signature"
        elif self._kind == "text":
            assert text.strip(), "a text block is not blank"
        elif self._kind == "tool_use" and not _is_object(text):
            self._has_broken_json = True
        elif self._kind == "server_tool_use":
            assert _is_object(text), "a search's input is an object"
        self._kind = None

    def _read_message_delta(self, event: Event) -> None:
        assert self._kind is None, f"the {self._kind} block is still open"
        assert self._searching is None, "a search is followed by its result"
        delta = event["delta"]
        reason = self._stop_reason = delta["stop_reason"]
        assert reason in _STOP_REASONS, "there is no such stop_reason"
        assert delta.keys() <= {"stop_reason", "stop_sequence", "stop_details"}
        assert delta["stop_sequence"] is None or reason == "stop_sequence", "stop_sequence goes with its stop_reason"
        assert ("stop_details" in delta) == (reason == "refusal"), "stop_details goes with a refusal"
        assert reason in _BESIDE_TOOLS if self._ids else reason != "tool_use", "stop_reason must tell of the tool calls"
        assert not self._has_broken_json or self._broken_json or reason == "max_tokens", "the arguments are no JSON object"
        _check_usage(event["usage"])

    def _read_message_stop(self, event: Event) -> None:
        assert self._stop_reason is not None, "message_delta comes before message_stop"
        assert event.keys() == {"type"}
        self.over = True

    def _read_error(self, event: Event) -> None:
        error = event["error"]
        assert error.keys() == {"type", "message"}
        assert error["type"].endswith("_error") or error["type"] == "request_too_large", "there is no such error type"
        assert isinstance(error["message"], str)
        assert error["message"]
        self.over = True


def _check_usage(usage: Mapping[str, Any]) -> None:
    for name in _COUNTS:
        assert type(usage[name]) is int, f"usage.{name} is a number"
        assert usage[name] >= 0, f"usage.{name} is not negative"
    assert usage.keys() <= {*_COUNTS, "output_tokens_details", "server_tool_use"}


def _is_of(kind: Any, value: Any) -> bool:
    return isinstance(kind, type | tuple) and isinstance(value, kind) and (value != "" or kind is not str)


def _check_found(block: Event, searching: str | None) -> None:
    assert block["tool_use_id"] == searching, "a result follows its search"
    found = block["content"]
    if isinstance(found, dict):
        assert found.keys() == {"type", "error_code"}, "a failed search has a type and an error_code"
        return
    for page in found:
        assert page.keys() == _PAGE, f"a page has {_PAGE}"
        assert page["url"], "a page has an address"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
