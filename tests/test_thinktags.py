"""Thinking that stands in the text itself (S30)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.wire.thinktags import ThinkTags


def split(*texts: str, unopened: bool = False) -> tuple[str, str]:
    """What came out as thinking, and what as text."""
    tags = ThinkTags(unopened=unopened)
    pieces = [piece for text in texts for piece in tags.feed(text)] + tags.end()
    return tuple("".join(text for kind, text in pieces if kind == wanted) for wanted in ("thinking", "text"))


@pytest.mark.parametrize("name", ["think", "thought", "thinking"])
def test_S30_a_tag_at_the_start_makes_thinking_of_what_follows(name):
    assert split(f"<{name}>\nhm</{name}>\n\nHello") == ("hm", "Hello")


def test_S30_a_tag_may_be_cut_anywhere():
    assert split(*"  <think>hm</think>Hello") == ("hm", "Hello")


def test_S30_thinking_goes_out_before_it_is_closed():
    tags = ThinkTags()
    assert tags.feed("<think>hm ") == [("thinking", "hm ")]
    assert tags.feed("hm</thi") == [("thinking", "hm")]
    assert tags.feed("s is no tag") == [("thinking", "</this is no tag")]


def test_S30_a_model_may_begin_within_its_thinking():
    assert split("hm", "</think>", "Hello", unopened=True) == ("hm", "Hello")
    assert split("<think>hm</think>Hello", unopened=True) == ("hm", "Hello")


@pytest.mark.parametrize("text", ["<thi", " <b>bold</b>", "\n<", "<thinker>", "Say <think>.", "", " ", "</think>"])
def test_S30_what_only_looks_like_a_tag_is_text(text):
    assert split(*text) == ("", text)


def test_S30_a_later_tag_is_text():
    assert split("<think>hm</think>Write <think>x</think>.") == ("hm", "Write <think>x</think>.")


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["<", "think", ">", "</", "hm", " ", "\n", "<think>", "</think>"])), st.booleans(), st.data())
def test_where_the_text_is_cut_makes_no_difference(words, unopened, data):
    text = "".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(*pieces, unopened=unopened) == split(text, unopened=unopened)


@settings(max_examples=200)
@given(st.text("<>/think ", max_size=30))
def test_no_text_is_lost_but_the_tags(text):
    thinking, said = split(text)
    assert said == text if not thinking else (thinking + said).replace(" ", "") in _without_tags(text).replace(" ", "")


def _without_tags(text: str) -> str:
    return text.replace("<think>", "", 1).replace("</think>", "", 1)
