"""Selectors: what is compiled means what jmespath means, and what cannot be meant is told."""

import json
from typing import Any

import jmespath
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from engine.mapping.compiler import MOST_LOOPS
from engine.mapping.reading import SelectorError

from .selecting import compiled, python, selection

# Names


@pytest.mark.parametrize(
    ("text", "told", "where"),
    [
        ("tol.name", "unknown name 'tol'; did you mean 'tool'?", "tol"),
        ("tool.name || zzz", "unknown name 'zzz'", "zzz"),
        ('"zzz" || tool', "unknown name 'zzz'; a text is written 'zzz'", '"zzz"'),
        ("@", "'@' means nothing here: an expression starts from a name (request, tool)", "@"),
        ("length(@)", "'@' means nothing here: an expression starts from a name (request, tool)", "@"),
        ("*", "an expression starts from a name (request, tool)", None),
        ("[0]", "an expression starts from a name (request, tool)", None),
        ("tool.a || txt(tool.b)", "unknown function txt(); did you mean text()?", "txt"),
        ("json(tool, tool)", "json() takes 1 argument, not 2", "json"),
        ("text()", "text() takes 1 or 2 arguments, not 0", "text"),
        ("merge()", "merge() takes at least 1 argument, not 0", "merge"),
        ("length(`5`)", "length() takes a string, list or object, not a number", "length"),
        ("length(length(tool))", "length() takes a string, list or object, not a number", "length"),
        ("join('', `[1, \"a\"]`)", "join() takes a list of strings as argument 2, not a list of strings and numbers", "join"),
        ("max(`{}`)", "max() takes a list of numbers or of strings, not an object", "max"),
        ("sort_by(tool, 'a')", "sort_by() takes an expression (&…) as argument 2, not a string", "sort_by"),
        ("sort_by(tool, tool)", "sort_by() takes an expression (&…) as argument 2, not a value", "sort_by"),
        ("length(&a)", "length() takes a string, list or object, not an expression (&…)", "length"),
        ("&tool", "'&' makes an expression an argument of a function; it is no value of its own", None),
        ("tool[?type == \"x\"]", "\"x\" is a field here; a text is written 'x'", '"x"'),
        ("!tool.name", "a boolean has no keys; '!' is about the first name alone here: write !(…)", "name"),
        ("!tool[?a]", "a boolean has no items; '!' is about the first name alone here: write !(…)", None),
        ("length(tool).a", "a number has no keys", "a"),
        ("tool[::0]", "a slice cannot step by 0", None),
        ("tool.", "cannot read the expression: Incomplete expression", "."),
        ("tool = 'x'", "cannot read the expression: Unknown token '='; did you mean '=='?", "="),
        ("tool[?a)", "cannot read the expression: expected ']', not ')'", ")"),
        ("tool tool", "cannot read the expression: unexpected 'tool'", "tool"),
        ("", "cannot read the expression: it is empty", None),
        ("(" * 2000 + "tool" + ")" * 2000, "cannot read the expression: it is nested too deeply", None),
        ("!" * 200 + "tool", "cannot read the expression: it is nested too deeply", None),
        (f"`{'[' * 200}{']' * 200}`", "cannot read the expression: it is nested too deeply", None),
    ],
)  # fmt: skip
def test_mistake_is_told(text: str, told: str, where: str | None) -> None:
    with pytest.raises(SelectorError) as caught:
        compiled(text, "request tool")
    assert caught.value.message == told
    if where is None:
        assert caught.value.offset is None
    else:
        assert text[caught.value.offset or 0 :][: caught.value.length] == where


def test_place_is_that_of_the_use_and_not_of_a_namesake() -> None:
    with pytest.raises(SelectorError) as caught:
        compiled("tool.b[?c].b || b", "tool")
    assert caught.value.offset == 16


def test_all_mistakes_of_an_expression_are_told() -> None:
    with pytest.raises(SelectorError) as caught:
        compiled("tol.a || [txt(@)]", "tool")
    assert [error.message for error in [caught.value, *caught.value.others]] == [
        "unknown name 'tol'; did you mean 'tool'?",
        "unknown function txt(); did you mean text()?",
    ]


def test_names_do_not_reach_into_filters() -> None:
    found = selection("tools[?name == tool]", "tools tool")
    assert found([{"name": "a"}, {"name": "b", "tool": "b"}], "a") == [{"name": "b", "tool": "b"}]


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("request.messages", {("request", "messages")}),
        ("request.a.b || delta", {("request", "a", "b"), ("delta",)}),
        ("request.a[0].b", {("request", "a")}),
        ("request.a[?b == 'c'].d", {("request", "a")}),
        ("request | a.b", {("request", "a", "b")}),
        ("request | [a, @]", {("request", "a"), ("request",)}),
        ("request.{a: b, c: d}", {("request", "b"), ("request", "d")}),
        ("text(delta.content, '')", {("delta", "content")}),
        ("request.*", {("request",)}),
    ],
)
def test_reads_are_the_paths_of_plain_fields(text: str, reads: set[tuple[str, ...]]) -> None:
    assert compiled(text, "request delta").reads == reads


