"""A mapping's `models`: which one plays which role, and what is known of each."""

from collections.abc import Iterable
from typing import Any

from . import words
from .document import Entry, Fields, Value, plain
from .errors import Problems, suggest


def read_models(document: Fields, problems: Problems) -> dict[str, Any]:
    """What a document says of models. What is wrong goes to `problems`: one wrong number would spoil the list of all models."""
    models = document.get("models")
    if models is None:
        return {}
    if not isinstance(models, Fields):
        problems.add(models.place, "'models' is an object: main, fast, long, known")
        return {}
    _check_words(models, (*words.MODEL_ROLES, "known", "only_known"), "models", problems)
    for role in words.MODEL_ROLES:
        if role in models.entries:
            _check_role(role, models.entries[role], problems)
    only_known = models.get("only_known")
    if only_known is not None and type(plain(only_known)) is not bool:
        problems.add(only_known.place, "'only_known' is true or false")
    known = models.get("known")
    if isinstance(known, Fields):
        for name, entry in known.entries.items():
            _check_model(name, entry, problems)
    elif known is not None:
        problems.add(known.place, "'known' is an object: models and what is known of each")
    return dict(plain(models))


def _check_role(role: str, entry: Entry, problems: Problems) -> None:
    """Null is a child's way to say that its parent's model plays the role no more."""
    name = plain(entry.value)
    if name is None:
        return
    if not isinstance(name, str) or not name.strip():
        problems.add(entry.value.place, f"{role!r} is the name of a model")
    elif name.startswith("=") or "{{" in name:
        problems.add(entry.value.place, f"{role!r} is the name of a model, as it stands: no expression")


def _check_model(name: str, entry: Entry, problems: Problems) -> None:
    if not isinstance(entry.value, Fields):
        problems.add(entry.value.place, f"what is known of {name!r} is an object: {', '.join(words.MODEL_FACTS)}")
        return
    _check_words(entry.value, words.MODEL_FACTS, "a model", problems)
    for fact, told in entry.value.entries.items():
        if fact in words.MODEL_FACTS:
            _check_number(fact, told.value, problems)


def _check_number(fact: str, told: Value, problems: Problems) -> None:
    number, is_price = plain(told), fact.endswith("_price")
    if is_price and (type(number) not in (int, float) or number < 0):
        problems.add(told.place, f"{fact!r} is a number, 0 or more: {words.MODEL_FACTS[fact]}")
    if not is_price and (type(number) is not int or number < 1):
        problems.add(told.place, f"{fact!r} is a whole number, 1 or more: {words.MODEL_FACTS[fact]}")


def _check_words(fields: Fields, known: Iterable[str], of: str, problems: Problems) -> None:
    for key, entry in fields.entries.items():
        if key not in known:
            problems.add(entry.key, f"{of} has no {key!r}{suggest(key, known)}")
