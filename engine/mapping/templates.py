"""Jinja text -> Python expressions.

Jinja yields text and nothing but text. A template of plain names and the common filters becomes string concatenation
in the section's own function, which costs a tenth of a render; any other is rendered by Jinja's compiled code, in a
sandbox. A value that is missing is an error in both, never the text "None".
"""

import ast
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from jinja2 import TemplateSyntaxError, meta, nodes
from jinja2.filters import FILTERS
from jinja2.runtime import ChainableUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .errors import suggest
from .rendering import Rendering
from .runtime import NothingFound, template_text

_OF_FILES: Mapping[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Extends: "extends",
    nodes.Import: "import",
    nodes.FromImport: "import",
}
"""What reads a template from a file: a mapping's are texts of its own."""

_NAMING = {
    "map": ("filter", 0),
    "select": ("test", 0),
    "reject": ("test", 0),
    "selectattr": ("test", 1),
    "rejectattr": ("test", 1),
}
"""The filters that are told another filter or a test by its name, and in which argument."""

INLINE_FILTERS = {"lower": "lower", "upper": "upper", "trim": "strip"}
"""Jinja filters without arguments that are a method of str."""


class TemplateError(Exception):
    """A template that cannot be compiled; `offset` and `length` are in the template's text."""

    def __init__(self, message: str, offset: int = 0, length: int | None = None):
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = length


class _Missing(ChainableUndefined):
    """What is not there, nor is anything in it: it can be asked about and given a default, but it is no text and no list."""

    __slots__ = ()

    def __init__(self, hint: str | None = None, obj: Any = None, name: Any = None, exc: Any = NothingFound):
        super().__init__(hint or f"there is no value for {name!r}, which the template needs", obj, name, exc)

    __str__ = __repr__ = __iter__ = __len__ = ChainableUndefined._fail_with_undefined_error

    def __eq__(self, other: Any) -> bool:
        return other is None or super().__eq__(other)

    __hash__ = ChainableUndefined.__hash__


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja over JSON: `a.b` is the key b, whatever methods a dict has, and what is null is as good as missing."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self._found(obj.get(attribute) if isinstance(obj, dict) else super().getattr(obj, attribute), attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return self._found(obj.get(argument) if isinstance(obj, dict) else super().getitem(obj, argument), argument)

    def _found(self, value: Any, name: Any) -> Any:
        return self.undefined(name=name) if value is None else value


def _default(value: Any, default: str = "", boolean: bool = False) -> Any:
    """Jinja's `default`, for which None is as good as undefined."""
    return default if value is None else FILTERS["default"](value, default, boolean)


def _is_none(value: Any) -> bool:
    return value is None or isinstance(value, _Missing)


def _finalize(value: Any) -> str:
    if value is None:
        raise NothingFound("a value of the template is missing")
    return template_text(value, "")


ENVIRONMENT = _Environment(undefined=_Missing, finalize=_finalize, autoescape=False, keep_trailing_newline=True)
ENVIRONMENT.filters |= {"default": _default, "d": _default}
ENVIRONMENT.tests |= {"none": _is_none}
ENVIRONMENT.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": str}  # of what is missing, which tells its name then
ENVIRONMENT.globals.clear()

Selection = Callable[[str], ast.expr]
"""Compiles a JMESPath expression over the names in scope."""


def compile_template(text: str, names: Collection[str], select: Selection, constant: Callable[[Any], str]) -> ast.expr:
    """The Python expression of a template's text.

    `names` are the names in scope, `select` compiles a path such as `request.model`, `constant` gives a value a global
    name in the generated code. Raises TemplateError.
    """
    try:
        template = ENVIRONMENT.parse(text)
        _check_names(template, text, names)
    except TemplateSyntaxError as error:
        raise TemplateError(f"cannot read the template: {error.message}") from None
    except RecursionError:
        raise TemplateError("cannot read the template: it is nested too deeply") from None
    pieces = [piece for output in template.body for piece in (output.nodes if isinstance(output, nodes.Output) else [output])]
    inlined = [_inline(piece, select) for piece in pieces]
    if all(inlined):
        return ast.JoinedStr([piece for piece in inlined if piece])
    return _rendered(text, template, select, constant)


def _check_names(template: nodes.Template, text: str, names: Collection[str]) -> None:
    for kind, tag in _OF_FILES.items():
        if template.find(kind):
            said = f"{tag} needs another template, and there is none; 'parts' of a mapping are for what is used twice"
            raise _at(tag, text, said)
    # Filters and tests first: jinja's own search for names stumbles over one that it does not know.
    for used in template.find_all(nodes.Filter):
        _check_word("filter", used.name, text, ENVIRONMENT.filters)
        _check_naming(used, text)
    for asked in template.find_all(nodes.Test):
        _check_word("test", asked.name, text, ENVIRONMENT.tests)
    # To Jinja `self` is its own, and means the blocks of a template.
    own = {name.name for name in template.find_all(nodes.Name)} & {"self"}
    for name in sorted(meta.find_undeclared_variables(template) | own):
        _check_word("name", name, text, names)


def _check_naming(used: nodes.Filter, text: str) -> None:
    kind, index = _NAMING.get(used.name, ("filter", len(used.args)))
    for argument in used.args[index : index + 1]:
        if isinstance(argument, nodes.Const):
            _check_word(kind, str(argument.value), text, ENVIRONMENT.filters if kind == "filter" else ENVIRONMENT.tests)


def _check_word(kind: str, word: str, text: str, known: Collection[str]) -> None:
    if word not in known:
        raise _at(word, text, f"unknown {kind} {word!r}{suggest(word, known)}")


def _at(word: str, text: str, message: str) -> TemplateError:
    found = re.search(rf"\b{re.escape(word)}\b", text)
    return TemplateError(message, found.start() if found else 0, len(word))


def _inline(piece: nodes.Node, select: Selection) -> ast.expr | None:
    """A piece of a plain template as Python; None where only Jinja will do."""
    if isinstance(piece, nodes.TemplateData):
        return ast.Constant(piece.data)
    method = None
    if isinstance(piece, nodes.Filter) and piece.name in INLINE_FILTERS and not piece.args and not piece.kwargs and piece.node:
        method, piece = INLINE_FILTERS[piece.name], piece.node
    path = _path(piece)
    if path is None:
        return None
    value: ast.expr = ast.Call(ast.Name("_text", ast.Load()), [select(path), ast.Constant(path)], [])
    if method:
        value = ast.Call(ast.Attribute(value, method, ast.Load()), [], [])
    return ast.FormattedValue(value, -1, None)


def _path(node: nodes.Node) -> str | None:
    """`request.metadata["user id"]` as a JMESPath path; None where the node is no plain path."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        base, step = _path(node.node), f".{node.attr}"
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        key = node.arg.value
        base, step = _path(node.node), f"[{key}]" if isinstance(key, int) else f".{json.dumps(key)}"
    else:
        return None
    return None if base is None else base + step


def _rendered(text: str, template: nodes.Template, select: Selection, constant: Callable[[Any], str]) -> ast.expr:
    rendering = Rendering(text)
    try:
        rendering.render  # noqa: B018 - now, since what is wrong with it is told now
    except TemplateSyntaxError as error:
        raise TemplateError(f"cannot read the template: {error.message}") from None
    used: Mapping[str, ast.expr] = {name: select(name) for name in sorted(meta.find_undeclared_variables(template))}
    return ast.Call(ast.Name(constant(rendering), ast.Load()), [], [ast.keyword(name, value) for name, value in used.items()])
