"""What a mapping costs, as ratios within one run: against code written by hand, and against JMESPath's interpreter."""

import json
from collections.abc import Callable
from functools import partial
from statistics import median
from timeit import timeit
from typing import Any

import jmespath
import pytest

from engine import load_mapping
from engine.wire import history
from tests.bodies import large_request, text_chunks

CHUNKS = text_chunks(100)


STOPS = {
    "stop": "end_turn",
    "eos": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
    "sensitive": "refusal",
    "model_length": "model_context_window_exceeded",
    "model_context_window_exceeded": "model_context_window_exceeded",
}
FAILURES = {
    "error": "the answer ended in an error",
    "network_error": "the answer ended in a network error",
    "insufficient_system_resource": "the provider is out of resources",
}


def by_hand(chunk: dict[str, Any], model: str) -> list[dict[str, Any]]:
    """What one would write for `stream` of openai-chat.yaml: the same selections, the same guards."""
    deltas: list[dict[str, Any]] = []
    if type(chunk) is not dict:
        return deltas
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
        thinking = "".join(item.get("text") or item.get("summary") or "" for item in details if type(item) is dict)
    text = delta.get("content")
    if not thinking and type(text) is list:
        thoughts = [part.get("thinking") for part in text if type(part) is dict and part.get("type") == "thinking"]
        thinking = "".join(piece["text"] for thought in thoughts for piece in thought or ())
    if thinking:
        deltas.append({"thinking": thinking})
    if details is not None:
        deltas.append({"details": details})
    if type(text) is list:
        text = "".join(part["text"] for part in text if type(part) is dict and part.get("type") == "text")
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
            function = call.get("function") if type(call) is dict else None
            told = {"key": call.get("index"), "id": call.get("id")} if type(call) is dict else {}
            if type(function) is dict:
                told |= {"name": function.get("name"), "json": function.get("arguments")}
            deltas.append({"tool": {key: value for key, value in told.items() if value is not None}})
    legacy = delta.get("function_call")
    if legacy and type(legacy) is dict:
        told = {"key": "function_call", "name": legacy.get("name"), "json": legacy.get("arguments")}
        deltas.append({"tool": {key: value for key, value in told.items() if value is not None}})
    finish = choice.get("finish_reason")
    if finish:
        if finish in FAILURES:
            deltas.append({"error": {"message": FAILURES[finish]}})
        else:
            deltas.append({"stop": STOPS.get(finish, finish)})
    stopped = choice.get("stop_reason")
    if stopped is not None:
        deltas.append({"stop_sequence": stopped})
    usage = chunk.get("usage") or choice.get("usage")
    if not usage and type(chunk.get("x_groq")) is dict:
        usage = chunk["x_groq"].get("usage")
    if type(usage) is dict:
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
        "choices[0].finish_reason",
        "choices[0].stop_reason",
        "usage || choices[0].usage || x_groq.usage",
    )
]


def interpreted(chunk: dict[str, Any], model: str) -> list[Any]:
    return [selection.search(chunk) for selection in SELECTIONS]


def _all_chunks(work: Callable[[dict[str, Any], str], Any]) -> None:
    for chunk in CHUNKS:
        work(chunk, "m")


def side_by_side(*works: Callable[[dict[str, Any], str], Any]) -> list[tuple[float, float]]:
    """For each the best microseconds a chunk, and how many times as long as the first it takes.

    Turn and turn about: what else the machine does then falls on all alike, and the median of the rounds is steady.
    """
    rounds = [[timeit(partial(_all_chunks, work), number=1) for work in works] for _ in range(1000)]
    return [
        (min(times) / len(CHUNKS) * 1e6, median(time / first for time, first in zip(times, firsts, strict=True)))
        for firsts in [[times[0] for times in rounds]]
        for times in zip(*rounds, strict=True)
    ]


def test_generated_against_hand_written() -> None:
    stream = load_mapping("openai-chat").stream
    assert [stream(chunk, "m") for chunk in CHUNKS] == [by_hand(chunk, "m") for chunk in CHUNKS]
    names = ("by hand", "generated", "jmespath interpreter")
    told = dict(zip(names, side_by_side(by_hand, stream, interpreted), strict=True))
    print(f"\n{'a stream chunk':24}{'µs':>8}{'x hand':>8}")
    for name, (best, ratio) in told.items():
        print(f"{name:24}{best:8.2f}{ratio:8.2f}")
    ratio = told["generated"][1]
    assert ratio <= 1.3
    assert told["jmespath interpreter"][1] >= 15 * ratio


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
