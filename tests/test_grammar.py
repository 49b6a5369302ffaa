"""The validator refuses what it should."""

import copy

import pytest

from engine.wire.assembler import Assembler
from tests.grammar import check


def good():
    assembler = Assembler("m", message_id="msg_1")
    deltas = [{"thinking": "a"}, {"text": "b"}, {"tool": {"name": "R", "json": {"x": 1}}}, {"tool": {"name": "W"}}]
    return [event for delta in deltas for event in assembler.feed(delta)] + assembler.end(True)


EVENTS = good()
THINKING, TEXT, CALL, ARGUMENTS, NEXT_CALL = 2, 6, 8, 9, 11  # the places of a delta, a delta, a start, a delta, a start


def test_a_good_stream_passes_with_pings_anywhere():
    check(EVENTS)
    for place in range(len(EVENTS)):
        check([*EVENTS[:place], {"type": "ping"}, *EVENTS[place:]])


@pytest.mark.parametrize("place", [place for place in range(len(EVENTS)) if place not in (THINKING, TEXT)])
def test_no_event_may_be_missing_or_come_twice_or_be_the_last(place):
    for broken in (EVENTS[:place] + EVENTS[place + 1 :], EVENTS[: place + 1] + EVENTS[place:], EVENTS[:place]):
        with pytest.raises(AssertionError):
            check(broken)


@pytest.mark.parametrize("place", range(len(EVENTS) - 1))
def test_no_event_may_come_too_late(place):
    with pytest.raises(AssertionError):
        check([*EVENTS[:place], EVENTS[place + 1], EVENTS[place], *EVENTS[place + 2 :]])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((0, "message", "usage", "input_tokens"), None),
        ((0, "message", "content"), [{}]),
        ((1, "index"), 1),
        ((1, "content_block", "type"), "text"),
        ((1, "content_block", "thinking"), "a"),
        ((THINKING, "delta", "thinking"), ""),
        ((CALL, "content_block", "id"), ""),
        ((CALL, "content_block", "input"), {"x": 1}),
        ((ARGUMENTS, "delta", "partial_json"), "{"),
        ((NEXT_CALL, "content_block", "id"), EVENTS[CALL]["content_block"]["id"]),
        ((-2, "delta", "stop_reason"), "end_turn"),
        ((-2, "delta", "stop_sequence"), "x"),
        ((-2, "usage", "output_tokens"), 1.5),
        ((-1,), {"type": "error", "error": {"message": "x"}}),
    ],
)
def test_no_field_may_be_wrong(path, value):
    broken = copy.deepcopy(EVENTS)
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises((AssertionError, KeyError)):
        check(broken)


def test_a_call_may_be_cut_off_by_max_tokens_or_an_error():
    cut_off = {**EVENTS[ARGUMENTS], "delta": {"type": "input_json_delta", "partial_json": '{"x'}}
    answer = [*EVENTS[:ARGUMENTS], cut_off, EVENTS[ARGUMENTS + 1]]
    check([*answer, {**EVENTS[-2], "delta": {"stop_reason": "max_tokens", "stop_sequence": None}}, EVENTS[-1]])
    check([*answer[:-1], {"type": "error", "error": {"type": "api_error", "message": "broke off"}}])
    check([*answer, *EVENTS[-2:]], broken_json=True)
