"""Anthropic requests as Claude Code might send them, and worse: for Hypothesis.

All are valid; hardly one is in order. What can be wrong with a history is edge-cases.md 3.2, what a request may hold is
client.md 2 and 6.
"""

from base64 import b64encode
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]
Some = st.SearchStrategy[Any]

WORDS = [
    *("", " ", "\n\n", "hi", "a\n\nb", " both ends ", "null", "123", "[1, 2]", "{{ x }}", "Error: no such file", "日本語 👍🏽"),
    *("<system-reminder>\nMind the gap.\n</system-reminder>", "<document>a</document>", "Human: hi", "\u2028\ufeff"),
]
NAMES = ["Read", "Bash", "ToolSearch", "mcp__srv__list_files", "weird.name/with chars", "1", "名前", "x" * 64, "x" * 90]
IDS = ["toolu_01ABC", "call_1", "functions.Bash:0|x/y=", "ü", "", "i" * 90]
FOREIGN = ["", "EqUDCkYICxgCKkB9", "ccproxy1.!", "skip_thought_signature_validator"]

text = st.one_of(st.sampled_from(WORDS), st.text(max_size=20))
names = st.sampled_from(NAMES)
ids = st.one_of(st.sampled_from(IDS), st.from_regex(r"toolu_[a-z0-9]{8}", fullmatch=True))
numbers = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False, width=32))
json = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, text),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=6,
)


def objects(needed: dict[str, Any], **optional: Some) -> Some:
    """Objects with these fields, given as they are or as strategies."""
    strategies = {key: value if isinstance(value, st.SearchStrategy) else st.just(value) for key, value in needed.items()}
    return st.fixed_dictionaries(strategies, optional=optional)


def blocks(type: str, /, optional: dict[str, Some] | None = None, **needed: Any) -> Some:
    """Blocks of a type, with a mark for the cache or a field that nobody has heard of."""
    marks = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
    return objects({"type": type, **needed}, **(optional or {}), cache_control=marks, never_heard_of=json)


# What is shown: by a person, or in a result

data = st.binary(max_size=12).map(lambda data: b64encode(data).decode())
urls = st.sampled_from(["https://a.example/x.png", "https://a.example/plan.pdf?page=1&of=2"])
stored = st.one_of(objects({"type": "url", "url": urls}), objects({"type": "file", "file_id": "file_011"}))
texts = blocks("text", {"citations": st.just([{"type": "char_location", "cited_text": "x"}])}, text=text)
image_types = st.sampled_from(["image/png", "image/jpeg", "image/gif", "image/webp"])
images = blocks("image", source=st.one_of(objects({"type": "base64", "media_type": image_types, "data": data}), stored))
documents = blocks(
    "document",
    {"title": text, "context": text, "citations": st.just({"enabled": True})},
    source=st.one_of(
        objects({"type": "base64", "media_type": "application/pdf", "data": data}),
        objects({"type": "text", "media_type": "text/plain", "data": text}),
        objects({"type": "content", "content": st.one_of(text, st.lists(st.one_of(texts, images), max_size=3))}),
        stored,
    ),
)
found = blocks("search_result", title=text, source=urls, content=st.lists(texts, max_size=2))
references = blocks("tool_reference", tool_name=names)
unknown = st.sampled_from([{"type": "hologram", "angle": 7}, {"type": "container_upload", "file_id": "file_011"}])
shown = st.one_of(texts, texts, images, documents, found, references, unknown)


def results(ids: Some) -> Some:
    several = st.lists(shown, max_size=3)
    content = st.one_of(st.none(), text, several, several)
    return blocks("tool_result", {"content": content, "is_error": st.sampled_from([True, False, None])}, tool_use_id=ids)


# What an assistant says

