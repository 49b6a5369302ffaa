"""What there is, in the shapes of `/v1/models` and `/providers`; never a key."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from engine.gateway import status
from engine.gateway.names import CLAUDE_PREFIX
from engine.gateway.providers import Provider
from engine.gateway.router import Router
from engine.wire.errors import ApiError
from engine.wire.facts import Facts

EPOCH = "1970-01-01T00:00:00Z"
"""Mappings do not say when a model came out, and Anthropic's shape wants a date."""


def models(router: Router) -> dict[str, Any]:
    """All of them, in the shape of Anthropic's list. https://docs.claude.com/en/api/models-list"""
    data = [_model(provider, name) for provider, name in router.models()]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def model(router: Router, wanted: str) -> dict[str, Any]:
    """One of them, named `provider/model`. Raises ApiError 404 where it is not there."""
    for provider, name in router.models():
        if wanted == f"{provider.name}/{name}":
            return _model(provider, name)
    raise ApiError(404, "not_found_error", f"model: {wanted}")


def _model(provider: Provider, name: str) -> dict[str, Any]:
    known = provider.facts_of(name)
    return {
        "type": "model",
        "id": f"{CLAUDE_PREFIX}{provider.name}/{name}",
        "display_name": f"{provider.name}/{name}",
        "created_at": EPOCH,
        "max_input_tokens": known.get("context"),
        "max_tokens": known.get("output"),
    }


def providers(of: Mapping[str, Provider]) -> list[dict[str, Any]]:
    """What can be called, what it can do, and how it is."""
    return [
        {
            "name": provider.name,
            "mapping": provider.mapping.name,
            "main": provider.main,
            "models": list(provider.known_models()),
            "capabilities": capabilities(provider.mapping.facts_of(provider.main or "")),
            "health": status.health(provider),
        }
        for provider in of.values()
    ]


def capabilities(facts: Facts) -> dict[str, bool]:
    return {word.name: getattr(facts, word.name) for word in fields(Facts) if word.metadata["group"] == "capabilities"}
