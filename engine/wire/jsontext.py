"""JSON text in and out: orjson, and Python's own json where orjson is stricter than the providers are.

Servers written in JavaScript cut an emoji in two and send each half as a lone surrogate, servers written in Python
send `NaN`, small models put raw newlines into strings. None of them is worth the loss of an answer.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import orjson

STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
"""A string in a JSON text."""

_lenient = json.JSONDecoder(strict=False)


def loads(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError where there is none."""
    try:
        return orjson.loads(text)
    except ValueError:
        try:
            return _lenient.decode(text if isinstance(text, str) else text.decode())
        except RecursionError:
            raise ValueError("nested too deeply") from None


def dumps(value: Any) -> bytes:
    """The compact JSON text of a value that came from JSON."""
    try:
        return orjson.dumps(value)
    except TypeError:  # a lone surrogate, an integer of more than 64 bits
        return json.dumps(value, separators=(",", ":")).encode()


def dumps_all(texts: Sequence[str]) -> list[bytes]:
    """The JSON texts of several strings."""
    return STRING.findall(dumps(texts))  # one by one, each would take a kilobyte while it is written


class Extent:
    """Finds where an object, array or string ends whose text comes in pieces, without parsing it over and over."""

    _MARKS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)

    def __init__(self) -> None:
        self.is_whole = False
        self._has_end: bool | None = None  # known from the first character
        self._depth = 0
        self._in_string = False
        self._escaped = False  # the last piece ended in a backslash

    def cut(self, piece: str) -> str:
        """The next piece -> what of it belongs to the value. Of a text that begins otherwise, everything does."""
        if self._has_end is None and piece:
            self._has_end = piece[0] in '{["'
        if not self._has_end or not piece:
            return piece
        start, self._escaped = int(self._escaped), False
        for mark in self._MARKS.finditer(piece, start):
            self._pass(mark[0])
            if self._depth == 0 and not self._in_string:
                self.is_whole = True
                return piece[: mark.end()]
        return piece

    def _pass(self, mark: str) -> None:
        if mark[0] == "\\":
            self._escaped = len(mark) == 1
        elif mark == '"':
            self._in_string = not self._in_string
        elif not self._in_string:
            self._depth += 1 if mark in "{[" else -1
