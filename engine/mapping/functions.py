"""What an expression may call: JMESPath's own functions, and those that the formats of AI providers need.

A function's annotations say what it takes and gives; a mapping is held to them when it is loaded, as far as can be
known by then, and else when it runs. The example in each docstring is run as a test.
"""

import collections.abc
import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from itertools import product
from json import dumps
from types import FunctionType, ModuleType, NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

import orjson

Kinds = frozenset[str]
Number = int | float
Key = Callable[[Any], Any]
"""An argument that is an expression: `&name`."""

F = TypeVar("F", bound=Callable[..., Any])

KINDS: Mapping[Any, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "list",
    dict: "object",
    FunctionType: "expression",
    collections.abc.Callable: "expression",
    NoneType: "null",
}
"""The kind of value that a Python type holds, in the order in which authors are told."""

EXPRESSION: Kinds = frozenset({"expression"})
JSON: Kinds = frozenset(KINDS.values()) - EXPRESSION
NUMBERS = (int, float)

_ONE = {kind: f"a {kind}" for kind in KINDS.values()}
_ONE |= {"object": "an object", "expression": "an expression (&…)", "null": "null"}


class FunctionError(TypeError):
    """A function was given what it does not take; the message is for the author of the mapping."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """What an argument may be; where `items` are given, one of them holds the kinds of all items of a list."""

    kinds: Kinds
    items: tuple[Kinds, ...] = ()

    def accepts(self, value: Any) -> bool:
        kind = KINDS[type(value)]
        if kind != "list" or not self.items:
            return kind in self.kinds
        found = _kinds_within(value)
        return any(found <= items for items in self.items)

    def fits(self, kinds: Kinds) -> bool | None:
        """Whether a value of one of these kinds is accepted; None where that depends on the value."""
        if not kinds & self.kinds:
            return False
        return True if kinds <= self.kinds and not (self.items and "list" in kinds) else None

    def describe(self, value: Any) -> str:
        """What a value is, as far as it matters here: "a list of numbers and strings"."""
        kind = KINDS[type(value)]
        return f"a list of {_many(_kinds_within(value), ' and ')}" if kind == "list" and self.items else _ONE[kind]

    def __str__(self) -> str:
        """What it takes: "a string, list or object"."""
        first, *rest = _sorted(self.kinds)
        told = ", ".join([_ONE[first], *rest[:-1]]) + "".join(f" or {last}" for last in rest[-1:])
        return told + " of " + " or of ".join(_many(items, " or ") for items in self.items) if self.items else told


@dataclass(frozen=True)
class Function:
    """A function that expressions call; `checked` is the one that refuses what `implementation` does not take.

    It takes `required` arguments at least and one for each parameter at most, but where it is `variadic` any number:
    the last parameter is that of all the others. One that `passes_null` need not be called where its first argument is
    null, for so is what it gives.
    """

    name: str
    implementation: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    required: int
    variadic: bool
    gives: Kinds
    about: str
    passes_null: bool = False

    @cached_property
    def checked(self) -> Callable[..., Any]:
        return _checked(self)

    @property
    def arity(self) -> str:
        """How many arguments it takes: "1 or 2 arguments"."""
        if self.variadic:
            return f"at least {_arguments(self.required)}"
        most = _arguments(len(self.parameters))
        return most if self.required == len(self.parameters) else f"{self.required} or {most}"

    def takes(self, count: int) -> bool:
        return self.required <= count and (self.variadic or count <= len(self.parameters))

    def parameter(self, index: int) -> Parameter:
        return self.parameters[min(index, len(self.parameters) - 1)]

    def refusal(self, index: int, given: str) -> str:
        """Why an argument cannot be: "join() takes a list of strings as argument 2, not null"."""
        which = f" as argument {index + 1}" if len(self.parameters) > 1 or self.variadic else ""
        return f"{self.name}() takes {self.parameter(index)}{which}, not {given}"


FUNCTIONS: dict[str, Function] = {}
"""The functions that every mapping may call."""


def from_module(module: ModuleType) -> dict[str, Function]:
    """The public functions of a mapping's own Python file. Their arguments are counted, not looked at.

    Raises ValueError where a function's name is taken, or where it takes what no expression can give.
    """
    found = {}
    for name, made in inspect.getmembers(module, inspect.isfunction):
        if made.__module__ == module.__name__ and not name.startswith("_"):
            if name in FUNCTIONS:
                raise ValueError(f"every mapping has a function {name}() already")
            found[name] = _described(name, made, lambda annotation: Parameter(JSON | EXPRESSION), JSON)
    return found


def function(implementation: F) -> F:
    """Register a function of every mapping. A trailing underscore keeps its name apart from one of Python's."""
    name = implementation.__name__.rstrip("_")
    FUNCTIONS[name] = _described(name, implementation, _parameter, _kinds(implementation.__annotations__["return"]))
    return implementation


