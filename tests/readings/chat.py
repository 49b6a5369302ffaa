"""Chat Completions, OpenAI's and all that are like it.

Nothing is kept as state or left unshown here: those lists of a reading stay empty. What was searched for no server says;
OpenRouter's pages are those that the text cites.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.readings import ERRORS, Call, Error, Reading, Search, error_words, put_together, read_arguments, settle, split_sse

# providers.md 5.4
STOPS = {
    "stop": "end_turn",
    "eos": "end_turn",
    "": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}


def read(recording: dict[str, Any]) -> Reading:
    if recording["status"] >= 400:
        return Reading(error=read_error(recording["response"], recording["status"]))
    reading = read_stream(recording["response_raw"]) if recording["stream"] else read_answer(recording["response"])
    if reading.citations and recording["provider"] == "openrouter":
        reading.searches = [Search([], reading.citations)]
    return reading


def read_stream(text: str) -> Reading:
    chunks, done = split_sse(text)
    choices = [choice for chunk in chunks for choice in first_choices(chunk)]
    deltas = [choice.get("delta") or {} for choice in choices]
    pieces = [piece for delta in deltas for piece in read_pieces(delta)]
    reading = put_together(split_thinking(pieces), gather_calls(deltas))
    words = [choice["finish_reason"] for choice in choices if choice.get("finish_reason") is not None]
    failures = [chunk for chunk in chunks if chunk.get("error")]
    if failures:
        reading.error = read_error(failures[0], 200)
        return reading
    assert words or done, "a stream that is cut off (S20); none was recorded"
    reading.stop = settle(STOPS[words[-1] if words else ""], reading)
    reading.usage = read_usage(chunks)
    reading.citations = [cited for delta in deltas for cited in read_citations(delta)]
    return reading


def read_answer(reply: dict[str, Any]) -> Reading:
    if reply.get("error"):
        return Reading(error=read_error(reply, 200))
    [choice] = first_choices(reply)
    if choice.get("error"):
        return Reading(error=read_error(choice, 200))
    message = choice["message"]
    reading = put_together(split_thinking(list(read_pieces(message))), read_calls(message))
    reading.stop = settle(STOPS[choice["finish_reason"]], reading)
    reading.usage = read_usage([reply])
    reading.citations = list(read_citations(message))
    return reading


def first_choices(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    """What a chunk says of the first of the answers; a client of Anthropic's format can ask for one only."""
    return [choice for choice in chunk.get("choices") or [] if choice.get("index", 0) == 0]


# What the model says


def read_citations(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for note in message.get("annotations") or []:
        if note["type"] == "url_citation":
            yield note["url_citation"]["url"], note["url_citation"].get("title") or ""


def read_pieces(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A message or a delta of one -> (kind, text) in order: reasoning, text, calls (S04)."""
    yield "thinking", read_reasoning(message)
    content = message.get("content")
    if isinstance(content, str):
        yield "text", content
    elif isinstance(content, dict):  # Cloudflare parses structured output
        yield "text", json.dumps(content, separators=(",", ":"))
    for part in content if isinstance(content, list) else []:  # providers.md 3.5, Mistral
        if part["type"] == "thinking":
            yield "thinking", "".join(thought["text"] for thought in part["thinking"])
        else:
            yield "text", part["text"]
    yield "refusal", message.get("refusal") or ""
    for _ in (message.get("tool_calls") or []) + legacy_calls(message):
        yield "tool_use", "a call"


def read_reasoning(message: dict[str, Any]) -> str:
    """The first field that says something: where there are several, they say the same (providers.md 3.2, 3.4, 3.20)."""
    details = message.get("reasoning_details") or []
    texts = [detail.get("text") or detail.get("summary") or "" for detail in details]
    return message.get("reasoning_content") or message.get("reasoning") or message.get("reasoning_text") or "".join(texts)


def split_thinking(pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """S30: `<think>…</think>` at the start of the text is reasoning. The white space after a tag belongs to the tag."""
    text = "".join(text for kind, text in pieces if kind == "text")
    tagged = re.match(r"\s*<(think|thought|thinking)>\s*(.*?)(</\1>\s*(.*)|$)", text, re.DOTALL)
    if not tagged:
        return pieces
    others = [piece for piece in pieces if piece[0] != "text"]
    return [("thinking", tagged[2]), ("text", tagged[4] or ""), *others]


# Tool calls


def read_calls(message: dict[str, Any]) -> list[Call]:
    calls = [call["function"] for call in message.get("tool_calls") or []] + legacy_calls(message)
    return [Call(call["name"], read_arguments(call["arguments"])) for call in calls]


def legacy_calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """`function_call`, which `tool_calls` replaced in 2023. Snowflake sends an empty one with every answer."""
    call = message.get("function_call") or {}
    return [call] if call.get("name") else []


def gather_calls(deltas: list[dict[str, Any]]) -> list[Call]:
    """The fragments of calls, joined by their index; where there is none, a name begins a call (providers.md 4.6)."""
    calls: dict[int, list[dict[str, Any]]] = {}
    for fragment in [fragment for delta in deltas for fragment in delta.get("tool_calls") or []]:
        begins = len(calls) if fragment["function"].get("name") else len(calls) - 1
        calls.setdefault(fragment.get("index", begins), []).append(fragment["function"])
    return [join_call(fragments) for fragments in calls.values()]


def join_call(fragments: list[dict[str, Any]]) -> Call:
    names = [fragment["name"] for fragment in fragments if fragment.get("name")]
    arguments = "".join(fragment.get("arguments") or "" for fragment in fragments)
    return Call(names[0], read_arguments(arguments))  # S10: the first name counts


# The end


def read_usage(chunks: list[dict[str, Any]]) -> dict[str, int] | None:
    """S16: it may be anywhere, and grow; of each number the last counts. The arithmetic is providers.md 5.5."""
    told: dict[str, Any] = {}
    for chunk in chunks:
        places = [(chunk.get("x_groq") or {}).get("usage"), chunk.get("usage")]
        places += [choice.get("usage") for choice in chunk.get("choices") or []]
        for usage in places:
            told |= {name: value for name, value in (usage or {}).items() if value is not None}
    if not told:
        return None
    prompt, output = told["prompt_tokens"], told["completion_tokens"]
    cached = read_cached(told)
    written = told.get("prompt_tokens_details", {}).get("cache_write_tokens") or 0
    reasoning = told.get("completion_tokens_details", {}).get("reasoning_tokens") or told.get("reasoning_tokens") or 0
    if told["total_tokens"] == prompt + output + reasoning:  # xAI counts reasoning beside the answer
        output += reasoning
    return {
        "input_tokens": prompt if cached > prompt else max(0, prompt - cached - written),  # S19
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": output,
        "thinking_tokens": reasoning,
    }


def read_cached(usage: dict[str, Any]) -> int:
    names = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens")
    spellings = [usage.get("prompt_tokens_details", {}).get("cached_tokens"), *(usage.get(name) for name in names)]
    return next((cached for cached in spellings if cached), 0)


# Errors


def read_error(reply: dict[str, Any], status: int) -> Error:
    """What the client is told: by the HTTP status, or under 200 by the status that the body names."""
    error = reply["error"] if isinstance(reply.get("error"), dict) else reply
    if status == 200:
        status = error.get("status_code") or error["code"]
    told = ERRORS[status]
    if error.get("code") == "1500":  # Mistral's word for an unknown model
        told = ERRORS[404]
    if status == 502 and error["message"] == "Provider returned error":
        told = (529, "overloaded_error")
    return Error(*told, error_words(reply))
