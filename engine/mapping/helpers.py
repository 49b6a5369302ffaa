"""The helpers that generated code leans on."""

import operator
from collections.abc import Callable
from typing import Any

from jmespath.visitor import _Expression

NUMBERS = frozenset({int, float})
"""The types of JSON's numbers; bool is none, though Python derives it from int."""


class Absent:
    """The type of the mark for what `$first` has not found yet: null is a value, this is none."""


class NothingFound(Exception):
    """A template names a value that is not there."""


class NothingSaid(Exception):
    """A `$switch` meets a value that no case and no `$else` speaks of."""


def equal(left: Any, right: Any) -> bool:
    """JMESPath's equality, for which true is not 1 and false is not 0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


_ORDERS = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}


def ordered(how: str, left: Any, right: Any) -> bool | None:
    """`<` and its like: null where the two are not both numbers or both texts."""
    if type(left) in NUMBERS and type(right) in NUMBERS or isinstance(left, str) and isinstance(right, str):
        return bool(_ORDERS[how](left, right))
    return None


def expression(work: Callable[[Any], Any]) -> Any:
    """`&…`: an expression as jmespath's own functions take it."""
    return _Expression(work, _Caller)


class _Caller:
    """Stands where jmespath keeps its interpreter."""

    @staticmethod
    def visit(work: Callable[[Any], Any], value: Any) -> Any:
        return work(value)


def flatten(items: Any) -> list[Any] | None:
    """`[]`: lists in the list are opened, one level deep."""
    if type(items) is not list:
        return None
    flat: list[Any] = []
    for item in items:
        if type(item) is list:
            flat += item
        else:
            flat.append(item)
    return flat


def template_text(value: Any, path: str) -> str:
    """A value in a template, as text: JSON's words for what is no string."""
    if type(value) is str:
        return value
    if value is None:
        raise NothingFound(f"there is no value for {path!r}, which the template needs")
    return word(value)


def word(value: Any) -> str:
    """A JSON value in the words in which JSON writes it; a string is itself."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def nothing_said(value: Any) -> None:
    raise NothingSaid(f"nothing is said about {value!r}" if isinstance(value, str) else f"nothing is said about {word(value)}")




NAMES: dict[str, Any] = {
    "_ABSENT": Absent(),
    "_EMPTY": {},
    "_NUMBERS": NUMBERS,
    "_equal": equal,
    "_expression": expression,
    "_flatten": flatten,
    "_nothing_said": nothing_said,
    "_ordered": ordered,
    "_text": template_text,
    "_word": word,
    "type": type,
    "len": len,
    "list": list,
    "dict": dict,
}
"""The globals of generated code."""
