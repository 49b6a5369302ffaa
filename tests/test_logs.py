"""What stands in the log, and when."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from engine.gateway import logs


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def messages(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split(" ", 3)[3] for line in capsys.readouterr().err.splitlines()]


def test_lines_stand_in_the_order_in_which_things_happened(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        logs.set_up("info", "text")
        logs.access("req_1", "p/m", 200, 0.0123, {"input_tokens": 5})
        logs.access("req_2", "-", 404, 0.5, {})
        logging.getLogger("ccproxy").info("something else")
        logs.access("req_3", "p/m", 200, 1, {})

    asyncio.run(work())
    assert messages(capsys) == [
        "req_1 p/m 200 12 ms input_tokens=5",
        "req_2 - 404 500 ms",
        "something else",
        "req_3 p/m 200 1000 ms",
    ]


def test_a_line_is_there_at_the_next_turn(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> list[str]:
        logs.set_up("info", "text")
        logs.access("req_1", "p/m", 200, 0.01, {})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return messages(capsys)

    assert asyncio.run(work()) == ["req_1 p/m 200 10 ms"]


def test_a_loop_that_has_ended_keeps_no_line_back(capsys: pytest.CaptureFixture[str]) -> None:
    def end(loop: asyncio.AbstractEventLoop) -> None:
        logs.set_up("info", "text")
        logs.access("req_1", "p/m", 200, 0.01, {})
        loop.stop()

    async def work() -> list[str]:
        logs.access("req_2", "p/m", 200, 0.01, {})
        await asyncio.sleep(0.01)
        return messages(capsys)

    loop = asyncio.new_event_loop()
    loop.call_soon(end, loop)
    loop.run_forever()
    loop.close()
    assert asyncio.run(work()) == ["req_1 p/m 200 10 ms", "req_2 p/m 200 10 ms"]


def test_lines_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        logs.set_up("info", "json")
        logs.access("req_1", "p/m", 200, 0.01, {"output_tokens": 3})
        logging.getLogger("ccproxy").warning("beware")

    asyncio.run(work())
    told, other = map(json.loads, capsys.readouterr().err.splitlines())
    assert told.pop("time") <= other.pop("time")
    about = {"request_id": "req_1", "way": "p/m", "status": 200, "ms": 10.0, "output_tokens": 3}
    assert told == {"level": "info", "message": "req_1 p/m 200 10 ms output_tokens=3", **about}
    assert other == {"level": "warning", "message": "beware"}


def test_a_level_above_leaves_the_lines_of_requests_out(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        logs.set_up("warning", "text")
        logs.access("req_1", "p/m", 200, 0.01, {})

    asyncio.run(work())
    assert capsys.readouterr().err == ""


def test_the_last_lines_are_written_at_the_end_of_the_process() -> None:
    program = """if True:
        import asyncio
        from engine.gateway import logs
        logs.set_up("info", "text")
        async def work():
            logs.access("req_1", "p/m", 200, 0.01, {})
            raise SystemExit
        asyncio.run(work())
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr.endswith("INFO req_1 p/m 200 10 ms\n")
