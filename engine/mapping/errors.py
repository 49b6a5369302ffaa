"""Where trouble is, what it is, and how an author is told."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

WIDE = 200
"""Characters of a line that are shown: what was written for a machine has no others."""


@lru_cache(maxsize=16)  # the files of a mapping, whose lines are asked for thousands of times while it is compiled
def lines_of(text: str) -> Sequence[str]:
    """A text's lines as YAML counts them."""
    return re.split("\r\n|[\n\r\x85\u2028\u2029]", text)


@dataclass(frozen=True, slots=True)
class Source:
    """A mapping file: the name that people see, and its text."""

    name: str
    text: str = field(repr=False)

    def line(self, number: int) -> str:
        """The text of a line, counted from 1; empty past the end."""
        found = lines_of(self.text)
        return found[number - 1] if number <= len(found) else ""


class Place(NamedTuple):
    """A stretch of a line: line and column count characters from 1."""

    source: Source
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    def picture(self) -> str:
        """The line with carets under the stretch; of a long line what stands around it."""
        line = self.source.line(self.line)
        skipped = max(0, self.column - WIDE // 2) if len(line) > WIDE else 0
        text = ("…" if skipped else "") + line[skipped + bool(skipped) :][: WIDE - bool(skipped)]
        text += "…" if skipped + WIDE < len(line) else ""
        number = f"{self.line:3}"
        margin = " " * len(number)
        start = self.column - 1 - skipped
        room = max(1, min(self.length, len(text) - start))
        return f"{margin} |\n{number} | {text}\n{margin} | {' ' * start}{'^' * room}"


class Problem(NamedTuple):
    """One thing that is wrong, told at its place."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"

    def picture(self) -> str:
        return f"{self}\n{self.place.picture()}"


class MappingError(Exception):
    """A mapping cannot be used; `problems` holds all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]):
        told = dict.fromkeys(problems)
        self.problems = sorted(told, key=lambda problem: (problem.place.source.name, problem.place.line, problem.place.column))
        super().__init__("\n\n".join(problem.picture() for problem in self.problems))


class Problems(list[Problem]):
    """The problems of one mapping as they are found."""

    def add(self, place: Place, message: str) -> None:
        self.append(Problem(place, message))

    def check(self) -> None:
        """Raise them all, if there are any."""
        if self:
            raise MappingError(self)


def shown(path: Path) -> str:
    """The path as people would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def suggest(word: str, known: Iterable[str], form: str = "{!r}", least: float = 0.6) -> str:
    """The tail of a message about an unknown word: "; did you mean 'tool'?", or nothing where no known word is near.

    `least` is how near one has to be: 1 is the same.
    """
    from difflib import get_close_matches  # what only a mistake needs

    near = get_close_matches(word, list(known), n=1, cutoff=least)
    return f"; did you mean {form.format(near[0])}?" if near else ""


def suggest_mapping(name: str, folders: Sequence[Path], but: str = "") -> str:
    """The tail of a message about a mapping that is in none of the folders; `but` is one that is not meant."""
    for folder in folders:
        if (misnamed := folder / f"{name}.yml").is_file():
            return f"; {shown(misnamed)} is read when it is called {name}.yaml"
    return suggest(name, {path.stem for folder in folders for path in folder.glob("*.yaml")} - {but})
