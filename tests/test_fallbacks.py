"""What happens when a provider fails: another takes its place, as long as nothing of an answer has reached the client."""

import concurrent.futures
import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.gateway.keys import Keys
from engine.wire.errors import ApiError
from tests.running import proxy
from tests.upstreams import Answer, Upstream, chat_stream, scripted, stop_chunk, text_chunk

CONFIGURATION = """
breaker: false
providers:
  first: {{ mapping: openai-chat, base_url: "{first}", api_key: sk-first, timeout: {{ silence: 1s }} }}
  second: {{ mapping: openai-chat, base_url: "{second}", api_key: sk-second }}
  native: {{ mapping: anthropic, base_url: "{native}", api_key: sk-native, timeout: {{ silence: 1s }} }}
  gone: {{ mapping: openai-chat, base_url: "http://127.0.0.1:1/v1", api_key: none }}
  rude: {{ mapping: openai-chat, base_url: "{rude}", api_key: none }}
  counted: {{ mapping: llamacpp, base_url: "{first}" }}
  pool: {{ mapping: openai-chat, base_url: "{first}", api_keys: [k1, k2, k3] }}
  pool429: {{ mapping: openai-chat, base_url: "{first}", api_keys: [k1, k2] }}
  pool401: {{ mapping: openai-chat, base_url: "{first}", api_keys: [k1, k2] }}
  pool402: {{ mapping: openai-chat, base_url: "{first}", api_keys: [k1, k2] }}
  poolall: {{ mapping: openai-chat, base_url: "{first}", api_keys: [k1, k2] }}
  poolwrong: {{ mapping: openai-chat, base_url: "{first}", api_keys: [k1, k2] }}
  poolmixed: {{ mapping: openai-chat, base_url: "{first}", api_keys: [k1, k2] }}
  poolendless: {{ mapping: openai-chat, base_url: "{first}", api_keys: [k1, k2] }}
  pool400: {{ mapping: openai-chat, base_url: "{first}", api_keys: [k1, k2] }}
routes:
  models:
    plain: {{ to: first/one, fallbacks: [second/two] }}
    native: {{ to: native/claude-opus-5-5, fallbacks: [second/two] }}
    to-native: {{ to: first/one, fallbacks: [native/claude-opus-5-5] }}
    gone: {{ to: gone/one, fallbacks: [second/two] }}
    rude: {{ to: rude/one, fallbacks: [second/two] }}
    three: {{ to: first/one, fallbacks: [gone/none, second/two] }}
    pooled: {{ to: poolall/one, fallbacks: [second/two] }}
    parameters: {{ to: first/one, parameters: {{ reasoning: {{ effort: high }}, stream_options: null, n: 1 }} }}
    native-parameters: {{ to: native/claude-opus-5-5, parameters: {{ metadata: {{ user_id: me }}, top_k: null }} }}
    counted: counted/one
"""


class Rude:
    """A server that resets each connection without an answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                connection.recv(65_536)
                self.asked += 1
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()


@dataclass
class Place:
    """The proxy and who stands behind it."""

    address: str
    first: Upstream
    second: Upstream
    native: Upstream
    rude: Rude
    log: Path


@dataclass
class Told:
    """What the client was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The words of an answer, whole or streamed."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            return "".join(block["text"] for block in json.loads(self.body)["content"])
        return "".join(event["delta"].get("text", "") for event in self.events if event["type"] == "content_block_delta")

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line[6:]) for line in self.body.splitlines() if line.startswith(b"data: ")]

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error

    @property
    def came_from(self) -> tuple[str, str, str]:
        return tuple(self.headers[f"x-ccproxy-{name}"] for name in ("provider", "model", "route"))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("fallbacks")
    rude = Rude()
    with scripted() as first, scripted() as second, scripted() as native:
        made = CONFIGURATION.format(first=first.base_url, second=second.base_url, native=native.base_url, rude=rude.base_url)
        with proxy(folder, made) as address:
            yield Place(address, first, second, native, rude, folder / "log.txt")
    rude.socket.close()


@pytest.fixture
def place(running: Place) -> Place:
    """Nobody has been asked anything yet; the second answers."""
    for upstream in (running.first, running.second, running.native):
        upstream.requests.clear()
        upstream.answers = [whole({"error": {"message": "nobody expected this request"}}, 418)]
    running.rude.asked = 0
    return running


