"""One request's translation there and back, without the network."""

from collections.abc import Mapping as Headers
from functools import cached_property, partial
from typing import Any

from engine.gateway.sections import Sections, tokens_of
from engine.mapping.mapping import Mapping
from engine.mapping.opaque import passed_as
from engine.wire import framing, history, reasoning, searches, tokens, tools
from engine.wire.assembler import PROMPT, Assembler, fold
from engine.wire.errors import ApiError
from engine.wire.likeness import Likeness

Event = dict[str, Any]

MOST_REQUESTS = 40
"""How often the rest of one answer is asked for; each may hold tens of thousands of tokens."""

OF_CLAUDE_CODE = ("omitted", "updates")
"""How Claude Code has thinking displayed: it takes the last block of an answer for its words."""


class Exchange(Sections):
    """A client's request on its way to a provider, and the provider's answer on its way back.

    `body` is what goes upstream and `lost` what of the request does not, each with the reason. Whole answers and streams go
    through the same deltas and the same assembler, so both give the same message.
    """

    def __init__(
        self,
        provider: str,
        mapping: Mapping,
        model: str,
        request: dict[str, Any],
        *,
        request_id: str,
        size: int | None = None,
        key: str | None = None,
        client: Headers[str, str] | None = None,
    ):
        super().__init__(provider, mapping, model, key=key, client=client, streams=request.get("stream") is True)
        self.request_id = request_id
        asked = request | {"stream": self.streams}
        self.prepared = history.prepare(asked, self.facts, provider=provider, model=model, size=size)
        unread, within = mapping.unread(self.prepared.request), self.lost_within(self.prepared.request)
        self.lost = {key: unread[key] for key in request if key in unread} | within | self.prepared.lost
        self.body: dict[str, Any] = self.run(mapping.request, self.prepared.request, model)
        self.failure: ApiError | None = None
        self.asked = request
        self._requests = 1

    def get_ready(self) -> object:
        """Make what reads the answer, for which there is time while the provider is at it."""
        return self._assembler, self.streams and self._decoder

    @cached_property
    def _assembler(self) -> Assembler:
        thinking, choice = self.asked.get("thinking") or {}, self.asked.get("tool_choice") or {}
        return Assembler(
            self.asked.get("model") or self.model,
            message_id=f"msg_{self.request_id.removeprefix('req_')}",
            tool_names=self.prepared.tool_names,
            taken_ids=self.prepared.tool_ids,
            think_tags=self.facts.think_tags,
            tagged_tools=self.request.get("tools", ()) if self.facts.call_tags == "tagged" else (),
            stop_sequences=self.prepared.stop_sequences,
            asked_stops=self.asked.get("stop_sequences") or (),
            # No method: an assembler that held the exchange would keep both, the request with them, until the collector comes.
            seal=partial(reasoning.seal, self.provider, self.model),
            show_thinking=thinking.get("display") != "omitted",
            words_last=thinking.get("display") in OF_CLAUDE_CODE,
            single_call=self.facts.single_call == "enforced" and bool(choice.get("disable_parallel_tool_use")),
        )

    @cached_property
    def _decoder(self) -> framing.Decoder:
        decoder = framing.DECODERS[self.mapping.framing]()
        if isinstance(decoder, framing.SSE):
            decoder.likeness = Likeness(partial(passed_as, self.mapping.stream, self.model))
        return decoder

    @property
    def request(self) -> dict[str, Any]:
        """The client's request as the mapping reads it."""
        return self.prepared.request

    @property
    def count_body(self) -> dict[str, Any]:
        """What is sent to be counted."""
        section = self.mapping.count_request
        body: dict[str, Any] = self.run(section, self.body, self.model) if section else self.body
        return body

    @property
    def usage(self) -> dict[str, int]:
        """What is known of the answer's tokens, by the words of `metrics.USAGE`."""
        return tokens_of(self._assembler.usage)

    @property
    def written(self) -> int:
        """The characters of the answer so far."""
        return self._assembler.blocks.written

    # A stream

    @property
    def is_complete(self) -> bool:
        """Whether the provider has said that its stream is, though it may keep the connection."""
        return self._decoder.done

    @property
    def over(self) -> bool:
        """Whether nothing that the provider may still send will reach the client."""
        return self._decoder.done or self._assembler.stopped or self.failure is not None

    def receive(self, data: bytes) -> list[Event]:
        """The events of a stretch of the provider's stream."""
        self.run(self._translate, self._decoder.feed(data))
        return self._assembler.blocks.take()

    def receive_framed(self, data: bytes) -> bytes:
        """The same, as they go to the client."""
        decoder = self._decoder
        if decoder.likeness and (text := decoder.recognise(data)):  # a stretch is one event, as they mostly come
            return self._assembler.framed(decoder.likeness.kind, text)
        self.run(self._translate, self._decoder.feed(data))
        return self._assembler.blocks.take_framed()

    def goes_on(self) -> bool:
        """At the end of a stream: whether the rest of the answer is to be asked for with the `body` as it is now."""
        self.run(self._translate, self._decoder.end())
        token = self._assembler.continuation
        if token is None or self._requests == MOST_REQUESTS:
            return False
        self._requests += 1
        self._assembler.go_on()
        del self._decoder
        self.body = self.run(self.mapping.request, self.prepared.request | {"continuation": token}, self.model)
        return True

    def finish(self) -> list[Event]:
        """The events of the stream's end."""
        self.run(self._translate, self._decoder.end())
        return self._end(clean=self._decoder.done)

    def fail(self, error: ApiError) -> list[Event]:
        """The events of a stream that breaks on this side of the provider."""
        return self._assembler.fail(error.type, error.message)

    def _translate(self, chunks: list[Any]) -> None:
        stream, model, hear, hear_texts = self.mapping.stream, self.model, self._assembler.hear, self._assembler.hear_texts
        for chunk in chunks:
            if type(chunk) is tuple:  # likeness.py
                hear_texts(*chunk)
                continue
            for delta in stream(chunk, model):  # what `_hear` does, without a call for each chunk
                hear(self._error_delta(delta) if "error" in delta else delta)

    def _hear(self, deltas: list[dict[str, Any]]) -> None:
        for delta in deltas:
            self._assembler.hear(self._error_delta(delta) if "error" in delta else delta)

    def _error_delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        """What the provider reports in place of an answer, in Anthropic's words."""
        told = delta["error"]
        self.failure = self.failure or self.error(200, told if isinstance(told, dict) else {"message": told}, {})
        return {"error": {"type": self.failure.type, "message": self.failure.message}}

    def _end(self, *, clean: bool) -> list[Event]:
        self._hear(self._unsaid_overflow())
        if not self._assembler.usage and (clean or self._assembler.started):
            # The client compacts by these numbers: an estimate is better than none.
            estimated = {"input_tokens": tokens.estimate(self.prepared.request), "output_tokens": self.written // 4}
            self._assembler.hear({"usage": estimated})
        events = self._assembler.blocks.take() + self._assembler.end(clean)
        if self._assembler.failure and not self.failure:
            self.failure = self.error(500, self._assembler.failure, {})
        return events

    def _unsaid_overflow(self) -> list[dict[str, Any]]:
        """The error that a provider keeps to itself and its count of the prompt gives away (E01).

        Some answer to what fits, of which the count tells; some cut the prompt at the window, and have no room left to answer.
        """
        window, usage = self.facts.context, self._assembler.usage
        if self.facts.overflow == "told" or window is None or not usage:
            return []
        prompt = sum(usage.get(word, 0) for word in PROMPT)
        if prompt <= window and (usage.get("output_tokens") or prompt < 0.99 * window):
            return []
        words = "this is an answer to a part of the prompt: the model's window does not hold all of it"
        return [{"error": {"code": "prompt_too_long", "message": words, "n_prompt_tokens": prompt, "n_ctx": window}}]

    # A whole answer

    def answer_here(self) -> list[Event] | None:
        """The events of an answer that no provider is needed for; None where one is."""
        if self.asked["max_tokens"] == 0:
            # A client that only warms the provider's cache up; no other provider has one to warm.
            deltas: list[dict[str, Any]] = [{"stop": "max_tokens"}]
        elif not self.facts.web_search and tools.asks_only_to_search(self.asked):
            # A model that is asked to search and has nothing to search with makes something up (R29).
            deltas = [{"web_search": {"error": searches.UNAVAILABLE}}, {"text": self._no_search}, {"stop": "end_turn"}]
        else:
            return None
        self._hear(deltas)
        return self._end(clean=True)

    @property
    def _no_search(self) -> str:
        return (
            f"Nothing was searched: {self.provider} cannot search the web for {self.model}. "
            "In ccproxy's configuration, routes.webSearch can name a provider that can."
        )

    def answer(self, reply: Any) -> dict[str, Any]:
        """The message of a whole answer. Raises ApiError where the provider answers with an error under status 200."""
        self._hear(_with_keys(self.run(self.mapping.response, reply, self.model)))
        return self.gather(self._end(clean=True))

    def gather(self, events: list[Event]) -> dict[str, Any]:
        """The message of a whole stream's events. Raises ApiError where the stream ended in an error."""
        if self.failure:
            raise self.failure
        return fold(events)


def _with_keys(deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In a whole answer each tool delta is a call of its own, though nothing may tell it from the one before (S09, G05)."""
    for number, delta in enumerate(deltas):
        tool = delta.get("tool")
        if isinstance(tool, dict) and (tool.get("name") or not tool.get("id")):
            tool["key"] = f"call {number}"
    return deltas
