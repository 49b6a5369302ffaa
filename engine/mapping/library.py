"""The functions that an expression may call: JMESPath's own, and those below.

The first line of a docstring is what the docs say; the doctest is the worked example, and a test runs it.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import orjson
from jmespath.exceptions import JMESPathTypeError
from jmespath.functions import Functions as _JMESPath

_LIBRARY = _JMESPath()


@dataclass(frozen=True, slots=True)
class Function:
    """A function as expressions know it.

    It takes from `least` to `most` arguments, any number where `most` is None. `of_nothing_null`: where its first
    argument is null it gives null, so that generated code need not call it.
    """

    name: str
    implementation: Callable[..., Any]
    least: int
    most: int | None
    about: str = ""
    of_nothing_null: bool = False


def argument_error(function: Function, arguments: Sequence[Any]) -> str | None:
    """What is wrong with a call, as far as it shows before it is made: `arguments` are the literal ones, else `...`."""
    given = len(arguments)
    if given < function.least or (function.most is not None and given > function.most):
        return f"{function.name}() takes {_counted(function)}, not {given}"
    for argument, parameter in zip(arguments, _parameters(function.name), strict=False):
        if argument is not ... and parameter["types"]:
            try:
                _LIBRARY._type_check_single(argument, parameter["types"], function.name)
            except JMESPathTypeError as error:
                expected = " or ".join(error.expected_types)
                return f"{function.name}() takes {expected}, not the {error.actual_type} {orjson.dumps(argument).decode()}"
    return None


def _counted(function: Function) -> str:
    if function.most is None:
        return f"{function.least} or more arguments"
    numbers = f"{function.least}" if function.least == function.most else f"{function.least} to {function.most}"
    return f"{numbers} argument{'' if function.most == 1 else 's'}"


def _parameters(name: str) -> Sequence[Mapping[str, Any]]:
    return _JMESPath.FUNCTION_TABLE[name]["signature"] if name in _JMESPath.FUNCTION_TABLE else ()


def _built_in(name: str) -> Function:
    """One of JMESPath's functions, as jmespath itself implements and checks it."""
    parameters = _parameters(name)
    variadic = bool(parameters and parameters[-1].get("variadic"))
    work: Callable[..., Any] = getattr(_LIBRARY, f"_func_{name}")
    if any(parameter["types"] for parameter in parameters):
        work = partial(_checked, name)
    return Function(name, work, len(parameters), None if variadic else len(parameters), "JMESPath's own")


def _checked(name: str, *arguments: Any) -> Any:
    return _LIBRARY.call_function(name, arguments)


FUNCTIONS: dict[str, Function] = {name: _built_in(name) for name in sorted(_JMESPath.FUNCTION_TABLE)}


def _function(work: Callable[..., Any], name: str | None = None) -> Function:
    """A Python function as expressions know it: its positional parameters are its arity."""
    kinds = inspect.Parameter
    parameters = [
        one for one in inspect.signature(work).parameters.values() if one.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    ]
    variadic = any(one.kind is kinds.VAR_POSITIONAL for one in inspect.signature(work).parameters.values())
    least = sum(one.default is kinds.empty for one in parameters)
    about = (inspect.getdoc(work) or "").partition("\n")[0]
    return Function(name or work.__name__.rstrip("_"), work, least, None if variadic else len(parameters), about)


def _ours(work: Callable[..., Any]) -> Callable[..., Any]:
    made = _function(work)
    FUNCTIONS[made.name] = made
    return work