def ask(place: Place, model: str, headers: dict[str, str] | None = None, path: str = "/v1/messages", **fields: Any) -> Told:
    connection = http.client.HTTPConnection(place.address.removeprefix("http://"), timeout=30)
    request = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], **fields}
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(request), headers or {})
        with connection.getresponse() as answer:
            return Told(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def whole(reply: Any, status: int = 200, **headers: str) -> Answer:
    data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer([data], status=status, content_type="application/json", headers=named)


def refusal(status: int, message: str = "not now", **headers: str) -> Answer:
    return whole({"error": {"message": message}}, status, **headers)


def says(text: str, stream: bool, stop: str = "stop") -> Answer:
    if stream:
        return Answer(chat_stream(*([text_chunk(text)] if text else []), stop_chunk(stop)))
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return whole({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": stop}], "usage": usage})


EVENTS: dict[str, dict[str, Any]] = {
    "start": {
        "type": "message_start",
        "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 7, "output_tokens": 1},
        },
    },
    "ping": {"type": "ping"},
    "block": {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    "text": {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "from the native"}},
    "block_stop": {"type": "content_block_stop", "index": 0},
    "delta": {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    "stop": {"type": "message_stop"},
    "error": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
}  # fmt: skip


def native_stream(*names: str, cut: bool = False) -> Answer:
    """A stream of Anthropic's own."""
    told = [f"event: {EVENTS[name]['type']}\ndata: {json.dumps(EVENTS[name])}\n\n".encode() for name in names]
    return Answer([*told], cut=cut)


# The conditions

FAILURES: dict[str, Answer] = {
    **{str(status): refusal(status) for status in (408, 409, 429, 500, 502, 503, 504, 529)},
    "429 with a time": refusal(429, retry_after="20"),
    "no money": whole({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, 429),
    "a page under 502": Answer([b"<html><title>Bad gateway</title>"], status=502, content_type="text/html"),
    "a page under 200": Answer([b"<html><title>Sign in</title>"], content_type="text/html"),
    "nothing": Answer([]),
    "silence": Answer([40.0]),
}
IN_A_STREAM: dict[str, Answer] = {
    "an error in place of an answer": Answer(chat_stream({"error": {"message": "The server is overloaded", "code": 503}})),
    "an error behind the role": Answer(
        chat_stream({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}, {"error": {"message": "sorry", "code": 500}})
    ),
    "no word": says("", stream=True),
    "the role and no end": Answer(chat_stream({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}, done=False)),
}
WHOLE: dict[str, Answer] = {
    "an error under 200": whole({"error": {"message": "The server is overloaded", "code": 503}}),
    "no word": says("", stream=False),
    "no choice": whole({"id": "x", "choices": []}),
}
CASES = [
    *(pytest.param(answer, stream, id=f"{name}, {'stream' if stream else 'whole'}")
      for stream, own in ((True, IN_A_STREAM), (False, WHOLE)) for name, answer in {**FAILURES, **own}.items())
]  # fmt: skip


@pytest.mark.parametrize(("failure", "stream"), CASES)
def test_a_fallback_takes_the_place(failure: Answer, stream: bool, place: Place) -> None:
    place.first.answers = [failure]
    place.second.answers = [says("from the second", stream)]
    told = ask(place, "plain", stream=stream)
    assert (told.status, told.text) == (200, "from the second")
    assert told.came_from == ("second", "two", "models.plain fallback")
    assert float(told.headers["x-ccproxy-overhead-ms"]) < 700
    assert len(place.first.requests) == len(place.second.requests) == 1
    assert place.second.requests[0]["body"]["model"] == "two"
    assert place.second.requests[0]["headers"]["authorization"] == "Bearer sk-second"


@pytest.mark.parametrize("stream", [True, False])
def test_a_provider_that_is_not_there(stream: bool, place: Place) -> None:
    place.second.answers = [says("from the second", stream)]
    told = ask(place, "gone", stream=stream)
    assert (told.status, told.text, told.came_from) == (200, "from the second", ("second", "two", "models.gone fallback"))


@pytest.mark.parametrize("stream", [True, False])
def test_fallbacks_come_in_order(stream: bool, place: Place) -> None:
    place.first.answers = [refusal(503)]
    place.second.answers = [says("from the second", stream)]
    told = ask(place, "three", stream=stream)
    assert (told.text, told.came_from) == ("from the second", ("second", "two", "models.three fallback"))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_of_the_request_or_the_key_is_told(status: int, stream: bool, place: Place) -> None:
    place.first.answers = [refusal(status)]
    told = ask(place, "plain", stream=stream)
    assert told.status == (400 if status == 422 else status)
    assert told.error["message"].startswith("first: not now")
    assert told.came_from == ("first", "one", "models.plain")
    assert (len(place.first.requests), len(place.second.requests)) == (1, 0)


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_that_is_too_long_is_told(stream: bool, place: Place) -> None:
    """The client compacts, and asks the same again."""
    words = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    place.first.answers = [refusal(400, words)]
    told = ask(place, "plain", stream=stream)
    assert (told.status, place.second.requests) == (400, [])
    assert told.error["message"].startswith("prompt is too long: 9000 tokens > 8192 maximum")


# After output nothing takes the place of an answer


@pytest.mark.parametrize("failure", ["reset", "error", "end"])
def test_S38_a_provider_that_dies_in_the_middle(failure: str, place: Place) -> None:
    chunks = [text_chunk("from the first")] + ([{"error": {"message": "overloaded", "code": 503}}] if failure == "error" else [])
    place.first.answers = [Answer(chat_stream(*chunks, done=False), cut=failure == "reset")]
    told = ask(place, "plain", stream=True)
    assert (told.status, told.text, told.came_from) == (200, "from the first", ("first", "one", "models.plain"))
    assert told.events[-1]["type"] == "error"
    assert "message_stop" not in [event["type"] for event in told.events]
    assert (len(place.first.requests), place.second.requests) == (1, [])


def test_a_whole_answer_that_breaks_off_has_not_begun(place: Place) -> None:
    """The provider was cut off twice in the middle of its JSON; nothing of it has reached the client."""
    place.first.answers = [Answer([b'{"choices": ['], content_type="application/json", cut=True)]
    place.second.answers = [says("from the second", stream=False)]
    told = ask(place, "plain")
    assert (told.status, told.text, told.came_from[0]) == (200, "from the second", "second")
    assert len(place.first.requests) == 2


# Once more at the same provider


@pytest.mark.parametrize("stream", [True, False])
def test_a_connection_that_is_reset_is_tried_once_more(stream: bool, place: Place) -> None:
    place.first.answers = [Answer([], cut=True), says("at last", stream)]
    told = ask(place, "plain", stream=stream)
    assert (told.text, told.came_from) == ("at last", ("first", "one", "models.plain"))
    assert len(place.first.requests) == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_provider_that_dies_before_its_answer_is_tried_twice(stream: bool, place: Place) -> None:
    place.second.answers = [says("from the second", stream)]
    told = ask(place, "rude", stream=stream)
    assert (told.text, told.came_from) == ("from the second", ("second", "two", "models.rude fallback"))
    assert place.rude.asked == 2


def test_the_client_is_told_of_a_reset(place: Place) -> None:
    told = ask(place, "rude/one")
    assert (told.status, told.error["type"], place.rude.asked) == (500, "api_error", 2)
    assert f"rude: the connection to {place.rude.base_url[7:-3]} broke" in told.error["message"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(refusal(500, x_should_retry="true"), id="said"),
        pytest.param(refusal(429, x_should_retry="true", retry_after="1"), id="said, with a time"),
        pytest.param(whole({"error": {"message": "no such call", "code": "tool_use_failed"}}, 400), id="a misstep"),
    ],
)
def test_what_a_provider_says_to_try_again(failure: Answer, stream: bool, place: Place) -> None:
    place.first.answers = [failure, says("at last", stream)]
    began = time.monotonic()
    told = ask(place, "plain", stream=stream)
    assert (told.text, told.came_from) == ("at last", ("first", "one", "models.plain"))
    assert 0.4 < time.monotonic() - began < 3
    assert float(told.headers["x-ccproxy-overhead-ms"]) < 200


def test_a_long_wait_is_left_to_the_client(place: Place) -> None:
    place.first.answers = [refusal(529, x_should_retry="true", retry_after="11")]
    place.second.answers = [says("from the second", stream=True)]
    assert ask(place, "plain", stream=True).text == "from the second"
    assert len(place.first.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 529])
def test_without_fallbacks_the_client_is_the_one_that_tries_again(status: int, place: Place) -> None:
    place.first.answers = [refusal(status)]
    assert ask(place, "first/one").status == status
    assert len(place.first.requests) == 1


# When all fail


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "status", "told_of"),
    [
        (refusal(500), refusal(429, retry_after="7"), 429, "second"),
        (refusal(429, retry_after="30"), refusal(429, retry_after="7"), 429, "second"),
        (refusal(429, retry_after="7"), refusal(429, retry_after="30"), 429, "first"),
        (refusal(429, retry_after="7"), refusal(500), 429, "first"),
        (refusal(500), refusal(529), 529, "second"),
        (refusal(529), refusal(500), 529, "first"),
        (refusal(500), refusal(401), 500, "first"),
        (refusal(500), refusal(400), 500, "first"),
        (refusal(502), refusal(500), 500, "first"),
        (FAILURES["no money"], refusal(500), 500, "second"),
        (FAILURES["no money"], refusal(400), 402, "first"),
    ],
)
def test_the_best_error_is_told(first: Answer, second: Answer, status: int, told_of: str, stream: bool, place: Place) -> None:
    place.first.answers, place.second.answers = [first], [second]
    told = ask(place, "plain", stream=stream)
    assert (told.status, told.headers["x-ccproxy-provider"]) == (status, told_of)
    assert told.error["message"].startswith(f"{told_of}: ")
    assert told.headers.get("retry-after") == ("7" if status == 429 else None)
    assert len(place.first.requests) == len(place.second.requests) == 1


