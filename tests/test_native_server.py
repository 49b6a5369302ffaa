"""The proxy as a real process in front of a provider that speaks Anthropic's own format."""

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.running import proxy
from tests.upstreams import Answer, Upstream, scripted

HELLO: list[Any] = [{"role": "user", "content": "hi"}]
MODEL = "claude/claude-opus-5-5"
BETAS = "interleaved-thinking-2025-05-14,a-beta-of-next-year-2027-01-01"


def events(*told: dict[str, Any]) -> list[bytes | float]:
    """As Anthropic frames them, with the white space that it puts at their end."""
    return [f"event: {event['type']}\ndata: {json.dumps(event)}      \n\n".encode() for event in told]


def start(**fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 7, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": []}
    return {"type": "message_start", "message": message | {"stop_reason": None, "stop_sequence": None, "usage": usage} | fields}


def words(text: str) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
    ]


END: list[dict[str, Any]] = [
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]
MESSAGE = start()["message"] | {"content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"}


def whole(reply: Any, status: int = 200, **options: Any) -> Answer:
    data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return Answer([data], status=status, content_type="application/json", **options)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Upstream]]:
    with scripted() as upstream:
        told = f"mapping: anthropic, base_url: '{upstream.base_url}', api_key: sk-ours"
        configuration = f"breaker: false\nproviders: {{ claude: {{ {told} }} }}\n"
        with proxy(tmp_path_factory.mktemp("server"), configuration) as address:
            yield address, upstream


@pytest.fixture
def client(server: tuple[str, Upstream]) -> Iterator[anthropic.Anthropic]:
    headers = {"anthropic-beta": BETAS, "x-claude-code-session-id": "s-1", "x-app": "cli"}
    with anthropic.Anthropic(base_url=server[0], api_key="sk-theirs", max_retries=0, default_headers=headers) as made:
        yield made


@pytest.fixture
def upstream(server: tuple[str, Upstream]) -> Upstream:
    upstream = server[1]
    upstream.requests.clear()
    upstream.left.clear()
    return upstream


