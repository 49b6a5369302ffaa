"""The plain readings of recorded answers agree with what the recordings say a second time, in other words."""

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response

from tests.corpus_table import CORPUS
from tests.grammar import sdk_message
from tests.readings import CUT, Call, Reading, Search, generate_content, messages, read, responses, split_sse
from tests.readings.left_out import LEFT_OUT

Recording = dict[str, Any]

STOP_REASONS = ("end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal")

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the recordings (../shared/corpus) are not here")


def usage(uncached: int, *, cached: int, written: int, output: int, thinking: int) -> dict[str, int]:
    return {
        "input_tokens": uncached,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": output,
        "thinking_tokens": thinking,
    }


def files(*apis: str) -> list[str]:
    if not CORPUS.is_dir():
        return []
    rows = [json.loads(line) for line in (CORPUS / "INDEX.jsonl").read_text().splitlines()]
    return [row["file"] for row in rows if row["api"] in apis]


ALL = files("responses", "generate_content", "messages")

# What a person read in a recording, by the end of its name.
BY_HAND: dict[str, dict[str, Any]] = {
    "responses.test-instrument-langchain.98c8ed51": {
        "reasoning": "**Using tool to add numbers**\n\n**Executing addition and finalizing result**",
        "order": ["thinking", "tool_use"],
        "calls": [Call("add", {"a": 123, "b": 456})],
    },
    "responses.test-deepseek-responses-function-tool-stream.f638267b": {
        "reasoning": "The user asks about temperature in Tokyo. I'll call the tool.",
        "usage": usage(110, cached=256, written=0, output=59, thinking=14),
        "stop": "tool_use",
    },
    "deepseek-v4-flash-searches-ser.3374b819": {
        "searches": [Search(["latest stable Ruby version 2024", "Ruby latest release version official"])],
        "state": [("phase", "commentary"), ("phase", "commentary"), ("phase", "final_answer")],
        "unshown": ["open_page"],
    },
    "responses.test-openai-responses-model-web-search-tool-without-external.2f7d2ee8": {
        "citations": [
            (
                "https://www.toureiffel.paris/en/news/history-and-culture/133-years-and-1083-feet?utm_source=openai",
                "133 years and 330 metres - The Eiffel Tower",
            )
        ],
        "usage": usage(4158, cached=0, written=4418, output=52, thinking=32),
    },
    "responses.responses-streaming-reasoning-budget-exhausted.1501628a": {
        "state": [("encrypted_content", "encrypted_content_REDACTED_2")],
        "order": [],
        "stop": "max_tokens",
    },
    "responses.async-stream.d84c1a8b": {
        "text": "I'm sorry, I can't assist with that.",
        "refusal": "I'm sorry, I can't assist with that.",
        "stop": "refusal",
    },
    "generate_content.five-turn-chat-history-stress-preserves-context-and-tools.ae16cf2f": {
        "state": [("call", "signature_REDACTED_3")],
        "stop": "tool_use",
    },
    "generate_content.two-terminal-stream-unicode-answer-after-the-first-finish.88b9f457": {
        "text": "résultats ✅ 42 et 142.",
        "unshown": ["executableCode", "codeExecutionResult"],
        "usage": usage(460, cached=0, written=0, output=206, thinking=175),
    },
    "generate_content.streaming-twin-keeps-reasoning-out-of-the-text.159e4247": {
        "text": "5040",
        "order": ["thinking", "text"],
        "usage": usage(21, cached=0, written=0, output=312, thinking=310),
    },
    # Its text is one line end.
    "generate_content.object-streaming.742999a6": {"text": "", "order": ["thinking"], "stop": "max_tokens"},
    "generate_content.streaming-failure-prompt-blocked-safety-with-message.377500e4": {
        "text": "Reasons",
        "refusal": "Reasons",
        "stop": "refusal",
    },
    "messages.blocking-redacted-thinking.b96533bd": {
        "state": [("redacted_thinking", "redacted_thinking_REDACTED_1")],
        "order": ["text"],
    },
    "messages.anthropic-claude-haiku-4-5.52cde890": {
        "text": "4200 + 42 = 4242",
        "usage": usage(17, cached=0, written=0, output=15, thinking=0),
    },
}


@pytest.mark.parametrize("file", ALL, ids=[Path(file).stem for file in ALL])
def test_a_recording_reads_as_an_answer_or_as_an_error(file: str) -> None:
    reading = read(load(file))
    assert (reading.stop in STOP_REASONS) != (reading.error is not None)
    assert all(isinstance(call.input, dict) for call in reading.calls)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_recording_reads_as_a_person_reads_it(name: str) -> None:
    [file] = [file for file in ALL if file.endswith(f"{name}.json")]
    reading = read(load(file))
    assert {field: getattr(reading, field) for field in BY_HAND[name]} == BY_HAND[name]


def test_left_out_is_what_has_nothing_that_could_be_shown() -> None:
    assert {file for file in ALL if shows_nothing(read(load(file)))} == LEFT_OUT.keys()


def test_usage_adds_up_to_the_total() -> None:
    told = {file: total(load(file)) for file in files("responses", "generate_content")}
    read_there = {file: summed(read(load(file))) for file, tokens in told.items() if tokens is not None}
    assert len(read_there) > 200
    # OpenAI told of -9 tokens once.
    assert read_there == {file: max(0, tokens) for file, tokens in told.items() if tokens is not None}


