"""The built-in mappings by the format that they speak, for tests that hold for all of them."""

import functools
from pathlib import Path

from engine import BUILT_IN, Mapping, load_mapping

FORMATS = {
    "openai-chat": "chat",
    "openai": "responses",
    "gemini": "generate_content",
    "anthropic-compatible": "messages",
}
"""The root of each format."""


@functools.cache
def mapping(name: str) -> Mapping:
    return load_mapping(name)


@functools.cache
def names() -> list[str]:
    """All mappings that translate."""
    return [path.stem for path in sorted(BUILT_IN.glob("*.yaml")) if not mapping(path.stem).native]


def chain(name: str) -> list[str]:
    """The mapping, its parent, the parent's parent and so on."""
    return [Path(source.name).stem for source in mapping(name).sources]


def format_of(name: str) -> str:
    return FORMATS[chain(name)[-1]]


def model(name: str) -> str:
    """The model that most requests would go to."""
    return mapping(name).models.get("main") or "some-model"