def _of_something(work: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ours that gives null for null."""
    made = replace(_function(work), of_nothing_null=True)
    FUNCTIONS[made.name] = made
    return work


def from_module(module: ModuleType) -> dict[str, Function]:
    """The public functions that a Python file beside a mapping defines. Raises ValueError where one hides a built-in."""
    found = {
        name: _function(work, name)
        for name, work in vars(module).items()
        if inspect.isfunction(work) and work.__module__ == module.__name__ and not name.startswith("_")
    }
    if clash := sorted(found.keys() & FUNCTIONS.keys()):
        raise ValueError(f"{clash[0]}() is there already; give yours another name")
    return found


@_of_something
def text(content: Any, separator: str = "\n") -> str | None:
    """The text of Anthropic content, its blocks joined; null where there is none.

    >>> text([{"type": "text", "text": "Look:"}, {"type": "image"}, {"type": "text", "text": "a cat"}])
    'Look:\\na cat'
    >>> text("as it is"), text([]), text(None)
    ('as it is', None, None)
    """
    if isinstance(content, str):
        return content or None
    if not isinstance(content, list):
        return None
    pieces = [block if isinstance(block, str) else block.get("text") for block in content if _says_text(block)]
    return separator.join(piece for piece in pieces if piece) or None


def _says_text(block: Any) -> bool:
    return isinstance(block, str) or (isinstance(block, dict) and block.get("type") == "text")


@_ours
def json(value: Any) -> str:
    """The value as compact JSON text, its keys in their order.

    >>> json({"path": "/tmp/é", "all": True})
    '{"path":"/tmp/é","all":true}'
    """
    return orjson.dumps(value).decode()


@_of_something
def parse_json(text: Any) -> Any:
    """The value of a JSON text; null where it is none.

    >>> parse_json('{"code": 5}'), parse_json("no JSON"), parse_json(None)
    ({'code': 5}, None, None)
    """
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return None


@_of_something
def difference(whole: Any, *parts: Any) -> Any:
    """A number less the others, never below 0; null where the first is null.

    >>> difference(100, 30, None), difference(10, 30), difference(None, 5)
    (70, 0, None)
    """
    return None if whole is None else max(0, whole - sum(part or 0 for part in parts))


@_ours
def total(*parts: Any) -> Any:
    """The sum of the numbers that are there; null where none is.

    >>> total(1, None, 2), total(None)
    (3, None)
    """
    present = [part for part in parts if part is not None]
    return sum(present) if present else None


@_of_something
def data_url(source: Any) -> str | None:
    """The URL of an Anthropic image or document source: its own, or one that holds the data.

    >>> data_url({"type": "base64", "media_type": "image/png", "data": "iVBO"})
    'data:image/png;base64,iVBO'
    >>> data_url({"type": "url", "url": "https://example.com/cat.png"})
    'https://example.com/cat.png'
    """
    if not isinstance(source, dict):
        return None
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    return source.get("url")


_EFFORT_OF_BUDGET = ((4096, "low"), (12288, "medium"), (24576, "high"), (49152, "xhigh"))


@_ours
def effort(thinking: Any, output_config: Any) -> str | None:
    """How hard to think: none, low, medium, high, xhigh or max; null where the request leaves it open.

    >>> effort({"type": "adaptive"}, {"effort": "high"}), effort({"type": "disabled"}, {"effort": "high"})
    ('high', 'none')
    >>> effort({"type": "enabled", "budget_tokens": 10000}, None), effort({"type": "adaptive"}, None)
    ('medium', None)
    """
    thinking = thinking or {}
    if thinking.get("type") == "disabled":
        return "none"
    asked: str | None = (output_config or {}).get("effort")
    budget = thinking.get("budget_tokens")
    if asked or budget is None:
        return asked
    return next((word for limit, word in _EFFORT_OF_BUDGET if budget < limit), "max")


@_ours
def strict(schema: Any) -> Any:
    """A JSON Schema as strict structured output wants it: closed objects, every property required.

    >>> strict({"type": "object", "properties": {"a": {"type": "string"}}})
    {'type': 'object', 'properties': {'a': {'type': ['string', 'null']}}, 'additionalProperties': False, 'required': ['a']}

    What may be missing may be null instead. https://platform.openai.com/docs/guides/structured-outputs
    """
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict_under(key, value) for key, value in schema.items()}
    if isinstance(properties := made.get("properties"), dict):
        required = schema.get("required") or []
        for name, one in properties.items():
            properties[name] = one if name in required else _or_null(one)
        made |= {"additionalProperties": False, "required": list(properties)}
    return made


def _strict_under(key: str, value: Any) -> Any:
    if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
        return {name: strict(one) for name, one in value.items()}
    return strict(value) if key in ("items", "anyOf", "additionalProperties") else deepcopy(value)


def _or_null(schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(kind, str) and "enum" not in schema and "const" not in schema:
        return schema | {"type": [kind, "null"]}
    if isinstance(kind, list) and "null" in kind:
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


__all__ = ["FUNCTIONS", "Function", "argument_error", "from_module"]
