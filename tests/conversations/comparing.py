"""Where two readings of what should be one conversation say different things; allowances.py tells what may differ."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby, pairwise, takewhile, zip_longest
from typing import Any

from tests.conversations import schemas
from tests.conversations.allowances import BILLING, BRIDGE, MADE_UP, OF_AN_ERROR
from tests.conversations.conversation import (
    Call,
    Conversation,
    Document,
    Image,
    Item,
    Other,
    Reasoning,
    Result,
    Shown,
    Text,
    Tool,
    Turn,
)
from tests.conversations.exchanges import Answered, Exchange, Heard, Step, exchanges
from tests.conversations.words import Reading, compare_words, is_fit, short, tells


def differences(expected: Conversation, got: Conversation) -> list[str]:
    """Short lines, each beginning with what it is about; none where both say the same."""
    if expected.format != got.format:
        expected, got = map(without_reasoning, (expected, got))
    if not [*compare_prompts(*map(with_longer_prompt, (expected, got)))]:
        expected, got = map(with_longer_prompt, (expected, got))
    if len(callable_tools(without_deferred(expected))) == len(got.tools):
        expected = without_deferred(expected)
    names = Names()
    return [
        *compare_prompts(expected, got),
        *compare_tools(expected, got, names),
        *compare_conversation(expected, got, names),
        *compare_choice(expected, got, names),
        *compare_asked(expected, got),
    ]


def became(about: str, expected: Any, got: Any) -> Iterator[str]:
    if expected != got:
        yield f"{about}: {short(expected)} became {short(got)}"


class Names:
    """The names that had to change, and what they became."""

    def __init__(self) -> None:
        self.changed: dict[str, str] = {}

    def compare(self, about: str, expected: str, got: str) -> Iterator[str]:
        known = self.changed.setdefault(expected, expected if is_fit(expected) else got)
        doubled = [name for name, changed in self.changed.items() if changed == known and name != expected]
        if got != known or doubled:
            yield f"{about}: the name {expected} became {got}"


# The system prompt


def compare_prompts(expected: Conversation, got: Conversation) -> Iterator[str]:
    yield from compare_words("system", map(prompt, expected.system), map(prompt, got.system))


def prompt(words: str) -> Text:
    return Text("user", words.partition("\n")[2] if words.startswith(BILLING) else words)


def with_longer_prompt(conversation: Conversation) -> Conversation:
    """With the system messages that come before anybody has spoken as part of the system prompt."""
    early = list(takewhile(lambda turn: turn.role == "system" or not telling(turn).items, conversation.turns))
    words = [item.text for turn in early for item in telling(turn).items if isinstance(item, Text)]
    return replace(conversation, system=[*conversation.system, *words], turns=conversation.turns[len(early) :])


# Who says what


def compare_conversation(expected: Conversation, got: Conversation, names: Names) -> Iterator[str]:
    late: list[Image] = []
    for number, pair in enumerate(zip_longest(comparable(expected.turns), comparable(got.turns))):
        match pair:
            case Heard() as one, Heard() as other:
                yield from compare_words(str(number), late + one.items, other.items)
                late = []
            case Step() as one, Step() as other:
                yield from compare_step(str(number), one, other, names, late)
                if "chat" not in (expected.format, got.format):
                    yield from became(f"{number}, order", order(one), order(other))
            case one, other:
                yield f"{number}: {described(one)} became {described(other)}"
                return


def without_reasoning(conversation: Conversation) -> Conversation:
    told = [Turn(turn.role, tuple(item for item in turn.items if not isinstance(item, Reasoning))) for turn in conversation.turns]
    return replace(conversation, turns=told)


def described(exchange: Exchange | None) -> str:
    if exchange is None:
        return "nothing"
    return f"{type(exchange).__name__} {short(', '.join(map(brief, exchange.items)))}"


def brief(item: Item | Answered) -> str:
    match item:
        case Answered():
            return item.call.name
        case Text():
            return item.text
        case Other():
            return item.kind
    return str(item)


def comparable(turns: Iterable[Turn]) -> list[Exchange]:
    """Behind every step that calls something, something is heard, be it nothing."""
    made = exchanges(without_bridges(map(telling, turns)))
    gaps = [isinstance(one, Step) and bool(one.calls) and not isinstance(next, Heard) for one, next in pairwise([*made, None])]
    return [exchange for one, gap in zip(made, gaps, strict=True) for exchange in ([one, Heard()] if gap else [one])]


def telling(turn: Turn) -> Turn:
    """The turn without what says nothing."""
    items = (replace(item, content=told(item.content)) if isinstance(item, Result) else item for item in told(turn.items))
    return Turn(turn.role, tuple(items))


def told(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(item for item in flat(items) if not isinstance(item, Shown) or tells(item))


def flat(items: Iterable[Item]) -> Iterator[Item]:
    """What only Anthropic knows, followed by what it holds; a file's context, that it may be told behind the file."""
    for item in items:
        match item:
            case Document(is_text=False) if item.context:
                words = item.context.strip()
                yield from (replace(item, context=""), Other("user", "context", (words,) if words else (), None))
            case Other():
                yield from (item, *flat(item.content))
            case _:
                yield item


