"""The configuration file -> Config.

Read with the mappings' own YAML reader, so that each mistake is told at its line and column, and all of them at once.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path

from engine.gateway import catalogue
from engine.gateway.config_routes import RouteReader, Routes
from engine.gateway.config_values import Read, Useless, Values
from engine.gateway.names import SEPARATORS
from engine.gateway.settings import (
    HOME,
    LOG_FORMATS,
    LOG_LEVELS,
    NO_BREAKER,
    BreakerConfig,
    ClientKey,
    Config,
    Limits,
    Network,
    ProviderConfig,
    Timeouts,
    appends_twice,
    key_trouble,
    listening_address,
    without_key,
)
from engine.gateway.variables import Readable, held
from engine.mapping.addresses import url_trouble
from engine.mapping.document import Scalar, Value, plain, read
from engine.mapping.errors import MappingError, Place, Problems, Source, suggest, suggest_mapping


def read_config(source: Source, environment: Mapping[str, str], problems: Problems) -> Config:
    """The configuration of a file's text. What is wrong goes to `problems`; text that is no YAML raises MappingError."""
    readable = Readable(source.name, held(source.text), source.text)
    try:
        document = read(readable, problems)
    except MappingError as error:
        readable.hide_keys()
        raise MappingError(error.problems) from None
    try:
        return _FileReader(environment, problems).config(document)
    except Useless:
        return Config()


