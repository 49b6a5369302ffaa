"""Text -> text and thinking, for models that think aloud inside `<think>…</think>`.

The tags may be cut anywhere between two pieces of text (S30), so what could still become a tag is held back, and given
out as what it was when it turns out to be none.
"""

import re
from typing import Literal

Piece = tuple[Literal["text", "thinking"], str]

_NAMES = ("think", "thought", "thinking")
_OPENERS = tuple(f"<{name}>" for name in _NAMES)
_CLOSERS = tuple(f"</{name}>" for name in _NAMES)
_LONGEST = max(map(len, _CLOSERS))
_OPENING = re.compile(rf"\s*(?:{'|'.join(_OPENERS)})")
_CLOSING = re.compile("|".join(_CLOSERS))


class ThinkTags:
    """Splits what a model says, piece by piece.

    A tagged model may begin with an opening tag. An unopened one begins within its thinking, because the opening tag
    stands in its prompt; it may repeat the tag. Any later tag is text: somebody is talking about tags.
    """

    def __init__(self, *, unopened: bool = False) -> None:
        self._kind: Literal["text", "thinking"] = "thinking" if unopened else "text"
        self._at_start = True
        self._after_tag = unopened
        self._held = ""

    @property
    def is_over(self) -> bool:
        """Whether all that comes now is text."""
        return self._kind == "text" and not (self._at_start or self._after_tag or self._held)

    def feed(self, text: str) -> list[Piece]:
        """The next text of the model -> what is now known to be text or thinking."""
        text, self._held = self._held + text, ""
        if self._at_start:
            tag = _OPENING.match(text)
            if tag is None and _begins_one(text.lstrip(), _OPENERS):
                self._held = text
                return []
            self._at_start = False
            if tag is not None:
                self._turn("thinking")
                text = text[tag.end() :]
        return self._pieces(text) if self._kind == "text" else self._until_closed(text)

    def end(self) -> list[Piece]:
        """What was held back: nothing that would have made it a tag comes any more."""
        held, self._held = self._held, ""
        return self._pieces(held)

    def _until_closed(self, text: str) -> list[Piece]:
        tag = _CLOSING.search(text)
        if tag is None:
            last = text.rfind("<")
            if last >= 0 and _begins_one(text[last:], _CLOSERS):
                text, self._held = text[:last], text[last:]
            return self._pieces(text)
        thinking = self._pieces(text[: tag.start()])
        self._turn("text")
        return thinking + self._pieces(text[tag.end() :])

    def _turn(self, kind: Literal["text", "thinking"]) -> None:
        self._kind = kind
        self._after_tag = True

    def _pieces(self, text: str) -> list[Piece]:
        if self._after_tag:  # the line breaks around a tag belong to the tag
            text = text.lstrip()
            self._after_tag = not text
        return [(self._kind, text)] if text else []


def _begins_one(text: str, tags: tuple[str, ...]) -> bool:
    return len(text) < _LONGEST and any(tag.startswith(text) for tag in tags)
