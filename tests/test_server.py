"""The proxy as a real process, in front of a provider that does as it is told."""

import concurrent.futures
import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.running import proxy, running
from tests.upstreams import Answer, Upstream, chat_stream, scripted, stop_chunk, text_chunk

HELLO = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Upstream]]:
    with scripted() as upstream:
        configuration = f"""
breaker: false
providers:
  told: {{ mapping: openai-chat, base_url: "{upstream.base_url}", api_key: sk-secret, models: [big, vendor/small.1] }}
  nowhere: {{ mapping: openai-chat, base_url: "http://127.0.0.1:1/v1", api_key: none }}
timeouts: {{ connect: 2s, silence: 2s }}
limits: {{ request_bytes: 100000 }}
"""
        with proxy(tmp_path_factory.mktemp("server"), configuration) as address:
            yield address, upstream


@pytest.fixture
def client(server: tuple[str, Upstream]) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server[0], api_key="any", max_retries=0) as made:
        yield made


@pytest.fixture
def upstream(server: tuple[str, Upstream]) -> Upstream:
    upstream = server[1]
    upstream.requests.clear()
    upstream.left.clear()
    return upstream


def ask(server: tuple[str, Upstream], method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """A request without the SDK's help: status, headers, body."""
    connection = http.client.HTTPConnection(server[0].removeprefix("http://"), timeout=20)
    data = body if isinstance(body, bytes | Iterator) else json.dumps(body).encode() if body is not None else None
    with contextlib.closing(connection):
        connection.request(method, path, data, headers or {})
        with connection.getresponse() as answer:
            told = answer.read()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, told


def message(model: str = "told/big", **fields: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 50, "messages": HELLO, **fields}


def test_a_stream(client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answers = [Answer(chat_stream(text_chunk("Hel"), text_chunk("lo"), stop_chunk()))]
    with client.messages.stream(**message(), extra_body={"top_k": 5}) as stream:
        answer = stream.get_final_message()
        headers = stream.response.headers
    assert [block.text for block in answer.content] == ["Hello"]
    assert (answer.model, answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == (
        "told/big",
        "end_turn",
        7,
        3,
    )
    assert headers["x-ccproxy-provider"] == "told"
    assert headers["x-ccproxy-model"] == "big"
    assert headers["x-ccproxy-route"] == "model"
    assert headers["x-ccproxy-dropped"] == "top_k"
    assert float(headers["x-ccproxy-overhead-ms"]) > 0
    assert headers["request-id"].startswith("req_")
    [asked] = upstream.requests
    assert asked["path"] == "/v1/chat/completions"
    assert asked["headers"]["authorization"] == "Bearer sk-secret"
    assert asked["body"]["stream_options"] == {"include_usage": True}


def test_a_whole_answer(client: anthropic.Anthropic, upstream: Upstream) -> None:
    reply = {
        "choices": [{"message": {"content": "Hello"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }
    upstream.answers = [Answer([json.dumps(reply).encode()], content_type="application/json")]
    answer = client.messages.create(**message())
    assert (answer.content[0].text, answer.stop_reason, answer.usage.input_tokens) == ("Hello", "max_tokens", 7)  # type: ignore[union-attr]


def test_no_chunk_is_held_back(client: anthropic.Anthropic, upstream: Upstream) -> None:
    first, *rest = chat_stream(text_chunk("now"), text_chunk(" later"), stop_chunk())
    upstream.answers = [Answer([first, 1.0, *rest])]
    with client.messages.stream(**message()) as stream:
        times = [time.monotonic() for event in stream if event.type == "text"]
    assert times[1] - times[0] > 0.5


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_S21_an_upstream_error_is_a_status_for_a_stream_too(status: int, client: anthropic.Anthropic, upstream: Upstream) -> None:
    told = {"error": {"message": "no, said the provider"}}
    upstream.answers = [
        Answer([json.dumps(told).encode()], status=status, content_type="application/json", headers={"retry-after": "7"})
    ]
    with pytest.raises(anthropic.APIStatusError) as caught, client.messages.stream(**message()):
        pass
    assert caught.value.status_code == {503: 529}.get(status, status)
    assert "told: no, said the provider" in caught.value.message
    if status == 429:
        assert caught.value.response.headers["retry-after"] == "7"


def test_S22_an_error_before_the_first_block_is_a_status(client: anthropic.Anthropic, upstream: Upstream) -> None:
    error = {"error": {"message": "The server is overloaded", "code": 503}}
    upstream.answers = [Answer(chat_stream({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}, error))]
    with pytest.raises(anthropic.APIStatusError) as caught, client.messages.stream(**message()):
        pass
    assert caught.value.status_code == 529


def test_S41_a_whole_answer_in_place_of_a_stream(client: anthropic.Anthropic, upstream: Upstream) -> None:
    told = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}
    upstream.answers = [Answer([json.dumps(told).encode()], content_type="application/json")]
    with client.messages.stream(**message()) as stream:
        answer = stream.get_final_message()
    assert ([block.text for block in answer.content], answer.stop_reason) == (["Hello"], "end_turn")


def test_S41_an_error_in_place_of_a_stream_keeps_its_status(client: anthropic.Anthropic, upstream: Upstream) -> None:
    told = {"error": {"message": "Rate limit reached, slow down", "type": "rate_limit_error", "code": 429}}
    upstream.answers = [Answer([json.dumps(told).encode()], content_type="application/json")]
    with pytest.raises(anthropic.RateLimitError, match="slow down"), client.messages.stream(**message()):
        pass


def test_S20_S38_a_stream_that_breaks_off_ends_in_an_error_and_is_not_asked_for_again(
    server: tuple[str, Upstream], upstream: Upstream
) -> None:
    upstream.answers = [Answer(chat_stream(text_chunk("Hel"), done=False), cut=True)]
    status, _, told = ask(server, "POST", "/v1/messages", message(stream=True))
    assert status == 200
    assert b"event: error\n" in told
    assert b"message_stop" not in told
    assert len(upstream.requests) == 1


def test_a_provider_that_falls_silent_is_given_up(client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answers = [Answer([10.0])]
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**message())
    assert caught.value.status_code == 504
    assert upstream.left.wait(5)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "it answered with success (HTTP 200) and an empty body"),
        (b" \r\n", "it answered with success (HTTP 200) and an empty body"),
        (b"upstream is warming up", "upstream is warming up"),
    ],
)
def test_a_success_without_an_answer(body: bytes, words: str, server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer([body] if body else [], content_type="application/json")]
    status, _, told = ask(server, "POST", "/v1/messages", message())
    assert (status, json.loads(told)["error"]) == (500, {"type": "api_error", "message": f"told: {words}"})


def test_a_provider_that_is_not_there(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.InternalServerError, match=r"nowhere: cannot connect to 127\.0\.0\.1:1"):
        client.messages.create(**message("nowhere/m"))


def test_E05_the_upstream_call_ends_when_the_client_leaves(client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answers = [Answer([*chat_stream(text_chunk("Hel"), done=False), 1.5, *chat_stream(text_chunk("lo"))])]
    with client.messages.stream(**message()) as stream:
        next(event for event in stream if event.type == "text")
    assert upstream.left.wait(1)


def test_E05_the_upstream_call_ends_when_the_client_leaves_before_the_answer(
    server: tuple[str, Upstream], upstream: Upstream
) -> None:
    upstream.answers = [Answer([1.5])]
    connection = http.client.HTTPConnection(server[0].removeprefix("http://"))
    connection.request("POST", "/v1/messages", json.dumps(message()))
    time.sleep(0.3)
    connection.close()
    assert upstream.left.wait(1)


def test_an_enforced_stop_sequence_ends_the_upstream_call(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """Five stop sequences, of which the provider takes four: the fifth is looked for here."""
    upstream.answers = [Answer([*chat_stream(text_chunk("<block>no</bl"), text_chunk("ock> and"), done=False), 1.5])]
    with client.messages.stream(**message(stop_sequences=["a1", "b2", "c3", "d4", "</block>"])) as stream:
        answer = stream.get_final_message()
    assert (answer.content[0].text, answer.stop_reason, answer.stop_sequence) == ("<block>no", "stop_sequence", "</block>")  # type: ignore[union-attr]
    assert upstream.requests[0]["body"]["stop"] == ["a1", "b2", "c3", "d4"]
    assert upstream.left.wait(1)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"messages": []}, "messages:"),
        ({"max_tokens": "many"}, "max_tokens:"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages.0.role:"),
        ({"tools": [{"name": "f"}]}, "tools.0"),
    ],
)
def test_a_request_that_breaks_a_rule(
    broken: dict[str, Any], words: str, server: tuple[str, Upstream], upstream: Upstream
) -> None:
    status, _, told = ask(server, "POST", "/v1/messages", message(**broken))
    error = json.loads(told)
    assert (status, error["type"], error["error"]["type"]) == (400, "error", "invalid_request_error")
    assert error["error"]["message"].startswith(words)
    assert error["request_id"].startswith("req_")
    assert upstream.requests == []


def test_a_body_that_is_no_json_or_too_large(server: tuple[str, Upstream]) -> None:
    status, _, told = ask(server, "POST", "/v1/messages", b"{nonsense")
    assert (status, json.loads(told)["error"]["type"]) == (400, "invalid_request_error")
    status, _, told = ask(server, "POST", "/v1/messages", b" " * 200_000)
    assert (status, json.loads(told)["error"]["type"]) == (413, "request_too_large")


def test_a_body_of_which_nobody_says_how_long_it_is(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer(chat_stream(text_chunk("Hello"), stop_chunk()))]
    body = json.dumps(message(stream=True)).encode()
    status, _, told = ask(server, "POST", "/v1/messages", iter([body[:20], body[20:50], body[50:]]))
    assert (status, b"message_stop" in told) == (200, True)


@pytest.mark.parametrize("path", ["/v1/messages?beta=true", "/v1/v1/messages", "/v1/messages/"])
def test_R26_paths_that_clients_use(path: str, server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer(chat_stream(text_chunk("Hello"), stop_chunk()))]
    status, headers, told = ask(server, "POST", path, message(stream=True))
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert told.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


def test_R26_probes_and_what_is_not_there(server: tuple[str, Upstream]) -> None:
    assert [ask(server, "HEAD", path)[0] for path in ("/", "/api/hello")] == [200, 200]
    for method, path, allowed in (
        ("GET", "/v1/messages", "POST"),
        ("POST", "/status", "GET, HEAD"),
        ("DELETE", "/v1/models/m", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("GET", "/api/hello", "HEAD"),
        ("HEAD", "/reload", "POST"),
    ):
        status, headers, _ = ask(server, method, path)
        assert (status, headers["allow"]) == (405, allowed)
    status, _, told = ask(server, "POST", "/api/event_logging/batch", {})
    assert (status, json.loads(told)["error"]["type"]) == (404, "not_found_error")


def test_head_is_answered_wherever_get_is(server: tuple[str, Upstream]) -> None:
    """And so is the next request of the connection."""
    with contextlib.closing(http.client.HTTPConnection(server[0].removeprefix("http://"), timeout=10)) as connection:

        def head(method: str, path: str, **headers: str) -> tuple[int, str | None, bool]:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers["content-type"], bool(answer.read())

        for path in ("/health", "/ready", "/status", "/metrics", "/providers", "/v1/models", "/v1/models/no-such-model"):
            status, kind, _ = head("GET", path)
            assert head("HEAD", path, accept="text/event-stream") == (status, kind, False)


def test_R25_the_window_suffix_is_no_part_of_a_name(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer(chat_stream(text_chunk("Hello"), stop_chunk()))]
    ask(server, "POST", "/v1/messages", message("told/big[1M][1m]", stream=True))
    assert upstream.requests[0]["body"]["model"] == "big"


def test_model_names_keep_their_slashes_and_others_go_to_the_first_provider(
    server: tuple[str, Upstream], upstream: Upstream
) -> None:
    upstream.answers = [Answer(chat_stream(text_chunk("Hello"), stop_chunk()))]
    for model in ("told/vendor/small.1", "told,vendor/small.1", "claude-opus-5-5", "vendor/small.1"):
        status, headers, _ = ask(server, "POST", "/v1/messages", message(model, stream=True))
        assert (status, headers["x-ccproxy-provider"]) == (200, "told")
    assert [asked["body"]["model"] for asked in upstream.requests] == ["vendor/small.1", "vendor/small.1", "big", "big"]


def test_max_tokens_0_is_answered_here(client: anthropic.Anthropic, upstream: Upstream) -> None:
    answer = client.messages.create(**message() | {"max_tokens": 0})
    assert (answer.content, answer.stop_reason) == ([], "max_tokens")
    assert upstream.requests == []


def test_E03_tokens_are_counted(client: anthropic.Anthropic, upstream: Upstream) -> None:
    short = client.messages.count_tokens(model="told/big", messages=HELLO)
    long = client.messages.count_tokens(model="told/big", messages=[{"role": "user", "content": "one two three four " * 50}])
    assert 1 < short.input_tokens < 20
    assert 180 < long.input_tokens - short.input_tokens < 260
    assert upstream.requests == []


def test_E04_every_model_is_listed_by_an_id_that_claude_code_shows(
    server: tuple[str, Upstream], client: anthropic.Anthropic
) -> None:
    listed = client.models.list(limit=1000).data
    assert [model.id for model in listed] == ["for-claude-code/told/big", "for-claude-code/told/vendor/small.1"]
    assert client.models.retrieve("told/big").display_name == "told/big"
    assert ask(server, "GET", "/v1/models/for-claude-code/told/vendor/small.1")[0] == 200
    assert ask(server, "GET", "/v1/models/nope")[0] == 404


def test_a_listed_id_is_a_way_to_ask(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer(chat_stream(text_chunk("Hello"), stop_chunk()))]
    ask(server, "POST", "/v1/messages", message("for-claude-code/told/big", stream=True))
    assert upstream.requests[0]["body"]["model"] == "big"


@pytest.mark.parametrize("header", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
def test_a_web_page_cannot_drive_the_proxy(header: dict[str, str], server: tuple[str, Upstream], upstream: Upstream) -> None:
    status, _, told = ask(server, "POST", "/v1/messages", message(), header)
    assert (status, json.loads(told)["error"]["type"]) == (403, "permission_error")
    assert upstream.requests == []


def test_health_and_readiness(server: tuple[str, Upstream]) -> None:
    status, _, told = ask(server, "GET", "/health")
    assert (status, json.loads(told)["status"], list(json.loads(told)["providers"])) == (200, "ok", ["told", "nowhere"])
    assert ask(server, "GET", "/ready")[0] == 200


def test_streams_at_once_are_not_mixed(server: tuple[str, Upstream], upstream: Upstream) -> None:
    """Each stream carries a mark of its own; they overlap for half a second."""
    marks = [f"mark-{number}" for number in range(40)]
    upstream.answers = [Answer([*chat_stream(text_chunk(mark), done=False), 0.5, *chat_stream(stop_chunk())]) for mark in marks]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: ask(server, "POST", "/v1/messages", message(stream=True)), marks))
    told = [answer[2].decode() for answer in answers]
    assert sorted(mark for mark in marks for text in told if f'"{mark}"' in text) == sorted(marks)
    assert all(text.count("text_delta") == 1 and "message_stop" in text for text in told)


def test_a_key_is_asked_for_where_one_is_set(tmp_path: Path) -> None:
    with proxy(
        tmp_path, "api_key: open-sesame\nproviders: { p: { mapping: openai-chat, api_key: none, models: [m] } }\n"
    ) as address:
        place = (address, Upstream())
        assert ask(place, "GET", "/v1/models")[0] == 401
        assert ask(place, "GET", "/v1/models", headers={"x-api-key": "open-sesam"})[0] == 401
        assert ask(place, "GET", "/v1/models", headers={"x-api-key": "open-sesame"})[0] == 200
        assert ask(place, "GET", "/v1/models", headers={"authorization": "Bearer open-sesame"})[0] == 200
        status, _, told = ask(place, "GET", "/health")
        assert (status, json.loads(told)) == (200, {"status": "ok"})


def test_S24_pings_come_in_silence(tmp_path: Path, upstream: Upstream, server: tuple[str, Upstream]) -> None:
    """A provider that thinks for longer than the time after which a client is told that all is well."""
    configuration = f"providers: {{ told: {{ mapping: openai-chat, base_url: '{upstream.base_url}', api_key: none }} }}\n"
    upstream.answers = [Answer([11.0, *chat_stream(text_chunk("Hello"), stop_chunk())])]
    with proxy(tmp_path, configuration) as address:
        status, _, told = ask((address, upstream), "POST", "/v1/messages", message(stream=True))
    assert status == 200
    assert told.startswith(b'event: ping\ndata: {"type":"ping"}\n\nevent: message_start\n')
    assert told.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


def test_two_workers_serve_the_same(tmp_path: Path, upstream: Upstream) -> None:
    configuration = (
        f"providers: {{ told: {{ mapping: openai-chat, base_url: '{upstream.base_url}', api_key: none, models: [m] }} }}\n"
    )
    upstream.answers = [Answer(chat_stream(text_chunk("Hello"), stop_chunk()))]
    with proxy(tmp_path, configuration, "--workers", "2") as address:
        for _ in range(6):
            status, headers, told = ask((address, upstream), "POST", "/v1/messages", message("any", stream=True))
            assert (status, headers["x-ccproxy-model"]) == (200, "m")
            assert b"Hello" in told


# Found by a review, each with the answer that it now has


def whole(reply: Any, status: int = 200, **fields: Any) -> Answer:
    data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return Answer([data], status=status, content_type="application/json", **fields)


def said(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("stream", [True, False])
def test_half_an_emoji_is_no_reason_to_lose_an_answer(stream: bool, server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer(chat_stream(text_chunk("a\ud83d"), stop_chunk())) if stream else whole(said("a\ud83d"))]
    status, _, told = ask(server, "POST", "/v1/messages", message(stream=stream))
    assert status == 200
    assert b'"a\\ud83d"' in told


def test_half_an_emoji_in_an_error(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [whole({"error": {"message": "no \ud83d"}}, 400)]
    status, _, told = ask(server, "POST", "/v1/messages", message())
    assert (status, json.loads(told)["error"]["message"]) == (400, "told: no \ud83d")


def test_done_ends_the_answer_whatever_the_connection_does(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer([*chat_stream(text_chunk("Hello"), stop_chunk()), 5.0])]
    began = time.monotonic()
    status, _, told = ask(server, "POST", "/v1/messages", message(stream=True))
    assert (status, told.endswith(b'{"type":"message_stop"}\n\n'), b"error" in told) == (200, True, False)
    assert time.monotonic() - began < 1.5


def test_a_key_that_a_provider_quotes_is_not_passed_on(server: tuple[str, Upstream], upstream: Upstream) -> None:
    for answer in (whole({"error": {"message": "sk-secret is wrong"}}, 401), whole(b"sk-secret is wrong")):
        for stream in (True, False):
            upstream.answers = [answer]
            _, _, told = ask(server, "POST", "/v1/messages", message(stream=stream))
            assert b"[key] is wrong" in told
            assert b"sk-secret" not in told


@pytest.mark.parametrize("stream", [True, False])
def test_a_redirect_is_told_as_what_it_is(stream: bool, server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [Answer([b"moved"], status=307, headers={"location": "https://elsewhere.example/v1"})]
    status, headers, told = ask(server, "POST", "/v1/messages", message(stream=stream))
    assert (status, headers["x-should-retry"]) == (400, "false")
    assert b"redirects to https://elsewhere.example/v1 (HTTP 307); check its base_url" in told


@pytest.mark.parametrize("header", [{"host": "["}, {"origin": "http://["}, {"host": "127.0.0.1", "origin": "null"}])
def test_a_host_that_is_none(header: dict[str, str], server: tuple[str, Upstream]) -> None:
    status, headers, told = ask(server, "POST", "/v1/messages", message(), header)
    assert (status, json.loads(told)["error"]["type"]) == (403, "permission_error")
    assert json.loads(told)["request_id"] == headers["request-id"] != "req_none"


def test_max_tokens_0_as_a_stream(server: tuple[str, Upstream]) -> None:
    _, headers, told = ask(server, "POST", "/v1/messages", message(stream=True) | {"max_tokens": 0})
    assert headers["content-type"].startswith("text/event-stream")
    assert told.startswith(b"event: message_start\n")


def test_headers_stay_headers_whatever_is_named_in_them(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [whole({"error": {"message": "slow"}}, 429, headers={"retry-after": "3"})]
    fields = {f"unknown_{number}": 1 for number in range(500)}
    status, headers, _ = ask(server, "POST", "/v1/messages", message("told/" + "m" * 20_000, **fields))
    assert status == 429
    assert all(len(value) <= 1_000 for value in headers.values())


def test_a_schema_that_makes_no_sense_is_passed_on(server: tuple[str, Upstream], upstream: Upstream) -> None:
    upstream.answers = [whole(said("ok"))]
    schema = {"type": "object", "required": 5, "properties": {"a": 5}}
    form = {"format": {"type": "json_schema", "schema": schema}}
    assert ask(server, "POST", "/v1/messages", message(output_config=form))[0] == 200


def test_an_error_in_a_shape_that_nobody_knows_is_no_overflow(server: tuple[str, Upstream], upstream: Upstream) -> None:
    for reply in ({"error": 5}, {"error": {"message": {"a": 1}}}, [1, 2]):
        upstream.answers = [whole(reply, 400)]
        status, _, told = ask(server, "POST", "/v1/messages", message())
        assert status == 400
        assert b"prompt is too long" not in told


def test_a_counter_that_fails_is_done_without(tmp_path: Path, upstream: Upstream) -> None:
    configuration = f"providers: {{ there: {{ mapping: llamacpp, base_url: '{upstream.base_url}', models: [m] }} }}\n"
    with proxy(tmp_path, configuration) as address:
        for answer in (whole(b"not JSON"), whole({"input_tokens": True}), whole({}, 500)):
            upstream.answers = [answer]
            place = (address, upstream)
            status, _, told = ask(place, "POST", "/v1/messages/count_tokens", {"model": "m", "messages": HELLO})
            assert status == 200
            assert 1 < json.loads(told)["input_tokens"] < 30
        upstream.answers = [Answer([5.0])]
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        connection.request("POST", "/v1/messages/count_tokens", json.dumps({"model": "m", "messages": HELLO}))
        time.sleep(0.3)
        connection.close()
        assert upstream.left.wait(2)


def test_a_netrc_is_not_read(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / ".netrc").write_text("default login someone password hunter2\n")
    (tmp_path / ".netrc").chmod(0o600)
    configuration = (
        f"providers: {{ told: {{ mapping: openai-chat, base_url: '{upstream.base_url}', api_key: k1, models: [m] }} }}\n"
    )
    upstream.answers = [whole(said("ok"))]
    with proxy(tmp_path, configuration) as address:
        assert ask((address, upstream), "POST", "/v1/messages", message("any"))[0] == 200
    assert upstream.requests[-1]["headers"]["authorization"] == "Bearer k1"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_waits_for_running_answers_and_for_no_others(workers: str, tmp_path: Path, upstream: Upstream) -> None:
    """An answer that takes two seconds more is finished."""
    configuration = (
        f"providers: {{ told: {{ mapping: openai-chat, base_url: '{upstream.base_url}', api_key: none, models: [m] }} }}\n"
    )
    upstream.answers = [Answer([*chat_stream(text_chunk("Hel"), done=False), 2.0, *chat_stream(text_chunk("lo"), stop_chunk())])]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with proxy(tmp_path, configuration, "--workers", workers) as address:
            answer = pool.submit(ask, (address, upstream), "POST", "/v1/messages", message("any", stream=True))
            time.sleep(0.7)
        assert answer.result()[2].endswith(b'{"type":"message_stop"}\n\n')


def test_the_environments_proxy_is_for_the_world_outside(tmp_path: Path, upstream: Upstream) -> None:
    """The scripted server stands for the HTTP proxy, which is asked for the whole address."""
    configuration = f"""
providers:
  far: {{ mapping: openai-chat, base_url: "http://far.example/v1", api_key: k }}
  near: {{ mapping: openai-chat, base_url: "{upstream.base_url}", api_key: k }}
"""
    upstream.answers = [whole(said("ok"))]
    environment = {"http_proxy": upstream.base_url.removesuffix("/v1")}
    with proxy(tmp_path, configuration, environment=environment) as address:
        for model in ("far/m", "near/m"):
            assert ask((address, upstream), "POST", "/v1/messages", message(model))[0] == 200
    asked = [request["path"] for request in upstream.requests]
    assert asked == ["http://far.example/v1/chat/completions", "/v1/chat/completions"]


@pytest.mark.parametrize("stream", [False, True])
def test_told_to_stop_again_it_stops_at_once_and_says_so(stream: bool, tmp_path: Path, upstream: Upstream) -> None:
    configuration = (
        f"providers: {{ told: {{ mapping: openai-chat, base_url: '{upstream.base_url}', api_key: none, models: [m] }} }}\n"
    )
    upstream.answers = [Answer([*chat_stream(text_chunk("Hel"), done=False), 1.9, 1.9, 1.9, 1.9])]
    with concurrent.futures.ThreadPoolExecutor() as pool, running(tmp_path, configuration) as (address, process):
        answer = pool.submit(ask, (address, upstream), "POST", "/v1/messages", message("any", stream=stream))
        time.sleep(0.7)
        process.terminate()
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        assert process.wait(3) == 0
    status, headers, told = answer.result()
    if stream:
        assert status == 200
        assert b"event: message_start" in told
        told = told.rpartition(b"data: ")[2]
    else:
        assert (status, headers["retry-after"]) == (529, "1")
    error = json.loads(told)["error"]
    assert error["type"] == "overloaded_error"
    assert "is being stopped" in error["message"]
