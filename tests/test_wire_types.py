"""The check of requests is itself checked: by bodies that are right, by each of their mistakes, and by recorded requests."""

import copy
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.corpus_table import CORPUS
from tests.wire_types import EXTRA, REFUSED, RULES, Body, problems

# Bodies that are right, with much in them

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
PIXEL = "iVBORw0KGgo="
USER = {"role": "user", "content": "hi"}


def call(id: str = "call_1", name: str = "read") -> Body:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}


def calling(*calls: Body) -> Body:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def answer(id: str = "call_1") -> Body:
    return {"role": "tool", "tool_call_id": id, "content": "done"}


def function(name: str = "read", **more: Any) -> Body:
    return {"type": "function", "function": {"name": name, "description": "Reads.", "parameters": SCHEMA, **more}}


def chat(*messages: Body, **more: Any) -> Body:
    return {"model": "some-model", "messages": list(messages), **more}


def item(id: str = "call_1", name: str = "read", **more: Any) -> Body:
    return {"type": "function_call", "call_id": id, "name": name, "arguments": "{}", **more}


def output(id: str = "call_1") -> Body:
    return {"type": "function_call_output", "call_id": id, "output": "done"}


REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "x"}


def tool(name: str = "read", **more: Any) -> Body:
    return {"type": "function", "name": name, "parameters": SCHEMA, "strict": False, **more}


def responses(*items: Body, **more: Any) -> Body:
    return {"model": "some-model", "input": list(items), **more}


def said(role: str, *parts: Body) -> Body:
    return {"role": role, "parts": list(parts) or [{"text": "hi"}]}


def called(id: str = "a", name: str = "read") -> Body:
    return {"functionCall": {"id": id, "name": name, "args": {"path": "/"}}}


def responded(id: str = "a", name: str = "read", response: Any = None) -> Body:
    return {"functionResponse": {"id": id, "name": name, "response": response or {"output": "done"}}}


def gemini(*contents: Body, **more: Any) -> Body:
    return {"contents": list(contents), **more}


def declaring(*names: str, **more: Any) -> list[Body]:
    return [{"functionDeclarations": [{"name": name, "parametersJsonSchema": SCHEMA, **more} for name in names]}]


def use(id: str = "toolu_1", name: str = "read") -> Body:
    return {"type": "tool_use", "id": id, "name": name, "input": {"path": "/"}}


def result(id: str = "toolu_1", **more: Any) -> Body:
    return {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": "done"}], **more}


def turn(role: str, *blocks: Body) -> Body:
    return {"role": role, "content": list(blocks) or "hi"}


def messages(*turns: Body, **more: Any) -> Body:
    return {"model": "claude", "max_tokens": 2000, "messages": list(turns), **more}


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
TEXT = {"type": "text", "text": "hi"}

GOOD: dict[str, Body] = {
    "chat": chat(
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                TEXT,
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "auto"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
            ],
        },
        calling(call(), call("call_2", "write")),
        answer(),
        answer("call_2"),
        {"role": "assistant", "content": "Done."},
        USER,
        tools=[function(), function("write", strict=False)],
        tool_choice={"type": "function", "function": {"name": "read"}},
        parallel_tool_calls=False,
        max_completion_tokens=100,
        temperature=1,
        top_p=0.5,
        stop=["a", "b"],
        stream=True,
        stream_options={"include_usage": True},
        reasoning_effort="high",
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": False}},
    ),
    "groq": chat(
        USER,
        {**calling(call()), "reasoning": "Hm."},
        answer(),
        USER,
        tools=[function()],
        tool_choice="required",
        reasoning_format="parsed",
        max_completion_tokens=100,
        stop="a",
    ),
    "mistral": chat(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [TEXT, {"type": "image_url", "image_url": {"url": "https://a.test/a.png"}}]},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": [TEXT], "closed": True}, TEXT],
            "tool_calls": [call("abcdefgh1")],
        },
        {"role": "tool", "tool_call_id": "abcdefgh1", "name": "read", "content": "done"},
        {"role": "assistant", "content": "Done."},
        USER,
        tools=[function()],
        tool_choice="any",
        max_tokens=100,
        random_seed=1,
        stop=["a"],
        reasoning_effort="high",
        stream=True,
    ),
    "responses": responses(
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "hi"},
                {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PIXEL}"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
            ],
        },
        REASONING,
        item(id="call_1", status="completed"),
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "done"}]},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Done.", "annotations": []}],
        },
        {"role": "user", "content": "hi"},
        instructions="Be brief.",
        tools=[tool(), {"type": "web_search"}],
        tool_choice={"type": "function", "name": "read"},
        max_output_tokens=16,
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": False}},
        include=["reasoning.encrypted_content"],
        store=False,
        stream=True,
    ),
    "generate_content": gemini(
        said("user", {"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": PIXEL}}),
        said("model", {"text": "Hm.", "thought": True}, {**called(), "thoughtSignature": "AA=="}, called("b", "write")),
        said("user", responded(), responded("b", "write"), {"text": "Go on."}),
        said("model", {"text": "Done."}, {"text": "", "thoughtSignature": "AA=="}),
        said("user"),
        systemInstruction={"parts": [{"text": "Be brief."}]},
        tools=declaring("read", "write"),
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["read"]}},
        generationConfig={
            "maxOutputTokens": 100,
            "temperature": 1.0,
            "topK": 3,
            "stopSequences": ["a"],
            "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True},
            "responseMimeType": "application/json",
            "responseJsonSchema": SCHEMA,
        },
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
    ),
    "messages": messages(
        turn("user", TEXT, IMAGE),
        turn("assistant", {"type": "thinking", "thinking": "Hm.", "signature": "AA=="}, TEXT, use(), use("toolu_2", "write")),
        turn("user", result("toolu_2", is_error=True), result(), TEXT),
        turn("system", TEXT),
        turn("assistant", TEXT),
        turn("user"),
        system=[{**TEXT, "cache_control": {"type": "ephemeral"}}],
        tools=[{"name": "read", "input_schema": SCHEMA}, {"name": "write", "input_schema": SCHEMA}],
        tool_choice={"type": "tool", "name": "read"},
        thinking={"type": "enabled", "budget_tokens": 1024},
        stop_sequences=["a"],
        metadata={"user_id": "a"},
        stream=True,
    ),
}

