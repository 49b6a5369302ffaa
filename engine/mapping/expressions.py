"""JMESPath text -> Python expressions, names checked.

jmespath's own parser reads the text; its interpreter is never used to serve. The tree of its parser is "an
implementation detail" of theirs, so its version is pinned and JMESPath's compliance suite is the alarm.

Every value is evaluated once: `(_a.get('key') if type(_a := value) is dict else None)` names it on the way.
"""

import ast
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import jmespath.exceptions
import jmespath.parser

from .errors import suggest
from .helpers import NAMES, NUMBERS
from .library import Function, argument_error

Tree = dict[str, Any]
Path = tuple[str, ...]


class SelectorError(Exception):
    """An expression that cannot be compiled; `offset` and `length` are in its text, None for the whole of it."""

    def __init__(self, message: str, offset: int | None = None, length: int | None = None):
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = length


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
    current: str | None = None,
    condition: bool = False,
) -> Selector:
    """Compile an expression.

    `names` is the closed scope that it starts from: the names of the language and the variables that hold them. Or
    `current` is the variable of the value that it is about, as in plain JMESPath. `fresh` gives new variables. A
    `condition` is compiled to what Python takes for true where JMESPath does. Raises SelectorError.
    """
    tree = _parse(text)
    writer = _Writer(functions, fresh, names or {})
    try:
        value = None if current is None else _load(current)
        expression = writer.condition(tree, value) if condition else writer.visit(tree, value)
    except RecursionError:
        raise SelectorError("the expression is nested too deeply") from None
    if writer.errors:
        raise writer.errors[0]
    reads = frozenset(map(tuple, writer.reads))
    return Selector(expression, reads, frozenset(writer.fields), condition or _is_boolean(tree))


def _parse(text: str) -> Tree:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PendingDeprecationWarning)
            tree: Tree = jmespath.parser.Parser().parse(text).parsed
    except PendingDeprecationWarning:
        raise SelectorError("what stands between backticks is no JSON; a text is written 'so'") from None
    except jmespath.exceptions.ParseError as error:
        incomplete = not 0 <= error.lex_position < len(text)
        offset = max(0, len(text) - 1) if incomplete else error.lex_position
        said = "Incomplete expression" if incomplete else error.msg or "Invalid expression"
        raise SelectorError(f"cannot read the expression: {said}", offset, 1) from None
    except jmespath.exceptions.JMESPathError as error:
        raise SelectorError(f"cannot read the expression: {error}") from None
    except RecursionError:
        raise SelectorError("the expression is nested too deeply") from None
    return tree


def fields_of(variable: str) -> str:
    """The twin of a variable: it, where it is an object, and else an empty one."""
    return f"{variable}__fields"


def variable_of(name: str) -> str:
    """The variable of a function in generated code, which has uses of its own for Python's `type`."""
    return f"{name}_" if name in NAMES else name


