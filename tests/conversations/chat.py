"""A Chat Completions request, OpenAI's or a dialect's, as a conversation."""

import json
from collections.abc import Iterator
from typing import Any

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

READ = {"messages", "tools", "functions", "tool_choice", "function_call", "parallel_tool_calls", "response_format"} | {
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "temperature",
    "top_p",
    "top_k",
    "web_search_options",
    "stream",
}
EFFORT = {"reasoning_effort", "reasoning", "thinking", "enable_thinking", "include_reasoning", "chat_template_kwargs"}
# How the request is served, and for whom: nothing that the model reads.
SERVING = {"model", "models", "provider", "transforms", "stream_options", "usage", "user", "store", "metadata"} | {
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
}
SILENT = {"n": 1, "frequency_penalty": 0, "presence_penalty": 0, "modalities": ["text"]}

# What a message may hold of reasoning; providers.md 3.
REASONING = ("reasoning_content", "reasoning", "reasoning_details", "reasoning_text")


def read(body: Json, path: str = "") -> Conversation:
    messages = body["messages"]
    lead = next((place for place, message in enumerate(messages) if not is_system(message)), len(messages))
    conversation = Conversation(
        format="chat",
        system=[part["text"] for message in messages[:lead] for part in parts(message["content"])],
        turns=list(read_turns(messages[lead:])),
        one_call=body.get("parallel_tool_calls") is False,
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        stop=[body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or [],
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        top_k=body.get("top_k"),
        effort={key: body[key] for key in sorted(EFFORT & body.keys())},
        schema=read_schema(body.get("response_format") or {"type": "text"}),
        web_search=body.get("web_search_options") is not None,
        stream=body.get("stream") is True,
        settings=left_over(body, READ, EFFORT, SERVING, silent=SILENT),
    )
    read_tools(body, conversation)
    conversation.choice, conversation.chosen = read_choice(body.get("tool_choice") or body.get("function_call") or "")
    return conversation


def is_system(message: Json) -> bool:
    return message["role"] in ("system", "developer")


def parts(content: Any) -> list[Json]:
    """Content as parts: a text is one, null is none."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


# Messages


def read_turns(messages: list[Json]) -> Iterator[Turn]:
    """Calls and results without ids belong together by their order."""
    unnamed: list[str] = []
    for place, message in enumerate(messages):
        match message["role"]:
            case "system" | "developer":
                yield Turn("system", tuple(Text("system", part["text"]) for part in parts(message["content"])))
            case "user":
                yield Turn("user", tuple(read_part("user", part) for part in parts(message["content"])))
            case "assistant":
                items = tuple(read_assistant(message, f"call_{place}"))
                unnamed = [item.id for item in items if isinstance(item, Call)]
                yield Turn("assistant", items)
            case "tool" | "function":
                id = message.get("tool_call_id") or (unnamed.pop(0) if unnamed else "")
                content = tuple(read_part("tool", part) for part in parts(message["content"]))
                yield Turn("tool", (Result(id, content, message.get("name") or ""),))
            case role:
                raise ValueError(f"nobody knows the role {role}")


def read_part(role: str, part: Json) -> Shown:
    match part["type"]:
        case "text" | "input_text":
            return Text(role, part["text"])
        case "refusal":
            return Text(role, part["refusal"])
        case "image_url":
            address = part["image_url"]
            return image_at(address if isinstance(address, str) else address["url"])
        case "document_url":
            return document_at(part["document_url"], part.get("document_name") or "")
        case "file" if "file_data" in part.get("file", {}):
            return document_at(part["file"]["file_data"], part["file"].get("filename") or "")
        case kind:
            return Other(role, kind, (), part)


def read_assistant(message: Json, made_up_id: str) -> Iterator[Item]:
    state = {key: message[key] for key in REASONING if message.get(key)}
    if state:
        yield Reasoning(state)
    for part in parts(message.get("content")):
        yield Reasoning(part) if part["type"] == "thinking" else read_part("assistant", part)
    if message.get("refusal"):
        yield Text("assistant", message["refusal"])
    for place, call in enumerate(message.get("tool_calls") or []):
        if call.get("type") == "custom":
            yield Other("assistant", "custom", (), call)
        else:
            yield read_call(call["function"], call.get("id") or f"{made_up_id}_{place}")
    if message.get("function_call"):
        yield read_call(message["function_call"], made_up_id)


def read_call(function: Json, id: str) -> Call:
    arguments = function["arguments"]
    return Call(id, function["name"], json.loads(arguments or "{}") if isinstance(arguments, str) else arguments)


# What is asked for


def read_tools(body: Json, conversation: Conversation) -> None:
    tools = [*(body.get("tools") or []), *({"function": function} for function in body.get("functions") or [])]
    for tool in tools:
        kind = tool.get("type", "function")
        if kind == "function":
            function = tool["function"]
            schema = function.get("parameters") or {"type": "object", "properties": {}}
            strict = function.get("strict") is True
            conversation.tools.append(Tool(function["name"], function.get("description") or "", schema, strict))
        elif kind == "openrouter:web_search":
            conversation.web_search = True
        else:
            conversation.hosted.append(tool)


def read_choice(choice: Any) -> tuple[str, str]:
    match choice:
        case "required":
            return "any", ""
        case str():
            return choice, ""
        case {"function": {"name": name}} | {"name": name}:
            return "tool", name
        case {"type": "web_search" | "web_search_preview" | "openrouter:web_search"}:
            return "tool", "web_search"
        case {"mode": "required", "tools": [tool]}:
            return read_choice(tool)
    raise ValueError(f"nobody knows the choice {choice}")


def read_schema(form: Json) -> Json | None:
    """JSON of any kind, as `json_object` asks for it, is any object."""
    schemas = {"text": None, "json_object": {"type": "object"}}
    return schemas[form["type"]] if form["type"] in schemas else form["json_schema"]["schema"]
