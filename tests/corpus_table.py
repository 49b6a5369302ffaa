"""The recordings that tests/test_corpus.py reads, and the table of them that docs/corpus.md is."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from engine import BUILT_IN
from tests.readings.left_out import LEFT_OUT, UNDECLARED

Row = dict[str, Any]

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"

FORMATS = {
    "chat_completions": "Chat Completions",
    "responses": "Responses",
    "generate_content": "generateContent",
    "messages": "Messages",
}

# A provider's mapping where it has not the provider's own name, and of all others that of the format.
MAPPINGS = {
    ("chat_completions", "xai"): "xai-chat",
    ("chat_completions", "zai"): "zai-chat",
    ("chat_completions", "alibaba"): "qwen",
    ("chat_completions", "vercel_gateway"): "vercel",
    ("chat_completions", "openai"): "openai-chat",
    ("chat_completions", "gemini"): "openai-chat",
    ("chat_completions", "anthropic"): "openai-chat",
    ("responses", "azure"): "azure-responses",
    ("messages", "anthropic"): "anthropic-compatible",
    ("messages", "vertex"): "anthropic-compatible",
}
ROOTS = {
    "chat_completions": "openai-chat",
    "responses": "openai",
    "generate_content": "gemini",
    "messages": "anthropic-compatible",
}

# Why a recording is not held to what it reads.
LEFT_OUT = LEFT_OUT | {
    "openai/openai.chat_completions.chat-completion-audio-output.52a28e0d.json": (
        "the answer is sound, which a request of Anthropic's cannot ask for and a block of Anthropic's cannot hold"
    ),
    "openai/openai.chat_completions.chat-completion-custom-tool-call.c4161d75.json": UNDECLARED,
    "gemini/gemini.generate_content.google-stream-tool-call-array-arguments-missing-terminal-fun.2927e1c1.json": (
        "arguments in pieces told by paths, which come to who asks for them; the proxy does not"
    ),
}

HEAD = """\
# Recorded traffic

`tests/test_corpus.py` holds the translation of every recording here to `tests/readings`, a plain reading of the same
recording: text, reasoning, tool calls, searches, citations, reasoning state, stop reason and usage, or an error's sense
and words. Each goes through its provider's own mapping, or else through that of its format. Streams are also cut and
framed in other ways. The recordings are not part of this repository; without them these tests are skipped.

All pass but those left out at the end. An error may also stand in a stream or in an answer with status 200.
"""

TABLE = """
## {name}

| provider | mapping | whole answers | streams | HTTP errors | left out |
|---|---|---|---|---|---|
"""


def recordings() -> list[Row]:
    """The rows of the corpus's index that are of our formats; none where there is no corpus."""
    if not CORPUS.is_dir():
        return []
    rows = [json.loads(line) for line in (CORPUS / "INDEX.jsonl").read_text().splitlines()]
    return [row for row in rows if row["api"] in FORMATS]


def mapping_of(row: Row) -> str:
    """The mapping that a recording goes through."""
    own = MAPPINGS.get((row["api"], row["provider"]), row["provider"])
    root = ROOTS[row["api"]]
    return own if own == root or _extends(own, root) else root


def _extends(name: str, root: str) -> bool:
    """Whether a mapping is a descendant of the format's root."""
    path = BUILT_IN / f"{name}.yaml"
    parent = re.search(r"^extends: *(\S+)", path.read_text(), re.MULTILINE) if path.is_file() else None
    return parent is not None and (parent[1] == root or _extends(parent[1], root))


def table() -> str:
    rows = recordings()
    parts = [part(api, [row for row in rows if row["api"] == api]) for api in FORMATS]
    reasons = [f"- `{file}`: {reason}" for file, reason in LEFT_OUT.items()]
    return HEAD + "".join(parts) + "\n".join(["", "## Left out", "", *reasons, ""])


def part(api: str, rows: list[Row]) -> str:
    providers = sorted({row["provider"] for row in rows})
    lines = [line(provider, [row for row in rows if row["provider"] == provider]) for provider in providers]
    return TABLE.format(name=FORMATS[api]) + "\n".join([*lines, line("**all**", rows), ""])


def line(name: str, rows: list[Row]) -> str:
    counts = Counter(map(column, rows))
    mappings = sorted(set(map(mapping_of, rows)))
    cells = [f"`{mappings[0]}`" if len(mappings) == 1 else ""]
    cells += [str(counts[kind] or "") for kind in ("whole", "stream", "error", "left out")]
    return f"| {' | '.join([name, *cells])} |"


def column(row: Row) -> str:
    if row["file"] in LEFT_OUT:
        return "left out"
    if row["status"] != 200:
        return "error"
    return "stream" if row["stream"] else "whole"
