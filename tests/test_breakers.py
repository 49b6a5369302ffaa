"""When a provider's model is left alone, and when it is asked again."""

from itertools import count

import pytest

from engine.gateway.breakers import PATIENCE, Breaker, Breakers
from engine.gateway.settings import NO_BREAKER, BreakerConfig
from engine.wire.errors import ApiError

BROKEN = ApiError(500, "api_error", "p: broken")
CONFIG = BreakerConfig(failures=3, ratio=0.5, window=4, open=30, probes=2)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(CONFIG, clock)


def tried(breaker: Breaker, *errors: ApiError | None) -> None:
    for error in errors:
        assert breaker.lets_pass()
        breaker.over(error)


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    tried(breaker, None, BROKEN, BROKEN)
    assert breaker.state == "closed"
    tried(breaker, BROKEN)
    assert (breaker.state, breaker.lets_pass()) == ("open", False)


def test_it_opens_where_a_part_of_the_last_failed(breaker: Breaker) -> None:
    tried(breaker, None, BROKEN, None)
    assert breaker.state == "closed"
    tried(breaker, BROKEN)
    assert breaker.state == "open"


@pytest.mark.parametrize("status", [400, 401, 402, 404, 409, 413, 429])
def test_what_is_no_failure_of_the_provider_trips_nothing(status: int, breaker: Breaker) -> None:
    tried(breaker, *[ApiError(status, "t", "w")] * 20)
    assert (breaker.state, breaker.failing) == ("closed", False)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
def test_what_is(status: int, breaker: Breaker) -> None:
    tried(breaker, *[ApiError(status, "t", "w")] * 3)
    assert breaker.state == "open"


def test_after_a_while_some_may_try(breaker: Breaker, clock: Clock) -> None:
    tried(breaker, *[BROKEN] * 3)
    clock.now = 29.9
    assert not breaker.lets_pass()
    clock.now = 30.1
    assert breaker.state == "half_open"
    assert [breaker.lets_pass() for _ in range(3)] == [True, True, False]
    breaker.over(None)
    assert breaker.state == "half_open"
    breaker.over(None)
    assert breaker.state == "closed"
    tried(breaker, BROKEN, None)
    assert breaker.state == "closed"


def test_one_that_fails_then_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    tried(breaker, *[BROKEN] * 3)
    clock.now = 30.1
    tried(breaker, None, BROKEN)
    assert (breaker.state, breaker.told()["seconds"]) == ("open", 30.0)


def test_a_client_that_leaves_makes_room_for_another_try(breaker: Breaker, clock: Clock) -> None:
    tried(breaker, *[BROKEN] * 3)
    clock.now = 30.1
    assert [breaker.lets_pass() for _ in range(3)] == [True, True, False]
    breaker.over(None, known=False)
    assert (breaker.state, breaker.lets_pass(), breaker.lets_pass()) == ("half_open", True, False)


def test_what_was_asked_before_it_opened_changes_nothing(breaker: Breaker, clock: Clock) -> None:
    for _ in range(5):
        assert breaker.lets_pass()
    for _ in range(3):
        breaker.over(BROKEN)
    clock.now = 20.0
    breaker.over(BROKEN)
    breaker.over(None)
    assert breaker.told()["seconds"] == 10.0


@pytest.fixture
def asking(clock: Clock) -> Breaker:
    """One that is open, and whose provider can be asked how it is."""
    breaker = Breaker(CONFIG, clock, asks_first=True)
    assert not breaker.is_due
    tried(breaker, *[BROKEN] * 3)
    return breaker


def test_nothing_is_asked_before_it_is_time(asking: Breaker, clock: Clock) -> None:
    clock.now = 29.9
    assert not asking.is_due
    asking.told_of_health(None)
    assert (asking.state, asking.lets_pass()) == ("open", False)
    clock.now = 30.1
    assert (asking.is_due, asking.state, asking.lets_pass()) == (True, "open", False)


def test_health_lets_the_next_requests_try(asking: Breaker, clock: Clock) -> None:
    clock.now = 30.1
    asking.told_of_health(None)
    assert (asking.is_due, asking.state) == (False, "half_open")
    tried(asking, None, None)
    assert asking.state == "closed"
    tried(asking, *[BROKEN] * 3)
    clock.now = 60.2
    assert (asking.is_due, asking.lets_pass()) == (True, False)


def test_a_provider_that_is_not_well_is_left_alone_again(asking: Breaker, clock: Clock) -> None:
    clock.now = 31.0
    asking.told_of_health(ApiError(504, "timeout_error", "p: silent"))
    assert (asking.is_due, asking.told()) == (False, {"state": "open", "failures": 3, "seconds": 30.0, "why": "p: silent"})
    clock.now = 61.0
    assert (asking.is_due, asking.lets_pass()) == (True, False)


def test_an_answer_that_never_comes_keeps_nothing_shut(asking: Breaker, clock: Clock) -> None:
    clock.now = 30 + PATIENCE - 0.1
    assert not asking.lets_pass()
    clock.now = 30 + PATIENCE
    assert asking.lets_pass()


def test_all_models_of_a_provider_hear_of_its_health() -> None:
    breakers = Breakers(CONFIG._replace(open=0), ask_first=True)
    for model in ("small", "large"):
        tried(breakers.of(model), *[BROKEN] * 3)
    tried(breakers.of("well"), None)
    assert breakers.are_due
    breakers.told_of_health(None)
    assert [(model, breaker.state) for model, breaker in breakers.items()] == [
        ("small", "half_open"),
        ("large", "half_open"),
        ("well", "closed"),
    ]
    assert not breakers.are_due


def test_what_a_client_is_told(breaker: Breaker, clock: Clock) -> None:
    tried(breaker, *[BROKEN] * 3)
    clock.now = 17.5
    told = breaker.refusal("p")
    assert (told.status, told.type, told.retry_after) == (529, "overloaded_error", "13")
    assert told.message == "p: broken (left alone after several failures)"


def test_one_that_nothing_opens() -> None:
    breaker = Breaker(NO_BREAKER)
    tried(breaker, *[BROKEN] * 200)
    assert breaker.state == "closed"


def test_models_that_clients_make_up_are_bounded() -> None:
    breakers = Breakers(CONFIG)
    for number in range(Breakers.MOST + 50):
        tried(breakers.of(f"model {number}"), None)
    assert len(breakers.items()) == Breakers.MOST
    assert breakers.of("model 3") is breakers.of("model 3")


def test_however_requests_end_it_never_stays_shut(breaker: Breaker, clock: Clock) -> None:
    """Every request that passes is over some day; then another passes within the time that it is open."""
    running = 0
    for step in count():
        if step == 3000:
            break
        clock.now += step % 7
        running += breaker.lets_pass()
        if running and step % 3:
            breaker.over([None, BROKEN, None, ApiError(429, "t", "w")][step % 4], known=step % 5 > 0)
            running -= 1
    while running:
        breaker.over(None, known=False)
        running -= 1
    clock.now += 31
    assert breaker.lets_pass()
