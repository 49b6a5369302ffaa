"""An Anthropic request, repaired and in the one shape that mappings read."""

import re
from collections.abc import Set
from typing import Any, NamedTuple

from engine.wire import schema, thinking, tokens, tools, turns
from engine.wire.blocks import Block, BlockReader
from engine.wire.errors import ApiError
from engine.wire.facts import Facts
from engine.wire.jsontext import dumps
from engine.wire.pairing import pair, show_after_results

Request = dict[str, Any]
Message = dict[str, Any]

_ROLES = {"ctx": "user", "msg": "user"}  # seen of Claude Code 2.1.154 and later; vLLM reads them so, too
_READ = frozenset({"role", "content", "output_config"})  # of a message
_READ_WITHIN = {
    "thinking": frozenset({"type", "budget_tokens", "display"}),
    "output_config": frozenset({"effort", "format"}),
}
_ATTRIBUTION = "x-anthropic-billing-header:"


class Prepared(NamedTuple):
    """A request that a provider can take, and what the way back needs to know of it.

    request: the canonical one. tool_names: upstream name -> the client's, of the tools that had to be renamed.
    tool_ids: the ids of all calls in the conversation, as the client knows them. stop_sequences: those that are enforced
    here. lost: what does not reach the provider, the client's word -> the reason.
    """

    request: Request
    tool_names: dict[str, str]
    tool_ids: Set[str]
    stop_sequences: tuple[str, ...]
    lost: dict[str, str]


def prepare(request: Request, facts: Facts, *, provider: str, model: str, size: int | None = None) -> Prepared:
    """A valid request (validate.py) as this provider and model can take it. The given one stays as it is.

    `size`: of how many bytes it came, where that is known.
    Raises ApiError where nothing can be put in place of what the provider does not take.
    """
    thread = request.get("thread")
    if thread and thread["type"] != "create":
        # One that goes on has its earlier messages at Anthropic, and nobody else could know them.
        raise ApiError(400, "invalid_request_error", "thread.type: this provider keeps no thread that could be continued")
    if not facts.images and facts.unseen_images == "refuse":
        _refuse_new_image(request["messages"])
    offered = tools.offered(request, facts)
    names, lost = offered.names, dict(offered.lost)
    reader = BlockReader(facts, names, lost, provider, model)
    thoughts = thinking.canonical(request, facts.efforts)
    thinks = thinking.is_on(thoughts)
    if facts.efforts == ("none",) and thinking.asked(request) != "none":
        lost["thinking"] = "this model is not told how hard to think"
    messages = _messages(request, facts, reader, lost, thinks=thinks)
    if facts.reasoning_history == "required" and turns.calls_blindly(messages):
        thoughts = thinking.canonical(request | {"thinking": {"type": "disabled"}}, facts.efforts)
        thinks = thinking.is_on(thoughts)
        lost["thinking"] = "the provider wants all earlier thinking back, which this conversation has lost"
    for field, read in _READ_WITHIN.items():
        for key in (request.get(field) or {}).keys() - read:
            lost[f"{field}.{key}"] = "the provider knows nothing like it"
    canonical = request | {"messages": messages, "thinking": thoughts}
    stop_here: list[str] = []
    if "system" in request:
        canonical["system"] = _system(request["system"], facts, reader)
    if "tools" in request:
        canonical["tools"] = offered.canonical or None
    if "tool_choice" in request:
        canonical["tool_choice"] = tools.choice(request, offered.tools, names, facts, lost, thinks=thinks)
    if "stop_sequences" in request:
        stop_here, canonical["stop_sequences"] = _stop_sequences(request["stop_sequences"], facts)
    if "max_tokens" in request:
        canonical["max_tokens"] = _max_tokens(request, facts, size, thinking.unasked(request, thoughts))
    if "output_config" in request:
        canonical["output_config"] = _output_config(request["output_config"], facts)
    if "metadata" in request:
        canonical["session_id"] = _session_id(request["metadata"])
    if None in canonical.values():
        canonical = {key: value for key, value in canonical.items() if value is not None}
    return Prepared(canonical, names.back, reader.tool_ids, tuple(stop_here), lost)


def _messages(request: Request, facts: Facts, reader: BlockReader, lost: dict[str, str], *, thinks: bool) -> list[Message]:
    """The conversation, one repair after the other."""
    messages = _read(request["messages"], reader, lost)
    if facts.mid_system == "fold":
        messages = turns.fold_system(messages)
    if reader.tool_ids or reader.has_results:
        messages = pair(messages, facts)
    if facts.tool_result_images == "followup" and reader.has_files:
        messages = show_after_results(messages)
    messages = turns.user_first(turns.merge_roles(messages))
    if facts.prefill == "drop":
        messages = _without_prefill(messages, request)
    if facts.reasoning_history == "placeholder" and thinks:
        messages = turns.with_thinking(messages)
    if not facts.user_after_tool:
        messages = turns.bridge_results(messages)
    return messages


