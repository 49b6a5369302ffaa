"""Recorded traffic of 31 providers: what the proxy makes of it says what a plain reading of it says.

The recordings lie beside the repository (../shared/corpus) and are not part of it; `docs/corpus.md` tells what they are.
"""

import functools
import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from engine import Mapping, load_mapping
from engine.gateway import exchange as gateway
from engine.gateway.exchange import Exchange
from engine.wire.assembler import fold
from engine.wire.errors import ApiError
from tests.corpus_table import CORPUS, column, recordings, table
from tests.grammar import check, sdk_message
from tests.reading import Call, Error, Reading, read

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
    assert said(message, reading) == reading


@files("stream")
def test_a_stream_says_what_it_reads(file: str) -> None:
    recording, exchange = load(file)
    reading = read(recording)
    events = feed(exchange, [recording["response_raw"].encode()])
    check(events)
    if reading.error:
        error = events.pop()["error"]
        assert (error["type"], reading.error.words in error["message"]) == (reading.error.type, True)
    message = fold(events)
    assert said(message, reading) == reading
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
    dice = random.Random(file)
    ways = [cut(form.encode(), dice, most) for form in (text, windows, commented) for most in (20, 2_000)]
    if len(text) < SHORT:
        ways += [cut(form.encode(), dice, 1) for form in (text, windows)]
    for pieces in ways:
        assert feed(load(file)[1], pieces) == expected


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
    _, events = answer(exchange, recording["response"])
    check(events)


def test_the_table_of_recordings_is_current() -> None:
    if os.environ.get("UPDATE_CASES"):
        DOCUMENT.write_text(table())
    assert DOCUMENT.read_text() == table()


# The proxy's side


@functools.cache
def mapping_for(provider: str) -> Mapping:
    return load_mapping("openai-chat")


def load(file: str) -> tuple[dict[str, Any], Exchange]:
    """A recording, and the exchange that a client of the proxy would have had in its place."""
    recording = json.loads((CORPUS / file).read_text())
    request = {
        "model": "claude-test",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": recording["stream"],
    }
    provider, model = recording["provider"], recording["model"] or "some-model"
    return recording, Exchange(provider, mapping_for(provider), model, request, request_id="req_test")


def answer(exchange: Exchange, reply: dict[str, Any]) -> tuple[dict[str, Any], list[Event]]:
    """The message of a whole answer, and the events that it was folded from."""
    with mock.patch.object(gateway, "fold", wraps=fold) as folded:
        message = exchange.answer(reply)
    return message, list(folded.call_args.args[0])


def feed(exchange: Exchange, pieces: list[bytes]) -> list[Event]:
    return [event for piece in pieces for event in exchange.receive(piece)] + exchange.finish()


def cut(data: bytes, dice: random.Random, most: int) -> list[bytes]:
    def pieces() -> Iterator[bytes]:
        start = 0
        while start < len(data):
            end = start + dice.randint(1, most)
            yield data[start:end]
            start = end

    return list(pieces())


# What it says, in the reading's words


def said(message: dict[str, Any], reading: Reading) -> Reading:
    """A message as a reading. Of what the recording does not tell, nothing is claimed."""
    blocks = message["content"]
    # A thinking block may hold a signature and nothing to be read.
    kinds = [block["type"] for block in blocks if block.get("thinking") != "" and block["type"] != "redacted_thinking"]
    return Reading(
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        reasoning="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        calls=[Call(block["name"], arguments(block)) for block in blocks if block["type"] == "tool_use"],
        order=[kind for kind, _ in itertools.groupby(kinds)],
        refusal=(message.get("stop_details") or {}).get("explanation") or "",
        stop=message["stop_reason"],
        usage=usage(message) if reading.usage else None,
        error=reading.error,
    )


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
