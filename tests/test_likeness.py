"""What is read of chunks that are like the last: the same comes of them as if each were read as a whole."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.answers import FORMATS
from engine import load_mapping
from engine.mapping.opaque import passed_as
from engine.wire import framing
from engine.wire.framing import SSE, FramingError
from engine.wire.likeness import TRIES, Likeness

STREAM = load_mapping("openai-chat").stream
TEXTS = st.text(max_size=8) | st.sampled_from(
    ['"', "\\", '\\"', "\n", "content", "a", "ab", "b", "the text that differs", '"a","b":"c']
)


def chunk(field: str, text: str, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {field: text}, "finish_reason": None}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "content", "choices": [choice], "usage": None, **more}


def deltas_of(read: Any) -> list[Any]:
    return [{read[0]: text} for text in read[1]] if type(read) is tuple else STREAM(read, "m")


def texts_in(chunks: list[Any]) -> int:
    """Of how many chunks only a text was read."""
    return sum(len(each[1]) for each in chunks if type(each) is tuple)


def chunk_of(likeness: Likeness, data: bytes) -> Any:
    if text := likeness.recognise(b"data: " + data):
        return likeness.kind, [text]
    return likeness.read(b"data: ", data)


def read(data: Sequence[bytes]) -> tuple[list[Any], int]:
    """The deltas of a stream of such data, and of how many chunks only a text was read."""
    likeness = Likeness(partial(passed_as, STREAM, "m"))
    chunks = [chunk_of(likeness, each) for each in data]
    deltas = [delta for each in chunks for delta in deltas_of(each)]
    return deltas, texts_in(chunks)


def read_whole(data: Sequence[bytes]) -> list[Any]:
    return [delta for each in data for delta in STREAM(orjson.loads(each), "m")]


def test_of_chunks_like_the_last_only_the_text_is_read() -> None:
    data = [json.dumps(chunk("content", f"word{number}")).encode() for number in range(100)]
    deltas, likes = read(data)
    assert deltas == [{"text": f"word{number}"} for number in range(100)]
    assert likes == 98


@pytest.mark.parametrize("field", ["content", "reasoning_content", "refusal"])
def test_any_text_that_becomes_a_delta(field: str) -> None:
    data = [json.dumps(chunk(field, text)).encode() for text in ("a", "b", "", "c", "\n", '"', "ü", "😀")]
    deltas, likes = read(data)
    assert deltas == read_whole(data)
    assert likes == 5


def test_where_something_else_differs_each_is_read() -> None:
    data = [json.dumps(chunk("content", "a", sequence=number)).encode() for number in range(9)]
    assert read(data) == (read_whole(data), 0)


def test_where_the_second_is_told_it_is_looked_again() -> None:
    data = [json.dumps(chunk("content", str(number), created=number // 50)).encode() for number in range(500)]
    deltas, likes = read(data)
    assert deltas == read_whole(data)
    assert likes == 480


def test_where_nothing_is_alike_it_is_looked_no_more() -> None:
    likeness = Likeness(partial(passed_as, STREAM, "m"))
    data = [json.dumps(chunk("content", str(number), sequence=number)).encode() for number in range(TRIES + 1)]
    for each in data[:-1]:
        chunk_of(likeness, each)
    assert not likeness.is_over
    chunk_of(likeness, data[-1])
    assert likeness.is_over


def test_where_a_text_is_looked_into_nobody_asks_again() -> None:
    likeness = Likeness(lambda chunk, mark: None)
    for text in ("a", "b"):
        chunk_of(likeness, json.dumps(chunk("content", text)).encode())
    assert likeness.is_over


def test_a_decoder_goes_on_without_what_is_not_worth_it() -> None:
    decoder = SSE()
    decoder.likeness = Likeness(lambda chunk, mark: None)
    chunks = decoder.feed(b"".join(FORMATS[b"/chat/completions"].stream))
    assert decoder.likeness is None
    assert chunks == SSE().feed(b"".join(FORMATS[b"/chat/completions"].stream))


def test_a_stream_by_any_name_is_read_so() -> None:
    """Beside its own, the event's name stands before each chunk."""
    decoder = SSE()
    decoder.likeness = Likeness(partial(passed_as, STREAM, "m"))
    told = b"".join(b"event: chunk\n" + event for event in FORMATS[b"/chat/completions"].stream)
    assert texts_in(decoder.feed(told)) > 90


def test_a_chunk_that_is_nested_deeply_is_read_as_before() -> None:
    data = [
        orjson.dumps(chunk("content", text))[:-1] + b',"deep":' + b"[" * 1000 + b"]" * 1000 + b"}" for text in ("a", "b", "c")
    ]
    assert read(data) == ([{"text": "a"}, {"text": "b"}, {"text": "c"}], 0)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.builds(chunk, st.sampled_from(["content"] * 6 + ["reasoning", "refusal", "tool_calls", "role"]), TEXTS)
        | st.builds(chunk, st.just("content"), st.just("same"), system_fingerprint=TEXTS, content=TEXTS),
        max_size=12,
    ),
    st.booleans(),
    st.booleans(),
)
@example([chunk("content", text) for text in ("a", "ab", "a", "", "b", '"', "\\", "b")], True, True)
def test_the_same_comes_of_any_stream(chunks: list[dict[str, Any]], ascii: bool, spaces: bool) -> None:
    separators = None if spaces else (",", ":")
    data = [json.dumps(each, ensure_ascii=ascii, separators=separators).encode() for each in chunks]
    assert read(data)[0] == read_whole(data)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.binary(max_size=3), min_size=2, max_size=4),
    st.lists(st.sampled_from([b"a", b"ab", b'"', b"\\", b'\\"', b""]), max_size=6),
)
def test_what_is_no_json_is_refused_as_before(rest: list[bytes], texts: list[bytes]) -> None:
    likeness = Likeness(partial(passed_as, STREAM, "m"))
    before = b'{"choices":[{"index":0,"delta":{"content":"'
    for text in texts:
        data = before + text + b'"}}]}' + rest[len(text) % len(rest)]
        try:
            expected = STREAM(orjson.loads(data), "m")
        except ValueError:
            with pytest.raises(orjson.JSONDecodeError):
                chunk_of(likeness, data)
        else:
            found = chunk_of(likeness, data)
            assert deltas_of(found) == expected


