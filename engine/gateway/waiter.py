"""What a task waits for, so that it goes on at once, and not at the loop's next turn.

Where many streams run, a turn of the loop first reads all that has come, and then lets the tasks go on: the first chunk would
wait for the last one to be read, and for each that is ahead of it to be written.
"""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from time import perf_counter
from typing import Any


class Waiter:
    """A future, as far as a task sees: https://docs.python.org/3/library/asyncio-extending.html. One task at a time awaits it,
    time and again. `waited`: the seconds for which one has."""

    _asyncio_future_blocking = False

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.waited = 0.0
        self._loop = loop
        self._go_on: Callable[[object], None] | None = None
        self._context: Context | None = None
        self._since = 0.0
        self._is_cancelled = False

    def wake(self) -> bool:
        """Let the task that waits go on, to where it waits again or ends; False where none waits."""
        go_on, context = self._go_on, self._context
        if go_on is None or context is None:
            return False
        self.waited += perf_counter() - self._since
        self._go_on = None
        if asyncio.current_task(self._loop) is None:
            context.run(go_on, self)
        else:  # inside of one task no other can go on
            self._loop.call_soon(go_on, self, context=context)
        return True

    def __await__(self) -> Generator["Waiter", None, None]:
        self._since = perf_counter()  # uvloop's clock knows whole milliseconds only
        self._asyncio_future_blocking = True
        yield self

    # What a task asks

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, go_on: Callable[[object], None], *, context: Context) -> None:
        self._go_on, self._context = go_on, context

    def cancel(self, msg: Any = None) -> bool:
        go_on, self._go_on = self._go_on, None
        if go_on is None:
            return False
        self._is_cancelled = True
        self._loop.call_soon(go_on, self, context=self._context)
        return True

    def result(self) -> None:
        if self._is_cancelled:
            self._is_cancelled = False
            raise asyncio.CancelledError
