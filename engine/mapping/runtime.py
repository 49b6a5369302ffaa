"""The few helpers that generated code leans on.

What one would write by hand is generated in place; what is here is too long for that and too rare to matter.
"""

from collections.abc import Sequence
from typing import Any

NUMBERS = frozenset({int, float})


class Absent:
    """The type of the mark for what `$first` has not found yet: null is a value, this is none."""


class NothingFound(Exception):
    """A template names a value that is not there."""


class NothingSaid(Exception):
    """A `$switch` meets a value that no case and no `$else` speaks of."""


def equal(left: Any, right: Any) -> bool:
    """JMESPath's `==`: in Python 1 is True and 0 is False, in JSON they are not.

    >>> equal(1, 1.0), equal(1, True), equal(0, False)
    (True, False, False)
    """
    return bool(left == right) and (type(left) is bool) is (type(right) is bool)


def less(left: Any, right: Any) -> bool | None:
    """JMESPath's `<`: only numbers have an order.

    >>> less(1, 2), less("a", "b")
    (True, None)
    """
    return left < right if type(left) in NUMBERS and type(right) in NUMBERS else None


def at_most(left: Any, right: Any) -> bool | None:
    """JMESPath's `<=`: only numbers have an order."""
    return left <= right if type(left) in NUMBERS and type(right) in NUMBERS else None


def flat(items: Sequence[Any]) -> list[Any]:
    """JMESPath's `[]`: the items of the lists within, one level deep.

    >>> flat([1, [2, [3]]])
    [1, 2, [3]]
    """
    made: list[Any] = []
    for item in items:
        if type(item) is list:
            made.extend(item)
        else:
            made.append(item)
    return made


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
    "_nothing_said": nothing_said,
    "_text": template_text,
    "_word": word,
    "type": type,
    "dict": dict,
    "int": int,
    "float": float,
    "str": str,
    "list": list,
    "len": len,
    "_NUMBERS": NUMBERS,
    "_equal": equal,
    "_less": less,
    "_at_most": at_most,
    "_flat": flat,
}
"""The globals of generated code, beside the functions that expressions call."""
