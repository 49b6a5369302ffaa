"""A conversation in nobody's format: what is said, called and answered, and what is asked of the model.

Readings of all formats are made of these, so that they can be held against each other. Nothing of engine/ is used here.
"""

from base64 import b64decode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any


class CannotBeSaid(Exception):
    """Anthropic's format has no words for something in a request; the message says for what."""


@dataclass(frozen=True)
class Text:
    role: str  # user, assistant, system (in the middle of the conversation) or tool (in a result)
    text: str


@dataclass(frozen=True)
class Image:
    """By its bytes and their type, or by the address where it lies."""

    media_type: str = ""
    data: bytes = field(default=b"", repr=False)
    url: str = ""

    @property
    def is_text(self) -> bool:
        return False

    def __str__(self) -> str:
        return self.url or f"{self.media_type} {sha256(self.data).hexdigest()[:12]}"


@dataclass(frozen=True)
class Document(Image):
    title: str = ""
    context: str = ""

    @property
    def is_text(self) -> bool:
        return self.media_type.startswith("text/")

    @property
    def text(self) -> str:
        return self.data.decode(errors="surrogatepass")


@dataclass(frozen=True)
class Other:
    """What has no place here, as its provider writes it, and what of it should reach any model all the same.

    That is some words, in their order, and behind them what it holds.
    """

    role: str
    kind: str
    words: tuple[str, ...]
    block: Any = field(repr=False)
    content: tuple["Shown", ...] = ()


@dataclass(frozen=True)
class Reasoning:
    """In the provider's own form, which only the same provider can read."""

    state: dict[str, Any]


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    input: dict[str, Any]


Shown = Text | Image | Other  # a document is an image of another type


@dataclass(frozen=True)
class Result:
    """`name` and `is_error` only where they are told."""

    call_id: str
    content: tuple[Shown, ...]
    name: str = ""
    is_error: bool | None = None


Item = Shown | Reasoning | Call | Result


@dataclass(frozen=True)
class Turn:
    """One message, or what of a flat list of items one speaker says without a break."""

    role: str  # user, assistant, system or tool
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Tool:
    """`schema` is None of a tool that Anthropic defines and the client runs; `defined` is its definition."""

    name: str
    description: str = ""
    schema: dict[str, Any] | None = None
    strict: bool = False
    deferred: bool = False
    defined: dict[str, Any] | None = None


@dataclass
class Conversation:
    format: str
    system: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    choice: str = ""  # auto, any, none, tool, or nothing where the request leaves it open
    chosen: str = ""  # the tool's name, where the choice is one tool
    one_call: bool = False
    max_tokens: int | None = None
    stop: list[str] = field(default_factory=list)
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    effort: dict[str, Any] = field(default_factory=dict)  # in the provider's own words
    schema: dict[str, Any] | None = None  # of the answer
    web_search: bool = False
    hosted: list[dict[str, Any]] = field(default_factory=list)  # other tools that the provider runs, as it writes them
    stream: bool = False
    settings: dict[str, Any] = field(default_factory=dict)  # what else changes the answer, as the provider writes it

    @property
    def items(self) -> list[Item]:
        return [item for turn in self.turns for item in turn.items]


def decoded(base64: str) -> bytes:
    """Bytes from base64 in either alphabet, padded or not."""
    plain = "".join(base64.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    return b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def image_at(address: str) -> Image:
    """The image at an address, which may be one that holds it."""
    media_type, data = held(address)
    return Image(media_type, data) if media_type else Image(url=address)


def document_at(address: str, title: str = "") -> Document:
    media_type, data = held(address)
    return Document(media_type, data, title=title) if media_type else Document(url=address, title=title)


def held(address: str) -> tuple[str, bytes]:
    """The media type and the bytes of a data: address; nothing of any other."""
    if not address.startswith("data:"):
        return "", b""
    media_type, _, base64 = address.removeprefix("data:").partition(";base64,")
    return media_type, decoded(base64)


def left_over(body: dict[str, Any], *known: set[str], silent: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request that no reading accounts for, less those that say only what holds anyway."""
    accounted = set().union(*known)
    told = {key: value for key, value in body.items() if key not in accounted and value not in (None, [], {})}
    return {key: value for key, value in told.items() if key not in silent or value != silent[key]}
