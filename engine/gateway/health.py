"""A provider that was left alone tells how it is, at an address that costs nothing, before a client's request tries it."""

import asyncio
import logging
from collections.abc import Mapping

from engine.gateway.breakers import is_failure
from engine.gateway.providers import Provider
from engine.gateway.sections import Sections, TranslationError
from engine.wire.errors import ApiError

log = logging.getLogger("ccproxy")

SECONDS = 10
"""That an answer may take."""


class HealthChecks:
    """The questions to providers of which it is time to know; one at a time of each."""

    def __init__(self, providers: Mapping[str, Provider]):
        self._providers = providers
        self._running: dict[str, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """Ask, and wait for nobody's answer."""
        self._running = {name: task for name, task in self._running.items() if not task.done()}
        for name, provider in self._providers.items():
            if provider.breakers.are_due and name not in self._running:
                self._running[name] = asyncio.create_task(_check(provider))

    def end(self) -> None:
        for task in self._running.values():
            task.cancel()


async def _check(provider: Provider) -> None:
    provider.breakers.told_of_health(await _failure(provider))


async def _failure(provider: Provider) -> ApiError | None:
    """Why a provider cannot be well; None where it answers, though it be with a refusal, and where it cannot be asked."""
    sections = Sections(provider.name, provider.mapping, "", key=provider.keys.first, client=None, streams=False)
    try:
        where = sections.health_endpoint(provider.base_url)
        if where is None:
            return None
        async with asyncio.timeout(SECONDS):
            with await provider.upstream.get(where["url"], where.get("headers") or {}) as reply:
                return sections.refuse(reply.status, await reply.read(), reply.headers) if reply.status >= 500 else None
    except TimeoutError:
        return ApiError(504, "timeout_error", f"{provider.name}: asked how it is, it said nothing for {SECONDS} seconds")
    except ApiError as error:
        return error if is_failure(error) else None
    except TranslationError as error:
        # What went wrong may quote the key.
        log.error("%s: the mapping fails when it asks how the provider is: %s", provider.name, error.problem.place)
        return None
