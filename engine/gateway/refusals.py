"""What a provider's error means for what is tried next."""

import math
import time
from collections.abc import Iterable

from engine.wire.errors import ApiError

SHORT = 10.0
"""Seconds that a request may wait for the same provider: the client itself asks ten times, and shows that it does."""
BACKOFF = 0.5
"""Seconds before a second try where the provider names no time."""

_REST = {429: 60.0, 401: 600.0, 402: 600.0}
"""By status, the seconds that a key is left alone where the provider names no time."""
LONGEST_REST = 3600.0
"""Seconds after which a key is tried again, whatever the provider has said: what is wrong there may be what it says."""


def wait(error: ApiError) -> float | None:
    """The seconds that a provider asks to wait, which it may say as a date; None where it says nothing."""
    said = error.retry_after
    if said is None:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        from email.utils import parsedate_to_datetime

        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None


def is_the_keys(error: ApiError) -> bool:
    """Whether another key may do better."""
    return error.status in _REST


def rest(error: ApiError) -> float:
    """For how many seconds the key that was refused is left alone."""
    asked = wait(error) if error.status == 429 else None
    return _REST[error.status] if asked is None else min(asked, LONGEST_REST)


def is_the_providers(error: ApiError) -> bool:
    """Whether another provider may do better: not where the request itself is refused, or somebody's key.

    An account without money (402) is mostly told as 429, and is no fault of the request's either.
    """
    return error.status in (402, 409, 429) or error.status >= 500 or error.should_retry is True


def second_try(error: ApiError) -> float | None:
    """After how many seconds the same may be tried once more; None where that is not known to help."""
    seconds = wait(error)
    if error.should_retry is not True or (seconds or 0.0) > SHORT:
        return None
    return BACKOFF if seconds is None else seconds


def empty(provider: str) -> ApiError:
    """What an answer without a word is where another provider may have one."""
    return ApiError(500, "api_error", f"{provider}: the provider gave an empty answer")


def best(errors: Iterable[ApiError]) -> ApiError:
    """The one that tells the client most of what it can do; of equals the first.

    A known time to wait, the shortest; then what passes with time, overload before failures; then what does not pass.
    """
    return min(errors, key=_rank)


def _rank(error: ApiError) -> tuple[int, float]:
    if not is_the_providers(error) or error.should_retry is False:
        return (3, 0.0)
    seconds = wait(error)
    if seconds is not None:
        return (0, seconds)
    return (1 if error.status in (409, 429, 529) else 2, 0.0)


def until(error: ApiError, seconds: float) -> ApiError:
    """The same error with another time to wait."""
    after = None if error.should_retry is False else str(math.ceil(seconds))
    return ApiError(error.status, error.type, error.message, retry_after=after, should_retry=error.should_retry)


class Verbatim(ApiError):
    """A refusal that the client gets as it came: its own status and body, and of its headers those that are passed."""

    def __init__(self, error: ApiError, status: int, data: bytes, headers: list[tuple[str, str]]):
        super().__init__(error.status, error.type, error.message, retry_after=error.retry_after, should_retry=error.should_retry)
        self.own_status = status
        self.data = data
        self.passed = headers
