"""JMESPath's own compliance suite, each case through our compiler."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.mapping.functions import FunctionError
from engine.mapping.selectors import SelectorError

from .selecting import python, selection

SUITE = Path(__file__).parents[2] / "shared" / "jmespath-compliance"


def cases() -> Iterator[Any]:
    for file in sorted(SUITE.glob("*.json")):
        for group in json.loads(file.read_text()):
            for case in group["cases"]:
                yield pytest.param(group["given"], case, id=f"{file.stem}-{case['expression'][:60]}")


@pytest.mark.skipif(not SUITE.is_dir(), reason="JMESPath's compliance suite is not beside the project")
@pytest.mark.parametrize(("document", "case"), list(cases()))
def test_compliance(document: Any, case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises((SelectorError, FunctionError)):
            selection(case["expression"])(document)
    else:
        found = selection(case["expression"])(document)
        assert "bench" in case or found == case["result"], python(case["expression"])