class _FileReader(Values):
    """The file's objects, each read by a table of its keys."""

    def __init__(self, environment: Mapping[str, str], problems: Problems):
        super().__init__(environment, problems)
        self.folders = catalogue.folders(HOME / "mappings")
        self.mappings = catalogue.files(self.folders)
        self.known: set[str] = set()

    def config(self, document: Value) -> Config:
        self.fields(document, "a configuration is an object: keys and values")
        told = self.object(
            document,
            {
                "host": self.host,
                "port": lambda value: self.whole_number(value, most=65_535),
                "api_key": self.key,
                "api_keys": self.client_keys,
                "trusted_proxies": self.networks,
                # In this order: a provider has to know the mappings, and a route the providers.
                "mappings": self.folder,
                "providers": self.providers,
                "routes": self.routes,
                "watch": self.boolean,
                "limits": self.of(request_bytes=self.whole_number, **self.limits),
                "timeouts": lambda value: Timeouts(**self.seconds(value)),
                "breaker": self.breaker,
                "logs": self.of(level=self.of_words("level", LOG_LEVELS), format=self.of_words("format", LOG_FORMATS)),
                "record": self.new_folder,
            },
        )
        routes, models = told.pop("routes", ({}, {}))
        limits, logs = told.pop("limits", {}), told.pop("logs", {})
        told |= {"request_bytes": limits.pop("request_bytes")} if "request_bytes" in limits else {}
        told |= {f"log_{key}": said for key, said in logs.items()}
        return Config(**told, limits=Limits(**limits), routes=routes, models=models)

    def host(self, value: Value) -> str:
        said = self.text(value)
        return listening_address(said) or self.refuse(
            value.place, f"{said!r} is no address to listen on: 127.0.0.1, 0.0.0.0, ::1"
        )

    def folder(self, value: Value) -> Path:
        folder = self.path(value)
        if folder != HOME / "mappings" and not folder.expanduser().is_dir():
            self.refuse(value.place, f"there is no folder {self.text(value)}; one without a / or ~ in front is beside this file")
        self.folders = catalogue.folders(folder)
        self.mappings = catalogue.files(self.folders)
        return folder

    def seconds(self, value: Value) -> dict[str, float]:
        return self.object(value, {"connect": self.duration, "silence": self.duration})

    def of_words(self, name: str, words: Sequence[str]) -> Read:
        def read(value: Value) -> str:
            said = self.text(value)
            if said not in words:
                self.refuse(value.place, f"unknown {name} {said!r}; it is one of {', '.join(words)}{suggest(said, words)}")
            return said

        return read

    def path(self, value: Value) -> Path:
        """Of a folder, which is looked for from the configuration's own on: the current one may be anybody's."""
        said = self.text(value)
        if not said.strip():
            self.refuse(value.place, "no folder is named here")
        return Path(said) if said.startswith("~") else Path(value.place.source.name).absolute().parent / said

    def new_folder(self, value: Value) -> Path:
        """One that is made where it is not there yet."""
        folder = self.path(value).expanduser()
        if folder.exists() and not folder.is_dir():
            self.refuse(value.place, f"{folder} is no folder")
        return folder

    @property
    def limits(self) -> dict[str, Read]:
        return dict.fromkeys(("requests_per_minute", "concurrent"), self.whole_number)

    def breaker(self, value: Value) -> BreakerConfig:
        if plain(value) is False:
            return NO_BREAKER
        counts = dict.fromkeys(("failures", "window", "probes"), self.whole_number)
        return BreakerConfig(**self.object(value, {**counts, "ratio": self.part, "open": self.duration}))

    # Who may ask

    def client_keys(self, value: Value) -> dict[str, ClientKey]:
        entries = self.fields(value, "'api_keys' is an object: a name for each key, such as `alice: ${ALICES_KEY}`").entries
        made = {name: one for name, entry in entries.items() for one in self.usable(self.client_key, entry.value)}
        names: dict[str, str] = {}
        for name, one in made.items():
            if names.setdefault(one.key, name) != name:
                self.problems.add(entries[name].key, f"{names[one.key]!r} has this key already: nobody could tell who asks")
        return made

    def client_key(self, value: Value) -> ClientKey:
        if isinstance(value, Scalar):
            return ClientKey(self.key(value))
        told = self.object(value, {"key": self.key, **self.limits})
        if "key" not in told:
            self.refuse(value.place, "a key is missing: `{ key: ${NAME}, requests_per_minute: 60 }`")
        return ClientKey(told.pop("key"), Limits(**told))

    def networks(self, value: Value) -> tuple[Network, ...]:
        return tuple(found for _, found in self.list_of(self.network, value, "a list of addresses is meant: [10.0.0.0/8]"))

    def network(self, value: Value) -> Network:
        said = self.text(value)
        try:
            return ip_network(said)
        except ValueError as error:
            self.refuse(value.place, f"{said!r} is no address and no network such as 10.0.0.0/8: {error}")

    def routes(self, value: Value) -> Routes:
        # The local model is served when the command is told to, whatever the file says.
        known = {*self.known, *catalogue.with_keys(self.mappings, self.environment), "local"}
        return RouteReader(self.environment, self.problems, known, self.mappings).routes(value)

    # Providers

    def providers(self, value: Value) -> dict[str, ProviderConfig]:
        entries = self.fields(value, "'providers' is an object, such as `NAME: { mapping: MAPPING }`").entries
        self.known = set(entries)
        made = {name: self.usable(self.provider, entry.value, name, entry.key) for name, entry in entries.items()}
        return {name: provider for name, usable in made.items() for provider in usable}

    def provider(self, value: Value, name: str, key: Place) -> ProviderConfig:
        told = self.object(
            value,
            {
                "mapping": self.mapping,
                "base_url": self.base_url,
                "api_key": self.own_key,
                "api_keys": self.pool,
                "models": self.texts,
                "timeout": self.seconds,
            },
        )
        if not name.strip():
            self.problems.add(key, "a provider has a name, by which models are asked for: NAME/MODEL")
        if any(separator in name for separator in SEPARATORS):
            self.problems.add(key, "a provider's name holds no '/' and no ',': a model's name follows behind one")
        if "mapping" not in told and name not in self.mappings:
            hint = suggest_mapping(name, self.folders) or "; `mapping` says which one it speaks"
            self.problems.add(key, f"there is no mapping named {name!r}{hint}")
        one, pool = told.pop("api_key", None), told.pop("api_keys", None)
        if one is not None and pool is not None:
            self.problems.add(key, f"{name!r} has one key, `api_key`, or a pool of them, `api_keys`; not both")
        made = ProviderConfig(**{"mapping": name, **told}, keys=pool or one, place=key)
        # Where an address or a key is given that cannot be used, that has been told.
        if not self.fields(value, "").entries.keys() & {"base_url", "api_key", "api_keys"}:
            self._check_variables(name, made, key)
        return made

    def _check_variables(self, name: str, made: ProviderConfig, place: Place) -> None:
        """What the mapping's text asks of the environment; what its parents ask is told when the provider is opened."""
        if made.mapping in self.mappings:
            needed = catalogue.variables(self.mappings[made.mapping])
            if needed and not self.environment.get(needed[0]):
                self.problems.add(place, without_key(name, needed[0]))

    def mapping(self, value: Value) -> str:
        name = self.text(value)
        if name not in self.mappings:
            self.problems.add(value.place, f"there is no mapping named {name!r}{suggest_mapping(name, self.folders)}")
        return name

    def base_url(self, value: Value) -> str:
        url = self.text(value)
        if trouble := url_trouble(url):
            self.refuse(value.place, f"`base_url` {trouble}")
        if path := appends_twice(url):
            self.refuse(value.place, f"`base_url` ends before {path}, which the mapping appends")
        return url

    def key(self, value: Value) -> str:
        key = self.text(value).strip()
        if trouble := key_trouble(key):
            self.refuse(value.place, f"this key {trouble}")
        return key

    def own_key(self, value: Value) -> tuple[str, ...]:
        return () if plain(value) == "none" else (self.key(value),)

    def pool(self, value: Value) -> tuple[str, ...]:
        found = self.list_of(self.key, value, "a pool is a list of keys: [${KEY_1}, ${KEY_2}]")
        if plain(value) == []:
            self.refuse(value.place, "a pool without a key; `api_key: none` says that none is needed")
        keys = [key for _, key in found]
        for number, (place, key) in enumerate(found):
            if key in keys[:number]:
                self.problems.add(place, "this key is in the pool already")
        return tuple(keys)
