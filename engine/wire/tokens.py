"""Counting tokens: by the provider's vocabulary where it is known, else estimated by OpenAI's, and from a sample."""

import importlib
from collections.abc import Callable
from typing import Any

from engine.wire import pictures
from engine.wire.jsontext import dumps
from engine.wire.recurring import once

_ENCODINGS = {"o200k": "o200k_base", "cl100k": "cl100k_base"}

# What a chat costs around its words. Measured on OpenAI's own counts, where it is exact.
_REQUEST, _MESSAGE, _TOOL = 3, 4, 6

# https://platform.claude.com/docs/en/build-with-claude/vision: larger pictures are scaled down to this.
_PIXELS, _PICTURE = 750, 1_600
# https://platform.claude.com/docs/en/build-with-claude/pdf-support: 1,500 to 3,000 tokens a page.
_PAGE, _PAGE_BYTES = 2_000, 75_000


def count(request: dict[str, Any], tokenizer: str) -> int:
    """The tokens of an Anthropic request: its system prompt, messages and tools.

    `tokenizer` is `o200k`, `cl100k` or `estimate`. Pictures and documents are counted by Anthropic's rules either way.
    """
    if tokenizer not in _ENCODINGS:
        return estimate(request)
    texts, rest = _taken_apart(request)
    return rest + _counted(texts, tokenizer)


def estimate(request: dict[str, Any]) -> int:
    """The tokens of a request whose provider's vocabulary is not known, or does not matter, in a few milliseconds.

    Within a few percent of o200k's for any text. Most other vocabularies differ from o200k by less than a tenth on code and
    English, and by more on figures and in languages of which they know fewer words, or more.
    """
    texts, rest = _taken_apart(request)
    return rest + _estimated("".join(texts), _SLICES)


def is_more_than(limit: int, request: dict[str, Any]) -> bool:
    """Whether a request has more tokens than that by the estimate, for which a rough one does where it is far from the limit."""
    texts, rest = _taken_apart(request)
    text = "".join(texts)
    tokens = rest + _estimated(text, _FEW)
    if limit < tokens * _ROUGHLY and tokens < limit * _ROUGHLY:
        tokens = rest + _estimated(text, _SLICES)
    return tokens > limit


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
_FEW, _ROUGHLY = 32, 1.25  # few tell mixtures of all languages within a fifth of what many do


def _estimated(text: str, slices: int) -> int:
    sample = _sample(text, slices)
    return round(_counted(sample, "o200k") * len(text) / max(1, sum(map(len, sample))))


def _sample(text: str, slices: int) -> list[str]:
    """Slices from all over a text; a short text as it is."""
    if len(text) <= slices * _SLICE:
        return [text]
    # Each somewhere else in its part: at equal distances they would keep step with turns that are equally long.
    starts = [int((part + part * _GOLDEN % 1) * len(text) / slices) for part in range(slices)]
    return [text[start : start + _SLICE] for start in starts]


_GOLDEN = 0.618034
"""The fractions of its multiples are as evenly spread as can be. https://en.wikipedia.org/wiki/Low-discrepancy_sequence"""


# A request, taken apart


def _taken_apart(request: dict[str, Any]) -> tuple[list[str], int]:
    """The texts of a request, and the tokens of all that is no text."""
    texts: list[str] = []
    rest = _REQUEST
    if request.get("system"):
        rest += _MESSAGE + _content(request["system"], texts)
    for message in _dicts(request.get("messages")):
        rest += _MESSAGE + _content(message.get("content"), texts)
    if request.get("tools"):
        text, tokens = once(_tools, request["tools"])
        texts.append(text)
        rest += tokens
    return texts, rest


def _tools(tools: Any) -> tuple[str, int]:
    """The text of tools, and the tokens of all else."""
    told = [
        {key: value for key, value in tool.items() if key != "cache_control"} if "cache_control" in tool else tool
        for tool in _dicts(tools)
    ]
    return (_json(told), _TOOL * len(told)) if told else ("", 0)


def _content(content: Any, texts: list[str]) -> int:
    """Adds the texts in there; gives the tokens of all else."""
    if isinstance(content, str):
        texts.append(content)
        return 0
    rest = 0
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict):
            rest += _BLOCKS.get(str(block.get("type")), _unknown)(block, texts)
    return rest


def _text(block: dict[str, Any], texts: list[str]) -> int:
    _add(block.get("text"), texts)
    return 0


def _thinking(block: dict[str, Any], texts: list[str]) -> int:
    _add(block.get("thinking"), texts)
    return 0


def _tool_use(block: dict[str, Any], texts: list[str]) -> int:
    _add(block.get("name"), texts)
    texts.append(_json(block.get("input")))
    return _TOOL


def _tool_result(block: dict[str, Any], texts: list[str]) -> int:
    return _MESSAGE + _content(block.get("content"), texts)


def _image(block: dict[str, Any], texts: list[str]) -> int:
    size = pictures.size(_data(block)) if _data(block) else None
    return _PICTURE if size is None else min(_PICTURE, max(1, size[0] * size[1] // _PIXELS))


def _document(block: dict[str, Any], texts: list[str]) -> int:
    _add(block.get("title"), texts)
    _add(block.get("context"), texts)
    source = _source(block)
    if source.get("type") == "text":
        texts.append(_data(block))
        return 0
    if source.get("type") == "content":
        return _content(source.get("content"), texts)
    return _PAGE * max(1, round(len(_data(block)) * 3 / 4 / _PAGE_BYTES))


def _sealed(block: dict[str, Any], texts: list[str]) -> int:
    """Thinking that only the provider can read, and does not charge for by its length."""
    return 0


def _unknown(block: dict[str, Any], texts: list[str]) -> int:
    texts.append(_json(block))
    return 0


_BLOCKS: dict[str, Callable[[dict[str, Any], list[str]], int]] = {
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


def _add(value: Any, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)


def _json(value: Any) -> str:
    return dumps(value).decode()