def test_a_date_to_come_back_at(place: Place) -> None:
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 5))
    place.first.answers, place.second.answers = [refusal(429, retry_after="30")], [refusal(429, retry_after=soon)]
    told = ask(place, "plain")
    assert (told.headers["x-ccproxy-provider"], told.headers["retry-after"]) == ("second", soon)


def test_an_empty_answer_of_the_last_one_goes_on(place: Place) -> None:
    """The client asks once more by itself (client.md 3.3)."""
    for stream in (True, False):
        place.first.answers, place.second.answers = [refusal(500)], [says("", stream)]
        told = ask(place, "plain", stream=stream)
        assert (told.status, told.text, told.came_from[0]) == (200, "", "second")


@pytest.mark.parametrize("stop", ["length", "content_filter"])
def test_an_answer_without_words_and_with_a_reason_is_one(stop: str, place: Place) -> None:
    for stream in (True, False):
        place.first.answers = [says("", stream, stop)]
        assert ask(place, "plain", stream=stream).came_from[0] == "first"
    assert place.second.requests == []


# Anthropic's own format


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(whole({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 529), id="529"),
        pytest.param(native_stream("start", "ping", "error"), id="an error before the first block"),
        pytest.param(native_stream("error"), id="an error in place of all"),
        pytest.param(native_stream("start"), id="the start alone"),
        pytest.param(native_stream("start", "delta", "stop"), id="no word"),
        pytest.param(native_stream(), id="nothing"),
        pytest.param(Answer([1.9]), id="silence"),
    ],
)
def test_a_native_stream_that_fails_before_its_first_block(failure: Answer, place: Place) -> None:
    place.native.answers = [failure]
    place.second.answers = [says("from the second", stream=True)]
    told = ask(place, "native", stream=True)
    assert (told.status, told.text, told.came_from) == (200, "from the second", ("second", "two", "models.native fallback"))
    assert [event["type"] for event in told.events].count("message_start") == 1
    assert len(place.native.requests) == 1


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(whole({"type": "error", "error": {"type": "api_error", "message": "Internal server error"}}, 500), id="500"),
        pytest.param(whole({"type": "message", "content": [], "stop_reason": "end_turn"}), id="no word"),
        pytest.param(whole({"not": "a message"}), id="something else"),
    ],
)
def test_a_native_answer_that_fails(failure: Answer, place: Place) -> None:
    place.native.answers = [failure]
    place.second.answers = [says("from the second", stream=False)]
    told = ask(place, "native")
    assert (told.status, told.text, told.came_from[0]) == (200, "from the second", "second")