def passes_null(implementation: F) -> F:
    """Register a function that gives null where its first argument is null."""
    function(implementation)
    name = implementation.__name__
    FUNCTIONS[name] = dataclasses.replace(FUNCTIONS[name], passes_null=True)
    return implementation


def _described(name: str, made: Callable[..., Any], read: Callable[[Any], Parameter], gives: Kinds) -> Function:
    given = list(inspect.signature(made).parameters.values())
    if any(one.kind in (one.KEYWORD_ONLY, one.VAR_KEYWORD) for one in given):
        raise ValueError(f"{name}() takes arguments by name, which no expression can give")
    return Function(
        name=name,
        implementation=made,
        parameters=tuple(read(one.annotation) for one in given),
        required=sum(one.default is one.empty and one.kind is not one.VAR_POSITIONAL for one in given),
        variadic=any(one.kind is one.VAR_POSITIONAL for one in given),
        gives=gives,
        about=(inspect.getdoc(made) or "").partition("\n\n")[0],
    )


def _parameter(annotation: Any) -> Parameter:
    items = [_kinds(item) for option in _options(annotation) if get_origin(option) is list for item in get_args(option)]
    return Parameter(_kinds(annotation), tuple(kinds for kinds in items if kinds != JSON))


def _kinds(annotation: Any) -> Kinds:
    if annotation is Any:
        return JSON
    return frozenset(KINDS[get_origin(option) or option] for option in _options(annotation))


def _options(annotation: Any) -> tuple[Any, ...]:
    if annotation is None:
        return (NoneType,)
    return get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)


def _checked(made: Function) -> Callable[..., Any]:
    """The function with a check of its arguments: of their types alone where these say it all, else a closer look."""
    implementation, parameters = made.implementation, made.parameters
    if all(parameter.fits(JSON) for parameter in parameters):
        return implementation
    sure = [[of for of, kind in KINDS.items() if parameter.fits(frozenset({kind}))] for parameter in parameters]
    known = {types for count in range(made.required, len(sure) + 1) for types in product(*sure[:count])}

    @wraps(implementation)
    def checked(*arguments: Any) -> Any:
        if tuple(map(type, arguments)) not in known:
            for index, value in enumerate(arguments):
                parameter = made.parameter(index)
                if not parameter.accepts(value):
                    raise FunctionError(made.refusal(index, parameter.describe(value)))
        return implementation(*arguments)

    return checked


def _kinds_within(items: Sequence[Any]) -> set[str]:
    return {KINDS[type(item)] for item in items}


def _sorted(kinds: Collection[str]) -> list[str]:
    return [kind for kind in dict.fromkeys(KINDS.values()) if kind in kinds]


def _many(kinds: Collection[str], between: str) -> str:
    return between.join("null" if kind == "null" else f"{kind}s" for kind in _sorted(kinds))


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"


# JMESPath's own: https://jmespath.org/specification.html#built-in-functions


