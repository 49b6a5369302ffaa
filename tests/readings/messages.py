"""Messages, Anthropic's own and all that are like it.

- state is the signatures of thinking blocks and the data of redacted ones, in order
- searches are the calls of `web_search`, each with the next result (their ids are lost in a scrubbed recording)
- unshown are the other blocks of tools that run at the provider (server_tool_use, mcp_tool_use and their results) and
  compaction. They are Anthropic's, and a client that asked for them could be sent them; but a client of the proxy can ask
  for searches alone (R29).
"""

from collections.abc import Iterator
from typing import Any

from tests.readings import CUT, Call, Reading, Search, http_error, put_together, read_arguments, split_sse

SHOWN = ("text", "thinking", "redacted_thinking", "tool_use", "web_search_tool_result")

# What a delta adds to its block, and under which name.
GROWS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature", "input_json_delta": "partial_json"}


def read(recording: dict[str, Any]) -> Reading:
    if recording["stream"]:
        return read_stream(recording["response_raw"])
    if recording["status"] >= 400:
        return Reading(error=http_error(recording["response"], recording["status"]))
    return read_message(recording["response"])


def read_stream(text: str) -> Reading:
    events, _ = split_sse(text)
    message = gather_message(events)
    reading = read_message(message)
    if events[-1]["type"] != "message_stop":  # S20
        reading.stop, reading.usage, reading.error = None, None, CUT
    return reading


def read_message(message: dict[str, Any]) -> Reading:
    blocks = message["content"]
    calls = [Call(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    reading = put_together([piece for block in blocks for piece in read_block(block)], calls)
    reading.searches = read_searches(blocks)
    reading.citations = [citation for block in blocks for citation in read_citations(block)]
    reading.state = [state for block in blocks for state in read_state(block)]
    kinds = [block["type"] for block in blocks if block["type"] not in SHOWN and not is_search(block)]
    reading.unshown = list(dict.fromkeys(kinds))
    reading.refusal = (message.get("stop_details") or {}).get("explanation") or ""
    reading.stop = message["stop_reason"]
    reading.usage = read_usage(message["usage"])
    return reading


# The blocks of a stream


def gather_message(events: list[dict[str, Any]]) -> dict[str, Any]:
    """`message_delta` tells the end, and of the usage what has become of it."""
    message: dict[str, Any] = events[0]["message"]
    for event in events:
        if event["type"] == "message_delta":
            message |= event["delta"] | {"usage": message["usage"] | event["usage"]}
    return message | {"content": gather_blocks(events)}


def gather_blocks(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    blocks: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["type"] == "content_block_start":
            blocks[event["index"]] = event["content_block"]
        if event["type"] == "content_block_delta":
            grow(blocks[event["index"]], event["delta"])
    for block in blocks.values():
        if "partial_json" in block:
            block["input"] = read_arguments(block["partial_json"])
    return list(blocks.values())


def grow(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if delta["type"] == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
    else:
        name = GROWS[delta["type"]]
        block[name] = block.get(name, "") + delta[name]


# What the model says


def read_block(block: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if block["type"] in ("text", "thinking"):
        yield block["type"], block[block["type"]]
    if block["type"] == "tool_use":
        yield "tool_use", "a call"


def read_citations(block: dict[str, Any]) -> list[tuple[str, str]]:
    return [(citation["url"], citation["title"]) for citation in block.get("citations") or [] if "url" in citation]


# What is not said


def is_search(block: dict[str, Any]) -> bool:
    return (block["type"], block.get("name")) == ("server_tool_use", "web_search")


def read_searches(blocks: list[dict[str, Any]]) -> list[Search]:
    queries = [block["input"]["query"] for block in blocks if is_search(block)]
    results = [block["content"] for block in blocks if block["type"] == "web_search_tool_result"]
    pages = [[(page["url"], page["title"]) for page in found] for found in results]
    return [Search([query], found) for query, found in zip(queries, pages, strict=True)]


def read_state(block: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if block["type"] == "thinking":
        yield "signature", block["signature"]
    if block["type"] == "redacted_thinking":
        yield "redacted_thinking", block["data"]


# The end


def read_usage(usage: dict[str, Any]) -> dict[str, int]:
    return {
        "input_tokens": usage["input_tokens"],
        "cache_read_input_tokens": usage.get("cache_read_input_tokens") or 0,
        "cache_creation_input_tokens": usage.get("cache_creation_input_tokens") or 0,
        "output_tokens": usage["output_tokens"],
        "thinking_tokens": (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    }
