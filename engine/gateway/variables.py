"""`${NAME}` in the text of a file: a variable of the environment."""

import re
from dataclasses import dataclass, field

from engine.mapping.errors import Source

_NAME = "([A-Za-z_][A-Za-z0-9_]*)"
VARIABLE = re.compile(r"\$\{" + _NAME + r"\}")
HELD = re.compile("\\$\ue000" + _NAME + "\ue001")
"""The same without its brackets."""


def held(text: str) -> str:
    """A text in which variables have no brackets: inside `{ }` YAML takes them for its own, and people write them bare."""
    return VARIABLE.sub("$\ue000\\1\ue001", text)


@dataclass(frozen=True, slots=True)
class Readable(Source):
    """A file whose `text` is held; people are shown the `original`."""

    original: str = field(default="", repr=False)

    def line(self, number: int) -> str:
        return Source(self.name, self.original).line(number)
