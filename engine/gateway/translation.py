"""A request on its way to a provider, in whichever of the two ways its mapping takes it."""

from collections.abc import Mapping as Headers
from typing import Any

from engine.gateway.exchange import Exchange
from engine.gateway.relay import Relay
from engine.mapping.mapping import Mapping

Translation = Exchange | Relay


def translate(
    provider: str,
    mapping: Mapping,
    model: str,
    request: dict[str, Any],
    data: bytes,
    *,
    request_id: str,
    key: str | None = None,
    client: Headers[str, str] | None = None,
) -> Translation:
    """The client's request, of which `data` are the bytes, on its way. Raises ApiError and TranslationError."""
    if mapping.native:
        return Relay(provider, mapping, model, request, data, key=key, client=client)
    return Exchange(provider, mapping, model, request, request_id=request_id, size=len(data), key=key, client=client)
