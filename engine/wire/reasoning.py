"""The envelope that carries a provider's reasoning state through the client and back.

The client keeps `signature` of a thinking block as it came. A provider's state is of use to the same
provider and the same model only: to any other it is an error (edge-cases.md T08, T10).
"""

import base64
from collections.abc import Iterable
from typing import Any

from engine.wire.jsontext import dumps, loads

_MARK = "ccproxy1."

EARLIER = "earlier"
"""An item that is told `on: earlier` completes the one with its id that came before it."""

Block = dict[str, Any]


def seal(provider: str, model: str, state: dict[str, Any]) -> str:
    """A signature that holds `state`, for `unseal` with the same provider and model."""
    return _MARK + base64.urlsafe_b64encode(dumps([provider, model, state])).decode()


def unseal(signature: Any, provider: str, model: str) -> dict[str, Any] | None:
    """The state that was sealed for this provider and model; None of a signature that is foreign, damaged or another's."""
    if not is_sealed(signature):
        return None
    try:
        sealed = loads(base64.b64decode(signature.removeprefix(_MARK), altchars=b"-_", validate=True))
    except ValueError:
        return None
    match sealed:
        case [str(owner), str(owned), dict(state)] if (owner, owned) == (provider, model):
            return state
    return None


def is_sealed(signature: Any) -> bool:
    """Whether the signature is one of ours, which no one else will take."""
    return isinstance(signature, str) and signature.startswith(_MARK)


def merge_details(gathered: list[dict[str, Any]], items: Iterable[Any]) -> None:
    """Reasoning items as they stream, added to those that came before.

    Fragments of a text or a summary are joined; what is encrypted is whole as it comes; a signature or an id may follow
    later. Items that are no objects are passed over. https://openrouter.ai/docs/use-cases/reasoning-tokens
    """
    for item in items:
        if not isinstance(item, dict):
            continue
        if gathered and _continues(gathered[-1], item):
            gathered[-1].update(_joined(gathered[-1], item))
        else:
            gathered.append(dict(item))


def place(content: list[Block]) -> list[Block]:
    """An assistant's blocks with the reasoning items where they belong.

    An item that says `on: next` or `on: previous` is taken out of its thinking block and becomes the `state` of the
    neighbour: a signature that a provider put on a call, or what it said of a text, goes back on that call or text.
    What came `on: earlier` is put into the item that it completes.
    """
    if "thinking" not in [block["type"] for block in content]:
        return content
    late = {item.get("id"): item for block in content for item in block.get("details", ()) if item.get("on") == EARLIER}
    placed: list[Block] = []
    waiting: Block = {}
    for block in content:
        if block["type"] != "thinking":
            placed.append(block | {"state": waiting} if waiting else block)
            waiting = {}
            continue
        items = block.get("details", [])
        for item in items:
            if item.get("on") == "next":
                waiting = waiting | item
            elif item.get("on") == "previous" and placed:
                placed[-1] = placed[-1] | {"state": placed[-1].get("state", {}) | item}
        kept = [_completed(item, late.get(item.get("id"), {})) for item in items if "on" not in item]
        block = {key: value for key, value in block.items() if key != "details"} | ({"details": kept} if kept else {})
        if block["thinking"] or block.keys() > {"type", "thinking"}:
            placed.append(block)
    return placed


def _completed(item: dict[str, Any], late: dict[str, Any]) -> dict[str, Any]:
    return item | {word: value for word, value in late.items() if word != "on" and not item.get(word)}


def _continues(last: dict[str, Any], item: dict[str, Any]) -> bool:
    same = all(last.get(key) == item.get(key) for key in ("type", "index", "on"))
    ids = {detail["id"] for detail in (last, item) if detail.get("id")}
    return same and len(ids) < 2 and "data" not in last and "data" not in item


def _joined(last: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """What the next fragment adds or changes."""
    told = {key: value for key, value in item.items() if value is not None or key not in last}
    for key in ("text", "summary"):
        if isinstance(last.get(key), str) and isinstance(told.get(key), str):
            told[key] = last[key] + told[key]
    return told
