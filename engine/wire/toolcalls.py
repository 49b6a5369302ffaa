"""Which tool call a fragment belongs to, and what of its arguments may go out.

Providers tell a call by an index that may be null, a float or always 0, by an id that may be missing, come late or be
another call's too, or by nothing at all (S08 to S10, G05). Their arguments come in fragments, whole, twice, or as
something that is no object (S11, S12, S35). When a call becomes a block is the assembler's business.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from engine.wire.jsontext import Extent, dumps, loads

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(slots=True, eq=False)
class ToolCall:
    """A call, and its arguments as far as they have come."""

    id: str = ""  # the provider's; empty as long as there is none
    name: str = ""
    begun: bool = False  # it is a block, or waits to become one
    _pieces: list[str] = field(default_factory=list)
    _extent: Extent = field(default_factory=Extent)
    _told_empty: bool = False
    _again: str = ""  # an object that begins like the arguments so far: they from their beginning, or one within them

    def take(self, fragment: str) -> str:
        """More arguments -> what of them goes out if the call is the open block.

        A complete object takes nothing more. `{}` is as good as nothing: some servers begin every call with it.
        """
        if not self._pieces:
            fragment = fragment.lstrip()
            if fragment.rstrip() == "{}":
                self._told_empty = True
                return ""
        elif self._extent.is_whole:
            return ""
        elif self._again:
            if not fragment.strip():
                return ""
            fragment = self._rest_again() if fragment.strip() == self._again else self._again + fragment
            self._again = ""
        elif fragment.startswith("{") and fragment.startswith(self._text()) and _is_json(fragment):
            self._again = fragment.strip()
            return ""
        if not fragment:
            return ""
        self._pieces.append(self._extent.cut(fragment))
        return self._pieces[-1] if self._streams() else ""

    def so_far(self) -> str:
        """What goes out when the call becomes the open block."""
        return self._text() if self._streams() else ""

    def rest(self) -> str:
        """What goes out when the block closes: together, the arguments are never nothing, and never less than an object."""
        return self._rest_again() if self._streams() else dumps(self.input()).decode()

    def input(self) -> dict[str, Any]:
        return as_object(self._text() + self._rest_again())

    def is_complete(self) -> bool:
        """Whether nothing is missing. Where there are no arguments, they may still come."""
        return self._extent.is_whole or self.is_told_empty()

    def is_told_empty(self) -> bool:
        """Whether `{}` is all that was told of the arguments."""
        return self._told_empty and not self._pieces

    def is_cut(self) -> bool:
        """Whether an object has begun and has not ended."""
        return self._streams() and not self._extent.is_whole and not self._again

    def has_arguments(self) -> bool:
        return bool(self._pieces) or self._told_empty

    def differs(self, fragment: str) -> bool:
        """Whether the fragment begins arguments other than these."""
        return fragment.lstrip().startswith(("{", '"')) and fragment.strip() != (self._text().strip() or "{}")

    def _streams(self) -> bool:
        """Only what begins as an object can go out before it is whole; the rest has to become one first."""
        return bool(self._pieces) and self._pieces[0][0] == "{"

    def _rest_again(self) -> str:
        """What is new in the arguments where they were told again from their beginning, which nothing came behind."""
        return self._again[len(self._text()) :]

    def _text(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""


class ToolCalls:
    """The calls of one answer, and the ids under which the client knows them."""

    def __init__(self, message_id: str, taken_ids: Collection[str] = (), names: Mapping[str, str] | None = None) -> None:
        """The tool ids that the conversation has used, and the tools' names upstream -> as the client has them."""
        self._by_key: dict[Any, ToolCall] = {}
        self._by_id: dict[str, ToolCall] = {}
        self._last: ToolCall | None = None
        self._message_id = message_id
        self._taken = set(taken_ids)
        self._numbers: dict[str, Iterator[int]] = {}  # with which an id that is taken becomes another
        self._names = names or {}
        self._count = 0

    @property
    def made_up(self) -> str:
        """How an id begins that no provider has given."""
        return f"toolu_{_FOREIGN.sub('_', self._message_id.rpartition('_')[2])}"

    def find(self, told: Mapping[str, Any]) -> tuple[ToolCall, str]:
        """A tool delta -> the call it speaks of, perhaps a new one, and the fragment of arguments it brings."""
        key, json = told.get("key"), told.get("json")
        key = key if isinstance(key, (str, int, float)) else None
        id, name = _word(told.get("id")), _word(told.get("name"))
        id = "" if id == "null" else id
        fragment = json if isinstance(json, str) else "" if json is None else dumps(json).decode()

        whole = isinstance(json, Mapping)
        here = self._last if key is None else self._by_key.get(key)
        call = self._by_id.get(id)
        if call is None:
            call = here
            another = call is None or _is_another(call, key, id, name, fragment, whole)
        elif key is not None and here is not None and here.id == id:
            call = here
            another = whole and _is_namesake(call, name, fragment, whole, elsewhere=False)  # a text may be told again
        else:
            another = _is_namesake(call, name, fragment, whole, elsewhere=key is not None)
        if call is None or another:
            call = ToolCall()
        call.id = call.id or id
        call.name = call.name or name  # never put together from pieces: most servers repeat it (S10)
        self._last = call
        if key is not None:
            self._by_key[key] = call
        if id:
            self._by_id[id] = call
        return call, fragment

    def complete(self, key: Any) -> None:
        """The call with this key, if there is one, gets no more arguments; without any, `{}` is what it was told."""
        call = self._by_key.get(key) if isinstance(key, (str, int, float)) else None
        if call is not None and not call.has_arguments():
            call.take("{}")

    def nameless(self, id: Any) -> dict[str, Any]:
        """Arguments that no name made a call of the client's: those with this id, or else the last ones."""
        call = self._by_id.get(id, self._last) if isinstance(id, str) else self._last
        return {} if call is None or call.name else call.input()

    def block(self, call: ToolCall) -> dict[str, Any]:
        """The fields with which a call's block begins."""
        return {"id": self._client_id(call.id), "name": self._names.get(call.name, call.name), "input": {}}

    def _client_id(self, id: str) -> str:
        """The client drops a call whose id came before in the message, and takes one of an earlier turn for that turn's."""
        self._count += 1
        wanted = unique = _FOREIGN.sub("_", id) or f"{self.made_up}_{self._count}"
        numbers = self._numbers.setdefault(wanted, count(2))
        while unique in self._taken:
            unique = f"{wanted}_{next(numbers)}"
        self._taken.add(unique)
        return unique


