"""JMESPath -> a Python expression, names checked.

What jmespath's interpreter finds out at every search is decided here once; the outcome is the chain of type checks that
one would write by hand. What is not there is null in JMESPath, so a value is a Python `body` under `guards`, and null
unless all guards hold. Where a value is needed twice, it gets a name on its way: `type(_1 := given.get('a')) is dict`.
"""

import ast
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from .errors import suggest
from .namespaces import variable_of
from .reading import Node, SelectorError, names_in, parse
from .signatures import EXPRESSION, JSON, KINDS, Function, FunctionError, Kinds, Parameter
from .trees import (
    binds,
    call,
    call_method,
    compare,
    either,
    every,
    is_not_none,
    is_number,
    is_type,
    item,
    json_tree,
    load,
    loops,
    negation,
)

Path = tuple[str, ...]
Guards = tuple[ast.expr, ...]

BOOLEAN: Kinds = frozenset({"boolean"})
LIST: Kinds = frozenset({"list"})
OBJECT: Kinds = frozenset({"object"})
NULL: Kinds = frozenset({"null"})
NUMBER: Kinds = frozenset({"number"})
TEXT: Kinds = frozenset({"string", "null"})


NEARLY = 0.8
"""How near a name is to another that it is a slip: `mesages`, not `max_completion_tokens`."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A compiled expression, the paths that it reads from its names, and whether it is always true or false.

    `fields` are the variables of which it reads fields: each has a twin, `fields_of(variable)`, that is the variable
    where that is an object and else an empty one, so that its type is asked for once and not at every field.
    """

    expression: ast.expr
    reads: frozenset[Path]
    fields: frozenset[str] = frozenset()
    is_boolean: bool = False


def compile_selector(
    text: str,
    *,
    functions: Mapping[str, Function],
    fresh: Callable[[], str],
    names: Mapping[str, str] | None = None,
    texts: Collection[str] = (),
    known: Mapping[str, Collection[str]] | None = None,
    current: str | None = None,
    condition: bool = False,
) -> Selector:
    """Compile an expression.

    `names` is the closed scope that it starts from: the names of the language and the variables that hold them; those
    among `texts` hold a text or null, and of those in `known` the fields are known. Or `current` is the variable of the value
    that it is about, as in plain JMESPath. `fresh` gives new variables. A `condition` is compiled to what Python takes for
    true where JMESPath does. Raises SelectorError.
    """
    tree = parse(text)
    writer = _Writer(functions, fresh, names or {}, texts, known or {}, text, tree)
    start = None if current is None else _Value(load(current))
    value = _Value(writer.condition(tree, start), BOOLEAN) if condition else writer.value(tree, start)
    if writer.errors:
        first, *first.others = writer.errors
        raise first
    return Selector(value.expression, frozenset(writer.reads), frozenset(writer.fields), value.all_kinds == BOOLEAN)


def fields_of(variable: str) -> str:
    """The twin of a variable: it, where it is an object, and else an empty one."""
    return f"{variable}__fields"


@dataclass(frozen=True, slots=True)
class _Value:
    """The body where all guards hold, else null. `kinds` is what the body may be, `path` what of the names it is."""

    body: ast.expr
    kinds: Kinds = JSON
    guards: Guards = ()
    path: Path | None = None

    @property
    def expression(self) -> ast.expr:
        return ast.IfExp(every(self.guards), self.body, ast.Constant(None)) if self.guards else self.body

    @property
    def all_kinds(self) -> Kinds:
        return self.kinds | NULL if self.guards else self.kinds


