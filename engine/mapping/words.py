"""The words that a mapping file is made of; the loader, `schema.json` and the docs are made from this one list."""

from dataclasses import dataclass

GENERAL = {
    "extends": "the mapping that this one differs from",
    "about": "what this provider is, in a sentence",
    "docs": "where its API is described",
    "base_url": "the address that `endpoint` builds on, unless the configuration gives another; `${NAME}` is a variable",
    "key_env": "the environment variable that holds the key; absent where none is needed",
    "framing": "how a stream is framed: sse, ndjson or json_array",
    "models": "the roles main, fast and long; `known`, each model's limits and prices; `only_known`",
    "capabilities": "what the provider can do",
    "limits": "numbers that a request must keep to",
    "quirks": "what the protocol code must know of this provider",
    "variants": "what differs for models whose names a regular expression meets: capabilities, limits, quirks",
    "native": "true where the provider speaks Anthropic's own format: requests and answers pass as they are",
    "parts": "pieces that `$use` puts in place; what a child mapping overrides",
    "examples": "given and expected, which `ccproxy check` runs",
}

FRAMINGS = ("sse", "ndjson", "json_array")
MODEL_ROLES = ("main", "fast", "long")
MODEL_FACTS = {
    "context": "the window, in tokens",
    "output": "the most tokens of an answer",
    "input_price": "USD for a million tokens",
    "output_price": "USD for a million tokens",
    "cache_read_price": "USD for a million tokens",
    "cache_write_price": "USD for a million tokens",
}


@dataclass(frozen=True, slots=True)
class SectionWord:
    """A section: the names its expressions start from, what it makes, and which mappings must have it.

    `needed` is "always", "translated" (by all but native mappings) or "never".
    """

    parameters: tuple[str, ...]
    makes: str  # "object", "deltas", or "reasons": an object whose values are texts written by hand
    about: str
    needed: str = "always"


SECTIONS = {
    "endpoint": SectionWord(("base_url", "model", "key", "stream", "client"), "object", "where a request goes: url and headers"),
    "request": SectionWord(("request", "model"), "object", "the body that is sent"),
    "lost": SectionWord(("request", "model"), "reasons", "what is lost within the request's fields: names and reasons", "never"),
    "response": SectionWord(("reply", "model"), "deltas", "a whole answer as deltas", "translated"),
    "stream": SectionWord(("chunk", "model"), "deltas", "a chunk of a stream as deltas", "translated"),
    "error": SectionWord(("status", "reply"), "object", "what a refusal says: message, type, code"),
    "count_endpoint": SectionWord(
        ("base_url", "model", "key", "client"), "object", "where the provider counts the tokens of a request", "never"
    ),
    "count_request": SectionWord(
        ("body", "model"), "object", "what is sent there, where it is not the request's own body", "never"
    ),
    "count": SectionWord(("reply",), "object", "the provider's count: input_tokens", "never"),
    "health_endpoint": SectionWord(
        ("base_url", "key"), "object", "what can be asked with GET, at no cost, to see whether the provider is well", "never"
    ),
}

EXAMPLE = {
    "about": "what it shows, in a sentence",
    "section": "the section that is run; `request` unless it is said",
    "given": "the section's names and their values; a name that is left out is null",
    "expect": "what the section makes of it",
}

TEXTS = ("base_url", "model", "key")
"""The names of sections that hold a text or null; what the others hold may be anything."""

REQUEST = (
    *("model", "messages", "system", "max_tokens", "stream", "stop_sequences", "temperature", "top_p", "top_k"),
    *("tools", "tool_choice", "mcp_servers", "container", "thinking", "output_config", "output_format", "metadata"),
    *("cache_control", "context_management", "compaction", "thread", "diagnostics", "fallbacks", "fallback_credit_token"),
    *("service_tier", "speed", "inference_geo", "user_profile_id", "workspace_id", "billing_policy", "betas", "safeguards"),
    *("session_id", "continuation"),
)
"""The fields of a request: Anthropic's, and those that the proxy adds.

The API grows, so another may be a new one; a name that is nearly one of them is a slip.
"""

REQUEST_OF_OTHERS = ("seed", "models", "top_a")
"""What a client may send to OpenAI or OpenRouter as well, and is nearly a field of Anthropic's."""

ENDPOINT = ("url", "headers")
ERROR = ("message", "type", "code", "details")
COUNT = ("input_tokens",)
MADE = {"endpoint": ENDPOINT, "count_endpoint": ENDPOINT, "health_endpoint": ENDPOINT, "error": ERROR, "count": COUNT}
"""The keys of an object that the engine reads; a request's are the provider's own."""

MAY_BE_NOTHING = ("count_endpoint", "health_endpoint")
"""The sections that need not make their object each time: then nobody is asked."""

DELTAS: dict[str, tuple[str, ...]] = {
    "start": ("id", "model"),
    "thinking": ("key", "piece", "whole"),
    "signature": (),
    "details": (),
    "content_block_stop": ("key",),
    "redacted": (),
    "text": ("key", "piece", "whole"),
    "citation": (),
    "refusal": ("key", "piece", "whole"),
    "web_search": ("id", "query", "results", "error"),
    "found": ("url", "title", "page_age"),
    "tool": ("key", "id", "name", "json"),
    "stop": (),
    "stop_sequence": (),
    "usage": (
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "thinking_tokens",
    ),
    "continuation": (),
    "error": ("message", "type", "code", "status", "details"),
}
"""The kinds of delta, and the keys of those that are objects (wire/assembler.py says what becomes of each)."""

TEXT = ("text", "object")
DELTA_VALUES: dict[str, tuple[str, ...]] = {
    "start": ("object",),
    "thinking": TEXT,
    "signature": ("text",),
    "details": ("list",),
    "redacted": ("text",),
    "text": TEXT,
    "citation": ("object",),
    "refusal": TEXT,
    "web_search": ("object",),
    "found": ("object",),
    "tool": ("object",),
    "stop": ("text",),
    "stop_sequence": ("text",),
    "usage": ("object",),
}
"""What a delta's value may be, where it is not anything: what is something else would not be heard."""

STOP_REASONS = (
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
)
"""Anthropic's words for why an answer ends; any other that an expression finds counts as end_turn."""

TOP_LEVEL: dict[str, str] = GENERAL | {name: section.about for name, section in SECTIONS.items()}
