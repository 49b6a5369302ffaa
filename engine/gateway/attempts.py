"""Which provider, model and key a request is tried with, one after the other, until one begins to answer."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from engine.gateway import refusals
from engine.gateway.breakers import Breaker, Trial
from engine.gateway.router import Route, Target
from engine.wire.errors import ApiError


@dataclass(slots=True)
class Attempt:
    """One try: where it goes and why, and how many seconds are let pass before it. `is_last`: no other target follows."""

    target: Target
    key: str | None = field(repr=False)
    reason: str
    is_last: bool
    trial: Trial = field(default_factory=Trial)
    wait: float = 0.0

    def __str__(self) -> str:
        return f"{self.target} ({self.reason})"

    @property
    def breaker(self) -> Breaker:
        """What is told how it went."""
        return self.target.provider.breakers.of(self.target.model)


class Attempts:
    """The tries of a request: a target's keys, once more where that helps, then the next target.

    Each step goes by the error of the last, so `failed` is told before the next is taken.
    """

    def __init__(self, route: Route, session: str | None):
        self.route = route
        self.session = session
        self._failures: list[tuple[Attempt, ApiError]] = []
        self._key_rests = False

    def __iter__(self) -> Iterator[Attempt]:
        for target in self.route.targets:
            yield from self._on(target)
            if not refusals.is_the_providers(self._failures[-1][1]):
                return

    def failed(self, attempt: Attempt, error: ApiError) -> None:
        """The attempt came to nothing, and nothing of it has reached the client."""
        self._note(attempt, error)
        self._key_rests = attempt.target.provider.keys.refused(attempt.key, error)

    def _note(self, attempt: Attempt, error: ApiError) -> None:
        """Of each target the last word counts: that one key is limited means little where the next is told what is wrong."""
        if self._failures and self._failures[-1][0].target is attempt.target:
            self._failures.pop()
        self._failures.append((attempt, error))

    @property
    def first(self) -> Attempt:
        """The one that is made where nothing has failed before it."""
        target = self.route.targets[0]
        return Attempt(target, target.provider.keys.in_order(self.session)[0], self.route.reason, is_last=True)

    @property
    def best(self) -> tuple[Attempt, ApiError]:
        """The failure that the client is told of, where all came to nothing."""
        best = refusals.best(error for _, error in self._failures)
        return next(failure for failure in self._failures if failure[1] is best)

    def _on(self, target: Target) -> Iterator[Attempt]:
        first, last = self.route.targets[0], self.route.targets[-1]
        reason = self.route.reason if target is first else f"{self.route.reason} fallback"
        keys, is_last = target.provider.keys, target is last
        breaker = target.provider.breakers.of(target.model)
        for key in keys.in_order(self.session):
            if keys.is_resting(key):
                continue
            attempt = Attempt(target, key, reason, is_last)
            if (trial := breaker.lets_pass()) is None:
                self._note(attempt, breaker.refusal(target.provider.name))
                return
            attempt.trial = trial
            yield attempt
            if not self._key_rests:
                break
        else:
            self._note(Attempt(target, None, reason, is_last), keys.exhausted())
            return
        seconds = refusals.second_try(self._failures[-1][1])
        if seconds is not None and (trial := breaker.lets_pass()):
            yield replace(attempt, trial=trial, wait=seconds)


def merged(body: Any, parameters: Any) -> Any:
    """A body with a route's parameters: objects key by key, null takes a key out (RFC 7396), all else takes its place."""
    if not isinstance(parameters, dict):
        return parameters
    made = dict(body) if isinstance(body, dict) else {}
    for key, value in parameters.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key), value)
    return made
