"""When a provider's model is left alone, and when it is asked again."""

import pytest

from engine.gateway.breakers import PATIENCE, Breaker, Breakers, Trial
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
        breaker.over(let_pass(breaker), error)


def let_pass(breaker: Breaker) -> Trial:
    trial = breaker.lets_pass()
    assert trial
    return trial


def state_and_free(breaker: Breaker) -> tuple[str, int]:
    """The state, and how many requests would be let pass now, of three."""
    state = breaker.state
    trials = [trial for trial in (breaker.lets_pass() for _ in range(3)) if trial]
    for trial in trials:
        breaker.over(trial, None, known=False)
    return state, len(trials)


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    tried(breaker, None, BROKEN, BROKEN)
    assert breaker.state == "closed"
    tried(breaker, BROKEN)
    assert state_and_free(breaker) == ("open", 0)


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
    first, second = let_pass(breaker), let_pass(breaker)
    assert not breaker.lets_pass()
    breaker.over(first, None)
    assert state_and_free(breaker) == ("half_open", 0)
    breaker.over(second, None)
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
    first, _ = let_pass(breaker), let_pass(breaker)
    assert state_and_free(breaker) == ("half_open", 0)
    breaker.over(first, None, known=False)
    assert state_and_free(breaker) == ("half_open", 1)


def test_a_probe_has_passed_when_its_answer_begins(breaker: Breaker, clock: Clock) -> None:
    tried(breaker, *[BROKEN] * 3)
    clock.now = 30.1
    first, second = let_pass(breaker), let_pass(breaker)
    breaker.begins(first)
    breaker.begins(first)
    assert state_and_free(breaker) == ("half_open", 0)
    breaker.begins(second)
    assert state_and_free(breaker) == ("closed", 3)
    breaker.over(first, None)
    breaker.over(second, BROKEN)
    assert (breaker.state, breaker.failing) == ("closed", True)
    tried(breaker, BROKEN, BROKEN)
    assert breaker.state == "open"


def test_a_probe_that_breaks_off_before_the_others_have_passed_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    tried(breaker, *[BROKEN] * 3)
    clock.now = 30.1
    first, second = let_pass(breaker), let_pass(breaker)
    breaker.begins(first)
    breaker.over(first, BROKEN)
    assert breaker.state == "open"
    clock.now = 60.2
    breaker.begins(second)  # of the time before
    breaker.over(second, None)
    assert state_and_free(breaker) == ("half_open", 2)


def test_a_client_that_leaves_in_the_middle_of_an_answer_takes_nothing_back(breaker: Breaker, clock: Clock) -> None:
    tried(breaker, *[BROKEN] * 3)
    clock.now = 30.1
    first = let_pass(breaker)
    breaker.begins(first)
    breaker.over(first, None, known=False)
    assert state_and_free(breaker) == ("half_open", 1)


def test_what_was_asked_before_it_opened_changes_nothing(breaker: Breaker, clock: Clock) -> None:
    trials = [let_pass(breaker) for _ in range(8)]
    for trial in trials[:3]:
        breaker.over(trial, BROKEN)
    clock.now = 20.0
    breaker.over(trials[3], BROKEN)
    breaker.over(trials[4], None)
    assert breaker.told()["seconds"] == 10.0
    clock.now = 30.1
    probe = let_pass(breaker)
    breaker.begins(trials[5])
    breaker.over(trials[5], None)
    breaker.over(trials[6], BROKEN)
    breaker.over(trials[7], None, known=False)
    assert state_and_free(breaker) == ("half_open", 1)
    breaker.over(probe, None)
    assert state_and_free(breaker) == ("half_open", 1)


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
    assert state_and_free(asking) == ("open", 0)
    clock.now = 30.1
    assert (asking.is_due, state_and_free(asking)) == (True, ("open", 0))


def test_health_lets_the_next_requests_try(asking: Breaker, clock: Clock) -> None:
    clock.now = 30.1
    asking.told_of_health(None)
    assert (asking.is_due, asking.state) == (False, "half_open")
    tried(asking, None, None)
    assert asking.state == "closed"
    tried(asking, *[BROKEN] * 3)
    clock.now = 60.2
    assert (asking.is_due, asking.lets_pass()) == (True, None)


def test_a_provider_that_is_not_well_is_left_alone_again(asking: Breaker, clock: Clock) -> None:
    clock.now = 31.0
    asking.told_of_health(ApiError(504, "timeout_error", "p: silent"))
    assert (asking.is_due, asking.told()) == (False, {"state": "open", "failures": 3, "seconds": 30.0, "why": "p: silent"})
    clock.now = 61.0
    assert (asking.is_due, asking.lets_pass()) == (True, None)


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
    running: list[Trial] = []
    for step in range(3000):
        clock.now += step % 7
        if trial := breaker.lets_pass():
            running.append(trial)
        if running and step % 3:
            trial = running.pop(step % len(running))
            if step % 11 > 5:
                breaker.begins(trial)
            breaker.over(trial, [None, BROKEN, None, ApiError(429, "t", "w")][step % 4], known=step % 5 > 0)
    for trial in running:
        breaker.over(trial, None, known=False)
    clock.now += 31
    assert breaker.lets_pass()
