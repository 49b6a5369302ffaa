"""Which provider and model a request goes to, and why."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from engine.gateway.names import Named, glob, is_glob, named, plain_name
from engine.gateway.providers import Provider, ProviderError
from engine.gateway.settings import Config, RouteConfig
from engine.wire import thinking, tokens, tools
from engine.wire.errors import ApiError

Request = dict[str, Any]

HARD = ("xhigh", "max")
"""Efforts that ask for the `think` route."""


class Target(NamedTuple):
    """A provider's model, and what is merged into the body that goes there."""

    provider: Provider
    model: str
    parameters: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.model}"


class Route(NamedTuple):
    """Where a request goes, its fallbacks behind it, and why: the reason is in a header and in the log."""

    targets: tuple[Target, ...]
    reason: str


class Asked(NamedTuple):
    """A client's request as the rules look at it: its body, the protocol's headers, and how many bytes it has."""

    request: Request
    headers: Mapping[str, str]
    size: int

    def is_longer_than(self, limit: int) -> bool:
        # No byte is more than a token, and most requests are short: those are not counted.
        return self.size > limit and tokens.is_more_than(limit, self.request)

    def is_background(self) -> bool:
        """Whether it is work that the client does beside the conversation, such as a title for it."""
        return (
            "haiku" in self.request["model"].lower()
            or self.headers.get("x-claude-code-request-class") == "auxiliary"
            or self._is_side_call()
        )

    def _is_side_call(self) -> bool:
        """A session's title, or a prompt hook: no tool, no thinking, and an answer in JSON. A subagent has its own work."""
        form = (self.request.get("output_config") or {}).get("format") or {}
        return (
            self.request.get("tools") == []
            and form.get("type") == "json_schema"
            and not self.request.get("thinking")
            and "x-claude-code-agent-id" not in self.headers
        )

    def is_hard(self) -> bool:
        """Whether thinking is asked for as old clients do it, or adaptively with one of the highest efforts."""
        kind = (self.request.get("thinking") or {}).get("type")
        return kind == "enabled" or (kind == "adaptive" and thinking.asked(self.request) in HARD)


class Router:
    """Rules in order, of which the first that matches wins; a route that is not configured is no match."""

    def __init__(self, providers: Mapping[str, Provider], config: Config):
        """Raises ProviderError where a route leads to a provider that is not there."""
        self.providers = providers
        self.config = config
        self._rules = {name: self._configured(name, route) for name, route in config.routes.items()}
        by_model = {name: self._configured(f"models.{name}", route) for name, route in config.models.items()}
        self._exact = {name: route for name, route in by_model.items() if not is_glob(name)}
        self.routes = self._rules | by_model
        self._globs = [(glob(name), route) for name, route in by_model.items() if is_glob(name)]

    def route(self, asked: Asked) -> Route:
        """The way of a request. Raises ApiError 404 where there is none."""
        wanted = plain_name(asked.request["model"])
        route = self._direct(wanted) or self._by_model(wanted) or self._by_rule(asked) or self._first()
        if route is None:
            raise self._nowhere(wanted)
        self._check(route.targets[0])
        return route

    def models(self) -> list[tuple[Provider, str]]:
        """Every model that is known to be there."""
        return [(provider, model) for provider in self.providers.values() for model in provider.known_models()]

    # The rules

    def _direct(self, wanted: str) -> Route | None:
        """The client itself names a provider and a model of it."""
        found = named(wanted, self.providers)
        return Route((self._target(found),), "model") if found else None

    def _by_model(self, wanted: str) -> Route | None:
        return self._exact.get(wanted) or next((route for names, route in self._globs if names.fullmatch(wanted)), None)

    def _by_rule(self, asked: Asked) -> Route | None:
        for name, is_match in _RULES.items():
            if name in self._rules and is_match(asked, self.config):
                return self._rules[name]
        return None

    def _first(self) -> Route | None:
        """The first provider's main model."""
        return next((Route((Target(one, one.main),), "first provider") for one in self.providers.values() if one.main), None)

    # What they lead to

    def _configured(self, name: str, route: RouteConfig) -> Route:
        for to in (route.to, *route.fallbacks):
            if to.provider not in self.providers:
                raise ProviderError(f"routes.{name} goes to {to}, and {to.provider!r} is not served")
        fallbacks = map(self._target, route.fallbacks)
        return Route((self._target(route.to, route.parameters), *fallbacks), name)

    def _target(self, to: Named, parameters: Mapping[str, Any] | None = None) -> Target:
        return Target(self.providers[to.provider], to.model, parameters or {})

    def _check(self, target: Target) -> None:
        """Raises ApiError where a provider says that it has no such model."""
        provider, model = target.provider, target.model
        if provider.serves(model):
            return
        from difflib import get_close_matches

        known = provider.known_models()
        near = get_close_matches(model, known, n=1) or known
        served = ", ".join(f"{provider.name}/{name}" for name in near)
        raise ApiError(
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


_RULES: Mapping[str, Callable[[Asked, Config], bool]] = {
    "webSearch": lambda asked, config: tools.asks_to_search(asked.request),
    "longContext": lambda asked, config: asked.is_longer_than(config.routes["longContext"].above),
    "background": lambda asked, config: asked.is_background(),
    "think": lambda asked, config: asked.is_hard(),
    "default": lambda asked, config: True,
}