@pytest.mark.parametrize(
    ("failure", "events"),
    [
        (
            native_stream("start", "block", "text", cut=True),
            ["message_start", "content_block_start", "content_block_delta", "error"],
        ),
        (native_stream("start", "block", "error"), ["message_start", "content_block_start", "error"]),
    ],
)  # fmt: skip
def test_a_native_stream_that_fails_behind_its_first_block(failure: Answer, events: list[str], place: Place) -> None:
    place.native.answers = [failure]
    told = ask(place, "native", stream=True)
    assert [event["type"] for event in told.events] == events
    assert (told.came_from[0], place.second.requests) == ("native", [])


def test_a_native_stream_passes_as_it_came(place: Place) -> None:
    answer = native_stream("start", "ping", "block", "text", "block_stop", "delta", "stop")
    place.native.answers = [answer]
    told = ask(place, "native/claude-opus-5-5", stream=True)
    assert told.text == "from the native"
    assert told.body.endswith(b"".join(piece for piece in answer.pieces[1:] if isinstance(piece, bytes)))


@pytest.mark.parametrize("stream", [True, False])
def test_a_native_refusal_goes_as_it_came_when_all_fail(stream: bool, place: Place) -> None:
    refused = {"type": "error", "error": {"type": "rate_limit_error", "message": "This would exceed it."}, "request_id": "req_9"}
    place.native.answers = [whole(refused, 429, retry_after="7", anthropic_ratelimit_requests_limit="50")]
    place.second.answers = [refusal(500)]
    told = ask(place, "native", stream=stream)
    assert (told.status, json.loads(told.body)) == (429, refused)
    assert (told.headers["retry-after"], told.headers["anthropic-ratelimit-requests-limit"]) == ("7", "50")
    assert told.came_from == ("native", "claude-opus-5-5", "models.native")


