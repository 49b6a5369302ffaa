"""Whether a client sends its request, and stays for the answer; and what ends it from this side."""

import asyncio

from engine.gateway import http
from engine.gateway.http import ClientLeft, Receive
from engine.wire.errors import ApiError

LOOK_AFTER = 0.1
"""Seconds after which it is looked whether the client is still there."""

BODY_SECONDS = 60.0
"""That a client has for sending its request; one that trickles in holds its place for no longer."""


class ClientWatch:
    """Cancels the task that made it where the request does not come, when the client leaves, and when the server cannot wait
    for the end: `reason` then says which. Until its end it is among `running`.

    Most answers are there before it is worth the while to look whether the client still is.
    """

    def __init__(self, receive: Receive, running: set["ClientWatch"]):
        self._running = running
        running.add(self)
        self.reason: ApiError | ClientLeft | None = None
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.current_task()
        self._has_come = self._is_due = False
        self._looking: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(LOOK_AFTER, self._be_due)

    def has_come(self) -> None:
        """The request is there."""
        self._has_come = True
        if self._is_due:
            self._timer.cancel()
            self._begin()

    def _be_due(self) -> None:
        self._is_due = True
        if self._has_come:
            self._begin()
        else:
            self._timer = self._loop.call_later(BODY_SECONDS - LOOK_AFTER, self._give_up)

    def _begin(self) -> None:
        self._looking = self._loop.create_task(self._look())

    def _give_up(self) -> None:
        self._cancel(ApiError(408, "timeout_error", f"the request did not come within {BODY_SECONDS:.0f} seconds"))

    async def _look(self) -> None:
        await http.client_left(self._receive)
        self.has_left()

    def has_left(self) -> None:
        """The client is gone; so is one that takes nothing any more."""
        self._cancel(ClientLeft())

    def break_off(self) -> None:
        """The server stops, and waits no longer: the client is told to ask again."""
        words = "ccproxy is being stopped, and has not waited for the end of this answer: ask again"
        self._cancel(ApiError(529, "overloaded_error", words, retry_after="1"))

    def _cancel(self, reason: ApiError | ClientLeft) -> None:
        if self.reason is None and self._work:
            self.reason = reason
            self._work.cancel()

    def end(self) -> None:
        self._running.discard(self)
        self._timer.cancel()
        if self._looking:
            self._looking.cancel()
            # Its end holds this by a traceback, and is held by it no longer.
            self._looking = None
