"""Deltas to events: each rule of the stream by the id of the failure that it prevents, then any deltas at all."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.wire.assembler import Assembler, fold
from engine.wire.framing import encode
from tests.grammar import check, sdk_message


def stream(*deltas: dict[str, Any], clean: bool = True, **options: Any) -> list[dict[str, Any]]:
    """All events of an answer, well-formed."""
    assembler = Assembler("claude", message_id="msg_x1", **options)
    events = [event for delta in deltas for event in assembler.feed(delta)] + assembler.end(clean)
    check(events)
    return events


def message(*deltas: dict[str, Any], **options: Any) -> dict[str, Any]:
    return fold(stream(*deltas, **options))


def blocks(*deltas: dict[str, Any], **options: Any) -> list[Any]:
    """The content in short: text is a string, thinking a tuple with its signature, a call a list of name and input."""
    short = {
        "text": lambda block: block["text"],
        "thinking": lambda block: (block["thinking"], block["signature"]),
        "tool_use": lambda block: [block["name"], block["input"]],
        "redacted_thinking": lambda block: block,
    }
    return [short[block["type"]](block) for block in message(*deltas, **options)["content"]]


def outline(events: list[dict[str, Any]]) -> str:
    """The events in short: `+kind` opens, `-` closes, the rest is what the deltas hold."""
    short = {
        "content_block_start": lambda event: "+" + event["content_block"]["type"],
        "content_block_delta": lambda event: next(value for name, value in event["delta"].items() if name != "type"),
        "content_block_stop": lambda event: "-",
    }
    return " ".join(short.get(event["type"], lambda event: event["type"])(event) for event in events)


def call(json: Any = None, **told: Any) -> dict[str, Any]:
    return {"tool": {**told, "json": json}}


def seal(state: dict[str, Any]) -> str:
    return "sealed " + json.dumps(state, sort_keys=True)


# The message


def test_a_whole_answer_event_by_event():
    events = stream(
        {"start": {"id": "theirs", "model": "theirs"}},
        {"usage": {"input_tokens": 5}},
        {"text": "Hel"},
        {"text": "lo"},
        {"stop": "end_turn"},
        {"usage": {"output_tokens": 2}},
    )
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
    assert events == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_x1",
                "type": "message",
                "role": "assistant",
                "model": "claude",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "stop_details": None,
                "usage": usage,
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {**usage, "output_tokens": 2},
        },
        {"type": "message_stop"},
    ]


def test_S02_S21_the_message_starts_once_and_not_before_there_is_something_to_say():
    assembler = Assembler("claude", message_id="msg_1")
    for delta in ({"start": {"id": "a"}}, {"text": ""}, {"usage": {"input_tokens": 1}}, {"text": " "}, call(id="a", key=0)):
        assert assembler.feed(delta) == []
        assert not assembler.started
    assert assembler.feed({"text": "x"})[0]["type"] == "message_start"
    assert assembler.started
    assert "message_start" not in [event["type"] for event in assembler.feed({"start": {"id": "b"}}) + assembler.end(True)]


# Text and thinking


def test_S01_S29_a_change_of_kind_closes_the_block_and_opens_the_next():
    deltas = {"thinking": "a"}, {"thinking": "b"}, {"text": "c"}, {"thinking": "d"}, {"text": "e"}
    assert blocks(*deltas) == [("ab", ""), "c", ("d", ""), "e"]


@pytest.mark.parametrize("empty", ["", None, [], 5, {}, False])
@pytest.mark.parametrize("kind", ["text", "thinking", "redacted", "refusal", "citation", "signature", "details", "tool"])
def test_S03_empty_and_senseless_values_open_no_block(kind, empty):
    assert blocks({kind: empty}, {"text": "x"}, {kind: empty}, {"text": "y"}) == ["xy"]


def test_S01_S03_leading_blanks_wait_for_text_and_are_lost_without():
    assert blocks({"text": "\n"}, {"text": " "}, {"text": "x"}, {"text": " "}, {"text": "y"}) == ["\n x y"]
    assert blocks({"text": "\n"}, {"thinking": "\n"}, {"thinking": "hm"}, {"text": "x"}) == [("\nhm", ""), "x"]
    assert blocks({"text": "x"}, {"thinking": "\n"}, {"text": "y"}) == ["xy"]


def test_S04_one_delta_after_another_in_the_order_they_are_told():
    assert blocks({"thinking": "a", "text": "b", "tool": {"name": "R", "json": "{}"}, "stop": "tool_use"}) == [
        ("a", ""),
        "b",
        ["R", {}],
    ]


def test_S28_a_thinking_block_ends_with_one_signature():
    events = stream({"thinking": "a"}, {"signature": "s1"}, {"thinking": "b"}, {"signature": "s2"}, {"text": "c"})
    assert outline(events) == "message_start +thinking a b s2 - +text c - message_delta message_stop"


def test_S28_sealed_signatures_carry_the_state_and_are_never_empty():
    deltas = {"thinking": "a"}, {"details": [{"id": 1}]}, {"signature": "s"}, {"text": "b"}, {"thinking": "c"}
    assert blocks(*deltas, seal=seal) == [("a", 'sealed {"details": [{"id": 1}], "signature": "s"}'), "b", ("c", "sealed {}")]


def test_reasoning_state_without_thinking_travels_in_an_empty_block():
    assert blocks({"signature": "s"}, {"text": "a"}) == [("", "s"), "a"]
    assert blocks({"details": [{"id": 1}]}, {"thinking": "a"}, {"text": "b"}, seal=seal) == [
        ("a", 'sealed {"details": [{"id": 1}]}'),
        "b",
    ]


def test_reasoning_state_that_comes_late_interrupts_nothing():
    assert blocks({"text": "a"}, {"signature": "s"}, {"text": "b"}, call("{}", name="R")) == ["ab", ("", "s"), ["R", {}]]
    assert blocks(call('{"a":', name="R"), {"signature": "s"}, call("1}")) == [["R", {"a": 1}], ("", "s")]


def test_thinking_that_is_not_shown_is_in_the_state():
    deltas = {"thinking": "a"}, {"thinking": "b"}, {"signature": "s"}, {"text": "c"}
    assert blocks(*deltas, seal=seal, show_thinking=False) == [("", 'sealed {"signature": "s", "thinking": "ab"}'), "c"]


def test_no_thinking_comes_behind_the_last_words_for_a_client_that_takes_the_last_block_for_the_answer():
    late = {"text": "a"}, {"signature": "s"}
    assert blocks(*late) == ["a", ("", "s")]
    assert blocks(*late, words_last=True) == ["a"]
    assert blocks(*late, {"text": "b"}, words_last=True) == ["ab"]
    assert blocks(*late, call("{}", name="R"), words_last=True)[-1] == ["R", {}]


def test_thinking_behind_words_waits_for_something_to_follow_it():
    late = {"text": "a"}, {"signature": "r"}, {"thinking": "b"}, {"signature": "s"}
    hidden = {"words_last": True, "show_thinking": False, "seal": seal}
    thought = ("", 'sealed {"signature": "r"}'), ("", 'sealed {"signature": "s", "thinking": "b"}')
    assert blocks(*late, words_last=True) == ["a"]
    assert blocks(*late, {"text": "\n"}, **hidden) == ["a"]
    assert blocks(*late, {"redacted": "x"}, {"content_block_stop": True}, **hidden) == ["a"]
    assert blocks(*late, {"text": "c"}, **hidden) == ["a", *thought, "c"]
    assert blocks(*late, call("{}", name="R"), **hidden) == ["a", *thought, ["R", {}]]
    assert blocks({"text": "a"}, {"thinking": " "}, {"text": "b"}, words_last=True) == ["ab"]


def test_items_behind_the_last_words_are_left_out_as_well():
    items = {"text": {"key": 1, "whole": "a"}}, {"thinking": {"key": 2, "whole": "b"}}, {"details": [{"id": 2}]}
    more = {"text": {"key": 3, "whole": "c"}}
    assert blocks(*items, words_last=True, seal=seal) == ["a"]
    assert blocks(*items, more, words_last=True, seal=seal) == ["a", ("b", 'sealed {"details": [{"id": 2}]}'), "c"]


def test_redacted_thinking_is_a_block_of_its_own():
    assert blocks({"redacted": "x"}, {"redacted": "y"}, {"text": "a"}) == [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "redacted_thinking", "data": "y"},
        "a",
    ]


def test_redacted_thinking_is_sealed():
    assert blocks({"redacted": "x"}, {"text": "a"}, seal=seal) == [
        {"type": "redacted_thinking", "data": 'sealed {"redacted": "x"}'},
        "a",
    ]


STOP = {"content_block_stop": True}


def test_what_a_provider_tells_as_two_blocks_is_two_blocks():
    assert blocks({"text": "a"}, STOP, {"text": "b"}) == ["a", "b"]
    assert blocks({"thinking": "a"}, {"signature": "s"}, STOP, {"signature": "t"}, STOP, {"thinking": "b"}) == [
        ("a", "s"),
        ("", "t"),
        ("b", ""),
    ]
    assert blocks(call("{", name="R"), {"text": "a"}, STOP, {"text": "b"}, call("}")) == [["R", {}], "a", "b"]
    assert blocks({"text": "a"}, STOP, {"text": " "}, STOP, {"text": "b"}, STOP, {"text": " "}, STOP) == ["a", " b"]
    assert blocks({"text": "a"}, {"content_block_stop": None}, {"text": "b"}) == ["ab"]


def test_each_text_has_its_own_citations():
    cited = [{"type": "char_location", "cited_text": word} for word in "xy"]
    content = message({"text": "a"}, {"citation": cited[0]}, STOP, {"text": "b"}, {"citation": cited[1]})["content"]
    assert content == [
        {"type": "text", "text": "a", "citations": [cited[0]]},
        {"type": "text", "text": "b", "citations": [cited[1]]},
    ]


def test_S30_tags_in_the_text_are_thinking():
    deltas = {"text": "\n<thi"}, {"text": "nk>hm</th"}, {"text": "ink>\n\nHello"}
    assert blocks(*deltas, think_tags="tagged") == [("hm", ""), "Hello"]
    assert blocks({"text": "hm</think>Hello"}, think_tags="unopened") == [("hm", ""), "Hello"]
    assert blocks({"text": "<thi"}, call("{}", name="R"), think_tags="tagged") == ["<thi", ["R", {}]]
    assert blocks({"text": "<thi"}, think_tags="tagged", stop_sequences=["ink"]) == ["<thi"]
    assert blocks({"thinking": "hm"}, {"text": "Hello"}, think_tags="unopened") == [("hm", ""), "Hello"]


def test_citations_belong_to_the_text_they_stand_in():
    cited = {"type": "char_location", "cited_text": "x"}
    content = message({"citation": cited}, {"text": "a"}, {"citation": cited}, {"stop": "end_turn"})["content"]
    assert content == [{"type": "text", "text": "a", "citations": [cited, cited]}]


def test_what_a_search_was_asked_for_may_come_in_pieces():
    asked = [call(piece, key=0, id="s") for piece in ("", '{"query": ', '"ducks"}')]
    content = message(*asked, {"web_search": {"id": "s", "results": [{"url": "https://d.example"}]}}, {"text": "a"})["content"]
    assert [block["type"] for block in content] == ["server_tool_use", "web_search_tool_result", "text"]
    assert content[0]["input"] == {"query": "ducks"}


# Tool calls


def test_S25_fragments_go_out_as_they_come():
    events = stream(
        call(" ", key=0, id="c1", name="Write"), call('{"a', key=0), call('":1', key=0), call("}", key=0), {"stop": "tool_use"}
    )
    assert outline(events) == 'message_start +tool_use {"a ":1 } - message_delta message_stop'
    assert events[1]["content_block"] == {"type": "tool_use", "id": "c1", "name": "Write", "input": {}}


def test_S06_S36_interleaved_calls_are_written_one_after_another():
    deltas = [
        call(key=0, id="a", name="R"),
        call(key=1, id="b", name="W"),
        call('{"x"', key=0),
        call('{"y"', key=1),
        call(":1}", key=0),
        call(":2", key=1),
        {"text": "then"},
        call("}", key=1),
    ]
    assert blocks(*deltas) == [["R", {"x": 1}], ["W", {"y": 2}], "then"]
    events = stream(*deltas)
    assert outline(events) == ('message_start +tool_use {"x" :1} - +tool_use {"y" :2 } - +text then - message_delta message_stop')


def test_S06_a_call_streams_as_soon_as_the_one_before_it_is_complete():
    assembler = Assembler("m", message_id="msg_1")
    assembler.feed(call('{"x":1}', key=0, id="a", name="R"))
    assert outline(assembler.feed(call('{"y"', key=1, id="b", name="W"))) == '- +tool_use {"y"'


@pytest.mark.parametrize("arguments", ['{"a":1}', {"a": 1}, ' {"a":1}', '"{\\"a\\":1}"'])
def test_S07_arguments_that_come_whole(arguments):
    assert blocks(call(arguments, key=0, id="c", name="R")) == [["R", {"a": 1}]]


@pytest.mark.parametrize("id", [None, "", "null", 7, [], " "])
def test_S08_a_call_without_an_id_gets_one(id):
    content = message(call("{}", key=0, id=id, name="R"), call("{}", key=1, id=id, name="R"))["content"]
    assert [block["id"] for block in content] == ["toolu_x1_1", "toolu_x1_2"]


def test_ids_are_legal_and_unique_in_the_conversation():
    deltas = call("{}", id="functions.R:0", name="R"), call("{}", id="functions/R:0", name="R"), call("{}", id="b", name="R")
    content = message(*deltas, taken_ids=["b", "b_2"])["content"]
    assert [block["id"] for block in content] == ["functions_R_0", "functions_R_0_2", "b_3"]


@pytest.mark.parametrize("keys", [(0, 0), (None, None), (0.0, 1.0), ("a", "b"), ([], {})])
def test_S09_a_new_id_with_a_name_is_a_new_call(keys):
    first, second = keys
    deltas = (
        call("", key=first, id="a", name="R"),
        call('{"x":1}', key=first),
        call('{"y"', key=second, id="b", name="R"),
        call(":2}", key=second),
    )
    assert blocks(*deltas) == [["R", {"x": 1}], ["R", {"y": 2}]]


def test_S09_calls_without_id_and_key_are_told_apart_by_being_whole():
    assert blocks(call({"x": 1}, name="R"), call({"x": 1}, name="R"), call({}, name="S")) == [
        ["R", {"x": 1}],
        ["R", {"x": 1}],
        ["S", {}],
    ]
    assert blocks(call(name="R"), call(name="S")) == [["R", {}], ["S", {}]]
    assert blocks(call("{}", key=0, name="R"), call('{"x":1}', key=0, name="S")) == [["R", {}], ["S", {"x": 1}]]
    assert blocks(call('{"x":1}', key=0, name="R"), call('{"x":2}', key=0, name="R")) == [["R", {"x": 1}], ["R", {"x": 2}]]


def test_S09_fragments_without_a_key_belong_to_their_id_or_to_the_last_call():
    deltas = call('{"x"', id="a", name="R"), call(":1"), call("}", id="a"), call('{"y":', id="b", name="W"), call("2}", id="new")
    assert blocks(*deltas) == [["R", {"x": 1}], ["W", {"y": 2}]]


@pytest.mark.parametrize("keys", [(0, 1), (None, None)])
def test_G05_one_id_may_be_two_calls(keys):
    first, second = keys
    deltas = call('{"x"', key=first, id="a", name="R"), call(":1}", key=first), call('{"y":2}', key=second, id="a", name="R")
    assert blocks(*deltas) == [["R", {"x": 1}], ["R", {"y": 2}]]
    assert blocks(*deltas, call('{"y":2}', key=second, id="a", name="R")) == [["R", {"x": 1}], ["R", {"y": 2}]]


def test_G05_calls_under_one_id_may_interleave():
    deltas = (
        call("{", key=0, id="a", name="R"),
        call("{", key=1, id="a", name="W"),
        call('"x":1}', key=0, id="a"),
        call('"y":2}', key=1, id="a"),
    )
    assert blocks(*deltas) == [["R", {"x": 1}], ["W", {"y": 2}]]


@pytest.mark.parametrize("name", [None, "", "Read", 7, "Other"])
def test_S10_the_first_name_counts(name):
    assert blocks(call('{"a"', key=0, id="c", name="Read"), call(":1}", key=0, name=name)) == [["Read", {"a": 1}]]


def test_S10_a_call_starts_with_its_name_and_arguments_before_it_are_kept():
    deltas = call('{"a"', key=0, id="c", name=None), call(":1", key=0), call("}", key=0, name="Read")
    assert outline(stream(*deltas)) == 'message_start +tool_use {"a":1} - message_delta message_stop'
    assert blocks(call('{"a":1}', key=0), call(key=0, id="c", name="Read")) == [["Read", {"a": 1}]]


@pytest.mark.parametrize("arguments", ["", None, "{}", {}, " ", "null", '""', '"{}"'])
def test_S11_no_arguments_are_an_empty_object(arguments):
    assert outline(stream(call(arguments, name="R"))) == "message_start +tool_use {} - message_delta message_stop"


def test_S11_an_empty_object_may_come_before_the_arguments():
    assert blocks(call({}, key=0, id="c", name="R"), call('{"a":', key=0), call("1}", key=0)) == [["R", {"a": 1}]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("[1]", {"value": [1]}),
        ([1], {"value": [1]}),
        ("5", {"value": 5}),
        (False, {"value": False}),
        ('"ls"', {"value": "ls"}),
        ("ls -l", {"__unparsedToolInput": {"raw": "ls -l"}}),
    ],
)
def test_S12_arguments_that_are_no_object_become_one(arguments, expected):
    assert blocks(call(arguments, name="R")) == [["R", expected]]


def test_S12_arguments_that_were_cut_off_stay_what_they_are():
    deltas = call('{"a":"b', name="R"), {"stop": "max_tokens"}
    answer = message(*deltas)
    assert answer["content"][0]["input"] == {"__unparsedToolInput": {"raw": '{"a":"b'}}
    assert answer["stop_reason"] == "max_tokens"


def test_S35_arguments_told_again_are_not_doubled():
    fragments = call('{"a"', key=0, id="c", name="R"), call(":1}", key=0)
    assert blocks(*fragments, call('{"a":1}', key=0, id="c", name="R")) == [["R", {"a": 1}]]
    assert blocks(*fragments, call('{"a":1}', key=0, name="R"), call('{"a":1}')) == [["R", {"a": 1}]]
    assert blocks(fragments[0], call('{"a":1}', key=0, id="c")) == [["R", {"a": 1}]]
    assert blocks(*fragments, call("}", key=0)) == [["R", {"a": 1}]]


def test_S35_an_object_that_begins_like_the_arguments_around_it_is_none_of_them():
    nested = call('{"not":', key=0, id="c", name="R"), call('{"not":1}', key=0), call("}", key=0)
    whole = call('{"not":{"not":1}}', key=0, id="c", name="R")
    assert blocks(*nested) == blocks(*nested, whole) == blocks(*nested, whole, whole) == [["R", {"not": {"not": 1}}]]
    deeper = call('{"a":', name="R"), call('{"a":{}}'), call(',"b":'), call('{"a":2}'), call("}")
    assert blocks(*deeper) == [["R", {"a": {"a": {}}, "b": {"a": 2}}]]


def test_S35_arguments_of_which_the_last_piece_is_missing_are_told_once():
    begun, whole = call('{"a":', key=0, id="c", name="R"), call('{"a":1}', key=0, id="c", name="R")
    assert blocks(begun, whole) == blocks(begun, whole, whole) == [["R", {"a": 1}]]
    assert blocks(begun, whole, call("", key=0)) == blocks(begun, whole, call(" ", key=0), whole) == [["R", {"a": 1}]]
    assert blocks(begun, whole, {"text": "b"}) == [["R", {"a": 1}], "b"]
    assert message(begun, whole, {"stop": "tool_use"})["stop_reason"] == "tool_use"


def test_S35_an_item_told_once_more_says_only_what_was_missing():
    piece = {"text": {"key": 0, "piece": "Hel"}}
    assert blocks(piece, {"text": {"key": 0, "whole": "Hello"}}, {"text": {"key": 0, "whole": "Hello"}}) == ["Hello"]
    assert blocks({"text": {"key": 0, "whole": "Hello"}}) == ["Hello"]
    assert blocks(piece, {"text": {"key": 0, "whole": "Hi"}}) == ["Hel"]
    refusal = message({"text": {"key": 0, "piece": "No"}}, {"refusal": {"key": 0, "whole": "Nothing"}}, {"stop": "end_turn"})
    assert refusal["stop_details"]["explanation"] == "Nothing"


def test_S36_each_item_is_a_block_of_its_own():
    assert blocks({"text": {"key": 0, "piece": "a"}}, {"text": {"key": 1, "piece": "b"}}) == ["a", "b"]
    assert blocks({"thinking": {"key": 0, "piece": "a"}}, {"thinking": {"key": 1, "whole": "b"}}) == [("a", ""), ("b", "")]
    cut = call('{"a"', name="R"), {"text": {"key": 1, "piece": "b"}}, {"text": {"key": 2, "piece": "c"}}, call(":1}")
    assert blocks(*cut) == [["R", {"a": 1}], "b", "c"]
    held = {"text": {"key": 0, "piece": "a E"}}, {"text": {"key": 1, "piece": "ND b"}}
    assert blocks(*held, stop_sequences=["END"]) == ["a E", "ND b"]


def test_T09_what_was_missing_of_a_reasoning_item_may_come_late():
    first, late = {"type": "reasoning", "id": "r1"}, {"type": "reasoning", "id": "r1", "on": "earlier", "data": "x"}
    told = [{"details": [first]}, {"text": "so"}]
    assert blocks(*told, {"details": [late]}, seal=seal) == [
        ("", seal({"details": [first]})),
        "so",
        ("", seal({"details": [late]})),
    ]
    whole = [{"details": [first | {"data": "x"}]}, {"text": "so"}]
    assert blocks(*whole, {"details": [late | {"data": "y"}]}, seal=seal) == [
        ("", seal({"details": [first | {"data": "x"}]})),
        "so",
    ]
    assert blocks({"text": "so"}, {"details": [late]}, seal=seal) == ["so"]


def test_S05_blanks_between_calls_are_no_text():
    first, second = call('{"a":1}', key=0, id="a", name="R"), call('{"b":2}', key=1, id="b", name="R")
    assert blocks({"text": "x"}, first, {"text": "\n"}, second, {"text": "\n"}) == ["x", ["R", {"a": 1}], ["R", {"b": 2}]]


def test_S05_text_waits_for_an_open_call():
    deltas = call('{"a"', name="R"), {"text": "so "}, {"thinking": "hm"}, {"text": "so"}, call(":1}")
    assert blocks(*deltas) == [["R", {"a": 1}], "so ", ("hm", ""), "so"]


def test_S39_tools_have_the_names_that_the_client_gave_them():
    names = {"mcp_x_0": "mcp__x__a_very_long_name"}
    assert blocks(call("{}", name="mcp_x_0"), tool_names=names) == [["mcp__x__a_very_long_name", {}]]


# The end


@pytest.mark.parametrize("told", ["end_turn", "tool_use", "stop_sequence", "pause_turn", "strange"])
def test_S13_calls_make_the_stop_reason_tool_use(told):
    assert message(call("{}", name="R"), {"stop": told})["stop_reason"] == "tool_use"


@pytest.mark.parametrize("told", ["max_tokens", "refusal", "model_context_window_exceeded"])
def test_S13_but_not_of_an_answer_that_was_cut(told):
    assert message(call("{}", name="R"), {"stop": told})["stop_reason"] == told


@pytest.mark.parametrize("deltas", [[{"text": "x"}], [call("{}", id="c")], []])
def test_S14_without_a_call_there_is_no_tool_use(deltas):
    assert message(*deltas, {"stop": "tool_use"})["stop_reason"] == "end_turn"


def test_S33_an_unknown_stop_reason_is_end_turn():
    assert message({"text": "x"}, {"stop": "eos"})["stop_reason"] == "end_turn"


@pytest.mark.parametrize("nothing", [None, "", "null", 0, {}])
def test_S20_an_empty_stop_reason_is_none(nothing):
    assert outline(stream({"text": "x"}, {"stop": nothing}, clean=False)) == "message_start +text x error"


def test_S15_S16_S41_usage_counts_whenever_it_comes():
    usage = message(
        {"usage": {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": None}},
        {"text": "x", "stop": "end_turn", "usage": {"output_tokens": 5.0, "thinking_tokens": 3}},
        {"usage": {"cache_read_input_tokens": 4, "output_tokens": "many", "input_tokens": float("nan")}},
        {"usage": None},
    )["usage"]
    assert usage == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 3},
    }


def test_S18_a_later_zero_erases_no_count():
    usage = message({"text": "x"}, {"usage": {"input_tokens": 7, "output_tokens": 2}}, {"usage": {"input_tokens": 0}})["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (7, 2)


def test_S20_S23_a_stream_that_breaks_off_ends_in_an_error():
    events = stream({"text": "x"}, clean=False)
    assert outline(events) == "message_start +text x error"
    assert events[-1]["error"] == {
        "type": "api_error",
        "message": "the provider's stream broke off before the answer was complete",
    }


def test_S20_a_complete_call_is_closed_before_the_error_and_no_other_block():
    assert outline(stream(call('{"a":1}', name="R"), clean=False)) == 'message_start +tool_use {"a":1} - error'
    assert outline(stream(call('{"a":1', name="R"), clean=False)) == 'message_start +tool_use {"a":1 error'


@pytest.mark.parametrize("deltas", [[], [{"text": ""}], [{"text": "\n"}], [{"usage": {"output_tokens": 0}}]])
@pytest.mark.parametrize("clean", [True, False])
def test_S20_S34_nothing_at_all_is_a_failure_and_no_event(deltas, clean):
    assembler = Assembler("m", message_id="msg_1")
    assert [event for delta in deltas for event in assembler.feed(delta)] + assembler.end(clean) == []
    assert assembler.failure
    assert assembler.failure["type"] == "api_error"
    assert assembler.failure["message"] == (
        "the provider gave an empty answer" if clean else "the provider's stream broke off before the answer was complete"
    )


def test_a_stop_without_content_is_an_empty_message():
    answer = message({"stop": "max_tokens"}, clean=False)
    assert (answer["content"], answer["stop_reason"]) == ([], "max_tokens")


def test_S22_an_error_before_the_start_is_no_event():
    assembler = Assembler("m", message_id="msg_1")
    told = {"type": "overloaded_error", "message": "busy"}
    assert assembler.feed({"error": told}) == []
    assert assembler.failure == told
    assert assembler.feed({"text": "x"}) + assembler.end(True) == []
    assert not assembler.started


def test_S22_S23_an_error_after_the_start_is_the_last_event():
    events = stream(
        {"text": "x"}, {"error": {"type": "overloaded_error", "message": "busy"}}, {"text": "y"}, {"stop": "end_turn"}
    )
    assert outline(events) == "message_start +text x error"
    assert events[-1]["error"] == {"type": "overloaded_error", "message": "busy"}


def test_S23_trouble_of_our_own_is_an_event_even_before_the_start():
    assembler = Assembler("m", message_id="msg_1")
    assert assembler.fail("timeout_error", "too long") == [
        {"type": "error", "error": {"type": "timeout_error", "message": "too long"}}
    ]
    assert assembler.fail("api_error", "again") + assembler.feed({"text": "x"}) + assembler.end(True) == []


def test_nothing_follows_the_end():
    assembler = Assembler("m", message_id="msg_1")
    assembler.feed({"text": "x"})
    assembler.end(True)
    assert assembler.feed({"text": "y"}) + assembler.end(True) + assembler.fail("api_error", "late") == []
    assert assembler.failure is None


def test_S32_a_refusal_is_shown_and_is_the_stop_reason():
    answer = message({"refusal": "I "}, {"refusal": "won't."}, {"stop": "end_turn"})
    assert answer["content"] == [{"type": "text", "text": "I won't."}]
    assert answer["stop_reason"] == "refusal"
    assert answer["stop_details"] == {"type": "refusal", "category": None, "explanation": "I won't."}
    assert message({"text": "x"}, {"stop": "refusal"})["stop_details"]["explanation"] is None


def test_S40_a_stop_sequence_that_the_provider_names():
    for deltas in ([{"stop": "end_turn"}, {"stop_sequence": "X"}], [{"stop_sequence": "X"}, {"stop": "end_turn"}]):
        answer = message({"text": "a"}, *deltas)
        assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "X")
    assert message({"text": "a"}, {"stop_sequence": 128001}, {"stop": "end_turn"})["stop_reason"] == "end_turn"


def test_S40_a_stop_sequence_that_is_enforced_here():
    assembler = Assembler("m", message_id="msg_1", stop_sequences=["</block>"])
    events = [event for text in ("<block>no</bl", "ock> and", " more") for event in assembler.feed({"text": text})]
    assert assembler.stopped
    assert assembler.feed({"thinking": "x"}) + assembler.feed({"stop": "max_tokens"}) == []
    events += assembler.feed({"usage": {"output_tokens": 9}}) + assembler.end(False)
    check(events)
    answer = fold(events)
    assert answer["content"] == [{"type": "text", "text": "<block>no"}]
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "</block>")
    assert answer["usage"]["output_tokens"] == 9


@pytest.mark.parametrize("next", [call("{}", name="R"), {"thinking": "hm"}, {"text": "x"}, {"redacted": "x"}, {"refusal": "x"}])
def test_S40_nothing_follows_a_stop_sequence(next):
    assert blocks({"text": "a <th"}, next, stop_sequences=["<th"]) == ["a "]
    assert blocks({"text": "<th"}, next, {"text": "y"}, think_tags="tagged", stop_sequences=["<th"]) == []


def test_S40_what_only_begins_a_stop_sequence_is_text():
    assert blocks({"text": "S"}, {"text": "T"}, stop_sequences=["STOP"]) == ["ST"]
    assert blocks({"text": "ST"}, call("{}", name="R"), {"text": "OP"}, stop_sequences=["STOP"]) == ["ST", ["R", {}], "OP"]


def test_a_broken_answer_cannot_be_folded():
    with pytest.raises(ValueError, match="broke off"):
        fold(stream({"text": "x"}, clean=False))


# Anything at all

nasty = st.sampled_from([None, "", " ", "\n", "null", 0, 0.0, -1, True, [], {}, ["x"], {"a": 1}, 1e300])
texts = st.text("ab<>/ \n{}😀", max_size=6) | st.sampled_from(["<think>", "</think>", "STOP", "ST", "OP"])
fragments = st.sampled_from(["{", "}", '{"a":', "1}", '{"a":1}', "{}", '"x"', "[1]", "null", '"{\\"a\\":1}"', "x", "\n", '"'])
details = st.lists(
    st.fixed_dictionaries({"type": st.just("reasoning.text"), "text": texts, "index": st.integers(0, 1)}), max_size=2
)
counts = st.integers(0, 99) | nasty
tools = st.fixed_dictionaries(
    {},
    optional={
        "key": st.sampled_from([0, 1, 2, None, 0.0, "a", []]),
        "id": st.sampled_from(["a", "b", "a/b", "", None, "null", 3]),
        "name": st.sampled_from(["Read", "Read", "Write", "", None, 5]),
        "json": fragments | nasty | st.just({"b": [1, None, "é"]}),
    },
)
deltas = st.one_of(
    st.fixed_dictionaries({"text": texts}),
    st.fixed_dictionaries({"thinking": texts}),
    *[st.fixed_dictionaries({"tool": tools})] * 5,
    st.fixed_dictionaries({"details": details}),
    st.fixed_dictionaries({"signature": texts}),
    st.fixed_dictionaries({"redacted": texts}),
    st.fixed_dictionaries({"content_block_stop": st.booleans()}),
    st.fixed_dictionaries({"refusal": texts}),
    st.just({"citation": {"type": "char_location", "cited_text": "x", "document_index": 0}}),
    st.fixed_dictionaries({"stop": st.sampled_from(["end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal", "odd"])}),
    st.fixed_dictionaries({"stop_sequence": texts}),
    st.fixed_dictionaries(
        {"usage": st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "thinking_tokens"]), counts)}
    ),
    st.sampled_from(
        ["start", "text", "thinking", "tool", "details", "redacted", "citation", "stop", "usage", "server_tool"]
    ).flatmap(lambda kind: st.fixed_dictionaries({kind: nasty})),
)
errors = st.just({"error": {"type": "overloaded_error", "message": "busy"}})
answers = st.lists(deltas, max_size=14) | st.tuples(st.lists(deltas, max_size=6), errors.map(lambda error: [error])).map(
    lambda parts: parts[0] + parts[1] + parts[0]
)
options = st.fixed_dictionaries(
    {},
    optional={
        "think_tags": st.sampled_from(["none", "tagged", "unopened"]),
        "stop_sequences": st.just(["STOP", "a\n"]),
        "seal": st.just(seal),
        "show_thinking": st.booleans(),
        "taken_ids": st.just(["a", "toolu_x1_1"]),
    },
)


@settings(max_examples=600, deadline=None)
@given(answers, st.booleans(), options)
@example([{"tool": {"name": "R", "json": '{"a":'}}, {"text": "x"}, {"signature": "s"}, {"stop": "end_turn"}], False, {})
def test_S01_S42_any_deltas_give_a_well_formed_stream_that_the_sdk_reads_as_we_do(deltas, clean, options):
    assembler = Assembler("claude", message_id="msg_x1", **options)
    events = [event for delta in deltas for event in assembler.feed(delta)] + assembler.end(clean)
    if not assembler.started:
        assert events == []
        assert assembler.failure
        return
    check(events, broken_json=True)
    if assembler.failure:
        assert events[-1]["type"] == "error"
        return
    answer = fold(events)
    if "__unparsedToolInput" not in json.dumps(answer):  # the SDK raises for these
        assert sdk_message(events) == answer


@settings(max_examples=300, deadline=None)
@given(answers, options)
def test_what_is_taken_framed_are_the_same_events(deltas, options):
    framed, told = (Assembler("claude", message_id="msg_x1", **options) for _ in range(2))
    for delta in deltas:
        framed.hear(delta)
        assert framed.blocks.take_framed() == encode(told.feed(delta))


@st.composite
def parallel_calls(draw):
    """Some calls, and their deltas in any order that keeps each call's own."""
    inputs = draw(
        st.lists(st.dictionaries(st.text('ab}"\\{', max_size=3), st.text('ab}"\\{ ', max_size=5)), min_size=1, max_size=4)
    )
    queues = []
    for key, input in enumerate(inputs):
        text = json.dumps(input)
        cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=5)))
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        queues.append([call(key=key, id=f"id{key}", name=f"Tool{key}"), *(call(piece, key=key) for piece in pieces)])
    deltas = [queues[0].pop(0)]
    while queues := [queue for queue in queues if queue]:
        deltas.append(draw(st.sampled_from(queues)).pop(0))
    return inputs, deltas


@settings(max_examples=300, deadline=None)
@given(parallel_calls())
def test_S06_calls_come_out_whole_however_they_are_interleaved(calls):
    inputs, deltas = calls
    assert sorted(blocks(*deltas)) == [[f"Tool{key}", input] for key, input in enumerate(inputs)]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["text", "thinking"]), st.text("ab \n", max_size=4))))
def test_no_text_is_lost_but_blanks(pieces):
    told = "".join(text for _, text in pieces)
    found = blocks(*({kind: text} for kind, text in pieces), {"stop": "end_turn"})
    assert "".join("".join("".join(block) for block in found).split()) == "".join(told.split())
