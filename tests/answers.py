"""What a made-up model says in a turn, as a provider of each format streams it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Chunk = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """`thought` is readable, `state` is not; both are to come back. The input of a call is `{"path": its id}`."""

    thought: str
    state: str
    text: str = ""
    calls: list[str] = field(default_factory=list)

    def input(self, id: str) -> dict[str, Any]:
        return {"path": id}


def chat(said: Said) -> Iterator[Chunk]:
    """Reasoning as text, under the name that most servers give it."""
    yield _delta(reasoning_content=said.thought)
    yield from _chat_words(said)


def chat_under_another_name(said: Said) -> Iterator[Chunk]:
    yield _delta(reasoning=said.thought)
    yield from _chat_words(said)


def chat_with_details(said: Said) -> Iterator[Chunk]:
    """Reasoning as items, of which one is encrypted."""
    half = len(said.thought) // 2
    for piece in (said.thought[:half], said.thought[half:]):
        yield _delta(reasoning=piece, reasoning_details=[{"type": "reasoning.text", "text": piece, "format": "f", "index": 0}])
    yield _delta(reasoning_details=[{"type": "reasoning.encrypted", "data": said.state, "format": "f", "index": 1}])
    yield from _chat_words(said)


def chat_with_thinking_parts(said: Said) -> Iterator[Chunk]:
    """Reasoning as a part of the content."""
    yield _delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": said.thought}]}])
    yield from _chat_words(said)


def _chat_words(said: Said) -> Iterator[Chunk]:
    if said.text:
        yield _delta(content=said.text)
    for index, id in enumerate(said.calls):
        function = {"name": "Read", "arguments": json.dumps(said.input(id))}
        yield _delta(tool_calls=[{"index": index, "id": id, "type": "function", "function": function}])
    reason = "tool_calls" if said.calls else "stop"
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": {"prompt_tokens": 9, "completion_tokens": 9}}


def _delta(**fields: Any) -> Chunk:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def responses(said: Said) -> Iterator[Chunk]:
    reasoning = {
        "type": "reasoning",
        "id": f"rs_{said.state}",
        "summary": [{"type": "summary_text", "text": said.thought}],
        "encrypted_content": said.state,
    }
    message = {"type": "message", "id": f"msg_{said.state}", "role": "assistant", "status": "completed", "phase": "commentary"}
    message["content"] = [{"type": "output_text", "text": said.text, "annotations": []}]
    calls = [
        {
            "type": "function_call",
            "id": f"fc_{id}",
            "call_id": id,
            "name": "Read",
            "arguments": json.dumps(said.input(id)),
            "status": "completed",
        }
        for id in said.calls
    ]
    items = [reasoning, *([message] if said.text else []), *calls]
    yield {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}}
    for index, item in enumerate(items):
        place = {"output_index": index, "item_id": item["id"]}
        empty = {"summary": [], "encrypted_content": ""} if item is reasoning else {"content": []} if item is message else {}
        begun = item | empty | ({"arguments": ""} if item in calls else {})
        yield {"type": "response.output_item.added", "output_index": index, "item": begun}
        if item is reasoning:
            yield {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": said.thought, **place}
        elif item is message:
            yield {"type": "response.output_text.delta", "content_index": 0, "delta": said.text, **place}
        else:
            yield {"type": "response.function_call_arguments.delta", "delta": item["arguments"], **place}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    usage = {"input_tokens": 9, "output_tokens": 9, "total_tokens": 18}
    yield {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": items, "usage": usage}}


def generate_content(said: Said) -> Iterator[Chunk]:
    """The signature is on the first call, or on an empty part behind the text."""
    parts: list[Chunk] = [{"text": said.thought, "thought": True}]
    parts += [{"text": said.text}] if said.text else []
    calls = [{"functionCall": {"id": id, "name": "Read", "args": said.input(id)}} for id in said.calls]
    signed = {"thoughtSignature": said.state}
    parts += [calls[0] | signed, *calls[1:]] if calls else [{"text": "", **signed}]
    for part in parts:
        yield {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 9, "totalTokenCount": 18}
    yield {"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}], "usageMetadata": usage}


def messages(said: Said) -> Iterator[Chunk]:
    usage = {"input_tokens": 9, "output_tokens": 1}
    yield {"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": [], "model": "m", "usage": usage}}
    blocks: list[tuple[Chunk, list[Chunk]]] = [
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [{"type": "thinking_delta", "thinking": said.thought}, {"type": "signature_delta", "signature": said.state}],
        )
    ]
    if said.text:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": said.text}]))
    for id in said.calls:
        arguments = {"type": "input_json_delta", "partial_json": json.dumps(said.input(id))}
        blocks.append(({"type": "tool_use", "id": id, "name": "Read", "input": {}}, [arguments]))
    for index, (block, deltas) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    reason = "tool_use" if said.calls else "end_turn"
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 9}}
    yield {"type": "message_stop"}


def streamed(answer: Callable[[Said], Iterator[Chunk]], said: Said) -> bytes:
    """The bytes of a stream, framed as the format's own events are."""
    chunks = list(answer(said))
    events = [f"event: {chunk['type']}\n" if "type" in chunk else "" for chunk in chunks]
    text = "".join(f"{event}data: {json.dumps(chunk)}\n\n" for event, chunk in zip(events, chunks, strict=True))
    is_chat = answer.__name__.startswith("chat")
    return (text + ("data: [DONE]\n\n" if is_chat else "")).encode()