# The Python


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tool", "tool"),
        ("tool.name", "tool__fields.get('name')"),
        ("tool.a.b", "_1.get('b') if type((_1 := tool__fields.get('a'))) is dict else None"),
        (
            "tool[?type == 'x']",
            "[_1 for _1 in tool if type(_1) is dict and _1.get('type') == 'x'] if type(tool) is list else None",
        ),
        (
            "tool[?type == 'x'].id",
            "[_2 for _1 in tool if type(_1) is dict and _1.get('type') == 'x' for _2 in [_1.get('id')] if _2 is not None]"
            " if type(tool) is list else None",
        ),
        ("tool == 'x' || tool == 'y'", "tool == 'x' or tool == 'y'"),
        ("text(tool, '')", "text(tool, '') if tool is not None else None"),
        ("text(tool.a)", "text(_1) if (_1 := tool__fields.get('a')) is not None else None"),
        ("type(tool)", "_type_(tool)"),
        ("length(tool)", "_checked_length(tool)"),
        ("length(to_string(tool))", "length(to_string(tool))"),
    ],
)
def test_python_is_what_one_would_write(text: str, expected: str) -> None:
    assert python(text, "tool") == expected


def test_condition_is_a_plain_test() -> None:
    assert python("tool[?a] && !(tool == 'x')", "tool", condition=True) == (
        "type(tool) is list and [_1 for _1 in tool if type(_1) is dict for _2 in [_1.get('a')] if _2 is not None"
        " and (_2 or type(_2) in _NUMBERS)] and (not tool == 'x')"
    )


def test_a_name_that_is_a_text_needs_no_check() -> None:
    assert python("matches(model, 'x')", "model tool", texts="model") == "matches(model, 'x')"
    assert python("matches(tool, 'x')", "model tool", texts="model") == "_checked_matches(tool, 'x')"
    assert python("model", "model", condition=True, texts="model") == "model"
    with pytest.raises(SelectorError, match="a string or null has no items"):
        compiled("model[0]", "model", texts="model")


@pytest.mark.parametrize(("text", "boolean"), [("tool == `2`", True), ("!tool", True), ("tool > `2`", False), ("tool", False)])
def test_boolean_is_known(text: str, boolean: bool) -> None:
    assert compiled(text, "tool").is_boolean is boolean


# Meaning


@pytest.mark.parametrize("value", [0, 0.0, 1, -1, "0", [0], {"a": 0}, True])
def test_zero_is_true_and_so_is_what_is_not_empty(value: Any) -> None:
    assert selection("given || 'other'", "given")(value) is value
    assert selection("given", "given", condition=True)(value)
    assert selection("!given", "given")(value) is False


@pytest.mark.parametrize("value", [None, False, "", [], {}])
def test_nothing_is_false(value: Any) -> None:
    assert selection("given || 'other'", "given")(value) == "other"
    assert selection("given && 'other'", "given")(value) is value
    assert not selection("given", "given", condition=True)(value)


def test_what_need_not_be_known_is_not_run() -> None:
    assert selection("a || length(b)", "a b")("here", None) == "here"
    assert selection("a && length(b)", "a b")("", None) == ""
    assert selection("a || length(b)", "a b", condition=True)("here", None)


def test_literal_is_made_anew_at_each_run() -> None:
    found = selection("`{\"a\": [1]}`", "given")  # fmt: skip
    found(None)["a"].append(2)
    assert found(None) == {"a": [1]}


def test_deepest_expression_compiles() -> None:
    for text in (
        "!" * 110 + "a",
        "a[*]." * MOST_LOOPS + "a",
        "a[?" * MOST_LOOPS + "a" + "]" * MOST_LOOPS,
        "[" * 110 + "a" + "]" * 110,
        "a" + " || a" * 110,
    ):
        for condition in (False, True):
            selection(text, condition=condition)({"a": []})


# Any expression over any document: held against jmespath's own interpreter


_LAX_FUNCTIONS: Any = Functions
_LAX_INTERPRETER: Any = TreeInterpreter


class _Interpreter(_LAX_INTERPRETER):  # type: ignore[misc]
    """jmespath's interpreter, held to JMESPath's specification where it is laxer."""

    def visit_comparator(self, node: Any, value: Any) -> Any:
        """Only numbers have an order: https://jmespath.org/specification.html#ordering-operators."""
        if node["value"] not in ("eq", "ne"):
            sides = [self.visit(child, value) for child in node["children"]]
            if any(type(side) not in (int, float) for side in sides):
                return None
        return super().visit_comparator(node, value)


class _Functions(_LAX_FUNCTIONS):  # type: ignore[misc]
    @signature({"types": ["object"], "variadic": True})
    def _func_merge(self, *arguments: Any) -> Any:
        """All arguments are objects, not the first alone."""
        self._type_check(arguments, [{"types": ["object"]}] * len(arguments), "merge")
        return super()._func_merge(*arguments)

    @signature({"types": []})
    def _func_to_number(self, argument: Any) -> Any:
        """A number is written as JSON writes it: no "01", no "1_0"."""
        try:
            return super()._func_to_number(json.loads(argument) if isinstance(argument, str) else argument)
        except ValueError:
            return None


