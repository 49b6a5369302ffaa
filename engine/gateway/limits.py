"""How many requests are served: at once, and a minute; for all, and for each key."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable
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
        self._begun: defaultdict[str, deque[float]] = defaultdict(deque)

    def admit(self, key: str | None, config: Config) -> tuple[str, ...]:
        """The places that a request of the key of this name takes, until it leaves them. Raises ApiError where it is one too
        many."""
        places = {ALL: config.limits}
        if key is not None and key in config.api_keys:
            places[key] = config.api_keys[key].limits
        for name, limits in places.items():
            self._check(name, limits)
        for name, limits in places.items():
            self._running[name] += 1
            if limits.requests_per_minute is not None:
                self._begun[name].append(self._clock())
        return tuple(places)

    def leave(self, places: tuple[str, ...]) -> None:
        """The request that took these places is over."""
        for name in places:
            self._running[name] -= 1

    def _check(self, name: str, limits: Limits) -> None:
        if limits.concurrent is not None and self._running[name] >= limits.concurrent:
            raise self._at_once(name, limits.concurrent)
        if limits.requests_per_minute is None:
            return
        begun, now = self._begun[name], self._clock()
        while begun and begun[0] <= now - MINUTE:
            begun.popleft()
        if len(begun) >= limits.requests_per_minute:
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
