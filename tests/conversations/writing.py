"""A conversation as the Anthropic Messages request that Claude Code would have sent."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import chain, count, takewhile
from typing import Any

from tests.conversations.conversation import (
    CannotBeSaid,
    Conversation,
    Document,
    Image,
    Other,
    Reasoning,
    Shown,
    Text,
    Tool,
)
from tests.conversations.exchanges import Answered, Heard, Step, exchanges

Json = dict[str, Any]
Seal = Callable[[Json], Json]

MAX_TOKENS = 32_000  # what Claude Code sends for models that it does not know; client.md 2.2
LEAST_BUDGET = 1024  # https://docs.claude.com/en/docs/build-with-claude/extended-thinking
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
# Settings without which a request would be another one: its history lies at the provider, or its answer is no text.
ELSEWHERE = {"previous_response_id", "conversation", "cachedContent", "audio", "responseModalities"}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}  # client.md 1


def anthropic_request(conversation: Conversation, model: str, seal: Seal | None = None) -> Json:
    """Raises CannotBeSaid. `seal` makes a thinking block of a reasoning state; without it such states are left out."""
    for setting in ELSEWHERE & conversation.settings.keys():
        raise CannotBeSaid(setting)
    max_tokens = MAX_TOKENS if conversation.max_tokens is None else conversation.max_tokens
    if conversation.format == "messages":
        thinking, effort = (conversation.effort.get(name) for name in ("thinking", "effort"))
    else:
        thinking, effort = write_effort(conversation.effort, max_tokens)
    form = None if conversation.schema is None else {"type": "json_schema", "schema": conversation.schema}
    request = {
        "model": model,
        "max_tokens": max_tokens,
        "system": "\n\n".join(filter(None, conversation.system)) or None,
        "messages": list(write_messages(conversation, seal)) or [{"role": "user", "content": "(empty)"}],
        "tools": list(write_tools(conversation)) or None,
        "tool_choice": write_choice(conversation),
        "stop_sequences": list(filter(None, conversation.stop)) or None,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "top_k": conversation.top_k,
        "thinking": thinking,
        "output_config": present({"effort": effort, "format": form}) or None,
        "stream": conversation.stream or None,
    }
    return present(request) | (conversation.settings if conversation.format == "messages" else {})


def present(fields: Json) -> Json:
    return {key: value for key, value in fields.items() if value is not None}


# Messages


def write_messages(conversation: Conversation, seal: Seal | None) -> Iterator[Json]:
    taken: set[str] = set()
    results: list[Json] = []
    for exchange in exchanges(conversation.turns):
        if isinstance(exchange, Step):
            ids = [fit_id(answered.call.id, taken) for answered in exchange.calls]
            yield from message("user", results)
            yield from message("assistant", [*write_step(exchange, ids, conversation, seal)])
            results = [write_result(*pair, conversation) for pair in zip(exchange.calls, ids, strict=True)]
        else:
            said, late = split_system(exchange, bool(results))
            yield from message("user", results + [write_shown(item, conversation) for item in said])
            yield from ({"role": "system", "content": item.text} for item in late)
            results = []
    yield from message("user", results)


def message(role: str, content: list[Json]) -> Iterator[Json]:
    if content:
        yield {"role": role, "content": content}


def fit_id(id: str, taken: set[str]) -> str:
    """An id that Anthropic takes, and no other call has."""
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", id) or "call"
    fitting = next(made for made in chain([plain], (f"{plain}_{n}" for n in count(2))) if made not in taken)
    taken.add(fitting)
    return fitting


def write_step(step: Step, ids: list[str], conversation: Conversation, seal: Seal | None) -> Iterator[Json]:
    unused = iter(ids)
    for item in step.items:
        if isinstance(item, Answered):
            yield {"type": "tool_use", "id": next(unused), "name": item.call.name, "input": item.call.input}
        elif not isinstance(item, Reasoning):
            yield write_shown(item, conversation)
        elif seal:
            yield seal(item.state)


def write_result(answered: Answered, id: str, conversation: Conversation) -> Json:
    """Anthropic wants a result for every call, so one is made up where there is none."""
    if answered.result is None:
        return {"type": "tool_result", "tool_use_id": id, "content": "[no result]", "is_error": True}
    content = [write_shown(item, conversation) for item in answered.result.content]
    failed = {"is_error": True} if answered.result.is_error else {}
    return {"type": "tool_result", "tool_use_id": id, "content": content, **failed}


def split_system(heard: Heard, is_answered: bool) -> tuple[list[Shown], list[Text]]:
    """What is said in the user's name, and the system messages behind it: they stand between a user's turn and a model's.

    https://code.claude.com/docs/en/llm-gateway-protocol
    """
    late = [*takewhile(is_system, reversed(heard.items))][::-1]
    said = heard.items[: len(heard.items) - len(late)]
    return (said, late) if said or is_answered else (heard.items, [])


def is_system(item: Shown) -> bool:
    return isinstance(item, Text) and item.role == "system"


def write_shown(item: Shown, conversation: Conversation) -> Json:
    match item:
        case Text(role="system"):
            return {"type": "text", "text": f"<system-reminder>\n{item.text}\n</system-reminder>"}
        case Text():
            return {"type": "text", "text": item.text}
        case Document():
            return {"type": "document", "source": write_document(item)} | write_titles(item)
        case Image(url="") if item.media_type not in IMAGE_TYPES:
            raise CannotBeSaid(f"an image of type {item.media_type}")
        case Image():
            return {"type": "image", "source": write_source(item)}
        case Other() if conversation.format == "messages":
            return dict(item.block)
    raise CannotBeSaid(item.kind)


def write_document(document: Document) -> Json:
    if document.is_text:
        return {"type": "text", "media_type": "text/plain", "data": document.text}
    return write_source(document)


def write_source(item: Image) -> Json:
    if item.url:
        return {"type": "url", "url": item.url}
    return {"type": "base64", "media_type": item.media_type, "data": b64encode(item.data).decode()}


def write_titles(document: Document) -> Json:
    return {key: told for key, told in (("title", document.title), ("context", document.context)) if told}


# What is asked for


def write_tools(conversation: Conversation) -> Iterator[Json]:
    yield from map(write_tool, conversation.tools)
    if conversation.web_search:
        yield SEARCH
    for tool in conversation.hosted:
        if conversation.format != "messages":
            raise CannotBeSaid(f"the provider's own tool {tool.get('type') or next(iter(tool))}")
        yield tool


def write_tool(tool: Tool) -> Json:
    if tool.defined:
        return tool.defined
    told = {"name": tool.name, "description": tool.description or None, "input_schema": {"type": "object"} | tool.schema}
    return present(told | {"strict": tool.strict or None, "defer_loading": tool.deferred or None})


def write_choice(conversation: Conversation) -> Json | None:
    if not conversation.choice and not conversation.one_call:
        return None
    named = {"name": conversation.chosen} if conversation.chosen else {}
    single = {"disable_parallel_tool_use": True} if conversation.one_call and conversation.choice != "none" else {}
    return {"type": conversation.choice or "auto", **named, **single}


def write_effort(effort: Json, max_tokens: int) -> tuple[Json | None, str | None]:
    """Another provider's words for how hard to think -> Anthropic's `thinking` and effort."""
    told = {key: value for place in (effort, *effort.values()) if isinstance(place, dict) for key, value in place.items()}
    level = str(told.get("reasoning_effort") or told.get("effort") or told.get("thinkingLevel") or "").lower()
    budget = told.get("max_tokens", told.get("thinkingBudget"))
    switches = (told.get("type"), told.get("enabled"), told.get("enable_thinking"))
    if level == "none" or budget == 0 or any(switch in ("disabled", False) for switch in switches if switch is not None):
        return {"type": "disabled"}, None
    if not told:
        return None, None
    if budget and LEAST_BUDGET <= budget < max_tokens:
        return {"type": "enabled", "budget_tokens": budget}, None
    return {"type": "adaptive"}, {"minimal": "low"}.get(level, level) or None
