"""Deltas -> Anthropic events: the one state machine that every provider's answer goes through.

A client keeps what it was sent, so an event out of place costs it the turn, or the session (edge-cases.md, S01 to S42).
Promised here: `message_start` once and first, and not before there is something to say; one block open at a time;
`message_delta` once and last, with all that became known of the usage; never an invented end.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeGuard

from engine.wire.calltags import Call, CallTags
from engine.wire.content import Content
from engine.wire.events import Blocks, Event, fold
from engine.wire.items import Items, Key, item_key
from engine.wire.stopping import StopSequences
from engine.wire.thinktags import Piece, ThinkTags
from engine.wire.toolcalls import ToolCalls

__all__ = ["Assembler", "fold"]

STOP_REASONS = (
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
)
_STRONGER_THAN_TOOLS = ("max_tokens", "refusal", "model_context_window_exceeded")
PROMPT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
"""What the tokens of a prompt are counted under."""

_COUNTS = (*PROMPT, "output_tokens", "thinking_tokens")
_NUMBERS = (int, float)


class Assembler:
    """One answer: fed with deltas it gives events, until `end` or `fail` has given the last one.

    `started`: message_start has gone out. Before that, trouble is told by `failure` alone and not as an event, so that
    it can still become an HTTP status, or another provider's answer.
    `failure`: `type` and `message`, as the client is to be told them.
    `stopped`: a stop sequence that is enforced here was met; nothing more is wanted of the provider.
    `usage`: what is known of it, by the words of the usage delta.
    `blocks`: what is written, with the events that wait to be taken.
    `continuation`: what the provider wants to be sent back for the rest of the answer, where it stopped in the middle.
    """

    def __init__(
        self,
        model: str,
        *,
        message_id: str,
        tool_names: Mapping[str, str] | None = None,
        taken_ids: Collection[str] = (),
        think_tags: str = "none",
        tagged_tools: Sequence[Mapping[str, Any]] = (),
        stop_sequences: Sequence[str] = (),
        asked_stops: Collection[str] | None = None,
        seal: Callable[[dict[str, Any]], str] | None = None,
        show_thinking: bool = True,
        words_last: bool = False,
        single_call: bool = False,
    ) -> None:
        """For an answer to a client that asked for `model`.

        tool_names: the tools' names upstream -> as the client has them. taken_ids: the tool ids that the conversation
        has used. think_tags: the fact of this name (facts.py). tagged_tools: those whose calls may stand in the text, as the
        provider was offered them. stop_sequences: those to be enforced here.
        asked_stops: all that the client asked for, since a provider may stop at its own (S40); None: whatever it says.
        seal: the state of a thinking block -> its signature (reasoning.py); without it, the provider's own.
        show_thinking: whether the client sees it, or only its signature. words_last: no thinking comes behind the last words,
        which `claude -p` would take for the answer. single_call: the first call is all that is told.
        """
        self.failure: dict[str, str] | None = None
        self.stopped = False
        self.usage: dict[str, int] = {}
        self.continuation: Any = None

        self._earlier_output = 0  # of requests that this answer goes on from
        self._message: Event = {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": self._known_usage(),
        }
        self.blocks = Blocks(self._message)
        calls = ToolCalls(message_id, taken_ids, tool_names)
        self._content = Content(
            self.blocks, calls, seal or _own, show_thinking=show_thinking, words_last=words_last, single_call=single_call
        )
        self._tags = None if think_tags == "none" else ThinkTags(unopened=think_tags == "unopened")
        self._call_tags = CallTags(tagged_tools) if tagged_tools else None
        self._items = Items()
        self._item: Key = None  # whose text came last
        self._asked_stops = asked_stops
        self._stops = StopSequences(stop_sequences) if stop_sequences else None

        self._hears = self._EVERYTHING
        self._ended = False
        self._stop: str | None = None
        self._stop_sequence: str | None = None
        self._odd_stop = ""
        self._refusal: list[str] = []

    @property
    def started(self) -> bool:
        return self.blocks.started

    @property
    def _is_plain(self) -> bool:
        """Text is no more than text."""
        return self._tags is None and self._call_tags is None and self._stops is None

    def feed(self, delta: Mapping[str, Any]) -> list[Event]:
        """The next delta -> the events it causes. Values that make no sense are passed over."""
        self.hear(delta)
        return self.blocks.take()

    def hear(self, delta: Mapping[str, Any]) -> None:
        """The next delta; what it causes waits in `blocks`."""
        for kind, value in delta.items():
            hear = self._hears.get(kind)
            if hear is not None:
                hear(self, value)

    def hear_texts(self, kind: str, texts: Sequence[str]) -> None:
        """Deltas of one kind, a text each and none of them empty, as `hear` would hear them."""
        hear = self._hears.get(kind)
        if hear is None:
            return
        if kind == "text" == self.blocks.kind and self._is_plain:
            self.blocks.write_all(texts)
            return
        for text in texts:
            hear(self, text)

    def framed(self, kind: str, text: str) -> bytes:
        """What comes of one such delta, as it goes to the client."""
        if kind == "text" == self.blocks.kind and self._is_plain and self._hears is self._EVERYTHING:
            return self.blocks.framed(text)
        self.hear_texts(kind, (text,))
        return self.blocks.take_framed()

    def go_on(self) -> None:
        """The provider was sent the continuation: what comes now goes on where the answer stopped.

        It counts the prompt anew each time, and only the new part of the answer.
        """
        self.continuation = None
        self._earlier_output += self.usage.pop("output_tokens", 0)

    def end(self, clean: bool) -> list[Event]:
        """The provider's stream is over, `clean` if the provider said so -> the last events.

        An answer that nobody called complete ends in an error (S20), and so does one with nothing in it (S34).
        """
        if self._hears is self._NOTHING:
            return []
        self._release()
        if self._stop is None and not clean:
            self._break_off("api_error", "the provider's stream broke off before the answer was complete")
            return self.blocks.take()
        if self._stop is None and self._content.is_cut:
            self._break_off("api_error", "the provider's stream ended in the middle of a tool call")
            return self.blocks.take()
        self._content.end()
        if not self.started and (self._stop is None or self._odd_stop):
            said = f", and says {self._odd_stop!r}" if self._odd_stop else ""
            self._break_off("api_error", f"the provider gave an empty answer{said}")
        else:
            self._finish()
        return self.blocks.take()

    def fail(self, type: str, message: str) -> list[Event]:
        """Trouble of our own -> an error event, whether the message has started or not. Nothing may follow it (S23)."""
        if self.failure is None and not self._ended:
            self._break_off(type, message)
        if not self._ended:
            self._tell_failure()
        return self.blocks.take()

    def _hear_text(self, told: Any) -> None:
        text = told if type(told) is str else self._unsaid("text", told)
        if not text:
            return
        if self._is_plain:
            if self.blocks.kind == "text":  # the way of nearly all text: as it comes, into the block that is open
                self.blocks.write(text)
                return
            self._content.put("text", text)
        else:
            self._sift([("text", text)] if self._tags is None else self._tags.feed(text))
            if self._tags is not None and self._tags.is_over:
                self._tags = None

    def _hear_thinking(self, told: Any) -> None:
        if text := self._unsaid("thinking", told):
            self._release()
            self._tags = None  # who thinks in a field of its own does not think in the text as well
            self._put("thinking", text)

    def _hear_signature(self, signature: Any) -> None:
        if _is_text(signature):
            self._content.sign(signature)

    def _hear_details(self, items: Any) -> None:
        items = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        if items:
            self._content.detail(items)

    def _hear_content_block_stop(self, stops: Any) -> None:
        if stops:
            self._release()
            if isinstance(stops, dict):
                self._content.complete(stops.get("key"))
            self._put("stop", stops)

    def _hear_redacted(self, data: Any) -> None:
        if _is_text(data):
            self._release()
            self._put("redacted", data)

    def _hear_citation(self, citation: Any) -> None:
        if citation and isinstance(citation, dict):
            self._put("citation", citation)

    def _hear_refusal(self, told: Any) -> None:
        if text := self._unsaid("refusal", told):
            self._release()
            self._refusal.append(text)
            self._put("text", text)

    def _hear_tool(self, told: Any) -> None:
        if isinstance(told, dict):
            self._release()
            self._tell(told)

    def _hear_web_search(self, told: Any) -> None:
        if isinstance(told, dict):
            self._release()
            self._put("web_search", told)

    def _hear_found(self, page: Any) -> None:
        if isinstance(page, dict):
            self._put("found", page)

    def _hear_continuation(self, value: Any) -> None:
        self.continuation = value or None

    def _hear_stop(self, reason: Any) -> None:
        if _is_text(reason) and reason != "null":
            known = reason in STOP_REASONS
            if known or self._stop is None:
                self._stop, self._odd_stop = (reason, "") if known else ("end_turn", reason)

    def _hear_stop_sequence(self, sequence: Any) -> None:
        if _is_text(sequence) and (self._asked_stops is None or sequence in self._asked_stops):
            self._stop, self._stop_sequence = self._stop or "stop_sequence", sequence

    def _hear_usage(self, usage: Any) -> None:
        if isinstance(usage, dict):
            known = self.usage
            counts = {
                name: int(count)
                for name, count in usage.items()
                if name in _COUNTS and type(count) in _NUMBERS and 0 <= count < 2**53
            }
            # Some send zeros with every chunk but one (S18), and some say late that it was all in the cache (S19).
            is_whole = 0 in counts.values() and _prompt(counts) >= _prompt(known)
            for name, count in counts.items():
                if count or name not in known or (is_whole and name in PROMPT):
                    known[name] = count
            if not self.started:
                self._message["usage"] = self._known_usage()

    def _hear_error(self, error: Mapping[str, str]) -> None:
        """An error of the provider's, in Anthropic's words already (errors.py)."""
        self._break_off(error["type"], error["message"])

    _EVERYTHING: ClassVar[Mapping[str, Callable[["Assembler", Any], None]]] = {
        "text": _hear_text,
        "thinking": _hear_thinking,
        "signature": _hear_signature,
        "details": _hear_details,
        "content_block_stop": _hear_content_block_stop,
        "redacted": _hear_redacted,
        "citation": _hear_citation,
        "refusal": _hear_refusal,
        "tool": _hear_tool,
        "web_search": _hear_web_search,
        "found": _hear_found,
        "continuation": _hear_continuation,
        "stop": _hear_stop,
        "stop_sequence": _hear_stop_sequence,
        "usage": _hear_usage,
        "error": _hear_error,
    }
    _ONLY_USAGE: ClassVar[Mapping[str, Callable[["Assembler", Any], None]]] = {"usage": _hear_usage}
    _NOTHING: ClassVar[Mapping[str, Callable[["Assembler", Any], None]]] = {}

    def _unsaid(self, kind: str, told: Any) -> str:
        """The new text of a delta. That of another item than the last begins a block of its own (S36)."""
        if type(told) is str:
            return told
        if not isinstance(told, dict):
            return ""
        key = item_key(told)
        text = self._items.unsaid(kind, key, told)
        if text and key != self._item:
            self._item = key
            self._release()
            self._put("item", key)
        return text

    def _put(self, kind: str, value: Any) -> None:
        if not self.stopped:
            self._content.put(kind, value)

    def _tell(self, call: Mapping[str, Any]) -> None:
        if not self.stopped:
            self._content.tell(call)

    def _sift(self, pieces: Iterable[Piece]) -> None:
        """Text that may hold thinking, calls or a stop sequence."""
        for kind, piece in pieces:
            if kind == "thinking":
                self._put(kind, piece)
            elif self._call_tags is None:
                self._say(piece)
            else:
                self._sift_calls(self._call_tags.feed(piece))

    def _sift_calls(self, found: Iterable[str | Call]) -> None:
        for each in found:
            if isinstance(each, str):
                self._say(each)
            else:
                self._release_stops()
                self._tell(each)

    def _say(self, text: str) -> None:
        """Text, up to a stop sequence."""
        if self._stops is not None:
            text = self._stops.feed(text)
        if text:
            self._put("text", text)
        if self._stops is not None and self._stops.hit is not None:
            self._hear_stop_sequence(self._stops.hit)
            self.stopped = True
            self._hears = self._ONLY_USAGE

    def _release(self) -> None:
        """Something else than text follows, so what was held back can no longer become a tag or a stop sequence."""
        if self._tags is not None:
            self._sift(self._tags.end())
        if self._call_tags is not None:
            self._sift_calls(self._call_tags.end())
        self._release_stops()

    def _release_stops(self) -> None:
        if self._stops is not None and (text := self._stops.end()):
            self._put("text", text)

    def _finish(self) -> None:
        self.blocks.start()
        reason = self._stop_reason()
        delta: Event = {"stop_reason": reason, "stop_sequence": None}
        if reason == "stop_sequence":
            delta["stop_sequence"] = self._stop_sequence
        elif reason == "refusal":
            explanation = "".join(self._refusal) or None
            delta["stop_details"] = {"type": "refusal", "category": None, "explanation": explanation}
        usage = self._known_usage()
        if self._content.searches:
            usage["server_tool_use"] = {"web_search_requests": self._content.searches}
        self.blocks.emit({"type": "message_delta", "delta": delta, "usage": usage})
        self.blocks.emit({"type": "message_stop"})
        self._hears, self._ended = self._NOTHING, True

    def _stop_reason(self) -> str:
        reason = "refusal" if self._refusal else self._stop or "end_turn"
        if self._content.has_calls and reason not in _STRONGER_THAN_TOOLS:
            return "tool_use"  # many providers only say "stop" (S13)
        if reason == "end_turn" and self._stop_sequence is not None:
            return "stop_sequence"
        return "end_turn" if reason == "tool_use" else reason  # S14

    def _known_usage(self) -> dict[str, Any]:
        """All that is known, since the client replaces what it knew by these numbers (S18)."""
        told = self.usage
        known: dict[str, Any] = {
            "input_tokens": told.get("input_tokens", 0),
            "cache_creation_input_tokens": told.get("cache_creation_input_tokens", 0),
            "cache_read_input_tokens": told.get("cache_read_input_tokens", 0),
            "output_tokens": told.get("output_tokens", 0) + self._earlier_output,
        }
        if "thinking_tokens" in told:
            known["output_tokens_details"] = {"thinking_tokens": told["thinking_tokens"]}
        return known

    def _break_off(self, type: str, message: str) -> None:
        self._hears = self._NOTHING
        self.failure = {"type": type, "message": message}
        if self.started:
            self._content.break_off()
            self._tell_failure()

    def _tell_failure(self) -> None:
        if self.failure is not None:
            self.blocks.emit({"type": "error", "error": self.failure})
            self._ended = True


def _own(state: dict[str, Any]) -> str:
    """The provider's own signature, or its redacted thinking."""
    return str(state.get("signature") or state.get("redacted", ""))


def _prompt(counts: Mapping[str, int]) -> int:
    """The tokens of the prompt, wherever they were read from."""
    return sum(counts.get(name, 0) for name in PROMPT)


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value != ""
