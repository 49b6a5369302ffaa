"""The proxy as a real process with many streams at once, clients that leave, clients that do not read, and a stop meanwhile.

`make soak` is the long form, with a thousand.
"""

import asyncio
import contextlib
import http.client
import random
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.crowd import Client, connect
from tests.running import running
from tests.slow_provider import SlowProvider, slow_provider

GAP = 0.25

CLOSED = 1.0
"""Seconds after a client has left in which the provider's connection is to be closed."""

FLOOD = 100_000
"""Chunks of more than a kilobyte."""


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[SlowProvider]:
    with slow_provider(tmp_path) as made:
        yield made


@contextlib.contextmanager
def few_files(most: int) -> Iterator[None]:
    """What is started meanwhile may open so many files, and more if it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.asynccontextmanager
async def crowd(address: str, streams: int, seconds: float) -> AsyncIterator[list[Client]]:
    """So many clients, each of which has received something."""
    clients: list[Client] = []
    try:
        for mark in range(streams):
            clients.append(await connect(address, mark, round(seconds / GAP), GAP))
            # Not all in step: people are not either.
            await asyncio.sleep(0.003)
        await becomes(lambda: all(client.received for client in clients))
        yield clients
    finally:
        for client in clients:
            client.transport.abort()
        await asyncio.sleep(0)


async def becomes(so: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def all_over(clients: list[Client]) -> set[str | None]:
    """What was wrong with their streams."""
    return set(await asyncio.wait_for(asyncio.gather(*(client.over for client in clients)), 30))


def ready(connection: http.client.HTTPConnection) -> bytes:
    connection.request("GET", "/ready")
    return connection.getresponse().read()


def resident(pid: int) -> float:
    """A process's memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def test_none_is_lost_none_is_mixed_and_who_leaves_is_let_go(tmp_path: Path, provider: SlowProvider) -> None:
    async def run() -> list[Client]:
        async with crowd(address, 200, 5) as clients:
            assert provider.running == 200
            leaving = random.sample(clients, 100)
            for client in leaving:
                asyncio.get_running_loop().call_later(random.uniform(0, 3), client.leave)
            assert await all_over(clients) == {None}
            return leaving

    with contextlib.ExitStack() as stack:
        with few_files(256):
            address, _ = stack.enter_context(running(tmp_path, provider.configuration))
        leaving = asyncio.run(run())
        time.sleep(CLOSED)
        assert provider.running == 0
        closed = provider.all("left")
        assert closed.keys() == {client.mark for client in leaving}
        assert max((closed[client.mark] - client.left_at) / 1e9 for client in leaving if client.left_at) < CLOSED


def test_a_client_that_does_not_read_holds_the_provider_up(tmp_path: Path, provider: SlowProvider) -> None:
    async def stalled(mark: int) -> Client:
        client = await connect(address, mark, FLOOD, 0)
        client.transport.pause_reading()
        await becomes(lambda: mark in provider.all("waits"))
        await asyncio.sleep(1.5)
        return client

    async def run() -> float:
        async with crowd(address, 1, GAP) as first:
            await all_over(first)
        before = resident(process.pid)
        patient, leaving = await stalled(1), await stalled(2)
        held, stood = resident(process.pid), [provider.sent(1), provider.sent(2)]
        await asyncio.sleep(1)
        assert [provider.sent(1), provider.sent(2)] == stood
        assert max(stood) < FLOOD / 4
        leaving.leave()
        patient.transport.resume_reading()
        assert await all_over([patient]) == {None}
        assert (provider.all("left")[2] - leaving.left_at) / 1e9 < CLOSED
        return held - before

    with running(tmp_path, provider.configuration) as (address, process):
        assert asyncio.run(run()) < 30


def test_a_stop_lets_running_answers_finish_and_takes_no_new_ones(tmp_path: Path, provider: SlowProvider) -> None:
    async def run(idle: http.client.HTTPConnection) -> None:
        async with crowd(address, 50, 4) as clients:
            assert ready(idle)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            with pytest.raises(ConnectionRefusedError):
                await connect(address, 99, 1, GAP)
            with pytest.raises(ConnectionError):
                ready(idle)
            assert process.poll() is None
            assert await all_over(clients) == {None}

    with running(tmp_path, provider.configuration) as (address, process):
        with contextlib.closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)) as idle:
            asyncio.run(run(idle))
        assert process.wait(10) == 0
    assert len(provider.all("ended")) == 50