def without_bridges(turns: Iterable[Turn]) -> Iterator[Turn]:
    is_answered = False
    for turn in turns:
        if is_answered and turn.items == (Text("assistant", BRIDGE),):
            continue
        if turn.role != "system":
            is_answered = isinstance(turn.items[-1], Result) if turn.items else is_answered
        yield turn


def compare_step(about: str, expected: Step, got: Step, names: Names, late: list[Image]) -> Iterator[str]:
    yield from compare_words(about, texts(expected.items), texts(got.items))
    if len(expected.calls) != len(got.calls):
        yield f"{about}: {len(expected.calls)} calls became {len(got.calls)}"
        return
    for number, (one, other) in enumerate(zip(expected.calls, got.calls, strict=True)):
        yield from compare_call(f"{about}, call {number}", one, other, names, late)
    states = [[item.state for item in step.items if isinstance(item, Reasoning)] for step in (expected, got)]
    yield from became(f"{about}, reasoning", *states)


def texts(items: Iterable[Item | Answered]) -> list[Item]:
    return [item for item in items if not isinstance(item, Answered | Reasoning)]


def order(step: Step) -> list[str]:
    kinds = ["Text" if isinstance(item, Other) else type(item).__name__ for item in step.items]
    return [kind for kind, _ in groupby(kinds)]


def compare_call(about: str, expected: Answered, got: Answered, names: Names, late: list[Image]) -> Iterator[str]:
    yield from names.compare(about, expected.call.name, got.call.name)
    yield from became(f"{about}, input", written(expected.call.input), written(got.call.input))
    if expected.result and not got.result:
        yield f"{about}: the result is missing"
    elif got.result and not expected.result and not MADE_UP.fullmatch(Reading(got.result.content).text):
        yield f"{about}: nobody gave the result {short(Reading(got.result.content).text)!r}"
    elif expected.result:
        yield from compare_result(f"{about}, result", expected.result, got.result, got.call, late)


def written(input: Any) -> str:
    """With the keys in their order, and a number as it is, no boolean."""
    return json.dumps(input, ensure_ascii=False)


def compare_result(about: str, expected: Result, got: Result, call: Call, late: list[Image]) -> Iterator[str]:
    yield from compare_words(about, expected.content, got.content, OF_AN_ERROR if expected.is_error else (), late)
    if got.name:
        yield from became(f"{about}, name", call.name, got.name)
    if got.is_error and not expected.is_error:
        yield f"{about}: it became an error"
    if expected.is_error and not got.is_error and not re.match(r"\s*Error:", Reading(got.content).text):
        yield f"{about}: nothing says that it is an error"