BEFORE, AFTER = b'{"choices":[{"index":0,"delta":{"content":"', b'"}}]}'


def chunks_of(decoder: SSE, piece: bytes) -> list[Any]:
    if decoder.likeness and (text := decoder.recognise(piece)):
        return [(decoder.likeness.kind, [text])]
    return decoder.feed(piece)


def deltas_of_stream(decoder: SSE, pieces: Sequence[bytes]) -> list[Any] | None:
    """None where it is no stream."""
    try:
        return [delta for piece in pieces for each in chunks_of(decoder, piece) for delta in deltas_of(each)]
    except FramingError:
        return None


def test_chunks_that_come_together_are_read_together() -> None:
    decoder = SSE()
    decoder.likeness = Likeness(partial(passed_as, STREAM, "m"))
    texts = ["a", "b", "c", *(f"{number}\n" for number in range(100)), '"', "after it"]
    told = b"".join(b"data: " + json.dumps(chunk("content", text)).encode() + b"\n\n" for text in texts)
    chunks = decoder.feed(told)
    assert [delta["text"] for each in chunks for delta in deltas_of(each)] == texts
    assert sum(type(each) is tuple for each in chunks) < 10


def test_a_long_stretch_is_not_copied_over_and_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the chunks were alike, and are not any more."""
    copied: list[int] = []

    class BlankLine:
        def split(self, events: bytes, most: int) -> list[bytes]:
            copied.append(len(events))
            return events.split(b"\n\n", most or -1)

    monkeypatch.setattr(framing, "_BLANK_LINE", BlankLine())
    unlike = [chunk("content", "e", number=number, other=number) for number in range(10_000)]
    told = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in [*(chunk("content", text) for text in "abcd"), *unlike])
    decoder = SSE()
    decoder.likeness = Likeness(partial(passed_as, STREAM, "m"))
    assert len(decoder.feed(told)) == 10_004
    assert sum(copied) < 15 * len(told)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda text, rest: BEFORE + text + AFTER + rest,
            st.lists(
                st.sampled_from([b"a", b"b", b'"', b"\\", b"\\n", b"\\ud83d", b"\t", b"\xff", b"\xc3\xbc", AFTER]), max_size=3
            ).map(b"".join),
            st.sampled_from([b""] * 8 + [b" ", b",", b"\n", b"\n: ping", b"\n\n: ping"]),
        )
        | st.sampled_from([b"[DONE]", b'{"choices":[]}', b""]),
        max_size=20,
    ),
    st.lists(st.integers(1, 400), max_size=6),
)
@example([BEFORE + text + AFTER for text in (b"a", b"b", b"c", b"d", b"\\", b"e", b"f")], [])
@example([BEFORE + text + AFTER for text in (b"a", b"b", b"c", b"d", b"", b"e", b"f")], [])
def test_the_same_comes_of_any_stream_in_any_pieces(data: list[bytes], cuts: list[int]) -> None:
    told = b"".join(b"data: " + each + b"\n\n" for each in data)
    pieces = [told[sum(cuts[:number]) : sum(cuts[: number + 1])] for number in range(len(cuts))] + [told[sum(cuts) :]]
    decoder = SSE()
    decoder.likeness = Likeness(partial(passed_as, STREAM, "m"))
    assert deltas_of_stream(decoder, pieces) == deltas_of_stream(SSE(), pieces)


def test_thoughts_and_then_words_are_both_read_so() -> None:
    told = [("role", "assistant"), *[("reasoning_content", str(number)) for number in range(5)]]
    data = [json.dumps(chunk(*each)).encode() for each in [*told, *[("content", str(number)) for number in range(50)]]]
    deltas, likes = read(data)
    assert deltas == read_whole(data)
    assert likes == 3 + 48


CORPUS = Path(__file__).parents[2] / "shared" / "corpus"


def recorded() -> Iterator[tuple[bytes, list[Any]]]:
    """The streams of OpenAI's chat format as they came, and their chunks."""
    for path in sorted(CORPUS.glob("*/*.json")):
        record = json.loads(path.read_text())
        body = record.get("response_raw")
        if record["stream"] and record["stream_format"] == "sse" and isinstance(body, str) and "chat.completion.chunk" in body:
            try:
                yield body.encode(), SSE().feed(body.encode())
            except FramingError:
                continue


@pytest.mark.skipif(not CORPUS.exists(), reason="the recorded traffic is not beside the repository")
def test_recorded_streams_give_the_same_deltas() -> None:
    whole = like = 0
    for body, chunks in recorded():
        decoder = SSE()
        decoder.likeness = Likeness(partial(passed_as, STREAM, "m"))
        read = decoder.feed(body)
        assert [delta for each in read for delta in deltas_of(each)] == [delta for each in chunks for delta in STREAM(each, "m")]
        whole += len(chunks)
        like += texts_in(read)
    assert like > whole / 3
