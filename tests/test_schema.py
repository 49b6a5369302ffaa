"""engine/wire/schema.py: tool schemas as a provider takes them."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.wire.schema import RULES, clean, clean_answer

TEXT = {"type": "string"}
NUMBER = {"type": "number"}


def root(*, required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return schema | {"required": required} if required else schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"properties": {}},
        {"type": ["object", "null"]},
        {"type": "string"},
        {"properties": []},
        None,
        True,
    ],
)
def test_G01_a_tools_input_is_an_object_with_properties(schema: Any) -> None:
    assert clean(schema) == root()


def test_G01_a_root_that_is_a_reference_is_what_it_names() -> None:
    named = {"A": {"$ref": "#/$defs/B"}, "B": root(a=TEXT)}
    assert clean({"$ref": "#/$defs/A", "$defs": named}) == root(a=TEXT) | {"$defs": named}
    assert clean({"$ref": "#/$defs/A%3CB%3E", "$defs": {"A<B>": root(a=TEXT)}})["properties"] == {"a": TEXT}
    assert clean({"$ref": "#"}) == root()
    assert clean({"$ref": "https://a.example/schema"}) == root()


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("plain", {"$schema": "x", "$id": "y", **root(a={"$comment": "z", **TEXT})}, root(a=TEXT)),
    ("const_to_enum", root(a={"const": 1}, b={"items": {"const": None}}), root(a={"enum": [1]}, b={"items": {"enum": [None]}})),
    ("no_property_names", root(a={"type": "object", "propertyNames": TEXT}), root(a={"type": "object"})),
    (
        "array_items",
        root(a={"type": "array"}, b={"type": ["array", "null"]}),
        root(a={"type": "array", "items": {}}, b={"type": ["array", "null"], "items": {}}),
    ),
    (
        "array_items",
        root(a={"type": "array", "items": [TEXT, NUMBER]}),
        root(a={"type": "array", "items": {"anyOf": [TEXT, NUMBER]}}),
    ),
    (
        "tuple_items",
        root(a={"type": "array", "items": [TEXT, NUMBER]}, b={"prefixItems": [TEXT], "items": False}),
        root(a={"type": "array", "prefixItems": [TEXT, NUMBER]}, b={"prefixItems": [TEXT]}),
    ),
    ("tuple_items", root(a={"type": "array", "items": TEXT}), root(a={"type": "array", "items": TEXT})),
    (
        "types_in_branches",
        root(a={"type": "object", "anyOf": [{"required": ["b"]}, {"type": "null"}]}),
        root(a={"anyOf": [{"type": "object", "required": ["b"]}, {"type": "null"}]}),
    ),
    ("types_in_branches", root(a={"type": "string", "anyOf": [{"anyOf": [{}]}]}), root(a={"anyOf": [{"anyOf": [TEXT]}]})),
    ("types_in_branches", {"type": "object", "anyOf": [root()]}, root() | {"anyOf": [root()]}),
    (
        "no_booleans",
        root(a=True, b=False, c={"type": "object", "additionalProperties": False}),
        root(a={}, b={"not": {}}, c={"type": "object", "additionalProperties": False}),
    ),
    (
        "no_lookaround",
        root(a={**TEXT, "pattern": "^(?!x)"}, b={**TEXT, "pattern": "^(?:x)"}),
        root(a=TEXT, b={**TEXT, "pattern": "^(?:x)"}),
    ),
    ("no_lookaround", root(a={"patternProperties": {"(?<=x)": TEXT, "x": TEXT}}), root(a={"patternProperties": {"x": TEXT}})),
    ("inline_refs", {**root(a={"$ref": "#/$defs/A", "title": "mine"}), "$defs": {"A": TEXT}}, root(a=TEXT | {"title": "mine"})),
    ("inline_refs", root(a={"$ref": "#/definitions/gone"}), root(a={})),
    (
        "inline_refs",
        root(a={"anyOf": [TEXT, NUMBER]}, b={"$ref": "#/properties/a/anyOf/1"}),
        root(a={"anyOf": [TEXT, NUMBER]}, b=NUMBER),
    ),
    ("inline_refs", root(a={"anyOf": [TEXT]}, b={"$ref": "#/properties/a/anyOf/1"}), root(a={"anyOf": [TEXT]}, b={})),
    ("inline_refs", root(a={"anyOf": [TEXT]}, b={"$ref": "#/properties/a/anyOf/-"}), root(a={"anyOf": [TEXT]}, b={})),
    ("inline_refs", {**root(a={"$ref": "#/$defs/A%3Cb%2Fc%3E"}), "$defs": {"A<b": {"c>": TEXT}}}, root(a=TEXT)),
    (
        "inline_refs",
        {**root(a={"$ref": "#/$defs/a~1b"}), "$defs": {"a/b": {"items": {"$ref": "#/$defs/c"}}, "c": TEXT}},
        root(a={"items": TEXT}),
    ),
    (
        "inline_refs",
        {**root(a={"$ref": "#/$defs/Tree"}), "$defs": {"Tree": root(left={"$ref": "#/$defs/Tree"}, name=TEXT)}},
        root(a=root(left={"type": "object"}, name=TEXT)),
    ),
    (
        "no_root_combinators",
        {"anyOf": [root(a=TEXT, b=TEXT, required=["a", "b"]), root(a=NUMBER, c=TEXT, required=["a"])]},
        root(a={"anyOf": [TEXT, NUMBER]}, b=TEXT, c=TEXT, required=["a"]),
    ),
    (
        "no_root_combinators",
        {
            **root(a=TEXT, required=["a"]),
            "allOf": [root(b=TEXT, required=["b"]), {"$ref": "#/$defs/C"}],
            "$defs": {"C": {"oneOf": [root(c=TEXT)]}},
        },
        root(a=TEXT, b=TEXT, c=TEXT, required=["a", "b"]) | {"$defs": {"C": {"oneOf": [root(c=TEXT)]}}},
    ),
    (
        "no_root_combinators",
        {
            "$defs": {"A": root(a=TEXT, required=["a"])},
            "oneOf": [{"allOf": [{"$ref": "#/$defs/A"}, root(**{name: TEXT}, required=[name])]} for name in "bc"],
        },
        root(a=TEXT, b=TEXT, c=TEXT, required=["a"]) | {"$defs": {"A": root(a=TEXT, required=["a"])}},
    ),
    (
        "no_root_combinators",
        {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, root(a=TEXT, required=["a"])]}}, "allOf": [{"$ref": "#/$defs/A"}]},
        root(a=TEXT) | {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, root(a=TEXT, required=["a"])]}}},
    ),
    ("no_root_combinators", root(a={"anyOf": [TEXT, NUMBER]}), root(a={"anyOf": [TEXT, NUMBER]})),
]


@pytest.mark.parametrize(("rule", "schema", "expected"), CASES, ids=[case[0] for case in CASES])
def test_G02_G03_a_rule_does_what_its_name_says(rule: str, schema: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    assert clean(schema, [rule]) == expected
    assert schema == before


KEYWORDS = [
    "$schema",
    "$id",
    "$comment",
    "$ref",
    "$defs",
    "const",
    "format",
    "title",
    "type",
    "pattern",
    "items",
    "anyOf",
    "not",
    "enum",
]
KEYWORDS += ["propertyNames", "additionalProperties", "patternProperties", "nullable", "required", "properties"]


@pytest.mark.parametrize("rule", RULES)
def test_G03_a_property_may_have_the_name_of_a_keyword(rule: str) -> None:
    named = root(**dict.fromkeys(KEYWORDS, TEXT))
    assert clean(root(deep=named, **named["properties"]), [rule]) == root(deep=named, **named["properties"])


@pytest.mark.parametrize("rule", RULES)
def test_G03_a_value_is_not_a_schema(rule: str) -> None:
    value = {"$schema": "x", "const": 1, "type": "array", "pattern": "(?=x)"}
    schema = root(a={"default": value, "examples": [value]})
    assert clean(schema, [rule]) == schema


def test_what_comes_again_is_kept() -> None:
    schema = root(kept=root(x=TEXT), changed={"$comment": "x"}) | {"additionalProperties": False}
    cleaned = clean(schema, ["plain", "no_lookaround"])
    assert cleaned["properties"] == {"kept": root(x=TEXT), "changed": {}}
    assert clean(copy.deepcopy(schema), ["plain", "no_lookaround"]) is cleaned
    assert clean(schema, ["plain"])["properties"] == {"kept": root(x=TEXT), "changed": {}}
    assert clean(schema)["properties"]["changed"] == {"$comment": "x"}


def test_what_is_long_is_not_kept() -> None:
    schema = root(x={"description": "x" * 30_000})
    assert clean(schema, ["plain"])["properties"]["x"] is schema["properties"]["x"]


def test_references_that_multiply_are_cut_off() -> None:
    doubling = {str(n): root(a={"$ref": f"#/$defs/{n + 1}"}, b={"$ref": f"#/$defs/{n + 1}"}) for n in range(40)}
    cleaned = clean({"$ref": "#/$defs/0", "$defs": doubling}, ["inline_refs", "plain"])
    assert "$ref" not in str(cleaned)


schemas = st.recursive(
    st.one_of(
        st.booleans(),
        st.none(),
        st.integers(),
        st.just("#"),
        st.just("#/$defs/a"),
        st.sampled_from(["string", "array", "null", "(?=x)"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "oneOf", "allOf", "required", "properties", *KEYWORDS]), inner, max_size=4),
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(schemas, st.lists(st.sampled_from(sorted(RULES)), unique=True))
def test_G01_G03_any_schema_becomes_an_object_and_cleaning_it_again_changes_nothing(schema: Any, rules: list[str]) -> None:
    before = copy.deepcopy(schema)
    cleaned = clean(schema, rules)
    assert schema == before
    assert cleaned["type"] == "object"
    assert isinstance(cleaned["properties"], dict)
    assert clean(cleaned, rules[-1:]) == cleaned


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": TEXT},
        {"type": "string", "enum": ["a"]},
        {"type": ["object", "null"], "properties": {}},
        {"anyOf": [root(a=TEXT), TEXT]},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "array"}}},
        {"$ref": "#"},
    ],
)
def test_R32_an_answer_need_not_be_an_object(schema: dict[str, Any]) -> None:
    assert clean_answer(schema, ["no_root_combinators", "plain"]) == schema


@pytest.mark.parametrize(
    "schema",
    [
        root(a=TEXT),
        {"properties": {"a": TEXT}},
        {"anyOf": [root(a=TEXT), {"$ref": "#/$defs/A"}], "$defs": {"A": root(b=TEXT)}},
        {"allOf": [TEXT, root(a=TEXT)]},
    ],
)
def test_an_answer_that_is_an_object_is_cleaned_like_an_input(schema: dict[str, Any]) -> None:
    assert clean_answer(schema, ["no_root_combinators"]) == clean(schema, ["no_root_combinators"])
