"""The tools of a session come again with each of its requests, byte for byte, and are half of what there is to read.

So the text of a request's tools is read once: from then on it is the same list, which nobody may change, and what is made of it
is made once.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

Made = TypeVar("Made")

_BEFORE = b'"tools":'
_WORTH, _LARGEST = 4_096, 262_144  # bytes: what is shorter is read as quickly, what is longer takes megabytes
_MOST_TOOLS = 500
_MOST = 16  # lists: one for each kind of agent, version and set of servers that asks here
_MOST_PLACES = 16  # of each: one for each session that goes on
_MOST_MADE = 8  # of each: what one provider makes of it, and another

_STAND_IN = b"ccproxy: here are the tools that came before"
"""Is put where tools may be while the rest is read: where it comes back as the request's tools, that is what they are. A client
that sends these very words misleads nobody but itself."""


class _Known:
    """A list of tools, its text, and what has been made of it."""

    def __init__(self, tools: list[Any], text: bytes):
        self.tools = tools
        self.text = text
        self.made: dict[Any, Any] = {}
        self._places: dict[int, None] = {}  # from the beginning, or less than nothing from the end; the latest last

    def start(self, data: bytes) -> int | None:
        """Where the text stands, if it is as far from the beginning as in an earlier request, or as far from the end: what has
        grown since lies on the other side."""
        for place in reversed(self._places):
            if data.startswith(self.text, place):
                return place % len(data)
        return None

    def was_at(self, start: int, data: bytes) -> None:
        for place in start, start - len(data):
            self._places.pop(place, None)
            self._places[place] = None
            if len(self._places) > 2 * _MOST_PLACES:
                del self._places[next(iter(self._places))]


_known: dict[int, _Known] = {}  # by the identity of the list, which is kept with it; the latest last


def read(data: bytes) -> Any:
    """The value of a request's JSON text. Raises ValueError where it is none."""
    if len(data) < _WORTH:
        return orjson.loads(data)
    for known in reversed(_known.values()):
        if (start := known.start(data)) is not None:
            if request := _with_known(known, start, data):
                return request
            break  # there is one try: each reads all of it
    request = orjson.loads(data)
    if isinstance(request, dict) and isinstance(request.get("tools"), list) and len(request["tools"]) <= _MOST_TOOLS:
        request["tools"] = _kept(request["tools"], data)
    return request


def once(make: Callable[..., Made], tools: Any, *arguments: Any) -> Made:
    """What `make` makes of a request's tools: of those that have come before, what it has made then. It is not to be changed."""
    known = _known.get(id(tools))
    if known is None:
        return make(tools, *arguments)
    key = (make, arguments)
    if key not in known.made:
        if len(known.made) == _MOST_MADE:
            known.made.clear()
        known.made[key] = make(tools, *arguments)
    made: Made = known.made[key]
    return made


def _with_known(known: _Known, start: int, data: bytes) -> dict[str, Any] | None:
    """The request, without reading its tools anew; None where what stands there are not its tools."""
    try:
        request = orjson.loads(b'%b"%b"%b' % (data[:start], _STAND_IN, data[start + len(known.text) :]))
    except ValueError:  # whose words are not about the whole text
        return None
    if not isinstance(request, dict) or request.get("tools") != _STAND_IN.decode():
        return None
    request["tools"] = known.tools
    _remember(known, start, data)
    return request


def _remember(known: _Known, start: int, data: bytes) -> None:
    """That these tools have come, and where: the latest last, and no more of them than are kept."""
    known.was_at(start, data)
    _known.pop(id(known.tools), None)
    _known[id(known.tools)] = known
    if len(_known) > _MOST:
        del _known[next(iter(_known))]


def _kept(tools: list[Any], data: bytes) -> list[Any]:
    """The tools, kept for the next request if they stand in this one as they would be written here; or those that are known."""
    if data.startswith(b'": ', data.find(b'":')):  # it is written with spaces
        return tools
    try:
        text = orjson.dumps(tools)
    except TypeError:  # nested too deeply
        return tools
    start = data.find(_BEFORE + text[:_WORTH]) + len(_BEFORE)
    if not _WORTH <= len(text) <= _LARGEST or not data.startswith(text, start):
        return tools
    known = next((one for one in _known.values() if one.text == text), None) or _Known(tools, text)
    _remember(known, start, data)
    return known.tools
