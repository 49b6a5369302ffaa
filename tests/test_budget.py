"""What requests and sections cost does not grow unseen: their instructions are counted, which no other work changes."""

import os
import sys

import pytest

from bench import budget, instructions

DEARER = 1.2
"""From here on it has become dearer; what has become cheaper by as much is to be kept, or it may be lost again."""


@pytest.mark.skipif(not instructions.can_be_counted(), reason="valgrind, which counts instructions, is not installed")
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="bench/ratios.json was counted with Python 3.11")
def test_nothing_has_become_dearer() -> None:
    now = budget.ratios()
    if os.environ.get("UPDATE_CASES"):
        budget.keep(now)
    kept = budget.kept()
    changed = {name: (kept.get(name), ratio) for name, ratio in now.items() if not _is_like(ratio, kept.get(name, 0.0))}
    assert now.keys() == kept.keys()
    assert not changed, f"these cost more or less than was kept; where that is meant, `make update` keeps it: {changed}"


def _is_like(ratio: float, kept: float) -> bool:
    return kept / DEARER <= ratio <= kept * DEARER
