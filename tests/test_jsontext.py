"""JSON text that providers write and orjson refuses, and text that comes in pieces."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.wire.jsontext import Extent, dumps, dumps_all, loads


def extent(pieces):
    found = Extent()
    return "".join(found.cut(piece) for piece in pieces if not found.is_whole), found.is_whole


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": "\\ud83d"}', {"a": "\ud83d"}), ('"a\nb"', "a\nb"), (b"[Infinity]", [float("inf")])],
)
def test_what_orjson_refuses_is_read(text, value):
    assert loads(text) == value


@pytest.mark.parametrize("text", ["", "x", "{", b"\xff", '{"a":1,}'])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011
        loads(text)


def test_what_is_nested_beyond_reading_is_a_value_error():
    with pytest.raises(ValueError, match="nested"):
        loads("[" * 100_000)


@pytest.mark.parametrize("value", [{"a": "\ud83d"}, [10**30]])
def test_what_orjson_refuses_is_written(value):
    assert json.loads(dumps(value)) == value


texts = st.text('a"\\{}[] \n', max_size=6)
values = st.recursive(texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=5)


@given(st.lists(st.text() | st.text('",\\\n\ud83dü')))
def test_several_strings_are_written_one_by_one(texts):
    assert [json.loads(text) for text in dumps_all(texts)] == texts


@settings(max_examples=300)
@given(values, texts, st.data())
def test_the_end_of_a_value_is_found_wherever_its_text_is_cut(value, rest, data):
    text = json.dumps(value)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text + rest)), max_size=8)))
    pieces = [(text + rest)[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    assert extent(pieces) == (text, True)
    assert extent([text[:-1]]) == (text[:-1], False)


def test_a_text_that_is_no_object_array_or_string_has_no_end():
    assert extent(["12", '{"a":1}', " x"]) == ('12{"a":1} x', False)
