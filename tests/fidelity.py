"""docs/providers.md: what each mapping carries, how, and what it drops and why, read off the mappings themselves.

What is dropped is found by asking: one request with every field of Anthropic's goes through each mapping.
"""

from collections.abc import Iterator
from typing import Any

from engine import BUILT_IN, Mapping
from engine.gateway.exchange import Exchange
from engine.gateway.relay import Relay
from engine.wire import jsontext
from tests.every_mapping import chain, mapping, model

HEAD = """\
# Providers

What each mapping carries, how, and what it drops and why. Generated from the mappings; the figures are third-party ones of
November 2026 and USD for a million tokens. The words are those of [facts](facts.md). What is said of a mapping holds for
its main model; where other models differ, that is said behind it.

| mapping | format | images | PDF | web search | thinking | reasoning back | system in the middle | stop sequences |
|---|---|---|---|---|---|---|---|---|
"""

FORMATS = {
    "anthropic": "Messages, as it is",
    "anthropic-compatible": "Messages",
    "openai": "Responses",
    "openai-chat": "Chat Completions",
    "gemini": "generateContent",
}

EVERYTHING: dict[str, Any] = {
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "hi"}],
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "tools": [
        {"name": "Read", "input_schema": {"type": "object"}},
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "max_uses": 8,
            "allowed_domains": ["example.com"],
            "blocked_domains": ["example.org"],
            "user_location": {"type": "approximate", "country": "CH"},
        },
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    "stop_sequences": ["END"],
    "temperature": 1,
    "top_p": 0.9,
    "top_k": 40,
    "metadata": {"user_id": '{"session_id":"01234567-89ab-cdef-0123-456789abcdef"}'},
    "service_tier": "auto",
    "speed": "standard",
    "context_management": {"edits": []},
    "safeguards": [],
    "container": "box",
    "inference_geo": "eu",
    "mcp_servers": [],
    "stream": True,
}


def page() -> str:
    names = [path.stem for path in sorted(BUILT_IN.glob("*.yaml"))]
    return HEAD + "\n".join(map(_row, names)) + "\n\n" + "\n".join("\n".join(_part(name)) for name in names)


def _row(name: str) -> str:
    made = mapping(name)
    facts = made.facts_of(model(name))
    cells = [
        f"[{name}](#{name})",
        FORMATS[chain(name)[-1]],
        "yes" if facts.images and facts.image_urls else "data only" if facts.images else "in words",
        "yes" if facts.documents else "in words",
        "its own" if facts.web_search else "declined in words",
        " ".join(facts.efforts) or "as asked",
        {"drop": "no"}.get(facts.reasoning_history, "yes"),
        "as it is" if made.native else {"keep": "in its place", "fold": "folded"}[facts.mid_system],
        {"native": "the provider's", "enforced": "enforced here"}[facts.stop_sequences],
    ]
    return f"| {' | '.join(cells)} |"


def _part(name: str) -> Iterator[str]:
    made = mapping(name)
    yield f"## {name}"
    yield ""
    yield f"{made.about}. {_address(made)}{_parent(name)}"
    yield ""
    yield from _models(made)
    yield from _variants(made)
    lost = _exchange(name).lost
    if lost:
        yield "Not carried over:"
        yield ""
        yield from (f"- `{field}`: {reason}" for field, reason in sorted(lost.items()))
        yield ""


def _address(made: Mapping) -> str:
    address = f"`{made.base_url}`" if made.base_url else "The address is the user's to give"
    key = f", key in `${made.key_env}`" if made.key_env else ", no key unless one is configured"
    docs = f" ([documentation]({made.docs}))" if made.docs else ""
    return f"{address}{key}{docs}."


def _parent(name: str) -> str:
    ancestors = chain(name)[1:]
    return f" Differs from [{ancestors[0]}](#{ancestors[0]})." if ancestors else ""


def _models(made: Mapping) -> Iterator[str]:
    known = made.models.get("known") or {}
    roles = {role: made.models[role] for role in ("main", "fast", "long") if made.models.get(role)}
    if roles:
        yield "; ".join(f"{role} `{name}`" for role, name in roles.items()) + "."
        yield ""
    if known:
        yield "| model | window | answer | in | out | cached |"
        yield "|---|---|---|---|---|---|"
        for name, told in known.items():
            keys = ("context", "output", "input_price", "output_price", "cache_read_price")
            yield f"| `{name}` | {' | '.join(_number(told.get(key)) for key in keys)} |"
        yield ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if value >= 1000 else f"{value:g}"


def _variants(made: Mapping) -> Iterator[str]:
    inherited = mapping(chain(made.name)[1]).variants if chain(made.name)[1:] else []
    own = [(names, given) for names, given in made.variants if names.pattern not in {known.pattern for known, _ in inherited}]
    for names, given in own:
        told = "; ".join(f"`{word}` {_said(value)}" for word, value in given.items())
        yield f"- models `{names.pattern}`: {told}"
    if own:
        yield ""


def _said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else jsontext.dumps(value).decode().strip('"')


def _exchange(name: str) -> Any:
    request = EVERYTHING | {"model": model(name)}
    if mapping(name).native:
        return Relay(name, mapping(name), model(name), request, jsontext.dumps(request))
    return Exchange(name, mapping(name), model(name), request, request_id="req_1")
