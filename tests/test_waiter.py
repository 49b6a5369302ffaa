"""What a task waits for: it goes on at once, and else is awaited as any future is."""

import asyncio
from contextvars import ContextVar

import pytest

from engine.gateway.waiter import Waiter
from tests.providers import on_both_loops

WHO = ContextVar("WHO", default="nobody")


def told(waiter: Waiter, said: list[str], times: int = 1) -> asyncio.Task[str]:
    """A task that waits so often, and says so."""

    async def wait() -> str:
        for number in range(times):
            await waiter
            said.append(f"{WHO.get()} {number}")
        return "done"

    return asyncio.create_task(wait())


async def from_the_loop(waiter: Waiter) -> bool:
    """Wake it as a connection does, from no task; whether the loop had another turn until then is not said."""
    woken = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: woken.set_result(waiter.wake()))
    return bool(await woken)


@on_both_loops
async def test_who_waits_goes_on_before_anything_else_does() -> None:
    loop, said = asyncio.get_running_loop(), list[str]()
    waiter = Waiter(loop)
    task = told(waiter, said, times=3)
    await asyncio.sleep(0)

    def wake() -> None:
        assert waiter.wake()
        assert waiter.wake()  # it waits again by now
        said.append("woken")

    loop.call_soon(wake)
    await asyncio.sleep(0.01)
    assert said == ["nobody 0", "nobody 1", "woken"]
    assert await from_the_loop(waiter)
    assert await task == "done"


@on_both_loops
async def test_where_nobody_waits_nobody_is_woken() -> None:
    waiter = Waiter(asyncio.get_running_loop())
    assert not await from_the_loop(waiter)
    task = told(waiter, [])
    await asyncio.sleep(0)
    assert not task.done()  # what was told earlier is not kept
    assert await from_the_loop(waiter)
    assert await task == "done"
    assert not await from_the_loop(waiter)


@on_both_loops
async def test_woken_by_a_task_it_goes_on_after_it() -> None:
    said: list[str] = []
    waiter = Waiter(asyncio.get_running_loop())
    task = told(waiter, said)
    await asyncio.sleep(0)
    assert waiter.wake()
    assert said == []
    assert await task == "done"


@on_both_loops
async def test_who_goes_on_does_so_with_what_is_its_own() -> None:
    """Its context, and its name: what it starts or times out is the task's."""
    waiter = Waiter(asyncio.get_running_loop())
    found: list[object] = []

    async def wait() -> None:
        WHO.set("the task")
        async with asyncio.timeout(0.01) as time:
            await waiter
            found.append((WHO.get(), asyncio.current_task()))
            time.reschedule(0)
            await waiter

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert await from_the_loop(waiter)
    with pytest.raises(TimeoutError):
        await task
    assert found == [("the task", task)]


@on_both_loops
async def test_who_waits_can_be_cancelled_and_wait_again() -> None:
    said: list[str] = []
    waiter = Waiter(asyncio.get_running_loop())

    async def stay() -> None:
        with pytest.raises(asyncio.CancelledError):
            await waiter
        said.append("cancelled")
        await waiter
        said.append("woken")

    task = asyncio.create_task(stay())
    await asyncio.sleep(0)
    task.cancel()
    assert not waiter.wake()  # it is on its way out
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert said == ["cancelled"]
    assert await from_the_loop(waiter)
    await task
    assert said == ["cancelled", "woken"]


@on_both_loops
async def test_cancelled_when_it_is_woken_it_is_cancelled() -> None:
    waiter = Waiter(asyncio.get_running_loop())
    task = told(waiter, [])
    await asyncio.sleep(0)
    assert waiter.wake()
    assert task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@on_both_loops
async def test_the_time_is_told_for_which_somebody_waited() -> None:
    waiter = Waiter(asyncio.get_running_loop())
    assert waiter.waited == 0
    task = told(waiter, [], times=2)
    await asyncio.sleep(0.02)
    await from_the_loop(waiter)
    once = waiter.waited
    assert once >= 0.02
    await asyncio.sleep(0.02)
    await from_the_loop(waiter)
    assert waiter.waited >= once + 0.02
    await task
