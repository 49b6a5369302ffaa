"""What a model says and is told, as the providers of each format write it down."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests import answers
from tests.answers import Chunk, Said, streamed
from tests.upstreams import Answer


class Result(NamedTuple):
    """What a call came to."""

    text: str
    failed: bool = False


@dataclass(frozen=True)
class Turn(Said):
    """What the model says: thoughts, words, calls of one tool. `dies_in` is the piece of it in whose midst the provider dies."""

    tool: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    dies_in: str = ""

    def input(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.inputs[id]
        return found


@dataclass(frozen=True)
class Found(Said):
    """What the model says of the one page that it has found on the web."""

    query: str = ""
    title: str = ""
    url: str = ""


@dataclass(frozen=True)
class Refusal:
    """A kind of trouble, of which each provider tells in words of its own."""

    kind: str
    headers: dict[str, str] = field(default_factory=dict)


Reply = Turn | Found | Refusal


@dataclass(frozen=True)
class Wire:
    """A format, by the name of its mapping.

    `says` streams a turn, `whole` tells it at once (Gemini is never asked to), `finds` streams one with a search (plain chat
    has none). `results` reads what calls came to out of a request. `state` is what of a turn is to come back, byte for byte.
    """

    name: str
    says: Callable[[Said], Iterator[Chunk]]
    whole: Callable[[Said], Chunk] | None
    finds: Callable[[Found], Iterator[Chunk]] | None
    results: Callable[[Any], Iterator[tuple[str, Result]]]
    refusals: dict[str, tuple[int, Any]]
    state: Callable[[Said], str] = lambda said: said.state

    def answer(self, reply: Reply, is_streamed: bool) -> Answer:
        if isinstance(reply, Refusal):
            status, told = self.refusals[reply.kind]
            return _json(told, status, reply.headers)
        if isinstance(reply, Found):
            assert self.finds, f"{self.name} does not search"
            return Answer([streamed(self.finds, reply)])
        if not is_streamed:
            assert self.whole, f"{self.name} streams all answers"
            return _json(self.whole(reply), 200, {}, reply.tool)
        data = _with_tool(streamed(self.says, reply), reply.tool)
        return Answer([_until(data, reply.dies_in) if reply.dies_in else data], cut=bool(reply.dies_in))


def _json(told: Any, status: int, headers: dict[str, str], tool: str = "") -> Answer:
    return Answer([_with_tool(json.dumps(told).encode(), tool)], status, "application/json", headers)


def _with_tool(data: bytes, name: str) -> bytes:
    return data.replace(b'"Read"', json.dumps(name).encode())


def _until(data: bytes, piece: str) -> bytes:
    """The events up to the first with the piece, and of that one the first half; the whole of what does not come in pieces."""
    whole, half = (json.dumps(text)[1:-1].encode() for text in (piece, piece[: len(piece) // 2]))
    before, found, after = data.partition(whole)
    if not found:
        before, half, after = data.partition(piece.encode())
        assert half, f"no {piece!r} in {data!r}"
    return before + half + after[: after.index(b"\n\n") + 2]


# OpenAI Chat Completions


def _chat_whole(said: Said) -> Chunk:
    calls = [
        {"id": id, "type": "function", "function": {"name": "Read", "arguments": json.dumps(said.input(id))}} for id in said.calls
    ]
    message = {"role": "assistant", "content": said.text or None, "reasoning_content": said.thought}
    choice = {"index": 0, "message": message | ({"tool_calls": calls} if calls else {})}
    choice["finish_reason"] = "tool_calls" if calls else "stop"
    return {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 9}}


def _chat_results(body: Any) -> Iterator[tuple[str, Result]]:
    for message in body["messages"]:
        if message["role"] == "tool":
            yield message["tool_call_id"], _in_words(message["content"])


def _in_words(text: str) -> Result:
    return _result(text.removeprefix("Error: "), text.startswith("Error: "))


def _result(text: str, failed: bool) -> Result:
    """Where a picture has no place in a result, words say that it comes below."""
    return Result(text.replace("[image below]", ""), failed)


def _openai_error(message: str, type: str, code: str | None = None) -> Chunk:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def _openai_refusals(too_long: str, code: str | None = None) -> dict[str, tuple[int, Any]]:
    return {
        "overloaded": (503, _openai_error("The server is currently overloaded with other requests.", "server_error")),
        "limited": (429, _openai_error("Rate limit reached for requests", "requests", "rate_limit_exceeded")),
        "too long": (400, _openai_error(too_long, "invalid_request_error", code)),
    }


CHAT = Wire(
    name="openai-chat",
    says=answers.chat,
    whole=_chat_whole,
    finds=None,
    results=_chat_results,
    # GitHub's words for it, which Claude Code does not know; it does know OpenAI's and Google's.
    refusals=_openai_refusals("prompt token count of 150000 exceeds the limit of 128000"),
    state=lambda said: said.thought,
)


# OpenAI Responses


def _items_results(body: Any) -> Iterator[tuple[str, Result]]:
    for item in body["input"]:
        if item.get("type") == "function_call_output":
            yield item["call_id"], _in_words(_text(item["output"]))


def _text(content: Any) -> str:
    """Of a text, or of parts. Anthropic shows a tool that was found where all others are told so."""
    if isinstance(content, str):
        return content
    named = (
        f"Tool loaded: {part['tool_name']}" if part["type"] == "tool_reference" else part.get("text", "") for part in content
    )
    return "".join(named)


def _items_found(found: Found) -> Iterator[Chunk]:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    search["action"] = {"type": "search", "query": found.query, "sources": [{"type": "url", "url": found.url}]}
    *begun, last = answers.responses(found)
    yield begun[0]
    yield {"type": "response.output_item.added", "output_index": 100, "item": search | {"status": "in_progress"}}
    yield {"type": "response.output_item.done", "output_index": 100, "item": search}
    note = {"type": "url_citation", "url": found.url, "title": found.title, "start_index": 0, "end_index": len(found.text)}
    for chunk in begun[1:]:
        yield chunk
        if chunk["type"] == "response.output_text.delta":
            place = {"output_index": chunk["output_index"], "item_id": chunk["item_id"], "content_index": 0}
            yield {"type": "response.output_text.annotation.added", "annotation_index": 0, "annotation": note, **place}
    yield last


RESPONSES = Wire(
    name="openai",
    says=answers.responses,
    whole=lambda said: list(answers.responses(said))[-1]["response"],
    finds=_items_found,
    results=_items_results,
    refusals=_openai_refusals(
        "Your input exceeds the context window of this model. Please adjust your input and try again.", "context_length_exceeded"
    ),
)


# Gemini


def _parts_results(body: Any) -> Iterator[tuple[str, Result]]:
    for content in body["contents"]:
        for part in content["parts"]:
            if told := part.get("functionResponse"):
                response = told["response"]
                yield told["id"], _result(response.get("error", response.get("output", "")), "error" in response)


def _parts_found(found: Found) -> Iterator[Chunk]:
    *spoken, last = answers.generate_content(found)
    yield from spoken
    segment = {"startIndex": 0, "endIndex": len(found.text), "text": found.text}
    last["candidates"][0]["groundingMetadata"] = {
        "webSearchQueries": [found.query],
        "groundingChunks": [{"web": {"uri": found.url, "title": found.title}}],
        "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0]}],
    }
    yield last | {"responseId": "resp-1"}


def _google_error(status: int, name: str, message: str) -> tuple[int, Any]:
    return status, {"error": {"code": status, "message": message, "status": name}}


GEMINI = Wire(
    name="gemini",
    says=answers.generate_content,
    whole=None,
    finds=_parts_found,
    results=_parts_results,
    refusals={
        "overloaded": _google_error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        "limited": _google_error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
        "too long": _google_error(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        ),
    },
)


# Anthropic Messages


def _blocks_whole(said: Said) -> Chunk:
    blocks: list[Chunk] = [{"type": "thinking", "thinking": said.thought, "signature": said.state}]
    blocks += [{"type": "text", "text": said.text}] if said.text else []
    blocks += [{"type": "tool_use", "id": id, "name": "Read", "input": said.input(id)} for id in said.calls]
    ending = {"stop_reason": "tool_use" if said.calls else "end_turn", "stop_sequence": None}
    usage = {"input_tokens": 9, "output_tokens": 9}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": blocks, **ending, "usage": usage}


def _blocks_results(body: Any) -> Iterator[tuple[str, Result]]:
    for message in body["messages"]:
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block["type"] == "tool_result":
                yield block["tool_use_id"], Result(_text(block["content"]), block.get("is_error", False))


def _blocks_found(found: Found) -> Iterator[Chunk]:
    started, *spoken = answers.messages(found)
    yield started
    page = {"type": "web_search_result", "url": found.url, "title": found.title, "encrypted_content": "e", "page_age": None}
    blocks = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [page]},
    ]
    asked = {"type": "input_json_delta", "partial_json": json.dumps({"query": found.query})}
    for index, block in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        if block["type"] == "server_tool_use":
            yield {"type": "content_block_delta", "index": index, "delta": asked}
        yield {"type": "content_block_stop", "index": index}
    for event in spoken:
        yield event | ({"index": event["index"] + len(blocks)} if "index" in event else {})


def _anthropic_error(status: int, type: str, message: str) -> tuple[int, Any]:
    return status, {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_1"}


ANTHROPIC = Wire(
    name="anthropic",
    says=answers.messages,
    whole=_blocks_whole,
    finds=_blocks_found,
    results=_blocks_results,
    refusals={
        "overloaded": _anthropic_error(529, "overloaded_error", "Overloaded"),
        "limited": _anthropic_error(429, "rate_limit_error", "This request would exceed your rate limit."),
        "too long": _anthropic_error(400, "invalid_request_error", "prompt is too long: 215000 tokens > 200000 maximum"),
    },
)

WIRES = {wire.name: wire for wire in (ANTHROPIC, CHAT, RESPONSES, GEMINI)}
