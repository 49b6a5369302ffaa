"""YAML text -> values that remember where they were written.

The YAML of mappings is small: JSON's types, comments, block text. No tags, anchors, merge keys or duplicate keys, and
no words that turn into something else: `no on yes 010 12:30 2024-01-01` are text.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from .errors import MappingError, Place, Problems, Source, lines_of

JSON_WORDS = {"null": None, "true": True, "false": False}
JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")

LEAST, MOST = -(2**63), 2**64 - 1
"""The whole numbers that are written as JSON."""

DEEPEST = 100
"""Objects and lists in one another. Every reader of values calls itself, and Python does so a thousand times at most."""


class Scalar(NamedTuple):
    """A text, number, true, false or null."""

    value: Any
    place: Place
    style: str  # YAML's: "" plain, ' or " quoted, | or > block
    lines: int  # how many lines it takes in the file

    def at(self, offset: int, length: int | None = None) -> Place:
        """The place of a stretch of the text; of the whole where an escape or a fold leaves no sure answer."""
        if self.style in ("|", ">"):
            return self._in_block(offset, length)
        if self.lines > 1 or (self.style and len(str(self.value)) != self.place.length - 2):
            return self.place
        start = self.place.column + offset + len(self.style)
        rest = self.place.column + self.place.length - len(self.style) - start
        return Place(self.place.source, self.place.line, start, max(1, min(length or rest, rest)))

    def _in_block(self, offset: int, length: int | None) -> Place:
        number = self.place.line + 1
        first = self.place.source.line(number)
        indent = len(first) - len(first.lstrip())
        while number < self.place.line + self.lines:
            width = max(0, len(self.place.source.line(number)) - indent)
            if offset <= width:
                return Place(self.place.source, number, indent + offset + 1, length or max(1, width - offset))
            offset -= width + 1
            number += 1
        return self.place


class Items(NamedTuple):
    """A list."""

    items: list["Value"]
    place: Place


class Entry(NamedTuple):
    """A key's value, and where the key stands."""

    key: Place
    value: "Value"


class Fields(NamedTuple):
    """An object: keys and their entries, in the order of the file."""

    entries: dict[str, Entry]
    place: Place

    def get(self, key: str) -> "Value | None":
        entry = self.entries.get(key)
        return entry.value if entry else None


Value = Scalar | Items | Fields


def plain(value: Value) -> Any:
    """The JSON value without its places."""
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, Items):
        return [plain(item) for item in value.items]
    return {key: plain(entry.value) for key, entry in value.entries.items()}


def read(source: Source, problems: Problems) -> Value:
    """Read a file's text. What is wrong goes to `problems`; text that is no YAML raises MappingError with all of it."""
    try:
        return _Reader(source, problems).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
        # What has been told at this place was said of half a value.
        problems[:] = [problem for problem in problems if str(problem.place) != str(place)]
        problems.add(*_explain(error, place))
    except yaml.reader.ReaderError as error:
        before = lines_of(source.text[: error.position])
        shown = Source(source.name, "\n" * (len(before) - 1) + printable(source.line(len(before))))
        place = Place(shown, len(before), len(before[-1]) + 1)
        problems.add(place, f"the character U+{error.character:04X} cannot stand in YAML")
    raise MappingError(problems)


def printable(text: str) -> str:
    """What a terminal can be shown of a text, which the file may have brought to do something to it."""
    return re.sub(r"[^\n\t -~\xa0-\U0010ffff]", "\ufffd", text)


