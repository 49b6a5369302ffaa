"""What JSON values may be, told in the words of Anthropic's own refusals.

A shape takes a value and gives the problems it finds, each with its path from there: none, where it finds none.
"""

from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any

Problem = tuple[str, str]  # the path, the words
Problems = list[Problem]
Check = Callable[[Any], Problems]
Shape = type | Check | tuple[type, Check]
"""Any value of a type, a value in which a function finds no problem, or either of them."""

_NONE: Problems = []
_MISSING: Problems = [("", "Field required")]

_ENOUGH = 10
"""Items of a list whose problems are told; nobody reads on."""

_WORDS: dict[type, str] = {str: "string", bool: "boolean", int: "integer", dict: "dictionary", list: "list"}


def _refused(words: str) -> Check:
    problems = [("", f"Input should be a valid {words}")]
    return lambda value: problems


_no_dictionary, _no_list = _refused("dictionary"), _refused("list")


def _parted(shape: Shape) -> tuple[tuple[type, ...], Check]:
    """The types of which any value will do, which is told without a call, and the check of all others."""
    if isinstance(shape, tuple):
        return shape[:1], shape[1]
    return ((shape,), _refused(_WORDS[shape])) if isinstance(shape, type) else ((), shape)


def number(least: float, most: float | None = None, *, whole: bool = False) -> Check:
    """A number that is not less than `least` nor more than `most`."""
    types, words = ((int,), "integer") if whole else ((int, float), "number")

    def check(value: Any) -> Problems:
        if type(value) not in types:
            return [("", f"Input should be a valid {words}")]
        if value < least:
            return [("", f"Input should be greater than or equal to {least}")]
        if most is not None and value > most:
            return [("", f"Input should be less than or equal to {most}")]
        return _NONE

    return check


def one_of(*words: str) -> Check:
    quoted = [f"'{word}'" for word in words]
    expected = " or ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[:-1] else quoted)
    return lambda value: _NONE if value in words else [("", f"Input should be {expected}")]


def list_of(shape: Shape, *, empty: str | None = None) -> Check:
    """A list of such values. `empty`: what is wrong with an empty one, if it is."""
    fine, check_item = _parted(shape)

    def check(value: Any) -> Problems:
        if type(value) is not list:
            return _no_list(value)
        if empty and not value:
            return [("", empty)]
        problems, items = _NONE, 0
        for place, item in enumerate(value):
            if type(item) not in fine and (found := check_item(item)):
                problems = problems + _within(str(place), found)
                items += 1
                if items == _ENOUGH:
                    break
        return problems

    return check


def fields(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Check:
    """An object with these fields, of which an optional one may also be null. It may have others."""
    table = [(name, *_parted(shape), _MISSING) for name, shape in required.items()]
    for name, shape in (optional or {}).items():
        fine, check_others = _parted(shape)
        table.append((name, (*fine, NoneType), check_others, _NONE))

    def check(value: Any) -> Problems:
        if type(value) is not dict:
            return _no_dictionary(value)
        problems = _NONE
        for name, fine, check_others, absent in table:
            if name not in value:
                found = absent
            elif type(field := value[name]) in fine:
                continue
            else:
                found = check_others(field)
            if found:
                problems = problems + _within(name, found)
        return problems

    return check


def tagged(by: str, shapes: Mapping[str, Check], others: Check) -> Check:
    """An object that is shaped as its field `by` says, or as `others` where that says none of these."""

    def check(value: Any) -> Problems:
        try:
            shape = shapes[value[by]]
        except (KeyError, TypeError):
            shape = others
        return shape(value)

    return check


def _within(step: str, problems: Problems) -> Problems:
    return [(f"{step}.{path}" if path else step, words) for path, words in problems]
