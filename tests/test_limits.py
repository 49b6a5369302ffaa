"""How many requests are admitted."""

import pytest

from engine.gateway.limits import Limiter
from engine.gateway.settings import ClientKey, Config, Limits
from engine.wire.errors import ApiError
from tests.test_breakers import Clock

KEYS = {"alice": ClientKey("k1", Limits(requests_per_minute=2)), "bob": ClientKey("k2", Limits(concurrent=1))}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> Limiter:
    return Limiter(clock)


def once(limiter: Limiter, key: str | None, config: Config) -> tuple[int, str | None]:
    """The status of a request that is over at once, and what its refusal says of when to come back."""
    try:
        limiter.leave(limiter.admit(key, config))
    except ApiError as error:
        return error.status, error.retry_after
    return 200, None


def test_without_limits_all_pass(limiter: Limiter) -> None:
    assert {once(limiter, None, Config()) for _ in range(500)} == {(200, None)}


def test_so_many_a_minute_and_no_more(limiter: Limiter, clock: Clock) -> None:
    config = Config(limits=Limits(requests_per_minute=3))
    told = []
    for at in (0, 10, 20, 30, 59.5, 60, 60.5, 70):
        clock.now = at
        told.append(once(limiter, None, config))
    assert told == [(200, None)] * 3 + [(429, "30"), (429, "1"), (200, None), (429, "10"), (200, None)]


def test_each_key_has_its_own(limiter: Limiter) -> None:
    config = Config(api_keys=KEYS)
    assert [once(limiter, "alice", config)[0] for _ in range(3)] == [200, 200, 429]
    assert [once(limiter, "bob", config)[0] for _ in range(3)] == [200, 200, 200]
    places = limiter.admit("bob", config)
    assert once(limiter, "bob", config) == (429, "1")
    assert once(limiter, None, config) == (200, None)
    limiter.leave(places)
    assert once(limiter, "bob", config) == (200, None)


def test_all_together_are_shed_as_overload(limiter: Limiter) -> None:
    config = Config(limits=Limits(concurrent=2), api_keys=KEYS)
    places = limiter.admit("bob", config), limiter.admit(None, config)
    assert once(limiter, "alice", config) == (529, "1")
    for taken in places:
        limiter.leave(taken)
    assert once(limiter, "alice", config) == (200, None)


def test_who_is_refused_takes_no_place(limiter: Limiter) -> None:
    config = Config(limits=Limits(requests_per_minute=5), api_keys=KEYS)
    assert [once(limiter, "alice", config)[0] for _ in range(20)] == [200] * 2 + [429] * 18
    assert [once(limiter, None, config)[0] for _ in range(4)] == [200] * 3 + [429]


def test_a_limit_that_is_lifted(limiter: Limiter) -> None:
    assert [once(limiter, None, Config(limits=Limits(requests_per_minute=1)))[0] for _ in range(2)] == [200, 429]
    assert once(limiter, None, Config()) == (200, None)