# What is asked for


def compare_tools(expected: Conversation, got: Conversation, names: Names) -> Iterator[str]:
    for one, other in zip_longest(callable_tools(expected), got.tools):
        if one and other and (one.name == other.name or not is_fit(one.name)):
            yield from compare_tool(one, other, names)
        else:
            yield f"tools: {one.name if one else 'nothing'} became {other.name if other else 'nothing'}"
            return


def callable_tools(conversation: Conversation) -> list[Tool]:
    first: dict[str, Tool] = {}
    for tool in conversation.tools:
        first.setdefault(tool.name, tool)
    first.pop("", None)
    return list(first.values())


def without_deferred(conversation: Conversation) -> Conversation:
    """Without the deferred tools that have not come up: by a call, or by a reference in a result or a system message.

    Where it would be Anthropic's own search that brings them up, all are left.
    """
    if any(kind.startswith("tool_search") for kind in kinds(conversation)):
        return conversation
    items = [inner for item in conversation.items for inner in (item, *getattr(item, "content", ()))]
    known = {item.name for item in items if isinstance(item, Call)}
    known |= {item.block["tool_name"] for item in items if isinstance(item, Other) and item.kind == "tool_reference"}
    known |= {item.block["tool"].get("name") for item in items if isinstance(item, Other) and item.kind == "tool_addition"}
    return replace(conversation, tools=[tool for tool in conversation.tools if not tool.deferred or tool.name in known])


def compare_tool(expected: Tool, got: Tool, names: Names) -> Iterator[str]:
    yield from names.compare("tools", expected.name, got.name)
    if expected.defined is None:
        yield from became(f"tools, {expected.name}, description", expected.description, got.description)
        yield from became(f"tools, {expected.name}, strict", expected.strict, got.strict)
        yield from compare_schemas(f"tools, {expected.name}", expected.schema, got.schema)


def compare_schemas(about: str, expected: Any, got: Any) -> Iterator[str]:
    outlines = schemas.outline(expected), schemas.outline(got)
    if not schemas.same(*outlines):
        yield f"{about}, schema: {outlines[0]} became {outlines[1]}"


def compare_choice(expected: Conversation, got: Conversation, names: Names) -> Iterator[str]:
    if not got.tools and not got.web_search:
        return
    offered = {tool.name for tool in expected.tools} | ({"web_search"} if got.web_search else set())
    if expected.choice == "tool" and expected.chosen in offered:
        if got.choice != "any" or len(got.tools) + got.web_search > 1:
            yield from became("choice", "tool", got.choice)
            yield from names.compare("choice", expected.chosen, got.chosen)
    else:
        yield from became("choice", expected.choice.replace("tool", "") or "auto", got.choice or "auto")
    if expected.choice != "none":
        yield from became("one_call", expected.one_call, got.one_call)


def compare_asked(expected: Conversation, got: Conversation) -> Iterator[str]:
    if expected.max_tokens is not None:
        yield from became("max_tokens", expected.max_tokens, got.max_tokens)
    for field in ("temperature", "top_p", "top_k", "web_search", "stream"):
        yield from became(field, getattr(expected, field), getattr(got, field))
    yield from became("stop", list(filter(None, expected.stop)), got.stop)
    yield from became("hosted", kinds(expected), kinds(got))
    yield from became("schema", expected.schema is None, got.schema is None)
    yield from compare_schemas("answer", expected.schema, got.schema)
    for setting in sorted(expected.settings.keys() | got.settings.keys()):
        yield from became(f"settings.{setting}", expected.settings.get(setting), got.settings.get(setting))
    if expected.format == got.format:
        yield from became("effort", expected.effort, got.effort)


def kinds(conversation: Conversation) -> list[str]:
    return [tool.get("type") or next(iter(tool)) for tool in conversation.hosted]
