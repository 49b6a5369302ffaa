"""A provider's model that keeps failing is left alone for a while: others answer meanwhile, and nobody waits for it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from engine.gateway import refusals
from engine.gateway.settings import BreakerConfig
from engine.wire.errors import ApiError

STATES = ("closed", "half_open", "open")

PATIENCE = 15.0
"""Seconds that a provider's health is waited for: it is asked within a second and has ten to answer (health.py). Whatever
becomes of that, no model stays shut."""


@dataclass(slots=True)
class Trial:
    """A request that a breaker has let pass after so many `openings`. `has_passed`: its answer has begun.

    `says_something`: the provider was asked, and what comes of it is not our own failure.
    """

    openings: int = 0
    has_passed: bool = False
    says_something: bool = False


class Breaker:
    """The state of one model of a provider.

    Closed: requests pass. Open, after `failures` in a row or where `ratio` of the last `window` requests failed: none does,
    for `open` seconds. Then half open: `probes` may pass; when all of them are answered it is closed, when one fails open again.
    `asks_first`: before it is half open, its provider is asked how it is, and `told_of_health` hears the answer.
    """

    def __init__(self, config: BreakerConfig, clock: Callable[[], float] = monotonic, *, asks_first: bool = False):
        self._config = config
        self._clock = clock
        self._asks_first = asks_first
        self._awaits_health = False
        self._last: deque[bool] = deque(maxlen=config.window)
        self._in_a_row = 0
        self._until: float | None = None
        self._openings = 0
        self._probing = 0
        self._passed = 0
        self._error: ApiError | None = None

    @property
    def state(self) -> str:
        if self._until is None:
            return "closed"
        until = self._until + PATIENCE if self._awaits_health else self._until
        return "open" if self._clock() < until else "half_open"

    @property
    def is_due(self) -> bool:
        """Whether it is time to ask the provider how it is."""
        return self._awaits_health and self._until is not None and self._until <= self._clock()

    @property
    def failing(self) -> bool:
        """Whether the last request failed."""
        return self._in_a_row > 0

    def lets_pass(self) -> Trial | None:
        """A request that may be tried, of which is told when it `begins` and when it is `over`; None where none may."""
        if self._until is not None:
            if self.state == "open" or self._probing + self._passed >= self._config.probes:
                return None
            self._probing += 1
        return Trial(self._openings)

    def begins(self, trial: Trial) -> None:
        """Its answer has begun, which is all that is wanted of a probe: the end of a stream may be an hour away."""
        if self._probes(trial):
            self._probing -= 1
            self._passed += 1
            if self._passed >= self._config.probes:
                self._close()
        trial.has_passed = True

    def over(self, trial: Trial, error: ApiError | None, *, known: bool = True) -> None:
        """It has ended: with this error, or well. Not `known`: with nothing that says how the provider is."""
        if self._until is not None and trial.openings != self._openings:
            return  # it was asked before
        if not known:
            self._probing -= self._probes(trial)
        elif error is not None and is_failure(error):
            self._last.append(True)
            self._in_a_row += 1
            self._error = error
            if self._until is not None or self._has_failed_enough():
                self._open()
        else:
            self.begins(trial)
            self._last.append(False)
            self._in_a_row = 0

    def _probes(self, trial: Trial) -> bool:
        """Whether it is one of those that are tried now, and has not passed yet."""
        return self._until is not None and trial.openings == self._openings and not trial.has_passed

    def told_of_health(self, error: ApiError | None) -> None:
        """The provider was asked how it is: it answers again, or this is why it does not."""
        if not self.is_due:
            return
        if error is None:
            self._awaits_health = False
        else:
            self._error = error
            self._open()

    def _has_failed_enough(self) -> bool:
        is_full = len(self._last) == self._config.window
        return self._in_a_row >= self._config.failures or (is_full and sum(self._last) >= self._config.ratio * len(self._last))

    def _open(self) -> None:
        self._until = self._clock() + self._config.open
        self._awaits_health = self._asks_first
        self._openings += 1
        self._probing = self._passed = 0

    def _close(self) -> None:
        self._until = None
        self._awaits_health = False
        self._passed = self._in_a_row = 0
        self._last.clear()

    def refusal(self, provider: str) -> ApiError:
        """What a client is told in the place of an answer."""
        left = max(0.0, (self._until or 0.0) - self._clock())
        why = self._error.message if self._error else f"{provider}: it has failed"
        return refusals.until(ApiError(529, "overloaded_error", f"{why} (left alone after several failures)"), max(left, 1.0))

    def told(self) -> dict[str, Any]:
        """For `/status`."""
        left = max(0.0, (self._until or 0.0) - self._clock())
        why = self._error.message if self._error else None
        return {"state": self.state, "failures": self._in_a_row, "seconds": round(left, 1), "why": why}


class Breakers:
    """The breakers of one provider, by model. Clients name models: those beyond the most are not looked at."""

    MOST = 200

    def __init__(self, config: BreakerConfig, *, ask_first: bool = False):
        self._config = config
        self._ask_first = ask_first
        self._of: dict[str, Breaker] = {}

    def of(self, model: str) -> Breaker:
        if model not in self._of:
            if len(self._of) >= self.MOST:
                return Breaker(self._config)
            self._of[model] = Breaker(self._config, asks_first=self._ask_first)
        return self._of[model]

    @property
    def are_due(self) -> bool:
        """Whether it is time to ask the provider how it is."""
        return any(breaker.is_due for breaker in self._of.values())

    def told_of_health(self, error: ApiError | None) -> None:
        for breaker in self._of.values():
            breaker.told_of_health(error)

    def items(self) -> list[tuple[str, Breaker]]:
        return list(self._of.items())


def is_failure(error: ApiError) -> bool:
    """Whether an error says that the provider is not well. A limit, an empty account and a bad request do not."""
    return error.status >= 500
