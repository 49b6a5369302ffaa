"""The providers that can be called: each a mapping, an address, a key and a transport of its own."""

import os
import re
from collections.abc import Iterator
from collections.abc import Mapping as Environment
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from engine import BUILT_IN, load_mapping
from engine.gateway.config import VARIABLE, Config, ProviderConfig
from engine.gateway.upstream import LazyTransport
from engine.mapping.loader import Mapping

KEY_ENV = re.compile(r"^key_env:\s*([A-Z0-9_]+)\s*$", re.MULTILINE)
BASE_URL = re.compile(r"^base_url:(.*)$", re.MULTILINE)


@dataclass(slots=True)
class Provider:
    """A provider ready to be called."""

    name: str
    mapping: Mapping
    base_url: str
    key: str | None = field(repr=False)
    models: tuple[str, ...]
    transport: httpx.AsyncBaseTransport = field(repr=False)

    @property
    def main(self) -> str | None:
        """The model of a request that names none of this provider's."""
        return self.models[0] if self.models else self._models_at_home.get("main")

    def known_models(self) -> tuple[str, ...]:
        """What `/v1/models` lists: the configuration's list, else the mapping's."""
        return self.models or tuple(self._models_at_home.get("known") or ())

    def facts_of(self, model: str) -> dict[str, Any]:
        """What the mapping says of a model: limits and prices (mapping/words.py, MODEL_FACTS)."""
        return (self._models_at_home.get("known") or {}).get(model) or {}

    def serves(self, model: str) -> bool:
        """Whether a call for this model makes sense: where a list is the whole truth, the model must be on it."""
        return not self._models_at_home.get("only_known") or model in self.known_models()

    @property
    def _models_at_home(self) -> dict[str, Any]:
        """The mapping's models, which are those of its address."""
        models = self.mapping.models
        at_home = self.base_url == (self.mapping.base_url or "").rstrip("/")
        return models if at_home or models.get("only_known") else {}


class ProviderError(Exception):
    """A provider is configured and cannot be called: its key is nowhere, or its address is none."""


def with_keys(folders: list[Path], environment: Environment[str, str] = os.environ) -> Iterator[str]:
    """The mappings whose key variable is set, and all of their address: they need no entry in the configuration.

    Only the text is looked at: compiling thirty mappings to use one would cost half a second at every start.
    """
    seen = set()
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            needed = [*KEY_ENV.findall(text)[:1], *VARIABLE.findall("".join(BASE_URL.findall(text)))]
            if KEY_ENV.search(text) and path.stem not in seen and all(map(environment.get, needed)):
                seen.add(path.stem)
                yield path.stem


def configured(config: Config, environment: Environment[str, str] = os.environ) -> dict[str, ProviderConfig]:
    """The providers of the configuration and those whose key is in the environment, in that order."""
    wanted = dict(config.providers)
    for name in with_keys(folders(config), environment):
        wanted.setdefault(name, ProviderConfig(name))
    return wanted


def open_providers(config: Config, environment: Environment[str, str] = os.environ) -> dict[str, Provider]:
    """The providers, ready to be called; nothing is connected yet.

    Raises MappingError, FileNotFoundError for a mapping that is nowhere, and ProviderError.
    """
    return {name: open_provider(name, wanted, config, environment) for name, wanted in configured(config, environment).items()}


def folders(config: Config) -> list[Path]:
    """Where mappings are looked for: the user's own first."""
    return [folder for folder in (config.mappings.expanduser(), BUILT_IN) if folder.is_dir()]


def open_provider(name: str, wanted: ProviderConfig, config: Config, environment: Environment[str, str]) -> Provider:
    mapping = load_mapping(wanted.mapping, folders(config))
    mapping.base_url = _filled(name, mapping.base_url or "", wanted, environment)
    base_url = wanted.base_url or mapping.base_url
    if not base_url.startswith(("http://", "https://")):
        said = f"begins with http:// or https://, not {base_url!r}"
        raise ProviderError(f"the provider {name!r} needs an address: `base_url` {said}")
    return Provider(
        name=name,
        mapping=mapping,
        base_url=base_url.rstrip("/"),
        key=_sound_key(name, _key(name, wanted, mapping, environment)),
        models=wanted.models,
        transport=LazyTransport(base_url),
    )


def _filled(name: str, base_url: str, wanted: ProviderConfig, environment: Environment[str, str]) -> str:
    """A mapping's address with its variables filled in."""
    missing = [variable for variable in VARIABLE.findall(base_url) if not environment.get(variable)]
    if missing and not wanted.base_url:
        raise ProviderError(f"the provider {name!r} needs an address: set ${', $'.join(missing)}, or give `base_url`")
    return VARIABLE.sub(lambda match: environment.get(match[1], match[0]), base_url)


def _key(name: str, wanted: ProviderConfig, mapping: Mapping, environment: Environment[str, str]) -> str | None:
    if wanted.api_key == "none":
        return None
    if wanted.api_key:
        return wanted.api_key
    if mapping.key_env is None or (wanted.base_url and wanted.base_url != mapping.base_url):
        # A key goes to the address that it belongs to and to no other.
        return None
    key = environment.get(mapping.key_env)
    if not key:
        raise ProviderError(f"the provider {name!r} needs a key: set ${mapping.key_env}, or give `api_key` in the configuration")
    return key


def _sound_key(name: str, key: str | None) -> str | None:
    """A key as it can stand in a header: what is pasted brings line ends and curly quotes along."""
    key = key.strip() if key else None
    if key and not (key.isascii() and key.isprintable()):
        raise ProviderError(f"the key of the provider {name!r} holds a character that no key has: was it pasted with quotes?")
    return key or None