class _Writer:
    """Writes one expression: a method for each kind of node.

    `current` is the value that a node is about, None at the root of a scope. A node has it evaluated just once, as any
    expression; one that needs it more often gives it a name first (`_shared`).
    """

    def __init__(
        self,
        functions: Mapping[str, Function],
        fresh: Callable[[], str],
        names: Mapping[str, str],
        texts: Collection[str],
        known: Mapping[str, Collection[str]],
        text: str,
        tree: Node,
    ):
        self.functions = functions
        self.fresh = fresh
        self.names = names
        self.texts = texts
        self.known = known
        self.text = text
        self.tree = tree
        self.errors: list[SelectorError] = []
        self.reads: list[Path] = []
        self.fields: set[str] = set()

    @cached_property
    def tokens(self) -> Mapping[int, Node]:
        return names_in(self.tree, self.text)

    def value(self, node: Node, current: _Value | None) -> _Value:
        return self._VALUE[node["type"]](self, node, current)

    def condition(self, node: Node, current: _Value | None) -> ast.expr:
        """Whether the node's value is true, for Python to test."""
        joined = self._CONDITION.get(node["type"])
        if joined is None:
            value = self.value(node, current)
            return every([*value.guards, self._true(value)[0] if value.kinds >= NUMBER else value.body])
        guards, current = self._shared(current)
        return every([*guards, joined(self.condition(child, current) for child in _operands(node))])

    def _true(self, value: _Value) -> tuple[ast.expr, ast.expr]:
        """Whether the body is true, and the body again. Python agrees with JMESPath but for the number 0."""
        first, again = self._named(value.body)
        if not value.kinds >= NUMBER:
            return first, again
        if not value.kinds >= NULL:
            return either([first, is_number(again)]), again
        # Null is what most values are, and quickly told.
        return every([is_not_none(first), either([again, is_number(again)])]), again

    def _error(self, node: Node, message: str) -> _Value:
        token = self.tokens.get(id(node))
        if token is None:
            self.errors.append(SelectorError(message))
        else:
            self.errors.append(SelectorError(message, token["start"], len(token["value"]) + 2 * self._is_quoted(node)))
        return _Value(ast.Constant(None))

    def _is_quoted(self, node: Node) -> bool:
        return '"' in self.text and bool(self.tokens.get(id(node), {}).get("type") == "quoted_identifier")

    # Values that are used more than once

    def _named(self, body: ast.expr) -> tuple[ast.expr, ast.expr]:
        """The body where it is used first, which gives it a name, and where it is used again."""
        if isinstance(body, ast.Name):
            return body, body
        name = self.fresh()
        return ast.NamedExpr(ast.Name(name, ast.Store()), body), load(name)

    def _shared(self, current: _Value | None) -> tuple[Guards, _Value | None]:
        """The current value under a name, and the guard, which holds always, that names it."""
        if current is None or (isinstance(current.body, ast.Name) and not current.guards):
            return (), current
        first, again = self._named(current.expression)
        return (compare(first, ast.Is(), again),), _Value(again, current.all_kinds, path=current.path)

    def _present(self, current: _Value | None) -> tuple[Guards, _Value | None]:
        """The current value under a name, and the guard that it is not null."""
        if current is None:
            return (), None
        first, again = self._named(current.body)
        return (*current.guards, is_not_none(first)), _Value(again, current.kinds - NULL, path=current.path)

    def _only(self, kind: str, value: _Value, node: Node) -> tuple[Guards, ast.expr]:
        """The value under a name, and the guards that it is of that Python type."""
        if self.names and value.kinds - NULL and KINDS[_PYTHON[kind]] not in value.kinds:
            hint = "; '!' is about the first name alone here: write !(…)" if value.kinds == BOOLEAN else ""
            self._error(node, f"{Parameter(value.kinds)} has no {'keys' if kind == 'dict' else 'items'}{hint}")
        first, again = self._named(value.body)
        return (*value.guards, is_type(first, kind)), again

    # Names, fields and what follows them

    def _field(self, node: Node, current: _Value | None) -> _Value:
        key = node["value"]
        if current is None:
            return self._name(node, key)
        if current.path is not None and len(current.path) == 1:
            self._check_known(node, current.path[0], key)
        if isinstance(current.body, ast.Name) and current.body.id in self.names.values():
            self.fields.add(current.body.id)
            guards, again = current.guards, load(fields_of(current.body.id))
        else:
            guards, again = self._only("dict", current, node)
        return _Value(call_method(again, "get", ast.Constant(key)), JSON, guards, self._deeper(current.path, key))

    def _name(self, node: Node, name: str) -> _Value:
        if name not in self.names:
            hint = suggest(name, self.names) or (f"; a text is written '{name}'" if self._is_quoted(node) else "")
            return self._error(node, f"unknown name {name!r}{hint}")
        self.reads.append((name,))
        return _Value(load(self.names[name]), TEXT if name in self.texts else JSON, path=(name,))

    def _check_known(self, node: Node, name: str, key: str) -> None:
        """A field that is nearly a known one is a slip; any other may be new."""
        known = self.known.get(name, (key,))
        if key not in known and (hint := suggest(key, known, least=NEARLY)):
            self._error(node, f"unknown field {key!r} of {name!r}{hint}")

    def _deeper(self, path: Path | None, key: str) -> Path | None:
        """A field reads its own path instead of that of the value it is of."""
        if path is None:
            return None
        if path in self.reads:
            self.reads.remove(path)
        self.reads.append((*path, key))
        return self.reads[-1]

    def _current(self, node: Node, current: _Value | None) -> _Value:
        if current is None:
            subject = "'@' means nothing here: an" if node["type"] == "current" else "an"
            return self._error(node, f"{subject} expression starts from a name ({', '.join(self.names)})")
        if current.path is not None:
            self.reads.append(current.path)
        return current

    def _chain(self, node: Node, current: _Value | None) -> _Value:
        first, *rest = node["children"]
        value = self.value(first, current)
        for child in rest:
            value = self.value(child, value)
        return value

    def _index(self, node: Node, current: _Value) -> _Value:
        guards, again = self._only("list", current, node)
        index = node["value"]
        least = index if index >= 0 else -index - 1
        there = compare(call("len", again), ast.Gt(), ast.Constant(least))
        return _Value(item(again, ast.Constant(index)), guards=(*guards, there))

    def _slice(self, node: Node, current: _Value) -> _Value:
        bounds = node["children"]
        if bounds[2] == 0:
            return self._error(node, "a slice cannot step by 0")
        guards, again = self._only("list", current, node)
        return _Value(item(again, ast.Slice(*[None if bound is None else ast.Constant(bound) for bound in bounds])), LIST, guards)

    def _flatten(self, node: Node, current: _Value | None) -> _Value:
        guards, items = self._items(node, current)
        return _Value(call("_flat", items), LIST, guards)

    # Projections

    def _projection(self, node: Node, current: _Value | None) -> _Value:
        guards, items = self._items(node, current)
        if binds(items):  # which Python forbids where a comprehension takes its items from
            first, items = self._named(items)
            guards = (*guards, is_not_none(first))
        return self._each(node, guards, items)

    def _items(self, node: Node, current: _Value | None) -> tuple[Guards, ast.expr]:
        base = self.value(node["children"][0], current)
        return (base.guards, base.body) if base.kinds == LIST else self._only("list", base, node)

    def _value_projection(self, node: Node, current: _Value | None) -> _Value:
        guards, again = self._only("dict", self.value(node["children"][0], current), node)
        return self._each(node, guards, call_method(again, "values"))

    def _each(self, node: Node, guards: Guards, items: ast.expr) -> _Value:
        """What is projected of each item, where it is not null and the filter's condition is true."""
        name = self.fresh()
        element = _Value(load(name))
        _, projected, *filters = node["children"]
        tests = [self.condition(test, element) for test in filters]
        made = self.value(projected, element)
        tests += made.guards
        result = made.body
        if made.kinds >= NULL:
            first, result = self._named(result)
            tests.append(is_not_none(first))
        return _Value(ast.ListComp(result, loops(ast.Name(name, ast.Store()), items, tests)), LIST, guards)

    # New values

    def _list(self, node: Node, current: _Value | None) -> _Value:
        guards, current = self._present(current)
        return _Value(ast.List([self.value(child, current).expression for child in node["children"]], ast.Load()), LIST, guards)

    def _dict(self, node: Node, current: _Value | None) -> _Value:
        guards, current = self._present(current)
        keys: list[ast.expr | None] = [ast.Constant(child["value"]) for child in node["children"]]
        values = [self.value(child["children"][0], current).expression for child in node["children"]]
        return _Value(ast.Dict(keys, values), OBJECT, guards)

    def _literal(self, node: Node, current: _Value | None) -> _Value:
        guards, _ = self._shared(current)
        return _Value(json_tree(node["value"]), frozenset({KINDS[type(node["value"])]}), guards)

    # Logic

    def _or(self, node: Node, current: _Value | None) -> _Value:
        guards, current = self._shared(current)
        *firsts, made = (self.value(child, current) for child in _operands(node))
        for value in reversed(firsts):
            made = _Value(self._first_true(value, made.expression), (value.kinds - NULL) | made.all_kinds)
        return replace(made, guards=guards)

    def _first_true(self, value: _Value, other: ast.expr) -> ast.expr:
        if not value.guards and not value.kinds >= NUMBER:
            return either([value.body, other])
        test, again = self._true(value)
        return ast.IfExp(every([*value.guards, test]), again, other)

    def _and(self, node: Node, current: _Value | None) -> _Value:
        guards, current = self._shared(current)
        *firsts, made = (self.value(child, current) for child in _operands(node))
        for value in reversed(firsts):
            test, again = self._true(_Value(value.expression, value.all_kinds))
            made = _Value(ast.IfExp(test, made.expression, again), (value.all_kinds - NUMBER) | made.all_kinds)
        return replace(made, guards=guards)

    def _not(self, node: Node, current: _Value | None) -> _Value:
        return _Value(negation(self.condition(node["children"][0], current)), BOOLEAN)

    # Comparisons

    def _comparator(self, node: Node, current: _Value | None) -> _Value:
        guards, current = self._shared(current)
        operator, (left, right) = node["value"], node["children"]
        for side in (left, right):
            self._check_quotes(side, current)
        if left["type"] == "literal":
            operator, left, right = _SWAPPED.get(operator, operator), right, left
        value = self.value(left, current)
        other = self.value(right, current)
        made = self._with_constant(operator, value, right) if right["type"] == "literal" else None
        made = made or _compared(operator, value.expression, other.expression)
        return replace(made, guards=(*guards, *made.guards))

    def _check_quotes(self, node: Node, current: _Value | None) -> None:
        """`[?type == "text"]` compares two fields, and is never meant so."""
        if self.names and current is not None and self._is_quoted(node) and node["value"].isidentifier():
            self._error(node, f"\"{node['value']}\" is a field here; a text is written '{node['value']}'")

    def _with_constant(self, operator: str, value: _Value, literal: Node) -> _Value | None:
        """The comparison by Python's own operator, where that is JMESPath's; None where it is not."""
        constant = literal["value"]
        if operator in _ORDER:
            if KINDS[type(constant)] != "number":
                return None
            first, again = self._named(value.body)
            return _Value(compare(again, _ORDER[operator](), ast.Constant(constant)), BOOLEAN, (*value.guards, is_number(first)))
        is_word = constant is None or type(constant) is bool
        # 0 and 1 are False and True to Python, which also warns where it finds two constants.
        if (constant in (0, 1) and not is_word) or isinstance(value.body, ast.Constant):
            return None
        if operator == "ne":
            return _Value(compare(value.expression, ast.IsNot() if is_word else ast.NotEq(), json_tree(constant)), BOOLEAN)
        if constant is None:
            return _Value(compare(value.expression, ast.Is(), ast.Constant(None)), BOOLEAN)
        same = compare(value.body, ast.Is() if is_word else ast.Eq(), json_tree(constant))
        return _Value(every([*value.guards, same]), BOOLEAN)

    # Functions

    def _function(self, node: Node, current: _Value | None) -> _Value:
        name, arguments = node["value"], node["children"]
        function = self.functions.get(name)
        if function is None:
            return self._error(node, f"unknown function {name}(){suggest(name, self.functions, '{}()')}")
        if not function.takes(len(arguments)):
            return self._error(node, f"{name}() takes {function.arity}, not {len(arguments)}")
        guards: Guards = ()
        if len(arguments) > 1:
            guards, current = self._shared(current)
        given = [self._argument(argument, current) for argument in arguments]
        unsure = False
        for index, (argument, value) in enumerate(zip(arguments, given, strict=True)):
            parameter = function.parameter(index)
            fits = parameter.accepts(argument["value"]) if argument["type"] == "literal" else parameter.fits(value.all_kinds)
            unsure = unsure or fits is None
            if fits is False:
                self._error(node, function.refusal(index, _told(parameter, argument, value)))
            elif argument["type"] == "literal" and parameter.reads:
                self._check_literal(node, parameter.reads, argument["value"])
        if function.passes_null and given[0].all_kinds >= NULL:
            present, passed = self._present(given[0])
            guards, given[0] = (*guards, *present), passed or given[0]
        called = f"_checked_{name}" if unsure else variable_of(name)
        return _Value(call(called, *(value.expression for value in given)), function.gives, guards)

    def _check_literal(self, node: Node, reads: Callable[[Any], Any], value: Any) -> None:
        """What can be known of an argument before there is a request."""
        try:
            reads(value)
        except FunctionError as error:
            self._error(node, str(error))

    def _argument(self, node: Node, current: _Value | None) -> _Value:
        if node["type"] != "expref":
            return self.value(node, current)
        name = self.fresh()
        body = self.value(node["children"][0], _Value(load(name))).expression
        return _Value(ast.Lambda(ast.arguments([], [ast.arg(name)], None, [], [], None, []), body), EXPRESSION)

    def _misplaced(self, node: Node, current: _Value | None) -> _Value:
        return self._error(node, "'&' makes an expression an argument of a function; it is no value of its own")

    _VALUE: Mapping[str, Callable[["_Writer", Node, Any], _Value]] = {
        "field": _field,
        "current": _current,
        "identity": _current,
        "subexpression": _chain,
        "index_expression": _chain,
        "pipe": _chain,
        "index": _index,
        "slice": _slice,
        "flatten": _flatten,
        "projection": _projection,
        "filter_projection": _projection,
        "value_projection": _value_projection,
        "multi_select_list": _list,
        "multi_select_dict": _dict,
        "literal": _literal,
        "or_expression": _or,
        "and_expression": _and,
        "not_expression": _not,
        "comparator": _comparator,
        "function_expression": _function,
        "expref": _misplaced,
    }
    _CONDITION: Mapping[str, Callable[[Iterable[ast.expr]], ast.expr]] = {"or_expression": either, "and_expression": every}


