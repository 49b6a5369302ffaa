"""Anthropic's own format, passed on: what goes there is what the client sent, and what comes back is what was said."""

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine import load_mapping
from engine.gateway.relay import Relay, passed
from engine.wire import framing, reasoning
from engine.wire.errors import ApiError

HELLO = [{"role": "user", "content": "hi"}]


def relayed(body: dict[str, Any] | bytes, *, model: str = "claude-opus-5-5", mapping: str = "anthropic", **options: Any) -> Relay:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Relay("anthropic", load_mapping(mapping), model, json.loads(data), data, **options)


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": "opus", "max_tokens": 10, "messages": HELLO, **fields}


def answered(*content: dict[str, Any]) -> dict[str, Any]:
    """A request whose second message is what an assistant said."""
    return asked(messages=[*HELLO, {"role": "assistant", "content": list(content)}, {"role": "user", "content": "go on"}])


# What goes there


@pytest.mark.parametrize(
    "data",
    [
        b'{"model":"opus","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}',
        b'{\n  "max_tokens" : 1e1,\n  "messages": [ {"role":"user", "content":"hi"} ],\n  "model" :\t"opus"\n}\n',
        '{"messages":[{"role":"user","content":"Größe \\u00e9 \\ud83d\\ude00 😀 \\/"}],"model":"opus","top_k":1.0}'.encode(),
        b'{"messages":[{"role":"user","content":"my \\"model\\":\\"opus\\""}],"model":"opus"}',
        b'{"tools":[{"name":"Agent","input_schema":{"properties":{"model":{"type":"string"}}}}],"messages":[{"role":"assistant",'
        b'"content":[{"type":"tool_use","id":"t","name":"Agent","input":{"model":"opus","more":{"model": "opus"}}}]},'
        b'{"role":"user","content":"hi"}],"model":"opus","metadata":{"model":"opus"}}',
        b'{"model":"first","messages":[{"role":"user","content":"hi"}],"a_field_of_next_year":{"x":[1.50]},"model":"opus"}',
    ],
)
def test_nothing_changes_but_the_name_of_the_model(data: bytes) -> None:
    relay = relayed(data)
    assert json.loads(relay.body) == json.loads(data) | {"model": "claude-opus-5-5"}
    changed = [place for place in range(len(data)) if data[: place + 1] != relay.body[: place + 1]]
    start = changed[0]
    assert data[:start] == relay.body[:start]
    assert data[start:].replace(b"opus", b"claude-opus-5-5", 1) == relay.body[start:]
    assert relay.lost == {}


def test_what_a_mapping_says_is_lost_is_named(tmp_path: Path) -> None:
    said = "lost: { tools.strict: { $if: 'request.tools[?strict]', $value: it knows none } }"
    (tmp_path / "host.yaml").write_text(f"extends: anthropic\n{said}\n")
    for strict, lost in ((True, {"tools.strict": "it knows none"}), (False, {})):
        body = asked(tools=[{"name": "Read", "input_schema": {"type": "object"}, "strict": strict}])
        assert Relay("host", load_mapping("host", [tmp_path]), "m", body, orjson.dumps(body)).lost == lost


def test_a_request_for_the_model_by_its_own_name_is_the_same_bytes() -> None:
    data = b'{ "model": "claude-opus-5-5", "max_tokens": 10, "messages": [ { "role": "user", "content": "hi" } ] }'
    assert relayed(data).body is data


def test_a_name_that_needs_escapes() -> None:
    relay = relayed(b'{"model":"a\\"b","messages":[]}', model='c"d\\e')
    assert relay.body == b'{"model":"c\\"d\\\\e","messages":[]}'


def test_a_key_that_is_written_with_escapes_is_still_the_models() -> None:
    assert json.loads(relayed(b'{"mod\\u0065l":"opus","messages":[]}').body) == {"model": "claude-opus-5-5", "messages": []}


