"""`${NAME}` in the text of a file: a variable of the environment."""

import re
import sys
from dataclasses import dataclass, field

from engine.mapping.addresses import NAME, VARIABLE
from engine.mapping.errors import Source, lines_of

HELD = re.compile("\\$\ue000" + NAME + "\ue001")
"""The same without its brackets."""


def held(text: str) -> str:
    """A text in which variables have no brackets: inside `{ }` YAML takes them for its own, and people write them bare."""
    return VARIABLE.sub("$\ue000\\1\ue001", text)


_KEY = re.compile(r"(?i)key(?!_env)\w*[\"']?\s*:\s*(?!\$)")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")


@dataclass(frozen=True, slots=True)
class Readable(Source):
    """A file whose `text` is held; people are shown the `original`, but for what is hidden of it."""

    original: str = field(default="", repr=False)
    _hidden: list[tuple[int, int, int]] = field(default_factory=list, repr=False, compare=False)  # lines, and from where to where

    def hide(self, line: int, start: int, end: int = sys.maxsize) -> None:
        """Show dots in place of a stretch of a line, counted from 0; they are as many, so that carets stand where they did."""
        self._hidden.append((line, start, end))

    def hide_keys(self) -> None:
        """All that stands behind a word like `api_key`, where the file cannot be read."""
        for number, line in enumerate(lines_of(self.original), start=1):
            for found in _KEY.finditer(line):
                self.hide(number, found.end())

    def line(self, number: int) -> str:
        line = Source(self.name, self.original).line(number)
        for hidden, start, end in self._hidden:
            if hidden == number:
                line = line[:start] + "·" * len(line[start:end]) + line[end:]
        return _PASSWORD.sub(lambda found: "·" * len(found[0]), line)
