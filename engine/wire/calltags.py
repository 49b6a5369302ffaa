"""Text -> text and tool calls, for models that write a call into their text instead of making it (S31).

The ways that families of models have for this, with or without one more tag around a call:

    <tool_call>{"name": "Read", "arguments": {"path": "a"}}</tool_call>
    <tool_call>Read<arg_key>path</arg_key><arg_value>a</arg_value></tool_call>
    <function=Read><parameter=path>a</parameter></function>
    <invoke name="Read"><parameter name="path">a</parameter></invoke>

What could still become a call is held back, wherever the text is cut, and given out as what it was when it turns out
to be none. Only a tool that was offered can be called.
"""

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from engine.wire.jsontext import Extent, loads

Call = dict[str, Any]
"""A tool delta that holds a whole call."""

MOST_HELD = 1_000_000
"""Characters. No model writes a longer call."""

T = TypeVar("T")
Reading = Generator[None, None, T]
"""Reads text that comes in pieces: it pauses where more has to come."""


class _Form:
    """What text can look like, whole or as far as it has come: regular expressions, each of them for one piece of it.

    They are compiled when they are wanted, since most models make their calls as they should.
    """

    def __init__(self, *pieces: str) -> None:
        self._pieces = pieces

    @cached_property
    def whole(self) -> re.Pattern[str]:
        return re.compile("".join(self._pieces))

    @cached_property
    def begun(self) -> re.Pattern[str]:
        begun = ""
        for piece in reversed(self._pieces):
            begun = f"(?:{piece}{begun})?"
        return re.compile(begun)


class _Dialect(NamedTuple):
    """How a call is opened, and how each of its arguments; both are closed by the tag that was opened last."""

    heads: list[_Form]
    key: _Form
    padding: str = ""  # around a value, and no part of it


_SPACE = r"\s{0,99}"
_NAME = "([A-Za-z0-9_-]{1,200})"  # of a tool, as providers take it (toolnames.py)
_WORD = r'([^\s<>"]{1,200})'
_NAMESPACES: list[tuple[str, ...]] = [(), (r"\w+", ":")]  # none, or any
_AROUND = [(*namespace, *name, ">") for namespace in _NAMESPACES for name in ("tool_call", "function_calls")]


def _heads(*tag: str) -> list[_Form]:
    return [_Form(*tag), *(_Form("<", *around, _SPACE, *tag) for around in _AROUND)]


_OBJECT = _Form(*"<tool_call>", _SPACE, r"(?=\{)")
_NAME_IN_OBJECT = _Form(r"\{", _SPACE, *'"name"', _SPACE, ":", _SPACE, '"', _WORD, '"')
_DIALECTS = [
    _Dialect(
        [_Form(*"<tool_call>", _SPACE, _NAME, _SPACE, "(?=<)")],
        _Form(_SPACE, *"<arg_key>", _WORD, *"</arg_key>", _SPACE, *"<arg_value>"),
    ),
    _Dialect(
        _heads(*"<function=", _NAME, ">"),
        _Form(_SPACE, *"<parameter=", _WORD, ">"),
        padding="\n",
    ),
    *(
        _Dialect(
            _heads("<", *namespace, *'invoke name="', _NAME, *'">'),
            _Form(_SPACE, "<", *namespace, *'parameter name="', _WORD, *'">'),
        )
        for namespace in _NAMESPACES
    ),
]
_ENDS_AROUND = [_Form(_SPACE, *"</", *around) for around in _AROUND]

_OPENING = re.compile(r"<(?:\w+:)?(?:tool_call|function_calls|function=|invoke)|<\w*:?\w*\Z")
"""Where a call may begin, for a quick look. Its form tells whether one does."""

_TAG = re.compile(r"<([\w:]+)")

# Templates of models show them so.
_PYTHONS_WORDS = {"True": True, "False": False, "None": None}


class _Object(Extent):
    """Finds where a JSON object ends: at the latest at a `<` outside its strings, which shows that it is broken."""

    _MARKS = re.compile(r'\\.?|["{}\[\]<]', re.DOTALL)

    def _pass(self, mark: str) -> None:
        if mark != "<":
            super()._pass(mark)
        elif not self._in_string:
            self._depth = 0


