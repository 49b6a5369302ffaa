"""What is counted while requests are served: how many, how they ended, tokens, cost, times, losses.

All of it is bounded, and can be added up: of several workers each counts for itself.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from math import log2
from time import time
from typing import Any, NamedTuple

USAGE = {
    "input_tokens": "input_price",
    "output_tokens": "output_price",
    "cache_read_tokens": "cache_read_price",
    "cache_write_tokens": "cache_write_price",
}
"""What is counted of an answer's usage, and what a million of it costs (mapping/words.py, MODEL_FACTS)."""

STEPS = 8
"""Buckets for each doubling of a time: a quantile is then at most 5 % off."""

MINUTES = 60
ERRORS = 50
MOST_WAYS = 500
"""Clients name models, so what is counted by name has to end somewhere; the rest is counted as `other`."""


class Times:
    """How long something took, in seconds: a histogram of ever wider buckets."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[round(log2(seconds) * STEPS) if seconds > 1e-6 else -20 * STEPS] += 1
        self.total += seconds

    def __iadd__(self, other: "Times") -> "Times":
        self.buckets.update(other.buckets)
        self.total += other.total
        return self

    def quantile(self, part: float) -> float | None:
        """The seconds that this part of all stay under; None where there are none."""
        left = part * self.buckets.total()
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return float(2 ** (bucket / STEPS))
        return None


@dataclass(slots=True)
class Tally:
    """What is counted of requests that have something in common.

    `own` is the proxy's own time until the first byte, `first` the time until the first token of a stream.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    cost: float | None = None
    whole: Times = field(default_factory=Times)
    first: Times = field(default_factory=Times)
    own: Times = field(default_factory=Times)

    @property
    def requests(self) -> int:
        return self.statuses.total()

    @property
    def errors(self) -> int:
        """Those that failed; that a client has left is no failure."""
        return sum(count for status, count in self.statuses.items() if status >= 400 and status != 499)

    def add(self, call: "Call") -> None:
        """One more request."""
        self.statuses[call.status] += 1
        for kind, count in call.tokens.items():
            self.tokens[kind] += count
        cost = call.cost
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost
        self.whole.add(call.whole)
        if call.first is not None:
            self.first.add(call.first)
        if call.own is not None:
            self.own.add(call.own)

    def __iadd__(self, other: "Tally") -> "Tally":
        self.statuses.update(other.statuses)
        self.tokens.update(other.tokens)
        if other.cost is not None:
            self.cost = (self.cost or 0.0) + other.cost
        self.whole += other.whole
        self.first += other.first
        self.own += other.own
        return self


class Way(NamedTuple):
    """Which way a request went, and for whom."""

    route: str
    provider: str
    model: str
    key: str | None


OTHER = Way("other", "other", "other", None)


@dataclass(slots=True)
class Call:
    """A request while it runs, and what became of it. Times are in seconds; `written` are characters of its answer."""

    id: str
    key: str | None = None
    session: str | None = None
    stream: bool = False
    began: float = field(default_factory=time)
    route: str = "-"
    provider: str = "-"
    model: str = "-"
    prices: Mapping[str, float] = field(default_factory=dict)
    written: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    error: tuple[str, str] | None = None
    whole: float = 0.0
    first: float | None = None
    own: float | None = None

    @property
    def way(self) -> Way:
        return Way(self.route, self.provider, self.model, self.key)

    @property
    def cost(self) -> float | None:
        """In USD; None where no price is known. What has no price of its own in the cache costs what input does."""
        usual = self.prices.get("input_price")
        if usual is None:
            return None
        return sum(count * self.prices.get(USAGE[kind], usual) for kind, count in self.tokens.items()) / 1e6


class Failed(NamedTuple):
    """An error that a client was told."""

    at: float
    id: str
    route: str
    provider: str
    model: str
    status: int
    type: str
    message: str


@dataclass(slots=True)
class Metrics:
    """All that a process counts. `lost` is by provider, field and reason, `failed` attempts by provider, model and status.

    What `minute` has brought is counted in `latest`, once for each request, and is not among the other tallies until it is
    `settle`d there.
    """

    running: dict[str, Call] = field(default_factory=dict)
    minute: int = 0
    latest: dict[Way, Tally] = field(default_factory=dict)
    ways: dict[Way, Tally] = field(default_factory=dict)
    minutes: dict[int, Tally] = field(default_factory=dict)
    day: date = field(default_factory=date.today)
    today: dict[tuple[str, str], Tally] = field(default_factory=dict)
    lost: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    failed: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    errors: deque[Failed] = field(default_factory=lambda: deque(maxlen=ERRORS))

    def begin(self, call: Call) -> None:
        self.running[call.id] = call

    def end(self, call: Call) -> None:
        """The call is over, and says what became of it."""
        self.running.pop(call.id, None)
        minute = int(time() // 60)
        if minute != self.minute:
            self._begin_minute(minute)
        _of(self.latest, call.way, OTHER).add(call)
        for name, reason in call.lost.items():
            _count(self.lost, (call.provider, name, reason), (call.provider, "other", ""))
        if call.error:
            self.errors.append(Failed(time(), call.id, call.route, call.provider, call.model, call.status, *call.error))

    def attempt_failed(self, provider: str, model: str, status: int) -> None:
        """A provider did not answer, whatever came after it."""
        _count(self.failed, (provider, model, status), (provider, "other", status))

    def settle(self) -> None:
        """Count what `minute` has brought so far among all the rest."""
        for way, tally in self.latest.items():
            for tallies, key, other in (
                (self.ways, way, OTHER),
                (self.today, way[1:3], OTHER[1:3]),
                (self.minutes, self.minute, self.minute),
            ):
                whole = _of(tallies, key, other)
                whole += tally
        self.latest.clear()

    def _begin_minute(self, minute: int) -> None:
        """What is older than the hour is forgotten, and yesterday."""
        self.settle()
        self.minute = minute
        for old in [one for one in self.minutes if one <= minute - MINUTES]:
            del self.minutes[old]
        if self.day != date.today():
            self.day = date.today()
            self.today.clear()

    def __iadd__(self, other: "Metrics") -> "Metrics":
        other.settle()
        self.running |= other.running
        for mine, theirs in ((self.ways, other.ways), (self.minutes, other.minutes)):
            _add(mine, theirs)
        if self.day == other.day:
            _add(self.today, other.today)
        for name in ("lost", "failed", "refused"):
            getattr(self, name).update(getattr(other, name))
        self.errors = deque(sorted([*self.errors, *other.errors], key=lambda error: error.at), maxlen=ERRORS)
        return self


def _of(tallies: dict[Any, Tally], key: Any, other: Any) -> Tally:
    if key not in tallies:
        key = key if len(tallies) < MOST_WAYS else other
        return tallies.setdefault(key, Tally())
    return tallies[key]


def _count(counter: Counter[Any], key: Any, other: Any) -> None:
    counter[key if key in counter or len(counter) < MOST_WAYS else other] += 1


def _add(mine: dict[Any, Tally], theirs: Mapping[Any, Tally]) -> None:
    for key, tally in theirs.items():
        mine.setdefault(key, Tally())
        mine[key] += tally


def added(all: Iterable[Metrics]) -> Metrics:
    """What several processes have counted together."""
    together = Metrics()
    for one in all:
        together += one
    return together