def _formed(*forms: str) -> st.SearchStrategy[str]:
    """Expressions of these forms, `{}` being any expression."""

    def fill(form: str) -> st.SearchStrategy[str]:
        return st.tuples(*[EXPRESSIONS] * form.count("{}")).map(lambda parts: form.format(*parts))

    return st.sampled_from(forms).flatmap(fill)


EXPRESSIONS: st.SearchStrategy[str] = st.deferred(lambda: _LEAVES | _LEAVES | _LEAVES | _STEPS | _STEPS | _LOGIC | _CALLS)
_LEAVES: st.SearchStrategy[str] = st.sampled_from(
    [
        *[
            "a",
            "b",
            "c",
            "@",
            "*",
            "[0]",
            "[]",
            "a.b",
            "a[*].b",
            "a[?b]",
            "[a, b]",
            '"b"',
            "'a'",
            "''",
            "`null`",
            "`true`",
            "`false`",
        ],
        *["`0`", "`1`", "`1.0`", "`-2.5`", "`[]`", "`{}`", "`[1, true, null]`", '`"b"`', '`{"a": {"b": 0}}`'],
    ]
)
_STEPS: st.SearchStrategy[str] = _formed(
    *["{}.a", "{}.b", "{}[0]", "{}[-1]", "{}[2]", "{}[1:]", "{}[::-1]", "{}[:2].a", "{}[*]", "{}[*].a", "{}[]", "{}[].b"],
    *[
        "{}.*",
        "{}.*.a",
        "{}[?{}]",
        "{}[?{}].a",
        "{}[?a == {}]",
        "{}.[{}, {}]",
        "{}.{{a: {}, b: {}}}",
        "{} | {}",
        "({}).a",
        "[{}, {}]",
    ],
)
_LOGIC: st.SearchStrategy[str] = _formed(
    *["{} || {}", "{} && {}", "!{}", "!({})", "({} || {})", "({} && {})", "({} || {} || {})"],
    *["{} == {}", "{} != {}", "{} < {}", "{} <= {}", "{} > {}", "{} >= {}", "({} == {})", "{} == 'a'", "{} != `1`", "`1` < {}"],
)
_CALLS: st.SearchStrategy[str] = _formed(
    *["length({})", "keys({})", "values({})", "type({})", "to_string({})", "to_number({})", "to_array({})", "reverse({})"],
    *[
        "sum({})",
        "avg({})",
        "max({})",
        "min({})",
        "sort({})",
        "abs({})",
        "ceil({})",
        "floor({})",
        "not_null({}, {})",
        "merge({}, {})",
    ],
    *["contains({}, {})", "starts_with({}, {})", "ends_with({}, 'a')", "join('a', {})", "map(&{}, {})"],
    *["sort_by({}, &{})", "max_by({}, &{})", "min_by({}, &{})", "a.length({})", "{}[*].type(@)"],
)
SCALARS = st.sampled_from([None, True, False, 0, 1, -1, 2.5, 0.0, "", "a", "b", "1", "-2.5"])
_DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
_SCOPES = st.fixed_dictionaries({"a": _DOCUMENTS, "b": _DOCUMENTS, "c": _DOCUMENTS})


def _outcome(work: Any, *arguments: Any) -> str:
    """What comes of it, told so that 1, 1.0 and true differ."""
    try:
        return repr(work(*arguments))
    except (JMESPathError, TypeError, ValueError):
        return "an error"


def _interpreted(text: str, document: Any) -> str:
    options = Options(custom_functions=_Functions())
    return _outcome(lambda: _Interpreter(options).visit(jmespath.compile(text).parsed, document))


def _refusal(text: str, names: str = "") -> str | None:
    try:
        selection(text, names)
    except SelectorError as error:
        return error.message
    return None


_SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=300, deadline=None, suppress_health_check=_SLOW)
@given(EXPRESSIONS, _DOCUMENTS)
def test_any_expression_means_what_jmespath_means(text: str, document: Any) -> None:
    if refusal := _refusal(text):
        # Refused ahead of its time; jmespath finds out when it gets there, if it does.
        assert "() takes " in refusal
        return
    expected = _interpreted(text, document)
    assert _outcome(selection(text), document) == expected, python(text)
    if expected != "an error":
        truth = repr(bool(selection(text, condition=True)(document)))
        assert truth == _interpreted(f"!(!({text}))", document), python(text, condition=True)


@settings(max_examples=150, deadline=None, suppress_health_check=_SLOW)
@given(EXPRESSIONS, _SCOPES)
@example("`null`.[a, a]", {"a": 1, "b": None, "c": None})
def test_names_are_as_the_fields_of_one_document(text: str, scope: dict[str, Any]) -> None:
    if not _refusal(text, "a b c"):
        found = _outcome(selection(text, "a b c"), scope["a"], scope["b"], scope["c"])
        assert found == _interpreted(text, scope), python(text, "a b c")


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab.[]*?|&!=<>(){}:,@`'\"-01 \\é\n", max_size=12) | st.text(max_size=8))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    assert _refusal(text) != ""