class CallTags:
    """Splits what a model says, piece by piece: text is a string, a call is a tool delta.

    Where a tag stood around calls, its end goes with the call before it, even if nobody opened it: models forget that.
    """

    def __init__(self, tools: Iterable[Mapping[str, Any]]) -> None:
        """The tools as the provider was offered them."""
        self._properties = {tool["name"]: tool["input_schema"].get("properties", {}) for tool in tools if "input_schema" in tool}
        self._text = ""  # not given out yet; where a call is read, it begins with the call
        self._at = 0  # how far it was read
        self._is_over = False
        self._ran_out = False
        self._calls = 0
        self._found: list[str | Call] = []
        self._reading = self._read()

    def feed(self, text: str) -> list[str | Call]:
        """The next text of the model -> what is now known to be text or a call."""
        self._text += text
        next(self._reading)
        found, self._found = self._found, []
        return found

    def end(self) -> list[str | Call]:
        """What was held back: nothing that would have made it a call comes any more."""
        self._is_over = True
        found = self.feed("")
        self._is_over = False
        return found

    def _read(self) -> Iterator[None]:
        """Goes through all text there is, and pauses for more."""
        start = 0
        while True:
            opening = _OPENING.search(self._text, start)
            if said := self._take(opening.start() if opening else len(self._text)):
                self._found.append(said)
            start = 0
            if not self._text:
                yield
            elif (call := (yield from self._call())) and self._at <= MOST_HELD:
                self._found.append(call)
                self._take(self._at)
                yield from self._expect(*_ENDS_AROUND)
                self._take(self._at)
            else:
                start = MOST_HELD if self._ran_out or self._at > MOST_HELD else 1

    def _take(self, length: int) -> str:
        taken, self._text = self._text[:length], self._text[length:]
        self._at, self._ran_out = 0, False
        return taken

    def _call(self) -> Reading[Call | None]:
        """The call that the text begins with; None as soon as it is known that it begins with none."""
        if (yield from self._expect(_OBJECT)):
            return (yield from self._object())
        for dialect in _DIALECTS:
            if head := (yield from self._expect(*dialect.heads)):
                return (yield from self._tagged(dialect, head)) if head[1] in self._properties else None
        return None

    def _object(self) -> Reading[Call | None]:
        """A call that is JSON. Its end is the object's, since some servers keep the closing tag to themselves."""
        begin = self._at
        name = yield from self._expect(_NAME_IN_OBJECT)
        if name and name[1] not in self._properties:
            return None
        self._at, extent = begin, _Object()
        while not extent.is_whole:
            if self._at == len(self._text) and not (yield from self._more()):
                return None
            self._at += len(extent.cut(self._text[self._at :]))
        return self._told(self._text[begin : self._at])

    def _told(self, text: str) -> Call | None:
        try:
            told = loads(text)
        except ValueError:
            return None
        match told:
            case {"name": str(name), "arguments": dict() | str() as input}:
                return self._made(name, input)
            case {"name": str(name), "parameters": dict() | str() as input}:
                return self._made(name, input)
            case {"name": str(name), **others} if not others:
                return self._made(name, {})
        return None

    def _tagged(self, dialect: _Dialect, head: re.Match[str]) -> Reading[Call | None]:
        """A call whose arguments are tags."""
        end, input = _Form(_SPACE, *_closing(head)), {}
        while not (yield from self._expect(end)):
            key = yield from self._expect(dialect.key)
            value = (yield from self._value(_closing(key), end, dialect.key)) if key else None
            if key is None or value is None:
                return None
            schema = self._properties[head[1]].get(key[1])
            input[key[1]] = _typed(value.removeprefix(dialect.padding).removesuffix(dialect.padding), schema)
        return self._made(head[1], input)

    def _value(self, closing: str, *follows: _Form) -> Reading[str | None]:
        """What stands before the closing tag: before the first that something fitting follows, since a value can hold others."""
        begin = self._at
        while (yield from self._pass(closing)):
            behind = self._at
            if (yield from self._expect(*follows)):
                self._at = behind
                return self._text[begin : behind - len(closing)]
        return None

    def _made(self, name: str, input: Any) -> Call | None:
        self._calls += 1
        return {"key": f"tagged {self._calls}", "name": name, "json": input} if name in self._properties else None

    def _expect(self, *forms: _Form) -> Reading[re.Match[str] | None]:
        """What comes next if it has one of the forms."""
        while True:
            for form in forms:
                if found := form.whole.match(self._text, self._at):
                    self._at = found.end()
                    return found
            could_be = any(form.begun.fullmatch(self._text, self._at) for form in forms)
            if not could_be or not (yield from self._more()):
                return None

    def _pass(self, tag: str) -> Reading[bool]:
        """Whether the tag comes, however far away."""
        while (place := self._text.find(tag, self._at)) < 0:
            self._at = max(self._at, len(self._text) - len(tag) + 1)
            if not (yield from self._more()):
                return False
        self._at = place + len(tag)
        return True

    def _more(self) -> Reading[bool]:
        """Whether there is more text to wait for, and room to hold it. If not, what was read so far will be no call."""
        self._ran_out = self._is_over or len(self._text) > MOST_HELD
        if not self._ran_out:
            yield
        return not self._ran_out


def _closing(opened: re.Match[str]) -> str:
    """The tag that closes the last one of those that were opened."""
    return f"</{_TAG.findall(opened[0])[-1]}>"


def _typed(text: str, schema: Any) -> Any:
    """A value as its schema has it. Text that may be text stays so, though it looks like a number."""
    if _may_be_text(schema):
        return text
    try:
        return _PYTHONS_WORDS[text.strip()] if text.strip() in _PYTHONS_WORDS else loads(text)
    except ValueError:
        return text


def _may_be_text(schema: Any) -> bool:
    match schema:
        case {"type": "string"}:
            return True
        case {"type": [*types]}:
            return "string" in types
        case {"anyOf": [*schemas]} | {"oneOf": [*schemas]}:
            return any(map(_may_be_text, schemas))
    return False
