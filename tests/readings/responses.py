"""Responses, OpenAI's and all that are like it.

A whole answer is a list of items. A stream is the same list: each item is added, grows by deltas, and is told once more,
whole, when it is done (S35); some servers leave the list at the end empty. A call whose item never is done was cut off,
and is no call.

- thinking is the summary of a reasoning item, its parts joined by a blank line; where there is none, its raw content;
  each item is a block of its own, and a reading joins blocks with nothing between
- state is `encrypted_content` of the reasoning items and `phase` of the messages, in order; OpenAI encrypts the same
  reasoning anew each time it tells it, so the text differs between an item and the list at the end
- of the actions of `web_search_call`, `search` is a search; `open_page` and the like are unshown
- unshown are all items but messages, reasoning, calls of functions and searches: what runs at the provider (mcp,
  code_interpreter, image_generation, file_search, tool_search, program), and calls of tools that a client of Anthropic's
  format cannot declare (custom, shell, apply_patch); left_out.py names the recordings that hold nothing else. Citations
  of files, which have no address, are not kept.
- an answer that is only queued is an error: nobody may say that it has ended
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.readings import (
    CUT,
    ERRORS,
    Call,
    Error,
    Reading,
    Search,
    http_error,
    put_together,
    read_arguments,
    settle,
    split_sse,
    without_secrets,
)

# providers.md 5.4: the reasons for an incomplete answer; a complete one has none
STOPS = {
    None: "end_turn",
    "max_output_tokens": "max_tokens",
    "content_filter": "refusal",
    "max_messages": "end_turn",
    "steered": "end_turn",
}

# providers.md 5.6
CODES = {"rate_limit_exceeded": 429, "server_error": 500}

SHOWN = ("message", "reasoning", "function_call", "web_search_call")

# Where a delta goes: the list of parts in the item, which of them, and what of it grows.
GROWS = {
    "response.output_text.delta": ("content", "content_index", "text"),
    "response.refusal.delta": ("content", "content_index", "refusal"),
    "response.reasoning_text.delta": ("content", "content_index", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "text"),
}
BEGINS = {"response.content_part.added": "content", "response.reasoning_summary_part.added": "summary"}


def read(recording: dict[str, Any]) -> Reading:
    if recording["stream"]:
        return read_stream(recording["response_raw"])
    if recording["status"] >= 400:
        return Reading(error=http_error(recording["response"], recording["status"]))
    return read_answer(recording["response"])


def read_stream(text: str) -> Reading:
    events, _ = split_sse(text)
    response = last_response(events)
    items = gather_items(events)
    for item, final in zip(items, response.get("output") or [], strict=False):
        if not item.get("encrypted_content"):  # Azure may tell it only in the end (providers.md 2.2)
            item["encrypted_content"] = final.get("encrypted_content")
    return read_answer(response | {"output": items})


def read_answer(response: dict[str, Any]) -> Reading:
    items = response["output"]
    reading = put_together([piece for item in items for piece in read_item(item)], read_calls(items))
    reading.searches = [search for item in items for search in read_searches(item)]
    reading.citations = [citation for item in items for citation in read_citations(item)]
    reading.state = [state for item in items for state in read_state(item)]
    reading.unshown = list(dict.fromkeys(kind for item in items for kind in read_unshown(item)))
    if response["status"] not in ("completed", "incomplete"):  # S37
        reading.error = read_failure(response.get("error"))
        return reading
    reading.stop = settle(STOPS[(response["incomplete_details"] or {}).get("reason")], reading)
    reading.usage = read_usage(response["usage"])
    return reading


# The items of a stream


def last_response(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What the stream says of the whole answer last: where it is cut off, that it is in progress."""
    response: dict[str, Any] = [event["response"] for event in events if "response" in event][-1]
    failures = [event.get("error") or event for event in events if event["type"] == "error"]
    return response | {"status": "failed", "error": failures[0]} if failures else response


def gather_items(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order of `output_index`: several items may grow at a time (S36)."""
    items: dict[int, dict[str, Any]] = {}
    done = {event["output_index"] for event in events if event["type"] == "response.output_item.done"}
    for event in events:
        if event["type"] in ("response.output_item.added", "response.output_item.done"):
            items[event["output_index"]] = event["item"]
        elif event["type"] in BEGINS:
            items[event["output_index"]].setdefault(BEGINS[event["type"]], []).append(event["part"])
        elif event["type"] in GROWS:
            parts, which, field = GROWS[event["type"]]
            items[event["output_index"]][parts][event[which]][field] += event["delta"]
    return [item for index, item in sorted(items.items()) if index in done or item["type"] in ("message", "reasoning")]


# What the model says


def read_item(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if item["type"] == "reasoning":
        yield "thinking", "\n\n".join(part["text"] for part in item["summary"] or item.get("content") or [])
    if item["type"] == "function_call":
        yield "tool_use", "a call"
    for part in parts_of(item):
        yield ("refusal", part["refusal"]) if part["type"] == "refusal" else ("text", part["text"])


def parts_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    return item["content"] if item["type"] == "message" else []


def read_calls(items: list[dict[str, Any]]) -> list[Call]:
    return [Call(item["name"], read_arguments(item["arguments"])) for item in items if item["type"] == "function_call"]


def read_citations(item: dict[str, Any]) -> list[tuple[str, str]]:
    notes = [note for part in parts_of(item) for note in part.get("annotations") or []]
    return [(note["url"], note.get("title") or "") for note in notes if note["type"] == "url_citation"]


# What is not said


def read_searches(item: dict[str, Any]) -> Iterator[Search]:
    if item["type"] != "web_search_call":
        return
    # xAI told it as a call of a function once.
    action = item.get("action") or {"type": "search", **json.loads(item["arguments"])}
    if action["type"] == "search":
        queries = action.get("queries") or [action["query"]]
        sources = action.get("sources") or []
        yield Search(
            [query for query in queries if not query.startswith("ws_call_id=")],  # DeepSeek puts the item's id there
            [(source["url"], source.get("title") or "") for source in sources if source["type"] == "url"],
        )


def read_state(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if item["type"] == "reasoning" and item.get("encrypted_content"):
        yield "encrypted_content", item["encrypted_content"]
    if item["type"] == "message" and item.get("phase"):
        yield "phase", item["phase"]


def read_unshown(item: dict[str, Any]) -> Iterator[str]:
    if item["type"] not in SHOWN:
        yield item["type"]
    if item["type"] == "web_search_call" and not list(read_searches(item)):
        yield item["action"]["type"]


# The end


def read_usage(usage: dict[str, Any]) -> dict[str, int]:
    """providers.md 5.5. OpenAI once told of -9 tokens."""
    prompt, details = usage["input_tokens"], usage["input_tokens_details"]
    cached, written = details["cached_tokens"], details.get("cache_write_tokens") or 0
    return {
        "input_tokens": prompt if cached > prompt else max(0, prompt - cached - written),  # S19
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": max(0, usage["output_tokens"]),
        "thinking_tokens": usage["output_tokens_details"]["reasoning_tokens"],
    }


def read_failure(error: dict[str, Any] | None) -> Error:
    if not error:
        return CUT
    status = CODES[error["code"]]
    allowed = re.search(r"Limit (\d+), Requested (\d+)", error["message"])
    if allowed and int(allowed[2]) > int(allowed[1]):  # providers.md 5.6, at 413: waiting does not help
        status = 400
    return Error(*ERRORS[status], without_secrets(error["message"]))
