"""What the pieces of a request's journey cost, each by itself, so that a profile leads somewhere."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from bench import bodies
from bench.answers import FORMATS, TEXT
from engine import Mapping, load_mapping
from engine.gateway.exchange import Exchange
from engine.wire import framing, history, jsontext, schema, tokens, validate
from engine.wire.assembler import Assembler, fold
from tests.selecting import selection

CHAT, RESPONSES, GEMINI = FORMATS.values()
STREAMS = {"openai-chat": CHAT, "openai": RESPONSES, "gemini": GEMINI}
REQUESTS = {"small": bodies.small(), "300 KB": bodies.session(), "200 turns": bodies.turns(), "1 MB of images": bodies.images()}

loaded: Callable[[str], Mapping] = cache(load_mapping)

large = pytest.mark.parametrize("name", REQUESTS)
each_format = pytest.mark.parametrize("name", STREAMS)


def chunks(name: str) -> list[Any]:
    return framing.SSE().feed(b"".join(STREAMS[name].stream))


def deltas(name: str) -> list[dict[str, Any]]:
    stream = loaded(name).stream
    return [delta for chunk in chunks(name) for delta in stream(chunk, "m")]


def events(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assembler = Assembler("m", message_id="msg_1")
    return [event for delta in said for event in assembler.feed(delta)] + assembler.end(clean=True)


def prepared(name: str) -> history.Prepared:
    return history.prepare(REQUESTS[name], loaded("openai-chat").facts, provider="p", model="m")


def exchange(request: dict[str, Any], mapping: str = "openai-chat") -> Exchange:
    return Exchange("p", loaded(mapping), "m", request, request_id="req_1")


# The way there


@large
@pytest.mark.benchmark(group="reading the client's JSON")
def test_reading(benchmark: Any, name: str) -> None:
    assert benchmark(jsontext.loads, json.dumps(REQUESTS[name])) == REQUESTS[name]


@large
@pytest.mark.benchmark(group="validate: whether a request is one")
def test_validate(benchmark: Any, name: str) -> None:
    assert benchmark(validate.check, REQUESTS[name]) is None


@large
@pytest.mark.benchmark(group="history: a request, repaired")
def test_history(benchmark: Any, name: str) -> None:
    made = benchmark(history.prepare, REQUESTS[name], loaded("openai-chat").facts, provider="p", model="m")
    assert len(made.tool_ids) == json.dumps(REQUESTS[name]).count('"tool_use"')


@large
@pytest.mark.benchmark(group="section: what OpenAI Chat is asked")
def test_request_section(benchmark: Any, name: str) -> None:
    made = benchmark(loaded("openai-chat").request, prepared(name).request, "m")
    assert len(made["messages"]) > len(REQUESTS[name]["messages"])


@pytest.mark.benchmark(group="schema: 60 tools, cleaned")
@pytest.mark.parametrize("mapping", ["openai-chat", "gemini"])
def test_schema(benchmark: Any, mapping: str) -> None:
    given, rules = [tool["input_schema"] for tool in bodies.session()["tools"]], loaded(mapping).facts.schema
    cleaned = benchmark(lambda: [schema.clean(one, rules) for one in given])
    assert rules
    assert len(cleaned) == 60


@large
@pytest.mark.benchmark(group="tokens: counted by what the bytes are")
def test_estimate(benchmark: Any, name: str) -> None:
    assert benchmark(tokens.estimate, REQUESTS[name]) > 5


@large
@pytest.mark.benchmark(group="tokens: counted by the vocabulary")
def test_count(benchmark: Any, name: str) -> None:
    tokens.count(REQUESTS[name], "o200k")  # which loads it
    assert benchmark(tokens.count, REQUESTS[name], "o200k") > 5


@large
@pytest.mark.benchmark(group="the whole way there, but for the network")
def test_the_way_there(benchmark: Any, name: str) -> None:
    body = benchmark(lambda: jsontext.dumps(exchange(REQUESTS[name]).body))
    assert jsontext.loads(body)["model"] == "m"


# The way back


@pytest.mark.benchmark(group="selector: of 100 chunks")
@pytest.mark.parametrize("text", ["choices[0].delta.content", "choices[?index == `0`] | [0].delta.content || ''"])
def test_selector(benchmark: Any, text: str) -> None:
    select, given = selection(text), chunks("openai-chat")
    found = benchmark(lambda: [select(chunk) for chunk in given])
    assert "".join(piece or "" for piece in found) == TEXT


@each_format
@pytest.mark.benchmark(group="framing: 100 chunks, read")
def test_framing(benchmark: Any, name: str) -> None:
    data = b"".join(STREAMS[name].stream)
    assert len(benchmark(lambda: framing.SSE().feed(data))) >= len(STREAMS[name].stream) - 1


@each_format
@pytest.mark.benchmark(group="section: 100 chunks to deltas")
def test_stream_section(benchmark: Any, name: str) -> None:
    stream, given = loaded(name).stream, chunks(name)
    assert benchmark(lambda: [delta for chunk in given for delta in stream(chunk, "m")]) == deltas(name)


@each_format
@pytest.mark.benchmark(group="assembler: the deltas of 100 chunks to events")
def test_assembler(benchmark: Any, name: str) -> None:
    assert fold(benchmark(events, deltas(name)))["content"] == [{"type": "text", "text": TEXT}]


@pytest.mark.benchmark(group="framing: the events of 100 chunks, written")
def test_encode(benchmark: Any) -> None:
    given = events(deltas("openai-chat"))
    assert benchmark(framing.encode, given).count(b"\n\n") == len(given)


def way_back(mapping: str, cut: Callable[[list[bytes]], Iterator[bytes]]) -> bytes:
    made = exchange(bodies.small(stream=True), mapping)
    told = [framing.encode(made.receive(data)) for data in cut(STREAMS[mapping].stream)]
    return b"".join([*told, framing.encode(made.finish())])


@each_format
@pytest.mark.parametrize("burst", [True, False], ids=["in one burst", "one by one"])
@pytest.mark.benchmark(group="the whole way back of 100 chunks, but for the network")
def test_the_way_back(benchmark: Any, name: str, burst: bool) -> None:
    cut = (lambda stream: iter([b"".join(stream)])) if burst else iter
    assert b"message_stop" in benchmark(way_back, name, cut)
