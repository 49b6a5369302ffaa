"""The `routes` of a configuration file."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

from engine.gateway import catalogue
from engine.gateway.config_values import Useless, Values
from engine.gateway.names import SEPARATORS, Named, covers, is_glob, named, plain_name
from engine.gateway.settings import RouteConfig
from engine.mapping.document import Fields, Scalar, Value
from engine.mapping.errors import Place, Problems, suggest

Routes = tuple[dict[str, RouteConfig], dict[str, RouteConfig]]
"""Those with a name of their own, and those by the model that the client asks for."""

_NO_PARAMETERS = {"model": "`to` says which model it is", "stream": "the client says whether it wants a stream"}


class RouteReader(Values):
    """Reads routes to the providers that are known; `mappings` are those that could be."""

    def __init__(
        self, environment: Mapping[str, str], problems: Problems, providers: Collection[str], mappings: Mapping[str, Path]
    ):
        super().__init__(environment, problems)
        self.providers = providers
        self.mappings = mappings
        self.everything: Place | None = None  # where a route stands that takes every model

    def routes(self, value: Value) -> Routes:
        simple = dict.fromkeys(("default", "background", "think", "webSearch"), self.route)
        told = self.object(value, {**simple, "longContext": self.long_route, "models": self.models})
        models = told.pop("models", {})
        if told and self.everything:
            self.problems.add(self.everything, f"never reached behind this: {', '.join(told)}; `default` is for all other models")
        return told, models

    def models(self, value: Value) -> dict[str, RouteConfig]:
        entries = self.fields(value, "'models' is an object: the names that the client asks for, and where each goes").entries
        self.everything = entries["*"].key if "*" in entries else None
        before: list[str] = []
        for key, entry in entries.items():
            self._check_name(plain_name(key), before, entry.key)
            before.append(plain_name(key))
        return {plain_name(key): made for key, entry in entries.items() for made in self.usable(self.route, entry.value)}

    def _check_name(self, name: str, before: list[str], place: Place) -> None:
        """A model's name or glob that is looked for behind others."""
        if name in before:
            self.problems.add(place, f"the route of {name!r} is written twice: `[1m]` is no part of a name")
        elif found := named(name, self.providers):
            self.problems.add(place, f"never reached: who asks for {name} gets the model {found.model!r} of {found.provider!r}")
        elif is_glob(name) and (wider := next((one for one in before if is_glob(one) and covers(one, name)), None)):
            self.problems.add(place, f"never reached: {wider!r} stands before it and matches all that it does")

    # One route

    def route(self, value: Value) -> RouteConfig:
        return self._route(value, {"above": self.misplaced})

    def long_route(self, value: Value) -> RouteConfig:
        return self._route(value, {"above": self.whole_number})

    def misplaced(self, value: Value) -> NoReturn:
        self.refuse(value.place, "only longContext has a limit: `above` says from how many tokens on it is taken")

    def _route(self, value: Value, more: Mapping[str, Any]) -> RouteConfig:
        if isinstance(value, Scalar):
            return RouteConfig(self.target(value))
        told = self.object(value, {"to": self.target, "parameters": self.parameters, "fallbacks": self.fallbacks, **more})
        if isinstance(value, Fields) and "to" not in value.entries:
            self.refuse(value.place, "a route says where to: `to: provider/model`")
        fallbacks = told.pop("fallbacks", [])
        tried = [told.get("to"), *(fallback for _, fallback in fallbacks)]
        for number, (place, fallback) in enumerate(fallbacks, 1):
            if fallback in tried[:number]:
                self.problems.add(place, f"{fallback} is tried before this already: a fallback is another model")
        if "to" not in told:
            raise Useless
        return RouteConfig(**told, fallbacks=tuple(tried[1:]))

    def fallbacks(self, value: Value) -> list[tuple[Place, Named]]:
        return self.list_of(self.target, value, "'fallbacks' is a list: [provider/model, …]")

    def parameters(self, value: Value) -> dict[str, Any]:
        entries = self.fields(value, "'parameters' is an object: it is merged into the body that goes to the provider").entries
        for key in entries.keys() & _NO_PARAMETERS.keys():
            self.problems.add(entries[key].key, f"{key!r} is no parameter: {_NO_PARAMETERS[key]}")
        made: dict[str, Any] = self.json(value)
        return made

    def target(self, value: Value) -> Named:
        name = plain_name(self.text(value))
        return named(name, self.providers) or self.refuse(value.place, self._no_target(name))

    def _no_target(self, name: str) -> str:
        """What is wrong with a name that no request can go to."""
        provider = re.split(f"[{SEPARATORS}]", name)[0]
        known = f"; providers: {', '.join(sorted(self.providers))}"
        if provider in self.providers:
            return f"{provider!r} is a provider; a route goes to one of its models: {provider}/MODEL"
        if provider == name:
            return f"{name!r} names no provider: a route goes to provider/model{known}"
        if provider in self.mappings:
            needed = catalogue.variables(self.mappings[provider])
            missing = [f"${variable}" for variable in needed if not self.environment.get(variable)]
            wanted = f"set {', '.join(missing)}, or name it" if missing else "name it"
            return f"the provider {provider!r} is not configured: {wanted} under `providers`"
        return f"there is no provider {provider!r}{suggest(provider, [*self.providers, *self.mappings]) or known}"
