"""A request for a provider that speaks Anthropic's own format: the client's, less what no one but us could read."""

from collections.abc import Iterable
from typing import Any

from engine.wire import reasoning
from engine.wire.blocks import Block, found_on_the_web, searched_for
from engine.wire.facts import Facts
from engine.wire.history import without_attribution

Request = dict[str, Any]
Message = dict[str, Any]


def adapt(request: Request, facts: Facts, lost: dict[str, str]) -> Request:
    """The request as it came, or with what has to change; the given one stays as it is.

    Reasoning in our envelope is another provider's (T10), and so are searches whose pages nobody has encrypted.
    """
    messages = [message if _is_sound(message) else _mended(message, lost) for message in request["messages"]]
    changed: Request = {}
    if any(new is not old for new, old in zip(messages, request["messages"], strict=True)):
        changed["messages"] = [message for message in messages if message["role"] == "system" or message["content"]]
    system = request.get("system")
    if facts.attribution == "drop" and isinstance(system, list):
        kept = without_attribution(system)
        if kept != system:
            changed["system"] = kept
    return request | changed if changed else request


def _is_sound(message: Message) -> bool:
    content = message.get("content")
    return message["role"] != "assistant" or not isinstance(content, list) or not any(map(_is_ours, content))


def _is_ours(block: Block) -> bool:
    """Whether a block was made here: of another provider's reasoning, search or citation."""
    if block["type"] in ("thinking", "redacted_thinking"):
        return reasoning.is_sealed(block.get("signature") or block.get("data"))
    if block["type"] == "web_search_tool_result":
        return _is_unencrypted(block["content"])
    cited = block.get("citations")
    return isinstance(cited, list) and any(isinstance(each, dict) and each.get("encrypted_index") == "" for each in cited)


def _is_unencrypted(found: Any) -> bool:
    return isinstance(found, list) and any(not page.get("encrypted_content") for page in found)


def _mended(message: Message, lost: dict[str, str]) -> Message:
    return message | {"content": list(_in_words(message["content"], lost))}


def _in_words(content: list[Block], lost: dict[str, str]) -> Iterable[Block]:
    searches = {block.get("tool_use_id") for block in content if block["type"] == "web_search_tool_result" and _is_ours(block)}
    for block in content:
        if block["type"] == "server_tool_use" and block.get("id") in searches:
            yield searched_for(block)
        elif not _is_ours(block):
            yield block
        elif block["type"] == "web_search_tool_result":
            yield found_on_the_web(block)
        elif block["type"] == "text":
            yield {key: value for key, value in block.items() if key != "citations"}
        else:
            lost["thinking"] = "it is another provider's"
