"""Whose turn it is: repairs of the order of a conversation's messages, each for one reason."""

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any

from engine.wire.blocks import Block, text

Message = dict[str, Any]

_REMINDER, _REMINDER_END = "<system-reminder>", "</system-reminder>"


def empty() -> Message:
    """The turn of a user who says nothing, which stays a turn."""
    return {"role": "user", "content": [text("(empty)")]}


def fold_system(messages: Iterable[Message]) -> list[Message]:
    """System messages become words of the user (R08), which `merge_roles` puts behind what else the user says.

    They stay where they are in the conversation: in the system prompt they would change its head, and no cache would hold.
    """
    return [_reminder(message["content"]) if message["role"] == "system" else message for message in messages]


def _reminder(content: list[Block]) -> Message:
    words = "\n\n".join(block["text"] for block in content)
    reminder = text(words if _is_reminder(words.strip()) else f"{_REMINDER}\n{words}\n{_REMINDER_END}")
    marks = {key: value for key, value in content[-1].items() if key == "cache_control"}
    return {"role": "user", "content": [reminder | marks]}


def _is_reminder(words: str) -> bool:
    return words.startswith(_REMINDER) and words.endswith(_REMINDER_END)


def merge_roles(messages: Iterable[Message]) -> list[Message]:
    """Neighbours of one role become one message (R10)."""
    neighbours = (list(group) for _, group in groupby(messages, itemgetter("role")))
    return [group[0] if len(group) == 1 else _merged(group) for group in neighbours]


def _merged(messages: list[Message]) -> Message:
    return messages[0] | {"content": [block for message in messages for block in message["content"]]}


def user_first(messages: list[Message]) -> list[Message]:
    """A conversation begins with the user, system messages aside."""
    for place, message in enumerate(messages):
        if message["role"] == "user":
            return messages
        if message["role"] != "system":
            return [*messages[:place], empty(), *messages[place:]]
    return [*messages, empty()]


def bridge_results(messages: Iterable[Message]) -> list[Message]:
    """A short word of the assistant between tool results and what the user says next (R09)."""
    bridged: list[Message] = []
    answered = False
    for message in messages:
        if message["role"] == "user":
            results = [block for block in message["content"] if block["type"] == "tool_result"]
            said = message["content"][len(results) :]
            bridged += [{"role": "user", "content": results}] if results else []
            bridged += [{"role": "assistant", "content": [text("OK.")]}] if said and (results or answered) else []
            bridged += [{"role": "user", "content": said}] if said else []
            answered = not said
        else:
            answered = answered and message["role"] == "system"
            bridged.append(message)
    return bridged


def with_thinking(messages: Iterable[Message]) -> list[Message]:
    """Every message that calls a tool has thoughts, as some providers demand: blank ones where there are none (T01, T02)."""
    blank = {"type": "thinking", "thinking": " "}
    return [message | {"content": [blank, *message["content"]]} if _calls_blindly(message) else message for message in messages]


def calls_blindly(messages: Iterable[Message]) -> bool:
    """Whether a message calls a tool without having thought, as far as can still be seen."""
    return any(map(_calls_blindly, messages))


def _calls_blindly(message: Message) -> bool:
    types = [block["type"] for block in message["content"]]
    return "tool_use" in types and {"thinking", "redacted_thinking"}.isdisjoint(types)


def is_blank(message: Message) -> bool:
    """Whether an assistant message says nothing in words."""
    return not any(block["type"] == "text" and block["text"].strip() for block in message["content"])
