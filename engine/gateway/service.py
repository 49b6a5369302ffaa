"""What one configuration serves by, and how another takes its place."""

import asyncio
import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from weakref import WeakSet

from engine.gateway import access, catalogue, logs
from engine.gateway.health import HealthChecks
from engine.gateway.limits import Limiter
from engine.gateway.metrics import Metrics
from engine.gateway.providers import ProviderError, folders, open_providers
from engine.gateway.proxy import Proxy
from engine.gateway.router import Router
from engine.gateway.settings import Config, ProviderConfig
from engine.gateway.shared import Kept, Shared
from engine.gateway.watching import Watch
from engine.mapping.errors import MappingError
from engine.mapping.frozen import freeze

log = logging.getLogger("ccproxy")


class Service:
    """The providers of a configuration, the ways to them, and what goes on there."""

    def __init__(self, config: Config, metrics: Metrics, limiter: Limiter, mappings: dict[str, bytes] | None = None):
        """`mappings` are those of a service that was kept.

        Raises UnsafeAddress, MappingError, ProviderError: whatever keeps the configuration from being served.
        """
        access.check_address(config)
        self.config = config
        self.providers = open_providers(config, frozen=mappings)
        self.router = Router(self.providers, config)
        self.proxy = Proxy(config, self.router, metrics, limiter)
        self.checks = HealthChecks(self.providers)
        self._is_replaced = False

    @property
    def files(self) -> list[Path]:
        """What it was made of."""
        return [*([self.config.file] if self.config.file else []), *folders(self.config)]

    def kept(self) -> Kept:
        """What makes the same service again, whatever has become of its files. The providers are named that no file names."""
        wanted = {name: self.config.providers.get(name) or ProviderConfig(name) for name in self.providers}
        mappings = {wanted[name].mapping: freeze(provider.mapping) for name, provider in self.providers.items()}
        return Kept(replace(self.config, providers=wanted), mappings)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer. Who looks on does not."""
        return not self.proxy.running

    def break_off(self) -> None:
        """End the answers that are running, in words."""
        for watch in list(self.proxy.running):
            watch.break_off()

    def retire(self) -> None:
        """Close the connections as soon as the last answer is: a request finishes on that with which it begins."""
        self._is_replaced = True
        self.close_if_done()

    def close_if_done(self) -> None:
        if self._is_replaced and self.is_idle:
            self.checks.end()
            for provider in self.providers.values():
                provider.upstream.close()


def settle() -> None:
    """What has been made by now stays: the collector, which a start does without, need not look through it while streams wait."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000, 20, 20)


class NotReloaded(Exception):
    """The files cannot be served, and nothing was changed; the message is what is told of them, without keys."""


class Services:
    """The service that new requests get, and the reload that makes another of what the files say now.

    `config` is served at first, with `mappings` where they are kept; `read` reads what it is by then.
    """

    def __init__(
        self, config: Config, read: Callable[[], Config], shared: Shared | None = None, mappings: dict[str, bytes] | None = None
    ):
        self.shared = shared or Shared(None)
        self.metrics = Metrics()
        self._limiter = Limiter()
        self.watch = Watch(config.since)
        self.current = Service(config, self.metrics, self._limiter, mappings)
        self._serving = WeakSet([self.current])  # with those that were replaced, as long as their requests run
        if mappings is None:
            self._tell_misnamed()
        self._read = read
        self._reloading = asyncio.Lock()

    @property
    def is_outdated(self) -> bool:
        """Whether files have changed, where the configuration wants that to be looked for. Of several workers one is told."""
        return self.current.config.watch and self.watch.has_changed(self.current.files) and self.shared.is_first

    async def reload(self) -> Service:
        """Serve what the files say. All or nothing: raises NotReloaded, and has told the log then."""
        fresh = await self._replace(self._fresh)
        self._tell_misnamed()
        return fresh

    async def follow(self) -> Service:
        """Serve what another worker has reloaded, whatever the files say by now. Raises as `reload` does."""
        service = await self._replace(self._others)
        self.watch = Watch(service.config.since)  # what has changed before is served by now
        return service

    def _tell_misnamed(self) -> None:
        for warning in catalogue.misnamed(folders(self.current.config)).values():
            log.warning("%s", warning)

    def break_off(self) -> None:
        """End the answers that are running, whatever they are served by."""
        for service in list(self._serving):
            service.break_off()

    async def _replace(self, make: Callable[[], Service]) -> Service:
        async with self._reloading:
            try:
                # In a thread: what is being answered meanwhile goes on.
                fresh = await asyncio.to_thread(make)
            except (MappingError, ProviderError, access.UnsafeAddress, OSError) as error:
                from engine.wire.redact import redact

                words = redact(str(error))
                log.error("not reloaded, and nothing is changed:\n%s", words)
                raise NotReloaded(words) from error
            former, self.current = self.current, fresh
        self._serving.add(fresh)
        logs.set_up(fresh.config.log_level, fresh.config.log_format)
        gc.collect()
        settle()
        log.info("reloaded: %s", ", ".join(fresh.providers) or "no provider can be called")
        former.retire()
        return fresh

    def _fresh(self) -> Service:
        config, now = self._read(), self.current.config
        if (config.host, config.port) != (now.host, now.port):
            log.warning("host and port stay %s:%d until ccproxy is started again", now.host, now.port)
        fresh = Service(replace(config, host=now.host, port=now.port), self.metrics, self._limiter)
        # Before it is served here: what the others cannot be told is served nowhere.
        self.shared.keep(fresh.kept)
        return fresh

    def _others(self) -> Service:
        kept = self.shared.kept()
        return Service(kept.config, self.metrics, self._limiter, kept.mappings)
