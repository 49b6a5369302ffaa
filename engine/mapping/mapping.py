"""A provider as data, compiled: its sections are plain functions.

A compiled function may hold lines of several files, since a child's parts stand inside its parent's sections: a line number
in it is `file x FILE + line`.
"""

import ast
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import Place, Problem, Source

Deltas = list[dict[str, Any]]
Variant = tuple[re.Pattern[str], dict[str, Any]]
"""The names of the models, and the facts that differ for them."""

FILE = 100_000


@dataclass(slots=True)
class Section:
    """A compiled section: its function, what it reads and drops, and the keys of the object that it makes.

    `constants` are globals of the function that are its own. `tree` is its Python, which only people ask for.
    """

    function: Callable[..., Any]
    pickled_tree: bytes = field(repr=False)
    reads: set[tuple[str, ...]]
    drops: dict[str, str]
    keys: set[str]
    constants: dict[str, Any]

    @property
    def tree(self) -> ast.FunctionDef:
        tree: ast.FunctionDef = pickle.loads(self.pickled_tree)
        return tree


def _nothing(*_: Any) -> Any:
    raise NotImplementedError


@dataclass(slots=True)
class Mapping:
    """A provider as data, compiled. Each section is a plain function (words.SECTIONS says of what).

    `modules` are the Python files beside its YAML, whose functions it calls. `read` are the fields of a request that it reads,
    "*" among them where it reads the whole; in `facts_by_model` the code that knows the facts keeps what it has worked out.
    """

    name: str
    about: str
    docs: str | None
    base_url: str | None
    key_env: str | None
    framing: str
    models: dict[str, Any]
    facts: Any
    variants: Sequence[Variant]
    native: bool
    sources: Sequence[Source]
    modules: Sequence[Path]
    examples: list[dict[str, Any]]
    sections: dict[str, Section] = field(repr=False)
    read: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    facts_by_model: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    endpoint: Callable[[str, str, str | None, bool, dict[str, str]], dict[str, Any]] = _nothing
    request: Callable[[dict[str, Any], str], dict[str, Any]] = _nothing
    lost: Callable[[dict[str, Any], str], dict[str, str]] | None = None
    response: Callable[[Any, str], Deltas] = _nothing
    stream: Callable[[Any, str], Deltas] = _nothing
    error: Callable[[int, Any], dict[str, Any]] = _nothing
    count_endpoint: Callable[[str, str, str | None, dict[str, str]], dict[str, Any]] | None = None
    count_request: Callable[[dict[str, Any], str], dict[str, Any]] | None = None
    count: Callable[[Any], dict[str, Any]] | None = None
    health_endpoint: Callable[[str, str | None], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        for name, section in self.sections.items():
            setattr(self, name, section.function)
        if "request" in self.sections:
            read = {path[1] if len(path) > 1 else "*" for path in self.sections["request"].reads if path[0] == "request"}
            self.read = frozenset(read | {"model", "stream"})

    def facts_of(self, model: str) -> Any:
        """What the protocol code must know of this provider when it is asked for this model."""
        differing = [given for names, given in self.variants if names.search(model)]
        return replace(self.facts, **{word: value for given in differing for word, value in given.items()})

    def model_facts(self, model: str) -> dict[str, Any]:
        """What is known of a model: its limits and prices (words.MODEL_FACTS)."""
        return (self.models.get("known") or {}).get(model) or {}

    @property
    def said(self) -> set[str]:
        """The keys of a request's body that the mapping speaks of, be it to drop them."""
        return self.sections["request"].keys

    def unread(self, request: dict[str, Any]) -> dict[str, str]:
        """The fields of a request of which the provider will see nothing, each with the mapping's reason for it.

        What is lost within a field that is read, or only of some requests, the section `lost` says. The client's `model` is
        the route's affair, and `stream` may be the address's.
        """
        if "*" in self.read or request.keys() <= self.read:
            return {}
        return {key: self.reason(key) for key in request if key not in self.read}

    def reason(self, key: str) -> str:
        """Why a field of a request is not sent."""
        return self.sections["request"].drops.get(key, f"the mapping {self.name!r} says nothing about it")

    def python(self, section: str) -> str:
        """The Python that a section became."""
        return ast.unparse(self.sections[section].tree)

    def explain(self, error: BaseException) -> Problem | None:
        """What went wrong while a section ran, at the line of YAML that says it; None where no section was running."""
        place = place_of(error.__traceback__, self.sources)
        return Problem(place, str(error) or type(error).__name__) if place else None


def place_of(trace: TracebackType | None, sources: Sequence[Source]) -> Place | None:
    """Where in the YAML the innermost generated line of a traceback was written; None where none is in it."""
    found = None
    while trace:
        code = trace.tb_frame.f_code
        if code.co_filename == f"<mapping {sources[0].name}>":
            line, _, start, end = list(code.co_positions())[trace.tb_lasti // 2]
            if line is not None and start is not None and end is not None:
                found = place_at(sources, line, start, end)
        trace = trace.tb_next
    return found


def place_at(sources: Sequence[Source], line: int, start: int, end: int) -> Place:
    """The place of a position in compiled code: `line` as above, and columns in bytes."""
    source = sources[line // FILE]
    text = source.line(line % FILE).encode()
    column = len(text[:start].decode(errors="replace"))
    return Place(source, line % FILE, column + 1, max(1, len(text[start:end].decode(errors="replace"))))
