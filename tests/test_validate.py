"""engine/wire/validate.py: what cannot be served is refused in Anthropic's words, and nothing else is."""

import copy
from typing import Any

import pytest

from engine.wire.errors import ApiError
from engine.wire.facts import Facts
from engine.wire.history import prepare
from engine.wire.validate import check

VALID: dict[str, Any] = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


def refusal(request: Any, **options: Any) -> str:
    with pytest.raises(ApiError) as refused:
        check(request, **options)
    assert (refused.value.status, refused.value.type) == (400, "invalid_request_error")
    return refused.value.message


def content(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi"}, {"role": role, "content": list(blocks)}]}


TEXT, DICTIONARY, LIST = (f"Input should be a valid {kind}" for kind in ("string", "dictionary", "list"))
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, f"model: {TEXT}"),
    ({"messages": "hi"}, f"messages: {LIST}"),
    ({"messages": []}, "messages: at least one message is required"),
    ({"messages": ["hi"]}, f"messages.0: {DICTIONARY}"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be 'user' or 'assistant'"),
    ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
    ({"messages": [{"role": "user", "content": None}]}, f"messages.0.content: {LIST}"),
    (content("hi"), f"messages.1.content.0: {DICTIONARY}"),
    (content({"text": "hi"}), "messages.1.content.0.type: Field required"),
    (content({"type": ["text"]}), f"messages.1.content.0.type: {TEXT}"),
    (content({"type": "text"}), "messages.1.content.0.text: Field required"),
    (content({"type": "image"}), "messages.1.content.0.source: Field required"),
    (content({"type": "image", "source": {"type": "url"}}), "messages.1.content.0.source.url: Field required"),
    (
        content(
            {"type": "text", "text": "x"}, {"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": ""}}
        ),
        "messages.1.content.1.source.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
    ),
    (
        content({"type": "document", "source": {"type": "content", "content": [1]}}),
        f"messages.1.content.0.source.content.0: {DICTIONARY}",
    ),
    ({"messages": [{"role": "system", "output_config": "x"}]}, f"messages.0.output_config: {DICTIONARY}"),
    ({"messages": [{"role": "system", "output_config": {"effort": 3}}]}, f"messages.0.output_config.effort: {TEXT}"),
    (content({"type": "tool_result"}), "messages.1.content.0.tool_use_id: Field required"),
    (content({"type": "tool_result", "tool_use_id": "a", "content": 7}), f"messages.1.content.0.content: {LIST}"),
    (
        content({"type": "tool_use", "id": "a", "name": "b", "input": "{}"}, role="assistant"),
        f"messages.1.content.0.input: {DICTIONARY}",
    ),
    ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
    ({"max_tokens": "100"}, "max_tokens: Input should be a valid integer"),
    ({"temperature": 1.5}, "temperature: Input should be less than or equal to 1"),
    ({"temperature": True}, "temperature: Input should be a valid number"),
    ({"system": {"type": "text"}}, f"system: {LIST}"),
    ({"system": [{"type": "text"}]}, "system.0.text: Field required"),
    ({"stream": "yes"}, "stream: Input should be a valid boolean"),
    ({"stop_sequences": ["a", 1]}, f"stop_sequences.1: {TEXT}"),
    ({"tools": [{"name": "a"}]}, "tools.0.input_schema: Field required"),
    ({"tools": [{"type": "custom", "name": "a", "input_schema": []}]}, f"tools.0.input_schema: {DICTIONARY}"),
    ({"tools": [{"type": 7}]}, f"tools.0.type: {TEXT}"),
    ({"tool_choice": "auto"}, f"tool_choice: {DICTIONARY}"),
    ({"tool_choice": {"type": "required"}}, "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name: Field required"),
    ({"thinking": {"budget_tokens": 1024}}, "thinking.type: Field required"),
    ({"output_config": {"format": {"type": "json_schema", "schema": "{}"}}}, f"output_config.format.schema: {DICTIONARY}"),
    ({"thread": {"previous_message_id": "msg_1"}}, "thread.type: Field required"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_a_refusal_names_the_path_and_what_is_wrong_there(fields: dict[str, Any], words: str) -> None:
    assert refusal(VALID | fields) == words


@pytest.mark.parametrize("request_", [None, [], "hi", 7])
def test_a_request_is_an_object(request_: Any) -> None:
    assert refusal(request_) == DICTIONARY


def test_the_first_three_problems_are_told_together() -> None:
    assert refusal({"temperature": 2}) == "model: Field required; messages: Field required; max_tokens: Field required"


def test_a_request_to_count_tokens_needs_no_max_tokens() -> None:
    counted = {name: value for name, value in VALID.items() if name != "max_tokens"}
    check(counted, counting=True)
    assert refusal(counted) == "max_tokens: Field required"
    assert refusal(counted | {"max_tokens": "x"}, counting=True) == "max_tokens: Input should be a valid integer"


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 0},
        {"system": None, "temperature": None, "stop_sequences": None, "tools": None, "tool_choice": None, "thinking": None},
        {"safeguards": [{"type": "dangerous_tool_use"}], "speed": "fast", "never_heard_of": {"x": [1]}},
        content({"type": "hologram", "text": 7}),
        content({"type": "tool_result", "tool_use_id": "a", "content": None, "is_error": None}),
        {
            "messages": [
                *VALID["messages"],
                {"role": "system", "content": []},
                {"role": "system", "output_config": {"effort": "low"}},
            ]
        },
        {"messages": [{"role": role, "content": "hi"} for role in ("ctx", "msg", "assistant", "user")]},
        {"tools": [{"input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}, {"type": "mcp_toolset"}]},
        {"thinking": {"type": "between_tools"}},
    ],
)
def test_R18_what_is_new_or_absent_is_no_problem(fields: dict[str, Any]) -> None:
    check(VALID | fields)


FULL: dict[str, Any] = {
    **VALID,
    "system": [{"type": "text", "text": "x"}],
    "messages": [
        {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}]},
        {"role": "system", "content": [{"type": "tool_addition", "tool": {"type": "tool_reference", "name": "b"}}]},
        {"role": "system", "content": "x", "output_config": {"effort": "low"}},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "x", "signature": "y"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"title": "t", "url": "u"}]},
                {"type": "compaction", "content": "x"},
                {"type": "tool_use", "id": "a", "name": "b", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "content": [
                        {"type": "tool_reference", "tool_name": "b"},
                        {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "x"}]},
                    ],
                    "is_error": True,
                },
                {"type": "document", "title": "t", "context": "c", "source": {"type": "content", "content": "x"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
                {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}, "citations": []},
            ],
        },
    ],
    "tools": [
        {
            "name": "b",
            "description": "d",
            "input_schema": {"properties": {"x": {"type": ["array", "null"]}}},
            "defer_loading": True,
        },
        {"type": "bash_20250124", "name": "bash"},
    ],
    "tool_choice": {"type": "tool", "name": "b"},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    "stop_sequences": ["x"],
}


def places(value: Any) -> list[list[Any]]:
    """The paths to all values within."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for step, inner in items for path in [[step], *([step, *rest] for rest in places(inner))]]


@pytest.mark.parametrize("value", [None, True, 7, 0.5, "x", [], {}, [7], [{}], {"type": "text"}, {"type": 7}], ids=repr)
def test_what_passes_can_be_prepared_whatever_stands_in_any_of_its_places(value: Any) -> None:
    facts = Facts(schema=("inline_refs", "plain", "array_items"))
    for *path, last in places(FULL):
        request = within = copy.deepcopy(FULL)
        for step in path:
            within = within[step]
        within[last] = value
        try:
            check(request)
        except ApiError:
            continue
        prepare(request, facts, provider="acme", model="one")
