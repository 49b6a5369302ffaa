"""Functions: every example is true, what is not taken is refused, and what providers send does no harm."""

import doctest
import json
from types import ModuleType
from typing import Any

import jmespath.functions
import pytest

from engine.mapping import runtime
from engine.mapping.functions import FUNCTIONS, Function, FunctionError, from_module

CALLS = {name: made.implementation for name, made in FUNCTIONS.items()}


@pytest.mark.parametrize("made", FUNCTIONS.values(), ids=FUNCTIONS)
def test_example_is_true(made: Function) -> None:
    assert made.about.endswith(".")
    documented = doctest.DocTestParser().get_doctest(str(made.implementation.__doc__), dict(CALLS), made.name, None, None)
    assert documented.examples, f"{made.name}() has no example"
    told: list[str] = []
    doctest.DocTestRunner().run(documented, out=told.append)
    assert not told, "".join(told)


def test_examples_of_helpers_are_true() -> None:
    assert doctest.testmod(runtime).failed == 0


def test_all_of_jmespath_is_there() -> None:
    assert jmespath.functions.Functions.FUNCTION_TABLE.keys() <= FUNCTIONS.keys()


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("length", [5], "length() takes a string, list or object, not a number"),
        ("abs", [True], "abs() takes a number, not a boolean"),
        ("join", ["", None], "join() takes a list of strings as argument 2, not null"),
        ("join", ["", ["a", 1]], "join() takes a list of strings as argument 2, not a list of strings and numbers"),
        ("sum", [[1, None]], "sum() takes a list of numbers, not a list of numbers and null"),
        ("max", [[1, "a"]], "max() takes a list of numbers or of strings, not a list of strings and numbers"),
        ("merge", [{}, []], "merge() takes an object as argument 2, not a list"),
        ("sort_by", [[], "a"], "sort_by() takes an expression (&…) as argument 2, not a string"),
        (
            "min_by",
            [[1, "a"], lambda item: item],
            "min_by() compares numbers or strings, but the expression gives strings and numbers",
        ),
        ("contains", ["abc", 1], "contains() looks for a string in a string, not for a number"),
        (
            "matches",
            ["abc", "("],
            "matches() takes a regular expression as argument 2, not '(': missing ), unterminated subpattern",
        ),
        ("replace", ["a", "b", 1], "replace() takes a string as argument 3, not a number"),
    ],
)
def test_what_is_not_taken_is_refused(name: str, arguments: list[Any], told: str) -> None:
    with pytest.raises(FunctionError) as caught:
        FUNCTIONS[name].checked(*arguments)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("call", "given", "expected"),
    [
        ("text", ["hello"], "hello"),
        ("text", [""], None),
        ("text", [None], None),
        ("text", [[]], None),
        ("text", [[{"type": "text", "text": ""}, {"type": "image", "text": "no"}]], None),
        ("text", [["a", {"type": "text", "text": "b"}, None, {"type": "text", "text": None}], " "], "a b"),
        ("text", [{"type": "text", "text": "a"}], None),
        ("json", [{"b": 1, "a": "é"}], '{"b":1,"a":"é"}'),
        ("json", [2**70], "1180591620717411303424"),
        ("json", ["\ud800"], '"\\ud800"'),
        ("parse_json", ["[1]"], [1]),
        ("parse_json", ["{"], None),
        ("parse_json", [{"a": 1}], None),
        ("difference", [100, 30, None, "x"], 70),
        ("difference", [10, 30], 0),
        ("difference", [None, 30], None),
        ("difference", ["100", 30], None),
        ("total", [1, None, 2], 3),
        ("total", [0, None], 0),
        ("total", [None, True, "1"], None),
        ("data_url", [{"type": "url", "url": "https://x.y/z.png"}], "https://x.y/z.png"),
        ("data_url", [{"type": "base64", "data": "aa"}], None),
        ("data_url", [{"type": "file", "file_id": "f"}], None),
        ("data_url", [None], None),
        ("lower", [None], None),
        ("replace", [None, "a", "b"], None),
        ("matches", [None, "a"], False),
        ("matches", ["b", "a"], False),
        ("to_number", ["1e2"], 100.0),
        ("to_number", ["1_0"], None),
        ("to_string", ["a"], "a"),
        ("avg", [[]], None),
        ("max_by", [[], None], None),
        ("sort_by", [[{"k": "b"}, {"k": "a", "n": 1}, {"k": "a", "n": 2}], lambda item: item["k"]],
         [{"k": "a", "n": 1}, {"k": "a", "n": 2}, {"k": "b"}]),
    ],
)  # fmt: skip
def test_function_gives(call: str, given: list[Any], expected: Any) -> None:
    found = CALLS[call](*given)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize("name", [name for name, made in FUNCTIONS.items() if made.passes_null])
