"""Which provider and model a request goes to."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from engine.gateway.providers import Provider
from engine.wire.errors import ApiError

CLAUDE_PREFIX = "for-claude-code/"
"""Claude Code lists only models whose id holds "claude"; ids that begin with "claude-" it takes for its own.
https://code.claude.com/docs/en/llm-gateway-protocol"""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes, and why: the reason is in a header and in the log."""

    provider: Provider
    model: str
    reason: str


class Router:
    """Rules in order, the first match wins: the model names a provider; the default route; the first provider."""

    def __init__(self, providers: Mapping[str, Provider], default: str | None):
        self.providers = providers
        self.default = default

    def route(self, model: str) -> Route:
        """The way of a request for this model. Raises ApiError 404 where there is none."""
        wanted = plain_name(model)
        if named := self._named(wanted, "model"):
            return named
        if self.default:
            if route := self._named(self.default, "default"):
                return route
            raise self._nowhere(self.default)
        for provider in self.providers.values():
            if provider.main:
                return Route(provider, provider.main, "first provider")
        raise self._nowhere(wanted)

    def _named(self, wanted: str, reason: str) -> Route | None:
        """`provider/model` or `provider,model` of a known provider; model names may hold slashes themselves."""
        for separator in ("/", ","):
            name, found, model = wanted.partition(separator)
            if found and name in self.providers and model:
                provider = self.providers[name]
                if not provider.serves(model):
                    raise self._unknown(provider, model)
                return Route(provider, model, reason)
        return None

    def _unknown(self, provider: Provider, model: str) -> ApiError:
        known = provider.known_models()
        near = get_close_matches(model, known, n=1) or known
        served = ", ".join(f"{provider.name}/{name}" for name in near)
        return ApiError(
            404, "not_found_error", f"model: {provider.name}/{model}. There is no such model; {provider.name} serves {served}"
        )

    def _nowhere(self, model: str) -> ApiError:
        if not self.providers:
            return ApiError(
                404, "not_found_error", "no provider is configured: set a key such as OPENAI_API_KEY, or start with --local"
            )
        return ApiError(
            404, "not_found_error", f"model: {model}. Name one as provider/model; providers: {', '.join(self.providers)}"
        )

    def models(self) -> list[tuple[Provider, str]]:
        """Every model that is known to be there."""
        return [(provider, model) for provider in self.providers.values() for model in provider.known_models()]


def plain_name(model: str) -> str:
    """The model's name without what only concerns the client: the picker's prefix, and `[1m]`, which asks for a window."""
    name = model.removeprefix(CLAUDE_PREFIX)
    while name.lower().endswith("[1m]"):
        name = name[:-4]
    return name.strip()
