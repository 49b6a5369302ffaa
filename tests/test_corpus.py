"""Recorded traffic of 38 providers: what the proxy makes of it says what a plain reading of it says.

The recordings lie beside the repository (../shared/corpus) and are not part of it; `docs/corpus.md` tells what they are.
"""

import dataclasses
import functools
import itertools
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from engine import Mapping, load_mapping
from engine.gateway import exchange as gateway
from engine.gateway.exchange import Exchange
from engine.wire import reasoning
from engine.wire.assembler import fold
from engine.wire.errors import ApiError
from engine.wire.framing import SSE
from tests.corpus_table import CORPUS, column, mapping_of, recordings, table
from tests.grammar import check, sdk_message
from tests.readings import Call, Error, Reading, Search, read

Event = dict[str, Any]

DOCUMENT = Path(__file__).parents[1] / "docs" / "corpus.md"
COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
SHORT = 6_000  # characters; a longer stream is not fed byte by byte

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the recordings (../shared/corpus) are not here")


def files(kind: str) -> pytest.MarkDecorator:
    chosen = [row["file"] for row in recordings() if column(row) == kind]
    return pytest.mark.parametrize("file", chosen, ids=[Path(file).stem for file in chosen])


@files("whole")
def test_a_whole_answer_says_what_it_reads(file: str) -> None:
    recording, exchange = load(file)
    reading = read(recording)
    if reading.error:
        with pytest.raises(ApiError) as raised:
            exchange.answer(recording["response"])
        assert told(raised.value, reading.error) == reading.error
        return
    message, events = answer(exchange, recording["response"])
    check(events)
    assert said(message, reading, recording) == shown(reading)


@files("stream")
def test_a_stream_says_what_it_reads(file: str) -> None:
    recording, exchange = load(file)
    reading = read(recording)
    events = feed(exchange, [recording["response_raw"].encode()])
    if reading.error and not events:  # told ahead of all words, it is a status
        assert exchange.failure is not None
        assert told(exchange.failure, reading.error) == reading.error
        return
    check(events)
    if reading.error:
        error = events.pop()["error"]
        assert (error["type"], reading.error.words in error["message"]) == (reading.error.type, True)
    message = fold(events)
    assert said(message, reading, recording) == shown(reading)
    if not reading.error:
        assert uncut(sdk_message(events), message) == uncut(message, message)


@files("stream")
def test_a_stream_is_the_same_however_it_is_framed_and_cut(file: str) -> None:
    """S26: line ends, comments between events, and reads that end anywhere, in the middle of a character too."""
    recording, exchange = load(file)
    text = recording["response_raw"].replace("\r\n", "\n")
    expected = feed(exchange, [text.encode()])
    windows = text.replace("\n", "\r\n")
    commented = ": OPENROUTER PROCESSING\n\n" + text.replace("\n\n", "\n\n: keep-alive\n\n")
    forms = (text, windows, commented) if recording["stream_format"] == "sse" else (text, windows)
    dice = random.Random(file)
    ways = [cut(form.encode(), dice, most) for form in forms for most in (20, 2_000)]
    if len(text) < SHORT:
        ways += [cut(form.encode(), dice, 1) for form in (text, windows)]
    for pieces in ways:
        assert feed(load(file)[1], pieces) == expected
    for form in forms:
        by_events = re.findall(rb".+?(?:\r?\n\r?\n|$)", form.encode(), re.DOTALL)
        assert feed(load(file)[1], by_events, framed=True) == expected


@files("error")
def test_an_error_keeps_its_sense_and_its_words(file: str) -> None:
    recording, exchange = load(file)
    reading = read(recording)
    assert reading.error is not None
    error = exchange.refuse(recording["status"], json.dumps(recording["response"]).encode(), {})
    assert told(error, reading.error) == reading.error


@files("left out")
def test_what_no_client_can_ask_for_is_still_a_message(file: str) -> None:
    recording, exchange = load(file)
    if recording["stream"]:
        check(feed(exchange, [recording["response_raw"].encode()]))
    else:
        check(answer(exchange, recording["response"])[1])


def test_the_table_of_recordings_is_current() -> None:
    if os.environ.get("UPDATE_CASES"):
        DOCUMENT.write_text(table())
    assert DOCUMENT.read_text() == table()


# The proxy's side


@functools.cache
def mapping_for(name: str, framing: str) -> Mapping:
    return dataclasses.replace(load_mapping(name), framing=framing)


def load(file: str) -> tuple[dict[str, Any], Exchange]:
    """A recording, and the exchange that a client of the proxy would have had in its place."""
    recording = json.loads((CORPUS / file).read_text())
    request = {
        "model": "claude-test",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": recording["stream"],
        "stop_sequences": asked_stops(recording),
    }
    mapping = mapping_for(mapping_of(recording), recording.get("stream_format") or "sse")
    return recording, Exchange(recording["provider"], mapping, model_of(recording), request, request_id="req_test")


