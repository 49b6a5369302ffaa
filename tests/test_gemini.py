"""What no case can show of Gemini: an answer in several requests, and what recorded clients have sent back."""

import dataclasses
import json
from typing import Any

import pytest

from engine import load_mapping
from engine.gateway.exchange import Exchange
from engine.wire.assembler import fold
from tests.answers import Chunk
from tests.corpus_table import CORPUS
from tests.grammar import check

Json = dict[str, Any]

REQUEST: Json = {
    "model": "claude-test",
    "max_tokens": 128_000,
    "stream": True,
    "messages": [{"role": "user", "content": "hi"}],
}

# An answer with signatures, and the request that a client sent behind it.
FOLLOWED = {
    "multi-tool-streaming.8eb64116": "multi-tool-streaming.443314be",
    "thinking-streaming.35a2af88": "thinking-streaming.96f53495",
    "thinking.68d28cbd": "thinking.dc00ee5a",
    "google-gemini-3-pro-preview.e55461a1": "google-gemini-3-pro-preview.a0cdeb67",
    "test-tools-simple.d837639f": "test-tools-simple.5868e99d",
    "test-tools-sequential.f94b7b5c": "test-tools-sequential.4dbddcb1",
    "test-tools-with-nested-pydantic-models.903566d4": "test-tools-with-nested-pydantic-models.6df60a1c",
    "five-turn-chat-history-stress-preserves-context-and-tools.ae16cf2f": (
        "five-turn-chat-history-stress-preserves-context-and-tools.cf2bb316"
    ),
    "test-google-model-file-search-grounding-gemini-3-true.e7664683": (
        "test-google-model-file-search-grounding-gemini-3-true.307f6b5c"
    ),
    "test-google-vertex-tool-combination-omits-include-server-sid.043059c8": (
        "test-google-vertex-tool-combination-omits-include-server-sid.24101b35"
    ),
    "test-multimodal-tool-return-matrix-tool-return-content-url-i.f7ff1c81": (
        "test-multimodal-tool-return-matrix-tool-return-content-url-i.4aedf142"
    ),
}


def test_a_long_answer_goes_on_in_the_next_request() -> None:
    exchange = Exchange("gemini", load_mapping("gemini"), "gemini-4-argon", REQUEST, request_id="req_1")
    first = exchange.body
    assert first["generationConfig"]["maxOutputTokens"] == 128_000
    assert "continuationToken" not in first

    events = exchange.receive(streamed({"text": "One, "}, "CONTINUATION", prompt=9, answer=65_536, continuationToken="dG9rZW4="))
    assert exchange.goes_on()
    assert exchange.body == first | {"continuationToken": "dG9rZW4="}

    events += exchange.receive(streamed({"text": "two."}, "STOP", prompt=11, answer=100))
    assert not exchange.goes_on()
    events += exchange.finish()

    check(events)
    message = fold(events)
    assert message["content"] == [{"type": "text", "text": "One, two."}]
    assert message["stop_reason"] == "end_turn"
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (11, 65_636)


def streamed(part: Json, finish: str, *, prompt: int, answer: int, **told: str) -> bytes:
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": finish, **told}
    chunk: Chunk = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": prompt, "candidatesTokenCount": answer}}
    return f"data: {json.dumps(chunk)}\r\n\r\n".encode()


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the recordings (../shared/corpus) are not here")
@pytest.mark.parametrize("answered", FOLLOWED)
def test_signatures_go_back_as_recorded_clients_sent_them(answered: str) -> None:
    """On the same calls; a signature that came on an empty text may have been put on the text before it."""
    recording, following = load(answered), load(FOLLOWED[answered])
    sent = signed_parts(following["request"]["contents"])
    ours = signed_parts(what_goes_back(recording)["contents"])
    assert ours
    for signature, part in ours.items():
        assert part == sent[signature] or (part, sent[signature][0]) == (("text", ""), "text")


def load(name: str) -> Json:
    [path] = CORPUS.glob(f"*/*.generate_content.{name}.json")
    recording: Json = json.loads(path.read_text())
    return recording


def what_goes_back(recording: Json) -> Json:
    """The request of the next turn, after the recorded answer has been to the client."""
    exchange = exchange_for(recording, REQUEST["messages"])
    raw = recording["response_raw"] if recording["stream"] else f"data: {json.dumps(recording['response'])}\n\n"
    answer = fold(exchange.receive(raw.encode()) + exchange.finish())["content"]
    results = [{"type": "tool_result", "tool_use_id": block["id"]} for block in answer if block["type"] == "tool_use"]
    said = [{"role": "assistant", "content": answer}, {"role": "user", "content": results or "Go on"}]
    return exchange_for(recording, [*REQUEST["messages"], *said]).body


def exchange_for(recording: Json, messages: list[Json]) -> Exchange:
    mapping = dataclasses.replace(load_mapping(recording["provider"]), framing=recording.get("stream_format") or "sse")
    return Exchange(mapping.name, mapping, recording["model"], REQUEST | {"messages": messages}, request_id="req_1")


def signed_parts(contents: list[Json]) -> dict[str, tuple[Any, ...]]:
    """What each signature stands on, by the signature. Clients spell base64 in either alphabet, and names in either way."""
    parts = [part for content in contents if content["role"] == "model" for part in content["parts"]]
    signed = [(part.get("thoughtSignature") or part.get("thought_signature"), part) for part in parts]
    return {signature.replace("-", "+").replace("_", "/"): outline(part) for signature, part in signed if signature}


def outline(part: Json) -> tuple[Any, ...]:
    if call := part.get("functionCall") or part.get("function_call"):
        return "call", call["name"], call["args"]
    [kind] = part.keys() & {"text", "toolCall", "toolResponse"}
    return kind, part[kind] if kind == "text" else part[kind]["id"]
