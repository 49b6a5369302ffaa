"""Whether the same is said, by words and files, in the same order."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from xml.sax.saxutils import quoteattr

from tests.conversations.allowances import (
    FRAME,
    NAMELESS,
    OF_OTHERS,
    OWN_WORDS,
    POINTS_TO_A_FILE,
    STAND_IN_FOR_A_FILE,
    STAND_INS,
    STANDS_FOR_A_FILE,
)
from tests.conversations.conversation import Document, Image, Item, Other, Shown, Text


def compare_words(
    about: str,
    expected: Iterable[Shown],
    got: Iterable[Shown],
    own: tuple[str, ...] = (),
    late: list[Image] | None = None,
) -> Iterator[str]:
    """Also passes over words that match `own`. `late` gathers the files of a result that may come later.

    They may also come behind the result's own words, where those are apart from its files.
    """
    reading = Reading(got, own, OF_OTHERS)
    pointed_to: list[Image] = []
    for item in expected:
        left = reading.rest
        if late is not None and is_file(item) and reading.is_without_file():
            pointed_to.append(item)
        elif is_file(item) and reading.passes(STANDS_FOR_A_FILE):
            yield f"{about}: {item} is told of in words only"
        elif problem := reading.take(item):
            yield f"{about}: {problem}"
            if reading.rest == left:
                return
    while pointed_to and reading.has_file():
        if problem := reading.take(pointed_to.pop(0)):
            yield f"{about}: {problem}"
    if late is not None:
        late += pointed_to
    if not reading.is_over():
        yield f"{about}: nobody said {short(reading.rest)!r}"


def short(value: Any) -> str:
    words = value if isinstance(value, str) else repr(value)
    return words if len(words) <= 60 else f"{words[:40]}… ({len(words)} characters)"


def is_file(item: Item) -> bool:
    return isinstance(item, Image) and not item.is_text


def tells(item: Shown) -> bool:
    """Whether it is more than what may stand where nothing is said."""
    match item:
        case Text():
            return not Reading([item]).is_over()
        case Document(is_text=True):
            return any(map(str.strip, (item.text, item.title, item.context)))
        case Other():
            return item.kind in ("file", "tool_reference", "web_search_tool_result") or bool(item.words)
    return True


def words_of(item: Other) -> Iterator[str]:
    return (word for word in item.words if item.kind != "tool_reference" or is_fit(word))


def quoted(word: str) -> str:
    """As the word is written in an attribute."""
    return quoteattr(word)[1:-1]


def is_fit(name: str) -> bool:
    """Whether every provider takes the name of this tool."""
    return re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_-]{,63}", name) is not None


class Reading:
    """What is shown as one text, each file a mark in it, and how far it is read."""

    MARK = re.compile("\udcff(\\d+)\udcff")  # no JSON text holds it
    _END_OF_FRAME = re.compile(r"""(:\s*)?\]|[^<>\n]*["']>""")

    def __init__(self, shown: Iterable[Shown], own: tuple[str, ...] = (), frames: tuple[str, ...] = ()) -> None:
        self._files: list[Image] = []
        self.text = "\n".join(map(self._rendered, shown))
        self._own = re.compile("|".join((*STAND_INS, *OWN_WORDS, *own)))
        self._frames = re.compile("|".join(frames) or "(?!)")
        self._at = 0
        self._is_reminder = False
        self._is_apart = True  # from the words before
        self._is_framed = False  # as words are which only Anthropic knows

    def _rendered(self, item: Shown) -> str:
        match item:
            case Text(role="system"):
                return f"<system-reminder>\n{item.text}\n</system-reminder>"
            case Text():
                return item.text
            case Image():
                self._files.append(item)
                return f"\udcff{len(self._files) - 1}\udcff"
            case Other(kind="file"):
                return STAND_IN_FOR_A_FILE
        return "\n".join(map(quoted, words_of(item)))

    @property
    def rest(self) -> str:
        return self.text[self._at :]

    def is_over(self) -> bool:
        while self._skip():
            pass
        return not self.rest

    def has_file(self) -> bool:
        return self._finds(self.MARK) is not None

    def is_without_file(self) -> bool:
        """Whether here is none, nor words for one; words that point to one are passed."""
        return self.passes(POINTS_TO_A_FILE) or not (self._finds(STANDS_FOR_A_FILE) or self.has_file())

    def passes(self, pattern: re.Pattern[str]) -> bool:
        """Goes on behind what matches the pattern; or stays where it is."""
        found = self._finds(pattern)
        if found:
            self._at, self._is_apart = found.end(), True
        return found is not None

    def take(self, item: Shown) -> str | None:
        """Goes on behind the item; or says why it cannot."""
        match item:
            case Text():
                return self._take_words(item.text.strip(), item.role)
            case Image() if mark := self._finds(self.MARK):
                return self._take_file(item, mark)
            case Document(is_text=True):
                return self._take_frame(filter(str.strip, (item.title, item.context))) or self._take_words(item.text.strip())
            case Other(kind="file"):
                return None if self.passes(STANDS_FOR_A_FILE) else f"a file at Anthropic became {short(self.rest)!r}"
            case Other():
                return self._take_frame(words_of(item))
        return f"{item} became {short(self.rest)!r}"

    def _finds(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Goes as far as where the pattern is met behind nothing but words that are nobody's; or stays where it is."""
        start = (self._at, self._is_apart, self._is_framed, self._is_reminder)
        while not (found := pattern.match(self.text, self._at)) and self._skip():
            pass
        if not found:
            self._at, self._is_apart, self._is_framed, self._is_reminder = start
        return found

    def _skip(self) -> bool:
        """Passes words that are nobody's."""
        return self._skip_own() or self._skip_frame()

    def _skip_own(self) -> bool:
        own = self._own.match(self.text, self._at)
        if own is None:
            return False
        if "system-reminder" in own[0]:
            self._is_reminder = not own[0].startswith("</")
        self._at, self._is_apart = own.end(), True
        return True

    def _skip_frame(self) -> bool:
        end = self._END_OF_FRAME.match(self.text, self._at) if self._is_framed else None
        frame = end or self._frames.match(self.text, self._at)
        self._is_framed = False
        if frame is None:
            return False
        self._at, self._is_apart = frame.end(), True
        return True

    def _take_words(self, words: str, role: str = "user") -> str | None:
        if not words:
            return None
        while not self._begins_with(words):
            if not self._skip():
                return f"{short(words)!r} became {short(self.rest)!r}"
        is_glued = not self._is_apart and role != "assistant"
        is_others = (role == "system") != self._is_reminder and not words.startswith("<system-reminder>")
        self._at, self._is_apart, self._is_framed = self._at + len(words), False, False
        if is_glued:
            return f"{short(words)!r} is glued to the words before"
        return f"{short(words)!r} is said by another than the {role}" if is_others else None

    def _begins_with(self, words: str) -> bool:
        """Of words that are nobody's, the beginning is nobody's either."""
        own = self._own.match(self.text, self._at)
        return self.text.startswith(words, self._at) and not (own and len(own[0]) > len(words))

    def _take_file(self, file: Image, mark: re.Match[str]) -> str | None:
        found = self._files[int(mark[1])]
        self._at, self._is_apart = mark.end(), True
        if isinstance(file, Document) and isinstance(found, Document):
            file = replace(file, title=file.title.strip())
            found = replace(found, title="" if (file.title, found.title) == ("", NAMELESS) else found.title.strip())
        if file.is_text and found.is_text:
            found = replace(found, media_type=file.media_type)
        return None if file == found else f"{file!r} became {found!r}"

    def _take_frame(self, words: Iterable[str]) -> str | None:
        """The words in their order, as they are or written as attributes are, each with a little before it on its line."""
        for word in words:
            written = rf"({re.escape(quoted(word))}|{re.escape(word)})(?!\w)"
            while not re.compile(written).match(self.text, self._at) and self._skip_own():
                pass
            found = self._finds(re.compile(rf"[^\n\udcff]{{,{FRAME}}}?(?<!\w){written}"))
            if found is None:
                return f"{short(word)!r} became {short(self.rest)!r}"
            self._at, self._is_apart, self._is_framed = found.end(), True, True
        return None
