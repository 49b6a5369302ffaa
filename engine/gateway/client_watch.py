"""Whether a client sends its request, and stays for the answer."""

import asyncio

from engine.gateway import http
from engine.gateway.http import ClientLeft, Receive
from engine.wire.errors import ApiError

LOOK_AFTER = 0.1
"""Seconds after which it is looked whether the client is still there."""

BODY_SECONDS = 60.0
"""That a client has for sending its request; one that trickles in holds its place for no longer."""


class ClientWatch:
    """Cancels the task that made it where the request does not come, and when the client leaves: `reason` then says which.

    Most answers are there before it is worth the while to look whether the client still is.
    """

    def __init__(self, receive: Receive):
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
        self._cancel(ClientLeft())

    def _cancel(self, reason: ApiError | ClientLeft) -> None:
        self.reason = reason
        if self._work:
            self._work.cancel()

    def end(self) -> None:
        self._timer.cancel()
        if self._looking:
            self._looking.cancel()
            # Its end holds this by a traceback, and is held by it no longer.
            self._looking = None
