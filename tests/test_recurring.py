"""The tools of a session are read once, and no request is read otherwise for that."""

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.exchange import Exchange
from engine.wire import recurring, tokens, validate
from engine.wire.errors import ApiError
from engine.wire.recurring import once, read
from tests import every_mapping
from tests.bodies import large_request

TOOLS: list[dict[str, Any]] = [
    {
        "name": "Read",
        "description": 'Of {"tools":[{"name":"Read"}]} or \u201csuch\u201d. ' * 100,
        "input_schema": {"type": "object"},
    },
    {"name": "Write", "description": "\\" * 50, "input_schema": {"type": "object", "properties": {"tools": {}}}},
]
OTHERS = [TOOLS[0], TOOLS[1] | {"strict": True}]


def written(request: Any) -> bytes:
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()


def request(*said: str, tools: Any = TOOLS, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text} for text in said]
    return {"model": "m", "max_tokens": 9, "messages": messages, "tools": tools, **fields}


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    recurring._known.clear()


# What is read again


@pytest.mark.parametrize("order", [("messages", "tools"), ("tools", "messages")])
def test_the_tools_of_a_conversation_that_grows_are_read_once(order: tuple[str, str]) -> None:
    said, first = ["Hello"], None
    for number in range(5):
        body = request(*said)
        body = {"model": "m", **{name: body[name] for name in order}, "stream": True}
        told = read(written(body))
        assert told == body
        first = first or told["tools"]
        assert told["tools"] is first
        said += [f"{number}" * 1_000, "Go on"]


def test_each_agent_of_a_session_has_its_own_tools() -> None:
    kept = [read(written(request("Hello", tools=tools)))["tools"] for tools in (TOOLS, OTHERS, TOOLS[:1], TOOLS[1:] * 60)]
    for tools in (TOOLS, OTHERS, TOOLS[:1], TOOLS[1:] * 60):
        told = read(written(request("Hello, again", tools=tools)))["tools"]
        assert told == tools
        assert any(told is one for one in kept)


def test_only_the_tools_of_the_last_agents_are_kept() -> None:
    firsts = [read(written(request(tools=[*TOOLS, {"name": str(number)}])))["tools"] for number in range(40)]
    assert len(recurring._known) == recurring._MOST
    agains = [read(written(request(tools=[*TOOLS, {"name": str(number)}])))["tools"] for number in reversed(range(24, 40))]
    assert all(first is again for first, again in zip(firsts[24:], reversed(agains), strict=True))


@pytest.mark.parametrize(
    "tools",
    [
        [{"name": "Read"}],
        [],
        None,
        "x" * 10_000,
        {"name": "x" * 10_000},
        [TOOLS] * 50,
        [TOOLS[0] | {"description": "x" * 300_000}],
        [{"name": "x", "input_schema": {}}] * 600,
    ],
)
def test_what_is_short_or_huge_or_no_tools_is_read_each_time(tools: Any) -> None:
    body = request("x" * 5_000, tools=tools)
    for _ in range(2):
        assert read(written(body)) == body
    assert not recurring._known


def test_sessions_that_share_their_tools_share_what_is_read() -> None:
    """Though each has a beginning and an end of its own."""

    def session(number: int) -> bytes:
        return written({"model": "m", "system": "x" * number * 7, "tools": TOOLS, "messages": ["y" * number * 3]})

    [first] = {id(read(session(number))["tools"]) for number in range(16)}
    assert len(recurring._known) == 1
    for number in range(16):
        assert recurring._known[first].start(session(number)) is not None
        assert id(read(session(number))["tools"]) == first
    for number in range(1_000):
        read(session(number))
    assert len(recurring._known[first]._places) <= 2 * recurring._MOST_PLACES


