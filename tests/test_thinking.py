"""engine/wire/thinking.py: how hard to think."""

from typing import Any

import pytest

from engine.wire.thinking import EFFORTS, canonical, is_on, unasked

ADAPTIVE = {"type": "adaptive"}


def effort(thinking: Any, output_config: Any = None, *efforts: str, messages: Any = ()) -> str | None:
    request = {"thinking": thinking, "output_config": output_config, "messages": list(messages)}
    told: str | None = canonical(request, efforts).get("effort")
    return told


@pytest.mark.parametrize(
    ("thinking", "output_config", "expected"),
    [
        (None, None, "none"),
        (ADAPTIVE, None, None),
        (ADAPTIVE, {"effort": "xhigh"}, "xhigh"),
        (None, {"effort": "low"}, "low"),
        (None, {"effort": None}, "none"),
        ({"type": "enabled", "budget_tokens": 1024}, None, "low"),
        ({"type": "enabled", "budget_tokens": 4095}, {}, "low"),
        ({"type": "enabled", "budget_tokens": 4096}, {}, "medium"),
        ({"type": "enabled", "budget_tokens": 12288}, {}, "high"),
        ({"type": "enabled", "budget_tokens": 24576}, {}, "xhigh"),
        ({"type": "enabled", "budget_tokens": 49152}, {}, "max"),
        ({"type": "enabled", "budget_tokens": 1024}, {"effort": "high"}, "high"),
        ({"type": "enabled"}, {}, None),
    ],
)
def test_what_is_asked(thinking: Any, output_config: Any, expected: str | None) -> None:
    assert effort(thinking, output_config) == expected


def test_T04_disabled_wins_over_an_effort_beside_it() -> None:
    assert effort({"type": "disabled"}, {"effort": "high"}) == "none"


def test_T05_who_asks_for_no_thinking_gets_the_least_there_is() -> None:
    assert effort(None, None, "none", "low", "high") == "none"
    assert effort(None, None, "minimal", "high") == "minimal"
    assert effort({"type": "disabled"}, None, "low", "high") == "low"


@pytest.mark.parametrize(
    ("asked", "known", "expected"),
    [
        ("medium", ("low", "high", "max"), "high"),
        ("xhigh", ("low", "high", "max"), "max"),
        ("max", ("none", "low", "medium", "high"), "high"),
        ("low", ("none", "high"), "high"),
        ("high", ("low", "medium", "xhigh"), "xhigh"),
        ("a word of tomorrow", ("low", "high"), "high"),
        ("a word of tomorrow", (), None),
    ],
)
def test_T13_an_effort_that_is_not_known_becomes_the_next_one_up(
    asked: str, known: tuple[str, ...], expected: str | None
) -> None:
    assert effort(ADAPTIVE, {"effort": asked}, *known) == expected


def test_the_last_word_on_effort_counts() -> None:
    said = [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "Go on.", "output_config": {"effort": "low"}},
        {"role": "system", "content": "Harder.", "output_config": {"effort": "max"}},
        {"role": "system", "content": "A reminder."},
    ]
    assert effort(ADAPTIVE, {"effort": "high"}, messages=said) == "max"


@pytest.mark.parametrize("asked", EFFORTS)
def test_a_model_that_cannot_but_think_thinks(asked: str) -> None:
    request = {"thinking": ADAPTIVE, "output_config": {"effort": asked}, "messages": []}
    assert is_on(canonical(request, ("low", "high")))
    assert is_on(canonical(request, ())) == (asked != "none")


def test_where_nothing_is_said_of_effort_the_kind_of_thinking_tells() -> None:
    assert is_on(ADAPTIVE)
    assert not is_on({"type": "disabled"})


@pytest.mark.parametrize(
    ("thinking", "known", "tokens"),
    [
        ({"type": "disabled"}, ("minimal", "high"), 4096),
        ({"type": "disabled"}, ("low", "high"), 4096),
        ({"type": "disabled"}, ("medium", "high"), 12288),
        ({"type": "disabled"}, ("high",), 24576),
        ({"type": "disabled"}, ("max",), 49152),
        (None, ("low",), 4096),
        (None, ("none", "low"), 0),
        (None, (), 0),
        (ADAPTIVE, ("low",), 0),
        ({"type": "enabled", "budget_tokens": 1024}, ("low",), 0),
    ],
)
def test_T12_what_a_model_thinks_though_it_was_asked_not_to(thinking: Any, known: tuple[str, ...], tokens: int) -> None:
    request = {"thinking": thinking, "messages": []}
    assert unasked(request, canonical(request, known)) == tokens