def test_nothing_of_a_failed_attempt_is_left(place: Place) -> None:
    """Neither its headers nor what it could not carry over."""
    in_a_stream = native_stream("start", "error")
    in_a_stream.headers = {"retry-after": "7"}
    in_a_status = whole({"type": "error", "error": {"type": "api_error", "message": "x"}}, 500, retry_after="7")
    place.second.answers = [says("from the second", stream=True)]
    for failure in (in_a_stream, in_a_status):
        place.native.answers = [failure]
        told = ask(place, "native", stream=True, top_k=5)
        assert told.headers["x-ccproxy-dropped"] == "top_k"
        assert "retry-after" not in told.headers


def test_a_fallback_gets_the_request_in_its_own_words(place: Place) -> None:
    place.first.answers = [refusal(500)]
    place.native.answers = [native_stream("start", "block", "text", "block_stop", "delta", "stop")]
    told = ask(place, "to-native", stream=True, system="Be brief.", top_k=5)
    assert (told.text, told.came_from) == ("from the native", ("native", "claude-opus-5-5", "models.to-native fallback"))
    assert told.events[0]["message"]["model"] == "to-native"
    assert "x-ccproxy-dropped" not in told.headers
    [asked] = place.native.requests
    assert (asked["path"], asked["headers"]["x-api-key"]) == ("/v1/messages", "sk-native")
    assert asked["body"]["model"] == "claude-opus-5-5"
    assert (asked["body"]["system"], asked["body"]["top_k"]) == ("Be brief.", 5)


# Parameters


def test_parameters_are_merged_into_the_body(place: Place) -> None:
    place.first.answers = [says("well", stream=True)]
    ask(place, "parameters", stream=True)
    body = place.first.requests[0]["body"]
    assert (body["reasoning"], body["n"], body["model"]) == ({"effort": "high"}, 1, "one")
    assert "stream_options" not in body


def test_parameters_are_merged_into_a_native_body(place: Place) -> None:
    place.native.answers = [native_stream("start", "block", "text", "block_stop", "delta", "stop")]
    ask(place, "native-parameters", stream=True, top_k=5, metadata={"user_id": "you", "other": 1})
    body = place.native.requests[0]["body"]
    assert body["metadata"] == {"user_id": "me", "other": 1}
    assert "top_k" not in body


# Pools


def keys(upstream: Upstream) -> list[str]:
    return [request["headers"]["authorization"].removeprefix("Bearer ") for request in upstream.requests]


def test_the_keys_of_a_pool_are_taken_in_turn(place: Place) -> None:
    place.first.answers = [says("well", stream=False)]
    for _ in range(6):
        ask(place, "pool/one")
    asked = keys(place.first)
    assert sorted(asked[:3]) == ["k1", "k2", "k3"]
    assert asked[:3] == asked[3:]