def ask(address: str, body: dict[str, Any], path: str = "/v1/messages?beta=true") -> tuple[int, dict[str, str], bytes]:
    """A request without the SDK's help: status, headers, body."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps({"model": MODEL, "max_tokens": 50, "messages": HELLO} | body))
        with connection.getresponse() as answer:
            told = answer.read()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, told


def test_a_stream(client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answers = [Answer(events(start(), {"type": "ping"}, *words("Hello"), *END))]
    asked = {"context_management": {"edits": []}, "a_field_of_next_year": [1.5, "é"]}
    with client.messages.stream(model=MODEL, max_tokens=50, messages=HELLO, extra_body=asked) as stream:
        answer = stream.get_final_message()
        headers = stream.response.headers
    assert [block.text for block in answer.content if block.type == "text"] == ["Hello"]
    assert (answer.model, answer.id, answer.usage.input_tokens, answer.usage.output_tokens) == (MODEL, "msg_1", 7, 3)
    assert headers["x-ccproxy-provider"] == "claude"
    assert "x-ccproxy-dropped" not in headers
    [sent] = upstream.requests
    assert sent["path"] == "/v1/messages"
    assert sent["body"] == {"model": "claude-opus-5-5", "max_tokens": 50, "messages": HELLO, "stream": True} | asked


def test_a_whole_answer(client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answers = [whole(MESSAGE | {"a_field_of_next_year": {"x": 1}})]
    answer = client.messages.create(model=MODEL, max_tokens=50, messages=HELLO)
    assert answer.to_dict() == MESSAGE | {"model": MODEL, "a_field_of_next_year": {"x": 1}}


def test_headers_go_on_and_the_key_is_ours(client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answers = [whole(MESSAGE)]
    client.messages.create(model=MODEL, max_tokens=50, messages=HELLO)
    headers = upstream.requests[0]["headers"]
    assert headers["anthropic-beta"] == BETAS
    assert headers["anthropic-version"] == "2026-10-21"
    assert headers["x-claude-code-session-id"] == "s-1"
    assert headers["x-api-key"] == "sk-ours"
    assert "sk-theirs" not in json.dumps(headers)
    assert "x-app" not in headers


@pytest.mark.parametrize("stream", [True, False])
def test_limits_come_back(stream: bool, server: tuple[str, Upstream], upstream: Upstream) -> None:
    limits = {"anthropic-ratelimit-tokens-remaining": "12000", "anthropic-ratelimit-tokens-reset": "2026-11-22T10:00:00Z"}
    told = limits | {"anthropic-organization-id": "org-1", "cf-ray": "abc"}
    upstream.answers = [Answer(events(start(), *words("Hi"), *END), headers=told) if stream else whole(MESSAGE, headers=told)]
    status, headers, _ = ask(server[0], {"stream": stream})
    assert status == 200
    assert limits.items() <= headers.items()
    assert not {"anthropic-organization-id", "cf-ray"} & headers.keys()


def test_tokens_are_counted_there(client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answers = [whole({"input_tokens": 4711})]
    assert client.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens == 4711
    [sent] = upstream.requests
    assert (sent["path"], sent["body"]) == ("/v1/messages/count_tokens", {"model": "claude-opus-5-5", "messages": HELLO})
    assert sent["headers"]["x-api-key"] == "sk-ours"
    assert sent["headers"]["anthropic-beta"] == BETAS


def test_E03_tokens_are_estimated_where_they_cannot_be_counted(client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answers = [whole({"type": "error", "error": {"type": "not_found_error", "message": "no"}}, status=404)]
    assert 0 < client.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens < 20


@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_in_anthropics_form_comes_as_it_is(stream: bool, server: tuple[str, Upstream], upstream: Upstream) -> None:
    refusal = (
        b'{ "type":"error", "error":{"type":"invalid_request_error","details":{"x":1},'
        b'"message":"prompt is too long: 215000 tokens > 200000 maximum"}, "request_id":"req_theirs" }'
    )
    upstream.answers = [whole(refusal, status=400, headers={"x-should-retry": "false"})]
    status, headers, told = ask(server[0], {"stream": stream})
    assert (status, told) == (400, refusal)
    assert headers["x-should-retry"] == "false"
    assert len(upstream.requests) == 1


def test_E02_any_other_refusal_is_told_in_anthropics_words(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer([b"<html><title>403 Forbidden</title></html>"], status=403, content_type="text/html")]
    status, headers, told = ask(server[0], {"stream": True})
    error = json.loads(told)
    assert (status, error["type"], error["error"]["type"]) == (403, "error", "permission_error")
    assert "403 Forbidden" in error["error"]["message"]
    assert error["request_id"] == headers["request-id"]


def test_S20_a_stream_that_breaks_off_ends_in_an_error(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer([*events(start(), *words("Hel")), b'event: content_block_delta\ndata: {"ty'], cut=True)]
    status, _, told = ask(server[0], {"stream": True})
    assert status == 200
    last = told.decode().rstrip("\n").split("\n\n")[-1]
    assert last.startswith('event: error\ndata: {"type":"error","error":{"type":"api_error"')
    assert b'{"ty' + b"\n" not in told
    assert b"message_stop" not in told


def test_S20_a_stream_that_never_begins_is_a_status(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer([b": connected\n\n"])]
    status, _, told = ask(server[0], {"stream": True})
    assert (status, json.loads(told)["error"]["type"]) == (500, "api_error")


def test_an_error_event_comes_as_it_is(server: tuple[str, Upstream], upstream: Upstream) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_theirs"}
    told_there = events(start(), *words("Hel"), error)
    upstream.answers = [Answer(told_there)]
    _, _, told = ask(server[0], {"stream": True})
    assert told.endswith(told_there[-1])  # type: ignore[arg-type]


def test_E05_the_provider_stops_when_the_client_leaves(client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answers = [Answer([*events(start(), *words("Hel")), 3.0, *events(*END)])]
    with client.messages.stream(model=MODEL, max_tokens=50, messages=HELLO) as stream:
        next(event for event in stream if event.type == "text")
    assert upstream.left.wait(2)


def test_no_event_is_held_back(client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answers = [Answer([*events(start(), *words("now")), 1.0, *events(words(" later")[1], *END)])]
    with client.messages.stream(model=MODEL, max_tokens=50, messages=HELLO) as stream:
        times = [time.monotonic() for event in stream if event.type == "text"]
    assert times[1] - times[0] > 0.5


def test_the_answer_ends_with_its_last_event_though_the_provider_stays(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer([*events(start(), *words("Hi"), *END), 6.0])]
    began = time.monotonic()
    _, _, told = ask(server[0], {"stream": True})
    assert b"event: message_stop" in told
    assert time.monotonic() - began < 4


def test_S41_an_answer_that_is_no_stream(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [whole(MESSAGE)]
    status, headers, told = ask(server[0], {"stream": True})
    assert (status, headers["content-type"], json.loads(told)) == (200, "application/json", MESSAGE | {"model": MODEL})


def test_S24_pings_come_between_events(tmp_path: Path, upstream: Upstream) -> None:
    """Half an event, then silence for longer than a client is left without a word."""
    sent = b"".join(piece for piece in events(start(), *words("Hello"), *END) if isinstance(piece, bytes))
    middle = sent.index(b"Hello") + 2
    upstream.answers = [Answer([sent[:middle], 11.0, sent[middle:]])]
    configuration = f"providers: {{ claude: {{ mapping: anthropic, base_url: '{upstream.base_url}', api_key: none }} }}\n"
    with proxy(tmp_path, configuration) as address:
        status, _, told = ask(address, {"stream": True})
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'
    assert status == 200
    assert told.count(ping) == 1
    assert told.replace(ping, b"") == sent.replace(b'"claude-opus-5-5"', json.dumps(MODEL).encode())
    assert told.index(ping) + len(ping) == told.index(b"event: content_block_delta")
