"""ccproxy, the hand-written floor and other proxies side by side: `make bench-proxy`.

All sides of a measure follow each other within one round, several rounds long, and what is told are medians over the rounds of
the ratios within each: what else the machine does falls on all alike.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import bodies, report, sides
from bench.answers import TEXT
from bench.pace import Pace
from bench.sides import Server, Upstream, ask

HERE = Path(__file__).parent
MESSAGES = "/v1/messages"

PEERS_TAKE = 4
"""How many times as long peers are measured: some answer fewer than ten streams a second."""

STARTS = 9
"""Of each, since one takes less than what else a machine does in a moment."""

MANY = 32
"""Connections at once, where it is told how many requests a second are served."""


@dataclass(frozen=True)
class Load:
    """Requests that wrk sends over so many connections. `formats`: they are about ccproxy's own formats, which peers have not."""

    name: str
    body: Mapping[str, Any]
    connections: int
    formats: bool = False
    tls: bool = False


def loads() -> list[Load]:
    own = {name: bodies.small(model=f"{name}/bench", stream=name == "gemini") for name in ("responses", "gemini")}
    return [
        Load("small", bodies.small(), MANY),
        Load("stream", bodies.small(stream=True), MANY),
        Load("small, alone", bodies.small(), 1),
        Load("stream, alone", bodies.small(stream=True), 1),
        Load("300 KB", bodies.session(), 1),
        Load("200 turns", bodies.turns(), 1),
        Load("1 MB of images", bodies.images(), 1),
        Load("small, Responses", own["responses"], MANY, formats=True),
        Load("stream, Responses", {**own["responses"], "stream": True}, MANY, formats=True),
        Load("stream, Gemini", own["gemini"], MANY, formats=True),
        Load("small, TLS", bodies.small(model="tls/bench"), MANY, formats=True, tls=True),
        Load("stream, TLS", bodies.small(model="tls/bench", stream=True), MANY, formats=True, tls=True),
    ]


@dataclass
class Side:
    """One of those that are compared. `server` is known where it was started here, and `tls` is another that asks over TLS."""

    name: str
    url: str
    server: Server | None = None
    tls: Server | None = None
    cannot: dict[str, str] = field(default_factory=dict)  # loads that it fails at, and how

    def serves(self, load: Load) -> bool:
        return load.name not in self.cannot and (self.server is not None or not load.formats)

    def place(self, load: Load) -> tuple[str, Server | None]:
        """Where a load goes."""
        return (self.tls.url, self.tls) if load.tls and self.tls else (self.url, self.server)


# Measuring


def wrk(url: str, body: Mapping[str, Any], connections: int, seconds: float) -> dict[str, float]:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        Path(file.name).write_bytes(bodies.written(body))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s", "-s", HERE / "post.lua"]
        done = subprocess.run([*command, url + MESSAGES], env=os.environ | {"BODY": file.name}, capture_output=True, check=True)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if told["failed"]:
        raise RuntimeError(f"{url}: {told['failed']:.0f} requests failed")
    return told


def measure(side: Side, load: Load, seconds: float) -> dict[str, float]:
    """Requests a second, milliseconds a request, and microseconds of the processor for each."""
    url, server = side.place(load)
    before = server.cpu_seconds() if server else 0.0
    told = wrk(url, load.body, load.connections, seconds)
    if told["requests"] < load.connections:  # nothing can be said of a time in which not everyone had an answer
        return measure(side, load, seconds * 2)
    measured = {"rate": told["requests"] / told["seconds"], "p50": told["p50"], "p99": told["p99"]}
    if server:
        measured["cpu"] = (server.cpu_seconds() - before) / told["requests"] * 1e6
    return measured


def check(side: Side, load: Load) -> None:
    """Raises RuntimeError where the answer is not what the canned provider said."""
    url, _ = side.place(load)
    answer = ask(url, MESSAGES, bodies.written(load.body))
    if load.body["stream"]:
        told = [json.loads(line[5:]) for line in answer.splitlines() if line.startswith(b"data:")]
        if told[-1]["type"] != "message_stop":
            raise RuntimeError(f"the stream ends in {told[-1]}")
        text = "".join(event["delta"].get("text", "") for event in told if event["type"] == "content_block_delta")
    else:
        text = "".join(block.get("text", "") for block in json.loads(answer)["content"])
    if text != TEXT:
        raise RuntimeError(f"the text is {text[:100]!r}")