# Objects whose keys are the user's own.
FREE = re.compile(
    r"\b(parameters|parametersJsonSchema|responseJsonSchema|schema|input_schema|args|response|content\[\d\]\.input)\b"
)


def places(value: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Whatever stands in a body, but for what is the user's own: its path, and where it stands."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else []):
        place = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".removeprefix(".")
        if not FREE.search(place):
            yield place, value, key
            yield from places(item, place)


GOOD_FORMATS = pytest.mark.parametrize("format", GOOD)


@GOOD_FORMATS
def test_a_body_that_is_right_has_no_problems(format: str) -> None:
    assert problems(format, GOOD[format]) == []


@GOOD_FORMATS
def test_a_key_that_the_types_do_not_have_is_told_wherever_it_stands(format: str) -> None:
    for place, holder, key in places(GOOD[format]):
        if isinstance(holder[key], dict):
            assert f"{place}.zzz: is unknown" in problems(format, changed(format, place, {**holder[key], "zzz": 1}))
    assert problems(format, {**GOOD[format], "zzz": 1}) == ["zzz: is unknown"]


@GOOD_FORMATS
def test_a_value_of_another_kind_is_told_wherever_it_stands(format: str) -> None:
    missed = [place for place, _, _ in places(GOOD[format]) if not problems(format, changed(format, place, [[{"zzz": 1}]]))]
    assert missed == []


def changed(format: str, place: str, value: Any) -> Body:
    body = copy.deepcopy(GOOD[format])
    _, holder, key = next(each for each in places(body) if each[0] == place)
    holder[key] = value
    return body


@GOOD_FORMATS
def test_a_body_of_80_messages_takes_milliseconds(format: str) -> None:
    key = {"responses": "input", "generate_content": "contents"}.get(format, "messages")
    *turns, last = GOOD[format][key]
    body = {**GOOD[format], key: [*turns * (80 // len(turns)), last]}
    assert min(seconds(format, body) for _ in range(5)) < 0.05


def seconds(format: str, body: Body) -> float:
    start = time.perf_counter()
    assert problems(format, body) == []
    return time.perf_counter() - start


# The mistakes, each in a small body

OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
LIST = {"type": "object", "properties": {"a": {"type": "array"}}}
LONG = "x" * 65

BROKEN: dict[str, list[tuple[Body, str]]] = {
    "chat": [
        # calls and answers
        (chat(calling(call()), USER, tools=[function()]), "messages[1]: stands before the answers to ['call_1']"),
        (chat(USER, calling(call())), "messages: end before the answers to ['call_1']"),
        (chat(USER, answer()), "messages[1]: answers 'call_1', which is no call that waits for an answer"),
        (
            chat(calling(call()), answer(), answer()),
            "messages[2]: answers 'call_1', which is no call that waits for an answer",
        ),
        (chat(calling(call(), call()), answer(), answer()), "messages[0].tool_calls: ['call_1'] are there twice"),
        # content
        (chat(), "messages: are none"),
        (chat({"role": "user", "content": ""}), "messages[0].content: is empty"),
        (chat({"role": "user", "content": []}), "messages[0].content: is empty"),
        (chat({"role": "assistant", "content": None}), "messages[0].content: is empty"),
        (chat(calling(call()), {**answer(), "content": ""}), "messages[1].content: is empty"),
        (chat({**calling(call()), "content": []}, answer()), "messages[0].content: is empty"),
        (chat({"role": "user", "content": [{"type": "text", "text": ""}]}), "messages[0].content[0].text: is empty"),
        # names
        (chat(USER, tools=[function("a.b")]), "tools[0].function.name: 'a.b' is not [a-zA-Z0-9_-]{1,64}"),
        (chat(USER, tools=[function(LONG)]), f"tools[0].function.name: '{LONG}' is not [a-zA-Z0-9_-]{{1,64}}"),
        (chat(calling(call(name="")), answer()), "messages[0].tool_calls[0].function.name: '' is not [a-zA-Z0-9_-]{1,64}"),
        # tools
        (chat(USER, tools=[]), "tools: is empty"),
        (chat(USER, tool_choice="auto"), "tool_choice: without tools"),
        (chat(USER, parallel_tool_calls=True), "parallel_tool_calls: without tools"),
        (
            chat(USER, tools=[function()], tool_choice={"type": "function", "function": {"name": "write"}}),
            "tool_choice: 'write' is not among the tools",
        ),
        # schemas
        (chat(USER, tools=[function(parameters={})]), "tools[0].function.parameters: is no schema of an object"),
        (
            chat(USER, tools=[function(parameters={**SCHEMA, "anyOf": [SCHEMA]})]),
            "tools[0].function.parameters.anyOf: may not stand at the root",
        ),
        (
            chat(USER, tools=[function(parameters=LIST)]),
            "tools[0].function.parameters.properties.a: an array without items",
        ),
        (
            chat(USER, tools=[function(strict=True)]),
            "tools[0].function.parameters: is strict, so it has to be closed and to require all its properties",
        ),
        (
            chat(USER, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": OPEN, "strict": True}}),
            "response_format.json_schema.schema: is strict, so it has to be closed and to require all its properties",
        ),
        (
            chat(
                USER,
                tools=[
                    function(
                        parameters={
                            "type": "object",
                            "properties": {"a": {"propertyNames": {}}},
                            "required": ["a"],
                            "additionalProperties": False,
                        },
                        strict=True,
                    )
                ],
            ),
            "tools[0].function.parameters.properties.a.propertyNames: may not stand in a strict schema",
        ),
        # limits
        (chat(USER, stop=list("abcde")), "stop: more than 4"),
        (chat(USER, tools=[function()] * 129), "tools: more than 128"),
        (chat(USER, user=LONG), "user: more than 64"),
        (chat(USER, prompt_cache_key=LONG), "prompt_cache_key: more than 64"),
        (chat(USER, temperature=2.1), "temperature: is not within 0 and 2"),
        (chat(calling(call("x" * 41)), answer("x" * 41)), "messages[0].tool_calls[0].id: more than 40"),
        # what goes together
        (chat(USER, stream_options={"include_usage": True}), "stream_options: without stream"),
        (chat(USER, max_tokens=1, max_completion_tokens=1), "max_tokens: together with max_completion_tokens"),
        (
            chat(USER, tools=[function()]) | {"model": "gpt-6-luna"},
            "reasoning_effort: gpt-6-luna takes tools here only with 'none'",
        ),
        (
            chat(USER, tools=[function()], reasoning_effort="low") | {"model": "gpt-5.4"},
            "reasoning_effort: gpt-5.4 takes tools here only with 'none'",
        ),
        (chat(USER, max_tokens=1) | {"model": "gpt-5"}, "max_tokens: gpt-5 knows only max_completion_tokens"),
    ],
    "groq": [
        (chat(USER, reasoning_format="raw", include_reasoning=True), "reasoning_format: together with include_reasoning"),
        (chat(USER, n=2), "n: is not 1"),
    ],
    "mistral": [
        (
            chat(calling(call("call_1")), answer("call_1")),
            "messages[0].tool_calls[0].id: 'call_1' is not [A-Za-z0-9]{9}",
        ),
        (chat(calling(call("abcdefgh1")), answer("abcdefgh1"), USER), "messages[2]: role 'user' after role 'tool'"),
        (
            chat(USER, {"role": "assistant", "content": "Well"}),
            "messages[1]: the last message is of role 'assistant' and no prefix",
        ),
        (
            chat({"role": "assistant", "content": [{"type": "thinking", "thinking": [TEXT]}] * 2}, USER),
            "messages[0].content: thinking in several pieces",
        ),
    ],
    "responses": [
        (responses(item()), "input: ends before the answers to ['call_1']"),
        (responses(output()), "input[0]: answers 'call_1', which is no call that waits for an answer"),
        (responses(item(), USER, output()), "input[1]: stands before the answers to ['call_1']"),
        (responses(item(LONG), output(LONG)), f"input[0].call_id: '{LONG}' is not [a-zA-Z0-9_-]{{1,64}}"),
        (responses(item("a:b"), output("a:b")), "input[0].call_id: 'a:b' is not [a-zA-Z0-9_-]{1,64}"),
        (responses({**item(), "id": "call_1"}, output()), "input[0].id: does not begin with fc"),
        (
            responses({"type": "item_reference", "id": "rs_1"}, store=False),
            "input[0]: refers to what is not stored",
        ),
        (responses(REASONING, USER), "input[0]: reasoning without the item that it led to"),
        (responses(REASONING), "input[0]: reasoning without the item that it led to"),
        (responses(), "input: is empty"),
        ({"model": "some-model", "input": ""}, "input: is empty"),
        (responses({"role": "user", "content": ""}), "input[0].content: is empty"),
        (responses(item(), {**output(), "output": ""}), "input[1].output: is empty"),
        (
            responses({"role": "user", "content": [{"type": "input_text", "text": ""}]}),
            "input[0].content[0].text: is empty",
        ),
        (responses(USER, tools=[tool("a.b")]), "tools[0].name: 'a.b' is not [a-zA-Z0-9_-]{1,64}"),
        (responses(item(name="a.b"), output()), "input[0].name: 'a.b' is not [a-zA-Z0-9_-]{1,64}"),
        (responses(USER, tool_choice="auto"), "tool_choice: without tools"),
        (
            responses(USER, tools=[tool()], tool_choice={"type": "function", "name": "write"}),
            "tool_choice: 'write' is not among the tools",
        ),
        (
            responses(USER, tools=[tool(strict=True)]),
            "tools[0].parameters: is strict, so it has to be closed and to require all its properties",
        ),
        (responses(USER, max_output_tokens=15), "max_output_tokens: less than 16"),
    ],
    "generate_content": [
        (gemini(), "contents: are none"),
        (gemini(said("user"), said("function"), said("user")), "contents[1].role: is neither user nor model"),
        (gemini({"parts": [{"text": "hi"}]}, said("model")), "contents[0].role: is neither user nor model"),
        (gemini(said("model"), said("user")), "contents[0]: the first is the model's"),
        (gemini({"role": "user", "parts": []}), "contents[0].parts: are none"),
        (gemini(said("user"), systemInstruction={"parts": []}), "systemInstruction.parts: are none"),
        (
            gemini(said("user", {"thought": True})),
            "contents[0].parts[0]: is nothing, where a part is one thing",
        ),
        (
            gemini(said("user", {"text": "a", "fileData": {"fileUri": "a"}})),
            "contents[0].parts[0]: is ['fileData', 'text'], where a part is one thing",
        ),
        (gemini(said("user", {"text": ""})), "contents[0].parts[0].text: is empty"),
        (
            gemini(said("user"), said("model", called("a"), called("b", "write")), said("user", responded("a"))),
            "contents[2]: answers with the names ['read'] to calls with ['read', 'write']",
        ),
        (
            gemini(said("user"), said("model", called()), said("user"), said("user", responded())),
            "contents[2]: answers with the names [] to calls with ['read']",
        ),
        (
            gemini(said("user"), said("model", called("a"), called("b")), said("user", responded("b"), responded("a"))),
            "contents[2]: answers with the ids ['b', 'a'] to calls with ['a', 'b']",
        ),
        (
            gemini(
                said("user"), said("model", called("a"), called("b")), said("user", responded("a")), said("user", responded("b"))
            ),
            "contents[2]: answers with the names ['read'] to calls with ['read', 'read']",
        ),
        (
            gemini(said("user"), said("model"), said("model", called()), said("user", responded())),
            "contents[2]: calls are the model's, directly behind a user's content",
        ),
        (gemini(said("user"), said("model", called())), "contents: end before the answers to ['read']"),
        (
            gemini(said("user"), said("model", called()), said("user", responded(response={"output": {"$ref": "a"}}))),
            "contents[2]: a function's response has the key $ref",
        ),
        (gemini(said("user"), tools=[{}]), "tools[0]: is empty"),
        (gemini(said("user"), tools=declaring()), "tools[0]: is empty"),
        (
            gemini(said("user"), tools=declaring("read", parameters={"type": "object"})),
            "tools[0].functionDeclarations[0]: has both parameters and parametersJsonSchema",
        ),
        (
            gemini(said("user"), toolConfig={"functionCallingConfig": {"mode": "AUTO"}}),
            "toolConfig.functionCallingConfig: without functions",
        ),
        (
            gemini(
                said("user"),
                tools=declaring("read"),
                toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["write"]}},
            ),
            "toolConfig.functionCallingConfig.allowedFunctionNames: ['write'] are not declared",
        ),
        (
            gemini(
                said("user"),
                tools=declaring("read"),
                toolConfig={"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["read"]}},
            ),
            "toolConfig.functionCallingConfig.allowedFunctionNames: only with mode ANY or VALIDATED",
        ),
        (
            gemini(said("user"), tools=declaring("1a")),
            "tools[0].functionDeclarations[0].name: '1a' is not [a-zA-Z_][a-zA-Z0-9_.:-]{0,127}",
        ),
        (
            gemini(said("user"), said("model", called("a:b")), said("user", responded("a:b"))),
            "contents[1]: functionCall.id: 'a:b' is not [a-zA-Z0-9_-]{1,64}",
        ),
        (
            gemini(said("user"), generationConfig={"thinkingConfig": {"thinkingLevel": "low", "thinkingBudget": 1}}),
            "generationConfig.thinkingConfig: has both thinkingLevel and thinkingBudget",
        ),
        (
            gemini(
                said("user"),
                generationConfig={"responseMimeType": "application/json", "responseSchema": {}, "responseJsonSchema": {}},
            ),
            "generationConfig: has both responseSchema and responseJsonSchema",
        ),
        (
            gemini(said("user"), generationConfig={"responseJsonSchema": {}}),
            "generationConfig: a schema without responseMimeType application/json",
        ),
        (
            gemini(said("user"), generationConfig={"stopSequences": list("abcdef")}),
            "generationConfig.stopSequences: more than 5",
        ),
    ],
    "messages": [
        (messages(), "messages: are none"),
        (messages(turn("assistant")), "messages[0]: the assistant's, where it is the user's turn"),
        (
            messages(turn("user"), turn("system"), turn("user")),
            "messages[2]: the user's, where it is the assistant's turn",
        ),
        (messages(turn("user"), turn("assistant", use())), "messages: end before the results of ['toolu_1']"),
        (
            messages(turn("user"), turn("assistant", use(), use("b")), turn("user", result())),
            "messages[2]: results of ['toolu_1'] to calls ['toolu_1', 'b']",
        ),
        (
            messages(turn("user"), turn("assistant", use()), turn("system"), turn("user", result())),
            "messages[2]: results of [] to calls ['toolu_1']",
        ),
        (
            messages(turn("user"), turn("assistant", use()), turn("user", TEXT, result())),
            "messages[2]: something stands before a tool_result",
        ),
        (messages({"role": "user", "content": ""}), "messages[0].content: is empty"),
        (messages(turn("user", {"type": "text", "text": ""})), "messages[0].content[0].text: is empty"),
        (messages(turn("user"), system=[{"type": "text", "text": ""}]), "system[0].text: is empty"),
        (
            messages(
                turn("user"), turn("assistant", use()), turn("user", {**result(), "content": [{"type": "text", "text": ""}]})
            ),
            "messages[2].content[0].content[0].text: is empty",
        ),
        (
            messages(turn("user"), tools=[{"name": "a.b", "input_schema": SCHEMA}]),
            "tools[0].name: 'a.b' is not [a-zA-Z0-9_-]{1,128}",
        ),
        (
            messages(turn("user"), turn("assistant", use("a:b")), turn("user", result("a:b"))),
            "messages[1].content[0].id: 'a:b' is not [a-zA-Z0-9_-]{1,64}",
        ),
        (messages(turn("user"), tools=GOOD["messages"]["tools"] * 2), "tools: ['read', 'write'] are there twice"),
        (messages(turn("user"), tool_choice={"type": "auto"}), "tool_choice: without tools"),
        (
            messages(turn("user"), tools=GOOD["messages"]["tools"], tool_choice={"type": "tool", "name": "a"}),
            "tool_choice: 'a' is not among the tools",
        ),
        (
            messages(turn("user"), turn("assistant", {"type": "thinking", "thinking": "Hm.", "signature": ""})),
            "messages[1].content[0].signature: is empty",
        ),
        (
            messages(turn("user"), thinking={"type": "enabled", "budget_tokens": 2000}),
            "thinking.budget_tokens: is less than 1024, or not less than max_tokens",
        ),
        (
            messages(turn("user", *[{**TEXT, "cache_control": {"type": "ephemeral"}}] * 5)),
            "cache_control: more than 4",
        ),
        (
            messages(turn("user"), turn("assistant", use()), turn("user", {**result(), "content": [IMAGE], "is_error": True})),
            "messages[2].content[0]: an error with an image",
        ),
    ],
}


def each(mistakes: dict[str, list[tuple[Body, str]]]) -> pytest.MarkDecorator:
    cases = [(format, body, expected) for format, broken in mistakes.items() for body, expected in broken]
    return pytest.mark.parametrize(
        ("format", "body", "expected"), cases, ids=[f"{format}: {expected[:70]}" for format, _, expected in cases]
    )


@each(BROKEN)
def test_a_body_that_breaks_a_rule_is_refused_in_words(format: str, body: Body, expected: str) -> None:
    assert problems(format, body)[:1] == [expected]  # a mistake may have consequences, told behind it


def test_every_rule_is_broken_by_one_of_them() -> None:
    rules = {rule for rules in RULES.values() for rule in rules}
    assert rules == {rule for format, broken in BROKEN.items() for body, _ in broken for rule in RULES[format] if any(rule(body))}


MISTYPED: dict[str, list[tuple[Body, str]]] = {
    "chat": [
        (chat({"role": "tol", "content": "hi"}), "messages[0]: {'role': 'tol'} is nothing that may stand here"),
        (chat({"role": "user"}), "messages[0]: 'content' is a required property"),
        (chat({"role": "assistant", "content": "a", "reasoning_content": "b"}), "messages[0].reasoning_content: is unknown"),
        (
            chat(calling(call()), {**answer(), "content": [{"type": "image_url"}]}),
            "messages[1].content[0].type: 'text' was expected",
        ),
        (chat(USER, reasoning_effort="extreme"), "reasoning_effort: 'extreme' is nothing that may stand here"),
    ],
    "mistral": [
        (chat(USER, reasoning_effort="extreme"), "reasoning_effort: 'extreme' is nothing that may stand here"),
    ],
    "responses": [
        (
            responses(USER, tools=[{"type": "function", "name": "a", "parameters": {}}]),
            "tools[0]: 'strict' is a required property",
        ),
        (responses({**REASONING, "summary": None}), "input[0].summary: None is not of type 'array'"),
        (responses({"type": "reasoning", "id": "rs_1"}), "input[0]: 'summary' is a required property"),
    ],
    "generate_content": [
        (gemini({"role": "user", "parts": [{"inline_data": {}}]}), "contents[0].parts[0].inline_data: is unknown"),
        # what Google takes on Vertex only
        (
            gemini(said("model", {"functionCall": {"willContinue": True}})),
            "contents[0].parts[0].functionCall.willContinue: is unknown",
        ),
        (gemini(said("user"), generationConfig=None), "generationConfig: None is not of type 'object'"),
    ],
    "messages": [
        (messages(turn("user", {**TEXT, "zzz": 1})), "messages[0].content[0].zzz: is unknown"),
        (
            messages(turn("assistant", {"type": "thinking", "thinking": "Hm."})),
            "messages[0].content[0]: 'signature' is a required property",
        ),
        (
            messages(turn("user"), tools=[{"type": "computer_1", "name": "a"}]),
            "tools[0]: {'type': 'computer_1'} is nothing that may stand here",
        ),
    ],
}


@each(MISTYPED)
def test_a_mistake_of_type_is_told_of_what_was_meant(format: str, body: Body, expected: str) -> None:
    assert expected in problems(format, body)


def test_what_is_no_base64_is_told() -> None:
    wrong = problems("generate_content", gemini(said("user", {"inlineData": {"mimeType": "image/png", "data": "data:image"}})))
    assert [problem.partition(": ")[0] for problem in wrong] == ["contents[0].parts[0].inlineData.data"]


# Providers that add to a format, or lack some of it

FORMAT_OF = {"groq": "groq", "vertex": "generate_content", "anthropic": "messages", "xai-responses": "responses"}
DEEPSEEK = chat(USER, {"role": "assistant", "content": "a", "reasoning_content": "b"}, USER, thinking={"type": "enabled"})


def test_what_a_provider_documents_is_no_problem_there() -> None:
    assert problems("chat", DEEPSEEK) == ["thinking: is unknown", "messages[1].reasoning_content: is unknown"]
    assert problems("chat", DEEPSEEK, EXTRA["deepseek"]) == []


def test_what_it_does_not_document_stays_a_problem() -> None:
    near = [{"thinking": {"type": "off"}}, {"thinking": {"typ": "enabled"}}, {"reasoning_content": "b"}]
    assert [problems("chat", DEEPSEEK | other, EXTRA["deepseek"]) for other in near] == [
        ["thinking: is unknown"],
        ["thinking: is unknown"],
        ["reasoning_content: is unknown"],
    ]


def test_what_a_provider_does_not_take_is_told_at_its_place() -> None:
    body = chat({"role": "developer", "content": "a"}, USER, stop=["a", "b"], tools=[function()], tool_choice="required")
    assert sorted(problems("chat", body, EXTRA["zai"], REFUSED["zai"])) == [
        "messages[0]: is not taken here",
        "stop[1]: is not taken here",
        "tool_choice: is not taken here",
    ]


def test_a_body_is_left_as_it_is() -> None:
    before = copy.deepcopy(DEEPSEEK)
    problems("chat", DEEPSEEK, EXTRA["deepseek"])
    assert before == DEEPSEEK


@pytest.mark.parametrize(("provider", "path"), [(provider, path) for provider, paths in EXTRA.items() for path in sorted(paths)])
def test_each_addition_is_one(provider: str, path: str) -> None:
    format = FORMAT_OF.get(provider, "chat")
    body = made(path, GOOD[format])
    assert set(problems(format, body)) - set(problems(format, body, {path}))


@pytest.mark.parametrize(
    ("provider", "path"), [(provider, path) for provider, paths in REFUSED.items() for path in sorted(paths)]
)
def test_each_refusal_is_one(provider: str, path: str) -> None:
    format = FORMAT_OF.get(provider, "chat")
    told = [problem for problem in problems(format, made(path, {}), (), {path}) if problem.endswith("is not taken here")]
    assert len(told) == 1


def made(path: str, body: Body) -> Body:
    """A body with something at such a path."""
    step, _, rest = path.partition(".")
    found = re.fullmatch(r"(\w+)(\[(.*)\])?(?:=(.*))?", step)
    assert found
    name, listed, which, words = found.groups()
    key, _, word = (which or "").partition("=")
    own = {key: word} if word else {}
    item = made(rest, own) if rest else own or (words or "zzz").split("|")[0]
    return body | {name: [item] * (int(which) + 1 if (which or "").isdigit() else 1) if listed else item}


# Recorded requests

APIS = {"chat_completions": "chat", "responses": "responses", "generate_content": "generate_content", "messages": "messages"}

# Requests that were answered with status 200 all the same: why, what is told of them, and the ends of the recordings' names.
# A recording may stand at several reasons, which together are to explain all that is told of it.
TAKEN: list[tuple[str, str, str]] = [
    (
        "servers that speak OpenAI's format, in words for reasoning that providers.md does not have",
        r"(messages\[\]\.(reasoning|reasoning_content|reasoning_details)|reasoning|enable_thinking): is unknown",
        "24d5a500 946464a9 322ad943 c3d8c4b4 661c81fb 3d7c9933 a100f5e7 c17d3fad 05f146ed 8c588a1f feeb1bec e93080e7 77aa9761 "
        "05310a92 01bf5cc1 7c6c7f4b 1ab3749a 9177c275 57974a35 4ed7480f ec4abf36 2422a7f7",
    ),
    (
        "additions of OpenRouter, Vercel and Together that providers.md does not have",
        r"(include_reasoning|transforms|usage|echo|safety_model|messages\[\].*cache_control): is unknown|.*video_url.*",
        "fb905625 6117a3d0 ed565312 587df9b0 d8774b13 4b87bb1c a8340a9b 063f9cd3 0cc5e769 f471deb2 c72e258d 7895b870 dbcf01ec",
    ),
    (
        "keys of an answer sent back with it, or of other roles, which servers pass over",
        r"messages\[\]\.(name|tool_calls|tool_calls\[\]\.index|content\[\]\.(text|image_url)): is unknown",
        "88a74ea5 79dd41e9 c63213bc 20b433bc dbcf01ec 713c8331 04f40fad",
    ),
    (
        "null for what is absent",
        r".*: None is (not of type '\w+'|nothing that may stand here)",
        "3cbc7d78 dbcf01ec 713c8331 04f40fad a12c4200 2b70d813 88b9f457 3a275c45 159e4247 7912c7d7 ae16cf2f cf2bb316 932dd968 "
        "e456035a",
    ),
    (
        "images in tool messages",
        r"messages\[\]\.content\[\](\.(type|image_url))?: ('text' was expected|'text' is a required property|is unknown)",
        "05310a92 8bafb477",
    ),
    (
        "what a provider does not document, and passes over or does",
        r"(parallel_tool_calls|tool_choice): is not taken here",
        "ffc3c62a 5b678e0a c63213bc 68c51b75 9da05769",
    ),
    (
        "the model stands in the address",
        r": 'model' is a required property|anthropic_version: is unknown",
        "2aeb395b 1d52aaad 358241d7 6e8fffd3 6f5d745b 3d952882",
    ),
    ("Hugging Face takes an empty list of tools", r"tools: is empty", "ec9ed1d0"),
    ("Writer pairs calls and answers without ids", r"messages\[\].*: '(id|tool_call_id)' is a required property", "f748aa81"),
    (
        "xAI is not strict where it is told to be, and takes Anthropic's form of a choice",
        r"parallel_tool_calls: without tools|response_format.*: is strict.*|tool_choice: {'type': 'tool'} is nothing.*",
        "6a41e32e 43ea701e 11ea0874 a904ef0d b46a9b59 0e8730a0 3ec076ab 45a278f9 abe72a38 4ebb48bf a111f441",
    ),
    (
        "Google's parser takes snake_case too",
        r"(.*\.)?[a-z]+(_[a-z]+)+: is unknown",
        "6df60a1c 307f6b5c 49be805b e55461a1 a0cdeb67 bfc84672 6052b11b 9843fff9 2b70d813 f45dde7e e7664683 ae431f4e fceb318e "
        "e7c072f0 8dcad781 338fdb20 898a9c3f c4f422ce",
    ),
    (
        "and the numbers of words, one thing for a list of it, and the model of the address",
        r".*: \d+ is not (one of .*|of type 'string')|systemInstruction\.parts: .* is not of type 'array'|model: is unknown",
        "2d225e08 f45dde7e",
    ),
    (
        "Anthropic's betas",
        r"(mcp_servers|output_format): is unknown|tools\[\]: {'type': '(advisor|computer)_\d+'} is nothing.*",
        "08db0f92 6ae4674e 8243692d a7f9da87 6752bea8 43e0fafb 8f6b5bb1 45ed1aac",
    ),
    (
        "ids that the recorder put in the place of Mistral's",
        r".*: 'call_REDACTED_\d' is not .*",
        "8e8886e4 25a8df21 cec72737 a8eaafa6 b937a761 d2597314",
    ),
    ("Mistral's newer models take a user after a tool (§3.5)", r"messages\[\]: role 'user' after role 'tool'", "d2597314"),
    ("Mistral takes a tool without its type", r"tools\[\]: 'type' is a required property", "0b11035e c406d07e bea5b53b"),
    ("Bedrock's own ids, longer and with a colon", r"input\[\]\.call_id: .* is not .*", "ab1833f8 22df6f8d e37e5372 45b270b0"),
    ("Copilot's and DeepSeek's own ids", r"input\[\]\.id: does not begin with rs", "3a7fadb1 59b1629e d30af3d9 86f142e1"),
    (
        "what OpenAI's types ask for and the servers do not",
        r"(tools\[\]|input\[\]\.content\[\]): '(strict|detail|annotations)' is a required property",
        "57e91328 177132a2 f42e0a20 0026e333 b3acaaff d9a6622f 23ebc758 59775ee0 7f41433b 92acc7d4 11a3110d 3e97412a f16bb0fb "
        "2c02862f 36b8da31 10d019df 43d0e120 98c8ed51 8bacdf8b ced9af5c ed2d39d3 46a75958 ea1f9e97 b2572897 7dbbd6e8 07108934 "
        "15aabde3",
    ),
    ("xAI takes an answer's text without all of its message", r".*: {'type': 'output_text'} is nothing.*", "d49efe64 aaf96dd6"),
    ("OpenAI takes an assistant that says nothing", r"input\[\]\.content: is empty", "7f4ee886 84eb2fcc"),
    ("a tool of Chat beside those of deep research", r"tools\[\](\.function)?: .*", "f16bb0fb"),
]

# Requests that were refused for their shape.
NOT_TAKEN = {
    "d893e893": "messages[0].content[1]: is not taken here",
    "c160e5a8": "messages[0].content[1]: is not taken here",
    "4dd0278b": "messages[0].content[1]: {'type': 'video_url'} is nothing that may stand here",
    "d3c8ded5": "messages[0].content[1]: {'type': 'video_url'} is nothing that may stand here",
}


def recorded() -> list[Body]:
    """The rows of the corpus's index that are of a format here and have a request."""
    lines = (CORPUS / "INDEX.jsonl").read_text().splitlines() if CORPUS.is_dir() else []
    rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["api"] in APIS and "request_missing" not in row["features"]]


def told(row: Body) -> list[str]:
    """What is told of a recorded request. What a provider adds to Chat, it has on its other routes too."""
    provider, format = row["provider"], APIS[row["api"]]
    if format == "chat":
        format = {"mistral": "mistral", "groq": "groq"}.get(provider, "chat")
    lacking = REFUSED.get(provider, ()) if FORMAT_OF.get(provider, "chat") == format else ()
    request = json.loads((CORPUS / row["file"]).read_text())["request"]
    return problems(format, request, EXTRA.get(provider, ()), lacking)


def end(row: Body) -> str:
    return Path(row["file"]).stem.rpartition(".")[2]


ROWS = recorded()
recordings_are_here = pytest.mark.skipif(not CORPUS.is_dir(), reason="the recordings (../shared/corpus) are not here")


@recordings_are_here
@pytest.mark.parametrize("row", [row for row in ROWS if row["status"] == 200], ids=end)
def test_what_was_taken_has_no_problems_or_only_those_that_are_listed(row: Body) -> None:
    found = {re.sub(r"\[\d+\]", "[]", problem) for problem in told(row)}
    reasons = [pattern for _, pattern, ends in TAKEN if end(row) in ends.split()]
    assert {problem for problem in found if not any(re.fullmatch(pattern, problem) for pattern in reasons)} == set()
    assert [pattern for pattern in reasons if not any(re.fullmatch(pattern, problem) for problem in found)] == []


@recordings_are_here
def test_the_list_names_recordings_that_are_there() -> None:
    named = {each for _, _, ends in TAKEN for each in ends.split()}
    assert named <= {end(row) for row in ROWS if row["status"] == 200}


@recordings_are_here
@pytest.mark.parametrize("row", [row for row in ROWS if end(row) in NOT_TAKEN], ids=end)
def test_what_was_refused_for_its_shape_is_refused_here(row: Body) -> None:
    assert row["status"] == 400
    assert NOT_TAKEN[end(row)] in told(row)