def test_no_request_is_read_more_than_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it has where tools were before."""
    every = [[*TOOLS, {"name": f"{number:02}"}] for number in range(16)]
    behind = written({"model": "m" * 20, "x": every})
    for tools in every:
        start = behind.index(written(tools))
        read(written({"model": "m" * (start - 20), "tools": tools}))
    loads, count = orjson.loads, 0

    def counted(data: bytes) -> Any:
        nonlocal count
        count += 1
        return loads(data)

    monkeypatch.setattr(orjson, "loads", counted)
    assert sum(known.start(behind) is not None for known in recurring._known.values()) == 16
    for _ in range(3):
        count = 0
        assert read(behind) == loads(behind)
        assert count == 2


# What may not be taken for the tools


SPACED = json.dumps(TOOLS).encode()
PLAIN = written(TOOLS)
ODD = [
    b'{"model":"m","tools":%b,"tools":[]}' % PLAIN,
    b'{"model":"m","tools":[],"tools":%b}' % PLAIN,
    b'{"model":"m","tools":%b,"x":{"tools":%b}}' % (PLAIN, PLAIN),
    b'{"model":"m","x":{"tools":%b},"tools":[{"name":"x"}]}' % PLAIN,
    b'{"model":"m","x":[{"tools":%b}]}' % PLAIN,
    b'{"model":"m","tools":[%b]}' % PLAIN,
    b'{"model":"m","tools": %b}' % PLAIN,
    b'{"model":"m","tools":%b }' % PLAIN,
    b'{"model":"m","tools":%b}' % SPACED,
    b'{"model": "m", "tools": %b}' % SPACED,
    b'[{"model":"m","tools":%b}]' % PLAIN,
    b'{"model":"m","tools":%b,"x":%b}' % (PLAIN, written(written({"tools": TOOLS}).decode())),
    b'{"model":"m","tools":%b]}' % PLAIN,
    b'{"model":"m","tools":%b' % PLAIN,
    b'{"model":"m","tools":%b,"x":}' % PLAIN,
    PLAIN,
]


def told(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return str(error)


def told_by_read(data: bytes) -> Any:
    try:
        return read(data)
    except orjson.JSONDecodeError as error:
        return str(error)


@pytest.mark.parametrize("data", ODD)
@pytest.mark.parametrize("before", range(12))
def test_a_text_says_the_same_whether_its_tools_are_known(data: bytes, before: int) -> None:
    read(written({"model": "m" * (before + 1), "tools": TOOLS}))
    for _ in range(3):
        assert told_by_read(data) == told(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.just("tools"), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(JSON, st.sampled_from([TOOLS, OTHERS, TOOLS[:1]]), JSON, st.booleans()), max_size=6))
def test_any_requests_are_read_as_they_are(requests: list[tuple[Any, Any, Any, bool]]) -> None:
    recurring._known.clear()
    for before, tools, behind, is_first in requests:
        order = {"tools": tools, "x": before} if is_first else {"x": before, "tools": tools}
        data = written(order | {"y": behind})
        assert read(data) == orjson.loads(data)


# What is made of them


def test_what_is_made_of_known_tools_is_made_once() -> None:
    made: list[Any] = []

    def make(tools: Any, *arguments: Any) -> int:
        made.append((len(tools), *arguments))
        return len(made)

    known = read(written(request("Hello")))["tools"]
    assert [once(make, known), once(make, known), once(make, known, 1), once(make, known, 1)] == [1, 1, 2, 2]
    assert [once(make, list(known)), once(make, list(known))] == [3, 4]
    for number in range(50):
        once(make, known, "name", number)
    assert len(recurring._known[id(known)].made) <= recurring._MOST_MADE


@pytest.mark.parametrize("name", every_mapping.names())
def test_a_request_whose_tools_are_known_is_translated_as_any_other(name: str) -> None:
    mapping, model = every_mapping.mapping(name), every_mapping.model(name)
    plain = large_request(tools=30, messages=6, size=30_000)
    plain["tools"][3] |= {"cache_control": {"type": "ephemeral"}, "strict": True}
    plain["tools"][4]["name"] = "a.name/that no provider takes " * 5
    choices: list[dict[str, Any]] = [{}, {"tool_choice": {"type": "tool", "name": "tool_2"}}, {"tool_choice": {"type": "none"}}]
    kept = read(written(plain))["tools"]
    before, made = copy.deepcopy(kept), None
    for choice in choices * 2:
        body = plain | choice
        known = read(written(body))
        assert known["tools"] is kept
        validate.check(known)
        one, other = (Exchange(name, mapping, model, each, request_id="req_1") for each in (known, body))
        assert (one.body, one.lost, one.prepared) == (other.body, other.lost, other.prepared)
        assert tokens.estimate(known) == tokens.estimate(body)
        made = made or copy.deepcopy(recurring._known[id(kept)].made)
    assert kept == before
    assert {key: recurring._known[id(kept)].made[key] for key in made or ()} == made


def test_deferred_tools_come_up_in_known_ones_too() -> None:
    tools = [*TOOLS, {"name": "Late", "input_schema": {}, "defer_loading": True}]
    mapping = every_mapping.mapping("openai-chat")
    for said, count in (([], 2), ([{"type": "tool_reference", "tool_name": "Late"}], 3), ([], 2)):
        body = request("Hello", tools=tools)
        body["messages"] += [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Read", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": said}]},
        ]
        known = read(written(body))
        assert len(Exchange("p", mapping, "m", known, request_id="req_1").body["tools"]) == count


def test_a_name_that_one_conversation_has_is_unknown_to_the_next() -> None:
    mapping = every_mapping.mapping("openai-chat")
    called = request("Hello")
    called["messages"].append(
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "an odd name", "input": {}}]}
    )
    prepared = [
        Exchange("p", mapping, "m", read(written(body)), request_id="req_1").prepared for body in (called, request("Hello")) * 2
    ]
    assert [list(one.tool_names.values()) for one in prepared] == [["an odd name"], [], ["an odd name"], []]


def test_tools_keep_their_names_while_a_conversation_grows() -> None:
    """A call of another tool takes no name that a tool of the request would have."""
    mapping = every_mapping.mapping("openai-chat")
    odd = {"name": "an odd name", "input_schema": {}}
    call = {"type": "tool_use", "id": "t", "name": "an_odd_name_29d12062", "input": {}}
    names = []
    for messages in ([], [{"role": "assistant", "content": [call]}]):
        body = request("Hello", tools=[*TOOLS, odd])
        body["messages"] += messages
        names.append([tool["function"]["name"] for tool in Exchange("p", mapping, "m", body, request_id="req_1").body["tools"]])
    assert names[0] == names[1]
    assert names[0][2] == call["name"]


def test_what_is_wrong_with_known_tools_is_told_each_time() -> None:
    body = request("Hello", tools=[*TOOLS, {"name": 5}])
    for _ in range(3):
        with pytest.raises(ApiError) as caught:
            validate.check(read(written(body)))
        assert caught.value.message == "tools.2.input_schema: Field required; tools.2.name: Input should be a valid string"