class _Reader:
    """Walks YAML's events; one method for each kind of value."""

    def __init__(self, source: Source, problems: Problems):
        self.source = source
        self.problems = problems
        self.events: Iterator[Any] = yaml.parse(source.text, Loader=yaml.BaseLoader)
        self.depth = 0
        self.flow = 0
        self.cut = False

    def document(self) -> Value:
        event = next(self.events)
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return Fields({}, Place(self.source, 1, 1))
        value = self.value(event)
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.problems.add(self.place(event), "a file holds one document; '---' begins another")
                break
        return value

    def place(self, event: Any) -> Place:
        start, end = event.start_mark, event.end_mark
        length = end.column - start.column if end.line == start.line else len(self.source.line(start.line + 1)) - start.column
        return Place(self.source, start.line + 1, start.column + 1, max(1, length))

    def value(self, event: Any) -> Value:
        if isinstance(event, yaml.AliasEvent):
            self.problems.add(
                self.place(event), f"a value that begins with '*' must be quoted: there are no aliases here (*{event.anchor})"
            )
            return Scalar("", self.place(event), "", 1)
        if event.anchor:
            self.problems.add(
                self.place(event), f"there are no anchors here (&{event.anchor}); 'parts' of a mapping are for what is used twice"
            )
        if event.tag:
            self.problems.add(self.place(event), f"there are no tags here ({event.tag})")
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event)
        if self.depth == DEEPEST:
            self.problems.add(self.place(event), f"this is nested too deeply: the most is {DEEPEST}")
            self.skip(event)
            return Scalar("", self.place(event), "", 1)
        self.depth += 1
        self.flow += bool(event.flow_style)
        made = self.items(event) if isinstance(event, yaml.SequenceStartEvent) else self.fields(event)
        self.flow -= bool(event.flow_style)
        self.depth -= 1
        return made

    def skip(self, event: Any) -> None:
        """Pass over a value of which enough has been said."""
        opened = int(isinstance(event, yaml.CollectionStartEvent))
        while opened:
            event = next(self.events)
            opened += isinstance(event, yaml.CollectionStartEvent)
            opened -= isinstance(event, yaml.CollectionEndEvent)

    def scalar(self, event: Any) -> Scalar:
        place = self.place(event)
        lines = event.end_mark.line - event.start_mark.line + (event.style not in ("|", ">"))
        value: Any = event.value
        if not event.style:
            if self.is_cut(event, place) or (value == "" and self.cut):
                value = None
            elif value == "":
                self.problems.add(place, "nothing stands here; write null or '' if that is meant")
            elif value in JSON_WORDS:
                value = JSON_WORDS[value]
            elif JSON_NUMBER.fullmatch(value):
                value = self.number(value, place)
        return Scalar(value, place, event.style or "", max(1, lines))

    def number(self, text: str, place: Place) -> int | float:
        is_whole = not set(text) & set(".eE")
        value = int(text) if is_whole and len(text) <= len(str(LEAST)) else float(text)
        if abs(value) == float("inf") or (is_whole and not LEAST <= value <= MOST):
            self.problems.add(place, "this number is greater than readers of JSON take; quote it if it is a text")
            return 0
        return value

    def is_cut(self, event: Any, place: Place) -> bool:
        """YAML ends a plain text at ` #`, and at a comma or bracket inside { } and [ ], without a word."""
        text = event.value
        if not text.startswith("=") or _balanced(text):
            return False
        rest = self.source.line(event.end_mark.line + 1)[event.end_mark.column :]
        if rest.lstrip().startswith("#"):
            self.problems.add(place, "' #' begins a comment, which cuts this expression short; quote it")
        elif self.flow:
            self.problems.add(place, "inside { } or [ ], text that holds a bracket or a comma must be quoted")
            # What the cut leaves over reads as a key without a value, which is not worth telling as well.
            self.cut = True
        else:
            return False
        return True

    def items(self, start: Any) -> Items:
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.value(event))
        return Items(items, self.place(start))

    def fields(self, start: Any) -> Fields:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            place = self.place(event)
            if not isinstance(event, yaml.ScalarEvent):
                if isinstance(event, yaml.AliasEvent):
                    self.problems.add(place, "a key that begins with '*' must be quoted")
                elif isinstance(event, yaml.MappingStartEvent) and event.flow_style:
                    self.problems.add(self.place(start), 'a value that begins with "{{" must be quoted')
                else:
                    self.problems.add(place, "a key must be text")
                self.skip(event)
                self.skip(next(self.events))
                continue
            key = event.value
            if key == "<<" and not event.style:
                self.problems.add(place, "there are no merge keys here; a mapping has 'extends' and 'parts'")
                self.skip(next(self.events))
                continue
            if key in entries:
                self.problems.add(place, f"the key {key!r} is written twice")
            value = self.value(next(self.events))
            entries[key] = Entry(place, value)
        return Fields(entries, self.place(start))


def _balanced(text: str) -> bool:
    """Whether every bracket and quote of an expression is closed."""
    bare = re.sub(r"""'(\\.|[^'\\])*'|"(\\.|[^"\\])*"|`(\\.|[^`\\])*`""", "", text)
    return not set("'\"`") & set(bare) and all(bare.count(left) == bare.count(right) for left, right in ("()", "[]", "{}"))


def _explain(error: yaml.MarkedYAMLError, place: Place) -> tuple[Place, str]:
    """YAML's complaint in an author's words, and where its cause is. The words of PyYAML on the left, tried on 6.0."""
    source, line = place.source, place.source.line(place.line)
    before = line[: place.column - 1]
    began = Place(source, error.context_mark.line + 1, error.context_mark.column + 1) if error.context_mark else place
    problem = error.problem or str(error)
    for number in (place.line, place.line - 1):
        if number and source.line(number).lstrip().startswith("//"):
            return Place(source, number, source.line(number).index("//") + 1, 2), "a comment begins with '#'"
    if "cannot start any token" in problem:
        character = line[place.column - 1 : place.column]
        if character == "\t":
            return place, "indentation is made of spaces, not of tabs"
        return place, f"a value that begins with {character!r} must be quoted"
    if error.context in ("while scanning an alias", "while scanning an anchor"):
        word = source.line(began.line)[began.column - 1 :]
        kind = "key" if re.match(r"[^\s,]*:(\s|$)", word) else "value"
        return began, f"a {kind} that begins with {word[0]!r} must be quoted"
    if "mapping values are not allowed" in problem:
        if re.fullmatch(r"\s*[\w.-]+", before) and place.line > 1:
            return place, "this line is indented too far, or there is no ':' behind what stands above it"
        kind = "an expression" if re.search(r":\s+=", before) else "text"
        return place, f'{kind} that contains ": " must be quoted'
    if "could not find expected ':'" in problem:
        return began, "a key has a ':' and a space behind it"
    if "expected <block end>" in problem:
        if not before.strip():
            return place, "this line is indented unlike those that it belongs to"
        return place, "text that goes on behind a quote or a bracket must be quoted as a whole"
    if problem.startswith(("expected ',' or", "did not find expected ',' or")):
        if not before.strip():
            return began, "this bracket is not closed, or a comma is missing in it"
        return place, "inside { } or [ ], text that holds a bracket or a comma must be quoted"
    if error.context == "while scanning a quoted scalar":
        return began, "this quote is not closed"
    if "escape" in problem:
        return place, r"between double quotes '\' begins an escape; single quotes leave it as it is"
    if "expected '<document start>'" in problem:
        return place, "this does not belong to what stands above it: a file is one object, list or text"
    return place, f"this is not YAML: {problem}"
