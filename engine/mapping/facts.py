"""A mapping's `capabilities`, `limits` and `quirks`, checked against the words that the protocol code knows.

The words are the fields of a dataclass (wire/facts.py) with a `group` in each field's metadata, so that this room knows
how facts are written and that room what they mean.
"""

import re
from dataclasses import Field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .document import Entry, Fields, Items, plain
from .errors import Place, Problems, suggest
from .mapping import Variant

GROUPS = ("capabilities", "limits", "quirks")


def read_facts(document: Fields, facts: type, problems: Problems) -> dict[str, Any]:
    """What a document states, by word. Unknown words, and values of the wrong kind, go to `problems`."""
    hints = get_type_hints(facts)
    given: dict[str, Any] = {}
    for group in GROUPS:
        stated = document.get(group)
        if stated is None:
            continue
        if not isinstance(stated, Fields):
            problems.add(stated.place, f"{group!r} is an object: facts and their values")
            continue
        words = group_of(facts, group)
        for name, entry in stated.entries.items():
            if name in words:
                given[name] = _value(words[name], entry, hints[name], problems)
            else:
                problems.add(entry.key, f"unknown word {name!r} in {group}{_hint(name, words, facts)}")
    return given


def read_variants(document: Fields, facts: type, problems: Problems) -> list[Variant]:
    """The facts that differ for some models, in the order in which they are stated: a later one has its way."""
    variants = document.get("variants")
    if variants is None:
        return []
    if not isinstance(variants, Fields):
        problems.add(variants.place, "'variants' is an object: regular expressions and what differs for models they meet")
        return []
    return [variant for entry in variants.entries.items() if (variant := _variant(*entry, facts, problems))]


def _variant(pattern: str, entry: Entry, facts: type, problems: Problems) -> Variant | None:
    try:
        names = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        problems.add(entry.key, f"{pattern!r} is no regular expression: {error}")
        return None
    if not isinstance(entry.value, Fields):
        problems.add(entry.value.place, f"a variant is an object: {', '.join(GROUPS)}")
        return None
    for key, group in entry.value.entries.items():
        if key not in GROUPS:
            problems.add(group.key, f"a variant has no {key!r}{suggest(key, GROUPS)}")
    return names, read_facts(entry.value, facts, problems)


def group_of(facts: type, group: str) -> dict[str, "Field[Any]"]:
    """The words that may stand in a group."""
    return {word.name: word for word in fields(facts) if word.metadata["group"] == group}


def _hint(name: str, words: dict[str, "Field[Any]"], facts: type) -> str:
    for word in fields(facts):
        if word.name == name:
            return f"; it belongs under {word.metadata['group']!r}"
    return suggest(name, words)


def _value(word: "Field[Any]", entry: Entry, kind: Any, problems: Problems) -> Any:
    value = plain(entry.value)
    if not fits(value, kind):
        problems.add(entry.value.place, f"{word.name!r} is {in_words(kind)}")
    elif type(value) is int:
        _check_range(word.name, value, word.metadata["least"], word.metadata["most"], entry.value.place, problems)
    if not isinstance(entry.value, Items):
        return value
    for item in entry.value.items:
        said, known = plain(item), word.metadata["known"]
        if isinstance(said, str) and known and said not in known:
            problems.add(item.place, f"{word.name!r} knows no {said!r}{suggest(said, known)}")
    return tuple(value)


def _check_range(name: str, value: float, least: float | None, most: float | None, place: Place, problems: Problems) -> None:
    """What is too small or too great would be found out only by a request, and by each."""
    if least is not None and value < least:
        problems.add(place, f"{name!r} is {least} at least, not {value}")
    if most is not None and value > most:
        problems.add(place, f"{name!r} is {most} at most, not {value}")


def fits(value: Any, kind: Any) -> bool:
    """Whether a JSON value is of the kind that a fact's annotation says."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if options := get_args(kind):
        return any(fits(value, option) for option in options)
    return type(value) is kind


def in_words(kind: Any) -> str:
    """A fact's annotation as an author would say it: "one of keep, drop", "a number or null"."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if get_origin(kind) is tuple:
        return "a list of words"
    if options := get_args(kind):
        return " or ".join(in_words(option) for option in options)
    return {bool: "true or false", int: "a number", str: "a text", type(None): "null"}[kind]
