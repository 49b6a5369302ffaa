"""One request to a provider that speaks Anthropic's own format: bytes in, bytes out."""

import re
from collections.abc import Callable
from collections.abc import Mapping as Headers
from itertools import islice
from typing import Any

from engine.gateway.sections import Sections, tokens_of
from engine.mapping.mapping import Mapping
from engine.wire import framing, jsontext, native
from engine.wire.errors import ApiError

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_FIRST_EVENT = re.compile(rb"(?:^|(?<=[\r\n]))event: ?message_start\b")
_LAST_EVENT = re.compile(rb"(?:^|(?<=[\r\n]))event: ?(message_stop|error)\b")
_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_MOST_NAMES = 20
"""How many names of models in a text are looked at: to try one is to read the whole text."""

_COUNTING = b'"usage"'
_PASSED = ("anthropic-", "retry-after", "x-should-retry")
_ACCOUNT = "anthropic-organization-id"


class Relay(Sections):
    """A client's request as it goes on to the provider, and the provider's answer on its way back.

    `body` is the client's own bytes but for the model's name, unless the mapping or somebody else's reasoning in it make
    for more; `lost` is what of it is left out. An answer comes back as it is: only the model has the name that the client
    knows, since it drops all thinking when that changes.
    """

    def __init__(
        self,
        provider: str,
        mapping: Mapping,
        model: str,
        request: dict[str, Any],
        data: bytes,
        *,
        key: str | None = None,
        client: Headers[str, str] | None = None,
    ):
        super().__init__(provider, mapping, model, key=key, client=client, streams=request.get("stream") is True)
        self.is_complete = False
        self.lost: dict[str, str] = {}
        self.usage: dict[str, int] = {}
        self.failure: ApiError | None = None
        self._asked_model: str = request["model"]
        self._is_named = self._asked_model == model
        self._kept = bytearray()
        self.request = native.adapt(request, self.facts, self.lost)
        self._made = self._said_by_the_mapping(self.request)
        self.lost |= {name: mapping.reason(name) for name in self.request.keys() - self._made.keys() - {"model"}}
        self.lost |= self.lost_within(self.request)
        self.body = self._bytes_of(self._made, request, data)

    def _said_by_the_mapping(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request, with what the mapping makes of each key that it speaks of."""
        said: dict[str, Any] = self.run(self.mapping.request, request, self.model)
        kept = {key: said.get(key, value) for key, value in request.items() if key in said or key not in self.mapping.said}
        return kept | said

    def _bytes_of(self, made: dict[str, Any], request: dict[str, Any], data: bytes) -> bytes:
        if made == request:
            return data
        is_same = made == request | {"model": self.model}
        return (_renamed(data, self.model, made, jsontext.loads) if is_same else None) or jsontext.dumps(made)

    @property
    def count_body(self) -> bytes:
        """What is sent to be counted."""
        section = self.mapping.count_request
        return jsontext.dumps(self.run(section, self._made, self.model)) if section else self.body

    # A stream

    def receive(self, data: bytes) -> bytes:
        """What of the stream can go on: whole events, since a ping may come between any two pieces."""
        # Looked for where it can be: to read all that is kept again for each piece of an event would take for ever.
        has_end = _EVENT_END.search(self._kept[-3:] + data)
        self._kept += data
        end = [found.end() for found in _EVENT_END.finditer(self._kept)][-1] if has_end else 0
        whole, self._kept = bytes(self._kept[:end]), self._kept[end:] if end else self._kept
        if len(self._kept) > framing.MAX_CHUNK:
            raise ApiError(500, "api_error", f"{self.provider}: an event of the stream does not end")
        if _COUNTING in whole:
            self._count(whole)
        if last := _LAST_EVENT.search(whole):
            self.is_complete = True
            ends = [0, *(found.end() for found in _EVENT_END.finditer(whole))]
            start, end = max(end for end in ends if end <= last.start()), min(end for end in ends if end > last.start())
            event = whole[start:end]
            whole = whole[:start] + (self._fail(event) if last[1] == b"error" else event)  # nothing comes behind it
        return whole if self._is_named else self._with_asked_model(whole)

    def _count(self, events: bytes) -> None:
        """What events say of the answer's tokens."""
        for told in _told(events):
            match told:
                case {"usage": {**usage}} | {"message": {"usage": {**usage}}}:
                    self.usage |= tokens_of(usage)

    def _fail(self, event: bytes) -> bytes:
        """The event that ends a stream in its middle, as the client gets it."""
        told = _told(event)
        self.failure = self.refuse(200, jsontext.dumps(told[0]) if told else event, {})
        if told and self._passes(told[0]):
            return event
        return framing.encode([{"type": "error", "error": {"type": self.failure.type, "message": self.failure.message}}])

    def finish(self) -> bytes:
        """The last of the stream. Raises ApiError where it broke off before its end (S20)."""
        # What is left may be a whole event without the blank line behind it, or half of one.
        rest = self.receive(b"\n\n") if _told(bytes(self._kept) + b"\n\n") else b""
        if not self.is_complete:
            raise ApiError(500, "api_error", f"{self.provider}: the stream broke off before its end")
        return rest

    def _with_asked_model(self, events: bytes) -> bytes:
        """The events with the name that the client knows in the one that names it, ahead of which pings may come."""
        found = _FIRST_EVENT.search(events)
        end = found and _EVENT_END.search(events, found.end())
        if not found or not end:
            return events
        self._is_named = True
        first = events[found.start() : end.end()]
        return events[: found.start()] + self._named_event(first) + events[end.end() :]

    def _named_event(self, event: bytes) -> bytes:
        match _told(event):
            case [{"message": {"model": _} as message} as told]:
                wanted = [told | {"message": message | {"model": self._asked_model}}]
                return _renamed(event, self._asked_model, wanted, _told) or framing.encode(wanted)
        return event

    # A whole answer

    def answer(self, data: bytes) -> bytes:
        """A whole answer's bytes. Raises ApiError where it is none of Anthropic's."""
        try:
            reply = jsontext.loads(data)
        except ValueError:
            reply = None
        if not isinstance(reply, dict) or reply.get("type") != "message":
            raise self.no_answer(data, {})
        self.usage = tokens_of(reply.get("usage"))
        if self._is_named:
            return data
        wanted = reply | {"model": self._asked_model}
        return _renamed(data, self._asked_model, wanted, jsontext.loads) or jsontext.dumps(wanted)

    def as_it_came(self, refusal: bytes, request_id: str) -> bytes | None:
        """A refusal as it came, but for an id where it has none; None where the client cannot get it so."""
        try:
            reply = jsontext.loads(refusal)
        except ValueError:
            return None
        if not self._passes(reply):
            return None
        return refusal if reply.get("request_id") else jsontext.dumps(reply | {"request_id": request_id})

    def _passes(self, reply: Any) -> bool:
        """Whether an error is in Anthropic's form, by whose very words the client mends itself, and gives nothing away."""
        from engine.wire.redact import redact  # why: errors.py

        error = reply.get("error") if isinstance(reply, dict) and reply.get("type") == "error" else None
        message = error.get("message") if isinstance(error, dict) else None
        quotes_key = bool(self.key) and str(self.key).encode() in jsontext.dumps(reply)  # and not as `sk\\u002d…`
        return isinstance(message, str) and redact(message) == message.strip() and not quotes_key


def passed(headers: Headers[str, str]) -> list[tuple[str, str]]:
    """Those of the provider's headers that are the client's affair: its limits and when to try again, not whose account it is."""
    told = ((name.lower(), value) for name, value in headers.items())
    return [(name, value) for name, value in told if name.startswith(_PASSED) and name != _ACCOUNT]


def _renamed(data: bytes, model: str, wanted: Any, read: Callable[[bytes], Any]) -> bytes | None:
    """The bytes with the model's name changed: that name among those in there with which they say what is wanted."""
    for found in islice(_MODEL.finditer(data), _MOST_NAMES):
        start, end = found.span(1)
        changed = data[:start] + jsontext.dumps(model) + data[end:]
        if read(changed) == wanted:
            return changed
    return None


def _told(event: bytes) -> list[Any]:
    """What an event says; nothing where it is none."""
    try:
        return framing.SSE().feed(event)
    except framing.FramingError:
        return []
