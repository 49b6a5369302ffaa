"""What the server tells of itself, and what guards it, on the real route: through a socket, in a process of its own."""

import asyncio
import concurrent.futures
import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.gateway.answer import Answer as ToClient
from engine.gateway.metrics import Call
from engine.gateway.settings import Config, ProviderConfig
from server import Application
from tests.providers import CLOSE, RESET, Part, Provider, on_both_loops
from tests.running import proxy, running
from tests.upstreams import Answer, Upstream, chat_stream, scripted, stop_chunk, text_chunk

SESSION = "5e55-10"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with scripted() as made:
        yield made


def ask(
    address: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    """A request's status, headers and body, which is JSON where it can be."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, json.dumps(body) if body else None, headers or {})
        answer = connection.getresponse()
        data = answer.read().decode()
        told = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, told, json.loads(data) if "json" in told.get("content-type", "") else data


def send(address: str, model: str = "told/gpt-6.1-sol", key: str = "", **more: Any) -> tuple[int, dict[str, str], Any]:
    request = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": True, **more}
    return ask(address, "POST", "/v1/messages", request, {"x-api-key": key, "x-claude-code-session-id": SESSION})


def told_by(upstream: Upstream, more: str = "") -> str:
    """A provider with OpenAI's prices, and one that fails."""
    return f"""
providers:
  told: {{ mapping: openai-chat, base_url: "{upstream.base_url}", api_key: sk-secret-1 }}
  other: {{ mapping: openai-chat, base_url: "{upstream.base_url}", api_key: sk-secret-2 }}
{more}
"""


HELLO = Answer(chat_stream(text_chunk("Hello"), stop_chunk()))
BROKEN = Answer([b'{"error": {"message": "out of order"}}'], 500, "application/json")


def metric(text: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_counted(workers: str, tmp_path: Path, upstream: Upstream) -> None:
    """By way and key, of all workers together, in the log, as JSON and for Prometheus."""
    keys = "api_key: main\napi_keys: { alice: open-sesame }\nlogs: { format: json }\n"
    with proxy(tmp_path, told_by(upstream, keys), "--workers", workers) as address:
        upstream.answers = [HELLO]
        for _ in range(6):
            assert send(address, key="open-sesame", top_k=3)[0] == 200
        upstream.answers = [Answer([b'{"error": {"message": "no such thing"}}'], 400, "application/json")]
        assert send(address, "other/m", key="main")[0] == 400
        assert ask(address, "GET", "/status")[0] == 401
        time.sleep(1.3)  # what other workers have counted is known a second later
        status = ask(address, "GET", "/status", headers={"x-api-key": "main"})[2]
        text = ask(address, "GET", "/metrics", headers={"authorization": "Bearer main"})[2]
    by = {(way["provider"], way["model"], way["key"]): way for way in status["by"]}
    way = by["told", "gpt-6.1-sol", "alice"]
    assert {name: way[name] for name in ("route", "requests", "errors", "input_tokens", "output_tokens")} == {
        "route": "model",
        "requests": 6,
        "errors": 0,
        "input_tokens": 42,
        "output_tokens": 18,
    }
    assert 0 < way["own_ms"]["p50"] <= way["first_ms"]["p50"] * 1.1 <= way["whole_ms"]["p99"] * 1.3
    assert (by["other", "m", None]["requests"], by["other", "m", None]["errors"]) == (1, 1)
    assert (status["total"]["requests"], status["total"]["errors"], status["workers"]) == (7, 1, int(workers))
    assert sum(minute["requests"] for minute in status["minutes"]) == 7
    assert [(loss["provider"], loss["field"], loss["count"]) for loss in status["lost"]] == [("told", "top_k", 6)]
    [error] = status["errors"]
    assert (error["provider"], error["status"], error["message"]) == ("other", 400, "other: no such thing")
    assert (status["running"], status["draining"]) == ([], False)

    assert metric(text, "ccproxy_requests_total", provider="told", key="alice", status="200", route="model") == 6
    assert metric(text, "ccproxy_tokens_total", kind="input") == 42
    assert metric(text, "ccproxy_request_seconds_count") == 7
    assert metric(text, "ccproxy_first_token_seconds_bucket", provider="told", le="+Inf") == 6
    assert metric(text, "ccproxy_lost_fields_total", field="top_k") == 6
    assert metric(text, "ccproxy_failed_attempts_total", provider="other", status="400") == 1
    assert metric(text, "ccproxy_refused_total", reason="authentication_error") == 1

    log = [json.loads(line) for line in (tmp_path / "log.txt").read_text().splitlines() if line.startswith("{")]
    lines = [line for line in log if line.get("status") == 200]
    assert len(lines) == 6
    assert {(line["key"], line["session"], line["way"], line["input_tokens"]) for line in lines} == {
        ("alice", SESSION, "told/gpt-6.1-sol (model)", 7)
    }
    assert all(line["request_id"].startswith("req_") and line["ms"] > 0 for line in lines)
    for secret in ("sk-secret", "open-sesame"):
        assert secret not in json.dumps(status) + text + (tmp_path / "log.txt").read_text()


def test_what_it_costs(tmp_path: Path, upstream: Upstream) -> None:
    """Seven tokens in and three out; the mapping knows the price of one model at its own address, and none elsewhere."""
    (tmp_path / "mappings").mkdir()
    models = "{ main: m, known: { m: { input_price: 2, output_price: 10 } } }"
    mapping = f"about: priced\nextends: openai-chat\nbase_url: {upstream.base_url}\nmodels: {models}\n"
    (tmp_path / "mappings" / "priced.yaml").write_text(mapping)
    more = f"  priced: {{ api_key: none }}\nmappings: {tmp_path}/mappings\n"
    upstream.answers = [HELLO]
    with proxy(tmp_path, told_by(upstream, more)) as address:
        for model in ("priced/m", "priced/m", "told/m"):
            assert send(address, model)[0] == 200
        status, text = ask(address, "GET", "/status")[2], ask(address, "GET", "/metrics")[2]
    assert {way["provider"]: way["cost"] for way in status["by"]} == {"priced": pytest.approx(88e-6), "told": None}
    assert {one["provider"]: one["cost"] for one in status["today"]} == {"priced": pytest.approx(88e-6), "told": None}
    assert metric(text, "ccproxy_cost_dollars_total", provider="priced") == pytest.approx(88e-6)


def test_a_request_that_runs_is_shown(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers = [Answer([*chat_stream(text_chunk("x" * 400), done=False), 2.0, *chat_stream(stop_chunk())])]
    with proxy(tmp_path, told_by(upstream)) as address, concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(send, address)
        time.sleep(1)
        [running] = ask(address, "GET", "/status")[2]["running"]
        text = ask(address, "GET", "/metrics")[2]
        assert answer.result()[0] == 200
    assert (running["provider"], running["session"], running["stream"], running["output_tokens"]) == ("told", SESSION, True, 100)
    assert 0.5 < running["seconds"] < 3
    assert metric(text, "ccproxy_requests_running", provider="told") == 1


def test_a_stream_of_what_goes_on(tmp_path: Path, upstream: Upstream) -> None:
    with proxy(tmp_path, told_by(upstream)) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/status", headers={"accept": "text/event-stream"})
            answer = connection.getresponse()
            pictures = []
            while len(pictures) < 3:
                line = answer.readline()
                pictures += [json.loads(line[6:])] if line.startswith(b"data: ") else []
    assert answer.headers["content-type"] == "text/event-stream"
    assert pictures[0]["uptime_seconds"] < pictures[1]["uptime_seconds"] < pictures[2]["uptime_seconds"]


def test_a_stream_of_what_goes_on_ends_with_its_key(tmp_path: Path, upstream: Upstream) -> None:
    with proxy(tmp_path, told_by(upstream, "api_keys: { ann: { key: ann-1 }, bob: { key: bob-1 } }")) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/status", headers={"accept": "text/event-stream", "x-api-key": "bob-1"})
            answer = connection.getresponse()
            assert answer.readline().startswith(b"data: ")
            (tmp_path / "config.yaml").write_text(told_by(upstream, "api_keys: { ann: { key: ann-1 } }"))
            assert ask(address, "POST", "/reload", headers={"x-api-key": "ann-1"})[0] == 200
            assert answer.read().count(b"data: ") <= 1


def test_a_stream_that_breaks_counts_as_an_error(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers = [Answer(chat_stream(text_chunk("Hel"), done=False), cut=True)]
    with proxy(tmp_path, told_by(upstream)) as address:
        assert send(address)[0] == 200
        status = ask(address, "GET", "/status")[2]
    assert (status["total"]["requests"], status["total"]["errors"]) == (1, 1)
    assert (status["errors"][0]["status"], status["breakers"][0]["failures"]) == (500, 1)
    assert " 500 " in (tmp_path / "log.txt").read_text()


def test_a_client_that_leaves_is_no_error(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers = [Answer([*chat_stream(text_chunk("x"), done=False), 1.0, 1.0])]
    with proxy(tmp_path, told_by(upstream)) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
        request = {"model": "told/m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": True}
        connection.request("POST", "/v1/messages", json.dumps(request))
        connection.getresponse().readline()
        connection.close()
        assert upstream.left.wait(5)
        time.sleep(0.2)
        status, text = ask(address, "GET", "/status")[2], ask(address, "GET", "/metrics")[2]
    assert (status["total"]["requests"], status["total"]["errors"], status["running"]) == (1, 0, [])
    assert metric(text, "ccproxy_requests_total", status="499") == 1


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def candidate(reason: str, text: str = "", **more: str) -> bytes:
    """The last event of a stream, in Gemini's format."""
    told = {"content": {"parts": [{"text": text}] if text else []}, "finishReason": reason, **more}
    return b"data: " + json.dumps({"candidates": [told]}).encode() + b"\n\n"


HI = candidate("STOP", "hi")
CUT_OFF = candidate("CONTINUATION", continuationToken="dG9r")
PING = 0.25
"""Seconds until a ping, which every wait here is longer than."""


@pytest.mark.parametrize("is_pinged", [False, True])
@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([[2 * PING, STREAM + HI, CLOSE]], id="before the headers"),
        pytest.param([[STREAM, 2 * PING, HI, CLOSE]], id="before the first event"),
        pytest.param([[STREAM, HI[:9], 2 * PING, HI[9:], CLOSE]], id="within the first event"),
        pytest.param([[RESET], [STREAM + HI, CLOSE]], id="before a second try"),
        pytest.param([[STREAM, 2 * PING, CUT_OFF, CLOSE], [STREAM + HI, CLOSE]], id="before the rest"),
    ],
)
@on_both_loops
async def test_the_time_of_a_provider_is_not_the_proxys_own(
    answers: list[list[Part]], is_pinged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With or without a ping, which has the headers go out while it is waited for."""

    async def ping(answer: ToClient) -> None:
        await asyncio.sleep(PING)
        await answer._say_ping()

    pings: list[asyncio.Task[None]] = []
    if is_pinged:
        monkeypatch.setattr(ToClient, "keep_alive", lambda answer, *_: pings.append(asyncio.create_task(ping(answer))))
    request = {"model": "told/m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    asked = [json.dumps(request).encode()]
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        if not asked:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": asked.pop(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async with Provider(*answers) as provider:
        config = Config(providers={"told": ProviderConfig("gemini", base_url=provider.url, keys=("k",))})
        scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": [], "client": ("127.0.0.1", 5)}
        await Application(config, lambda: config)(scope, receive, send)
    body = b"".join(message["body"] for message in sent[1:])
    assert (b"event: ping" in body, b'"text":"hi"' in body) == (is_pinged, True)
    assert 0 < float(dict(sent[0]["headers"])[b"x-ccproxy-overhead-ms"]) < PING * 1000


# What guards it


def breaker_of(address: str, provider: str = "told") -> dict[str, Any]:
    [found] = [one for one in ask(address, "GET", "/status")[2]["breakers"] if one["provider"] == provider]
    return dict(found)


def wait_for(address: str, state: str, seconds: float = 10, provider: str = "told") -> None:
    """Until the provider's breaker is in this state."""
    end = time.monotonic() + seconds
    while breaker_of(address, provider)["state"] != state:
        assert time.monotonic() < end, breaker_of(address, provider)
        time.sleep(0.05)


def test_a_breaker_on_the_real_route(tmp_path: Path, upstream: Upstream) -> None:
    more = """
routes: { default: { to: told/m, fallbacks: [other/m] } }
breaker: { failures: 2, open: 2s, probes: 1 }
"""

    def answering(request: dict[str, Any]) -> Answer:
        return BROKEN if is_down and request["headers"]["authorization"] == "Bearer sk-secret-1" else HELLO

    is_down, upstream.answering = True, answering
    with proxy(tmp_path, told_by(upstream, more)) as address:
        ways = [send(address, "any")[1]["x-ccproxy-provider"] for _ in range(4)]
        asked = [request["headers"]["authorization"][-1] for request in upstream.requests]
        breaker = breaker_of(address)
        text = ask(address, "GET", "/metrics")[2]
        health = ask(address, "GET", "/health")[2]
        alone = send(address, "told/m")
        is_down = False
        wait_for(address, "half_open")
        back = [send(address, "any")[1]["x-ccproxy-provider"] for _ in range(2)]
    assert ways == ["other"] * 4
    assert asked == ["1", "2", "1", "2", "2", "2"]
    assert (breaker["state"], breaker["why"]) == ("open", "told: out of order")
    assert metric(text, "ccproxy_breaker_open", provider="told") == 1
    assert health["providers"] == {"told": "failing", "other": "ok"}
    assert (alone[0], alone[1]["retry-after"]) == (529, "2")
    assert "told: out of order (left alone" in alone[2]["error"]["message"]
    assert back == ["told", "told"]


def test_a_failure_is_counted_where_the_client_is_told_it_was(tmp_path: Path, upstream: Upstream) -> None:
    """Of several that is the one whose error is told; one that is left alone has a name too."""
    more = """
routes: { default: { to: told/limited, fallbacks: [other/broken] } }
breaker: { failures: 1, open: 60s }
"""
    limited = Answer([b'{"error": {"message": "slow down"}}'], 429, "application/json", {"retry-after": "60"})
    upstream.answering = lambda request: limited if request["body"]["model"] == "limited" else BROKEN
    with proxy(tmp_path, told_by(upstream, more)) as address:
        answers = [send(address, "any"), send(address, "other/broken")]
        status = ask(address, "GET", "/status")[2]
    ways = [("default", "told", "limited"), ("model", "other", "broken")]
    assert [answer[0] for answer in answers] == [429, 529]
    assert [tuple(answer[1][f"x-ccproxy-{name}"] for name in ("route", "provider", "model")) for answer in answers] == ways
    assert [(way["route"], way["provider"], way["model"], way["errors"]) for way in status["by"]] == [(*way, 1) for way in ways]
    assert sorted((error["provider"], error["status"]) for error in status["errors"]) == [("other", 529), ("told", 429)]


def test_a_provider_that_is_well_again_is_not_refused_for_as_long_as_its_probes_stream(
    tmp_path: Path, upstream: Upstream
) -> None:
    slow = Answer([*chat_stream(text_chunk("Hel"), done=False), 3.0, *chat_stream(stop_chunk())])
    upstream.answering = lambda _: BROKEN
    with (
        proxy(tmp_path, told_by(upstream, "breaker: { failures: 2, open: 1s, probes: 1 }\n")) as address,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        assert [send(address)[0] for _ in range(2)] == [500, 500]
        upstream.answering = lambda request: slow if request["path"] != "/v1/models" else HELLO
        wait_for(address, "half_open")
        probe = pool.submit(send, address)
        wait_for(address, "closed", 2)
        upstream.answering = lambda _: HELLO
        assert send(address)[0] == 200
        assert not probe.done()


MAPPING_THAT_FAILS = """
about: fails on demand
extends: openai-chat
request: { top_p: { $if: request.top_k, $switch: request.top_k, $case: { "1": 1 } } }
parts: { thinking: { $if: delta.content == 'fail', $switch: delta.content, $case: { a: b } } }
"""


def test_what_is_not_the_providers_changes_nothing(tmp_path: Path, upstream: Upstream) -> None:
    """The mapping's own failures, and what is answered here."""
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "odd.yaml").write_text(MAPPING_THAT_FAILS)
    odd = f"  odd: {{ base_url: '{upstream.base_url}', api_key: k }}\nmappings: {tmp_path}/mappings\n"
    more = f"{odd}breaker: {{ failures: 2, open: 1s, probes: 1 }}\n"
    upstream.answering = lambda _: Answer(
        [*chat_stream(text_chunk("Hello"), done=False), 0.2, *chat_stream(text_chunk("fail"), stop_chunk())]
    )
    with proxy(tmp_path, told_by(upstream, more)) as address:
        for _ in range(2):
            assert send(address, "odd/m", top_k=2)[0] == 500
            assert "the mapping failed" in send(address, "odd/m")[2]
        assert breaker_of(address, "odd")["state"] == "closed"
        upstream.answering = lambda request: HELLO if request["path"] == "/v1/models" else BROKEN
        assert [send(address, "odd/m")[0] for _ in range(2)] == [500, 500]
        wait_for(address, "half_open", provider="odd")
        assert send(address, "odd/m", max_tokens=0)[0] == 200
        assert send(address, "odd/m", top_k=2)[0] == 500
        assert breaker_of(address, "odd")["state"] == "half_open"
        upstream.answering = lambda _: HELLO
        assert send(address, "odd/m")[0] == 200
        assert breaker_of(address, "odd")["state"] == "closed"


def test_a_provider_tells_how_it_is_before_requests_try(tmp_path: Path, upstream: Upstream) -> None:
    """It is down, then says that it restarts, then is well: only then does a request go there."""
    more = """
routes: { default: { to: told/m, fallbacks: [other/m] } }
breaker: { failures: 2, open: 1s, probes: 1 }
logs: { level: debug }
"""
    health = [Answer([b'{"error": {"message": "restarting"}}'], 503, "application/json")] * 2
    asked: list[dict[str, Any]] = []

    def answering(request: dict[str, Any]) -> Answer:
        if request["path"] == "/v1/models":
            asked.append(request)
            return health.pop() if health else Answer([b'{"data": []}'], 200, "application/json")
        return BROKEN if is_down and request["headers"]["authorization"] == "Bearer sk-secret-1" else HELLO

    def chats() -> int:
        """How many requests of clients have reached the provider that is down."""
        return sum(one["headers"]["authorization"][-1] == "1" and one["path"] != "/v1/models" for one in upstream.requests)

    is_down, upstream.answering = True, answering
    with proxy(tmp_path, told_by(upstream, more)) as address:
        for _ in range(2):
            assert send(address, "any")[1]["x-ccproxy-provider"] == "other"
        end = time.monotonic() + 10
        while len(asked) < 2:
            assert time.monotonic() < end
            assert (send(address, "any")[1]["x-ccproxy-provider"], breaker_of(address)["state"]) == ("other", "open")
        assert chats() == 2
        time.sleep(0.3)
        told = breaker_of(address)
        is_down = False
        wait_for(address, "half_open")
        assert (chats(), len(asked)) == (2, 3)
        assert send(address, "any")[1]["x-ccproxy-provider"] == "told"
        assert breaker_of(address)["state"] == "closed"
        time.sleep(2.2)
        assert send(address, "any")[1]["x-ccproxy-provider"] == "told"
    assert (told["state"], told["why"]) == ("open", "told: restarting")
    assert [(one["headers"]["authorization"], one["body"]) for one in asked] == [("Bearer sk-secret-1", None)] * 3
    assert "sk-secret" not in (tmp_path / "log.txt").read_text()


def test_limits_on_the_real_route(tmp_path: Path, upstream: Upstream) -> None:
    more = """
api_keys: { alice: { key: k-alice, requests_per_minute: 3 }, bob: k-bob }
limits: { concurrent: 2 }
"""
    upstream.answers = [Answer([*chat_stream(text_chunk("x"), done=False), 0.7, *chat_stream(stop_chunk())])]
    with proxy(tmp_path, told_by(upstream, more)) as address, concurrent.futures.ThreadPoolExecutor() as pool:
        first = [pool.submit(send, address, key="k-alice") for _ in range(2)]
        time.sleep(0.4)
        shed = send(address, key="k-bob")
        assert [one.result()[0] for one in first] == [200, 200]
        third, fourth = send(address, key="k-alice"), send(address, key="k-alice")
        assert send(address, key="k-bob")[0] == 200
    assert (shed[0], shed[1]["retry-after"], shed[2]["error"]["type"]) == (529, "1", "overloaded_error")
    assert (third[0], fourth[0], fourth[2]["error"]["type"]) == (200, 429, "rate_limit_error")
    assert 50 < int(fourth[1]["retry-after"]) <= 60
    assert "with the key of alice" in fourth[2]["error"]["message"]
    assert len(upstream.requests) == 4


def test_while_it_stops_it_says_so(tmp_path: Path, upstream: Upstream) -> None:
    """On a connection that it has, since it takes no new one."""
    upstream.answers = [Answer([*chat_stream(text_chunk("Hel"), done=False), 1.5, *chat_stream(text_chunk("lo"), stop_chunk())])]
    with concurrent.futures.ThreadPoolExecutor() as pool, running(tmp_path, told_by(upstream)) as (address, process):
        answer = pool.submit(send, address)
        time.sleep(0.6)
        process.terminate()
        time.sleep(0.2)
        with pytest.raises(ConnectionError):
            ask(address, "GET", "/health")
        assert "lo" in answer.result()[2]
        assert process.wait(10) == 0


def test_a_mapping_that_fails_with_the_key_does_not_tell_it(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "mappings").mkdir()
    endpoint = 'endpoint: { url: { $switch: key, $case: { "another key": "http://x" } } }\n'
    (tmp_path / "mappings" / "odd.yaml").write_text("about: odd\nextends: openai-chat\nbase_url: http://127.0.0.1:1\n" + endpoint)
    more = f"  odd: {{ api_key: sk-secret-3 }}\nmappings: {tmp_path}/mappings\n"
    with proxy(tmp_path, told_by(upstream, more)) as address:
        status, _, told = send(address, "odd/m")
    assert status == 500
    for words in (json.dumps(told), (tmp_path / "log.txt").read_text()):
        assert "[key]" in words
        assert "sk-secret-3" not in words


def test_while_all_is_counted_for_a_scrape_the_loop_goes_on() -> None:
    application, turns, sent = Application(Config(), Config), 0, []
    for number in range(100):
        call = Call(f"req_{number}", provider="told", model=f"m{number}", status=200, whole=0.5)
        application.services.metrics.begin(call)
        application.services.metrics.end(call)

    async def send(message: Any) -> None:
        sent.append((message, turns))

    async def scrape() -> None:
        nonlocal turns
        asked = asyncio.create_task(application.metrics({"headers": []}, None, send))  # type: ignore[arg-type]
        while not asked.done():
            turns += 1
            await asyncio.sleep(0)
        await asked

    asyncio.run(scrape())
    [(head, _), (body, _)] = sent
    assert head["status"] == 200
    assert body["body"].count(b"ccproxy_requests_total{") == 100
    assert turns > 5