def test_T10_reasoning_of_others_stays_behind() -> None:
    sealed = reasoning.seal("deepseek", "deepseek-v4-pro", {"signature": "s"})
    own = {"type": "thinking", "thinking": "Mine.", "signature": "EqQB"}
    foreign = {"type": "thinking", "thinking": "Theirs.", "signature": sealed}
    hidden = {"type": "redacted_thinking", "data": sealed}
    text = {"type": "text", "text": "Yes."}
    relay = relayed(answered(own, foreign, hidden, {"type": "redacted_thinking", "data": "EmwK"}, text))
    said = json.loads(relay.body)["messages"][1]["content"]
    assert said == [own, {"type": "redacted_thinking", "data": "EmwK"}, text]
    assert "thinking" in relay.lost


def test_a_message_of_which_nothing_is_left_is_left_out() -> None:
    foreign = {"type": "thinking", "thinking": "Hm.", "signature": reasoning.seal("p", "m", {})}
    request = answered(foreign)
    request["messages"].insert(1, {"role": "system", "output_config": {"effort": "low"}})
    roles = [message["role"] for message in json.loads(relayed(request).body)["messages"]]
    assert roles == ["user", "system", "user"]


SEARCH: dict[str, Any] = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "ducks"}}


def found(encrypted: str) -> dict[str, Any]:
    page = {"type": "web_search_result", "url": "https://d.example", "title": "Ducks", "encrypted_content": encrypted}
    return {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [page]}


def cited(encrypted: str) -> dict[str, Any]:
    citation = {"type": "web_search_result_location", "url": "https://d.example", "encrypted_index": encrypted}
    return {"type": "text", "text": "Ducks swim.", "citations": [citation]}


def test_T10_searches_and_citations_of_others_become_words() -> None:
    said = json.loads(relayed(answered(SEARCH, found(""), cited(""))).body)["messages"][1]["content"]
    assert [block["type"] for block in said] == ["text", "text", "text"]
    assert "ducks" in said[0]["text"]
    assert "https://d.example" in said[1]["text"]
    assert said[2] == {"type": "text", "text": "Ducks swim."}


