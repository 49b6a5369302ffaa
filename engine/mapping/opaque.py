"""Whether a section passes a text on as it is: it is run with a text that nobody can look into.

What comes of a chunk can depend on a text in it, by a comparison or a function say. Where the section comes to its end
without having looked, it does the same with any other text that is not empty.
"""

from collections.abc import Callable
from functools import lru_cache
from types import FunctionType
from typing import Any, NoReturn

Section = Callable[[Any, str], list[dict[str, Any]]]

PASS_ON = ("text",)
"""The functions that give a text which is not empty as it is (functions.py)."""

_LOOKS = "getattribute str repr format hash len iter contains getitem eq ne lt le gt ge add radd mul rmul mod rmod"
"""Python's names of the ways in which a text can be looked into."""


class LookedInto(Exception):
    """A text was looked into."""


def _refuse(*_: Any) -> NoReturn:
    raise LookedInto


class Opaque(str):
    """A text of which only its type can be learnt, and that it is not empty. Whoever does more raises LookedInto."""

    locals().update({f"__{look}__": _refuse for look in _LOOKS.split()})

    def __bool__(self) -> bool:
        return True


def passed_as(section: Section, model: str, chunk: Any, mark: str) -> str | None:
    """The kind of delta that a text of the chunk, `mark`, becomes as it is, and so would any other that is not empty.

    None where the text is looked into, where something else comes of the chunk as well, and where the mark does not stand
    there once as a value.
    """
    places: list[Opaque] = []
    try:
        deltas = _watched(section)(_hidden(chunk, mark, places), model)
    except Exception:  # noqa: BLE001 - whatever it raises, the section is not known to pass the text on
        return None
    if len(places) != 1 or len(deltas) != 1 or len(deltas[0]) != 1:
        return None
    [(kind, value)] = deltas[0].items()
    is_passed = value is places[0] and kind != "error"  # which the client is told in other words
    return kind if is_passed else None


def _hidden(value: Any, mark: str, places: list[Opaque]) -> Any:
    """The value with an opaque text wherever the mark stands, each of them added to `places`."""
    if type(value) is dict:
        return {key: _hidden(item, mark, places) for key, item in value.items()}
    if type(value) is list:
        return [_hidden(item, mark, places) for item in value]
    if type(value) is str and value == mark:
        places.append(Opaque(mark))
        return places[-1]
    return value


@lru_cache(maxsize=256)
def _watched(section: Any) -> Section:
    """The section as it is, but that no function it calls sees an opaque text, and its type is a text's."""
    names = {name: _without_looking(name, value) for name, value in section.__globals__.items()}
    names["type"] = lambda value: str if type(value) is Opaque else type(value)
    return FunctionType(section.__code__, names, section.__name__, section.__defaults__, section.__closure__)


def _without_looking(name: str, value: Any) -> Any:
    """A function of a section that refuses what holds an opaque text; all else, types among it, as it is."""
    if isinstance(value, type) or value is len or not callable(value):  # an Opaque has no length, and the list around it may
        return value

    def call(*arguments: Any, **named: Any) -> Any:
        if name in PASS_ON and type(arguments[0]) is Opaque:
            return arguments[0]
        if _holds(arguments) or _holds(named):
            raise LookedInto
        return value(*arguments, **named)

    return call


def _holds(value: Any) -> bool:
    if type(value) is dict:
        return any(map(_holds, value.values()))
    return any(map(_holds, value)) if type(value) in (list, tuple) else type(value) is Opaque