class _Writer:
    """One method for each kind of node. `value` is the expression of the current value, None at the root of a scope."""

    def __init__(self, functions: Mapping[str, Function], fresh: Callable[[], str], names: Mapping[str, str]):
        self.functions = functions
        self.fresh = fresh
        self.names = names
        self.reads: list[list[str]] = []
        self.paths: dict[int, list[str]] = {}
        self.fields: set[str] = set()
        self.errors: list[SelectorError] = []

    def visit(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        made: ast.expr = getattr(self, f"_{tree['type']}")(tree, value)
        return made

    def _named(self, value: ast.expr, body: Callable[[ast.expr], ast.expr]) -> ast.expr:
        """The body, in which the value is used several times."""
        if isinstance(value, ast.Name):
            return body(value)
        name = self.fresh()
        return ast.Subscript(ast.Tuple([_walrus(name, value), body(_load(name))], ast.Load()), ast.Constant(1), ast.Load())

    def _guarded(self, value: ast.expr, kind: str, body: Callable[[ast.expr], ast.expr]) -> ast.expr:
        """The body where the value is of that type, else None."""
        test, known = self._first_use(value)
        return ast.IfExp(_is(ast.Call(_load("type"), [test], []), _load(kind)), body(known), _none())

    def _first_use(self, value: ast.expr) -> tuple[ast.expr, ast.expr]:
        """The value where it is used first, and where it is used again."""
        if isinstance(value, ast.Name):
            return value, value
        name = self.fresh()
        return _walrus(name, value), _load(name)

    def _inner(self, value: ast.expr | None, what: str) -> ast.expr:
        """The current value, which a scope does not have."""
        if value is None:
            known = ", ".join(self.names)
            self.errors.append(SelectorError(f"{what} means nothing here: an expression starts from a name ({known})"))
            return _none()
        return value

    # Fields, indices and what follows them

    def _field(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        key = tree["value"]
        if value is None:
            return self._name(key)
        if isinstance(value, ast.Name) and value.id in self.names.values():
            self.fields.add(value.id)
            found = _call(_load(fields_of(value.id)), "get", ast.Constant(key))
        else:
            found = self._guarded(value, "dict", lambda known: _call(known, "get", ast.Constant(key)))
        if path := self.paths.get(id(value)):
            path.append(key)
            self._keep(found, path)
        return found

    def _name(self, name: str) -> ast.expr:
        if name not in self.names:
            self.errors.append(SelectorError(f"unknown name {name!r}{suggest(name, self.names)}"))
            return _none()
        found = _load(self.names[name])
        path = [name]
        self.reads.append(path)
        self._keep(found, path)
        return found

    def _keep(self, expression: ast.expr, path: list[str]) -> None:
        """Remember which path an expression reads: a field of it lengthens that path."""
        expression._kept = path  # type: ignore[attr-defined]  # keeps its id from being used again
        self.paths[id(expression)] = path

    def _subexpression(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        first, *rest = tree["children"]
        if self.names and first["type"] == "not_expression":
            self.errors.append(SelectorError("'!' is about the first name alone here; write !(…) around what it is about"))
        return reduce(lambda left, right: self.visit(right, left), rest, self.visit(first, value))

    _pipe = _index_expression = _subexpression

    def _index(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        index = tree["value"]

        def body(known: ast.expr) -> ast.expr:
            long_enough = ast.Compare(_helper("len", known), [ast.Gt()], [ast.Constant(index if index >= 0 else -index - 1)])
            return ast.IfExp(long_enough, ast.Subscript(known, ast.Constant(index), ast.Load()), _none())

        return self._guarded(self._inner(value, "an index"), "list", body)

    def _slice(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        if tree["children"][2] == 0:
            self.errors.append(SelectorError("a slice cannot step by 0"))
        bounds = ast.Slice(*[ast.Constant(bound) if bound is not None else None for bound in tree["children"]])
        return self._guarded(
            self._inner(value, "a slice"), "list", lambda known: ast.Subscript(known, bounds, ast.Load())
        )

    def _flatten(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        return self._guarded(self.visit(tree["children"][0], value), "list", partial(_helper, "_flatten"))

    def _identity(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        return self._inner(value, "the current value")

    def _current(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        return self._inner(value, "'@'")

    # Projections

    def _projection(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        base, each = tree["children"]
        if base["type"] == "flatten":
            return self._project(self.visit(base["children"][0], value), "list", partial(_helper, "_flatten"), each)
        return self._project(self.visit(base, value), "list", _itself, each)

    def _filter_projection(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        base, each, keep = tree["children"]
        return self._project(self.visit(base, value), "list", _itself, each, keep)

    def _value_projection(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        base, each = tree["children"]
        return self._project(self.visit(base, value), "dict", lambda known: _call(known, "values"), each)

    def _project(
        self, base: ast.expr, kind: str, source: Callable[[ast.expr], ast.expr], each: Tree, keep: Tree | None = None
    ) -> ast.expr:
        element = self.fresh()
        tests = [self.condition(keep, _load(element))] if keep else []
        made = self.visit(each, _load(element))
        if isinstance(made, ast.Name):
            item = made
        else:
            result = self.fresh()
            made, item = _walrus(result, made), _load(result)
        tests.append(ast.Compare(made, [ast.IsNot()], [_none()]))

        def body(known: ast.expr) -> ast.expr:
            return ast.ListComp(item, [ast.comprehension(ast.Name(element, ast.Store()), source(known), tests, 0)])

        return self._guarded(base, kind, body)

    # Several values from one

    def _multi_select_list(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        return self._multi_select(value, lambda known: ast.List([self.visit(child, known) for child in tree["children"]], ast.Load()))

    def _multi_select_dict(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        keys: list[ast.expr | None] = [ast.Constant(child["value"]) for child in tree["children"]]
        return self._multi_select(
            value, lambda known: ast.Dict(keys, [self.visit(child["children"][0], known) for child in tree["children"]])
        )

    def _multi_select(self, value: ast.expr | None, body: Callable[[ast.expr | None], ast.expr]) -> ast.expr:
        if value is None:
            return body(None)
        test, known = self._first_use(value)
        return ast.IfExp(ast.Compare(test, [ast.IsNot()], [_none()]), body(known), _none())

    # Logic

    def _shared(self, value: ast.expr | None, body: Callable[[ast.expr | None], ast.expr]) -> ast.expr:
        return body(None) if value is None else self._named(value, body)

    def _or_expression(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        left, right = tree["children"]

        def body(known: ast.expr | None) -> ast.expr:
            test, again = self._tested(left, known)
            return ast.IfExp(test, again, self.visit(right, known))

        return self._shared(value, body)

    def _and_expression(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        left, right = tree["children"]

        def body(known: ast.expr | None) -> ast.expr:
            test, again = self._tested(left, known)
            return ast.IfExp(test, self.visit(right, known), again)

        return self._shared(value, body)

    def _not_expression(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        return ast.UnaryOp(ast.Not(), self.condition(tree["children"][0], value))

    def _tested(self, tree: Tree, value: ast.expr | None) -> tuple[ast.expr, ast.expr]:
        """An expression's truth, and the expression again."""
        first, again = self._first_use(self.visit(tree, value))
        if tree["type"] in _NEVER_A_NUMBER:
            return first, again
        # Null is what most values are, and quickly told.
        present = ast.Compare(first, [ast.IsNot()], [_none()])
        return ast.BoolOp(ast.And(), [present, ast.BoolOp(ast.Or(), [again, _is_number(again)])]), again

    def condition(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        """An expression as a condition: Python's truth is JMESPath's but for 0, which is true there."""
        kind = tree["type"]
        if kind in ("and_expression", "or_expression"):
            left, right = tree["children"]
            operator = ast.And() if kind == "and_expression" else ast.Or()
            return self._shared(
                value, lambda known: ast.BoolOp(operator, [self.condition(left, known), self.condition(right, known)])
            )
        if kind == "not_expression" or kind in _NEVER_A_NUMBER:
            return self.visit(tree, value)
        return self._tested(tree, value)[0]

    def _comparator(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        operator = tree["value"]
        return self._shared(value, lambda known: self._compare(operator, tree["children"], known))

    def _compare(self, operator: str, sides: Sequence[Tree], value: ast.expr | None) -> ast.expr:
        left, right = (self.visit(side, value) for side in sides)
        if operator in _ORDERS:
            return self._order(operator, left, right)
        for literal, other in ((sides[1], left), (sides[0], right)):
            if literal["type"] == "literal" and _compares_plainly(literal["value"]):
                constant = ast.Constant(literal["value"])
                same: ast.cmpop = ast.Is() if constant.value is None or isinstance(constant.value, bool) else ast.Eq()
                differs: ast.cmpop = ast.IsNot() if isinstance(same, ast.Is) else ast.NotEq()
                return ast.Compare(other, [same if operator == "eq" else differs], [constant])
        equal = _helper("_equal", left, right)
        return equal if operator == "eq" else ast.UnaryOp(ast.Not(), equal)

    def _order(self, operator: str, left: ast.expr, right: ast.expr) -> ast.expr:
        """Against a number only numbers have an order, which needs no helper to tell."""
        if isinstance(right, ast.Constant) and type(right.value) in NUMBERS:
            test, known = self._first_use(left)
            return ast.IfExp(_is_number(test), ast.Compare(known, [_ORDERS[operator]], [right]), _none())
        return _helper("_ordered", ast.Constant(operator), left, right)

    def _literal(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        return json_tree(tree["value"])

    # Functions

    def _function_expression(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        name, arguments = tree["value"], tree["children"]
        function = self.functions.get(name)
        if function is None:
            self.errors.append(SelectorError(f"unknown function {name}(){suggest(name, self.functions, '{}()')}"))
            return _none()
        literals = [child["value"] if child["type"] == "literal" else ... for child in arguments]
        if complaint := argument_error(function, literals):
            self.errors.append(SelectorError(complaint))
        return self._shared(value, partial(self._call, function, arguments))

    def _call(self, function: Function, arguments: Sequence[Tree], value: ast.expr | None) -> ast.expr:
        made = [self.visit(argument, value) for argument in arguments]
        if not function.of_nothing_null:
            return _helper(variable_of(function.name), *made)
        test, made[0] = self._first_use(made[0])
        return ast.IfExp(ast.Compare(test, [ast.IsNot()], [_none()]), _helper(variable_of(function.name), *made), _none())

    def _expref(self, tree: Tree, value: ast.expr | None) -> ast.expr:
        element = self.fresh()
        body = self.visit(tree["children"][0], _load(element))
        return _helper("_expression", ast.Lambda(ast.arguments([], [ast.arg(element)], None, [], [], None, []), body))


_ORDERS: dict[str, ast.cmpop] = {"lt": ast.Lt(), "lte": ast.LtE(), "gt": ast.Gt(), "gte": ast.GtE()}

_NEVER_A_NUMBER = {
    "comparator",
    "not_expression",
    "projection",
    "filter_projection",
    "value_projection",
    "flatten",
    "slice",
    "multi_select_list",
    "multi_select_dict",
}
"""Nodes whose value is true for Python just where it is for JMESPath."""


def _is_boolean(tree: Tree) -> bool:
    return tree["type"] == "not_expression" or (tree["type"] == "comparator" and tree["value"] in ("eq", "ne"))


def _compares_plainly(literal: Any) -> bool:
    """Whether Python's comparison with a literal is JMESPath's: 0 and 1 are not, since they equal False and True."""
    return isinstance(literal, str | bool | None) or (isinstance(literal, int | float) and literal not in (0, 1))


# Small trees


def json_tree(value: Any) -> ast.expr:
    """A JSON value as the Python expression that makes it anew."""
    if isinstance(value, dict):
        return ast.Dict([ast.Constant(key) for key in value], [json_tree(child) for child in value.values()])
    if isinstance(value, list):
        return ast.List([json_tree(item) for item in value], ast.Load())
    return ast.Constant(value)


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _none() -> ast.expr:
    return ast.Constant(None)


def _walrus(name: str, value: ast.expr) -> ast.expr:
    return ast.NamedExpr(ast.Name(name, ast.Store()), value)


def _call(value: ast.expr, method: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Attribute(value, method, ast.Load()), list(arguments), [])


def _helper(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(_load(name), list(arguments), [])


def _is(left: ast.expr, right: ast.expr) -> ast.expr:
    return ast.Compare(left, [ast.Is()], [right])


def _itself(value: ast.expr) -> ast.expr:
    return value


def _is_number(value: ast.expr) -> ast.expr:
    return ast.Compare(ast.Call(_load("type"), [value], []), [ast.In()], [_load("_NUMBERS")])
