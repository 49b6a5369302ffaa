"""Names of models: as clients write them, and as the configuration means them."""

import re
from collections.abc import Container
from typing import NamedTuple

CLAUDE_PREFIX = "for-claude-code/"
"""Claude Code lists only models whose id holds "claude"; ids that begin with "claude-" it takes for its own.
https://code.claude.com/docs/en/llm-gateway-protocol"""

SEPARATORS = "/,"
"""What may stand between a provider and its model; model names hold the first one themselves."""

_NO_CHARACTER = "\0"
"""What no name holds: stands for whatever a `*` may stand for."""


class Named(NamedTuple):
    """A model of a provider."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


def plain_name(model: str) -> str:
    """The model's name without what only concerns the client: the picker's prefix, and `[1m]`, which asks for a window."""
    name = model.removeprefix(CLAUDE_PREFIX)
    while name.lower().endswith("[1m]"):
        name = name[:-4]
    return name.strip()


def named(name: str, providers: Container[str]) -> Named | None:
    """What `provider/model` or `provider,model` means; None where it does not begin with one of the providers."""
    for separator in SEPARATORS:
        provider, _, model = name.partition(separator)
        if model and provider in providers:
            return Named(provider, model)
    return None


def is_glob(name: str) -> bool:
    return "*" in name or "?" in name


def glob(pattern: str) -> re.Pattern[str]:
    """A name with `*` for any characters and `?` for one. Between two `*` the first place that fits is as good as any."""
    first, *parts = (_literal(part) for part in pattern.split("*"))
    if not parts:
        return re.compile(first, re.DOTALL)
    return re.compile(first + "".join(f"(?>.*?{part})" for part in parts[:-1]) + f".*{parts[-1]}", re.DOTALL)


def _literal(part: str) -> str:
    return "".join(f"[^{_NO_CHARACTER}]" if character == "?" else re.escape(character) for character in part)


def covers(pattern: str, other: str) -> bool:
    """Whether the first matches all that the second does."""
    return glob(pattern).fullmatch(other.replace("*", _NO_CHARACTER)) is not None
