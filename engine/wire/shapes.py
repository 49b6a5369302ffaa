"""What JSON values may be, told in the words of Anthropic's own refusals.

A shape takes a value and gives the problems it finds, each with its path from there: none, where it finds none.
"""

from collections.abc import Callable, Mapping
from typing import Any

Problem = tuple[str, str]  # the path, the words
Problems = list[Problem]
Check = Callable[[Any], Problems]
Shape = type | Check
"""Any value of a type, or a value in which a function finds no problem."""

_NONE: Problems = []

_ENOUGH = 10
"""Items of a list whose problems are told; nobody reads on."""

_WORDS: dict[type, str] = {str: "string", bool: "boolean", int: "integer", dict: "dictionary", list: "list"}


def _check(shape: Shape) -> Check:
    return _of_type(_WORDS[shape], shape) if isinstance(shape, type) else shape


def _of_type(words: str, *types: type) -> Check:
    refused = [("", f"Input should be a valid {words}")]
    return lambda value: _NONE if type(value) in types else refused


_dictionary, _list = _check(dict), _check(list)


def anything(value: Any) -> Problems:
    return _NONE


def number(least: float, most: float | None = None, *, whole: bool = False) -> Check:
    """A number that is not less than `least` nor more than `most`."""
    is_number = _check(int) if whole else _of_type("number", int, float)

    def check(value: Any) -> Problems:
        if problems := is_number(value):
            return problems
        if value < least:
            return [("", f"Input should be greater than or equal to {least}")]
        if most is not None and value > most:
            return [("", f"Input should be less than or equal to {most}")]
        return _NONE

    return check


def one_of(*words: str, told: tuple[str, ...] = ()) -> Check:
    """One of the words. A refusal names those in `told`, if any: some words are taken that nobody should learn."""
    quoted = [f"'{word}'" for word in told or words]
    expected = " or ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[:-1] else quoted)
    return lambda value: _NONE if value in words else [("", f"Input should be {expected}")]


def list_of(shape: Shape) -> Check:
    check_item = _check(shape)

    def check(value: Any) -> Problems:
        if type(value) is not list:
            return _list(value)
        problems, items = _NONE, 0
        for place, item in enumerate(value):
            if found := check_item(item):
                problems = problems + [(_joined(str(place), path), words) for path, words in found]
                items += 1
                if items == _ENOUGH:
                    break
        return problems

    return check


def text_or(shape: Check) -> Check:
    """A string, or else of the shape."""
    return lambda value: _NONE if type(value) is str else shape(value)


def fields(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Check:
    """An object with these fields, of which an optional one may also be null. It may have others."""
    table = [(name, shape, _check(shape), True) for name, shape in required.items()]
    table += [(name, shape, _check(shape), False) for name, shape in (optional or {}).items()]

    def check(value: Any) -> Problems:
        if type(value) is not dict:
            return _dictionary(value)
        problems = _NONE
        for name, shape, check_field, needed in table:
            field = value.get(name)
            if type(field) is shape or (field is None and not needed):
                continue
            found = check_field(field) if name in value else [("", "Field required")]
            if found:
                problems = problems + [(_joined(name, path), words) for path, words in found]
        return problems

    return check


def tagged(shapes: Mapping[str, Check], *, others: bool = False) -> Check:
    """An object whose `type` says its shape. Of `others` than these types nothing is expected, if they may be."""
    untagged = fields({"type": str if others else one_of(*shapes)})

    def check(value: Any) -> Problems:
        tag = value.get("type") if type(value) is dict else None
        return shapes.get(tag, untagged)(value) if type(tag) is str else untagged(value)

    return check


def _joined(step: str, path: str) -> str:
    return f"{step}.{path}" if path else step
