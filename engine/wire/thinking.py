"""How hard to think: what a client asks, in the one form that mappings read."""

from collections.abc import Sequence
from typing import Any

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Anthropic's words, and two below them that providers have."""

_BUDGETS = ((4096, "low"), (12288, "medium"), (24576, "high"), (49152, "xhigh"))
"""A thinking budget below so many tokens, as an effort."""


def canonical(request: dict[str, Any], efforts: Sequence[str]) -> dict[str, Any]:
    """The request's `thinking`, with the `effort` that a provider who knows `efforts` can be asked for.

    Who asks for neither thinking nor effort wants none (T05), which is the effort `none`, or the least there is. There is
    no effort where the request leaves it open.
    """
    thinking: dict[str, Any] = request.get("thinking") or {"type": "disabled"}
    effort = asked(request)
    if effort is not None and effort not in (efforts or EFFORTS):  # who says nothing of efforts may know any of Anthropic's
        effort = _next_up(effort, efforts)
    return thinking | {"effort": effort} if effort else thinking


def is_on(thinking: dict[str, Any]) -> bool:
    """Whether a model that is asked in this form thinks."""
    return bool(thinking["effort"] != "none" if "effort" in thinking else thinking["type"] != "disabled")


def unasked(request: dict[str, Any], thinking: dict[str, Any]) -> int:
    """How many tokens of thinking go before the answer, of a model that thinks in this form though it was asked not to.

    As many as a budget has that stands for the same effort (T12). 0 where it does not think, or was asked to: what it
    thinks is then among the `max_tokens` that the client asked for.
    """
    if not is_on(thinking) or asked(request) != "none":
        return 0
    known = EFFORTS.index(thinking["effort"])
    return next((limit for limit, effort in _BUDGETS if EFFORTS.index(effort) >= known), _BUDGETS[-1][0])


def asked(request: dict[str, Any]) -> str | None:
    """The effort that the request asks for, by whatever name; None where it leaves it open."""
    thinking = request.get("thinking")
    if thinking and thinking["type"] == "disabled":
        return "none"  # Claude Code gives an effort beside it in its side questions (T04)
    effort = (request.get("output_config") or {}).get("effort")
    for message in request["messages"]:
        if message["role"] == "system":  # which may change it in mid-conversation; the last word counts
            effort = (message.get("output_config") or {}).get("effort") or effort
    if effort:
        return str(effort)
    if not thinking:
        return "none"
    budget = thinking.get("budget_tokens")
    return None if budget is None else next((effort for limit, effort in _BUDGETS if budget < limit), "max")


def _next_up(effort: str, efforts: Sequence[str]) -> str | None:
    """The next one up that is known, or else the highest (T13)."""
    at_least = EFFORTS[EFFORTS.index(effort) :] if effort in EFFORTS else ()
    return next((word for word in efforts if word in at_least), efforts[-1] if efforts else None)
