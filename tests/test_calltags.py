"""Calls that a model has written into its text (S31)."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.wire import calltags
from engine.wire.assembler import Assembler, fold
from engine.wire.calltags import CallTags
from tests.grammar import check

READ = {
    "name": "Read",
    "input_schema": {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "limit": {"type": "integer"},
            "whole": {"type": "boolean"},
            "ranges": {"type": "array"},
            "mode": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "place": {"type": ["string", "number"]},
        },
    },
}
LOOK = {"name": "look-up", "input_schema": {"type": "object", "properties": {}}}
OFFERED = [READ, LOOK, {"name": "web_search", "type": "web_search_20250305"}]

DIALECTS = {
    "an object": '<tool_call>\n{"name": "Read", "arguments": {"path": "a", "limit": 5}}\n</tool_call>',
    "an object the other way round": '<tool_call>{"parameters":{"path":"a","limit":5},"name":"Read"}</tool_call>',
    "an object with text for its arguments": r'<tool_call>{"name":"Read","arguments":"{\"path\":\"a\",\"limit\":5}"}</tool_call>',
    "keys and values": "<tool_call>Read\n<arg_key>path</arg_key>\n<arg_value>a</arg_value>\n"
    "<arg_key>limit</arg_key>\n<arg_value>5</arg_value>\n</tool_call>",
    "keys and values in a line": "<tool_call>Read<arg_key>path</arg_key><arg_value>a</arg_value>"
    "<arg_key>limit</arg_key><arg_value>5</arg_value></tool_call>",
    "a function": "<tool_call>\n<function=Read>\n<parameter=path>\na\n</parameter>\n"
    "<parameter=limit>\n5\n</parameter>\n</function>\n</tool_call>",
    "a function alone": "<function=Read><parameter=path>a</parameter><parameter=limit>5</parameter></function>",
    "a function whose tag around it was never opened": "<function=Read><parameter=path>a</parameter>"
    "<parameter=limit>5</parameter></function>\n</tool_call>",
    "an invocation": '<invoke name="Read"><parameter name="path">a</parameter><parameter name="limit">5</parameter></invoke>',
    "an invocation with a tag around it": '<function_calls>\n<invoke name="Read">\n<parameter name="path">a</parameter>\n'
    '<parameter name="limit">5</parameter>\n</invoke>\n</function_calls>',
    "an invocation in a namespace": '<x:function_calls><x:invoke name="Read"><x:parameter name="path">a</x:parameter>'
    '<x:parameter name="limit">5</x:parameter></x:invoke></x:function_calls>',
    "an invocation with a namespace around it": '<x:tool_call>\n<invoke name="Read">\n<parameter name="path">a</parameter>\n'
    '<parameter name="limit">5</parameter>\n</invoke>\n</x:tool_call>',
}
NO_CALLS = {
    "the beginning of a tag": "<tool_ca",
    "a tag and nothing else": "Say <tool_call>.",
    "another tag": "<div><x:b>1 < 2</x:b></div><",
    "words about tags": "`<tool_call>` opens, `<function=Read>` names and <tool_call>Read it</tool_call> closes.",
    "a tool that was not offered": '<tool_call>{"name": "Write", "arguments": {"path": "a"}}</tool_call>',
    "a tool that was not offered, its name last": '<tool_call>{"arguments": {}, "name": "Write"}</tool_call>',
    "a key of a tool that was not offered": "<tool_call>Write<arg_key>path</arg_key><arg_value>a</arg_value></tool_call>",
    "a function that was not offered": "<function=Write><parameter=path>a</parameter></function></tool_call>",
    "an invocation of what was not offered": '<function_calls><invoke name="Reader"></invoke></function_calls>',
    "a tool of the provider's own": '<tool_call>{"name": "web_search", "arguments": {"query": "x"}}</tool_call>',
    "an object that was not closed": '<tool_call>{"name": "Read", "arguments": {"path": "a"}</tool_call> So.',
    "an object that was cut": '<tool_call>{"name": "Read", "arguments": {"path": "a',
    "an object that is no JSON": "<tool_call>{name: 'Read', arguments: {}}</tool_call>",
    "an object with arguments that are none": '<tool_call>{"name": "Read", "arguments": [1]}</tool_call>',
    "an object with something else": '<tool_call>{"name": "Read", "path": "a"}</tool_call>',
    "a list": '<tool_call>[{"name": "Read", "arguments": {}}]</tool_call>',
    "a value that was not closed": "<function=Read><parameter=path>a</function> So.",
    "a key without a value": "<tool_call>Read<arg_key>path</arg_key></tool_call>",
    "a function without an end": "<function=Read><parameter=path>a</parameter>\nSo.",
    "a namespace that was lost": '<x:invoke name="Read"></invoke>',
}

Told = list[str | list[Any]]


def split(*texts: str, tools: Any = OFFERED) -> Told:
    """What came out: text is a string, however many pieces it came in, a call a list of name and input."""
    tags = CallTags(tools)
    told: Told = []
    for part in [part for text in texts for part in tags.feed(text)] + tags.end():
        if not isinstance(part, str):
            told.append([part["name"], part["json"]])
        elif told and isinstance(told[-1], str):
            told[-1] += part
        else:
            told.append(part)
    return told


def answer(*deltas: dict[str, Any], **options: Any) -> dict[str, Any]:
    assembler = Assembler("claude", message_id="msg_x1", tagged_tools=OFFERED, **options)
    events = [event for delta in deltas for event in assembler.feed(delta)] + assembler.end(True)
    check(events)
    return fold(events)


def content(*deltas: dict[str, Any], **options: Any) -> Told:
    """The blocks in short."""
    told: Told = []
    for block in answer(*deltas, **options)["content"]:
        told.append([block["name"], block["input"]] if block["type"] == "tool_use" else block[block["type"]])
    return told


@pytest.mark.parametrize("text", DIALECTS.values(), ids=DIALECTS)
def test_S31_a_call_is_found_wherever_its_text_is_cut(text):
    said = f"I look.\n{text}\nDone."
    expected = ["I look.\n", ["Read", {"path": "a", "limit": 5}], "\nDone."]
    for place in range(len(said)):
        told = split(said[:place], said[place:])
        if isinstance(told[1][1], str):
            told[1][1] = json.loads(told[1][1])
        assert told == expected
    assert content(*({"text": letter} for letter in said)) == expected


@pytest.mark.parametrize("text", NO_CALLS.values(), ids=NO_CALLS)
def test_S31_what_is_no_call_stays_as_it_was(text):
    for place in range(len(text)):
        assert split(text[:place], text[place:]) == [text]
    assert split(*text) == [text]


def test_S31_several_calls_and_the_text_around_them():
    text = "".join(f"{number}. {call}\n" for number, call in enumerate(DIALECTS.values()))
    told = content({"text": text})
    assert told[::2] == [("\n" if number else "") + f"{number}. " for number in range(len(DIALECTS))]
    assert told[1::2] == [["Read", {"path": "a", "limit": 5}]] * len(DIALECTS)


def test_S31_a_call_goes_out_as_soon_as_it_is_whole():
    tags = CallTags(OFFERED)
    assert tags.feed("So: <tool_call>\n<function=look-up>\n</functio") == ["So: "]
    assert tags.feed("n>") == [{"key": "tagged 1", "name": "look-up", "json": {}}]
    assert tags.feed('\n</tool_call><tool_call>{"name": "look-up"}') == [{"key": "tagged 2", "name": "look-up", "json": {}}]
    assert tags.feed("\n</tool_call> Done") == [" Done"]


def test_S31_text_goes_out_as_soon_as_it_is_known_to_be_none():
    tags = CallTags(OFFERED)
    for text, told in [
        ("1 <", ["1 "]),
        (" 2", ["< 2"]),
        ("<di", []),
        ("v>", ["<div>"]),
        ("<function=Writ", []),
        ("e>", ["<function=Write>"]),
        ("<tool_call>", []),
        ("`", ["<tool_call>`"]),
        ('<tool_call>{"name": "Write"', ['<tool_call>{"name": "Write"']),
        ('<tool_call>{"name": "Read", "arguments": {}', []),
        ("\n<", ['<tool_call>{"name": "Read", "arguments": {}\n']),
    ]:
        assert tags.feed(text) == told
    assert tags.end() == ["<"]
    assert tags.feed("a <tool_call>look-up<") == ["a "]
    assert tags.feed("/tool_call>") == [{"key": "tagged 1", "name": "look-up", "json": {}}]


def test_S31_a_call_behind_one_that_is_broken_is_found():
    broken = '<tool_call>{"name": "Read", "arguments": {"path": "a"}</tool_call>'
    assert split(broken + "<tool_call>" + DIALECTS["an object"]) == [
        broken + "<tool_call>",
        ["Read", {"path": "a", "limit": 5}],
    ]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "Read", "arguments": {"path": "%s"}}</tool_call>',
        "<tool_call>Read<arg_key>path</arg_key><arg_value>%s</arg_value></tool_call>",
        "<function=Read>\n<parameter=path>\n%s\n</parameter>\n</function>",
        '<x:invoke name="Read"><x:parameter name="path">%s</x:parameter></x:invoke>',
    ],
)
@pytest.mark.parametrize(
    "value", ["</tool_call>", "<a>1</parameter></a>", "</arg_value> </function>", "{[ <tool_call>{ </invoke>"]
)
def test_S31_values_hold_what_looks_like_tags(text, value):
    assert split(*(text % value)) == [["Read", {"path": value}]]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("path", "5", "5"),
        ("path", ' {"a": 1}', ' {"a": 1}'),
        ("path", "\n\na\n\n", "\na\n"),
        ("path", "", ""),
        ("limit", "5", 5),
        ("limit", "five", "five"),
        ("limit", "", ""),
        ("whole", "true", True),
        ("whole", "False", False),
        ("whole", "\nNone\n", None),
        ("ranges", '[1, {"a": "b\nc"}]', [1, {"a": "b\nc"}]),
        ("ranges", "[1,", "[1,"),
        ("mode", "null", "null"),
        ("place", "5", "5"),
        ("unheard_of", "5", 5),
        ("unheard_of", "a b", "a b"),
    ],
)
def test_S31_a_value_is_what_its_schema_says(key, text, value):
    [[_, input]] = split(f"<function=Read><parameter={key}>{text}</parameter></function>")
    assert input == {key: value}


def test_S31_line_breaks_belong_to_the_tags_only_where_templates_write_them():
    assert split("<tool_call>Read<arg_key>path</arg_key><arg_value>\na\n</arg_value></tool_call>") == [
        ["Read", {"path": "\na\n"}]
    ]


def test_S31_no_more_is_held_than_a_call_could_be(monkeypatch):
    monkeypatch.setattr(calltags, "MOST_HELD", 70)
    for text in ("<function=Read><parameter=path>%s", '<tool_call>{"name": "Read", "arguments": {"path": "%s'):
        said = text % ("a" * 200)
        tags = CallTags(OFFERED)
        assert [tags.feed(letter) for letter in said[:70]] == [[]] * 70
        assert "".join(tags.feed(said[70])) == said[:71]
    short, long = ("<function=Read><parameter=path>%s</parameter></function>" % ("a" * length) for length in (16, 17))
    assert (len(short), len(long)) == (70, 71)
    holding_one = "<function=Read><parameter=path><function=look-up></function>%s</parameter></function>" % ("a" * 70)
    for texts in ([short + long + short + holding_one], short + long + short + holding_one):
        assert split(*texts) == [["Read", {"path": "a" * 16}], long, ["Read", {"path": "a" * 16}], holding_one]


def test_S31_calls_have_ids_names_and_a_stop_reason_as_all_others_have():
    text = "<tool_call>look-up</tool_call>\n<tool_call>look-up</tool_call>"
    message = answer({"text": text}, {"stop": "end_turn"}, taken_ids=["toolu_x1_1"], tool_names={"look-up": "look.up"})
    assert message["content"] == [
        {"type": "tool_use", "id": "toolu_x1_1_2", "name": "look.up", "input": {}},
        {"type": "tool_use", "id": "toolu_x1_2", "name": "look.up", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"
    assert answer({"text": text}, {"stop": "max_tokens"})["stop_reason"] == "max_tokens"
    assert content({"text": text}, single_call=True) == [["look-up", {}]]


def test_S31_nothing_is_looked_for_in_thinking():
    call = DIALECTS["an object"]
    assert content({"thinking": call}, {"text": "So."}) == [call, "So."]
    assert content({"text": f"<think>{call}</think>{call}"}, think_tags="tagged") == [call, ["Read", {"path": "a", "limit": 5}]]
    assert content({"text": f"{call}</think>So."}, think_tags="unopened") == [call, "So."]


@pytest.mark.parametrize("next", [{"tool": {"name": "R", "json": "{}"}}, {"thinking": "hm"}, {"content_block_stop": True}])
def test_S31_what_is_not_whole_before_something_else_is_text(next):
    assert content({"text": "a <tool_call>"}, next, {"text": "look-up</tool_call>"})[0] == "a <tool_call>"


def test_S31_stop_sequences_are_met_in_text_alone():
    text = '<function=Read><parameter=path>STOP</parameter></function>a ST<tool_call>{"name": "look-up"}</tool_call>OP'
    calls = [["Read", {"path": "STOP"}], "a ST", ["look-up", {}], "OP"]
    assert content({"text": text}, stop_sequences=["STOP"]) == calls
    assert content({"text": text + " STOP" + text}, stop_sequences=["STOP"]) == [*calls[:-1], "OP "]


# Anything at all

words = st.sampled_from(
    [
        *"<>{}\n a",
        *(
            "<tool_call>",
            "</tool_call>",
            "<function=Read>",
            "<function=Write>",
            "</function>",
            "<parameter=path>",
            "</parameter>",
        ),
        *("Read", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "limit", '{"name": "Read", "arguments": ', '"name"'),
        *(
            '<invoke name="Read">',
            '<parameter name="path">',
            "</invoke>",
            "<function_calls>",
            "</function_calls>",
            '"',
            "\\",
            "<x:",
        ),
        '<x:invoke name="Read">',
        *DIALECTS.values(),
        *NO_CALLS.values(),
    ]
)
texts = st.lists(words, max_size=12).map("".join) | st.text('<>/{}"=tool_call Read', max_size=40)


@settings(max_examples=500, deadline=None)
@given(texts)
def test_S31_no_text_without_a_call_is_changed(text):
    assert split(*text, tools=[LOOK | {"name": "elsewhere"}]) == ([text] if text else [])
    cut = text.replace("}", "").replace("</tool_call>", "").replace("</function>", "").replace("invoke>", "")
    assert split(*cut) == ([cut] if cut else [])


@settings(max_examples=500, deadline=None)
@given(texts)
def test_S31_no_text_beside_a_call_is_changed(text):
    rest = text
    for told in split(text):
        if isinstance(told, str):
            _, found, rest = rest.partition(told)
            assert found
        else:
            assert told[0] in ("Read", "look-up")


@settings(max_examples=500, deadline=None)
@given(texts, st.data(), st.sampled_from([70, 1_000_000]))
def test_S31_where_the_text_is_cut_makes_no_difference(text, data, most):
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=12))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calltags, "MOST_HELD", most)
        assert split(*(text[start:end] for start, end in pairwise(cuts))) == split(text) == split(*text)
