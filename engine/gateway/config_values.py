"""The values of a configuration file: each read as what it should be, or told at its place."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from engine.gateway.variables import HELD, Readable
from engine.mapping.document import Fields, Items, Scalar, Value, plain
from engine.mapping.errors import Place, Problems, suggest

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_DAY = 86_400.0

_ALMOST_A_VARIABLE = re.compile(r"\$\{[^}]*\}?|^\$[A-Z_][A-Z0-9_]*$")
"""What a shell, or another program's configuration, would take for one."""

_VARIABLE = re.compile(f"{HELD.pattern}|{_ALMOST_A_VARIABLE.pattern}")

Read = Callable[[Value], Any]


class Useless(Exception):
    """A value that cannot be used; why is among the problems."""


class Values:
    """Readers of values, which raise Useless."""

    def __init__(self, environment: Mapping[str, str], problems: Problems):
        self.environment = environment
        self.problems = problems

    def refuse(self, place: Place, words: str) -> NoReturn:
        self.problems.add(place, words)
        raise Useless

    def usable(self, read: Callable[..., Any], value: Value, *more: Any) -> Iterator[Any]:
        """What is read of a value, if it can be used. Where nothing stands, the reader of YAML has said so."""
        if isinstance(value, Scalar) and value.value == "" and not value.style:
            return
        with suppress(Useless):
            yield read(value, *more)

    # Objects and lists

    def object(self, value: Value, keys: Mapping[str, Read]) -> dict[str, Any]:
        """What can be used of an object, read by a table of its keys, in the table's order. Null is as good as unsaid."""
        entries = self.fields(value, f"an object is meant here: {', '.join(keys)}").entries
        for key, entry in entries.items():
            if "key" in key.lower() and not key.endswith("_env"):
                _hide(entry.value)
        for key in entries.keys() - keys.keys():
            hint = suggest(key, keys) or suggest(key.lower(), keys)
            self.problems.add(entries[key].key, f"unknown key {key!r}{hint}")
        said = {key: entries[key].value for key in keys if key in entries and plain(entries[key].value) is not None}
        return {key: made for key, value in said.items() for made in self.usable(keys[key], value)}

    def of(self, **keys: Read) -> Read:
        """The reader of an object with these keys."""
        return lambda value: self.object(value, keys)

    def fields(self, value: Value, words: str) -> Fields:
        if not isinstance(value, Fields):
            lacks_space = isinstance(value, Scalar) and re.match(r"\w+:(?!//)[^ ]", str(value.value))
            self.refuse(value.place, f"{words}; behind a key's ':' is a space" if lacks_space else words)
        return value

    def list_of(self, read: Read, value: Value, words: str) -> list[tuple[Place, Any]]:
        """What can be used of a list, each behind its place."""
        if not isinstance(value, Items):
            self.refuse(value.place, words)
        return [(item.place, said) for item in value.items for said in self.usable(read, item)]

    def json(self, value: Value) -> Any:
        """Any value, with the variables in its texts filled in."""
        if isinstance(value, Fields):
            entries = value.entries.items()
            return {key: said for key, entry in entries for said in self.usable(self.json, entry.value)}
        if isinstance(value, Items):
            return [said for item in value.items for said in self.usable(self.json, item)]
        return self._filled(value) if isinstance(value.value, str) else value.value

    # Scalars

    def text(self, value: Value) -> str:
        said = self.json(value)
        if said is None or isinstance(said, bool | list | dict):
            self.refuse(value.place, "a text is meant here")
        return str(said)

    def texts(self, value: Value) -> tuple[str, ...]:
        return tuple(said for _, said in self.list_of(self.text, value, "a list of texts is meant here"))

    def whole_number(self, value: Value, most: int | None = None) -> int:
        said = self.json(value)
        number = int(said) if isinstance(said, str) and re.fullmatch("[0-9]{1,18}", said) else said
        if type(number) is not int:
            self.refuse(value.place, "a whole number is meant here")
        if number < 1:
            self.refuse(value.place, f"{number} is too low: the least is 1")
        if most is not None and number > most:
            self.refuse(value.place, f"{number} is too high: the most is {most}")
        return number

    def part(self, value: Value) -> float:
        said = self.json(value)
        if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said <= 1:
            self.refuse(value.place, "a part is meant here: above 0, and 1 at the most")
        return float(said)

    def boolean(self, value: Value) -> bool:
        said = self.json(value)
        if not isinstance(said, bool):
            self.refuse(value.place, "true or false is meant here")
        return said

    def duration(self, value: Value) -> float:
        match = _DURATION.fullmatch(str(self.json(value)))
        if match is None or not float(match[1]):
            self.refuse(value.place, "a time is meant here: 30s, 5m, 500ms")
        seconds = float(match[1]) * _SECONDS[match[2]]
        if seconds > _DAY:
            # Elsewhere they are counted in milliseconds.
            self.refuse(value.place, "this is more than a day; a number alone is seconds, and 500ms are milliseconds")
        return seconds

    def _filled(self, value: Scalar) -> str:
        """A text with its variables filled in."""
        missing = [found for found in HELD.finditer(value.value) if found[1] not in self.environment]
        for found in missing:
            hint = suggest(found[1], self.environment)
            self.problems.add(value.at(found.start(), len(found[0])), f"the environment variable {found[1]} is not set{hint}")
        almost = list(_ALMOST_A_VARIABLE.finditer(value.value))
        for found in almost:
            self.problems.add(value.at(found.start(), len(found[0])), "a variable is written ${NAME}: letters, digits and '_'")
        if missing or almost:
            raise Useless
        return HELD.sub(lambda found: self.environment[found[1]], value.value)


def _hide(value: Value) -> None:
    """Show no key that stands in the file itself, whatever of its line is told."""
    if isinstance(value, Fields):
        for entry in value.entries.values():
            _hide(entry.value)
    elif isinstance(value, Items):
        for item in value.items:
            _hide(item)
    elif isinstance(value.value, str) and value.value != "none" and not _VARIABLE.search(value.value):
        _, line, column, length = place = value.place
        assert isinstance(place.source, Readable)
        if value.style not in ("|", ">"):
            place.source.hide(line, column - 1, column - 1 + length)
        for further in range(1, value.lines):
            place.source.hide(line + further, 0)
