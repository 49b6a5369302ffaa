"""One request's translation there and back, without the network."""

from collections.abc import Mapping as Headers
from dataclasses import replace
from typing import Any

import orjson

from engine.mapping.errors import Problem
from engine.mapping.loader import Mapping
from engine.wire import errors, framing, history, reasoning, tokens
from engine.wire.assembler import Assembler, fold
from engine.wire.errors import ApiError

Event = dict[str, Any]


class TranslationError(Exception):
    """A mapping failed at run time; `problem` is the line of YAML."""

    def __init__(self, problem: Problem):
        super().__init__(problem.picture())
        self.problem = problem


class Exchange:
    """A client's request on its way to a provider, and the provider's answer on its way back.

    `body` is what goes upstream and `lost` what of the request does not, each with the reason; `streams`: a stream is
    asked for. Whole answers and streams go through the same deltas and the same assembler, so both give the same message.
    """

    def __init__(self, provider: str, mapping: Mapping, model: str, request: dict[str, Any], *, request_id: str):
        self.provider = provider
        self.mapping = mapping
        self.model = model
        self.request_id = request_id
        self.known = (mapping.models.get("known") or {}).get(model) or {}
        facts = replace(mapping.facts, max_output=self.known["output"]) if "output" in self.known else mapping.facts
        self.streams = request.get("stream") is True or facts.whole_answers == "streamed"
        self.prepared = history.prepare(request | {"stream": self.streams}, facts, provider=provider, model=model)
        self.lost = mapping.lost(self.prepared.request) | self.prepared.lost
        self.body: dict[str, Any] = self._run(mapping.request, self.prepared.request, model)
        self._decoder = framing.DECODERS[mapping.framing]()
        self._asked = request
        self.failure: ApiError | None = None
        self._assembler = self._fresh_assembler()

    def _fresh_assembler(self) -> Assembler:
        thinking = self._asked.get("thinking") or {}
        return Assembler(
            self._asked.get("model") or self.model,
            message_id=f"msg_{self.request_id.removeprefix('req_')}",
            tool_names=self.prepared.tool_names,
            taken_ids=self.prepared.tool_ids,
            think_tags=self.mapping.facts.think_tags,
            stop_sequences=self.prepared.stop_sequences,
            asked_stops=self._asked.get("stop_sequences") or (),
            seal=self._seal,
            show_thinking=thinking.get("display") != "omitted",
        )

    def _seal(self, state: dict[str, Any]) -> str:
        return reasoning.seal(self.provider, self.model, state)

    def _run(self, section: Any, *arguments: Any) -> Any:
        try:
            return section(*arguments)
        except Exception as error:
            problem = self.mapping.explain(error)
            if problem is None:
                raise
            raise TranslationError(problem) from error

    def endpoint(self, base_url: str, key: str | None) -> dict[str, Any]:
        """Where the body goes: url and headers."""
        where: dict[str, Any] = self._run(self.mapping.endpoint, base_url, self.model, key, self.streams)
        return where

    # A stream

    @property
    def started(self) -> bool:
        """Whether an event has gone out: until then an error is still a status."""
        return self._assembler.started

    @property
    def over(self) -> bool:
        """Whether nothing that the provider may still send will reach the client."""
        return self._assembler.stopped or self.failure is not None

    def receive(self, data: bytes) -> list[Event]:
        """The events of a stretch of the provider's stream."""
        return self._feed(self._decoder.feed(data))

    def finish(self) -> list[Event]:
        """The events of the stream's end."""
        events = self._feed(self._decoder.end())
        return events + self._end(clean=self._decoder.done)

    def fail(self, error: ApiError) -> list[Event]:
        """The events of a stream that breaks on this side of the provider."""
        return self._assembler.fail(error.type, error.message)

    def _feed(self, chunks: list[Any]) -> list[Event]:
        return [event for chunk in chunks for event in self._say(self._run(self.mapping.stream, chunk, self.model))]

    def _say(self, deltas: list[dict[str, Any]]) -> list[Event]:
        events: list[Event] = []
        for delta in deltas:
            events += self._assembler.feed(self._told(delta) if "error" in delta else delta)
        return events

    def _told(self, delta: dict[str, Any]) -> dict[str, Any]:
        """What the provider reports in place of an answer, in Anthropic's words."""
        told = delta["error"]
        self.failure = self.failure or errors.from_provider(
            self.provider, 200, told if isinstance(told, dict) else {"message": told}, {}
        )
        return {"error": {"type": self.failure.type, "message": self.failure.message}}

    def _end(self, *, clean: bool) -> list[Event]:
        if not self._assembler.usage:
            # The client compacts by these numbers: an estimate is better than none.
            estimated = {"input_tokens": tokens.estimate(self.prepared.request), "output_tokens": self._assembler.written // 4}
            self._assembler.feed({"usage": estimated})
        events = self._assembler.end(clean)
        if self._assembler.failure and not self.failure:
            self.failure = errors.from_provider(self.provider, 500, self._assembler.failure, {})
        return events

    # A whole answer

    def answer_nothing(self) -> dict[str, Any]:
        """The message of a request for no tokens."""
        return fold([*self._assembler.feed({"stop": "max_tokens"}), *self._assembler.end(clean=True)])

    def answer(self, reply: Any) -> dict[str, Any]:
        """The message of a whole answer. Raises ApiError where the provider answers with an error under status 200."""
        deltas = _told_apart(self._run(self.mapping.response, reply, self.model))
        return self.gather(self._say(deltas) + self._end(clean=True))

    def gather(self, events: list[Event]) -> dict[str, Any]:
        """The message of a whole stream's events. Raises ApiError where the stream ended in an error."""
        if self.failure:
            raise self.failure
        return fold(events)

    def refuse(self, status: int, data: bytes, headers: Headers[str, str]) -> ApiError:
        """The client's error for a provider's refusal."""
        try:
            reply = orjson.loads(data)
        except orjson.JSONDecodeError:
            reply = data.decode(errors="replace")
        # https://ai.google.dev/gemini-api/docs/troubleshooting: some answer with a list of one error.
        if isinstance(reply, list) and len(reply) == 1:
            [reply] = reply
        told = self._run(self.mapping.error, status, reply)
        if "message" not in told and isinstance(reply, str):
            told = told | {"message": reply}
        return errors.from_provider(self.provider, status, told, headers, context_window=self.known.get("context"))


def _told_apart(deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In a whole answer each tool delta is a call of its own, though nothing may tell it from the one before (S09)."""
    for number, delta in enumerate(deltas):
        tool = delta.get("tool")
        if isinstance(tool, dict) and not tool.get("id"):
            tool["key"] = f"call {number}"
    return deltas
