"""Stop sequences that are enforced here (R23, S40)."""

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.wire.stopping import StopSequences


def stop(texts, sequences):
    """The text that came out, and the sequence that was met."""
    stops = StopSequences(sequences)
    out = "".join(stops.feed(text) for text in texts)
    return out + stops.end(), stops.hit


def test_S40_text_ends_before_the_sequence_and_the_sequence_is_known():
    assert stop(["one STOP two"], ["STOP"]) == ("one ", "STOP")


def test_R23_a_sequence_may_be_cut_anywhere():
    assert stop("one STOP two", ["STOP"]) == ("one ", "STOP")


def test_only_what_could_begin_a_sequence_is_held_back():
    stops = StopSequences(["</block>", "STOP"])
    assert stops.feed("a <b> </blo") == "a <b> "
    assert stops.feed("b S") == "</blob "
    assert stops.feed("o") == "So"
    assert stops.feed("ST") == ""
    assert stops.end() == "ST"


def test_the_sequence_that_is_complete_first_counts():
    assert stop(["abcd"], ["abcd", "bc"]) == ("a", "bc")
    assert stop(["abc"], ["c", "bc"]) == ("a", "bc")


def test_empty_sequences_stop_nothing():
    assert stop(["abc"], ["", "x"]) == ("abc", None)


@settings(max_examples=300)
@given(st.text("ab\n", max_size=30), st.lists(st.text("ab\n", max_size=4), max_size=3), st.data())
def test_where_the_text_is_cut_makes_no_difference(text, sequences, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    out, hit = stop(pieces, sequences)
    ends = [text.find(sequence) + len(sequence) for sequence in sequences if sequence and sequence in text]
    assert (out, hit) == stop([text], sequences)
    assert (out + hit if hit else out) == (text[: min(ends)] if ends else text)