@function
def abs_(number: Number) -> Number:
    """The number without its sign.

    >>> abs(-3)
    3
    """
    return abs(number)


@function
def avg(numbers: list[Number]) -> Number | None:
    """The mean of the numbers; null where there are none.

    >>> avg([1, 2])
    1.5
    """
    return sum(numbers) / len(numbers) if numbers else None


@function
def ceil(number: Number) -> int:
    """The next whole number upwards.

    >>> ceil(1.2)
    2
    """
    return math.ceil(number)


@function
def contains(subject: str | list[Any], search: Any) -> bool:
    """Whether the list has the item, or the text the other text.

    >>> contains("prompt is too long", "too long")
    True
    """
    if type(subject) is str and type(search) is not str:
        raise FunctionError(f"contains() looks for a string in a string, not for {_ONE[KINDS[type(search)]]}")
    return search in subject


@function
def ends_with(text: str, end: str) -> bool:
    """Whether the text ends so.

    >>> ends_with("gpt-6-luna", "luna")
    True
    """
    return text.endswith(end)


@function
def floor(number: Number) -> int:
    """The next whole number downwards.

    >>> floor(1.8)
    1
    """
    return math.floor(number)


@function
def join(separator: str, texts: list[str]) -> str:
    """The texts as one, the separator between them.

    >>> join(", ", ["a", "b"])
    'a, b'
    """
    return separator.join(texts)


@function
def keys(given: dict[str, Any]) -> list[Any]:
    """The keys of the object.

    >>> keys({"a": 1, "b": 2})
    ['a', 'b']
    """
    return list(given)


@function
def length(given: str | list[Any] | dict[str, Any]) -> int:
    """How many characters, items or keys there are.

    >>> length("héllo")
    5
    """
    return len(given)


@function
def map_(each: Key, items: list[Any]) -> list[Any]:
    """What the expression gives for each item, null included.

    >>> map(lambda item: item.get("id"), [{"id": 1}, {}])
    [1, None]
    """
    return [each(item) for item in items]


@function
def max_(values: list[Number] | list[str]) -> Number | str | None:
    """The greatest of the numbers or texts; null where there are none.

    >>> max([1, 3, 2])
    3
    """
    return max(values, default=None)


@function
def max_by(items: list[Any], key: Key) -> Any:
    """The item for which the expression gives most; null where there are none.

    >>> max_by([{"n": 1}, {"n": 3}], lambda item: item["n"])
    {'n': 3}
    """
    return max(_keyed("max_by", items, key), key=_first, default=(None, None))[1]