def _refuse_new_image(messages: list[Message]) -> None:
    """The newest message may ask about an image that the model cannot see (R27); older ones have been answered.

    Behind it the system may have spoken, as it does in most requests of Claude Code.
    """
    newest = len(messages) - 1
    while newest and messages[newest]["role"] == "system":
        newest -= 1
    content = messages[newest].get("content")
    for place, block in enumerate(content if isinstance(content, list) else ()):
        if block.get("type") == "image":
            where = f"messages.{newest}.content.{place}"
            raise ApiError(
                400, "invalid_request_error", f"{where}: this model cannot see images; leave it out, or ask another model"
            )


def _read(messages: list[Message], reader: BlockReader, lost: dict[str, str]) -> list[Message]:
    """The messages in blocks that mappings read; without those of which nothing is left, unless it is a user's turn."""
    read = []
    for message in messages:
        for key in message:
            if key not in _READ:
                lost[f"messages.{key}"] = "the provider knows nothing like it"
        role: str = message["role"]
        role = _ROLES.get(role, role)
        content = reader.read(role, message.get("content"))
        if content:
            read.append({"role": role, "content": content})
        elif role == "user":
            read.append(turns.empty())
    return read


def _without_prefill(messages: list[Message], request: Request) -> list[Message]:
    """An assistant message at the end would have to be continued (R11)."""
    while messages[-1]["role"] == "assistant":
        if not turns.is_blank(messages[-1]):
            place = len(request["messages"]) - 1
            raise ApiError(
                400, "invalid_request_error", f"messages.{place}: this provider does not continue an assistant message"
            )
        messages = messages[:-1]
    return messages


def _system(prompt: str | list[Block] | None, facts: Facts, reader: BlockReader) -> list[Block] | None:
    blocks = reader.read("system", prompt)
    return (without_attribution(blocks) if facts.attribution == "drop" else blocks) or None


def without_attribution(prompt: list[Block]) -> list[Block]:
    """A system prompt without Claude Code's line, which would make every conversation begin differently (R14)."""
    kept = []
    for block in prompt:
        if block["text"].startswith(_ATTRIBUTION):
            block = {"type": "text", "text": block["text"].partition("\n")[2]}
        if block["text"].strip():
            kept.append(block)
    return kept


def _stop_sequences(asked: list[str] | None, facts: Facts) -> tuple[list[str], list[str] | None]:
    """The stop sequences that are enforced here, and those that the provider takes (R23)."""
    sequences = [sequence for sequence in asked or () if sequence]
    taken = 0 if facts.stop_sequences == "enforced" else facts.max_stop
    there = sequences[:taken]
    return sequences[len(there) :], there or None


def _max_tokens(request: Request, facts: Facts, size: int | None, unasked: int) -> int | None:
    """Within what the provider takes (R20, R21), and with room for thinking that was not asked for (T12)."""
    asked: int | None = request.get("max_tokens")
    if asked is None:
        return None
    # Who asks for many has room, and perhaps all that the provider takes.
    asked = max(asked, min(asked, unasked) + unasked)
    lowered = asked if facts.max_output is None else min(asked, facts.max_output)
    if facts.context is not None:
        size = len(dumps(request)) if size is None else size
        if lowered + _at_most(size) > facts.context:  # no byte is more than a token
            lowered = min(lowered, _room(tokens.estimate(request), facts.context))
    return max(lowered, facts.min_output)


def _room(prompt: int, window: int) -> int:
    """What a prompt of so many tokens leaves of the window for an answer, though the provider may count more of them.

    Where that is next to nothing it is more than there is: to a refusal the client compacts, and a few words are no use to it.
    """
    return max(window - _at_most(prompt), (window - prompt) // 2, window // 32)


def _at_most(tokens: int) -> int:
    """How many another tokenizer may find."""
    return tokens + tokens * 15 // 100


def _output_config(config: dict[str, Any] | None, facts: Facts) -> dict[str, Any] | None:
    """Without the effort, which belongs to `thinking` here, and with a schema that the provider takes."""
    told = {key: value for key, value in (config or {}).items() if key != "effort"}
    format = told.get("format")
    if format and format.get("schema"):
        told["format"] = format | {"schema": schema.clean_answer(format["schema"], facts.schema)}
    return told or None


def _session_id(metadata: dict[str, Any] | None) -> str | None:
    """Which conversation it is, for a provider's cache: of what Claude Code tells of the person, this names nobody (R24)."""
    told = (metadata or {}).get("user_id")
    named = _SESSION.search(told) if isinstance(told, str) else None
    return named[1] if named else None


_SESSION = re.compile(r"""session(?:_id\W{1,4}|_)([0-9a-fA-F-]{36})""")
