"""The instrument that streams by the clock: what it counts."""

import shutil
from pathlib import Path

import pytest

from bench import sides
from bench.pace import Pace
from tests.running import free_port

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="it is compiled, and there is no compiler")

CHUNKS = 5


@pytest.fixture
def pace(tmp_path: Path) -> Pace:
    return Pace(tmp_path, free_port())


def test_a_stream_comes_back_whole(pace: Pace) -> None:
    delays, firsts = pace.watch(f"http://127.0.0.1:{pace.port}", "/v1/messages", streams=3, chunks=CHUNKS, seconds=0.1)
    assert len(firsts) >= 2 * 3
    assert len(delays) == CHUNKS * len(firsts)
    assert min(delays) > 0
    assert all(first > delay for first, delay in zip(sorted(firsts), sorted(delays), strict=False))


def test_through_the_proxy_every_chunk_is_seen(pace: Pace, tmp_path: Path) -> None:
    canned = sides.Upstream(pace.port, pace.port, tmp_path)
    with sides.proxy(tmp_path, canned, providers=["chat"]) as server:
        server.wait()
        delays, firsts = pace.watch(server.url, "/v1/messages", streams=4, chunks=CHUNKS, seconds=0.5)
    assert len(firsts) >= 4
    assert len(delays) == CHUNKS * len(firsts)


def test_what_is_no_stream_is_no_measure(pace: Pace) -> None:
    with pytest.raises(RuntimeError, match="Connection refused"):
        pace.watch(f"http://127.0.0.1:{free_port()}", "/v1/messages", streams=1, chunks=1, seconds=0.1)
