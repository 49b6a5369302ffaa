"""The providers that can be called: each a mapping, an address, keys and connections of its own."""

import os
from collections.abc import Callable
from collections.abc import Mapping as Environment
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.gateway import catalogue
from engine.gateway.breakers import Breakers
from engine.gateway.compiled import Compiled
from engine.gateway.keys import Keys
from engine.gateway.settings import Config, ProviderConfig, key_trouble, without_key
from engine.gateway.upstream import Upstream
from engine.mapping.addresses import VARIABLE
from engine.mapping.errors import MappingError, Problems
from engine.mapping.frozen import thaw
from engine.mapping.mapping import Mapping

Load = Callable[[str], Mapping]


@dataclass(slots=True)
class Provider:
    """A provider ready to be called. `models` are the configuration's, `at_home` what the mapping says of its address's own."""

    name: str
    mapping: Mapping
    base_url: str
    keys: Keys = field(repr=False)
    models: tuple[str, ...]
    at_home: dict[str, Any] = field(repr=False)
    breakers: Breakers
    upstream: Upstream = field(repr=False)

    @property
    def main(self) -> str | None:
        """The model of a request that names none of this provider's."""
        return self.models[0] if self.models else self.at_home.get("main")

    def known_models(self) -> tuple[str, ...]:
        """What `/v1/models` lists: the configuration's list, else the mapping's."""
        return self.models or tuple(self.at_home.get("known") or ())

    def facts_of(self, model: str) -> dict[str, Any]:
        """What the mapping says of a model: limits and prices (mapping/words.py, MODEL_FACTS)."""
        return (self.at_home.get("known") or {}).get(model) or {}

    def serves(self, model: str) -> bool:
        """Whether a call for this model makes sense: where a list is the whole truth, the model must be on it."""
        return not self.at_home.get("only_known") or model in self.known_models()


class ProviderError(Exception):
    """A provider is configured and cannot be called: its key is nowhere, or its address is none."""


def configured(config: Config, environment: Environment[str, str] = os.environ) -> dict[str, ProviderConfig]:
    """The providers of the configuration and those whose key is in the environment, in that order."""
    wanted = dict(config.providers)
    for name in catalogue.with_keys(catalogue.files(folders(config)), environment):
        wanted.setdefault(name, ProviderConfig(name))
    return wanted


def folders(config: Config) -> list[Path]:
    """Where a configuration has mappings looked for."""
    return catalogue.folders(config.mappings)


def open_providers(
    config: Config, environment: Environment[str, str] = os.environ, frozen: dict[str, bytes] | None = None
) -> dict[str, Provider]:
    """The providers, ready to be called; nothing is connected yet. Where their mappings are given, no file is looked at.

    Raises MappingError with all that is wrong with them in the configuration and in their mappings, and ProviderError
    for one that no configuration names.
    """
    opened = {}
    problems = Problems()
    all_wanted = config.providers if frozen is not None else configured(config, environment)
    load = Compiled(tuple(folders(config))).load if frozen is None else lambda name: thaw(frozen[name])
    for name, wanted in all_wanted.items():
        try:
            opened[name] = open_provider(name, wanted, config, environment, load)
        except MappingError as error:
            problems += error.problems
        except ProviderError as error:
            if wanted.place is None:
                raise
            problems.add(wanted.place, str(error))
    problems.check()
    return opened


def open_provider(name: str, wanted: ProviderConfig, config: Config, environment: Environment[str, str], load: Load) -> Provider:
    """Raises MappingError, FileNotFoundError for a mapping that is nowhere, and ProviderError."""
    mapping = load(wanted.mapping)
    mapping = replace(mapping, base_url=_filled(name, mapping.base_url or "", wanted, environment))
    base_url = wanted.base_url or mapping.base_url or ""
    if not base_url.startswith(("http://", "https://")):
        said = f"begins with http:// or https://, not {base_url!r}"
        raise ProviderError(f"the provider {name!r} needs an address: `base_url` {said}")
    return Provider(
        name=name,
        mapping=mapping,
        base_url=base_url.rstrip("/"),
        keys=Keys(_keys(name, wanted, mapping, environment)),
        models=wanted.models,
        at_home=_at_home(mapping, base_url),
        breakers=Breakers(config.breaker, ask_first=mapping.health_endpoint is not None),
        upstream=Upstream(name, base_url, config.timeouts._replace(**wanted.timeout)),
    )


def _at_home(mapping: Mapping, base_url: str) -> dict[str, Any]:
    """The mapping's models, which are those of its address."""
    is_there = base_url.rstrip("/") == (mapping.base_url or "").rstrip("/")
    return mapping.models if is_there or mapping.models.get("only_known") else {}


def _filled(name: str, base_url: str, wanted: ProviderConfig, environment: Environment[str, str]) -> str:
    """A mapping's address with its variables filled in."""
    missing = [variable for variable in VARIABLE.findall(base_url) if not environment.get(variable)]
    if missing and not wanted.base_url:
        raise ProviderError(f"the provider {name!r} needs an address: set ${', $'.join(missing)}, or give `base_url`")
    return VARIABLE.sub(lambda match: environment.get(match[1], match[0]).rstrip("/"), base_url)


def _keys(name: str, wanted: ProviderConfig, mapping: Mapping, environment: Environment[str, str]) -> tuple[str, ...]:
    """The keys that a provider is called with; empty where none is sent."""
    if wanted.keys is not None:
        return wanted.keys
    if mapping.key_env is None or (wanted.base_url and wanted.base_url != mapping.base_url):
        # A key goes to the address that it belongs to and to no other.
        return ()
    key = environment.get(mapping.key_env, "").strip()
    if not key:
        raise ProviderError(without_key(name, mapping.key_env))
    if trouble := key_trouble(key):
        raise ProviderError(f"the key of the provider {name!r}, ${mapping.key_env}, {trouble}")
    return (key,)
