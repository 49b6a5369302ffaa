"""Bytes to chunks, and events to bytes."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.wire import framing
from engine.wire.framing import DECODERS, NDJSON, PING, SSE, FramingError, JSONArray, encode

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.text(max_size=4) | st.sampled_from(['"}', "é", "😀", "[DONE]"]), values, min_size=1, max_size=3)


def decode(framing, *pieces):
    decoder = DECODERS[framing]()
    chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)]
    return chunks + decoder.end()


def cut(body: bytes, places: list[int]) -> list[bytes]:
    places = sorted(place % (len(body) + 1) for place in places)
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


@st.composite
def sse_bodies(draw):
    """Chunks, and a body that holds them in one of the many ways that the standard allows."""
    chunks = draw(st.lists(objects, max_size=5))
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = []
    for chunk in chunks:
        lines += draw(st.sampled_from([[], [": keep-alive", ""], [":"], ["event: message"], ["id: 1", "retry:5"], ["", ""]]))
        text = json.dumps(chunk, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        lines += [draw(st.sampled_from(["data:", "data: "])) + line for line in text.split("\n")]
        lines.append("")
    mark = draw(st.sampled_from(["", "\ufeff"]))
    last = draw(st.sampled_from([newline, ""]))
    return chunks, (mark + newline.join(lines) + last).encode()


@settings(max_examples=300)
@given(sse_bodies(), st.lists(st.integers(0, 2000), max_size=20))
def test_S26_events_are_read_by_the_standard_wherever_the_bytes_are_cut(body, places):
    chunks, data = body
    assert decode("sse", *cut(data, places)) == chunks


@settings(max_examples=100)
@given(st.lists(objects, max_size=4), st.lists(st.integers(0, 500), max_size=10), st.booleans())
def test_lines_and_arrays_are_read_wherever_the_bytes_are_cut(chunks, places, pretty):
    lines = "\n\r\n".join(json.dumps(chunk, ensure_ascii=False) for chunk in chunks).encode()
    assert decode("ndjson", *cut(lines, places)) == chunks
    array = json.dumps(chunks, ensure_ascii=False, indent=2 if pretty else None).encode()
    assert decode("json_array", *cut(array, places)) == chunks


def test_S26_every_byte_on_its_own():
    body = 'event: x\r\ndata:{"a":"é😀"}\r\n\r\n: comment\r\n\r\ndata: {"b":\r\ndata: 1}\r\n\r\n'.encode()
    assert decode("sse", *(bytes([byte]) for byte in body)) == [{"a": "é😀"}, {"b": 1}]


@pytest.mark.parametrize("event", ["data", "data:", "data:  ", "event: ping", ": comment", "id", "unknown: field", "data: "])
def test_S26_an_event_without_data_is_no_chunk(event):
    assert decode("sse", f'data: {{"a":1}}\n\n{event}\n\n'.encode()) == [{"a": 1}]


def test_an_event_is_given_as_soon_as_it_is_complete():
    decoder = SSE()
    assert decoder.feed(b'data: {"a":1}\n\ndata: {"b"') == [{"a": 1}]
    assert decoder.feed(b":2}\r") == []
    assert decoder.feed(b"\n\r") == [{"b": 2}]
    assert decoder.feed(b'\ndata: {"c":3}\r\r') == [{"c": 3}]
    assert decoder.feed(b"event: error\r") + decoder.feed(b"") + decoder.feed(b"\ndata: 4\r\r") == [{"error": 4}]


def test_S27_the_done_mark_is_no_chunk():
    decoder = SSE()
    assert decoder.feed(b'data: {"a":1}\n\n') == [{"a": 1}]
    assert not decoder.done
    assert decoder.feed(b"data:[DONE]\n\n") == []
    assert decoder.done


def test_S26_the_last_event_needs_no_blank_line():
    assert decode("sse", b'data: {"a":1}\n\ndata: {"b":2}') == [{"a": 1}, {"b": 2}]
    decoder = SSE()
    assert decoder.feed(b"data: [DONE]") == []
    assert decoder.end() == []
    assert decoder.done


@pytest.mark.parametrize("framing", ["sse", "ndjson", "json_array"])
def test_S20_a_chunk_that_is_cut_off_is_left_out(framing):
    whole = {"sse": b'data: {"a":1}\n\n', "ndjson": b'{"a":1}\n', "json_array": b'[{"a":1},'}[framing]
    cut_off = {"sse": b'data: {"b":', "ndjson": b'{"b":', "json_array": b'{"b":'}[framing]
    assert decode(framing, whole, cut_off) == [{"a": 1}]


def test_S22_an_error_event_is_an_error_whatever_its_data_look_like():
    assert decode("sse", b'event: error\ndata: {"message":"m"}\n\n') == [{"error": {"message": "m"}}]
    assert decode("sse", b'event: error\ndata: {"error":{"message":"m"}}\n\n') == [{"error": {"message": "m"}}]
    assert decode("sse", b"event: error\ndata: Internal Server Error\n\n") == [{"error": "Internal Server Error"}]


def test_data_that_is_no_json_is_an_error():
    with pytest.raises(FramingError, match="the provider sent what is no JSON: oops"):
        decode("sse", b"data: oops\n\n")


@pytest.mark.parametrize("framing", ["sse", "ndjson", "json_array"])
def test_a_page_of_html_is_an_error(framing):
    with pytest.raises(FramingError, match="<html>"):
        decode(framing, b"<html>\n<body>502: Bad Gateway</body>\n\n</html>")


def test_a_json_document_in_place_of_a_stream_is_its_only_chunk():
    decoder = SSE()
    assert decoder.feed(b'\n \n{\n  "error": {\n\n') == []
    assert decoder.feed(b'"code": 404}}\r\n') == []
    assert decoder.end() == [{"error": {"code": 404}}]
    assert decoder.done
    assert decoder.end() == []
    assert decode("sse", b'[{"error": 1}]') == [{"error": 1}]


def test_an_array_is_done_with_its_bracket():
    decoder = JSONArray()
    assert decoder.feed(b'[{"a":"]}"},\r\n') == [{"a": "]}"}]
    assert not decoder.done
    assert decoder.feed(b'{"b":1}\n]') == [{"b": 1}]
    assert decoder.done


def test_what_orjson_refuses_is_read_and_written_all_the_same():
    half, other = SSE().feed(b'data: {"a":"\\ud83d"}\n\ndata: {"a":"\\ude00"}\n\n')
    events = [{"type": "x", "text": half["a"]}, {"type": "x", "text": other["a"]}]
    assert encode(events) == (
        b'event: x\ndata: {"type":"x","text":"\\ud83d"}\n\nevent: x\ndata: {"type":"x","text":"\\ude00"}\n\n'
    )
    assert str(NDJSON().feed(b'{"logprob": NaN}\n')) == "[{'logprob': nan}]"


@pytest.mark.parametrize("decoder", [SSE, NDJSON, JSONArray])
def test_a_provider_cannot_fill_the_memory(decoder, monkeypatch):
    monkeypatch.setattr(framing, "MAX_CHUNK", 1000)
    endless = decoder()
    endless.feed(b'{"' + b"a" * 900)
    with pytest.raises(FramingError, match="more than 1000 bytes"):
        endless.feed(b"a" * 900)


def test_events_have_their_name_beside_their_data():
    assert encode([{"type": "message_stop"}, {"type": "x", "é": 1}]) == (
        'event: message_stop\ndata: {"type":"message_stop"}\n\nevent: x\ndata: {"type":"x","é":1}\n\n'.encode()
    )
    assert PING == b'event: ping\ndata: {"type":"ping"}\n\n'


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.text(max_size=5), values, max_size=3).map(lambda event: {"type": "x", **event})))
def test_what_is_encoded_can_be_decoded(events):
    events = [{**event, "type": "x"} for event in events]
    assert decode("sse", encode(events)) == events


def recorded():
    for path in sorted(CORPUS.glob("*/*.json")):
        record = json.loads(path.read_text())
        if record["stream"] and record["stream_format"] in DECODERS and isinstance(record["response_raw"], str):
            yield record["stream_format"], record["response_raw"].encode()


@pytest.mark.skipif(not CORPUS.exists(), reason="the recorded traffic is not beside the repository")
def test_S26_recorded_streams_are_read_the_same_wherever_they_are_cut():
    bodies = list(recorded())
    assert len(bodies) > 300
    for form, body in bodies:
        whole = decode(form, body)
        assert whole
        assert decode(form, *(body[start : start + 97] for start in range(0, len(body), 97))) == whole
        if form == "sse":
            assert decode(form, *cut(body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), [501, 502, 777])) == whole


def test_a_line_that_is_no_field_is_no_part_of_the_data():
    with pytest.raises(FramingError, match="no JSON"):
        SSE().feed(b'data: {"a":1}\n\ndata: [1,\n2]\n\n')


def test_the_limit_holds_for_the_piece_that_completes_a_chunk(monkeypatch):
    monkeypatch.setattr(framing, "MAX_CHUNK", 1000)
    endless = SSE()
    endless.feed(b'data: {"a":"' + b"a" * 900)
    with pytest.raises(FramingError, match="without an end"):
        endless.feed(b"a" * 900 + b'"}\n\n')