@pytest.mark.parametrize(
    "content",
    [
        [SEARCH, found("EuAQ"), cited("Eo8B")],
        [{"type": "text", "text": "x", "citations": None}, {"type": "document", "citations": {"enabled": True}}],
        [{"type": "a_block_of_next_year", "content": [{"encrypted_content": ""}]}],
        [{"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"signature": reasoning.seal("p", "m", {})}}],
    ],
    ids=["its own search", "odd citations", "a new block", "our envelope in an input"],
)
def test_what_is_its_own_passes(content: list[dict[str, Any]]) -> None:
    data = orjson.dumps(answered(*content) | {"model": "claude-opus-5-5"})
    assert relayed(data).body is data


def test_R14_the_billing_line_stays() -> None:
    system = [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330;"}, {"type": "text", "text": "Be brief."}]
    assert json.loads(relayed(asked(system=system)).body)["system"] == system


def test_headers_of_the_protocol_go_on_under_our_key() -> None:
    client = {"anthropic-beta": "a-2026-01-01,b-2026-01-01", "anthropic-version": "2026-10-21", "x-claude-code-session-id": "s"}
    relay = relayed(asked(), key="sk-ours", client=client)
    for where in (relay.endpoint("https://a.example/v1"), relay.count_endpoint("https://a.example/v1")):
        assert where is not None
        assert where["headers"] == client | {"x-api-key": "sk-ours"}
    assert relayed(asked()).endpoint("https://a.example/v1")["headers"] == {"anthropic-version": "2023-06-01"}


# Claude at others


def test_vertex_wants_the_model_in_the_address() -> None:
    relay = relayed(asked(stream=True, metadata={"user_id": "u"}), mapping="vertex-anthropic", key="token")
    assert json.loads(relay.body) == {
        "max_tokens": 10,
        "messages": HELLO,
        "stream": True,
        "metadata": {"user_id": "u"},
        "anthropic_version": "vertex-2023-10-16",
    }
    assert relay.lost == {}
    base = "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5"
    where = relay.endpoint(base)
    assert where["url"] == f"{base}/publishers/anthropic/models/claude-opus-5-5:streamRawPredict"
    assert where["headers"] == {"authorization": "Bearer token", "anthropic-version": "2023-06-01"}
    whole = relayed(asked(), mapping="vertex-anthropic").endpoint(base)
    assert whole["url"] == f"{base}/publishers/anthropic/models/claude-opus-5-5:rawPredict"


def test_vertex_counts_with_the_model_in_the_body() -> None:
    relay = relayed(asked(system="Be brief.", tools=[]), mapping="vertex-anthropic")
    where = relay.count_endpoint("https://global-aiplatform.googleapis.com/v1/projects/p/locations/global")
    assert where is not None
    assert where["url"] == (
        "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/count-tokens:rawPredict"
    )
    assert json.loads(relay.count_body) == {
        "anthropic_version": "vertex-2023-10-16",
        "model": "claude-opus-5-5",
        "messages": HELLO,
        "system": "Be brief.",
        "tools": [],
    }


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("europe-west1", "europe-west1-aiplatform.googleapis.com"),
    ],
)
def test_the_hosts_of_vertex(location: str, host: str) -> None:
    base = f"https://{location}-aiplatform.googleapis.com/v1/projects/p/locations/{location}"
    where = relayed(asked(), mapping="vertex-anthropic").endpoint(base)
    assert where["url"].startswith(f"https://{host}/v1/projects/p/locations/{location}/publishers/")


@pytest.mark.parametrize(
    ("mapping", "betas"),
    [
        ("vertex-anthropic", "interleaved-thinking-2025-05-14,tool-search-tool-2025-10-19"),
        ("bedrock-anthropic", "claude-code-20250219,interleaved-thinking-2025-05-14,tool-search-tool-2025-10-19"),
        ("azure-anthropic", "claude-code-20250219,interleaved-thinking-2025-05-14,advanced-tool-use-2025-11-20"),
    ],
)
def test_betas_that_a_cloud_does_not_know_stay_behind(mapping: str, betas: str) -> None:
    told = "claude-code-20250219, interleaved-thinking-2025-05-14,advanced-tool-use-2025-11-20, fast-mode-2026-02-01"
    relay = relayed(asked(), mapping=mapping, client={"anthropic-beta": told, "anthropic-version": "2026-10-21"})
    for where in (relay.endpoint("https://c.example"), relay.count_endpoint("https://c.example")):
        assert where is not None
        assert where["headers"] == {"anthropic-beta": betas, "anthropic-version": "2026-10-21"}
    none = relayed(asked(), mapping=mapping, client={"anthropic-beta": "fast-mode-2026-02-01"}).endpoint("https://c.example")
    assert "anthropic-beta" not in none["headers"]


@pytest.mark.parametrize("mapping", ["bedrock-anthropic", "azure-anthropic"])
def test_the_bytes_are_the_clients_there_too(mapping: str) -> None:
    data = b'{"messages": [ {"role": "user", "content": "hi"} ], "model": "opus", "max_tokens": 10}'
    assert relayed(data, mapping=mapping).body == data.replace(b"opus", b"claude-opus-5-5")


# What comes back: a stream

START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-opus-5-5","id":"msg_1","type":"message",'
    b'"role":"assistant","content":[],"usage":{"input_tokens":3,"output_tokens":1}}      }\n\n'
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
WORDS = 'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"é 😀\\n\\nevent: error"}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"       }\n\n'
STREAM = START + PING + b": a comment\n\n" + WORDS.encode() + STOP


def fed(relay: Relay, pieces: list[bytes]) -> list[bytes]:
    return [*map(relay.receive, pieces), relay.finish()]


def cut(data: bytes, dice: random.Random) -> list[bytes]:
    places = sorted({0, len(data), *(dice.randrange(len(data)) for _ in range(dice.randrange(1, 30)))})
    return [data[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("seed", range(5))
def test_a_stream_passes_in_whole_events_however_it_is_cut(seed: int, line_end: bytes) -> None:
    data = STREAM.replace(b"\n", line_end)
    single = [bytes([byte]) for byte in data]
    for pieces in (cut(data, random.Random(seed)), single, [data]):
        out = fed(relayed(asked(model="claude-opus-5-5", stream=True)), pieces)
        assert b"".join(out) == data
        assert all(piece.endswith(line_end * 2) for piece in out if piece)


@pytest.mark.parametrize("ahead", [b"", PING, b": connected\n\n" + PING])
def test_the_model_has_the_name_that_the_client_asked_for(ahead: bytes) -> None:
    data = ahead + STREAM
    for pieces in ([data], [bytes([byte]) for byte in data]):
        out = b"".join(fed(relayed(asked(stream=True)), pieces))
        assert out == data.replace(b'"claude-opus-5-5"', b'"opus"')


def test_only_the_name_of_the_model_in_the_message_changes() -> None:
    start = START.replace(b'"id":"msg_1"', b'"container":{"model":"claude-opus-5-5"},"id":"msg_1"')
    start = start.replace(b'"message":{"model":"claude-opus-5-5",', b'"message":{').replace(b'"role"', b'"model":"there","role"')
    out = b"".join(fed(relayed(asked(stream=True)), [start + WORDS.replace("😀", '\\"model\\":\\"there\\"').encode() + STOP]))
    [first] = framing.SSE().feed(out[: out.index(b"\n\n") + 2])
    assert first["message"]["model"] == "opus"
    assert first["message"]["container"] == {"model": "claude-opus-5-5"}
    assert b'\\"model\\":\\"there\\"' in out


def test_S20_a_stream_that_breaks_off_is_an_error() -> None:
    relay = relayed(asked(stream=True))
    assert relay.receive(STREAM.removesuffix(STOP) + b'event: content_block_delta\ndata: {"type":"con').endswith(b'error"}}\n\n')
    with pytest.raises(ApiError, match="broke off"):
        relay.finish()


@pytest.mark.parametrize("nothing", [b"", b": connected\n\n", b"\n\n"])
def test_S34_a_stream_with_nothing_in_it_is_an_error(nothing: bytes) -> None:
    with pytest.raises(ApiError, match="broke off"):
        fed(relayed(asked(stream=True)), [nothing])


@pytest.mark.parametrize(
    "last", [STOP, b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n']
)
def test_the_last_event_needs_no_blank_line(last: bytes) -> None:
    out = fed(relayed(asked(stream=True, model="claude-opus-5-5")), [START + last.removesuffix(b"\n\n")])
    assert b"".join(out) == START + last


def test_words_about_an_end_are_no_end() -> None:
    relay = relayed(asked(stream=True))
    relay.receive(START + WORDS.encode())
    assert not relay.is_complete
    relay.receive(STOP)
    assert relay.is_complete


def test_an_event_without_an_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_CHUNK", 100)
    relay = relayed(asked(stream=True))
    relay.receive(b"event: x\ndata: " + b"x" * 50)
    with pytest.raises(ApiError, match="does not end"):
        relay.receive(b"x" * 50)


# What comes back: a whole answer


def test_a_whole_answer_passes() -> None:
    reply = b'{ "type": "message", "content": [ {"type": "text", "text": "\\u00e9"} ], "model": "claude-opus-5-5", "n": 1.0 }'
    assert relayed(asked(model="claude-opus-5-5")).answer(reply) is reply
    assert relayed(asked()).answer(reply) == reply.replace(b"claude-opus-5-5", b"opus")


@pytest.mark.parametrize("reply", [b"<html>Bad gateway</html>", b'{"type":"error","error":{"message":"no"}}', b"[]", b"{}"])
def test_what_is_no_message_is_an_error(reply: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        relayed(asked()).answer(reply)
    assert caught.value.status == 500


def test_an_empty_body_is_told_to_be_one() -> None:
    with pytest.raises(ApiError, match=r"anthropic: it answered with success \(HTTP 200\) and an empty body"):
        relayed(asked()).answer(b"\r\n")


def test_a_refusal_in_anthropics_form_passes() -> None:
    refusal = b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 2 tokens > 1 maximum"}'
    relay = relayed(asked(), key="sk-secret")
    theirs = refusal + b', "request_id": "req_theirs"}'
    assert relay.as_it_came(theirs, "req_ours") is theirs
    assert relay.as_it_came(refusal + b"}", "req_ours") == refusal + b',"request_id":"req_ours"}'
    for other in (b"<html>", b'{"message":"Forbidden"}', b'{"error":{"message":"no"}}', b'{"type":"error","error":"no"}', b"[]"):
        assert relay.as_it_came(other, "req_ours") is None


def test_a_refusal_that_quotes_the_key_is_told_without_it() -> None:
    refusal = b'{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key: sk-secret"}}'
    relay = relayed(asked(), key="sk-secret")
    assert relay.as_it_came(refusal, "req_ours") is None
    error = relay.refuse(401, refusal, {})
    assert (error.status, error.type) == (401, "authentication_error")
    assert "sk-secret" not in error.message


GIVEN_AWAY = [
    "the rate limit for your organization (1a2b3c4d-1234-4abc-8def-0123456789ab) is 40,000 tokens per minute",
    "no route to 10.1.2.3:8080",
    "write to ops@corp.example",
    "arn:aws:iam::123456789012:user/bob may not invoke this",
    "sk\\u002dsecret is refused",
    'out of order\nTraceback (most recent call last):\n  File "x.py", line 1, in <module>\n',
]


@pytest.mark.parametrize("message", GIVEN_AWAY)
def test_a_refusal_that_gives_something_away_is_told_in_our_form(message: str) -> None:
    reply = {"type": "error", "error": {"type": "api_error", "message": message}}
    refusal = orjson.dumps(reply).replace(b"\\\\u", b"\\u")
    relay = relayed(asked(stream=True), key="sk-secret")
    assert relay.as_it_came(refusal, "req_ours") is None
    for piece in (START, WORDS.encode()):
        relay.receive(piece)
    [told] = framing.SSE().feed(relay.receive(b"event: error\ndata: " + refusal + b"\n\n"))
    assert relay.failure
    assert told == {"type": "error", "error": {"type": relay.failure.type, "message": relay.failure.message}}
    assert told["error"]["message"].startswith("anthropic: ")
    assert not any(word in told["error"]["message"] for word in ("1a2b", "10.1", "corp", "arn:", "secret", "Traceback"))


def test_an_error_in_the_middle_of_a_stream_passes_where_it_gives_nothing_away() -> None:
    event = b'event: error\ndata: {"type":"error", "error":{"type":"overloaded_error","message":"Overloaded"} }\n\n'
    relay = relayed(asked(stream=True, model="claude-opus-5-5"), key="sk-secret")
    assert b"".join(fed(relay, [START + WORDS.encode(), event])) == START + WORDS.encode() + event
    assert relay.failure
    assert (relay.failure.status, relay.failure.message) == (529, "anthropic: Overloaded")


OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'


@pytest.mark.parametrize("end", [b"event: error\ndata: " + OVERLOADED + b"\n\n", STOP], ids=["an error", "the end"])
def test_what_comes_behind_the_end_is_nobodys(end: bytes) -> None:
    behind = b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"bad key sk-secret"}}\n\n'
    relay = relayed(asked(stream=True, model="claude-opus-5-5"), key="sk-secret")
    assert relay.receive(START + end + behind) == START + end


def test_an_error_may_say_last_that_it_is_one() -> None:
    event = b"data: " + OVERLOADED + b"\nevent: error\n\n"
    relay = relayed(asked(stream=True, model="claude-opus-5-5"))
    assert relay.receive(START + event) == START + event
    assert relay.failure
    assert relay.failure.status == 529


def test_limits_come_back_and_whose_account_it_is_does_not() -> None:
    limits = {"anthropic-ratelimit-requests-remaining": "9", "retry-after": "3", "x-should-retry": "true"}
    assert dict(passed({"content-type": "x", "anthropic-organization-id": "org", "cf-ray": "1", **limits})) == limits
