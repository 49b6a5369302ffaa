"""One request's translation there and back, without the network."""

from collections.abc import Mapping as Headers
from dataclasses import replace
from typing import Any

from engine.mapping.errors import Problem
from engine.mapping.loader import Mapping
from engine.wire import errors, framing, history, jsontext, reasoning, tokens
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
    asked for. The provider's `key` is in none of its errors. Whole answers and streams go through the same deltas and the
    same assembler, so both give the same message.
    """

    def __init__(
        self,
        provider: str,
        mapping: Mapping,
        model: str,
        request: dict[str, Any],
        *,
        request_id: str,
        key: str | None = None,
    ):
        self.provider = provider
        self.mapping = mapping
        self.model = model
        self.key = key
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

    def endpoint(self, base_url: str) -> dict[str, Any]:
        """Where the body goes: url and headers."""
        where: dict[str, Any] = self._run(self.mapping.endpoint, base_url, self.model, self.key, self.streams)
        return where

    def count_endpoint(self, base_url: str) -> dict[str, Any] | None:
        """Where the provider counts the body's tokens; None where it does not."""
        section = self.mapping.count_endpoint
        where: dict[str, Any] | None = self._run(section, base_url, self.model, self.key) if section else None
        return where

    def counted(self, reply: Any) -> int | None:
        """The provider's count; None where the reply holds none."""
        count = self._run(self.mapping.count, reply).get("input_tokens") if self.mapping.count else None
        return count if type(count) is int else None

    # A stream

    @property
    def is_complete(self) -> bool:
        """Whether the provider has said that its stream is, though it may keep the connection."""
        return self._decoder.done

    @property
    def over(self) -> bool:
        """Whether nothing that the provider may still send will reach the client."""
        return self.is_complete or self._assembler.stopped or self.failure is not None

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
            events += self._assembler.feed(self._error_delta(delta) if "error" in delta else delta)
        return events

    def _error_delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        """What the provider reports in place of an answer, in Anthropic's words."""
        told = delta["error"]
        self.failure = self.failure or self._error(200, told if isinstance(told, dict) else {"message": told}, {})
        return {"error": {"type": self.failure.type, "message": self.failure.message}}

    def _end(self, *, clean: bool) -> list[Event]:
        if not self._assembler.usage:
            # The client compacts by these numbers: an estimate is better than none.
            estimated = {"input_tokens": tokens.estimate(self.prepared.request), "output_tokens": self._assembler.written // 4}
            self._assembler.feed({"usage": estimated})
        events = self._assembler.end(clean)
        if self._assembler.failure and not self.failure:
            self.failure = self._error(500, self._assembler.failure, {})
        return events

    # A whole answer

    def nothing(self) -> list[Event]:
        """The events of an answer of no tokens."""
        return [*self._assembler.feed({"stop": "max_tokens"}), *self._assembler.end(clean=True)]

    def answer(self, reply: Any) -> dict[str, Any]:
        """The message of a whole answer. Raises ApiError where the provider answers with an error under status 200."""
        deltas = _with_keys(self._run(self.mapping.response, reply, self.model))
        return self.gather(self._say(deltas) + self._end(clean=True))

    def gather(self, events: list[Event]) -> dict[str, Any]:
        """The message of a whole stream's events. Raises ApiError where the stream ended in an error."""
        if self.failure:
            raise self.failure
        return fold(events)

    def refuse(self, status: int, data: bytes, headers: Headers[str, str]) -> ApiError:
        """The client's error for a provider's refusal."""
        try:
            reply = jsontext.loads(data)
        except ValueError:
            reply = data.decode(errors="replace")
        # https://ai.google.dev/gemini-api/docs/troubleshooting: some answer with a list of one error.
        if isinstance(reply, list) and len(reply) == 1:
            [reply] = reply
        told = self._run(self.mapping.error, status, reply)
        if "message" not in told and isinstance(reply, str):
            told = told | {"message": reply}
        return self._error(status, told, headers)

    def _error(self, status: int, told: dict[str, Any], headers: Headers[str, str]) -> ApiError:
        error = errors.from_provider(self.provider, status, told, headers, context_window=self.known.get("context"))
        if self.key:
            # Some quote the key that they refuse, and not every key looks like one.
            error.message = error.message.replace(self.key, "[key]")
        return error


def _with_keys(deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In a whole answer each tool delta is a call of its own, though nothing may tell it from the one before (S09)."""
    for number, delta in enumerate(deltas):
        tool = delta.get("tool")
        if isinstance(tool, dict) and not tool.get("id"):
            tool["key"] = f"call {number}"
    return deltas
