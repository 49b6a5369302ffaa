"""One request to a provider that speaks Anthropic's own format: bytes in, bytes out."""

import re
from collections.abc import Mapping as Headers
from typing import Any

from engine.gateway.sections import Sections
from engine.mapping.loader import Mapping
from engine.wire import framing, jsontext, native

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LAST_EVENTS = re.compile(rb"event: ?(?:message_stop|error)\b")
_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')

PASSED_HEADERS = ("anthropic-", "retry-after", "x-should-retry")
"""How those of the provider's headers begin that the client gets."""


class Relay(Sections):
    """A client's request as it goes on to the provider, and the provider's answer on its way back.

    `body` is the client's own bytes but for the model's name, unless the mapping or somebody else's reasoning in it make
    for more; `lost` is what of it is left out. An answer comes back as it is: only the model has the name that the client
    knows, since it drops all thinking when that changes (client.md 2.4).
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
        self.lost: dict[str, str] = {}
        self._asked_model: str = request["model"]
        self._kept = b""
        self._begun = False
        self._ended = False
        self.request = native.adapt(request, self.facts, self.lost)
        made = self._said_by_the_mapping(self.request)
        self.lost |= {name: mapping.reason(name) for name in self.request.keys() - made.keys() - {"model"}}
        self.body = _renamed(data, model) if made == request | {"model": model} else jsontext.dumps(made)

    @property
    def count_body(self) -> bytes:
        """What is sent to be counted."""
        return self.body

    def _said_by_the_mapping(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request, with what the mapping makes of each key that it speaks of."""
        said: dict[str, Any] = self.run(self.mapping.request, request, self.model)
        kept = {key: said.get(key, value) for key, value in request.items() if key in said or key not in self.mapping.said}
        return kept | said

    # A stream

    def receive(self, data: bytes) -> bytes:
        """What of the stream can go on: whole events, since a ping may come between any two pieces."""
        data = self._kept + data
        ends = [end.end() for end in _EVENT_END.finditer(data)]
        whole, self._kept = (data[: ends[-1]], data[ends[-1] :]) if ends else (b"", data)
        self._ended = self._ended or bool(_LAST_EVENTS.search(whole))
        if whole and not self._begun:
            self._begun = True
            return self._with_asked_model(whole[: ends[0]]) + whole[ends[0] :]
        return whole

    def finish(self) -> bytes:
        """The last of the stream, an error where it broke off before its end (S20)."""
        rest = self.receive(b"\n\n") if self._kept.strip() else b""
        return rest if self._ended else rest + self.fail("api_error", f"{self.provider}: the stream broke off")

    def fail(self, type: str, message: str) -> bytes:
        """The event that ends a stream in trouble."""
        return framing.encode([{"type": "error", "error": {"type": type, "message": message}}])

    def _with_asked_model(self, event: bytes) -> bytes:
        if self._asked_model == self.model:
            return event
        [told] = framing.SSE().feed(event) or [None]
        if not isinstance(told, dict) or not isinstance(told.get("message"), dict):
            return event
        told["message"]["model"] = self._asked_model
        return framing.encode([told])

    # A whole answer

    def answer(self, data: bytes) -> bytes:
        """A whole answer's bytes. Raises ApiError where it is none of Anthropic's."""
        try:
            reply = jsontext.loads(data)
        except ValueError:
            reply = None
        if not isinstance(reply, dict) or reply.get("type") != "message":
            raise self.refuse(502, data, {})
        return data if self._asked_model == self.model else jsontext.dumps(reply | {"model": self._asked_model})

    def passes(self, data: bytes) -> bool:
        """Whether a refusal is in Anthropic's form: the client mends itself by its very words, so it goes as it came."""
        try:
            reply = jsontext.loads(data)
        except ValueError:
            return False
        error = reply.get("error") if isinstance(reply, dict) and reply.get("type") == "error" else None
        return isinstance(error, dict) and isinstance(error.get("message"), str)


def _renamed(data: bytes, model: str) -> bytes:
    """The client's bytes with the model's name changed, if it is plain which of the names in there it is."""
    named = [found.span(1) for found in _MODEL.finditer(data)]
    if len(named) != 1:
        return jsontext.dumps(jsontext.loads(data) | {"model": model})
    [(start, end)] = named
    return data[:start] + jsontext.dumps(model) + data[end:]
