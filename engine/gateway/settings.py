"""What the server runs by: the words of the configuration, with the defaults of a machine that has none."""

import ipaddress
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from engine.gateway.names import Named
from engine.mapping.errors import Place

HOME = Path("~/.ccproxy")
APPENDED = ("/chat/completions", "/responses", "/messages")
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Timeouts(NamedTuple):
    """In seconds."""

    connect: float = 30.0
    silence: float = 300.0


class Limits(NamedTuple):
    """How much at most; None where there is no limit. A worker process counts for itself."""

    requests_per_minute: int | None = None
    concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One of several keys of this server's clients, and what may be done with it."""

    key: str = field(repr=False)
    limits: Limits = field(default_factory=Limits)


class BreakerConfig(NamedTuple):
    """When a provider's model that fails is left alone (breakers.py). `open` is in seconds."""

    failures: int = 5
    ratio: float = 0.5
    window: int = 10
    open: float = 30.0
    probes: int = 3


NO_BREAKER = BreakerConfig(failures=sys.maxsize, ratio=2.0)
"""One that nothing opens."""


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """A provider as the configuration names it.

    `keys` is None where the mapping's variable holds the key, and empty where none is sent. `timeout` has what differs
    from `timeouts`.
    """

    mapping: str
    base_url: str | None = None
    keys: tuple[str, ...] | None = field(default=None, repr=False)
    models: tuple[str, ...] = ()
    timeout: Mapping[str, float] = field(default_factory=dict)
    place: Place | None = field(default=None, compare=False, repr=False)


class RouteConfig(NamedTuple):
    """Where a route goes. `parameters` are for `to` alone: another provider has other words."""

    to: Named
    parameters: Mapping[str, Any] = {}
    fallbacks: tuple[Named, ...] = ()
    above: int = 60_000


@dataclass(frozen=True, slots=True)
class Config:
    """`routes` by their names in the file, `models` by the name or glob of what the client asks for.

    `file` is where it was read, and `since` when, in seconds since 1970. `limits` are those of all clients together.
    `trusted_proxies` are believed about whom they ask for (access.py).
    """

    host: str = "127.0.0.1"
    port: int = 3456
    api_key: str | None = field(default=None, repr=False)
    api_keys: Mapping[str, ClientKey] = field(default_factory=dict)
    trusted_proxies: tuple[Network, ...] = ()
    providers: Mapping[str, ProviderConfig] = field(default_factory=dict)
    routes: Mapping[str, RouteConfig] = field(default_factory=dict)
    models: Mapping[str, RouteConfig] = field(default_factory=dict)
    mappings: Path = HOME / "mappings"
    watch: bool = False
    request_bytes: int = 10 * 1024 * 1024
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    breaker: BreakerConfig = field(default_factory=BreakerConfig)
    log_level: str = "info"
    log_format: str = "text"
    record: Path | None = None
    file: Path | None = field(default=None, compare=False)
    since: float = field(default=0.0, compare=False)

    @property
    def own_key(self) -> str | None:
        """The key with which this machine's own commands ask; None where none is needed."""
        return self.api_key or next((client.key for client in self.api_keys.values()), None)


def make_folder(folder: Path) -> None:
    """With those above it. Into `~/.ccproxy` nobody else looks."""
    home = HOME.expanduser()
    is_own = home in (folder, *folder.parents)
    if is_own:
        # By itself: `mkdir` gives its mode to the last folder only.
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700 if is_own else 0o777, parents=True, exist_ok=True)


def key_trouble(key: str) -> str | None:
    """Why a key cannot stand in a header; None where it can. What is pasted brings curly quotes and line ends along."""
    if not key:
        return "is empty"
    return (
        None if key.isascii() and key.isprintable() else "holds a character that no key has, such as a curly quote or a line end"
    )


def appends_twice(url: str) -> str | None:
    """Which path an address ends with that the mapping appends; None where it ends before."""
    return next((path for path in APPENDED if urlsplit(url).path.rstrip("/").endswith(path)), None)


def without_key(provider: str, variable: str) -> str:
    """What is told of a provider whose key is nowhere."""
    return f"the provider {provider!r} needs a key: set ${variable}, or give `api_key` in the configuration"


def listening_address(host: str) -> str | None:
    """The numeric address that a host to listen on means; None where it is none."""
    try:
        return str(ipaddress.ip_address("127.0.0.1" if host == "localhost" else host))
    except ValueError:
        return None
