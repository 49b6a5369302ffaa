"""What a client says reaches the provider, or it is named as lost: asked of every mapping, for each field of rich requests.

A field is left out, or says something else: then what is sent upstream differs, or the report of losses names it, or it stands
in NO_LOSS with a reason. The names are those of docs/mapping-language.md.
"""

import json
import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from engine.gateway.translation import Translation, translate
from engine.wire import reasoning, validate
from engine.wire.errors import ApiError
from engine.wire.facts import Facts
from tests.every_mapping import format_of, mapping, model, names

Json = Any
Path = tuple[str | int, ...]

PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="}
MARK = {"type": "ephemeral", "ttl": "1h"}
PATH = {"type": "object", "properties": {"path": {"type": "string", "description": "Where it lies."}}, "required": ["path"]}
READ = {
    "type": "custom",
    "name": "Read",
    "description": "Reads a file.",
    "input_schema": PATH | {"additionalProperties": False},
    "strict": True,
    "input_examples": [{"path": "a.txt"}],
    "allowed_callers": ["direct"],
    "eager_input_streaming": True,
    "cache_control": MARK,
}
EDIT = {"name": "Edit", "description": "Edits a file.", "input_schema": PATH, "defer_loading": True}
SEARCH = {
    "type": "web_search_20250305",
    "name": "web_search",
    "max_uses": 3,
    "allowed_domains": ["python.org"],
    "user_location": {"type": "approximate", "city": "Delft", "region": "ZH", "country": "NL", "timezone": "Europe/Amsterdam"},
    "cache_control": MARK,
}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a.png"}, "caller": {"type": "code", "id": "c"}}
QUOTED = [{"type": "char_location", "cited_text": "z"}]
SAMPLING = {"temperature": 0.7, "top_p": 0.9, "top_k": 40}
SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"], "additionalProperties": False}
ACCOUNT = {
    "metadata": {"user_id": '{"session_id":"01234567-89ab-cdef-0123-456789abcdef"}'},
    "service_tier": "standard_only",
    "inference_geo": "eu",
    "user_profile_id": "profile",
    "workspace_id": "workspace",
    "billing_policy": "metered",
    "betas": ["some-beta"],
    "diagnostics": {"previous_message_id": "msg_1"},
}
ANTHROPICS_OWN = {
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "compaction": {"type": "summarize", "instructions": "briefly"},
    "container": "box",
    "mcp_servers": [{"type": "url", "url": "https://example.com", "name": "files"}],
    "fallbacks": [{"model": "another"}],
    "thread": {"type": "create"},
    "safeguards": [{"type": "dangerous_tool_use"}],
    "cache_control": MARK,
}

CONVERSATION = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look at this.", "cache_control": MARK, "citations": QUOTED},
            {"type": "image", "source": PNG, "transformations": [{"type": "crop", "width": 10}], "cache_control": MARK},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {"type": "document", "source": PDF, "title": "a", "context": "from b", "citations": {"enabled": True}},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}, "title": "c"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}, "title": "d"},
            {
                "type": "search_result",
                "source": "https://example.com",
                "title": "e",
                "content": [{"type": "text", "text": "found"}],
                "citations": {"enabled": True},
            },
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sealed"},
            {"type": "text", "text": "I will.", "citations": QUOTED, "cache_control": MARK},
            CALL | {"cache_control": MARK},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "toolu_1",
                "is_error": True,
                "toolset_name": "files",
                "content": [{"type": "text", "text": "half of it"}, {"type": "image", "source": PNG}],
                "cache_control": MARK,
            },
            {"type": "text", "text": "So?"},
        ],
    },
    {"role": "system", "content": [{"type": "text", "text": "Now it is late."}], "clear_at": "next_user_message"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_2", "name": "Edit", "input": {"path": "b"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_2", "content": "done"}]},
]

HI = {"model": "claude-test", "max_tokens": 3000, "messages": [{"role": "user", "content": "hi"}]}
ON = {"thinking": {"type": "enabled", "budget_tokens": 2048, "display": "summarized", "block_binding": "loose"}}
ADAPTIVE = {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "high"}}
OFF = {"thinking": {"type": "disabled"}}
FORM = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}