_PYTHON = {"dict": dict, "list": list}
_ORDER: Mapping[str, Callable[[], ast.cmpop]] = {"lt": ast.Lt, "lte": ast.LtE, "gt": ast.Gt, "gte": ast.GtE}
_SWAPPED = {"lt": "gt", "lte": "gte", "gt": "lt", "gte": "lte"}


def _operands(node: Node) -> list[Node]:
    """The operands of a chain such as `a || b || c`, which jmespath nests to the left."""
    left, right = node["children"]
    return [*(_operands(left) if left["type"] == node["type"] else [left]), right]


def _compared(operator: str, left: ast.expr, right: ast.expr) -> _Value:
    """The comparison of any two values."""
    if operator in ("eq", "ne"):
        equal = call("_equal", left, right)
        return _Value(equal if operator == "eq" else negation(equal), BOOLEAN)
    if operator in ("gt", "gte"):
        left, right = right, left
    return _Value(call("_less" if operator in ("lt", "gt") else "_at_most", left, right), BOOLEAN | NULL)


def _told(parameter: Parameter, node: Node, value: _Value) -> str:
    """What an argument is, in words."""
    if node["type"] == "literal":
        return parameter.describe(node["value"])
    return "a value" if parameter.kinds == EXPRESSION else str(Parameter(value.all_kinds))