pages = st.lists(objects({"type": "web_search_result", "title": text, "url": urls, "encrypted_content": "x"}), max_size=2)
thoughts = st.one_of(
    blocks("thinking", {"signature": st.sampled_from(FOREIGN)}, thinking=text),
    blocks("redacted_thinking", data=st.sampled_from(FOREIGN)),
)
searches = st.one_of(
    blocks("server_tool_use", id="srvtoolu_1", name="web_search", input=objects({}, query=text)),
    blocks("web_search_tool_result", tool_use_id="srvtoolu_1", content=st.one_of(pages, st.just({"error_code": "unavailable"}))),
    blocks("mcp_tool_use", id="mcptoolu_1", name=names, server_name="srv", input=st.dictionaries(text, json, max_size=2)),
    blocks("mcp_tool_result", tool_use_id="mcptoolu_1", content=st.lists(texts, max_size=1)),
    blocks("compaction", {"content": text}),
    st.just({"type": "fallback", "trigger": {"type": "refusal"}}),
)
inputs = st.one_of(st.dictionaries(text, json, max_size=3), st.just({"__unparsedToolInput": {"raw": '{"path": "a'}}))
calls = blocks("tool_use", {"caller": st.just({"type": "direct"})}, id=ids, name=names, input=inputs)
said = st.one_of(texts, texts, thoughts, searches)

# What a system message may change

definition = {"name": "Late", "description": "Comes late.", "input_schema": {"type": "object", "properties": {}}}
changes = st.sampled_from(
    [
        {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "Read"}},
        {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": definition}},
        {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "Read"}},
    ]
)

# Messages


def spoken(role: str, content: Some, **optional: Some) -> Some:
    return objects({"role": role, "content": st.one_of(text, st.lists(content, max_size=4))}, **optional)


person = st.one_of(
    spoken("user", shown), spoken("user", st.one_of(texts, results(ids))), spoken("ctx", texts), spoken("msg", texts)
)
assistant = spoken("assistant", st.one_of(said, calls))
systems = spoken("system", st.one_of(texts, texts, changes), output_config=st.just({"effort": "low"}))


@st.composite
def exchanges(draw: st.DrawFn) -> list[Json]:
    """Calls and what comes of them: results in the order in which they were ready, some of them missing, words among them."""
    asked = draw(st.lists(calls, min_size=1, max_size=4))
    answered = draw(st.permutations([call["id"] for call in asked]))[draw(st.integers(0, 1)) :]
    answers = [draw(results(st.just(id))) for id in answered]
    for block in draw(st.lists(shown, max_size=2)):
        answers.insert(draw(st.integers(0, len(answers))), block)
    between = draw(st.lists(systems, max_size=1))
    return [
        {"role": "assistant", "content": [*draw(st.lists(said, max_size=2)), *asked]},
        *draw(st.permutations([*between, {"role": "user", "content": answers}])),
    ]


conversations = st.lists(
    st.one_of(exchanges(), exchanges(), *(one.map(lambda message: [message]) for one in (person, assistant, systems))),
    min_size=1,
    max_size=6,
).map(lambda parts: [message for part in parts for message in part])

# Tools

