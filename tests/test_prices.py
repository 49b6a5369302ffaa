"""What the mappings tell of windows and prices fits together, wherever a model is served."""

import re

import pytest

from engine import BUILT_IN
from tests.every_mapping import mapping

OPENAIS_OWN = ("openai", "openai-chat", "azure", "azure-responses")


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN.glob("*.yaml")))
def test_to_write_to_the_cache_has_a_price_of_its_own(name: str) -> None:
    """At Anthropic and OpenAI it is a quarter above other input, at whose price it would be counted unsaid."""
    known = mapping(name).models.get("known") or {}
    told = {model: prices.get("cache_write_price") for model, prices in known.items() if re.search(r"claude|gpt-\d", model)}
    assert told == {model: pytest.approx(known[model]["input_price"] * 1.25) for model in told}


@pytest.mark.parametrize("name", OPENAIS_OWN)
def test_a_model_of_OpenAIs_has_one_window(name: str) -> None:
    windows = {model: known["context"] for model, known in mapping(name).models["known"].items()}
    assert windows == dict.fromkeys(windows, 1_050_000)