def test_a_session_stays_with_its_key(place: Place) -> None:
    place.first.answers = [says("well", stream=False)]
    taken = {}
    for number in range(20):
        place.first.requests.clear()
        for _ in range(3):
            ask(place, "pool/one", {"x-claude-code-session-id": f"session {number}"})
        [taken[number]] = set(keys(place.first))
    assert set(taken.values()) == {"k1", "k2", "k3"}


@pytest.mark.parametrize("stream", [True, False])
def test_a_key_that_is_limited_rests_and_the_next_is_taken_at_once(stream: bool, place: Place) -> None:
    place.first.answers = [refusal(429, retry_after="4"), says("well", stream)]
    began = time.monotonic()
    told = ask(place, "pool429/one", stream=stream)
    assert (told.text, told.came_from) == ("well", ("pool429", "one", "model"))
    assert time.monotonic() - began < 2
    limited, other = keys(place.first)
    assert {limited, other} == {"k1", "k2"}
    for _ in range(3):
        ask(place, "pool429/one", stream=stream)
    assert keys(place.first)[2:] == [other] * 3
    time.sleep(max(0, 4.2 - (time.monotonic() - began)))
    for _ in range(2):
        ask(place, "pool429/one", stream=stream)
    assert set(keys(place.first)[5:]) == {limited, other}


@pytest.mark.parametrize(("pool", "failure"), [("pool401", refusal(401)), ("pool402", FAILURES["no money"])])
def test_a_key_that_is_refused_rests(pool: str, failure: Answer, place: Place) -> None:
    place.first.answers = [failure, says("well", stream=False)]
    assert ask(place, f"{pool}/one").text == "well"
    other = keys(place.first)[1]
    for _ in range(3):
        assert ask(place, f"{pool}/one").text == "well"
    assert keys(place.first)[2:] == [other] * 3


def test_E10_a_refusal_of_the_request_benches_no_key(place: Place) -> None:
    for failure in (refusal(400), refusal(500)):
        place.first.requests.clear()
        place.first.answers = [failure]
        for _ in range(4):
            assert ask(place, "pool400/one").status in (400, 500)
        assert sorted(keys(place.first)) == ["k1", "k1", "k2", "k2"]


def test_a_refusal_of_the_request_is_told_though_another_key_was_limited(place: Place) -> None:
    place.first.answers = [refusal(429, retry_after="1"), refusal(400, "no such thing")]
    told = ask(place, "poolmixed/one")
    assert (told.status, told.error["message"]) == (400, "poolmixed: no such thing")


def test_when_all_keys_rest(place: Place) -> None:
    """The provider is not asked any more; the client is told when the first key is back, or the fallback answers."""
    place.first.answers = [refusal(429, retry_after="40"), refusal(429, "slow down", retry_after="20")]
    place.second.answers = [says("from the second", stream=True)]
    told = ask(place, "poolall/one")
    assert (told.status, told.error["type"]) == (429, "rate_limit_error")
    assert told.error["message"] == "poolall: slow down"
    assert 15 <= int(told.headers["retry-after"]) <= 20
    again = ask(place, "poolall/one")
    assert (again.status, again.headers["x-ccproxy-provider"]) == (429, "poolall")
    assert 10 <= int(again.headers["retry-after"]) <= 20
    assert ask(place, "pooled", stream=True).came_from == ("second", "two", "models.pooled fallback")
    assert len(place.first.requests) == 2


def test_when_all_keys_are_wrong(place: Place) -> None:
    place.first.answers = [refusal(401)]
    for _ in range(2):
        told = ask(place, "poolwrong/one")
        assert (told.status, told.headers["x-should-retry"]) == (401, "false")
        assert "retry-after" not in told.headers
    assert len(place.first.requests) == 2


def test_when_all_keys_are_told_to_wait_for_ever(place: Place) -> None:
    """What is no time is as good as nothing said: a minute, for the keys and for the client."""
    place.first.answers = [refusal(429, retry_after="inf"), refusal(429, retry_after="1e99")]
    told = [ask(place, "poolendless/one") for _ in range(2)]
    assert [(one.status, one.headers["retry-after"]) for one in told] == [(429, "60")] * 2
    assert len(place.first.requests) == 2


