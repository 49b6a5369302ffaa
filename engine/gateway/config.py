"""The configuration file: its words, its defaults and its checks.

Read with the mappings' own YAML reader, so that a mistake is told at its line and column.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.mapping.document import Fields, Scalar, Value, plain, read
from engine.mapping.errors import Place, Problems, Source, suggest

HOME = Path("~/.ccproxy")
LOCAL_URL = "CCPROXY_LOCAL_URL"
"""The variable by which the command tells its worker processes where the local model listens."""
LOG_LEVEL = "CCPROXY_LOG_LEVEL"
"""The same for its flag's level."""
LOG_LEVELS = ("debug", "info", "warning", "error")
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """A provider as the configuration names it. `api_key` None: the mapping's variable; "none": no key is sent."""

    mapping: str
    base_url: str | None = None
    api_key: str | None = None
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds."""

    connect: float = 30.0
    silence: float = 300.0


@dataclass(frozen=True, slots=True)
class Config:
    """What the server runs by. Defaults are those of a machine without a configuration file."""

    host: str = "127.0.0.1"
    port: int = 3456
    api_key: str | None = None
    providers: Mapping[str, ProviderConfig] = field(default_factory=dict)
    default_route: str | None = None
    mappings: Path = HOME / "mappings"
    request_bytes: int = 10 * 1024 * 1024
    timeouts: Timeouts = Timeouts()
    log_level: str = "info"


def address(host: str) -> str | None:
    """The numeric address that a host to listen on means; None where it is none."""
    try:
        return str(ipaddress.ip_address("127.0.0.1" if host == "localhost" else host))
    except ValueError:
        return None


def find(flag: str | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Which file is read: the flag's, `$CCPROXY_CONFIG`, `~/.ccproxy/config.yaml`; None where that is not there.

    Never one from the current directory: a hostile checkout must not choose where keys go.
    """
    named = flag or environment.get("CCPROXY_CONFIG")
    if named:
        return Path(named).expanduser()
    usual = (HOME / "config.yaml").expanduser()
    return usual if usual.is_file() else None


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration. Raises MappingError with all that is wrong with it, OSError where it cannot be read."""
    if path is None:
        return Config()
    problems = Problems()
    source = Source(str(path), path.read_text(encoding="utf-8"))
    document = read(source, problems)
    if not isinstance(document, Fields):
        problems.add(Place(source, 1, 1), "a configuration is an object: keys and values")
        problems.check()
    config = _Reader(environment, problems).config(document)
    problems.check()
    return config


def resolve(environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a worker process, which knows only its environment."""
    settings = load(find(None, environment), environment)
    settings = replace(settings, log_level=environment.get(LOG_LEVEL) or settings.log_level)
    url = environment.get(LOCAL_URL)
    return with_local(settings, url) if url else settings


def with_local(settings: Config, url: str) -> Config:
    """The local model, listening at `url`, as one more provider."""
    return replace(settings, providers={**settings.providers, "local": ProviderConfig("local", base_url=url)})


class _Reader:
    """Turns the document into a Config; a table of keys for each object."""

    def __init__(self, environment: Mapping[str, str], problems: Problems):
        self.environment = environment
        self.problems = problems

    def config(self, document: Value) -> Config:
        told = self.object(
            document,
            {
                "host": self.address,
                "port": self.whole_number,
                "api_key": self.text,
                "providers": self.providers,
                "routes": self.of(default=self.text),
                "mappings": self.text,
                "limits": self.of(request_bytes=self.whole_number),
                "timeouts": self.of(connect=self.duration, silence=self.duration),
                "logs": self.of(level=self.log_level),
            },
        )
        values: dict[str, Any] = {key: told.get(key) for key in ("host", "port", "api_key", "providers")}
        values |= told.get("limits", {})
        values["default_route"] = told.get("routes", {}).get("default")
        values["log_level"] = told.get("logs", {}).get("level")
        values["mappings"] = Path(told["mappings"]) if told.get("mappings") else None
        values["timeouts"] = Timeouts(**told.get("timeouts", {}))
        return Config(**{key: value for key, value in values.items() if value is not None})

    def of(self, **keys: Callable[[Value], Any]) -> Callable[[Value], dict[str, Any]]:
        """The reader of an object with these keys."""
        return lambda value: self.object(value, keys)

    def object(self, value: Value, keys: Mapping[str, Callable[[Value], Any]]) -> dict[str, Any]:
        if not isinstance(value, Fields):
            self.problems.add(value.place, f"an object is meant here: {', '.join(keys)}")
            return {}
        found = {}
        for key, entry in value.entries.items():
            if key in keys:
                found[key] = keys[key](entry.value)
            else:
                self.problems.add(entry.key, f"unknown key {key!r}{suggest(key, keys)}")
        return found

    def providers(self, value: Value) -> dict[str, ProviderConfig]:
        if not isinstance(value, Fields):
            self.problems.add(value.place, "'providers' is an object: names and what each is")
            return {}
        keys = {"mapping": self.text, "base_url": self.text, "api_key": self.text, "models": self.texts}
        return {
            name: ProviderConfig(**{"mapping": name, **self.object(entry.value, keys)}) for name, entry in value.entries.items()
        }

    def text(self, value: Value) -> str | None:
        said = plain(value)
        if said is None or not isinstance(value, Scalar):
            if said is not None:
                self.problems.add(value.place, "a text is meant here")
            return None
        return VARIABLE.sub(lambda match: self.variable(match[1], value), str(said))

    def address(self, value: Value) -> str | None:
        said = self.text(value)
        found = address(said) if said is not None else None
        if said is not None and found is None:
            self.problems.add(value.place, f"{said!r} is no address to listen on: 127.0.0.1, 0.0.0.0, ::1")
        return found

    def log_level(self, value: Value) -> str | None:
        level = self.text(value)
        if level is not None and level not in LOG_LEVELS:
            self.problems.add(value.place, f"unknown level {level!r}; it is one of {', '.join(LOG_LEVELS)}")
        return level

    def variable(self, name: str, value: Scalar) -> str:
        if name not in self.environment:
            self.problems.add(value.place, f"the environment variable {name} is not set{suggest(name, self.environment)}")
        return self.environment.get(name, "")

    def texts(self, value: Value) -> tuple[str, ...]:
        said = plain(value)
        if not isinstance(said, list) or not all(isinstance(item, str) for item in said):
            self.problems.add(value.place, "a list of texts is meant here")
            return ()
        return tuple(said)

    def whole_number(self, value: Value) -> int | None:
        said = plain(value)
        if isinstance(said, str) and VARIABLE.search(said):
            said = self.text(value)
            said = int(said) if said and said.isdecimal() else said
        if type(said) is not int:
            self.problems.add(value.place, "a whole number is meant here")
            return None
        return said

    def duration(self, value: Value) -> float:
        match = DURATION.fullmatch(str(plain(value)))
        if not match:
            self.problems.add(value.place, "a time is meant here: 30s, 5m, 500ms")
            return 0.0
        return float(match[1]) * SECONDS[match[2]]
