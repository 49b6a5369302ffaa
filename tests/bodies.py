"""Bodies that several tests and benchmarks need: requests and chunks of a realistic shape and size."""

from typing import Any


def text_chunks(count: int) -> list[dict[str, Any]]:
    """A chat stream as OpenAI sends it: a role, text in small pieces, a finish, usage."""
    chunks: list[dict[str, Any]] = [_chunk({"role": "assistant", "content": "", "refusal": None})]
    chunks += [_chunk({"content": f" word{number}"}) for number in range(count - 3)]
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": count,
        "total_tokens": 1000 + count,
        "prompt_tokens_details": {"cached_tokens": 768},
    }
    return [*chunks, _chunk({}, "stop"), {**_chunk({}), "choices": [], "usage": usage}]


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt",
        "system_fingerprint": "fp",
        "choices": [choice],
        "usage": None,
    }


def large_request(*, tools: int, messages: int, size: int) -> dict[str, Any]:
    """A long session of Claude Code: many tools, turns of a call and its result, about `size` bytes of JSON."""
    each = size // (tools * 2 + messages)
    return {
        "model": "claude-opus-5-5",
        "max_tokens": 32000,
        "stream": True,
        "system": [{"type": "text", "text": "You are a careful engineer. " * 200, "cache_control": {"type": "ephemeral"}}],
        "tools": [_tool(number, each) for number in range(tools)],
        "messages": [_message(number, each * 2) for number in range(messages - 1)] + [{"role": "user", "content": "Go on."}],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
    }


def _tool(number: int, size: int) -> dict[str, Any]:
    properties = {
        "path": {"type": "string", "description": "An absolute path."},
        "limit": {"type": "integer", "minimum": 0, "description": "How many lines."},
        "options": {"type": "object", "properties": {"all": {"type": "boolean"}}, "additionalProperties": False},
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": ["path"],
    }
    return {"name": f"tool_{number}", "description": "What it does, at length. " * (size // 25), "input_schema": schema}


def _message(number: int, size: int) -> dict[str, Any]:
    """Calls and results turn and turn about, the first message being the user's."""
    text = "A line of source code, or of its output.\n" * (size // 42)
    if number == 0:
        return {"role": "user", "content": [{"type": "text", "text": text}]}
    if number % 2:
        call = {"type": "tool_use", "id": f"toolu_{number}", "name": "tool_1", "input": {"path": f"/a/{number}", "limit": 10}}
        return {"role": "assistant", "content": [{"type": "text", "text": "Let me look."}, call]}
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"toolu_{number - 1}", "content": text}]}
