"""What an expression may call: JMESPath's own functions, and these, which the formats of AI providers need.

What providers send may be of any type, and these pass over what they cannot use.
"""

import re
from functools import lru_cache
from json import dumps
from typing import Annotated, Any

import orjson

from . import jmespath_functions  # noqa: F401 - registers JMESPath's own
from .signatures import FUNCTIONS, NUMBERS, Function, FunctionError, Number, from_module, function, passes_null

__all__ = ["FUNCTIONS", "Function", "FunctionError", "from_module"]


@passes_null
def text(content: Any, separator: str = "\n") -> str | None:
    """The text of Anthropic content: a text is itself, of blocks the texts are joined; null where there is none.

    >>> text([{"type": "text", "text": "Hello"}, {"type": "image"}, {"type": "text", "text": "there"}])
    'Hello\\nthere'
    """
    if type(content) is str:
        return content or None
    texts = []
    for block in content if type(content) is list else ():
        found = block.get("text") if type(block) is dict and block.get("type") == "text" else block
        if found and type(found) is str:
            texts.append(found)
    return separator.join(texts) or None


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
    if type(number) not in NUMBERS:
        return None
    left: Number = number
    for other in others:
        if type(other) in NUMBERS:
            left -= other
    return left if left > 0 else 0


@function
def total(*numbers: Any) -> Number | None:
    """The sum of those that are numbers; null where none is.

    >>> total(100, None, 20)
    120
    """
    made = None
    for number in numbers:
        if type(number) in NUMBERS:
            made = number if made is None else made + number
    return made


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


@passes_null
def split(text: str | None, separator: str) -> list[str] | None:
    """The pieces of the text between the separators, without white space around them; null where there is no text.

    >>> split("interleaved-thinking, effort", ",")
    ['interleaved-thinking', 'effort']
    """
    return None if text is None else [piece.strip() for piece in text.split(separator)]


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    """As re.search does, but in one call: nearly all patterns are a mapping's own words."""
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise FunctionError(f"matches() takes a regular expression as argument 2, not {text!r}: {error}") from None


@function
def matches(text: str | None, pattern: Annotated[str, _pattern]) -> bool:
    """Whether the regular expression is met anywhere in the text; not where there is no text.

    >>> matches("gpt-6.1-sol", "^gpt-[0-9]")
    True
    """
    return text is not None and _pattern(pattern).search(text) is not None


@passes_null
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


_NEVER_STRICT = {
    *("patternProperties", "propertyNames", "oneOf", "allOf", "not", "if", "dependentSchemas", "dependentRequired"),
    "uniqueItems",
}
_SAYS_WHAT_IT_IS = {"type", "anyOf", "$ref"}
"""A schema with none of these is refused, and the request with it: "schema must have a 'type' key", though it has an `enum`."""


def _closed(schema: Any) -> Any:
    if type(schema) is not dict or not _SAYS_WHAT_IT_IS & schema.keys():
        raise _NotStrict
    kinds, properties, required = schema.get("type"), schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict | None) or not isinstance(required, list | None):
        raise _NotStrict
    is_object = properties is not None or "object" in (kinds if type(kinds) is list else [kinds])
    optional = set(properties or ()).symmetric_difference(required or ())
    if _NEVER_STRICT & schema.keys() or (is_object and (not properties or optional or schema.get("additionalProperties"))):
        raise _NotStrict
    # A default has no meaning where every property is given.
    made = {word: _within(word, value) for word, value in schema.items() if word != "default"}
    if "$ref" in made and len(made) > 1:  # "$ref cannot have keywords {'description'}"
        raise _NotStrict
    return made | {"additionalProperties": False} if is_object else made


def _within(word: str, value: Any) -> Any:
    """The value of a schema's word, with the schemas in it closed."""
    if word in ("properties", "$defs", "definitions") and type(value) is dict:
        return {name: _closed(child) for name, child in value.items()}
    if word in ("anyOf", "prefixItems") and type(value) is list:
        return [_closed(child) for child in value]
    return _closed(value) if word == "items" else value
