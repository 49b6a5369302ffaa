"""docs/edge-cases.md names every edge case once, and for each the cases and tests that show it.

After a new case, `UPDATE_CASES=1 pytest tests/test_edge_case_table.py` writes them into the table.
"""

import re
from pathlib import Path

import pytest

from tests.test_docs import is_current

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "edge-cases.md"
HOW_MANY = {"S": 42, "R": 32, "T": 14, "G": 13, "E": 10}
ALL = [f"{group}{number:02}" for group, count in HOW_MANY.items() for number in range(1, count + 1)]

_ROW = re.compile(r"^\| ([A-Z]\d\d) \| (.+?) \| (.*?) ?\|$", re.MULTILINE)
_TEST = re.compile(r"^(?:async )?def (test_(?:[A-Z]\d\d_)+\w+)", re.MULTILINE)


def shown_by() -> dict[str, list[str]]:
    """The ids, and the cases and tests that have them in their names."""
    shown: dict[str, list[str]] = {id: [] for id in ALL}
    for path in sorted((TESTS / "cases").glob("*/*.yaml")):
        id, _, behaviour = path.stem.partition("_")
        shown[id].append(f"{path.parent.name}: {behaviour.replace('_', ' ')}")
    for path in sorted(TESTS.glob("test_*.py")):
        for test in _TEST.findall(path.read_text()):
            for id in re.findall(r"(?<=_)[A-Z]\d\d(?=_)", test):
                shown[id].append(f"`{path.name}`")
    return {id: list(dict.fromkeys(names)) for id, names in shown.items()}


def test_every_edge_case_is_listed_once() -> None:
    assert [id for id, _, _ in _ROW.findall(PAGE.read_text())] == ALL


def test_the_table_of_edge_cases_is_current() -> None:
    shown = shown_by()

    def current(row: re.Match[str]) -> str:
        id, what, told = row.groups()
        return f"| {id} | {what} | {'; '.join(shown[id]) or told} |"

    assert is_current(PAGE, _ROW.sub(current, PAGE.read_text()))


@pytest.mark.parametrize("id", ALL)
def test_every_edge_case_is_shown_or_does_not_concern_us(id: str) -> None:
    [told] = [told for listed, _, told in _ROW.findall(PAGE.read_text()) if listed == id]
    assert shown_by()[id] or told.startswith("not here: ")
