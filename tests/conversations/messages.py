"""An Anthropic Messages request as a conversation."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.conversations.conversation import (
    Call,
    Conversation,
    Document,
    Image,
    Item,
    Other,
    Reasoning,
    Result,
    Shown,
    Text,
    Tool,
    Turn,
    decoded,
    left_over,
)

Json = dict[str, Any]

READ = {"messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format", "stream"} | {
    "max_tokens",
    "stop_sequences",
    "temperature",
    "top_p",
    "top_k",
}
SERVING = {"model", "metadata", "service_tier", "speed", "anthropic_version", "cache_control"}

ROLES = {"ctx": "user", "msg": "user"}  # seen of Claude Code 2.1.154 and later

# Tools of Anthropic's definition that the client runs; all others Anthropic runs. client.md 6
CLIENT_TOOLS = ("bash", "text_editor", "memory", "computer")


def read(body: Json, path: str = "") -> Conversation:
    config, choice = body.get("output_config") or {}, body.get("tool_choice") or {}
    form = config.get("format") or body.get("output_format") or {}
    conversation = Conversation(
        format="messages",
        system=[block["text"] for block in blocks(body.get("system")) if block["type"] == "text"],
        turns=[read_turn(message) for message in body["messages"]],
        choice=choice.get("type", ""),
        chosen=choice.get("name", ""),
        one_call=choice.get("disable_parallel_tool_use") is True,
        max_tokens=body.get("max_tokens"),
        stop=body.get("stop_sequences") or [],
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        top_k=body.get("top_k"),
        effort={key: value for key, value in read_effort(body).items() if value},
        schema=form.get("schema"),
        stream=body.get("stream") is True,
        settings=left_over(body, READ, SERVING, silent={}),
    )
    for tool in body.get("tools") or []:
        read_tool(tool, conversation)
    return conversation


def blocks(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def read_effort(body: Json) -> Json:
    return {"thinking": body.get("thinking"), "effort": (body.get("output_config") or {}).get("effort")}


# Messages


def read_turn(message: Json) -> Turn:
    role = ROLES.get(message["role"], message["role"])
    return Turn(role, tuple(read_content(role, message.get("content"))))


def read_content(role: str, content: Any) -> Iterator[Item]:
    for block in blocks(content):
        match block:
            case {"type": "tool_use"}:
                yield Call(block["id"], block["name"], block["input"])
            case {"type": "tool_result"}:
                shown = tuple(read_shown("tool", block.get("content")))
                yield Result(block["tool_use_id"], shown, is_error=block.get("is_error"))
            case {"type": "thinking" | "redacted_thinking"}:
                yield Reasoning({key: value for key, value in block.items() if key != "cache_control"})
            case _:
                yield from read_block(role, block)


def read_shown(role: str, content: Any) -> Iterator[Shown]:
    for block in blocks(content):
        yield from read_block(role, block)


def read_block(role: str, block: Json) -> Iterator[Shown]:
    match block:
        case {"type": "text", "text": text}:
            yield Text(role, text)
        case {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}:
            yield Image(media_type, decoded(data))
        case {"type": "image", "source": {"type": "url", "url": url}}:
            yield Image(url=url)
        case {"type": "document", "source": {"type": "base64" | "url" | "text"} as source}:
            yield read_document(block, source)
        case {"type": "document", "source": {"type": "content", "content": content}}:
            words = said(block.get("title"), block.get("context"))
            yield Other(role, "document", words, block, tuple(read_shown(role, content)))
        case {"type": "image" | "document", "source": {"type": "file"}}:
            yield Other(role, "file", (), block)
        case {"type": "search_result", "title": title, "source": source, "content": content}:
            yield Other(role, "search_result", said(title, source), block, tuple(read_shown(role, content)))
        case {"type": "compaction", "content": str(text)}:
            yield Other(role, "compaction", (), block, (Text(role, text),))
        case {"type": kind}:
            yield Other(role, kind, said(*words_of(block)), block)


def read_document(block: Json, source: Json) -> Document:
    told = {key: block.get(key) or "" for key in ("title", "context")}
    match source["type"]:
        case "text":
            return Document("text/plain", source["data"].encode(errors="surrogatepass"), **told)
        case "url":
            return Document(url=source["url"], **told)
    return Document(source["media_type"], decoded(source["data"]), **told)


def said(*words: Any) -> tuple[str, ...]:
    return tuple(word.strip() for word in words if isinstance(word, str) and word.strip())


def words_of(block: Json) -> Iterator[Any]:
    """What of a block that only Anthropic knows should be told to any other model."""
    match block:
        case {"type": "tool_reference", "tool_name": name}:
            yield name
        case {"type": "server_tool_use" | "mcp_tool_use", "name": name, "input": input}:
            yield from (name, input.get("query") or json.dumps(input, ensure_ascii=False))
        case {"type": "web_search_tool_result", "content": list(pages)}:
            for page in pages:
                yield from (page.get("title"), page.get("url"))
        case {"type": "web_search_tool_result", "content": {"error_code": code}}:
            yield code


# What is asked for


def read_tool(tool: Json, conversation: Conversation) -> None:
    kind = tool.get("type") or "custom"
    family = re.sub(r"_\d{8}$", "", kind)
    if kind == "custom":
        strict, deferred = tool.get("strict") is True, tool.get("defer_loading") is True
        names = (tool.get("name") or "", tool.get("description") or "")
        conversation.tools.append(Tool(*names, tool["input_schema"], strict, deferred))
    elif family == "web_search":
        conversation.web_search = True
    elif family in CLIENT_TOOLS:
        conversation.tools.append(Tool(tool["name"], defined=tool))
    else:
        conversation.hosted.append(tool)
