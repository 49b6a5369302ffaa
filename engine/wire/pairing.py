"""Tool calls and their results: every call answered at once, nothing answered that was not asked.

A history that was cut, edited, compacted or cancelled breaks these rules, and every strict provider refuses it then.
"""

from collections.abc import Iterable
from itertools import count
from typing import Any

from engine.wire.blocks import Block, failed, stray, text
from engine.wire.facts import Facts
from engine.wire.toolnames import fit_id

Message = dict[str, Any]

_NO_RESULT = [text("[no result: the call was cancelled]")]
_CANCELLED = {"native": _NO_RESULT, "words": failed(_NO_RESULT)}
_TOLD = ("content", "is_error", "cache_control")


def pair(messages: Iterable[Message], facts: Facts) -> list[Message]:
    """The conversation with the results of an assistant message's calls at the front of the user message behind it.

    They stand in the order of the calls, whatever the order they came in (R03, R04). A missing one is made up (R02), one
    without a call becomes what the user says (R01), and every call has an id of its own that the provider takes (G09).
    """
    pairing = _Pairing(facts)
    for message in messages:
        if message["role"] == "assistant":
            pairing.call(message)
        elif message["role"] == "user":
            pairing.answer(message)
        else:
            pairing.append(message)
    return pairing.messages


class _Pairing:
    def __init__(self, facts: Facts) -> None:
        self.messages: list[Message] = []
        self._facts = facts
        self._ids: set[str] = set()
        self._waiting: dict[str, list[Block]] = {}  # by the client's id: results still to be filled in
        self._answer: Message | None = None  # the user message just made for results, as long as nothing follows it

    def append(self, message: Message) -> None:
        self.messages.append(message)
        self._answer = None

    def call(self, message: Message) -> None:
        content, results = [], []
        waiting: dict[str, list[Block]] = {}
        for block in message["content"]:
            if block["type"] == "tool_use":
                result = self._expected(block)
                waiting.setdefault(block["id"], []).append(result)
                results.append(result)
                if result["tool_use_id"] != block["id"]:
                    block = block | {"id": result["tool_use_id"]}
            content.append(block)
        self.append({"role": "assistant", "content": content})
        if results:
            self._waiting |= waiting
            self._answer = {"role": "user", "content": results}
            self.messages.append(self._answer)

    def _expected(self, call: Block) -> Block:
        """The result that a call has as long as nobody gives another."""
        id = fit_id(call["id"], self._facts, self._ids)
        self._ids.add(id)
        cancelled = _CANCELLED[self._facts.tool_errors]
        return {"type": "tool_result", "tool_use_id": id, "name": call["name"], "content": cancelled, "is_error": True}

    def answer(self, message: Message) -> None:
        said: list[Block] = []
        for block in message["content"]:
            if block["type"] != "tool_result":
                said.append(block)
            elif expected := self._waiting.get(block["tool_use_id"]):
                result = expected.pop(0)
                del result["is_error"]
                for key in _TOLD:
                    if key in block:
                        result[key] = block[key]
            else:
                said += stray(block["content"])
        if self._answer is not None:
            self._answer["content"] += said
            self._answer = None
        elif said:
            self.append({"role": "user", "content": said})


def show_after_results(messages: Iterable[Message]) -> list[Message]:
    """Images and documents in tool results moved behind all results of the turn, for who sees none in there (R04, R05)."""
    return [_shown_after(message) if message["role"] == "user" else message for message in messages]


def _shown_after(message: Message) -> Message:
    shown = [moved for block in message["content"] if block["type"] == "tool_result" for moved in _moved(block)]
    if not shown:
        return message
    results = [_pointed(block) if block["type"] == "tool_result" else block for block in message["content"]]
    behind = sum(block["type"] == "tool_result" for block in results)
    return {"role": "user", "content": [*results[:behind], *shown, *results[behind:]]}


def _attached(result: Block) -> list[Block]:
    return [block for block in result["content"] if block["type"] != "text"]


def _moved(result: Block) -> list[Block]:
    attached = _attached(result)
    return [text(f"From the result of the tool {result['name']}:"), *attached] if attached else []


def _pointed(result: Block) -> Block:
    """The result with words that point to what stood there."""
    attached = _attached(result)
    if not attached:
        return result
    numbers = count(1)
    content = [block if block["type"] == "text" else _pointer(block, next(numbers), len(attached)) for block in result["content"]]
    return result | {"content": content}


def _pointer(block: Block, number: int, of: int) -> Block:
    return text(f"[{block['type']} below]" if of == 1 else f"[{block['type']} below, {number} of {of} of this result]")