TEXT = {"type": "string"}
REFERRING = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node", "description": "The other."}},
    "required": ["left"],
    "$defs": {"node": {"type": "object", "properties": {"value": TEXT, "next": {"$ref": "#/$defs/node"}}, "required": ["value"]}},
}
PROPERTIES: list[Any] = [
    *({}, True, TEXT, {"type": ["string", "null"]}, {"type": ["array", "integer"]}, {"const": "x"}, {"enum": ["a", 1, None]}),
    {"type": "integer", "minimum": -9007199254740991, "exclusiveMinimum": 0, "multipleOf": 2},
    {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}], "default": None},
    {"oneOf": [{"type": "string", "format": "uri"}, {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True}]},
    {"allOf": [{"type": "object", "properties": {"a": TEXT}}, {"required": ["a"]}]},
    {"type": "array"},
    {"type": "array", "items": [TEXT, {"type": "object", "properties": {"const": TEXT}}]},
    {"type": "object", "additionalProperties": TEXT, "propertyNames": {"pattern": "^(?!_)"}},
    {"type": "object", "patternProperties": {"^(?=x)": TEXT}, "additionalProperties": False},
    {"type": "string", "pattern": "^(?<!a)b$", "format": "date-time", "maxLength": 5},
]
ODD_SCHEMAS: list[Json] = [
    {},
    {"type": "object"},
    {"type": "string"},
    {"type": "object", "properties": {}},
    {"$ref": "#/$defs/all", "$defs": {"all": {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}}},
    REFERRING,
    {"anyOf": [{"type": "object", "properties": {"a": TEXT}, "required": ["a"]}, {"properties": {"a": TEXT, "b": TEXT}}]},
    {"type": "object", "properties": {"a": TEXT}, "allOf": [{"properties": {"b": TEXT}, "required": ["b"]}]},
    {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": TEXT, "b": TEXT}},
    {"type": "object", "properties": {"a": TEXT}, "if": {"required": ["a"]}, "then": {"required": ["b"]}},
    {"type": "object", "properties": {"a": TEXT}, "required": ["a", "never declared"]},
]
PROPERTY_NAMES = ["path", "format", "type", "const", "$ref", "required", "properties", "-A", "a.b", "名"]


@st.composite
def schemas(draw: st.DrawFn) -> Json:
    properties = draw(st.dictionaries(st.sampled_from(PROPERTY_NAMES), st.sampled_from(PROPERTIES), max_size=4))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    closed = draw(st.sampled_from([{}, {"additionalProperties": False}, {"required": required}]))
    return {"type": "object", "properties": properties, **closed}


all_schemas = st.one_of(schemas(), st.sampled_from(ODD_SCHEMAS))
tools = st.one_of(
    objects(
        {"name": names, "input_schema": all_schemas},
        description=text,
        strict=st.booleans(),
        defer_loading=st.booleans(),
        eager_input_streaming=st.just(True),
        type=st.just("custom"),
        cache_control=st.just({"type": "ephemeral"}),
        input_examples=st.just([{}]),
    ),
    objects({"input_schema": all_schemas}),
    st.sampled_from(
        [
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
            {"type": "memory_20250818", "name": "memory", "cache_control": {"type": "ephemeral"}},
            {"type": "code_execution_20260521", "name": "code_execution"},
            {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"},
            {"type": "mcp_toolset", "mcp_server_name": "srv"},
        ]
    ),
)
single = {"disable_parallel_tool_use": st.booleans()}
choices = st.one_of(
    objects({"type": st.sampled_from(["auto", "any"])}, **single),
    objects({"type": "tool", "name": st.one_of(names, st.just("web_search"))}, **single),
    objects({"type": "none"}),
)

# Requests

BILLING = "x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=cli;"
prompts = st.one_of(
    st.none(),
    text,
    st.lists(texts, max_size=2),
    st.lists(texts, max_size=2).map(lambda prompt: [{"type": "text", "text": BILLING}, *prompt]),
)
thinking = st.one_of(
    st.sampled_from([None, {"type": "disabled"}, {"type": "between_tools"}]),
    objects({"type": "adaptive"}, display=st.sampled_from(["omitted", "summarized", "updates"])),
    objects({"type": "enabled", "budget_tokens": st.sampled_from([0, 1024, 31999])}, display=st.just("omitted")),
)
output_config = objects(
    {},
    effort=st.sampled_from(["low", "medium", "high", "xhigh", "max", "never heard of"]),
    format=objects({"type": "json_schema", "schema": all_schemas}),
    task_budget=st.just({"type": "tokens", "total": 1000}),
)
probability = st.one_of(st.sampled_from([None, 0, 1]), st.floats(0, 1, width=16))


requests = objects(
    {
        "model": st.sampled_from(["claude-opus-5-5", "gpt-5.5", "openai/gpt-5"]),
        "max_tokens": st.sampled_from([0, 1, 64, 32000, 128000]),
        "messages": conversations,
    },
    system=prompts,
    tools=st.one_of(st.none(), st.lists(tools, max_size=5)),
    tool_choice=choices,
    stop_sequences=st.one_of(st.none(), st.lists(text, max_size=6)),
    temperature=probability,
    top_p=probability,
    top_k=st.sampled_from([None, 0, 40]),
    thinking=thinking,
    output_config=output_config,
    stream=st.booleans(),
    metadata=st.just({"user_id": '{"device_id":"x"}'}),
    context_management=st.just({"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}),
    safeguards=st.just([{"type": "dangerous_tool_use", "classifier_context": {"v": 1}}]),
    service_tier=st.just("auto"),
    never_heard_of=json,
)


@st.composite
def anthropic_requests(draw: st.DrawFn) -> Json:
    """The strategy under a short name: a failing test shows it."""
    return draw(requests)
