"""What a mapping costs, as ratios within one run: against code written by hand, and against JMESPath's interpreter."""

import json
from collections.abc import Callable
from timeit import timeit
from typing import Any

import jmespath
import pytest

from engine import load_mapping
from engine.wire import history
from tests.bodies import large_request, text_chunks

CHUNKS = text_chunks(100)


def by_hand(chunk: dict[str, Any], model: str) -> list[dict[str, Any]]:
    """What one would write for `stream` of openai-chat.yaml: the same selections, the same guards."""
    deltas: list[dict[str, Any]] = []
    choices = chunk.get("choices")
    choice = choices[0] if type(choices) is list and choices else None
    if type(choice) is not dict or (type(choice.get("index")) is int and choice["index"] > 0):
        choice = {}
    delta = choice.get("delta")
    if type(delta) is not dict:
        delta = {}
    failure = chunk.get("error") or choice.get("error")
    if failure:
        deltas.append({"error": failure})
    thinking = delta.get("reasoning_content") or delta.get("reasoning")
    details = delta.get("reasoning_details")
    if not thinking and type(details) is list:
        thinking = "".join(item.get("text") or item.get("summary") or "" for item in details)
    if thinking:
        deltas.append({"thinking": thinking})
    if details is not None:
        deltas.append({"details": details})
    text = delta.get("content")
    if type(text) is list:
        text = "".join(part["text"] for part in text if part.get("type") == "text")
    elif type(text) is dict:
        text = json.dumps(text)
    if text:
        deltas.append({"text": text})
    refusal = delta.get("refusal")
    if refusal is not None:
        deltas.append({"refusal": refusal})
    calls = delta.get("tool_calls")
    if type(calls) is list:
        for call in calls:
            function = call.get("function") or {}
            tool = {"key": call.get("index"), "id": call.get("id"), "name": function.get("name"), "json": function.get("arguments")}
            deltas.append({"tool": {key: value for key, value in tool.items() if value is not None}})
    legacy = delta.get("function_call")
    if type(legacy) is dict and legacy.get("name"):
        deltas.append({"tool": {"key": "function_call", "name": legacy["name"], "json": legacy.get("arguments")}})
    finish = choice.get("finish_reason")
    if finish:
        words = {"length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use", "content_filter": "refusal"}
        deltas.append({"stop": words.get(finish, "end_turn")})
    stopped = choice.get("stop_reason")
    if stopped is not None:
        deltas.append({"stop_sequence": stopped})
    usage = chunk.get("usage") or choice.get("usage") or (chunk.get("x_groq") or {}).get("usage")
    if usage:
        deltas.append({"usage": usage_by_hand(usage)})
    return deltas


def usage_by_hand(usage: dict[str, Any]) -> dict[str, Any]:
    details = usage.get("prompt_tokens_details") or {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    cached = details.get("cached_tokens")
    for name in ("prompt_cache_hit_tokens", "num_cached_tokens", "cache_read_input_tokens"):
        cached = usage.get(name) if cached is None else cached
    written = details.get("cache_write_tokens") or usage.get("cache_creation_input_tokens")
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or usage.get("reasoning_tokens")
    whole = (prompt or 0) + (completion or 0) + (reasoning or 0)
    told = {
        "input_tokens": prompt if (cached or 0) > prompt else max(0, prompt - (cached or 0) - (written or 0)),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": completion + (reasoning or 0) if usage.get("total_tokens") == whole else completion,
        "thinking_tokens": reasoning,
    }
    return {key: value for key, value in told.items() if value is not None}


SELECTIONS = [
    jmespath.compile(text)
    for text in (
        "choices[0].delta",
        "error || choices[0].error",
        "choices[0].delta.reasoning_content || choices[0].delta.reasoning",
        "choices[0].delta.reasoning_details",
        "choices[0].delta.content",
        "choices[0].delta.refusal",
        "choices[0].delta.tool_calls",
        "choices[0].delta.function_call.name",
        "choices[0].finish_reason",
        "choices[0].stop_reason",
        "usage || choices[0].usage || x_groq.usage",
    )
]


def interpreted(chunk: dict[str, Any], model: str) -> list[Any]:
    return [selection.search(chunk) for selection in SELECTIONS]


def side_by_side(*works: Callable[[dict[str, Any], str], Any]) -> list[float]:
    """Microseconds a chunk: turn and turn about, the best of many rounds, since noise only ever adds."""
    rounds = [[timeit(lambda: [work(chunk, "m") for chunk in CHUNKS], number=1) for work in works] for _ in range(300)]
    return [min(times) / len(CHUNKS) * 1e6 for times in zip(*rounds, strict=True)]


def test_generated_against_hand_written() -> None:
    stream = load_mapping("openai-chat").stream
    assert [stream(chunk, "m") for chunk in CHUNKS] == [by_hand(chunk, "m") for chunk in CHUNKS]
    generated, hand, interpreter = side_by_side(stream, by_hand, interpreted)
    print(f"\n{'a stream chunk':24}{'µs':>8}{'x hand':>8}")
    for name, taken in (("generated", generated), ("by hand", hand), ("jmespath interpreter", interpreter)):
        print(f"{name:24}{taken:8.2f}{taken / hand:8.2f}")
    assert generated <= 1.3 * hand
    assert interpreter >= 15 * generated


@pytest.mark.benchmark(group="request of 300 KB, 60 tools, 80 messages")
@pytest.mark.parametrize("piece", ["history", "section"])
def test_large_request(benchmark: Any, piece: str) -> None:
    mapping = load_mapping("openai-chat")
    request = large_request(tools=60, messages=80, size=300_000)
    prepared = history.prepare(request, mapping.facts, provider="p", model="m").request
    work = {
        "history": lambda: history.prepare(request, mapping.facts, provider="p", model="m"),
        "section": lambda: mapping.request(prepared, "m"),
    }[piece]
    assert benchmark(work)


@pytest.mark.benchmark(group="load and compile")
def test_load(benchmark: Any) -> None:
    assert benchmark(lambda: load_mapping("openai-chat")).name == "openai-chat"