def as_object(text: str) -> dict[str, Any]:
    """The input that the text of some arguments stands for. Where it is no JSON, the client's own word for that."""
    try:
        value = loads(text) if text.strip() else {}
        if isinstance(value, str):
            value = _decoded_again(value)
    except ValueError:
        return {"__unparsedToolInput": {"raw": text}}
    if isinstance(value, dict):
        return value
    return {} if value is None or value == "" else {"value": value}


def _decoded_again(text: str) -> Any:
    """The object that was encoded twice; any other text is what it is."""
    return loads(text) if text.lstrip().startswith("{") and _is_json(text) else text


def _is_namesake(call: ToolCall, name: str, fragment: str, whole: bool, *, elsewhere: bool) -> bool:
    """Whether a delta begins another call under the id of this one, `elsewhere`: by another key (G05)."""
    if not name or not call.name:
        return False
    if elsewhere and name != call.name:
        return True
    if not call.is_complete() or (call.is_told_empty() and not (elsewhere or whole)):
        return False  # behind `{}` comes the text that it stood for
    if not fragment.strip():
        return elsewhere
    return call.differs(fragment) and not (_is_json(fragment) and as_object(fragment) == call.input())


def _is_another(call: ToolCall, key: Any, id: str, name: str, fragment: str, whole: bool) -> bool:
    """Whether a delta that would go to this call by its key, or for want of one, begins another call (S09)."""
    if not name:
        return False
    if id and call.id:
        return True
    if not call.name:
        return False
    if name != call.name:
        return bool(id) or key is None or call.is_complete()
    nothing_tells_them_apart = whole and key is None and not id
    return (nothing_tells_them_apart and call.has_arguments()) or (call.is_complete() and call.differs(fragment))


def _is_json(text: str) -> bool:
    try:
        loads(text)
    except ValueError:
        return False
    return True


def _word(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
