"""Python's syntax trees, in a word each."""

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from .reading import MAX_DEPTH, TOO_DEEP, SelectorError


def load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def call(function: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(load(function), list(arguments), [])


def call_method(value: ast.expr, method: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Attribute(value, method, ast.Load()), list(arguments), [])


def item(value: ast.expr, index: ast.expr) -> ast.expr:
    return ast.Subscript(value, index, ast.Load())


def compare(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> ast.expr:
    return ast.Compare(left, [operator], [right])


def is_type(value: ast.expr, kind: str) -> ast.expr:
    return compare(call("type", value), ast.Is(), load(kind))


def is_number(value: ast.expr) -> ast.expr:
    return compare(call("type", value), ast.In(), load("_NUMBERS"))


def is_not_none(value: ast.expr) -> ast.expr:
    return compare(value, ast.IsNot(), ast.Constant(None))


def negation(value: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), value)


def either(parts: Iterable[ast.expr]) -> ast.expr:
    return ast.BoolOp(ast.Or(), [each for part in parts for each in _operands(part, ast.Or)])


def every(parts: Iterable[ast.expr]) -> ast.expr:
    """The conjunction of tests, without those that say what an earlier one has said."""
    made: list[ast.expr] = []
    known: set[tuple[str, str | None]] = set()
    for test in (each for part in parts for each in _operands(part, ast.And)):
        fact = _fact(test)
        if fact is None or fact not in known:
            made.append(test)
        if fact is not None:
            known |= {fact, (fact[0], None)}
    return made[0] if len(made) == 1 else ast.BoolOp(ast.And(), made)


def _operands(value: ast.expr, operator: type[ast.boolop]) -> list[ast.expr]:
    return value.values if isinstance(value, ast.BoolOp) and isinstance(value.op, operator) else [value]


def _fact(test: ast.expr) -> tuple[str, str | None] | None:
    """What a test says of a variable: that it is of a type, or, with None for the type, that it is not None."""
    match test:
        case ast.Compare(ast.Call(ast.Name("type"), [ast.Name(name)]), [ast.Is()], [ast.Name(kind)]):
            return name, kind
        case ast.Compare(ast.Name(name), [ast.IsNot()], [ast.Constant(None)]):
            return name, None
    return None


def loops(target: ast.expr, items: ast.expr, tests: Sequence[ast.expr]) -> list[ast.comprehension]:
    """The loops of a comprehension over the items that pass the tests.

    A value that a test names has a loop of its own, `for x in [value]`, which Python takes for an assignment: `:=` would make
    it a variable of the function around, which each call pays for.
    """
    made: list[tuple[ast.expr, ast.expr, list[ast.expr]]] = [(target, items, [])]
    for test in _operands(every(tests), ast.And) if tests else ():
        match test:
            case ast.Compare(ast.NamedExpr(name, value)) if not binds(value):
                made.append((name, ast.List([value], ast.Load()), []))
                test = ast.Compare(load(name.id), test.ops, test.comparators)
            case ast.Compare(ast.Call(ast.Name(), [ast.NamedExpr(name, value)])) if not binds(value):
                made.append((name, ast.List([value], ast.Load()), []))
                test = ast.Compare(call("type", load(name.id)), test.ops, test.comparators)
        made[-1][2].append(test)
    return [ast.comprehension(name, value, [every(tests)] if tests else [], 0) for name, value, tests in made]


def binds(value: ast.expr) -> bool:
    """Whether the expression names a value on its way."""
    return any(isinstance(part, ast.NamedExpr) for part in ast.walk(value))


def json_tree(value: Any, room: int = MAX_DEPTH) -> ast.expr:
    """A JSON value as the Python that makes it anew: it may end up in a body that is changed later."""
    if not room:
        raise SelectorError(TOO_DEEP)
    if isinstance(value, dict):
        return ast.Dict([ast.Constant(key) for key in value], [json_tree(child, room - 1) for child in value.values()])
    if isinstance(value, list):
        return ast.List([json_tree(child, room - 1) for child in value], ast.Load())
    return ast.Constant(value)
