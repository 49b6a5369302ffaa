"""What ccproxy may cost, in instructions: as multiples of what the same takes by hand.

`ratios.json` holds what was counted when it was last looked at; tests/test_budget.py fails where that has grown.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench import instructions, journeys
from engine import load_mapping
from engine.commands import timing

FILE = Path(__file__).with_name("ratios.json")

MAPPINGS = ("openai-chat", "openai", "gemini", "anthropic-compatible")
"""One of each format."""

SECTIONS = ("request", "response", "stream", "error")

BY_HAND = "by hand"


def pieces() -> dict[str, Callable[[int], None]]:
    """For bench/instructions.py: whole requests, and the sections of mappings; beside each what it is compared with."""
    by_hand = [partial(timing.by_hand, chunk) for chunk in timing.chat_chunks()]
    found: dict[str, Callable[[int], None]] = {_beside("sections"): partial(_repeat, by_hand)}
    for name, (own, floors) in journeys.pairs().items():
        found |= {name: own, _beside(name): floors}
    for mapping in MAPPINGS:
        calls = timing.sample_calls(load_mapping(mapping))
        found |= {f"{mapping}: {section}": partial(_repeat, calls[section]) for section in SECTIONS if section in calls}
    return found


def ratios() -> dict[str, float]:
    """Counted now: whole requests by the floor's, sections by the same chunks of a stream translated by hand."""
    counted = instructions.count(__name__)
    return {
        name: round(count / counted.get(_beside(name), counted[_beside("sections")]), 3)
        for name, count in counted.items()
        if not name.endswith(BY_HAND)
    }


def kept() -> dict[str, float]:
    told: dict[str, float] = json.loads(FILE.read_text())
    return told


def keep(told: dict[str, float]) -> None:
    FILE.write_text(json.dumps(told, indent=2) + "\n")


def _beside(name: str) -> str:
    return f"{name}, {BY_HAND}"


def _repeat(calls: list[Callable[[], Any]], times: int) -> None:
    for _ in range(times):
        for call in calls:
            call()
