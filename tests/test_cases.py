"""The behaviours of every mapping, each a file: cases/<mapping>/<behaviour>.yaml.

The mapping is one of ccproxy's own, or one of tests/mappings, where servers are made up that no real one is like.

    about:   what is shown, in a sentence
    model:   the model upstream, "upstream-model" if left out
    provider: the provider's name, the mapping's if left out
    request: the client's request (a short one where the case is about the answer)
    given:   what the provider answers: `chunks`, `stream` (raw text), `reply`, or `status` with `reply` or `text`;
             `reply` beside `chunks` is the same answer, whole and streamed;
             `broken_json`: a call's arguments are none, which the SDK does not read as Claude Code does
    expect:  body, lost, message, events, error: of body and message only the keys that are listed, each in full,
             of an error the words only where they are listed
             absent: keys that the body must not have
             ordered: keys of the body in which the order of keys counts

`!sealed [provider, model, state]` stands for the signature of a thinking block that ccproxy made.

A failing case prints the function that was generated.
"""

import dataclasses
import functools
import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from engine import Mapping, load_mapping
from engine.gateway.exchange import Exchange
from engine.wire import reasoning, validate
from engine.wire.assembler import fold
from engine.wire.errors import ApiError
from engine.wire.framing import SSE
from tests.grammar import check, sdk_message

FOLDER = Path(__file__).parent / "cases"
MADE_UP = Path(__file__).parent / "mappings"
REQUEST = {"model": "claude-test", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}

Case = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML with `!sealed`."""


_Loader.add_constructor("!sealed", lambda loader, node: reasoning.seal(*loader.construct_sequence(node, deep=True)))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(path: Path) -> None:
    check_case(loaded(path.parent.name), read_case(path))


@functools.cache
def loaded(name: str) -> Mapping:
    return load_mapping(name, [MADE_UP])


def check_case(mapping: Mapping, case: Case, provider: str | None = None) -> None:
    """Hold a mapping to a case, under its own name or another."""
    mapping = dataclasses.replace(mapping, name=provider or case.get("provider", mapping.name))
    given, expect = case.get("given", {}), case["expect"]
    assert set(case) <= {"about", "request", "given", "expect", "model", "provider"}
    assert set(given) <= {"chunks", "stream", "reply", "status", "text", "headers", "broken_json"}
    assert set(expect) <= {"body", "lost", "absent", "ordered", "message", "events", "error"}
    assert case["about"]
    assert expect
    print(mapping.python(_section(given)))
    if "status" in given:
        _check_error(_exchange(mapping, case).refuse(given["status"], _body(given), given.get("headers", {})), expect["error"])
        return
    if "reply" in given:
        _check_reply(mapping, case)
    if "chunks" in given or "stream" in given:
        _check_stream(mapping, case)
    if not given:
        _check_request(mapping, case)


def read_case(path: Path) -> Case:
    case: Case = yaml.load(path.read_text(), _Loader)
    return case


def _section(given: Case) -> str:
    return "error" if "status" in given else "response" if "reply" in given else "stream" if given else "request"


def _exchange(mapping: Mapping, case: Case) -> Exchange:
    request = REQUEST | case.get("request", {})
    validate.check(request)
    return Exchange(mapping.name, mapping, case.get("model", "upstream-model"), request, request_id="req_test")


def _body(given: Case) -> bytes:
    return given["text"].encode() if "text" in given else orjson.dumps(given["reply"])


def _check_request(mapping: Mapping, case: Case) -> None:
    expect = case["expect"]
    try:
        exchange = _exchange(mapping, case)
    except ApiError as error:
        _check_error(error, expect["error"])
        return
    assert "error" not in expect
    _check_keys(exchange.body, expect.get("body", {}))
    assert not set(expect.get("absent", [])) & set(exchange.body)
    for key in expect.get("ordered", []):
        assert orjson.dumps(exchange.body[key]) == orjson.dumps(expect["body"][key])
    if "lost" in expect:
        assert sorted(exchange.lost) == sorted(expect["lost"])
    again = _exchange(mapping, case)
    assert orjson.dumps(again.body) == orjson.dumps(exchange.body), "what differs each time is in no provider's cache"


def _check_error(error: ApiError, expected: Case) -> None:
    told = {"status": error.status, "type": error.type, "message": error.message}
    if error.should_retry is not None:
        told["should_retry"] = error.should_retry
    if error.retry_after is not None:
        told["retry_after"] = error.retry_after
    _check_told(told, expected)


def _check_told(told: Case, expected: Case) -> None:
    assert told["message"]
    assert told == {"message": told["message"]} | expected


def _check_reply(mapping: Mapping, case: Case) -> None:
    exchange, expect = _exchange(mapping, case), case["expect"]
    try:
        message = exchange.answer(case["given"]["reply"])
    except ApiError as error:
        _check_error(error, expect["error"])
        return
    assert "error" not in expect, message
    _check_keys(message, expect["message"])


def _check_stream(mapping: Mapping, case: Case) -> None:
    given, expect = case["given"], case["expect"]
    data = given["stream"].encode() if "stream" in given else _framed(given["chunks"])
    exchange = _exchange(mapping, case)
    events = _in_pieces(exchange, [data])
    if exchange.failure and not events:
        assert not events
        _check_error(exchange.failure, expect["error"])
        return
    check(events, broken_json=given.get("broken_json", False))
    for pieces in (_single_bytes(data), _random_pieces(data)):
        assert _in_pieces(_exchange(mapping, case), pieces) == events
    assert _in_pieces(_exchange(mapping, case), _single_events(data), framed=True) == events
    if "events" in expect:
        assert [event["type"] for event in events] == expect["events"]
    if events[-1]["type"] == "error" or "error" in expect:
        _check_told(events[-1].get("error", {"message": "none"}), expect["error"])
    if "message" in expect:
        message = fold(events)
        _check_keys(message, expect["message"])
        if not given.get("broken_json"):
            assert _said(sdk_message(events)) == _said(message)


def _framed(chunks: list[Any]) -> bytes:
    return b"".join(b"data: " + (chunk.encode() if isinstance(chunk, str) else orjson.dumps(chunk)) + b"\n\n" for chunk in chunks)


def _single_bytes(data: bytes) -> list[bytes]:
    return [data[position : position + 1] for position in range(len(data))]


def _random_pieces(data: bytes) -> list[bytes]:
    """The stream with other line ends and comments, cut anywhere."""
    data = data.replace(b"\n\n", b"\n: a comment\n\n").replace(b"\n", b"\r\n")
    chance = random.Random(len(data))
    cuts = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(20))})
    return [data[start:end] for start, end in pairwise(cuts)]


def _single_events(data: bytes) -> list[bytes]:
    """As they mostly come, and then are read each by the one before."""
    return re.findall(rb".+?(?:\n\n|$)", data, re.DOTALL)


def _in_pieces(exchange: Exchange, pieces: list[bytes], *, framed: bool = False) -> list[Any]:
    events = []
    for piece in pieces:
        events += SSE().feed(exchange.receive_framed(piece)) if framed else exchange.receive(piece)
        if exchange.over:
            break
    assert not exchange.goes_on()  # which is asked first, as the server does
    return events + exchange.finish()


def _said(message: Case) -> Case:
    """What both readings of a stream must agree on: the SDK adds fields of its own, all null."""
    blocks = [
        {key: value for key, value in block.items() if value is not None and key != "parsed_output"}
        for block in message["content"]
    ]
    return {"content": blocks, "stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}


def _check_keys(made: Case, expected: Case) -> None:
    assert {key: made.get(key) for key in expected} == expected
