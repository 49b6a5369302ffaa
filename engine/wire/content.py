"""What a provider tells, in whatever order -> blocks, in an order that a client can follow.

A kind of content closes the block of another kind. Two things do not: an open tool call is not closed before its
arguments are complete, so that all others wait (S06); and reasoning state that comes late interrupts nobody. For a client
that takes the last block for the answer, thinking behind words waits until something follows it, and is left out if nothing does.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from engine.wire.events import Blocks
from engine.wire.reasoning import EARLIER, merge_details
from engine.wire.searches import search_blocks
from engine.wire.toolcalls import ToolCall, ToolCalls

_NO_WORDS = ("thinking", "redacted", "item", "stop")
_IN_PASSING = ("citation", "found")  # they open no block


class Content:
    """The content of one answer, written into `blocks`; `searches` counts those of the web in it.

    `single_call`: of several calls only the first is written. `seal` makes the signature of a thinking block out of the
    reasoning state that came with it: the provider's `signature`, its `details`, and the `thinking` itself where it is not
    shown; and the data of a redacted block out of what is `redacted`.
    """

    def __init__(
        self,
        blocks: Blocks,
        calls: ToolCalls,
        seal: Callable[[dict[str, Any]], str],
        *,
        show_thinking: bool,
        words_last: bool,
        single_call: bool,
    ) -> None:
        self.has_calls = False
        self.searches = 0
        self._blocks = blocks
        self._calls = calls
        self._seal = seal
        self._show_thinking = show_thinking
        self._words_last = words_last
        self._single_call = single_call
        self._begun_calls = 0
        self._searched: set[str] = set()
        self._pages: list[Any] = []  # their addresses, of all that were found
        self._found: list[dict[str, Any]] = []  # and not yet told
        self._call: ToolCall | None = None  # whose block is open
        self._waiting: deque[tuple[str, Any]] = deque()
        self._held: list[tuple[str, Any]] = []  # what is behind the last words
        self._blank: dict[str, str] = {}  # what a block of a kind may begin with
        self._citations: list[dict[str, Any]] = []
        self._state: dict[str, Any] = {}
        self._detailed: dict[str, set[str]] = {}  # what is known of the reasoning items, by their ids
        self._unseen: list[str] = []

    def put(self, kind: str, value: Any) -> None:
        """More text or thinking, redacted data, a citation, a call, the key of another item, or the stop of a block."""
        if self._call is not None and not self._call.is_complete():
            self._waiting.append((kind, value))
        else:
            self._write(kind, value)

    def tell(self, told: Mapping[str, Any]) -> None:
        """A tool delta."""
        call, fragment = self._calls.find(told)
        new = call.take(fragment)
        if call is self._call:
            if new:
                self._blocks.write(new)
            self._write_waiting()
        elif call.name and not call.begun:
            call.begun = True
            self._begun_calls += 1
            if self._begun_calls == 1 or not self._single_call:
                self.put("call", call)

    def complete(self, key: Any) -> None:
        """The provider says that the block with this key has come whole: a call may have no arguments at all."""
        self._calls.complete(key)
        self._write_waiting()

    @property
    def is_cut(self) -> bool:
        """Whether the arguments of a call break off in their middle."""
        calls = [self._call, *(value for kind, value in self._waiting if kind == "call")]
        return any(call is not None and call.is_cut() for call in calls)

    def sign(self, signature: str) -> None:
        self._keep("signature", signature)

    def detail(self, items: list[dict[str, Any]]) -> None:
        if news := list(self._news(items)):
            self._keep("details", news)

    def end(self) -> None:
        """Nothing more comes: what waits is written, complete or not."""
        while self._waiting:
            self._write_next()
        if self._blocks.last == "text" and self._words_last:
            self._held.clear()
            self._state.clear()
        self._close()

    def break_off(self) -> None:
        """The client runs a tool call that is closed, and asks again for a block that is not."""
        if self._call is not None and self._call.is_complete():
            self._close()

    def _news(self, items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Without those that are told again at the end of the answer, and of which nothing was missing."""
        for item in items:
            said = {word for word, value in item.items() if value}
            known = self._detailed.setdefault(str(item.get("id")), set())
            if item.get("on") != EARLIER or (known and not said <= known | {"on"}):
                yield item
            known |= said

    def _write_waiting(self) -> None:
        while self._waiting and (self._call is None or self._call.is_complete()):
            self._write_next()

    def _write_next(self) -> None:
        self._write(*self._waiting.popleft())

    def _write(self, kind: str, value: Any) -> None:
        if self._words_last and self._blocks.last == "text" and kind not in _IN_PASSING:
            is_blank = kind in ("text", "thinking") and value.isspace()
            if self._held if is_blank else kind in _NO_WORDS:
                self._close_block()
                self._held.append((kind, value))
                return
            if self._held:
                self._write_held()
        self._WRITERS[kind](self, value)

    def _write_held(self) -> None:
        held, self._held = self._held, []
        self._close()
        for kind, value in held:
            self._WRITERS[kind](self, value)

    def _keep(self, kind: str, value: Any) -> None:
        """Reasoning state, with the thinking that it belongs to."""
        if self._held:
            self._held.append((kind, value))
        else:
            self._WRITERS[kind](self, value)

    def _write_text(self, text: str) -> None:
        if self._blocks.kind == "text" or (text := self._opening("text", text)):
            self._blocks.write(text)

    def _write_thinking(self, text: str) -> None:
        if self._blocks.kind == "thinking" or (text := self._opening("thinking", text)):
            if self._show_thinking:
                self._blocks.write(text)
            else:
                self._unseen.append(text)

    def _opening(self, kind: str, text: str) -> str:
        """Opens a block with the first text that is not blank (S03). What is blank waits for it, and is lost without (S05)."""
        text = self._blank.pop(kind, "") + text
        if text.isspace():
            self._blank[kind] = text
            return ""
        self._open(kind)
        return text

    def _write_item(self, key: Any) -> None:
        """What comes now is another item than what came before, and no block holds two."""
        self._close()
        self._blank.clear()

    def _write_stop(self, _: Any) -> None:
        # White space alone was no block yet: it begins the next text, or is lost.
        self._close()

    def _write_redacted(self, data: str) -> None:
        self._open("redacted_thinking", data=self._seal({"redacted": data}))
        self._close()

    def _write_signature(self, signature: str) -> None:
        self._state["signature"] = signature
        self._carry_state()

    def _write_details(self, items: list[dict[str, Any]]) -> None:
        merge_details(self._state.setdefault("details", []), items)
        self._carry_state()

    def _write_citation(self, citation: dict[str, Any]) -> None:
        if self._blocks.kind == "text":
            self._blocks.add("citations_delta", "citation", citation)
        else:
            self._citations.append(citation)

    def _write_call(self, call: ToolCall) -> None:
        self._open("tool_use", **self._calls.block(call))
        self._call, self.has_calls = call, True
        if text := call.so_far():
            self._blocks.write(text)

    def _write_search(self, told: Mapping[str, Any]) -> None:
        """A search that the provider has made itself: what it asked for, and what it found (R29)."""
        told = {"query": self._calls.nameless(told.get("id")).get("query"), **told}
        search = search_blocks(told, f"srvtoolu_{self._calls.made_up}_{self.searches + 1}")
        if search.id in self._searched:
            return
        self._searched.add(search.id)
        self.searches += 1
        self._open("server_tool_use", id=search.id, name="web_search", input={})
        self._blocks.write(search.input)
        self._open("web_search_tool_result", tool_use_id=search.id, content=search.content)
        self._close()

    def _write_found(self, page: dict[str, Any]) -> None:
        """A page of a search that the provider tells nothing else of; those that come together are one search."""
        if page.get("url") not in self._pages:
            self._pages.append(page.get("url"))
            self._found.append(page)

    _WRITERS: ClassVar[Mapping[str, Callable[["Content", Any], None]]] = {
        "text": _write_text,
        "thinking": _write_thinking,
        "redacted": _write_redacted,
        "signature": _write_signature,
        "details": _write_details,
        "citation": _write_citation,
        "web_search": _write_search,
        "found": _write_found,
        "call": _write_call,
        "item": _write_item,
        "stop": _write_stop,
    }

    def _open(self, kind: str, **fields: Any) -> None:
        self._close()
        self._blank.clear()
        self._blocks.open(kind, **fields)
        while kind == "text" and self._citations:
            self._write_citation(self._citations.pop(0))

    def _close(self) -> None:
        self._close_block()
        if self._state:  # it came while a block was open that cannot carry it
            self._blocks.open("thinking")
            self._close_block()
        if self._found:
            found, self._found = self._found, []
            self._write_search({"results": found})

    def _close_block(self) -> None:
        if self._call is not None:
            if rest := self._call.rest():
                self._blocks.write(rest)
            self._call = None
        elif self._blocks.kind == "thinking":
            self._blocks.add("signature_delta", "signature", self._seal(self._take_state()))
        if self._blocks.kind:
            self._blocks.close()

    def _carry_state(self) -> None:
        """Reasoning state travels in the signature of a thinking block, of an empty one if need be."""
        if not self._blocks.kind:
            self._blocks.open("thinking")
            if waiting := self._blank.pop("thinking", ""):
                self._write_thinking(waiting)

    def _take_state(self) -> dict[str, Any]:
        state, self._state = self._state, {}
        if self._unseen:
            state["thinking"] = "".join(self._unseen)
            self._unseen = []
        return state
