"""`bench`: what a mapping's sections cost, as multiples of a fixed piece of Python that runs beside them.

Turn and turn about, so that whatever else the machine does falls on both alike; what counts is the best round of each.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from timeit import timeit
from typing import Any

import click

from engine import Mapping
from engine.commands.mappings import SHOWN_KEY, load
from engine.commands.telling import bad, fail, or_fail, tell_json
from engine.gateway import catalogue, config
from engine.gateway.providers import folders
from engine.gateway.translation import translate
from engine.mapping.examples import arguments
from engine.wire import jsontext

MODEL = "a-model"
ROUNDS = 40
ROUND = 0.0003
"""Seconds that a round takes at least: the clock's own steps must not count."""
TRIES = 3
"""How often a section that seems too slow is looked at: a busy machine makes any slow, and none fast."""

BUDGET = {
    "endpoint": 8.0,
    "request": 200.0,
    "lost": 4.0,
    "response": 16.0,
    "stream": 8.0,
    "error": 4.0,
    "count_endpoint": 8.0,
    "count_request": 200.0,
    "count": 4.0,
    "health_endpoint": 1.5,
}
"""For each section how many times as long as `by_hand` it may take: half again what the slowest of the built-in ones does."""


@dataclass(frozen=True, slots=True)
class Timed:
    """What one call of a section costs."""

    mapping: str
    section: str
    microseconds: float
    ratio: float

    @property
    def is_over(self) -> bool:
        return self.ratio > BUDGET[self.section]

    def __str__(self) -> str:
        most = BUDGET[self.section]
        return f"{self.mapping}: {self.section} takes {self.ratio:.2f} times as long as the Python beside it; {most} is the most"


@click.command()
@click.argument("mappings", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="For a script.")
def bench(mappings: tuple[str, ...], as_json: bool) -> None:
    """Time mappings against their budget.

    Each section of all mappings, or just of these MAPPINGS, as a multiple of a fixed piece of Python. The exit code is 1 where
    one takes longer than it may.
    """
    names = mappings or tuple(catalogue.files(folders(or_fail(lambda: config.load(config.find(None))))))
    told: list[Timed] = []
    heads = [section for section in BUDGET if not section.startswith("count")]
    width = max(map(len, names)) + 2
    if not as_json:
        click.echo(f"{'MAPPING':{width}}" + "".join(f"{head.upper():>10}" for head in heads))
    for name in names:
        timed = {one.section: one for one in _timed(load(name))}
        told += timed.values()
        if not as_json:
            click.echo(f"{name:{width}}" + "".join(_cell(timed.get(head)) for head in heads))
    if as_json:
        tell_json([{**asdict(one), "budget": BUDGET[one.section]} for one in told])
    slow = [one for one in told if one.is_over]
    if slow:
        fail("\n".join(map(str, slow)))


def _cell(timed: Timed | None) -> str:
    if timed is None:
        return f"{'-':>10}"
    text = f"{timed.ratio:10.2f}"
    return bad(text) if timed.is_over else text


def _timed(mapping: Mapping) -> Iterator[Timed]:
    for name, calls in sample_calls(mapping).items():
        yield _time(mapping.name, name, calls)


def sample_calls(mapping: Mapping) -> dict[str, list[Callable[[], Any]]]:
    """For each section that makes something of what we have for it, the calls that it does that in."""
    found: dict[str, list[Callable[[], Any]]] = {
        name: [
            partial(section.function, *sample) for sample in _samples(mapping, name) if _says_something(section.function, sample)
        ]
        for name, section in mapping.sections.items()
    }
    return {name: calls for name, calls in found.items() if calls}


def _time(mapping: str, section: str, calls: list[Callable[[], Any]]) -> Timed:
    chunks = chat_chunks()
    found: list[Timed] = []
    while len(found) < TRIES and (not found or found[-1].is_over):
        own, other = _side_by_side(lambda: [call() for call in calls], lambda: [by_hand(chunk) for chunk in chunks])
        found.append(Timed(mapping, section, own / len(calls) * 1e6, own / len(calls) / (other / len(chunks))))
    return min(found, key=lambda timed: timed.ratio)