def test_null_is_passed(name: str) -> None:
    assert CALLS[name](None, *["a"] * (FUNCTIONS[name].required - 1)) is None


def test_strict_closes_what_it_can_hold_r32() -> None:
    item = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    schema = {
        "type": "object",
        "properties": {
            "sure": {"type": "string", "format": "date", "default": "x"},
            "default": {"type": "array", "items": item},
            "referred": {"anyOf": [{"$ref": "#/$defs/item"}, {"type": "null"}]},
        },
        "required": ["sure", "default", "referred"],
        "$defs": {"item": item},
    }
    before = json.dumps(schema)
    closed = item | {"additionalProperties": False}
    assert CALLS["strict"](schema) == {
        "type": "object",
        "properties": {
            "sure": {"type": "string", "format": "date"},
            "default": {"type": "array", "items": closed},
            "referred": {"anyOf": [{"$ref": "#/$defs/item"}, {"type": "null"}]},
        },
        "required": ["sure", "default", "referred"],
        "$defs": {"item": closed},
        "additionalProperties": False,
    }
    assert json.dumps(schema) == before


@pytest.mark.parametrize(
    "a",
    [
        {"type": "string"},
        {"type": "string", "enum": ["b", "c"]},
        {"type": "string", "const": "b"},
        {"type": ["string", "null"], "description": "a text"},
        {"$ref": "#/$defs/b", "default": None},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
    ],
)
def test_strict_keeps_what_says_what_it_is_r32(a: dict[str, Any]) -> None:
    closed = CALLS["strict"]({"type": "object", "properties": {"a": a}, "required": ["a"]})
    kept = {word: value for word, value in a.items() if word != "default"}
    assert closed == {"type": "object", "properties": {"a": kept}, "required": ["a"], "additionalProperties": False}


def test_strict_closes_an_object_that_may_be_null_r32() -> None:
    within = {"type": ["object", "null"], "properties": {"b": {"type": "string"}}, "required": ["b"]}
    closed = CALLS["strict"]({"type": "object", "properties": {"a": within}, "required": ["a"]})
    assert closed["properties"]["a"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"properties": {"a": {"type": "string"}}, "required": []},
        {"properties": {"a": {"type": "object"}}, "required": ["a"]},
        {"properties": {"a": {"type": "object", "additionalProperties": {"type": "number"}}}, "required": ["a"]},
        {"properties": {"a": True}, "required": ["a"]},
        {"properties": {"a": {"oneOf": []}}, "required": ["a"]},
        {"properties": {"a": {"type": "string"}}, "required": ["a"], "patternProperties": {}},
        {"properties": {"a": {"type": "string"}}, "required": ["a"], "anyOf": []},
        *(
            {"properties": {"a": a}, "required": ["a"]}
            for a in (
                {},
                {"description": "anything"},
                {"enum": ["b", "c"]},
                {"const": "b"},
                {"type": ["object", "null"]},
                {"type": ["object", "null"], "properties": {"b": {"type": "string"}}},
                {"type": "array", "items": {}},
                {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                {"anyOf": [{}, {"type": "null"}]},
                {"$ref": "#/$defs/b", "description": "a b"},
            )
        ),
    ],
)
def test_strict_is_null_for_what_strict_mode_would_change_r32(said: dict[str, Any]) -> None:
    assert CALLS["strict"]({"type": "object", **said}) is None


def _module(source: str) -> ModuleType:
    module = ModuleType("beside")
    exec(source, module.__dict__)
    return module


def test_functions_of_a_file_beside_a_mapping() -> None:
    found = from_module(
        _module(
            "from json import dumps\n"
            "def both(first, second='x', *others):\n    '''Both.'''\n    return first, second\n"
            "def _own(): pass\n"
        )
    )
    assert list(found) == ["both"]
    assert (found["both"].required, found["both"].variadic, found["both"].about) == (1, True, "Both.")
    assert found["both"].checked is found["both"].implementation


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def text(value): pass", r"every mapping has a function text\(\) already"),
        ("def mine(*, key): pass", r"mine\(\) takes arguments by name, which no expression can give"),
    ],
)
def test_function_that_cannot_be_called(source: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        from_module(_module(source))
