"""A generateContent request, of the Gemini API or of Vertex, as a conversation.

Both spellings of a name are taken, `inlineData` and `inline_data`, since both are: but never inside of what is a
person's own, the arguments of a call and the schema of a tool.
"""

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

READ = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
READ_CONFIG = {"maxOutputTokens", "stopSequences", "temperature", "topP", "topK", "thinkingConfig"} | {
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
}
SILENT_CONFIG = {"candidateCount": 1, "responseModalities": ["TEXT"]}

# Google's Schema numbers its types where enumerations are sent as numbers.
TYPES = ("", "string", "number", "integer", "boolean", "array", "object", "null")


def read(body: Json, path: str = "") -> Conversation:
    body = camel(body)
    config = camel(body.get("generationConfig") or {})
    conversation = Conversation(
        format="generate_content",
        system=[part["text"] for part in parts(body.get("systemInstruction") or {})],
        turns=list(read_turns(body["contents"])),
        max_tokens=config.get("maxOutputTokens"),
        stop=config.get("stopSequences") or [],
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        top_k=config.get("topK"),
        effort=camel(config.get("thinkingConfig") or {}),
        schema=read_schema(config),
        stream="streamGenerateContent" in path,
        settings=left_over(body, READ, {"model"}, silent={}) | left_over(config, READ_CONFIG, silent=SILENT_CONFIG),
    )
    for tool in body.get("tools") or []:
        read_tool(camel(tool), conversation)
    read_choice(camel(camel(body.get("toolConfig") or {}).get("functionCallingConfig") or {}), conversation)
    return conversation


def camel(fields: Json) -> Json:
    """The fields under Google's own spelling."""
    return {re.sub("_([a-z])", lambda letter: letter[1].upper(), key): value for key, value in fields.items()}


def parts(content: Json) -> list[Json]:
    found = content.get("parts") or []
    return [camel(part) for part in (found if isinstance(found, list) else [found])]


# Contents


def read_turns(contents: list[Json]) -> Iterator[Turn]:
    """Calls and results without ids belong together by the function's name and their order."""
    waiting: list[Call] = []
    for place, content in enumerate(contents):
        role = {"model": "assistant"}.get(content.get("role", "user"), "user")
        items: list[Item] = []
        for number, part in enumerate(parts(content)):
            items += read_part(role, part, f"call_{place}_{number}", waiting)
        waiting += [item for item in items if isinstance(item, Call)]
        yield Turn(role, tuple(items))


def read_part(role: str, part: Json, made_up_id: str, waiting: list[Call]) -> Iterator[Item]:
    signature = {"thoughtSignature": part["thoughtSignature"]} if part.get("thoughtSignature") else {}
    if part.get("thought"):
        yield Reasoning({"text": part["text"], "thought": True, **signature})
        return
    if signature:
        yield Reasoning(signature)
    match part:
        case {"text": text}:
            yield Text(role, text)
        case {"functionCall": call}:
            yield Call(call.get("id") or made_up_id, call["name"], call.get("args") or {})
        case {"functionResponse": answer}:
            answered = [call for call in waiting if call.id == answer.get("id", call.id) and call.name == answer["name"]]
            for call in answered[:1]:
                waiting.remove(call)
            yield read_result(camel(answer), answered[0].id if answered else answer.get("id", ""))
        case _:
            yield read_file(role, part)


def read_file(role: str, part: Json) -> Shown:
    inline, stored = camel(part.get("inlineData") or {}), camel(part.get("fileData") or {})
    media_type = (inline or stored).get("mimeType", "")
    if media_type.startswith("image/"):
        return Image(media_type, decoded(inline["data"])) if inline else Image(url=stored["fileUri"])
    if media_type == "application/pdf" or media_type.startswith("text/"):
        return Document(media_type, decoded(inline["data"])) if inline else Document(url=stored["fileUri"])
    [kind] = part.keys() - {"thought", "thoughtSignature"}
    return Other(role, media_type or kind, (), part)


def read_result(answer: Json, call_id: str) -> Result:
    """A lone word under one of the usual names is the text; anything else is JSON."""
    match answer["response"]:
        case {"error": told, **others} if not others:
            is_error = True
        case {"output": told, **others} | {"result": told, **others} if not others:
            is_error = None
        case told:
            is_error = None
    words = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False) if told else ""
    shown = [Text("tool", words)] if words else []
    return Result(call_id, (*shown, *(read_file("tool", part) for part in parts(answer))), answer["name"], is_error)


# What is asked for


def read_tool(tool: Json, conversation: Conversation) -> None:
    for kind, value in tool.items():
        match kind:
            case "functionDeclarations":
                conversation.tools += [read_function(camel(function)) for function in value]
            case "googleSearch" | "googleSearchRetrieval":
                conversation.web_search = True
            case _ if value is not None:
                conversation.hosted.append({kind: value})


def read_function(function: Json) -> Tool:
    schema = function.get("parametersJsonSchema") or json_schema(function.get("parameters") or {"type": "object"})
    return Tool(function["name"], function.get("description") or "", schema)


def read_choice(config: Json, conversation: Conversation) -> None:
    """VALIDATED leaves it to the model, too; only what it calls is held to the schema."""
    modes = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "any", "NONE": "none"}
    conversation.choice = modes[config["mode"]] if config else ""
    allowed = config.get("allowedFunctionNames") or []
    if len(allowed) > 1:
        conversation.settings["allowedFunctionNames"] = allowed
    elif allowed:
        conversation.choice, [conversation.chosen] = "tool", allowed


def read_schema(config: Json) -> Json | None:
    if config.get("responseJsonSchema"):
        return dict(config["responseJsonSchema"])
    if config.get("responseSchema"):
        return json_schema(config["responseSchema"])
    return {"type": "object"} if config.get("responseMimeType") == "application/json" else None


def json_schema(schema: Json) -> Json:
    """Google's Schema as JSON Schema. https://ai.google.dev/api/caching#Schema"""
    schema = camel(schema)
    made = {key: value for key, value in schema.items() if key not in ("nullable", "propertyOrdering")}
    if "type" in schema:
        type_ = TYPES[schema["type"]] if isinstance(schema["type"], int) else schema["type"].lower()
        made["type"] = [type_, "null"] if schema.get("nullable") else type_
    if "items" in schema:
        made["items"] = json_schema(schema["items"])
    if "anyOf" in schema:
        made["anyOf"] = [json_schema(branch) for branch in schema["anyOf"]]
    if "properties" in schema:
        made["properties"] = {name: json_schema(inner) for name, inner in schema["properties"].items()}
    return made
