"""Functions of the mapping beside this file."""

from typing import Any


def shout(text: str) -> str:
    """What it says, louder."""
    return _upper(text) + "!"


def pair(left: Any, right: Any = None) -> list[Any]:
    """Both, in a list."""
    return [left, right]


def status(text: str) -> str:
    """A function that is called as a name of a section is."""
    return _upper(text)


def _upper(text: str) -> str:
    return text.upper()
