"""What `/status` tells, and the page at `/` shows. Times are in milliseconds, money in USD."""

from collections.abc import Iterable, Mapping
from time import time
from typing import Any

from engine.gateway.breakers import STATES
from engine.gateway.metrics import MINUTES, USAGE, Call, Metrics, Tally, Times
from engine.gateway.providers import Provider
from engine.gateway.router import Router


def told(metrics: Metrics) -> dict[str, Any]:
    """What was counted, as JSON."""
    total = Tally()
    for tally in metrics.ways.values():
        total += tally
    now = int(time() // 60)
    minutes = {minute: tally for minute, tally in sorted(metrics.minutes.items()) if minute > now - MINUTES}
    return {
        "running": [_running(call) for call in sorted(metrics.running.values(), key=lambda call: call.began)],
        "total": _tally(total),
        "by": [way._asdict() | _tally(tally) for way, tally in metrics.ways.items()],
        "minutes": [{"at": minute * 60} | _tally(tally) for minute, tally in minutes.items()],
        "today": [{"provider": provider, "model": model} | _tally(tally) for (provider, model), tally in metrics.today.items()],
        "lost": [
            {"provider": provider, "field": field, "reason": reason, "count": count}
            for (provider, field, reason), count in metrics.lost.most_common()
        ],
        "refused": dict(metrics.refused),
        "errors": [error._asdict() for error in reversed(metrics.errors)],
    }


def _running(call: Call) -> dict[str, Any]:
    return {
        "id": call.id,
        "seconds": round(time() - call.began, 1),
        **call.way._asdict(),
        "session": call.session,
        "stream": call.stream,
        # Until the provider has counted them: about four characters each.
        "output_tokens": call.tokens.get("output_tokens") or call.written // 4,
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "requests": tally.requests,
        "errors": tally.errors,
        **{kind: tally.tokens[kind] for kind in USAGE},
        "cost": None if tally.cost is None else round(tally.cost, 6),
        "whole_ms": _times(tally.whole),
        "first_ms": _times(tally.first),
        "own_ms": _times(tally.own),
    }


def _times(times: Times) -> dict[str, float] | None:
    if not times.buckets:
        return None
    return {f"p{part}": round((times.quantile(part / 100) or 0.0) * 1000, 2) for part in (50, 95, 99)}


def breakers(providers: Mapping[str, Provider]) -> list[dict[str, Any]]:
    """Those of all providers and models that were asked."""
    return [
        {"provider": provider.name, "model": model} | breaker.told()
        for provider in providers.values()
        for model, breaker in provider.breakers.items()
    ]


def together(told: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Those of several workers: of each model the one that has most to tell."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in (breaker for breakers in told for breaker in breakers):
        name = (one["provider"], one["model"])
        found[name] = max(found.get(name, one), one, key=lambda breaker: (STATES.index(breaker["state"]), breaker["failures"]))
    return list(found.values())


def health(provider: Provider) -> str:
    """How a provider is, by what was last asked of it."""
    asked = [breaker for _, breaker in provider.breakers.items()]
    if not asked:
        return "unknown"
    return "ok" if all(breaker.state == "closed" and not breaker.failing for breaker in asked) else "failing"


def routes(router: Router) -> list[dict[str, Any]]:
    """Where each configured route leads, its fallbacks behind it."""
    return [
        {"name": name, "to": str(route.targets[0]), "fallbacks": [str(target) for target in route.targets[1:]]}
        for name, route in router.routes.items()
    ]
