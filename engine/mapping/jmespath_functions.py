"""JMESPath's own functions: https://jmespath.org/specification.html#built-in-functions"""

import math
from json import dumps
from typing import Any

import orjson

from .signatures import ARTICLED, KINDS, NUMBERS, FunctionError, Key, Number, function, kinds_within, plural


@function
def abs_(number: Number) -> Number:
    """The number without its sign.

    >>> abs(-3)
    3
    """
    return abs(number)


@function
def avg(numbers: list[Number]) -> Number | None:
    """The mean of the numbers; null where there are none.

    >>> avg([1, 2])
    1.5
    """
    return sum(numbers) / len(numbers) if numbers else None


@function
def ceil(number: Number) -> int:
    """The next whole number upwards.

    >>> ceil(1.2)
    2
    """
    return math.ceil(number)


@function
def contains(subject: str | list[Any], search: Any) -> bool:
    """Whether the list has the item, or the text the other text.

    >>> contains("prompt is too long", "too long")
    True
    """
    if type(subject) is str and type(search) is not str:
        raise FunctionError(f"contains() looks for a string in a string, not for {ARTICLED[KINDS[type(search)]]}")
    return search in subject


@function
def ends_with(text: str, end: str) -> bool:
    """Whether the text ends so.

    >>> ends_with("gpt-6-luna", "luna")
    True
    """
    return text.endswith(end)


@function
def floor(number: Number) -> int:
    """The next whole number downwards.

    >>> floor(1.8)
    1
    """
    return math.floor(number)


@function
def join(separator: str, texts: list[str]) -> str:
    """The texts as one, the separator between them.

    >>> join(", ", ["a", "b"])
    'a, b'
    """
    return separator.join(texts)


@function
def keys(given: dict[str, Any]) -> list[Any]:
    """The keys of the object.

    >>> keys({"a": 1, "b": 2})
    ['a', 'b']
    """
    return list(given)


@function
def length(given: str | list[Any] | dict[str, Any]) -> int:
    """How many characters, items or keys there are.

    >>> length("héllo")
    5
    """
    return len(given)


@function
def map_(each: Key, items: list[Any]) -> list[Any]:
    """What the expression gives for each item, null included.

    >>> map(lambda item: item.get("id"), [{"id": 1}, {}])
    [1, None]
    """
    return [each(item) for item in items]


@function
def max_(values: list[Number] | list[str]) -> Number | str | None:
    """The greatest of the numbers or texts; null where there are none.

    >>> max([1, 3, 2])
    3
    """
    return max(values, default=None)


@function
def max_by(items: list[Any], key: Key) -> Any:
    """The item for which the expression gives most; null where there are none.

    >>> max_by([{"n": 1}, {"n": 3}], lambda item: item["n"])
    {'n': 3}
    """
    return max(_keyed("max_by", items, key), key=_first, default=(None, None))[1]


@function
def merge(first: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """One object of several; where they have a key in common, the last has its way.

    >>> merge({"a": 1, "b": 1}, {"b": 2})
    {'a': 1, 'b': 2}
    """
    merged = dict(first)
    for other in others:
        merged.update(other)
    return merged


@function
def min_(values: list[Number] | list[str]) -> Number | str | None:
    """The least of the numbers or texts; null where there are none.

    >>> min(["b", "a"])
    'a'
    """
    return min(values, default=None)


@function
def min_by(items: list[Any], key: Key) -> Any:
    """The item for which the expression gives least; null where there are none.

    >>> min_by([{"n": 1}, {"n": 3}], lambda item: item["n"])
    {'n': 1}
    """
    return min(_keyed("min_by", items, key), key=_first, default=(None, None))[1]


@function
def not_null(first: Any, *others: Any) -> Any:
    """The first of the arguments that is not null.

    >>> not_null(None, 0, 1)
    0
    """
    return next((value for value in (first, *others) if value is not None), None)


@function
def reverse(given: str | list[Any]) -> str | list[Any]:
    """The list or text from its end to its start.

    >>> reverse([1, 2])
    [2, 1]
    """
    return given[::-1]


@function
def sort(values: list[Number] | list[str]) -> list[Any]:
    """The numbers or texts in order.

    >>> sort([2, 1])
    [1, 2]
    """
    return sorted(values)


@function
def sort_by(items: list[Any], key: Key) -> list[Any]:
    """The items in the order of what the expression gives.

    >>> sort_by([{"n": 3}, {"n": 1}], lambda item: item["n"])
    [{'n': 1}, {'n': 3}]
    """
    return [item for _, item in sorted(_keyed("sort_by", items, key), key=_first)]


def _keyed(name: str, items: list[Any], key: Key) -> list[tuple[Any, Any]]:
    keyed = [(key(item), item) for item in items]
    kinds = kinds_within([value for value, _ in keyed])
    if kinds - {"number"} and kinds - {"string"}:
        raise FunctionError(f"{name}() compares numbers or strings, but the expression gives {plural(kinds, ' and ')}")
    return keyed


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


@function
def starts_with(text: str, start: str) -> bool:
    """Whether the text starts so.

    >>> starts_with("gpt-6-luna", "gpt-")
    True
    """
    return text.startswith(start)


@function
def sum_(numbers: list[Number]) -> Number:
    """The sum of the numbers.

    >>> sum([1, 2])
    3
    """
    return sum(numbers)


@function
def to_array(value: Any) -> list[Any]:
    """A list as it is, anything else as the one item of a list.

    >>> to_array("a")
    ['a']
    """
    return value if type(value) is list else [value]


@function
def to_number(value: Any) -> Number | None:
    """The number that the text is; null where it is none.

    >>> to_number("1.5")
    1.5
    """
    try:
        number = orjson.loads(value) if type(value) is str else value
    except orjson.JSONDecodeError:
        return None
    return number if type(number) in NUMBERS else None


@function
def to_string(value: Any) -> str:
    """A text as it is, anything else as JSON.

    >>> to_string([1, True])
    '[1,true]'
    """
    return value if type(value) is str else dumps(value, separators=(",", ":"))


@function
def type_(value: Any) -> str:
    """What the value is: string, number, boolean, array, object or null.

    >>> type([])
    'array'
    """
    kind = KINDS[type(value)]
    return "array" if kind == "list" else kind


@function
def values(given: dict[str, Any]) -> list[Any]:
    """The values of the object.

    >>> values({"a": 1, "b": 2})
    [1, 2]
    """
    return list(given.values())
