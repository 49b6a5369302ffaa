"""Names and ids within a provider's rules, each of which leads back to one of the client's."""

import re
from collections.abc import Collection, Iterable
from hashlib import sha256

from engine.wire.facts import Facts

_is_plain = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_begins_with_letter = re.compile(r"[A-Za-z_]").match
_ODD = re.compile(r"[^A-Za-z0-9_-]+")
_HASH = 8


_TRIES = 10
"""After which it is not tried one by one what is free: a client may give all its calls one id."""


def fit(word: str, limit: int, taken: Collection[str] = ()) -> str:
    """`word` where it may be used; else its readable beginning and a hash of it, which no one else has taken."""
    fitting, tries = word if is_fit(word, limit) else _hashed(word, limit), 0
    while fitting in taken:
        tries += 1
        word += "'" if tries < _TRIES else str(len(taken))
        fitting = _hashed(word, limit)
    return fitting


def fit_id(id: str, facts: Facts, taken: Collection[str] = ()) -> str:
    """The id of a tool call as the provider takes it, which no one else has taken."""
    exact = facts.tool_id_length
    if exact is None:
        return fit(id, facts.tool_id_max, taken)
    tries = 0
    while len(id) != exact or not (id.isascii() and id.isalnum()) or id in taken:
        tries += 1
        id = id if tries < _TRIES else f"{id}{len(taken)}"
        id = sha256(id.encode(errors="surrogatepass")).hexdigest()[:exact]
    return id


def is_fit(word: str, limit: int) -> bool:
    # Most are identifiers, which is told without a regular expression.
    return len(word) <= limit and word.isascii() and (word.isidentifier() or _is_plain(word) is not None)


def _hashed(word: str, limit: int) -> str:
    digest = sha256(word.encode(errors="surrogatepass")).hexdigest()
    if limit <= _HASH + 1:
        return digest[:limit]
    return f"{_ODD.sub('_', word)[: limit - _HASH - 1]}_{digest[:_HASH]}"


class ToolNames(dict[str, str]):
    """The client's tool names as the provider takes them, each made when it is asked for.

    `back` leads from those that had to change to the client's.
    """

    __slots__ = ("_facts", "_taken", "back")

    def __init__(self, declared: Iterable[str], facts: Facts) -> None:
        self.back: dict[str, str] = {}
        self._facts = facts
        for name in declared:
            if is_fit(name, facts.tool_name_max) and self._begun(name) == name:
                self[name] = name
        self._taken = set(self)

    def copy(self) -> "ToolNames":
        """The same names, to which others can be added."""
        copy = ToolNames((), self._facts)
        copy.update(self)
        copy._taken, copy.back = set(self._taken), dict(self.back)
        return copy

    def __missing__(self, name: str) -> str:
        self[name] = known = fit(self._begun(name), self._facts.tool_name_max, self._taken)
        self._taken.add(known)
        if known != name:
            self.back[known] = name
        return known

    def _begun(self, name: str) -> str:
        """The name with a beginning that the provider takes."""
        return name if self._facts.tool_names == "any" or _begins_with_letter(name) else f"_{name}"