def test_a_stream_of_responses_reads_as_the_answer_at_its_end() -> None:
    ends = {file: end for file in files("responses") if (end := final(load(file)))}
    assert len(ends) > 40
    for file, response in ends.items():
        assert bare(read(load(file))) == bare(responses.read_answer(response)), file


def test_the_text_of_responses_is_the_text_of_the_sdk() -> None:
    for file in files("responses"):
        recording = load(file)
        reading, response = read(recording), final(recording) if recording["stream"] else recording["response"]
        if response and not (reading.error or reading.refusal):
            assert reading.text == Response.construct(**response).output_text, file


def test_the_deltas_of_responses_add_up_to_the_items() -> None:
    """But for calls: one that never is done is not handed over."""
    for file, events in streams("responses"):
        reading = read(load(file))
        grown = read(stream("responses", without(events, "response.output_item.done")))
        assert (grown.text, grown.reasoning, grown.refusal) == (reading.text, reading.reasoning, reading.refusal), file
        assert grown.calls == [], file


def test_encrypted_content_that_is_told_in_the_end_alone() -> None:
    """Azure's way (providers.md 2.2)."""
    for file, events in streams("responses"):
        for event in events:
            if event["type"] == "response.output_item.done":
                event["item"].pop("encrypted_content", None)
        if response := final(load(file)):
            assert read(stream("responses", events)).state == responses.read_answer(response).state, file


def test_chunks_of_gemini_read_as_one_answer() -> None:
    several = [(file, chunks) for file, chunks in streams("generate_content") if len(chunks) > 1]
    assert len(several) > 30
    for file, chunks in several:
        assert read(load(file)) == generate_content.read_chunks([functools.reduce(merge, chunks)]), file


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the SDK knows blocks of MCP in its beta alone
def test_a_stream_of_messages_reads_as_the_message_of_the_sdk() -> None:
    for file, events in streams("messages"):
        assert read(load(file)) == messages.read_message(sdk_message(events)), file


@pytest.mark.parametrize(
    ("api", "ends"),
    [
        ("responses", lambda event: event["type"] in ("response.completed", "response.incomplete")),
        ("generate_content", lambda chunk: "finishReason" in json.dumps(chunk) or "blockReason" in json.dumps(chunk)),
        ("messages", lambda event: event["type"] == "message_stop"),
    ],
)
def test_a_stream_without_its_end_is_an_error(api: str, ends: Callable[[Any], bool]) -> None:
    """S20."""
    for file, chunks in streams(api):
        if any(map(ends, chunks)):
            cut = read(stream(api, [chunk for chunk in chunks if not ends(chunk)]))
            assert (cut.stop, cut.usage, cut.error) == (None, None, CUT), file


# The recordings


def load(file: str) -> Recording:
    recording: Recording = json.loads((CORPUS / file).read_text())
    return recording


def streams(api: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for file in files(api):
        recording = load(file)
        if recording["stream"]:
            yield file, generate_content.split(recording)


def stream(api: str, chunks: list[dict[str, Any]]) -> Recording:
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return {"api": api, "stream": True, "stream_format": "sse", "status": 200, "response_raw": text}


def without(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] != kind]


def final(recording: Recording) -> dict[str, Any] | None:
    """The answer that a stream of Responses tells whole in the end; ChatGPT tells it without its items."""
    if not recording["stream"]:
        return None
    response: dict[str, Any] = split_sse(recording["response_raw"])[0][-1]["response"]
    return response if response["output"] else None


def total(recording: Recording) -> int | None:
    last = generate_content.split(recording)[-1] if recording["stream"] else recording["response"]
    usage = last.get("response", last).get("usage") or last.get("usageMetadata") or {}
    told: int | None = usage.get("total_tokens", usage.get("totalTokenCount"))
    return told


def merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two chunks of one answer as one chunk."""
    usage = first.get("usageMetadata", {}) | second.get("usageMetadata", {})
    return first | second | {"candidates": [merge_candidates(*candidates(first, second))], "usageMetadata": usage}


def candidates(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    return [candidate for chunk in chunks for candidate in chunk["candidates"]]


def merge_candidates(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    parts = [part for candidate in (first, second) for part in candidate.get("content", {}).get("parts", [])]
    return first | second | {"content": {"role": "model", "parts": functools.reduce(add_part, parts, [])}}


def add_part(parts: list[dict[str, Any]], part: dict[str, Any]) -> list[dict[str, Any]]:
    """Neighbouring texts of a kind become one, but for those that bear a signature."""
    if parts and parts[-1].keys() == part.keys() <= {"text", "thought"}:
        return [*parts[:-1], part | {"text": parts[-1]["text"] + part["text"]}]
    return [*parts, part]


# The readings


def shows_nothing(reading: Reading) -> bool:
    return bool(reading.unshown) and not (reading.text or reading.calls or reading.error)


def summed(reading: Reading) -> int:
    assert reading.usage is not None
    return sum(tokens for name, tokens in reading.usage.items() if name != "thinking_tokens")


def bare(reading: Reading) -> Reading:
    """Without the ciphertext, which is another each time."""
    return replace(reading, state=[(kind, value if kind == "phase" else "") for kind, value in reading.state])