REQUESTS: dict[str, dict[str, Json]] = {
    "a session": HI
    | ADAPTIVE
    | {
        "stream": True,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": MARK}, {"type": "text", "text": "Be kind."}],
        "messages": CONVERSATION,
        "tools": [READ, EDIT],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "stop_sequences": ["END"],
    },
    "an account": HI | ACCOUNT | ANTHROPICS_OWN,
    "speed": HI | {"speed": "fast"},
    "an effort alone": HI | {"output_config": {"effort": "medium"}},
    "sampling": HI | SAMPLING | OFF,
    "sampling beside thinking": HI | SAMPLING | ADAPTIVE,
    "sampling beside tools": HI | SAMPLING | {"tools": [READ]} | OFF,
    "a budget": HI | ON,
    "a budget for tools": HI | ON | {"tools": [READ]},
    "an effort": HI | ADAPTIVE | {"output_config": {"effort": "low", "task_budget": {"type": "tokens", "total": 9000}}},
    "an effort for tools": HI | ADAPTIVE | {"tools": [READ]},
    "a schema": HI | FORM,
    "a schema beside tools": HI | FORM | {"tools": [READ], "stream": True},
    "a search": HI | {"tools": [SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}},
    "a search that leaves out": HI | {"tools": [SEARCH | {"allowed_domains": [], "blocked_domains": ["example.com"]}]},
    "a search beside tools": HI | {"tools": [SEARCH, READ], "tool_choice": {"type": "any"}},
    "a tool that takes anything": HI | {"tools": [READ | {"input_schema": {"type": "object"}}]},
    "a forced tool": HI | {"tools": [READ, EDIT | {"defer_loading": False}], "tool_choice": {"type": "tool", "name": "Read"}},
    "a forced tool and thinking": HI | ADAPTIVE | {"tools": [READ], "tool_choice": {"type": "any"}},
    "no tool": HI | {"tools": [READ], "tool_choice": {"type": "none"}},
}

