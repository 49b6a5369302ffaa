"""Turns -> what the model says and what it hears, with each call's result beside the call.

Formats cut a conversation in different ways: a result is a message or a block among others, neighbours of one role are
one message or several, an empty message is one or none. Here all of them are the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.conversations.conversation import Call, Item, Reasoning, Result, Shown, Text, Turn


@dataclass
class Answered:
    """A call, and its result as soon as there is one."""

    call: Call
    result: Result | None = None


@dataclass
class Step:
    """What the model says before it hears anything: texts, reasoning and calls."""

    items: list[Shown | Reasoning | Answered] = field(default_factory=list)

    @property
    def calls(self) -> list[Answered]:
        return [item for item in self.items if isinstance(item, Answered)]


@dataclass
class Heard:
    """What the model hears beside results: a person's words, files, and system messages."""

    items: list[Shown] = field(default_factory=list)


Exchange = Step | Heard


def exchanges(turns: Iterable[Turn]) -> list[Exchange]:
    """Neither of two Heard, nor of two Steps the first of which calls nothing, ever stand side by side.

    A message that calls something is a step of its own, since its results follow it. A result belongs to the last message
    with a call of its id, to the first such call there that has none yet. A result without a call is something heard.
    """
    made: list[Exchange] = []
    waiting: dict[str, list[Answered]] = {}
    for turn in turns:
        if turn.role == "assistant":
            step = _last(made, Step)
            step = Step() if step is None or step.calls else step
            step.items += [Answered(item) if isinstance(item, Call) else item for item in turn.items if _says(item)]
            waiting |= _by_id(step.calls)
            _append(made, step)
        else:
            heard = _last(made, Heard) or Heard()
            heard.items += [shown for item in turn.items for shown in _hear(item, waiting) if _says(shown)]
            _append(made, heard)
    return made


def _last(made: list[Exchange], kind: type) -> Exchange | None:
    return made[-1] if made and isinstance(made[-1], kind) else None


def _append(made: list[Exchange], exchange: Exchange) -> None:
    if exchange.items and (not made or made[-1] is not exchange):
        made.append(exchange)


def _says(item: Item) -> bool:
    return not isinstance(item, Text) or bool(item.text.strip())


def _by_id(calls: list[Answered]) -> dict[str, list[Answered]]:
    found: dict[str, list[Answered]] = {}
    for answered in calls:
        found.setdefault(answered.call.id, []).append(answered)
    return found


def _hear(item: Item, waiting: dict[str, list[Answered]]) -> list[Shown]:
    if not isinstance(item, Result):
        return [item]
    if waiting.get(item.call_id):
        waiting[item.call_id].pop(0).result = item
        return []
    return list(item.content)