@pytest.mark.parametrize("said", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_no_key_rests_for_longer_than_an_hour(said: str) -> None:
    now = 0.0
    keys = Keys(["k1", "k2"], lambda: now)
    assert keys.refused("k1", ApiError(429, "rate_limit_error", "slow down", retry_after=said))
    now = 3599.0
    assert keys.is_resting("k1")
    now = 3601.0
    assert not keys.is_resting("k1")


# What else


def test_tokens_are_counted_where_the_answer_will_come_from(place: Place) -> None:
    place.first.answers = [whole({"input_tokens": 42})]
    told = ask(place, "counted", path="/v1/messages/count_tokens")
    assert json.loads(told.body) == {"input_tokens": 42}
    assert told.came_from == ("counted", "one", "models.counted")


def test_tokens_are_not_counted_where_a_provider_is_left_alone(tmp_path: Path, place: Place) -> None:
    made = f"""
providers:
  down: {{ mapping: llamacpp, base_url: "{place.first.base_url}" }}
  pool: {{ mapping: llamacpp, base_url: "{place.first.base_url}", api_keys: [k1, k2] }}
breaker: {{ failures: 1, open: 60s }}
"""
    with proxy(tmp_path, made) as address:
        place = Place(address, place.first, place.second, place.native, place.rude, place.log)
        place.first.answers = [refusal(500), refusal(429, retry_after="60"), refusal(429, retry_after="60")]
        assert [ask(place, name).status for name in ("down/one", "pool/one")] == [500, 429]
        place.first.requests.clear()
        place.first.answers = [whole({"input_tokens": 4242})]
        told = [ask(place, name, path="/v1/messages/count_tokens") for name in ("down/one", "pool/one")]
        assert all(0 < json.loads(one.body)["input_tokens"] < 100 for one in told)
        assert not place.first.requests
        assert json.loads(ask(place, "down/two", path="/v1/messages/count_tokens").body) == {"input_tokens": 4242}


def test_the_log_says_which_way_a_request_went(place: Place) -> None:
    place.first.answers = [refusal(500)]
    place.second.answers = [says("from the second", stream=True)]
    id = ask(place, "plain", stream=True).headers["request-id"]
    end = time.monotonic() + 10
    while " 200 " not in (log := place.log.read_text()).rpartition(id)[2] and time.monotonic() < end:
        time.sleep(0.05)  # the client is answered first
    lines = [line.split(id)[1].strip() for line in log.splitlines() if id in line]
    assert lines[0] == "first/one (models.plain) failed, next is second/two (models.plain fallback)"
    assert lines[1].startswith("second/two (models.plain fallback) 200 ")


def test_thinking_that_is_just_true(tmp_path: Path, place: Place) -> None:
    made = f'providers: {{ first: {{ mapping: openai-chat, base_url: "{place.first.base_url}", api_key: none }} }}\n'
    place.first.answers = [says("well", stream=False)]
    with proxy(tmp_path, made + "routes: { default: first/fast, think: first/slow }\n") as address:
        place = Place(address, place.first, place.second, place.native, place.rude, place.log)
        assert ask(place, "any", thinking=True).came_from == ("first", "slow", "think")
        assert ask(place, "any").came_from == ("first", "fast", "default")


@pytest.fixture
def slow(tmp_path: Path, place: Place) -> Iterator[Place]:
    """A proxy whose first provider may be silent for longer than the client goes without a ping."""
    made = CONFIGURATION.replace("silence: 1s", "silence: 11s").format(
        first=place.first.base_url, second=place.second.base_url, native=place.native.base_url, rude=place.rude.base_url
    )
    with proxy(tmp_path, made) as address:
        yield Place(address, place.first, place.second, place.native, place.rude, tmp_path / "log.txt")


def test_pings_are_no_output(slow: Place) -> None:
    """Their status is out, and an answer can still take the place of another, or an error end the stream."""
    slow.first.answers, slow.native.answers = [Answer([15.0])], [Answer([15.0])]
    slow.second.answers = [says("from the second", stream=True), refusal(500, "neither do I")]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        early = pool.submit(ask, slow, "plain", stream=True)
        time.sleep(0.7)
        late = pool.submit(ask, slow, "native", stream=True)
    answered, failed = early.result(), late.result()
    assert (answered.text, [event["type"] for event in answered.events][:2]) == ("from the second", ["ping", "message_start"])
    assert answered.events[-1]["type"] == "message_stop"
    assert [event["type"] for event in failed.events] == ["ping", "error"]
    assert failed.status == 200