MODELS = {
    "gemini": ["gemini-2.0-flash", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-4-argon", "gemma-4-31b-it"],
    "vertex": ["gemini-2.5-flash"],
    "openai": ["gpt-4.1", "gpt-5", "gpt-6-luna"],
    "openai-chat": ["gpt-4.1", "some-model"],
    "xai": ["grok-4.3", "grok-3"],
    "xai-chat": ["grok-4.3", "grok-3"],
    "openrouter": ["openai/gpt-6-luna", "google/gemini-4-argon", "z-ai/glm-5.2"],
    "openrouter-anthropic": ["google/gemini-4-argon"],
    "groq": ["llama-4", "qwen/qwen3-32b"],
    "moonshot": ["kimi-k2.6"],
    "kimi": ["kimi-k2.6", "kimi-k2.7"],
    "kimi-code": ["kimi-for-coding"],
    "qwen": ["qwen3.6-plus", "qwen3-coder"],
    "qwen-anthropic": ["qwen3.6-plus"],
    "vercel-anthropic": ["openai/gpt-6-luna"],
    "minimax": ["MiniMax-M3.1-Flash", "MiniMax-M2"],
    "zai": ["glm-4.7"],
    "zai-chat": ["glm-4.7"],
    "mistral": ["magistral-medium", "codestral-latest"],
    "fireworks": ["accounts/fireworks/models/llama-4"],
    "together": ["meta/llama-4"],
    "nvidia": ["deepseek-ai/deepseek-v4", "openai/gpt-oss-120b"],
    "ollama": ["qwen3-coder:30b"],
    "deepseek": ["deepseek-flash"],
    "deepseek-anthropic": ["deepseek-flash"],
}
"""Besides the main one, where models differ."""

OTHERS: dict[str, list[Json]] = {
    "thinking.type": ["adaptive"],
    "tool_choice.type": ["auto", "any", "none"],
    "media_type": ["image/jpeg"],
    "speed": ["standard"],
    "service_tier": ["auto"],
    "display": ["omitted", "summarized", "updates"],
}
"""What else fields can say that know but a few words."""

THINKING = re.compile(r"thinking\.(type|budget_tokens)|output_config\.effort")
"""How hard to think: models know few words for it, and an effort is the next one that they know (T13)."""

NO_LOSS: dict[str, str] = {
    r"((messages|system|tools|output_config)\b.*\.(?<!cache_control\.))?(type|role|media_type)": "says what the rest is",
    r"messages\.content\.thinking": "is sealed in the signature",
    r"messages\.content\.(caller\..*|toolset_name)": "which machine of Anthropic's made a call",
    r"model": "is the route's affair",
    r"(messages\.content\.)?(id|tool_use_id|signature)": "ties together what goes out tied together",
    r"stream": "a provider may be asked for a stream all the same, and the client gets what it wants",
    r"thinking\.display": "what the client does not show is held back on this side",
    r"tools\.(defer_loading|eager_input_streaming)": "is done on this side, or anyway",
}
"""Fields that are no loss: the path -> why."""


def no_loss_by(name: str, facts: Facts, request: Json) -> Iterator[str]:
    """Fields that are no loss to a provider."""
    tools, choice = request.get("tools", ()), request.get("tool_choice", {}).get("type", "auto")
    if facts.stop_sequences == "enforced":
        yield r"stop_sequences"
    if facts.single_call == "enforced":
        yield r"tool_choice\.disable_parallel_tool_use"
    if len(facts.efforts) == 1 and facts.efforts != ("none",):
        yield THINKING.pattern  # what is asked becomes the one that there is (T13)
    if request.get("thinking") == OFF["thinking"]:
        yield THINKING.pattern  # who wants no thinking gets the least that there is (T05)
    if choice not in facts.tool_choices:
        yield r"tools\..*"  # what cannot be called in this answer need not be offered (G11)
    if tools == [SEARCH] and not facts.web_search:
        yield r"tool_choice\..*"  # there is nothing to choose from
    if format_of(name) == "generate_content" and choice != "auto":
        yield r"tools\.strict"  # whoever has to call a tool is held to its schema, and nobody is who may not


def fields(value: Json, path: Path = ()) -> Iterator[Path]:
    """The paths of all that is no object and no list of something."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in steps:
        yield from fields(child, (*path, step))
    if not isinstance(value, dict | list):
        yield path


def said(request: Json, path: Path) -> Json:
    for step in path:
        request = request[step]
    return request


def changed(request: Json, path: Path, *value: Json) -> Json:
    """The request with another value at the path, or without it."""
    made = deepcopy(request)
    holder = said(made, path[:-1])
    if value:
        [holder[path[-1]]] = value
    else:
        del holder[path[-1]]
    return made


def others(request: Json, path: Path) -> Iterator[Json]:
    """Requests that differ in this field, and are requests all the same."""
    name, value = dotted(path), said(request, path)
    made = [changed(request, path), *([changed(request, path[:-1])] if name.endswith("cache_control.type") else [])]
    known = [words for key, words in OTHERS.items() if f".{name}".endswith(f".{key}")]
    made += [changed(request, path, other) for words in known for other in words]
    if isinstance(value, str):
        made += [changed(request, path, f"{value}x")]
    elif isinstance(value, bool):
        made += [changed(request, path, not value)]
    elif isinstance(value, int | float):
        made += [changed(request, path, value / 2 if isinstance(value, float) else value + 1)]
        made += [changed(request, path, value // 100)] if isinstance(value, int) else []
    if THINKING.fullmatch(name):
        rest = {key: value for key, value in request.items() if key not in ("thinking", "output_config")}
        made += [rest, rest | {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}]
    return filter(is_request, made)


def is_request(request: Json) -> bool:
    try:
        validate.check(request)
    except ApiError:
        return False
    return True


def dotted(path: Path) -> str:
    return ".".join(step for step in path if isinstance(step, str))


def is_named(request: Json, path: Path, lost: Iterable[str]) -> bool:
    """Whether a name among those of what is lost means this field: its steps, or the kinds of blocks and tools around it."""
    words = ["thinking"] if THINKING.fullmatch(dotted(path)) else []
    for step in path:
        if isinstance(request, dict) and isinstance(kind := request.get("type"), str):
            words.append(re.sub(r"_\d{8}$", "", kind))
        request = request[step]
        words += [step] if isinstance(step, str) else []
    return any(is_within(name.split("."), words) for name in lost)


def is_within(steps: list[str], words: list[str]) -> bool:
    rest = iter(words)
    return all(step in rest for step in steps)


class Sent:
    """What goes upstream of a request, and what is named as lost."""

    def __init__(self, name: str, model: str, request: Json) -> None:
        data = json.dumps(request).encode()
        made: Translation = translate(name, mapping(name), model, request, data, request_id="req_1", client={})
        body = json.loads(made.body) if isinstance(made.body, bytes) else made.body
        self.upstream = json.dumps([body, made.endpoint("http://upstream")])
        self.lost = made.lost
        self.facts = made.facts


def silent(name: str, model: str, request: Json) -> Iterator[str]:
    """The fields of a request that are lost without a word."""
    sent = Sent(name, model, request)
    passed_over = [*NO_LOSS, *no_loss_by(name, sent.facts, request)]
    for path in fields(request):
        field = dotted(path)
        if any(re.fullmatch(pattern, field) for pattern in passed_over):
            continue
        if not is_named(request, path, sent.lost) and all(
            Sent(name, model, other).upstream == sent.upstream for other in others(request, path)
        ):
            yield field


def with_own_thinking(request: Json, name: str, model: str) -> Json:
    """The thinking in it is this model's own."""
    made = deepcopy(request)
    for message in made["messages"]:
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block["type"] == "thinking":
                block["signature"] = reasoning.seal(name, model, {"thinking": block["thinking"]})
    return made


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.parametrize("name", names())
def test_what_is_lost_is_named(name: str, what: str) -> None:
    for upstream in (model(name), *MODELS.get(name, ())):
        request = with_own_thinking(REQUESTS[what], name, upstream)
        assert is_request(request)
        assert sorted(set(silent(name, upstream, request))) == [], upstream


@pytest.mark.parametrize("name", names())
def test_nothing_is_named_of_a_request_that_says_nothing(name: str) -> None:
    for upstream in (model(name), *MODELS.get(name, ())):
        assert Sent(name, upstream, HI).lost == {}
