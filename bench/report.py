"""Results as tables and as a picture; `python -m bench.report` puts the newest into docs/performance.md."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
PICTURE = PAGE.with_suffix(".svg")
BEGIN, END = "<!-- results: make bench-docs -->", "<!-- end of results -->"

Results = dict[str, Any]

FEW = 6
"""Looks at the memory from which on a trend can be told."""

PART_OF_ALLOWED = 0.8
"""That two workers should serve of what the machine has cores for."""

OURS = ("direct", "bare", "floor", "floor on uvloop", "ccproxy")
SIDES = ("floor", "floor on uvloop", "ccproxy")

ASKED_OF_PEERS = {
    "litellm": {"small": 60, "stream": 150, "300 KB": 12},
    "claude-code-router": {"small": 4, "stream": 6, "300 KB": 18},
}


@dataclass(frozen=True)
class Row:
    """A measure: what the floor, the floor on uvloop and the proxy come to, how it compares with the first, and what is asked."""

    name: str
    floor: str
    looped: str
    ccproxy: str
    compared: str
    asked: str = ""
    met: bool = True

    def __str__(self) -> str:
        asked = f"{self.asked} {'✓' if self.met else '✗'}" if self.asked else ""
        return f"| {self.name} | {self.floor} | {self.looped} | {self.ccproxy} | {self.compared} | {asked} |"


def page(results: Results) -> str:
    """The tables of a run, in Markdown."""
    head = "| | floor | on uvloop | ccproxy | compared with the floor | asked |\n|---|---|---|---|---|---|"
    parts = [_where(results), "\n".join([head, *map(str, rows(results))])]
    peers = _peers(results)
    if peers:
        names = [name for name in results["load"]["small"] if name not in OURS]
        parts.append("\n".join([f"| | ccproxy | {' | '.join(names)} |", "|---|---|" + "---|" * len(names), *peers]))
    for name, loads in results.get("cannot", {}).items():
        parts += [f"{name} fails at “{load}”: `{why}`" for load, why in loads.items()]
    return "\n\n".join(parts) + "\n"


def _where(results: Results) -> str:
    at, versions = results["machine"], results["versions"]
    busy = " The machine had other work to do: times are longer than they would be, and ratios rougher."
    return (
        f"{results['when'][:10]}: {at['processor']}, {at['cores']} cores, {at['memory_gb']} GB, {at['system']}, Python "
        f"{at['python']}; load before the run {at['load_before']}. "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f". Medians of {results['options']['rounds']} rounds."
        + (busy if at["load_before"] > 0.25 * at["cores"] else "")
    )


# Rows


def rows(results: Results) -> list[Row]:
    load = results["load"]
    found = [_rate(name, load, 0.7) for name in ("small", "stream")]
    found += [_added(name, load, 0.4 if name == "small, alone" else None) for name in ("small, alone", "stream, alone")]
    found += [_slower(name, load, 2.5 if name == "300 KB" else None) for name in ("300 KB", "200 turns", "1 MB of images")]
    found += [_rate(name, load) for name in load if "Responses" in name or "Gemini" in name or "TLS" in name]
    found += [_cpu(name, load) for name in ("small", "stream", "300 KB")]
    return [*found, *_clock(results), *_scaling(results), *_starts(results["start"]), *_memory(results)]


def _rate(name: str, load: Results, asked: float | None = None) -> Row:
    part = _ratio(load[name], "rate")
    told = [f"{_median(load[name][side], 'rate'):,.0f}/s" for side in SIDES]
    return Row(f"{name}, 32 connections", *told, f"{part:.0%}", f"≥ {asked:.0%}" if asked else "", part >= (asked or 0))


def _added(name: str, load: Results, asked: float | None) -> Row:
    added = _over_rounds(load[name], lambda ours, floors: ours["p50"] - floors["p50"])
    told = [f"{_median(load[name][side], 'p50'):.2f} ms" for side in SIDES]
    return Row(f"{name}, p50", *told, f"{added:+.2f} ms", f"≤ +{asked} ms" if asked else "", added <= (asked or added))


def _slower(name: str, load: Results, asked: float | None) -> Row:
    times = _ratio(load[name], "p50")
    told = [f"{_median(load[name][side], 'p50'):.2f} ms" for side in SIDES]
    return Row(f"{name}, alone, p50", *told, f"{times:.1f} ×", f"≤ {asked} ×" if asked else "", times <= (asked or times))


def _cpu(name: str, load: Results) -> Row:
    told = [f"{_median(load[name][side], 'cpu'):,.0f} µs" for side in SIDES]
    return Row(f"{name}: processor for each", *told, f"{_ratio(load[name], 'cpu'):.1f} ×")


def _clock(results: Results) -> list[Row]:
    paced, streams = results["paced"], results["options"]["streams"]
    first, delay = paced["first"], paced["delay"]

    def added(measured: Results, side: str, what: str) -> float:
        pairs = zip(measured[side], measured["direct"], strict=True)
        return median(ours[what] - direct[what] for ours, direct in pairs)

    def row(name: str, measured: Results, what: str, asked: float | None) -> Row:
        floors, looped, ours = (added(measured, side, what) for side in SIDES)
        told = f"≤ {asked:g} ms" if asked else ""
        return Row(
            name,
            f"{floors:+.2f} ms",
            f"{looped:+.2f} ms",
            f"{ours:+.2f} ms",
            f"{ours - floors:+.2f} ms",
            told,
            ours <= (asked or ours),
        )

    return [
        row("added to the time to the first token, p50", first, "p50", 1),
        row(f"added to a chunk, {streams} paced streams, p50", delay, "p50", None),
        row(f"added to a chunk, {streams} paced streams, p99", delay, "p99", 2),
    ]


def _scaling(results: Results) -> list[Row]:
    """What two workers serve, against one on the same cores, of which the load and the canned providers take their part."""
    cores, made = results["machine"]["cores"], []
    for name, (ones, twos) in ((name, by_number.values()) for name, by_number in results.get("workers", {}).items()):
        pairs = list(zip(ones, twos, strict=True))
        times = median(two["rate"] / one["rate"] for one, two in pairs)
        allowed = median(min(2, cores / one["busy"]) for one in ones)
        cost = median(two["cpu"] / one["cpu"] for one, two in pairs)
        rate = f"{_median(twos, 'rate'):,.0f}/s"
        one = f"{times:.2f} × one's {_median(ones, 'rate'):,.0f}/s"
        compared = f"{one}, where {cores} cores allow {allowed:.2f}; each at {cost:.2f} × the processor"
        asked = f"≥ {PART_OF_ALLOWED:.0%} of allowed"
        made.append(Row(f"{name}, two workers", "", "", rate, compared, asked, times >= PART_OF_ALLOWED * allowed))
    return made


def _starts(start: Results) -> list[Row]:
    bare = median(start["answer"]["bare"])
    made = []
    for name, what, asked in (("first answer", "answer", 2), ("first translated answer", "translated", 3)):
        floors, ours = (median(start[what][side]) for side in ("floor", "ccproxy"))
        told = [f"{floors:.2f} s", "", f"{ours:.2f} s", f"{ours / bare:.1f} × bare Granian's {bare:.2f} s"]
        made.append(Row(f"start to {name}", *told, f"≤ {asked} ×", ours <= asked * bare))
    return made


def _memory(results: Results) -> list[Row]:
    idle = {side: median(values) for side, values in results["start"]["idle"].items()}
    times = idle["ccproxy"] / idle["bare"]
    compared = f"{times:.1f} × bare Granian's {idle['bare']:.0f} MB"
    told = {side: f"{size:.0f} MB" for side, size in idle.items()}
    made = [Row("resident, idle", told["floor"], "", told["ccproxy"], compared, "≤ 1.7 ×", times <= 1.7)]
    kept = {side: f"{samples[-1][1]:.0f} MB" for side, samples in results["memory"].items()}
    samples = results["memory"]["ccproxy"]
    name = f"resident, after {samples[-1][0]:,} requests"
    if len(samples) < FEW:
        return [*made, Row(name, kept["floor"], "", kept["ccproxy"], "too few to tell whether it grows")]
    warm = next(size for count, size in samples if count >= 0.2 * samples[-1][0])
    grown = samples[-1][1] / warm - 1
    return [
        *made,
        Row(name, kept["floor"], "", kept["ccproxy"], f"{grown:+.0%} since the first fifth of them", "flat", grown < 0.03),
    ]


def _peers(results: Results) -> list[str]:
    load = results["load"]
    names = [name for name in load["small"] if name not in OURS]
    lines = []
    for name, what in (("small", "rate"), ("stream", "rate"), ("small, alone", "p50"), *((one, "p50") for one in LARGE)):
        cells = []
        for peer in names:
            if peer not in load[name]:
                cells.append("fails")
                continue
            ours, theirs = (_median(load[name][side], what) for side in ("ccproxy", peer))
            times = ours / theirs if what == "rate" else theirs / ours
            asked = ASKED_OF_PEERS.get(peer, {}).get(name)
            told = f", asked {asked} × {'✓' if times >= asked else '✗'}" if asked else ""
            cells.append(f"{_told(theirs, what)}: {times:,.1f} ×{told}")
        if cells:
            lines.append(f"| {name} | {_told(_median(load[name]['ccproxy'], what), what)} | {' | '.join(cells)} |")
    return lines


LARGE = ("300 KB", "200 turns", "1 MB of images")


def _told(value: float, what: str) -> str:
    return f"{value:,.0f}/s" if what == "rate" else f"{value:.2f} ms"


def _median(runs: list[dict[str, float]], what: str) -> float:
    return median(run[what] for run in runs)


def _over_rounds(measured: Results, compare: Callable[[Results, Results], float], side: str = "ccproxy") -> float:
    return median(compare(ours, floors) for ours, floors in zip(measured[side], measured["floor"], strict=True))


def _ratio(measured: Results, what: str, side: str = "ccproxy") -> float:
    return _over_rounds(measured, lambda ours, floors: ours[what] / floors[what], side)


# The picture

_COLOURS = ("#9aa5b1", "#0f766e", "#b45309", "#7c3aed", "#be123c")
_BAR, _LEFT, _WIDTH = 14, 170, 520


def picture(results: Results) -> str:
    """How fast each side is at each load, the floor being 100 %: requests a second, or the inverse of the time of one."""
    load = results["load"]
    sides = list(load["small"])
    parts: list[str] = []
    y = 40
    for name, measured in load.items():
        parts.append(f'<text x="{_LEFT - 8}" y="{y + _BAR * len(measured) / 2 + 4}" text-anchor="end">{escape(name)}</text>')
        for side in measured:
            alone = "alone" in name or name in LARGE
            part = 1 / _ratio(measured, "p50", side) if alone else _ratio(measured, "rate", side)
            fill, width = _COLOURS[sides.index(side) % len(_COLOURS)], max(1.0, part * _WIDTH)
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{fill}"/>')
            parts.append(f'<text x="{_LEFT + width + 5:.1f}" y="{y + 10}" class="value">{part:.1%}</text>')
            y += _BAR
        y += 8
    legend = _LEFT
    for number, side in enumerate(sides):
        parts.append(f'<rect x="{legend}" y="12" width="10" height="10" fill="{_COLOURS[number % len(_COLOURS)]}"/>')
        parts.append(f'<text x="{legend + 15}" y="21">{escape(side)}</text>')
        legend += 30 + 8 * len(side)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 80}" height="{y}" font-family="sans-serif">',
            "<style>text { font-size: 12px; fill: #1f2933 } .value { font-size: 10px; fill: #52606d }</style>",
            f'<rect width="{_LEFT + _WIDTH + 80}" height="{y}" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def main() -> None:
    newest = max((HERE / "results").glob("*.json"))
    results = json.loads(newest.read_text())
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n\n{page(results)}\n{END}{tail}")
    PICTURE.write_text(picture(results))


if __name__ == "__main__":
    main()
