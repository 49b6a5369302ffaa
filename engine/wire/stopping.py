"""Stop sequences, enforced on this side for providers that take none, or few, or do not say which one it was."""

from collections.abc import Iterable


class StopSequences:
    """Lets text through up to the first stop sequence, wherever the pieces of text are cut.

    `hit` is the sequence that was met. The one that is complete first counts: then the cuts make no difference.
    """

    def __init__(self, sequences: Iterable[str]) -> None:
        self.hit: str | None = None
        self._sequences = [sequence for sequence in sequences if sequence]
        self._held = ""

    def feed(self, text: str) -> str:
        """The next text -> what of it may go out; after a hit, nothing."""
        if self.hit is not None:
            return ""
        text, self._held = self._held + text, ""
        found = [(start + len(stop), start, stop) for stop in self._sequences if (start := text.find(stop)) >= 0]
        if found:
            _, start, self.hit = min(found)
            return text[:start]
        cut = min((_where_it_could_begin(stop, text) for stop in self._sequences), default=len(text))
        self._held = text[cut:]
        return text[:cut]

    def end(self) -> str:
        """What was held back: nothing that would have made it a stop sequence comes any more."""
        held, self._held = self._held, ""
        return held


def _where_it_could_begin(stop: str, text: str) -> int:
    """Where the longest end of the text starts that the stop sequence could go on from, else the text's length."""
    start = text.find(stop[0], max(0, len(text) - len(stop) + 1))
    while start >= 0 and not stop.startswith(text[start:]):
        start = text.find(stop[0], start + 1)
    return start if start >= 0 else len(text)
