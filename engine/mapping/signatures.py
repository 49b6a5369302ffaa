"""What a function of the language takes and gives, and how one comes to be known.

A function's annotations are its signature; a mapping is held to it when it is loaded, as far as can be known by then,
and else when it runs. The example in each docstring is run as a test.
"""

import collections.abc
import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from itertools import product
from types import FunctionType, ModuleType, NoneType, UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

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

ARTICLED = {kind: f"a {kind}" for kind in KINDS.values()}
ARTICLED |= {"object": "an object", "expression": "an expression (&…)", "null": "null"}


class FunctionError(TypeError):
    """A function was given what it does not take; the message is for the author of the mapping."""


class Parameter(NamedTuple):
    """What an argument may be; where `items` are given, one of them holds the kinds of all items of a list.

    `reads` raises FunctionError where a value of the right kind says nothing, as a text that is no regular expression.
    """

    kinds: Kinds
    items: tuple[Kinds, ...] = ()
    reads: Callable[[Any], Any] | None = None

    def accepts(self, value: Any) -> bool:
        kind = KINDS[type(value)]
        if kind != "list" or not self.items:
            return kind in self.kinds
        found = kinds_within(value)
        return any(found <= items for items in self.items)

    def fits(self, kinds: Kinds) -> bool | None:
        """Whether a value of one of these kinds is accepted; None where that depends on the value."""
        if not kinds & self.kinds:
            return False
        return True if kinds <= self.kinds and not (self.items and "list" in kinds) else None

    def describe(self, value: Any) -> str:
        """What a value is, as far as it matters here: "a list of numbers and strings"."""
        kind = KINDS[type(value)]
        return f"a list of {plural(kinds_within(value), ' and ')}" if kind == "list" and self.items else ARTICLED[kind]

    def __str__(self) -> str:
        """What it takes: "a string, list or object"."""
        first, *rest = _sorted(self.kinds)
        told = ", ".join([ARTICLED[first], *rest[:-1]]) + "".join(f" or {last}" for last in rest[-1:])
        return told + " of " + " or of ".join(plural(items, " or ") for items in self.items) if self.items else told


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
    reads = None
    if get_origin(annotation) is Annotated:
        annotation, reads = get_args(annotation)
    items = [_kinds(item) for option in _options(annotation) if get_origin(option) is list for item in get_args(option)]
    return Parameter(_kinds(annotation), tuple(kinds for kinds in items if kinds != JSON), reads)


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


def kinds_within(items: Sequence[Any]) -> set[str]:
    return {KINDS[type(item)] for item in items}


def _sorted(kinds: Collection[str]) -> list[str]:
    return [kind for kind in dict.fromkeys(KINDS.values()) if kind in kinds]


def plural(kinds: Collection[str], between: str) -> str:
    return between.join("null" if kind == "null" else f"{kind}s" for kind in _sorted(kinds))


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"
