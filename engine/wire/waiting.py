"""How long a provider asks to wait, from its headers or its words."""

import math
import re
from collections.abc import Mapping

_UNITS = {"ms": 0.001, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "day": 86400}
# No time has more figures; a longer run of them is not read again from each one.
_PIECE = r"(?<!\d)(\d{1,9}(?:\.\d{1,9})?)\s?(ms|s|sec|second|m|min|minute|h|hour|day)s?(?![a-z])"
_DATE = r"[A-Z][a-z]{2,8},? [\w -]+ \d\d:\d\d:\d\d(?: GMT| \d{4})"  # in any of the forms of RFC 9110, 5.6.7
_ASKED = rf"(?:(?:try again|retry)(?: in| after)|retryDelay\W+)\s*((?:{_PIECE}[\s,]*)+)"


def seconds(headers: Mapping[str, str], words: str) -> str | None:
    """What `retry-after` should say: as a header says it, or the words, or the rate limit that is used up."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return _whole(milliseconds / 1_000)
    after = headers.get("retry-after", "")
    if (number := _number(after)) is not None:
        return _whole(number)
    if re.fullmatch(_DATE, after):
        return after  # as it is: there is no clock in this room
    if asked := re.search(_ASKED, words, re.IGNORECASE):
        return _whole(_duration(asked[1]))
    longest = max((_until_reset(name, headers) for name in headers), default=0.0)
    return _whole(longest) if longest else None


def _until_reset(name: str, headers: Mapping[str, str]) -> float:
    """For the header of a limit with nothing left: how long until it is reset. Some say when instead, which is of no use here."""
    if not name.lower().startswith("x-ratelimit-remaining") or headers[name].strip() != "0":
        return 0
    reset = headers.get(name.lower().replace("remaining", "reset"), "")
    wait = _number(reset) or _duration(reset)
    return wait if wait < 100_000 else 0


def _number(text: str | None) -> float | None:
    """What is no time that anybody can wait for, such as `inf` and `-3`, is as good as unsaid."""
    return float(text) if text and re.fullmatch(r"\s*\d{1,9}(?:\.\d{1,9})?\s*", text) else None


def _duration(text: str) -> float:
    return sum(float(amount) * _UNITS[unit.lower()] for amount, unit in re.findall(_PIECE, text, re.IGNORECASE))


def _whole(amount: float) -> str:
    return str(math.ceil(amount))