def _side_by_side(*works: Callable[[], Any]) -> list[float]:
    """The seconds that each takes in its best round."""
    counts = [max(1, round(ROUND / timeit(work, number=1))) for work in works]
    rounds = [[timeit(work, number=count) / count for work, count in zip(works, counts, strict=True)] for _ in range(ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


# What sections are given


def _samples(mapping: Mapping, section: str) -> list[tuple[Any, ...]]:
    """The arguments of a section's calls: ours, and those of the mapping's own examples."""
    own = [arguments(example) for example in mapping.examples if example["section"] == section]
    return [*_ours(mapping, section), *own]


def _ours(mapping: Mapping, section: str) -> list[tuple[Any, ...]]:
    asked, answers = _request(), _answers()
    made = translate(mapping.name, mapping, MODEL, asked, jsontext.dumps(asked), request_id="req_bench", key=SHOWN_KEY)
    body = jsontext.loads(made.body) if isinstance(made.body, bytes) else made.body
    base_url = mapping.base_url or ""
    ours: dict[str, list[tuple[Any, ...]]] = {
        "endpoint": [(base_url, MODEL, SHOWN_KEY, True, {})],
        "request": [(made.request, MODEL)],
        "lost": [(made.request | _LOSING, MODEL)],
        "response": [(reply, MODEL) for reply in answers["response"]],
        "stream": [(chunk, MODEL) for chunk in answers["stream"]],
        "error": [(400, reply) for reply in answers["error"]],
        "count_endpoint": [(base_url, MODEL, SHOWN_KEY, {})],
        "count_request": [(body, MODEL)],
        "count": [(reply,) for reply in answers["count"]],
        "health_endpoint": [(base_url, SHOWN_KEY)],
    }
    return ours[section]


_LOSING = {
    "temperature": 0.5,
    "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8, "blocked_domains": ["example.com"]}],
}
"""What many providers cannot be told."""


def _says_something(function: Callable[..., Any], sample: tuple[Any, ...]) -> bool:
    """Whether a section makes something of a sample, which may be of a format that it does not know."""
    try:
        return bool(function(*sample))
    except Exception:  # noqa: BLE001 - what it does not know, it may fail at in any way
        return False


@cache
def _answers() -> dict[str, list[Any]]:
    """What providers answer, of all formats, by the section that reads it."""
    import yaml  # the list of commands is shown without it

    answers: dict[str, list[Any]] = yaml.safe_load(Path(__file__).with_name("samples.yaml").read_text(encoding="utf-8"))
    return answers


def _request() -> dict[str, Any]:
    """A session of Claude Code: thirty tools, ten turns of a call and its result."""
    schema = {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "An absolute path."},
            "limit": {"type": "integer", "minimum": 0},
            "options": {"type": "object", "properties": {"all": {"type": "boolean"}}, "additionalProperties": False},
        },
        "required": ["path"],
    }
    messages: list[dict[str, Any]] = [{"role": "user", "content": "What is in here?"}]
    for number in range(10):
        call = {"type": "tool_use", "id": f"toolu_{number}", "name": "tool_1", "input": {"path": f"/{number}"}}
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "A line of its output.\n" * 20}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    return {
        "model": "claude-opus-5-5",
        "max_tokens": 32_000,
        "stream": True,
        "system": [{"type": "text", "text": "You are a careful engineer."}],
        "tools": [{"name": f"tool_{number}", "description": "A tool.", "input_schema": schema} for number in range(30)],
        "messages": messages,
        "thinking": {"type": "adaptive"},
    }


# The piece of Python beside them


def chat_chunks() -> list[dict[str, Any]]:
    return [chunk for chunk in _answers()["stream"] if "choices" in chunk]


def by_hand(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    """A chunk of a chat stream as one would translate it without a mapping, and without the care that one takes."""
    deltas: list[dict[str, Any]] = []
    choices = chunk.get("choices")
    if choices:
        delta = choices[0].get("delta") or {}
        if delta.get("reasoning_content"):
            deltas.append({"thinking": delta["reasoning_content"]})
        if delta.get("content"):
            deltas.append({"text": delta["content"]})
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            name, json = function.get("name"), function.get("arguments")
            told = {"key": call.get("index"), "id": call.get("id"), "name": name, "json": json}
            deltas.append({"tool": {key: value for key, value in told.items() if value is not None}})
        if choices[0].get("finish_reason"):
            deltas.append({"stop": STOPS.get(choices[0]["finish_reason"], "end_turn")})
    usage = chunk.get("usage")
    if usage:
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        tokens = {"input_tokens": usage["prompt_tokens"] - cached, "cache_read_input_tokens": cached}
        deltas.append({"usage": {**tokens, "output_tokens": usage["completion_tokens"]}})
    return deltas


STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
