"""Expressions, compiled and run."""

import ast
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from engine.mapping.compiler import in_too_many_loops
from engine.mapping.functions import FUNCTIONS
from engine.mapping.namespaces import namespace
from engine.mapping.selectors import Selector, compile_selector, fields_of


def compiled(text: str, names: str = "", condition: bool = False, texts: str = "") -> Selector:
    """The expression over names in scope, some of them texts, or else over one value, whose variable is `given`."""
    numbers = count(1)
    return compile_selector(
        text,
        functions=FUNCTIONS,
        fresh=lambda: f"_{next(numbers)}",
        names={name: name for name in names.split()} or None,
        texts=texts.split(),
        current=None if names else "given",
        condition=condition,
    )


def python(text: str, names: str = "", condition: bool = False, texts: str = "") -> str:
    """The Python that the expression becomes."""
    return ast.unparse(ast.fix_missing_locations(compiled(text, names, condition, texts).expression))


def selection(text: str, names: str = "", condition: bool = False, beside: str = "") -> Callable[..., Any]:
    """The expression as a function of its names or of the value that it is about, and of what is passed beside these."""
    made = compiled(text, names, condition)
    parameters = [ast.arg(name) for name in [*(names.split() or ["given"]), *beside.split()]]
    arguments = ast.arguments([], parameters, None, [], [], None, [])
    twins = [ast.parse(f"{fields_of(name)} = {name} if type({name}) is dict else {{}}").body[0] for name in made.fields]
    function = ast.FunctionDef("selection", arguments, [*twins, ast.Return(made.expression)], [], None, None)
    if sys.version_info >= (3, 12) and in_too_many_loops(function):
        pytest.skip("later Pythons crash on so many loops within loops, which no mapping may have (mapping/compiler.py)")
    space = namespace(FUNCTIONS)
    exec(compile(ast.fix_missing_locations(ast.Module([function], [])), "<test>", "exec"), space)
    found: Callable[..., Any] = space["selection"]
    return found
