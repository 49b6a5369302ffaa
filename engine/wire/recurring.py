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
_MOST = 16  # lists: one for each kind of agent, version and set of servers that asks here
_MOST_MADE = 20  # of each: what one provider and choice among them makes of it, and another

_STAND_IN = "ccproxy: here are the tools that came before"
"""Is put where tools may be while the rest is read: where it comes back as the request's tools, that is what they are. A client
that sends these very words misleads nobody but itself."""


class _Known:
    """A list of tools, its text, and what has been made of it. In the next request it stands as far from the beginning as in
    the last, or as far from the end: what has grown since lies on the other side."""

    def __init__(self, tools: list[Any], text: bytes):
        self.tools = tools
        self.text = text
        self.made: dict[Any, Any] = {}
        self.from_start = self.from_end = 0

    def is_at(self, start: int, data: bytes) -> bool:
        if not data.startswith(self.text, start):
            return False
        self.from_start, self.from_end = start, len(data) - start
        return True


_known: dict[int, _Known] = {}  # by the identity of the list, which is kept with it; the latest last


def read(data: bytes) -> Any:
    """The value of a request's JSON text. Raises ValueError where it is none."""
    for known in reversed(_known.values()) if len(data) > _WORTH else ():
        for start in known.from_start, len(data) - known.from_end:
            if start > 0 and known.is_at(start, data) and (request := _with_known(known, start, data)):
                return request
    request = orjson.loads(data)
    if len(data) > _WORTH and isinstance(request, dict):
        _keep(request.get("tools"), data)
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
        request = orjson.loads(b'%b"%b"%b' % (data[:start], _STAND_IN.encode(), data[start + len(known.text) :]))
    except ValueError:  # whose words are not about the whole text
        return None
    if not isinstance(request, dict) or request.get("tools") != _STAND_IN:
        return None
    request["tools"] = known.tools
    _known[id(known.tools)] = _known.pop(id(known.tools))
    return request


def _keep(tools: Any, data: bytes) -> None:
    """Keep tools for the next request, where they stand in this one as they would be written here."""
    if not isinstance(tools, list) or b'": ' in data[:100]:  # it is written with spaces
        return
    try:
        text = orjson.dumps(tools)
    except TypeError:  # nested too deeply
        return
    start = data.find(_BEFORE + text[:_WORTH]) if _WORTH <= len(text) <= _LARGEST else -1
    known = _Known(tools, text)
    if start > 0 and known.is_at(start + len(_BEFORE), data):
        if len(_known) == _MOST:
            del _known[next(iter(_known))]
        _known[id(tools)] = known
