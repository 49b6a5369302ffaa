"""How many requests are served: at once, and a minute; for all, and for each key."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from time import monotonic

from engine.gateway.settings import Config, Limits
from engine.wire.errors import ApiError

MINUTE = 60.0
ALL = ""
"""Stands for everybody among the names of keys, of which none is empty."""


class Limiter:
    """Counts what is admitted, whatever becomes of the configuration meanwhile."""

    def __init__(self, clock: Callable[[], float] = monotonic):
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._begun: dict[str, deque[float]] = {}

    @contextmanager
    def admitted(self, key: str | None, config: Config) -> Iterator[None]:
        """For one request of the key of this name. Raises ApiError where it would be one too many."""
        limited = {ALL: config.limits}
        if key is not None and key in config.api_keys:
            limited[key] = config.api_keys[key].limits
        for name, limits in limited.items():
            self._check(name, limits)
        for name in limited:
            self._running[name] += 1
            self._begun.setdefault(name, deque()).append(self._clock())
        try:
            yield
        finally:
            self._running.subtract(limited.keys())

    def _check(self, name: str, limits: Limits) -> None:
        begun, now = self._begun.get(name, deque()), self._clock()
        while begun and (limits.requests_per_minute is None or begun[0] <= now - MINUTE):
            begun.popleft()
        if limits.concurrent is not None and self._running[name] >= limits.concurrent:
            raise self._at_once(name, limits.concurrent)
        if limits.requests_per_minute is not None and len(begun) >= limits.requests_per_minute:
            wait = begun[0] + MINUTE - now
            words = f"ccproxy: more than {limits.requests_per_minute} requests a minute{_whose(name)}"
            raise ApiError(429, "rate_limit_error", words, retry_after=str(ceil(wait)))

    def _at_once(self, name: str, most: int) -> ApiError:
        words = f"ccproxy: {most} requests are running already{_whose(name)}"
        if name == ALL:
            return ApiError(529, "overloaded_error", words, retry_after="1")
        return ApiError(429, "rate_limit_error", words, retry_after="1")


def _whose(name: str) -> str:
    return f" with the key of {name}" if name != ALL else ""
