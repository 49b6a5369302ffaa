"""The recordings that tests/test_corpus.py reads, and the table of them that docs/corpus.md is."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"

# Why a recording is not held to what it reads.
LEFT_OUT = {
    "openai/openai.chat_completions.chat-completion-audio-output.52a28e0d.json": (
        "the answer is sound, which a request of Anthropic's cannot ask for and a block of Anthropic's cannot hold"
    ),
    "openai/openai.chat_completions.chat-completion-custom-tool-call.c4161d75.json": (
        "a call of a custom tool, whose input is free text; the proxy declares only tools with a schema, so none is called"
    ),
}

HEAD = """\
# Recorded traffic

`tests/test_corpus.py` holds the translation of every recording here to `tests/reading.py`, a plain reading of the same
recording: text, reasoning, tool calls, stop reason and usage, or an error's sense and words. Streams are also cut and
framed in other ways. The recordings are not part of this repository; without them these tests are skipped.

All pass but those left out at the end. An error may also stand in a stream or in an answer with status 200.

## Chat Completions

| provider | whole answers | streams | HTTP errors | left out |
|---|---|---|---|---|
"""


def recordings() -> list[Row]:
    """The rows of the corpus's index that concern this family; none where there is no corpus."""
    if not CORPUS.is_dir():
        return []
    rows = [json.loads(line) for line in (CORPUS / "INDEX.jsonl").read_text().splitlines()]
    return [row for row in rows if row["api"] == "chat_completions"]


def table() -> str:
    rows = recordings()
    providers = sorted({row["provider"] for row in rows})
    lines = [line(provider, (row for row in rows if row["provider"] == provider)) for provider in providers]
    reasons = [f"- `{file}`: {reason}" for file, reason in LEFT_OUT.items()]
    return HEAD + "\n".join([*lines, line("**all**", rows), "", "Left out:", "", *reasons, ""])


def line(name: str, rows: Iterable[Row]) -> str:
    counts = Counter(map(column, rows))
    cells = [str(counts[name] or "") for name in ("whole", "stream", "error", "left out")]
    return f"| {' | '.join([name, *cells])} |"


def column(row: Row) -> str:
    if row["file"] in LEFT_OUT:
        return "left out"
    if row["status"] != 200:
        return "error"
    return "stream" if row["stream"] else "whole"
