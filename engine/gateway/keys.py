"""A provider's keys: taken in turn, and left alone for a while after a refusal."""

from collections.abc import Callable, Sequence
from time import monotonic
from zlib import crc32

from engine.gateway import refusals
from engine.wire.errors import ApiError


class Keys:
    """The keys of one provider. A pool's rest when they are refused; a single key never does, since nothing else is left."""

    def __init__(self, keys: Sequence[str], clock: Callable[[], float] = monotonic):
        self._keys = tuple(keys)
        self._clock = clock
        self._next = 0
        self._resting: dict[str, tuple[float, ApiError]] = {}

    @property
    def first(self) -> str | None:
        """For what no request is behind."""
        return self._keys[0] if self._keys else None

    def in_order(self, session: str | None) -> tuple[str | None, ...]:
        """The keys as a request is to try them; None stands for the key of a provider that needs none.

        A session stays with its key, since the provider's prompt cache is the key's account's; others take them in turn.
        """
        if len(self._keys) < 2:
            return self._keys or (None,)
        self._next += session is None
        first = (self._next if session is None else crc32(session.encode())) % len(self._keys)
        return self._keys[first:] + self._keys[:first]

    def is_resting(self, key: str | None) -> bool:
        return key in self._resting and self._resting[key][0] > self._clock()

    def refused(self, key: str | None, error: ApiError) -> bool:
        """The provider refused a request with this key: whether the key rests, and another is to be taken."""
        if key is None or len(self._keys) == 1 or not refusals.is_the_keys(error):
            return False
        self._resting[key] = (self._clock() + refusals.rest(error), error)
        return True

    def exhausted(self) -> ApiError:
        """What is told while all keys rest: the best of their errors, and when the first of them is back."""
        told = refusals.best(error for _, error in self._resting.values())
        first = min(until for until, _ in self._resting.values())
        return refusals.until(told, max(0.0, first - self._clock()))
