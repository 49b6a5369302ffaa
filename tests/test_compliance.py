"""JMESPath's own compliance suite, each case through our compiler."""

import ast
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from engine.mapping import expressions
from engine.mapping.helpers import NAMES
from engine.mapping.library import FUNCTIONS

SUITE = Path(__file__).parents[2] / "shared" / "jmespath-compliance"


def search(expression: str, document: Any) -> Any:
    """What the expression, compiled, makes of the document."""
    numbers = count(1)
    made = expressions.compile_selector(expression, functions=FUNCTIONS, fresh=lambda: f"found__{next(numbers)}", current="given")
    given = ast.arguments([], [ast.arg("given")], None, [], [], None, [])
    tree = ast.fix_missing_locations(ast.Expression(ast.Lambda(given, made.expression)))
    space = {**NAMES, **{expressions.variable_of(name): one.implementation for name, one in FUNCTIONS.items()}}
    return eval(compile(tree, "<test>", "eval"), space)(document)


def cases() -> Iterator[Any]:
    for file in sorted(SUITE.glob("*.json")):
        for group in json.loads(file.read_text()):
            for case in group["cases"]:
                yield pytest.param(group["given"], case, id=f"{file.stem}-{case['expression'][:60]}")


@pytest.mark.skipif(not SUITE.is_dir(), reason="JMESPath's compliance suite is not beside the project")
@pytest.mark.parametrize(("given", "case"), list(cases()))
def test_compliance(given: Any, case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises((expressions.SelectorError, ValueError, TypeError)):
            search(case["expression"], given)
    else:
        found = search(case["expression"], given)
        if "result" in case:
            assert found == case["result"]
