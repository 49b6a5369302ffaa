"""What JSON values may be, told in the words of Anthropic's own refusals.

A shape takes a value and gives the problems it finds, each with its path from there: none, where it finds none.
"""

from collections.abc import Callable, Mapping
from typing import Any

Problem = tuple[str, str]  # the path, the words
Problems = list[Problem]
Shape = Callable[[Any], Problems]

_NONE: Problems = []

_ENOUGH = 10
"""Items of a list whose problems are told; nobody reads on."""


def _of_type(words: str, *types: type) -> Shape:
    refused = [("", f"Input should be a valid {words}")]
    return lambda value: _NONE if type(value) in types else refused


string = _of_type("string", str)
boolean = _of_type("boolean", bool)
dictionary = _of_type("dictionary", dict)
array = _of_type("list", list)


def anything(value: Any) -> Problems:
    return _NONE


def number(least: float, most: float | None = None, *, whole: bool = False) -> Shape:
    """A number that is not less than `least` nor more than `most`."""
    is_number = _of_type("integer", int) if whole else _of_type("number", int, float)

    def check(value: Any) -> Problems:
        if problems := is_number(value):
            return problems
        if value < least:
            return [("", f"Input should be greater than or equal to {least}")]
        if most is not None and value > most:
            return [("", f"Input should be less than or equal to {most}")]
        return _NONE

    return check


def one_of(*words: str, told: tuple[str, ...] = ()) -> Shape:
    """One of the words. A refusal names those in `told`, if any: some words are taken that nobody should learn."""
    quoted = [f"'{word}'" for word in told or words]
    expected = " or ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[:-1] else quoted)
    return lambda value: _NONE if value in words else [("", f"Input should be {expected}")]


def list_of(shape: Shape) -> Shape:
    def check(value: Any) -> Problems:
        if type(value) is not list:
            return array(value)
        found: list[tuple[str, Problems]] = []
        for place, item in enumerate(value):
            if problems := shape(item):
                found.append((str(place), problems))
                if len(found) == _ENOUGH:
                    break
        return [(_joined(place, path), words) for place, problems in found for path, words in problems]

    return check


def text_or(shape: Shape) -> Shape:
    """A string, or else of the shape."""
    return lambda value: _NONE if type(value) is str else shape(value)


def fields(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """An object with these fields, of which an optional one may also be null. It may have others."""
    table = [(name, shape, True) for name, shape in required.items()]
    table += [(name, shape, False) for name, shape in (optional or {}).items()]

    def check(value: Any) -> Problems:
        if type(value) is not dict:
            return dictionary(value)
        problems = _NONE
        for name, shape, needed in table:
            if name not in value:
                found = [("", "Field required")] if needed else _NONE
            else:
                found = _NONE if value[name] is None and not needed else shape(value[name])
            if found:
                problems = problems + [(_joined(name, path), words) for path, words in found]
        return problems

    return check


def tagged(shapes: Mapping[str, Shape], *, others: bool = False) -> Shape:
    """An object whose `type` says its shape. Of `others` than these types nothing is expected, if they may be."""
    untagged = fields({"type": string if others else one_of(*shapes)})

    def check(value: Any) -> Problems:
        tag = value.get("type") if type(value) is dict else None
        return shapes.get(tag, untagged)(value) if type(tag) is str else untagged(value)

    return check


def _joined(step: str, path: str) -> str:
    return f"{step}.{path}" if path else step
