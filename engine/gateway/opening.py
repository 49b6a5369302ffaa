"""The opening of a stream that passes as it is: held until its first block, since until then another may answer instead."""

import re

from engine.gateway import refusals
from engine.gateway.relay import Relay
from engine.wire import framing
from engine.wire.errors import ApiError

_TELLING = re.compile(rb"(?:^|(?<=[\r\n]))event: ?(content_block_start|message_stop|error)\b")
_END_TURN = re.compile(rb'"stop_reason"\s*:\s*"end_turn"')


class Opening:
    """What of a relay's events can go out: nothing, until a block begins or the message ends.

    `may_be_empty`: a message without any block is an answer all the same.
    """

    def __init__(self, relay: Relay, *, may_be_empty: bool):
        self._relay = relay
        self._may_be_empty = may_be_empty
        self._held: list[bytes] = []
        self._size = 0
        self._is_over = False

    def receive(self, events: bytes) -> bytes:
        """Raises ApiError where the stream has an error in place of a block, or nothing at all."""
        if self._is_over:
            return events
        self._held.append(events)
        self._size += len(events)
        if self._size > framing.MAX_CHUNK:
            raise ApiError(500, "api_error", f"{self._relay.provider}: no block of the answer has begun in {self._size:,} bytes")
        telling = _TELLING.search(events)
        if telling is None:
            return b""
        if telling[1] == b"error" and self._relay.failure:
            raise self._relay.failure
        held = b"".join(self._held)
        if telling[1] == b"message_stop" and not self._may_be_empty and _END_TURN.search(held):
            raise refusals.empty(self._relay.provider)
        self._is_over = True
        return held
