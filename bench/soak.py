"""A thousand streams at once through one worker, for two minutes, of which five hundred are left at random: `make soak`.

Each stream carries its own mark. It is amiss, and the exit code 1, where a chunk is lost or comes to another client, where a
provider's connection lives on for a second after its client has left, and where the proxy's memory goes on growing.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from bench.sides import Server
from tests.crowd import Client, connect
from tests.running import running
from tests.slow_provider import SlowProvider, slow_provider

GAP = 0.5
"""Seconds between the chunks of a stream."""

SETTLED = 10
"""Seconds after which memory is to be flat."""

FLAT = 1.05
"""What the memory of any later second may come to, held against that of the tenth: an allocator plays with a twentieth."""

CLOSED = 1.0
"""Seconds after a client has left in which the provider's connection is to be closed."""

_HEAD = " second  streams  provider  left   memory  files   CPU  delay P50        P99    own lag"


@dataclass
class Soak:
    """A run: `streams` at any time, of which `leaving` are left, and others take their places."""

    provider: SlowProvider
    proxy: Server
    streams: int
    leaving: int
    seconds: float
    marks: Iterator[int] = field(default_factory=count)
    clients: list[Client] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    async def run(self) -> None:
        self.began = time.monotonic()
        leaving = asyncio.gather(*(self._replace(at) for at in self._moments()))
        watching = asyncio.create_task(self._watch())
        for _ in range(self.streams):
            await self._enter()
            # Not all in step: people are not either.
            await asyncio.sleep(0.9 * SETTLED / 2 / self.streams)
        await leaving
        await asyncio.wait([client.over for client in self.clients], timeout=self.seconds)
        watching.cancel()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def _moments(self) -> list[float]:
        return [random.uniform(SETTLED, self.seconds - SETTLED) for _ in range(self.leaving)]

    async def _enter(self) -> None:
        """One client more, whose stream ends when the time is up."""
        chunks = round((self.seconds - self.elapsed) / GAP)
        self.clients.append(await connect(self.proxy.url, next(self.marks), chunks, GAP))

    async def _replace(self, at: float) -> None:
        await asyncio.sleep(at)
        random.choice([client for client in self.clients if client.received and not client.over.done()]).leave()
        await self._enter()

    async def _watch(self) -> None:
        print(_HEAD)
        cpu, lag = self.proxy.cpu_seconds(), 0.0
        for second in count(1):
            await asyncio.sleep(second - self.elapsed)
            # How late this wakes says how busy the machine is, apart from the proxy.
            lag = max(lag, self.elapsed - second)
            self.memory.append(self.proxy.resident())
            if second % SETTLED == 0:
                now = self.proxy.cpu_seconds()
                print(self._row(second, (now - cpu) / SETTLED, lag), flush=True)
                cpu, lag = now, 0.0

    def _row(self, second: int, cpu: float, lag: float) -> str:
        running = sum(not client.over.done() for client in self.clients)
        left = sum(client.left_at is not None for client in self.clients)
        delays = sorted(self._delays())
        half, most = (quantiles(delays, n=100)[part] for part in (49, 98))
        files = sum(1 for _ in Path(f"/proc/{self.proxy.process.pid}/fd").iterdir())
        return (
            f"{second:7}{running:9,}{self.provider.running:10,}{left:6}{self.memory[-1]:6.1f} MB{files:7,}{cpu:6.0%}"
            f"{half:8.1f} ms{most:8.1f} ms{lag * 1000:8.1f} ms"
        )

    def _delays(self) -> Iterator[float]:
        """Those of all chunks since the last time."""
        for client in self.clients:
            yield from client.delays
            client.delays.clear()

    # What came of it

    def amiss(self) -> list[str]:
        """All that is not as it should be."""
        wrong = [client.over.result() if client.over.done() else "a stream did not end" for client in self.clients]
        return [*filter(None, wrong), *self._connections_amiss(), *self._memory_amiss()]

    def closed_after(self) -> dict[int, float]:
        """How many seconds after its client had left each of the provider's connections was closed."""
        closed = self.provider.all("left")
        left = {client.mark: client.left_at for client in self.clients if client.left_at}
        return {mark: (closed[mark] - at) / 1e9 for mark, at in left.items() if mark in closed}

    def _connections_amiss(self) -> Iterator[str]:
        left = {client.mark for client in self.clients if client.left_at}
        if len(left) != self.leaving:
            yield f"{len(left)} clients have left in place of {self.leaving}"
        if others := self.provider.all("left").keys() - left:
            yield f"the provider's connections of {len(others)} clients that had not left were closed"
        if open := left - self.closed_after().keys():
            yield f"the provider's connections of {len(open)} clients that had left stayed open"
        if slow := [after for after in self.closed_after().values() if after > CLOSED]:
            yield f"{len(slow)} of the provider's connections were closed late, the last after {max(slow):.1f} s"
        if self.provider.running:
            yield f"{self.provider.running} of the provider's streams have not ended"

    def _memory_amiss(self) -> Iterator[str]:
        settled, most = self.memory[SETTLED - 1], max(self.memory[SETTLED:])
        if most > settled * FLAT:
            yield f"memory grew from {settled:.1f} MB after {SETTLED} s to {most:.1f} MB"

    def summary(self) -> str:
        whole = sum(client.over.done() and not client.left_at for client in self.clients)
        settled, most = self.memory[SETTLED - 1], max(self.memory[SETTLED:])
        after = max(self.closed_after().values(), default=0)
        return (
            f"{whole:,} streams came whole, {sum(client.received for client in self.clients):,} chunks in all; "
            f"{len(self.closed_after())} were left, and the provider's connection closed within {after * 1000:.0f} ms; "
            f"memory {settled:.1f} MB after {SETTLED} s, at most {most:.1f} MB from there on"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--streams", type=int, default=1000)
    arguments.add_argument("--leaving", type=int, default=500)
    arguments.add_argument("--seconds", type=float, default=120)
    given = arguments.parse_args()
    with (
        TemporaryDirectory() as folder,
        slow_provider(Path(folder)) as provider,
        running(Path(folder), provider.configuration) as (address, process),
    ):
        soak = Soak(provider, Server(int(address.rpartition(":")[2]), process), **vars(given))
        asyncio.run(soak.run())
        amiss = soak.amiss()
        print(soak.summary())
    print("\n".join(f"AMISS: {what}" for what in amiss) or "nothing is amiss")
    sys.exit(bool(amiss))


if __name__ == "__main__":
    main()