def under_load(here: list[Side], rounds: int, seconds: float) -> dict[str, dict[str, list[dict[str, float]]]]:
    """By load and side, a measure for each round."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for load in loads():
        for side in here:
            try:
                if side.serves(load):
                    check(side, load)
            except (RuntimeError, LookupError, ValueError, OSError) as error:
                if side.server:
                    raise
                side.cannot[load.name] = str(error)
    for number in range(rounds):
        for load in loads():
            tell(f"round {number + 1} of {rounds}: {load.name}")
            for side in here:
                if side.serves(load):
                    takes = seconds if side.server else seconds * PEERS_TAKE
                    if number == 0:
                        wrk(side.place(load)[0], load.body, load.connections, 1)  # to warm up
                    found.setdefault(load.name, {}).setdefault(side.name, []).append(measure(side, load, takes))
    return found


def by_the_clock(
    here: list[Side], pace: Pace, rounds: int, seconds: float, streams: int
) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Streams by the clock: how late each chunk comes with many at once, and how late the first one with a single one."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {"delay": {}, "first": {}}
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}: {streams} paced streams")
        for side in here:
            path = MESSAGES if side.name != "direct" else "/v1/chat/completions"
            delays, _ = pace.watch(side.url, path, streams=streams, chunks=100, seconds=seconds)
            _, first = pace.watch(side.url, path, streams=1, chunks=3, seconds=seconds)
            found["delay"].setdefault(side.name, []).append(percentiles(delays))
            found["first"].setdefault(side.name, []).append(percentiles(first))
    return found


def scaling(folder: Path, canned: Upstream, rounds: int, seconds: float) -> dict[str, dict[str, list[dict[str, float]]]]:
    """By load and number of workers, a measure for each round, and how many cores were `busy` then, with whatever work."""
    cores, found = os.cpu_count() or 1, {}
    shared = [
        Load("small", bodies.small(), MANY),
        Load("stream", bodies.small(stream=True), MANY),
        Load("200 turns", bodies.turns(), MANY),
    ]
    with ExitStack() as stack:
        servers = {number: stack.enter_context(sides.proxy(folder, canned, "--workers", number)) for number in ("1", "2")}
        for load in shared:
            found[load.name] = {number: [] for number in servers}
            for server in servers.values():
                server.wait()
                wrk(server.url, load.body, load.connections, 1)
            for turn in range(rounds):
                tell(f"round {turn + 1} of {rounds}: {load.name}, one and two workers")
                for number, server in servers.items():
                    began, idle = time.monotonic(), _idle()
                    measured = measure(Side(number, server.url, server), load, seconds)
                    measured["busy"] = cores - (_idle() - idle) / (time.monotonic() - began)
                    found[load.name][number].append(measured)
    return found


def _idle() -> float:
    """The seconds for which cores had nothing to do since the machine was started, all cores added up (proc_uptime(5))."""
    return float(Path("/proc/uptime").read_text().split()[1])


def percentiles(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    return {"p50": values[len(values) // 2], "p99": values[len(values) * 99 // 100], "count": len(values)}


def starts(folder: Path, canned: Upstream) -> dict[str, dict[str, list[float]]]:
    """Seconds from the command to the first answer, and to the first that was translated; one provider each."""
    body = bodies.written(bodies.small())
    makes: dict[str, Callable[[], Any]] = {
        "bare": lambda: sides.bare(folder),
        "floor": lambda: sides.floor(folder, canned),
        "ccproxy": lambda: sides.proxy(folder, canned, providers=["chat"]),
    }
    found: dict[str, dict[str, list[float]]] = {"answer": {}, "translated": {}, "idle": {}}
    with makes["ccproxy"]() as server:
        server.wait()  # the first start of all compiles what the others find
    for number in range(STARTS):
        tell(f"start {number + 1} of {STARTS}")
        for name, make in makes.items():
            for what, request in (("answer", ("/health",)), ("translated", (MESSAGES, body))):
                if name == "bare" and what == "translated":
                    continue
                began = time.perf_counter()
                with make() as server:
                    server.wait(*request)
                    found[what].setdefault(name, []).append(time.perf_counter() - began)
                    if what == "answer":
                        time.sleep(0.5)
                        found["idle"].setdefault(name, []).append(server.resident())
    return found


def memory(folder: Path, canned: Upstream, requests: int) -> dict[str, list[tuple[int, float]]]:
    """How many requests, small ones and streams in turn, and the memory then."""
    found: dict[str, list[tuple[int, float]]] = {}
    for name, make in (("floor", sides.floor), ("ccproxy", sides.proxy)):
        with make(folder, canned) as server:
            server.wait()
            time.sleep(3)  # what is read when nobody waits is read before it is looked at
            count, found[name] = 0, [(0, server.resident())]
            while count < requests:
                for stream in (False, True):
                    count += int(wrk(server.url, bodies.small(stream=stream), MANY, 2)["requests"])
                found[name].append((count, server.resident()))
                tell(f"memory of {name}: {count} of {requests} requests")
    return found


# Where and what


def machine() -> dict[str, Any]:
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return {
        "processor": cpu.partition(":")[2].strip() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("granian", "uvloop", "httptools", "orjson", "aiohttp")}
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    return {"ccproxy": commit or version("ccproxy"), **packages}


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-proxy", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=URL", help="another proxy that asks the canned one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of each measure in each round")
    parser.add_argument("--streams", type=int, default=100, help="paced streams at once")
    parser.add_argument("--requests", type=int, default=100_000, help="after which the memory is looked at")
    parser.add_argument("--port", type=int, default=8455, help="of the canned providers; TLS has the next one")
    options = parser.parse_args()
    for program, package in (("wrk", "wrk"), ("openssl", "openssl"), ("cc", "gcc")):
        if shutil.which(program) is None:
            sys.exit(f"bench-proxy needs {program}: apt-get install {package}")
    results = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "versions": versions()}
    results["options"] = {name: value for name, value in vars(options).items() if name != "peer"}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        pace = Pace(folder, options.port)
        with sides.upstream(folder, options.port) as canned:
            results["start"] = starts(folder, canned)
            results["memory"] = memory(folder, canned, options.requests)
            results["workers"] = scaling(folder, canned, options.rounds, options.seconds)
            here = list(_sides(folder, canned, stack, options.peer))
            results["load"] = under_load(here, options.rounds, options.seconds)
        results["cannot"] = {side.name: side.cannot for side in here if side.cannot}
        direct = Side("direct", f"http://127.0.0.1:{options.port}")
        paced = [side for side in [direct, *here] if "stream" not in side.cannot]
        results["paced"] = by_the_clock(paced, pace, options.rounds, options.seconds, options.streams)
    results["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    file = HERE / "results" / f"{results['when'][:16].replace(':', '')}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")
    print(report.page(results))
    tell(f"kept in {file.relative_to(HERE.parent)}")


def _sides(folder: Path, canned: Upstream, stack: ExitStack, peers: list[str]) -> Iterator[Side]:
    floor = stack.enter_context(sides.floor(folder, canned))
    secure = stack.enter_context(sides.floor(folder, canned, tls=True))
    looped = stack.enter_context(sides.floor(folder, canned, "uvloop"))
    looped_secure = stack.enter_context(sides.floor(folder, canned, "uvloop", tls=True))
    proxy = stack.enter_context(sides.proxy(folder, canned))
    for server in (floor, secure, looped, looped_secure, proxy):
        server.wait()
    yield Side("floor", floor.url, floor, secure)
    yield Side("floor on uvloop", looped.url, looped, looped_secure)
    yield Side("ccproxy", proxy.url, proxy)
    for peer in peers:
        name, _, url = peer.partition("=")
        yield Side(name, url.rstrip("/"))


if __name__ == "__main__":
    main()