def model_of(recording: dict[str, Any]) -> str:
    return recording["model"] or "some-model"


def asked_stops(recording: dict[str, Any]) -> list[str]:
    """What the client had asked to stop at; on this side nothing is to be enforced that the recording did not know."""
    return (recording["request"] or {}).get("stop_sequences") or [] if recording["api"] == "messages" else []


def answer(exchange: Exchange, reply: dict[str, Any]) -> tuple[dict[str, Any], list[Event]]:
    """The message of a whole answer, and the events that it was folded from."""
    with mock.patch.object(gateway, "fold", wraps=fold) as folded:
        message = exchange.answer(reply)
    return message, list(folded.call_args.args[0])


def feed(exchange: Exchange, pieces: list[bytes], *, framed: bool = False) -> list[Event]:
    """The events of a stream; `framed`: as they go to the client."""
    events: list[Event] = []
    for piece in pieces:
        events += SSE().feed(exchange.receive_framed(piece)) if framed else exchange.receive(piece)
    assert not exchange.goes_on()
    return events + exchange.finish()


def cut(data: bytes, dice: random.Random, most: int) -> list[bytes]:
    def pieces() -> Iterator[bytes]:
        start = 0
        while start < len(data):
            end = start + dice.randint(1, most)
            yield data[start:end]
            start = end

    return list(pieces())


# What it says, in the reading's words


def shown(reading: Reading) -> Reading:
    """A reading as far as Anthropic's format goes: one query a search, a title for every page, and a state of values."""
    return dataclasses.replace(
        reading,
        searches=[Search(["; ".join(search.queries)], [page(*found) for found in search.found]) for search in reading.searches],
        citations=[page(*cited) for cited in reading.citations],
        state=[("", value) for _, value in reading.state],
        unshown=[],
    )


def page(url: str, title: str) -> tuple[str, str]:
    return url, title or url


def said(message: dict[str, Any], reading: Reading, recording: dict[str, Any]) -> Reading:
    """A message as a reading. Of what the recording does not tell, nothing is claimed."""
    blocks = message["content"]
    # A thinking block may hold a signature and nothing to be read.
    told = [block for block in blocks if block["type"] in ("text", "tool_use") or block.get("thinking")]
    return Reading(
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        reasoning="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        calls=[Call(block["name"], arguments(block)) for block in blocks if block["type"] == "tool_use"],
        order=[kind for kind, _ in itertools.groupby(block["type"] for block in told)],
        refusal=(message.get("stop_details") or {}).get("explanation") or "",
        stop=message["stop_reason"],
        usage=usage(message) if reading.usage else None,
        error=reading.error,
        searches=searches(blocks),
        citations=[page(cited["url"], cited["title"]) for block in blocks for cited in block.get("citations", [])],
        # Chat's readings look at no state.
        state=[] if recording["api"] == "chat_completions" else [("", value) for value in state(blocks, recording)],
    )


def searches(blocks: list[dict[str, Any]]) -> list[Search]:
    asked = [block["input"].get("query", "") for block in blocks if block["type"] == "server_tool_use"]
    found = [block["content"] for block in blocks if block["type"] == "web_search_tool_result"]
    return [
        Search([query], [page(result["url"], result["title"]) for result in results])
        for query, results in zip(asked, found, strict=True)
    ]


def state(blocks: list[dict[str, Any]], recording: dict[str, Any]) -> Iterator[str]:
    """What the provider would get back: of the envelopes, the signatures, ciphertexts and phases."""
    for block in blocks:
        if block["type"] in ("thinking", "redacted_thinking"):
            sealed = block.get("signature") or block.get("data")
            opened = reasoning.unseal(sealed, recording["provider"], model_of(recording))
            assert opened is not None
            for told in (opened, *opened.get("details", [])):
                yield from (told[name] for name in ("signature", "redacted", "encrypted_content", "phase") if told.get(name))


def usage(message: dict[str, Any]) -> dict[str, int]:
    told = message["usage"]
    return {name: told[name] for name in COUNTS} | {
        "thinking_tokens": told.get("output_tokens_details", {}).get("thinking_tokens", 0)
    }


def arguments(block: dict[str, Any]) -> Any:
    """A call's input, or the text of one that was cut off."""
    return block["input"].get("__unparsedToolInput", {}).get("raw", block["input"])


def told(error: ApiError, expected: Error) -> Error:
    """An error as the reading has it: the provider's words are to be among the client's."""
    return Error(error.status, error.type, expected.words if expected.words in error.message else error.message)


def uncut(message: dict[str, Any], folded: dict[str, Any]) -> dict[str, Any]:
    """A message without the calls that are cut off: of their arguments the SDK makes half an object, we none."""
    whole = ["__unparsedToolInput" not in block.get("input", {}) for block in folded["content"]]
    assert len(whole) == len(message["content"])
    return message | {"content": list(itertools.compress(message["content"], whole))}
