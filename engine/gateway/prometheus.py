"""What was counted, in the form that Prometheus reads. https://prometheus.io/docs/instrumenting/exposition_formats/"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.gateway.metrics import STEPS, USAGE, Metrics, Times, Way

__all__ = ["CONTENT_TYPE", "exposition"]

LABELS = ("route", "provider", "model", "key")
EDGES = range(-13, 11)
"""The buckets' upper edges, as powers of two: from an eighth of a millisecond to seventeen minutes."""


def exposition(metrics: Metrics, breakers: Sequence[Mapping[str, Any]], version: str, uptime: float) -> bytes:
    """The text of a scrape; `breakers` as `/status` tells of them, `uptime` in seconds."""
    return generate_latest(_Collector(metrics, breakers, version, uptime))


class _Collector(Collector):
    def __init__(self, metrics: Metrics, breakers: Sequence[Mapping[str, Any]], version: str, uptime: float):
        self._metrics = metrics
        self._breakers = breakers
        self._version = version
        self._uptime = uptime

    def collect(self) -> Iterator[Metric]:
        yield from self._by_way()
        yield from self._others()
        yield from self._now()

    def _by_way(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("ccproxy_requests", "Requests that have ended.", labels=[*LABELS, "status"])
        tokens = CounterMetricFamily("ccproxy_tokens", "Tokens; input is without the cached ones.", labels=[*LABELS, "kind"])
        cost = CounterMetricFamily("ccproxy_cost_dollars", "What they cost, where a price is known.", labels=LABELS)
        whole = HistogramMetricFamily("ccproxy_request_seconds", "From a request to the end of its answer.", labels=LABELS)
        first = HistogramMetricFamily("ccproxy_first_token_seconds", "From a request to the first token.", labels=LABELS)
        own = HistogramMetricFamily("ccproxy_own_seconds", "The proxy's own time until the first byte.", labels=LABELS)
        for way, tally in self._metrics.ways.items():
            labels = _labels(way)
            for status, count in tally.statuses.items():
                requests.add_metric([*labels, str(status)], count)
            for kind in USAGE:
                tokens.add_metric([*labels, kind.removesuffix("_tokens")], tally.tokens[kind])
            if tally.cost is not None:
                cost.add_metric(labels, tally.cost)
            for family, times in ((whole, tally.whole), (first, tally.first), (own, tally.own)):
                if times.buckets:
                    family.add_metric(labels, list(_buckets(times)), times.total)
        yield from (requests, tokens, cost, whole, first, own)

    def _others(self) -> Iterator[Metric]:
        failed = CounterMetricFamily(
            "ccproxy_failed_attempts", "Requests that a provider failed.", labels=["provider", "model", "status"]
        )
        for (provider, model, status), count in self._metrics.failed.items():
            failed.add_metric([provider, model, str(status)], count)
        lost = CounterMetricFamily("ccproxy_lost_fields", "Fields that could not be carried over.", labels=["provider", "field"])
        fields: dict[tuple[str, str], int] = {}
        for (provider, field, _), count in self._metrics.lost.items():
            fields[provider, field] = fields.get((provider, field), 0) + count
        for (provider, field), count in fields.items():
            lost.add_metric([provider, field], count)
        refused = CounterMetricFamily("ccproxy_refused", "Requests that were turned away at the door.", labels=["reason"])
        for reason, count in self._metrics.refused.items():
            refused.add_metric([reason], count)
        yield from (failed, lost, refused)

    def _now(self) -> Iterator[Metric]:
        running = GaugeMetricFamily("ccproxy_requests_running", "Requests that are running.", labels=["provider", "model"])
        counts: dict[tuple[str, str], int] = {}
        for call in self._metrics.running.values():
            counts[call.provider, call.model] = counts.get((call.provider, call.model), 0) + 1
        for labels, count in counts.items():
            running.add_metric(list(labels), count)
        open = GaugeMetricFamily("ccproxy_breaker_open", "Whether a model is left alone.", labels=["provider", "model"])
        for breaker in self._breakers:
            open.add_metric([breaker["provider"], breaker["model"]], breaker["state"] != "closed")
        info = GaugeMetricFamily("ccproxy_build_info", "The version that runs.", labels=["version"])
        info.add_metric([self._version], 1)
        yield from (running, open, info, GaugeMetricFamily("ccproxy_uptime_seconds", "Since the start.", value=self._uptime))


def _labels(way: Way) -> list[str]:
    return [way.route, way.provider, way.model, way.key or ""]


def _buckets(times: Times) -> Iterator[tuple[str, float]]:
    """How many were at most as long as each edge."""
    for edge in EDGES:
        yield f"{2.0**edge:g}", sum(count for bucket, count in times.buckets.items() if bucket <= edge * STEPS)
    yield "+Inf", times.buckets.total()
