"""What the canned providers say: the same text in three formats, whole and in a hundred chunks."""

import json
from dataclasses import dataclass
from typing import Any

from tests.bodies import text_chunks

CHUNKS = 100
PIECES = [f" word{number}" for number in range(CHUNKS - 3)]
TEXT = "".join(PIECES)


@dataclass(frozen=True, eq=False)
class Format:
    """One API's answers, as bytes: a `whole` one, and the events of a `stream`."""

    whole: bytes
    stream: list[bytes]


def _whole(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode()


def _event(chunk: dict[str, Any], *, named: bool = False) -> bytes:
    name = f"event: {chunk['type']}\n" if named else ""
    return f"{name}data: {json.dumps(chunk, separators=(',', ':'))}\n\n".encode()


def _chat() -> Format:
    chunks = text_chunks(CHUNKS)
    message = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
    whole = {
        **{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt", "system_fingerprint": "fp"},
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": chunks[-1]["usage"],
    }
    return Format(_whole(whole), [*map(_event, chunks), b"data: [DONE]\n\n"])


def _responses() -> Format:
    usage = {
        **{"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 768}},
        **{"output_tokens": 100, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 1100},
    }
    empty, full = ({"type": "output_text", "annotations": [], "text": text} for text in ("", TEXT))
    begun = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    done = {**begun, "status": "completed", "content": [full]}
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt", "error": None, "incomplete_details": None}
    answering = {**response, "status": "in_progress", "output": [], "usage": None}
    whole = {**response, "status": "completed", "output": [done], "usage": usage}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    delta = {"type": "response.output_text.delta", **place, "logprobs": []}
    told = [
        {"type": "response.created", "response": answering},
        {"type": "response.in_progress", "response": answering},
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        {"type": "response.content_part.added", **place, "part": empty},
        *({**delta, "delta": piece} for piece in PIECES),
        {"type": "response.output_text.done", **place, "text": TEXT},
        {"type": "response.content_part.done", **place, "part": full},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": whole},
    ]
    stream = [_event({**chunk, "sequence_number": number}, named=True) for number, chunk in enumerate(told)]
    return Format(_whole(whole), stream)


def _gemini() -> Format:
    def chunk(text: str, **more: Any) -> dict[str, Any]:
        candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}
        counts = {"promptTokenCount": 1000, "cachedContentTokenCount": 768, "candidatesTokenCount": 100, "totalTokenCount": 1100}
        return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "gemini", "responseId": "r1"}

    last = chunk("", finishReason="STOP")
    return Format(_whole(chunk(TEXT, finishReason="STOP")), [*(_event(chunk(piece)) for piece in PIECES), _event(last)])


CHAT, RESPONSES, GEMINI = _chat(), _responses(), _gemini()

FORMATS = {b"/chat/completions": CHAT, b"/responses": RESPONSES, b":streamGenerateContent": GEMINI}
"""By what a request's path ends in."""
