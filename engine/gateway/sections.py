"""What every request needs of its provider's mapping: where it goes, and what a refusal means."""

from collections.abc import Mapping as Headers
from dataclasses import replace
from typing import Any

from engine.mapping.errors import Problem
from engine.mapping.mapping import Mapping
from engine.wire import errors, jsontext
from engine.wire.errors import ApiError
from engine.wire.facts import Facts

SHORTER = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}


MOST_MODELS = 1000


class TranslationError(Exception):
    """A mapping failed at run time; `problem` is the line of YAML."""

    def __init__(self, problem: Problem):
        super().__init__(problem.picture())
        self.problem = problem


class Sections:
    """A provider's mapping at work for one request.

    `streams`: a stream is asked for; `client`: those of the client's headers that are the protocol's. The provider's `key`
    is in none of its errors.
    """

    def __init__(
        self, provider: str, mapping: Mapping, model: str, *, key: str | None, client: Headers[str, str] | None, streams: bool
    ):
        self.provider = provider
        self.mapping = mapping
        self.model = model
        self.key = key
        self.client = client or {}
        self.facts = _facts_of(mapping, model)
        self.streams = streams or self.facts.whole_answers == "streamed"

    def run(self, section: Any, *arguments: Any) -> Any:
        """What a section makes. Raises TranslationError where it fails."""
        try:
            return section(*arguments)
        except Exception as error:
            problem = self.mapping.explain(error)
            if problem is None:
                raise
            raise TranslationError(problem) from error

    def lost_within(self, request: dict[str, Any]) -> dict[str, str]:
        """What the mapping says is lost within the fields of a request: names and reasons."""
        section = self.mapping.lost
        lost: dict[str, str] = self.run(section, request, self.model) if section else {}
        return lost

    def endpoint(self, base_url: str) -> dict[str, Any]:
        """Where the body goes: url and headers."""
        where: dict[str, Any] = self.run(self.mapping.endpoint, base_url, self.model, self.key, self.streams, self.client)
        return where

    def count_endpoint(self, base_url: str) -> dict[str, Any] | None:
        """Where the provider counts the body's tokens; None where it does not."""
        section = self.mapping.count_endpoint
        where: dict[str, Any] | None = self.run(section, base_url, self.model, self.key, self.client) if section else None
        return where

    def health_endpoint(self, base_url: str) -> dict[str, Any] | None:
        """What is asked how the provider is, and costs nothing; None where nothing is known that could be."""
        section = self.mapping.health_endpoint
        where: dict[str, Any] | None = self.run(section, base_url, self.key) if section else None
        return where

    def counted(self, reply: Any) -> int | None:
        """The provider's count; None where the reply holds none."""
        count = self.run(self.mapping.count, reply).get("input_tokens") if self.mapping.count else None
        return count if type(count) is int else None

    def refuse(self, status: int, data: bytes, headers: Headers[str, str]) -> ApiError:
        """The client's error for a provider's refusal."""
        try:
            reply = jsontext.loads(data)
        except ValueError:
            reply = data.decode(errors="replace")
        # https://ai.google.dev/gemini-api/docs/troubleshooting: some answer with a list of one error.
        if isinstance(reply, list) and len(reply) == 1:
            [reply] = reply
        told = self.run(self.mapping.error, status, reply)
        if "message" not in told and isinstance(reply, str):
            told = told | {"message": reply}
        return self.error(status, told, headers)

    def no_answer(self, data: bytes, headers: Headers[str, str]) -> ApiError:
        """The client's error for a success that holds no answer, but perhaps a page or words of whatever stands in between."""
        if not data.strip():
            return ApiError(500, "api_error", f"{self.provider}: it answered with success (HTTP 200) and an empty body")
        return self.refuse(502, data, headers)

    def error(self, status: int, told: dict[str, Any], headers: Headers[str, str]) -> ApiError:
        """The client's error for what a provider has told of one."""
        window = self.mapping.model_facts(self.model).get("context")
        error = errors.from_provider(self.provider, status, told, headers, context_window=window, key=self.key)
        if self.key:  # which may be in a code as well
            error.message = error.message.replace(self.key, "[key]")
        return error


def tokens_of(usage: Any) -> dict[str, int]:
    """The counts of Anthropic's usage, by the words of `metrics.USAGE`."""
    counts = {name: usage.get(word) for word, name in SHORTER.items()} if isinstance(usage, dict) else {}
    return {name: count for name, count in counts.items() if type(count) is int}


def _facts_of(mapping: Mapping, model: str) -> Facts:
    """What the protocol code must know of a provider and a model, the model's own limits among it."""
    if model in mapping.facts_by_model:
        kept: Facts = mapping.facts_by_model[model]
        return kept
    if len(mapping.facts_by_model) >= MOST_MODELS:  # clients name them
        mapping.facts_by_model.clear()
    known = mapping.model_facts(model)
    limits = {word: known[name] for name, word in (("output", "max_output"), ("context", "context")) if name in known}
    facts: Facts = mapping.facts_of(model)
    mapping.facts_by_model[model] = facts = replace(facts, **limits)
    return facts
