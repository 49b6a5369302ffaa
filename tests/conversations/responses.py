"""A Responses request as a conversation."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from tests.conversations.chat import read_choice
from tests.conversations.conversation import (
    Call,
    Conversation,
    Item,
    Other,
    Reasoning,
    Result,
    Shown,
    Text,
    Tool,
    Turn,
    document_at,
    image_at,
    left_over,
)

Json = dict[str, Any]

READ = {"input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "stream"} | {
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_k",
}
SERVING = {"model", "store", "include", "background", "service_tier", "stream_options", "truncation", "user", "metadata"} | {
    "prompt_cache_key",
    "safety_identifier",
}


def read(body: Json, path: str = "") -> Conversation:
    spoken = [{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]
    lead = list(itertools.takewhile(lambda item: speaker(item) == "system", spoken))
    conversation = Conversation(
        format="responses",
        system=[body["instructions"]] if body.get("instructions") else [],
        turns=list(read_turns(spoken[len(lead) :])),
        one_call=body.get("parallel_tool_calls") is False,
        max_tokens=body.get("max_output_tokens"),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        top_k=body.get("top_k"),
        effort={"reasoning": body["reasoning"]} if body.get("reasoning") else {},
        schema=read_schema(body.get("text") or {}),
        stream=body.get("stream") is True,
        settings=left_over(body, READ, SERVING, silent={}),
    )
    conversation.system += [part["text"] for item in lead for part in parts(item["content"])]
    for tool in body.get("tools") or []:
        read_tool(tool, conversation)
    conversation.choice, conversation.chosen = read_choice(body.get("tool_choice") or "")
    return conversation


def speaker(item: Json) -> str:
    match item.get("type", "message"):
        case "message":
            return "system" if item["role"] == "developer" else str(item["role"])
        case "additional_tools":
            return "system"
        case "function_call_output":
            return "tool"
    return "assistant"


def parts(content: Any) -> list[Json]:
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


# Items


def read_turns(spoken: list[Json]) -> Iterator[Turn]:
    for role, items in itertools.groupby(spoken, speaker):
        yield Turn(role, tuple(read for item in items for read in read_item(role, item)))


def read_item(role: str, item: Json) -> Iterator[Item]:
    match item.get("type", "message"):
        case "message":
            yield from (read_part(role, part) for part in parts(item["content"]))
        case "reasoning":
            yield Reasoning(item)
        case "function_call":
            yield Call(item["call_id"], item["name"], json.loads(item["arguments"] or "{}"))
        case "function_call_output":
            yield Result(item["call_id"], tuple(read_part("tool", part) for part in parts(item["output"])))
        case kind:
            yield Other(role, kind, (), item)


def read_part(role: str, part: Json) -> Shown:
    match part:
        case {"type": "input_text" | "output_text", "text": text} | {"type": "refusal", "refusal": text}:
            return Text(role, text)
        case {"type": "input_image", "image_url": str(address)}:
            return image_at(address)
        case {"type": "input_file", "file_data": str(address)} | {"type": "input_file", "file_url": str(address)}:
            return document_at(address, part.get("filename") or "")
    return Other(role, part["type"], (), part)


# What is asked for


def read_tool(tool: Json, conversation: Conversation) -> None:
    match tool["type"]:
        case "function":
            # Some write the function as Chat Completions has it.
            schema = tool.get("parameters") or tool.get("function", {}).get("parameters") or {"type": "object", "properties": {}}
            description = tool.get("description") or tool.get("function", {}).get("description") or ""
            strict, deferred = tool.get("strict") is True, tool.get("defer_loading") is True
            conversation.tools.append(Tool(tool["name"], description, schema, strict, deferred))
        case "web_search" | "web_search_preview":
            conversation.web_search = True
        case _:
            conversation.hosted.append(tool)


def read_schema(text: Json) -> Json | None:
    form = text.get("format") or {"type": "text"}
    schemas = {"text": None, "json_object": {"type": "object"}}
    return schemas[form["type"]] if form["type"] in schemas else form["schema"]
