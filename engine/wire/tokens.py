"""Counting tokens: by the provider's vocabulary where it is known, else estimated by OpenAI's, and from a sample."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import pictures
from .jsontext import dumps

_ENCODINGS = {"o200k": "o200k_base", "cl100k": "cl100k_base"}

# What a chat costs around its words. Measured on OpenAI's own counts, where it is exact.
_REQUEST, _MESSAGE, _TOOL = 3, 4, 6

# https://platform.claude.com/docs/en/build-with-claude/vision: larger pictures are scaled down to this.
_PIXELS, _PICTURE = 750, 1_600
# https://platform.claude.com/docs/en/build-with-claude/pdf-support: 1,500 to 3,000 tokens a page.
_PAGE, _PAGE_BYTES = 2_000, 75_000


@dataclass(frozen=True, slots=True)
class Count:
    """How many tokens, and whether the text among them was counted by the vocabulary rather than estimated."""

    tokens: int
    exact: bool


def count(request: dict[str, Any], tokenizer: str) -> Count:
    """The tokens of an Anthropic request: its system prompt, messages and tools.

    `tokenizer` is `o200k`, `cl100k` or `estimate`. Pictures and documents are counted by Anthropic's rules either way.
    """
    if tokenizer not in _ENCODINGS:
        return Count(estimate(request), exact=False)
    texts, rest = _taken_apart(request)
    return Count(rest + _counted(texts, tokenizer), exact=True)


def estimate(request: dict[str, Any]) -> int:
    """The tokens of a request whose provider's vocabulary is not known, or does not matter, in a few milliseconds.

    Within a few percent of o200k's for any text. Most other vocabularies differ from o200k by less than a tenth on code and
    English, and by more on figures and in languages of which they know fewer words, or more.
    """
    texts, rest = _taken_apart(request)
    text = "".join(texts)
    sample = _sample(text)
    return rest + round(_counted(sample, "o200k") * len(text) / max(1, sum(map(len, sample))))


def load() -> None:
    """Read the vocabulary of estimates, so that no request waits for it: 0.3 s, in which no other thread runs either."""
    _counted(["Hello"], "o200k")


def _counted(texts: list[str], tokenizer: str) -> int:
    # Imported on first use. Each vocabulary is read on its own first use, and takes some 65 MB.
    toktok = importlib.import_module("toktok")
    return sum(toktok.batch_count(map(_sound, texts), _ENCODINGS[tokenizer], threads=1))


def _sound(text: str) -> str:
    """A text that can be encoded: a client may cut an emoji in two and send half of it."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


# Many small slices tell the mixture of a request better than a few large ones.
_SLICES, _SLICE = 128, 200


def _sample(text: str) -> list[str]:
    """Slices from all over a text; a short text as it is."""
    if len(text) <= _SLICES * _SLICE:
        return [text]
    return [text[at : at + _SLICE] for at in (len(text) * part // _SLICES for part in range(_SLICES))]


# A request, taken apart


def _taken_apart(request: dict[str, Any]) -> tuple[list[str], int]:
    """The texts of a request, and the tokens of all that is no text."""
    texts, rest = [], _REQUEST
    for part in _parts(request):
        if isinstance(part, str):
            texts.append(part)
        else:
            rest += part
    return texts, rest


def _parts(request: dict[str, Any]) -> Iterator[str | int]:
    if request.get("system"):
        yield _MESSAGE
        yield from _content(request["system"])
    for message in _dicts(request.get("messages")):
        yield _MESSAGE
        yield from _content(message.get("content"))
    for tool in _dicts(request.get("tools")):
        yield _TOOL
        yield _json({key: value for key, value in tool.items() if key != "cache_control"})


def _content(content: Any) -> Iterator[str | int]:
    if isinstance(content, str):
        yield content
    for block in _dicts(content):
        yield from _BLOCKS.get(str(block.get("type")), _unknown)(block)


def _text(block: dict[str, Any]) -> Iterator[str | int]:
    yield from _strings(block, "text")


def _thinking(block: dict[str, Any]) -> Iterator[str | int]:
    yield from _strings(block, "thinking")


def _tool_use(block: dict[str, Any]) -> Iterator[str | int]:
    yield _TOOL
    yield from _strings(block, "name")
    yield _json(block.get("input"))


def _tool_result(block: dict[str, Any]) -> Iterator[str | int]:
    yield _MESSAGE
    yield from _content(block.get("content"))


def _image(block: dict[str, Any]) -> Iterator[str | int]:
    size = pictures.size(_data(block)) if _data(block) else None
    yield _PICTURE if size is None else min(_PICTURE, max(1, size[0] * size[1] // _PIXELS))


def _document(block: dict[str, Any]) -> Iterator[str | int]:
    yield from _strings(block, "title", "context")
    source = _source(block)
    if source.get("type") == "text":
        yield _data(block)
    elif source.get("type") == "content":
        yield from _content(source.get("content"))
    else:
        yield _PAGE * max(1, round(len(_data(block)) * 3 / 4 / _PAGE_BYTES))


def _sealed(block: dict[str, Any]) -> Iterator[str | int]:
    """Thinking that only the provider can read, and does not charge for by its length."""
    yield from ()


def _unknown(block: dict[str, Any]) -> Iterator[str | int]:
    yield _json(block)


_BLOCKS: dict[str, Callable[[dict[str, Any]], Iterator[str | int]]] = {
    "text": _text,
    "thinking": _thinking,
    "redacted_thinking": _sealed,
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
    "tool_result": _tool_result,
    "image": _image,
    "document": _document,
}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _source(block: dict[str, Any]) -> dict[str, Any]:
    source = block.get("source")
    return source if isinstance(source, dict) else {}


def _data(block: dict[str, Any]) -> str:
    data = _source(block).get("data")
    return data if isinstance(data, str) else ""


def _strings(block: dict[str, Any], *names: str) -> Iterator[str]:
    return (block[name] for name in names if isinstance(block.get(name), str))


def _json(value: Any) -> str:
    return dumps(value).decode()