@function
def merge(first: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """One object of several; where they have a key in common, the last has its way.

    >>> merge({"a": 1, "b": 1}, {"b": 2})
    {'a': 1, 'b': 2}
    """
    merged = dict(first)
    for other in others:
        merged.update(other)
    return merged


@function
def min_(values: list[Number] | list[str]) -> Number | str | None:
    """The least of the numbers or texts; null where there are none.

    >>> min(["b", "a"])
    'a'
    """
    return min(values, default=None)


@function
def min_by(items: list[Any], key: Key) -> Any:
    """The item for which the expression gives least; null where there are none.

    >>> min_by([{"n": 1}, {"n": 3}], lambda item: item["n"])
    {'n': 1}
    """
    return min(_keyed("min_by", items, key), key=_first, default=(None, None))[1]


@function
def not_null(first: Any, *others: Any) -> Any:
    """The first of the arguments that is not null.

    >>> not_null(None, 0, 1)
    0
    """
    return next((value for value in (first, *others) if value is not None), None)


@function
def reverse(given: str | list[Any]) -> str | list[Any]:
    """The list or text from its end to its start.

    >>> reverse([1, 2])
    [2, 1]
    """
    return given[::-1]


@function
def sort(values: list[Number] | list[str]) -> list[Any]:
    """The numbers or texts in order.

    >>> sort([2, 1])
    [1, 2]
    """
    return sorted(values)


@function
def sort_by(items: list[Any], key: Key) -> list[Any]:
    """The items in the order of what the expression gives.

    >>> sort_by([{"n": 3}, {"n": 1}], lambda item: item["n"])
    [{'n': 1}, {'n': 3}]
    """
    return [item for _, item in sorted(_keyed("sort_by", items, key), key=_first)]


def _keyed(name: str, items: list[Any], key: Key) -> list[tuple[Any, Any]]:
    keyed = [(key(item), item) for item in items]
    kinds = _kinds_within([value for value, _ in keyed])
    if kinds - {"number"} and kinds - {"string"}:
        raise FunctionError(f"{name}() compares numbers or strings, but the expression gives {_many(kinds, ' and ')}")
    return keyed


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


@function
def starts_with(text: str, start: str) -> bool:
    """Whether the text starts so.

    >>> starts_with("gpt-6-luna", "gpt-")
    True
    """
    return text.startswith(start)


@function
def sum_(numbers: list[Number]) -> Number:
    """The sum of the numbers.

    >>> sum([1, 2])
    3
    """
    return sum(numbers)


@function
def to_array(value: Any) -> list[Any]:
    """A list as it is, anything else as the one item of a list.

    >>> to_array("a")
    ['a']
    """
    return value if type(value) is list else [value]


@function
def to_number(value: Any) -> Number | None:
    """The number that the text is; null where it is none.

    >>> to_number("1.5")
    1.5
    """
    number = parse_json(value) if type(value) is str else value
    return number if type(number) in NUMBERS else None


@function
def to_string(value: Any) -> str:
    """A text as it is, anything else as JSON.

    >>> to_string([1, True])
    '[1,true]'
    """
    return value if type(value) is str else dumps(value, separators=(",", ":"))


@function
def type_(value: Any) -> str:
    """What the value is: string, number, boolean, array, object or null.

    >>> type([])
    'array'
    """
    kind = KINDS[type(value)]
    return "array" if kind == "list" else kind


@function
def values(given: dict[str, Any]) -> list[Any]:
    """The values of the object.

    >>> values({"a": 1, "b": 2})
    [1, 2]
    """
    return list(given.values())


# Ours: what providers send may be of any type, and these pass over what they cannot use.


@passes_null
def text(content: Any, separator: str = "\n") -> str | None:
    """The text of Anthropic content: a text is itself, of blocks the texts are joined; null where there is none.

    >>> text([{"type": "text", "text": "Hello"}, {"type": "image"}, {"type": "text", "text": "there"}])
    'Hello\\nthere'
    """
    if type(content) is str:
        return content or None
    texts = map(_text_of, content) if type(content) is list else ()
    return separator.join(filter(None, texts)) or None


def _text_of(block: Any) -> str | None:
    found = block.get("text") if type(block) is dict and block.get("type") == "text" else block
    return found if type(found) is str else None


@function
def json(value: Any) -> str:
    """The value as compact JSON text.

    >>> json({"city": "Zürich", "days": [1, 2]})
    '{"city":"Zürich","days":[1,2]}'
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson refuses whole numbers beyond 64 bits and halves of surrogate pairs; JSON does not
        return dumps(value, separators=(",", ":"))


@passes_null
def parse_json(text: Any) -> Any:
    """The value of a JSON text; null where it is none.

    >>> parse_json('{"message": "no"}')
    {'message': 'no'}
    """
    try:
        return orjson.loads(text) if type(text) is str else None
    except orjson.JSONDecodeError:
        return None


@passes_null
def difference(number: Any, *others: Any) -> Number | None:
    """The first number less the others, but never less than 0; null where there is no first.

    >>> difference(100, 64, None)
    36
    """
    return max(0, number - (total(*others) or 0)) if type(number) in NUMBERS else None


@function
def total(*numbers: Any) -> Number | None:
    """The sum of those that are numbers; null where none is.

    >>> total(100, None, 20)
    120
    """
    present = [number for number in numbers if type(number) in NUMBERS]
    return sum(present) if present else None


@passes_null
def data_url(source: Any) -> str | None:
    """The address of an Anthropic image's or document's source: a `data:` URL or its own; null where it has neither.

    >>> data_url({"type": "base64", "media_type": "image/png", "data": "iVBO"})
    'data:image/png;base64,iVBO'
    """
    match source:
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            return f"data:{media_type};base64,{data}"
        case {"type": "url", "url": str(url)}:
            return url
    return None


_EFFORTS = ((4096, "low"), (12288, "medium"), (24576, "high"), (49152, "xhigh"))
"""A thinking budget below so many tokens, in the words of `output_config.effort`."""


@function
def effort(thinking: Any, output_config: Any) -> str | None:
    """How hard to think, in Anthropic's words or `none`; null where the request leaves it open.

    >>> effort({"type": "enabled", "budget_tokens": 8000}, None)
    'medium'
    """
    match thinking, output_config:
        # Claude Code asks for both in its side questions, and means the first.
        case {"type": "disabled"}, _:
            return "none"
        case _, {"effort": str(asked)} if asked:
            return asked
        case {"type": "enabled", "budget_tokens": int(budget) | float(budget)}, _:
            return next((word for limit, word in _EFFORTS if budget < limit), "max")
    return None


@passes_null
def lower(text: str | None) -> str | None:
    """The text in small letters; null where there is none.

    >>> lower("STOP")
    'stop'
    """
    return text and text.lower()


@passes_null
def replace(text: str | None, old: str, new: str) -> str | None:
    """The text with one piece of it put in place of another, wherever it stands; null where there is no text.

    >>> replace("claude-opus-4", "claude", "anthropic/claude")
    'anthropic/claude-opus-4'
    """
    return text and text.replace(old, new)


@function
def matches(text: str | None, pattern: str) -> bool:
    """Whether the regular expression is met anywhere in the text; not where there is no text.

    >>> matches("gpt-6.1-sol", "^gpt-[0-9]")
    True
    """
    try:
        return text is not None and re.search(pattern, text) is not None
    except re.error as error:
        raise FunctionError(f"matches() takes a regular expression as argument 2, not {pattern!r}: {error}") from None


@passes_null
@function
def strict(schema: Any) -> Any:
    """The schema closed to further properties, as OpenAI's strict mode wants it; null where strict mode cannot hold it.

    Strict mode has no optional properties: they would come back as null, which the client's schema need not allow.
    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas

    >>> strict({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})["additionalProperties"]
    False
    >>> strict({"type": "object", "properties": {"a": {"type": "string"}}})
    """
    try:
        return _closed(schema) if type(schema) is dict and schema.get("type") == "object" and "anyOf" not in schema else None
    except _NotStrict:
        return None


class _NotStrict(Exception):
    """The schema says what strict mode cannot."""


_NEVER_STRICT = {"patternProperties", "oneOf", "allOf", "not", "if", "dependentSchemas", "propertyNames"}


def _closed(schema: Any) -> Any:
    if type(schema) is not dict:
        raise _NotStrict
    properties = schema.get("properties")
    is_object = schema.get("type") == "object" or properties is not None
    optional = set(properties or ()) - set(schema.get("required") or ())
    if _NEVER_STRICT & schema.keys() or (is_object and (not properties or optional or schema.get("additionalProperties"))):
        raise _NotStrict
    # A default has no meaning where every property is given.
    made = {word: _within(word, value) for word, value in schema.items() if word != "default"}
    return made | {"additionalProperties": False} if is_object else made


def _within(word: str, value: Any) -> Any:
    """The value of a schema's word, with the schemas in it closed."""
    if word in ("properties", "$defs", "definitions") and type(value) is dict:
        return {name: _closed(child) for name, child in value.items()}
    if word in ("anyOf", "prefixItems") and type(value) is list:
        return [_closed(child) for child in value]
    return _closed(value) if word == "items" else value
