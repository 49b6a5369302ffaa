"""The items that an answer is made of, where their text comes in pieces and then once more as a whole (S35)."""

from collections.abc import Mapping
from typing import Any

Key = str | int | float | None


class Items:
    """What has been said of each item; its key tells it from the others, and a text and a refusal of one item by their `kind`."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, Key], list[str]] = {}

    def unsaid(self, kind: str, key: Key, told: Mapping[str, Any]) -> str:
        """What a piece of an item, or the whole of it, says that has not been said."""
        piece, whole = told.get("piece"), told.get("whole")
        said = self._said.setdefault((kind, key), [])
        if isinstance(whole, str):
            before = "".join(said)
            piece = whole.removeprefix(before) if whole.startswith(before) else ""
        if not isinstance(piece, str) or not piece:
            return ""
        said.append(piece)
        return piece


def item_key(told: Mapping[str, Any]) -> Key:
    """What tells an item from the others, if it is anything that can."""
    key = told.get("key")
    return key if isinstance(key, (str, int, float)) else None
