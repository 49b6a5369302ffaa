"""A mapping file -> a Mapping: parents merged, sections compiled, the Python file beside it taken in."""

import ast
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from . import nodes, words
from .compiler import Compiler, Section, place_of
from .document import Entry, Fields, Scalar, Value, plain, read
from .errors import MappingError, Place, Problem, Problems, Source, suggest
from .facts import Variant, read_facts, read_variants
from .functions import FUNCTIONS, Function, from_module
from .shapes import check_shapes

Deltas = list[dict[str, Any]]


def _nothing(*_: Any) -> Any:
    raise NotImplementedError


@dataclass(slots=True)
class Mapping:
    """A provider as data, compiled. Each section is a plain function (words.SECTIONS says of what)."""

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
    examples: list[dict[str, Any]]
    sections: dict[str, Section] = field(repr=False)
    endpoint: Callable[[str, str, str | None, bool, dict[str, str]], dict[str, Any]] = _nothing
    request: Callable[[dict[str, Any], str], dict[str, Any]] = _nothing
    response: Callable[[Any, str], Deltas] = _nothing
    stream: Callable[[Any, str], Deltas] = _nothing
    error: Callable[[int, Any], dict[str, Any]] = _nothing
    count_endpoint: Callable[[str, str, str | None, dict[str, str]], dict[str, Any]] | None = None
    count_request: Callable[[dict[str, Any], str], dict[str, Any]] | None = None
    count: Callable[[Any], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        for name, section in self.sections.items():
            setattr(self, name, section.function)

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

    def lost(self, request: dict[str, Any]) -> dict[str, str]:
        """The fields of a request that the provider will not see, each with the mapping's reason for it.

        The client's `model` is the route's affair, and `stream` may be the address's.
        """
        section = self.sections["request"]
        read = {path[1] if len(path) > 1 else "*" for path in section.reads if path[0] == "request"}
        if "*" in read:
            return {}
        return {key: self.reason(key) for key in request if key not in read | {"model", "stream"}}

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


def load(path: Path, folders: Sequence[Path], facts: type) -> Mapping:
    """Load the mapping of a file.

    Parents are looked for beside the file, then in `folders`. `facts` is the dataclass whose fields are the words of
    `capabilities`, `limits` and `quirks`. Raises MappingError with all that is wrong, OSError where the file is not there.
    """
    problems = Problems()
    chain = _chain(path, folders, problems)
    document = chain[-1].document
    for link in reversed(chain[:-1]):
        document = _merge(_inherited(document, link.document), link.document)
    return _Loading(chain, document, facts, problems).mapping()


@dataclass(frozen=True, slots=True)
class _Link:
    """One file of a chain of parents."""

    path: Path
    source: Source
    document: Fields


def _chain(path: Path, folders: Sequence[Path], problems: Problems) -> list[_Link]:
    """The file, its parent, the parent's parent and so on."""
    chain: list[_Link] = []
    while True:
        source = Source(_shown(path), path.read_text(encoding="utf-8"))
        value = read(source, problems)
        if not isinstance(value, Fields):
            problems.add(value.place, "a mapping is an object: keys and values")
            value = Fields({}, value.place)
        chain.append(_Link(path, source, value))
        parent = value.entries.get("extends")
        if parent is None:
            return chain
        found = _parent(parent, path, folders, problems)
        if found is None or found in [link.path for link in chain]:
            if found:
                problems.add(parent.value.place, f"{plain(parent.value)!r} extends this mapping in turn")
            return chain
        path = found


def _parent(entry: Entry, path: Path, folders: Sequence[Path], problems: Problems) -> Path | None:
    name = plain(entry.value)
    beside = [path.parent, *folders]
    for folder in beside:
        candidate = folder / f"{name}.yaml"
        # A dropped-in file may carry the name of the built-in one that it extends.
        if isinstance(name, str) and candidate.is_file() and candidate != path:
            return candidate
    known = {found.stem for folder in beside for found in folder.glob("*.yaml")} - {path.stem}
    problems.add(entry.value.place, f"there is no mapping named {name!r} beside this one{suggest(str(name), known)}")
    return None


def _shown(path: Path) -> str:
    """The path as people would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _inherited(parent: Fields, child: Fields) -> Fields:
    """What a child takes over: at an address of its own, neither the parent's key nor its models."""
    own = {"key_env", "models"} if "base_url" in child.entries else set()
    return Fields({key: entry for key, entry in parent.entries.items() if key not in own}, parent.place)


def _merge(parent: Value, child: Value) -> Any:
    """Objects merge key by key; anything else replaces, and so does an object that a directive stands for."""
    if not isinstance(parent, Fields) or not isinstance(child, Fields):
        return child
    whole = set(nodes.INSTEAD)
    adds_to_directive = set(child.entries) <= set(nodes.DIRECTIVES)
    if whole & set(child.entries) or (whole & set(parent.entries) and not adds_to_directive):
        return child
    merged = dict(parent.entries)
    for key, entry in child.entries.items():
        merged[key] = Entry(entry.key, _merge(merged[key].value, entry.value)) if key in merged else entry
    return Fields(merged, child.place)


class _Loading:
    """Makes the Mapping of a merged document, collecting all problems on the way."""

    def __init__(self, chain: list[_Link], document: Fields, facts: type, problems: Problems):
        self.chain = chain
        self.document = document
        self.facts = facts
        self.problems = problems
        self.sources = [link.source for link in chain]

    def mapping(self) -> Mapping:
        self._check_keys()
        parts = self._parts()
        compiler = Compiler(self.sources, parts, self._functions(), self.problems)
        made = {}
        for name, word in words.SECTIONS.items():
            entry = self.document.entries.get(name)
            if entry is not None:
                node = nodes.read_node(entry.value, self.problems)
                check_shapes(name, node, parts, self.problems)
                made[name] = compiler.section(name, word.parameters, node)
            elif word.needed == "always" or (word.needed == "translated" and not self._native()):
                self.problems.add(self._start(), f"the section {name!r} is missing: {word.about}")
        self._check_parts(compiler)
        said: dict[str, Any] = {
            "name": self.chain[0].path.stem,
            "about": self._text("about") or "",
            "docs": self._text("docs"),
            "base_url": self._text("base_url"),
            "key_env": self._text("key_env"),
            "framing": self._framing(),
            "models": self._models(),
            "facts": self.facts(**read_facts(self.document, self.facts, self.problems)),
            "variants": read_variants(self.document, self.facts, self.problems),
            "native": self._native(),
            "examples": self._examples(),
        }
        self.problems.check()
        return Mapping(**said, sources=self.sources, sections={name: section for name, section in made.items() if section})

    def _start(self) -> Place:
        return Place(self.sources[0], 1, 1)

    def _check_keys(self) -> None:
        for key, entry in self.document.entries.items():
            if key not in words.TOP_LEVEL:
                self.problems.add(entry.key, f"unknown key {key!r}{suggest(key, words.TOP_LEVEL)}")

    def _parts(self) -> dict[str, nodes.Node]:
        parts = self.document.get("parts")
        if parts is None:
            return {}
        if not isinstance(parts, Fields):
            self.problems.add(parts.place, "'parts' is an object: names and what each stands for")
            return {}
        return {name: nodes.read_node(entry.value, self.problems) for name, entry in parts.entries.items()}

    def _check_parts(self, compiler: Compiler) -> None:
        """A part of this file that nothing uses is a slip; one of a parent's may have lost its place to an override."""
        parts = self.document.get("parts")
        if isinstance(parts, Fields):
            for name, entry in parts.entries.items():
                if name not in compiler.used and entry.key.source is self.sources[0]:
                    hint = suggest(name, compiler.used)
                    self.problems.add(entry.key, f"the part {name!r} is used nowhere{hint}")

    def _functions(self) -> dict[str, Function]:
        functions = dict(FUNCTIONS)
        for link in reversed(self.chain):
            beside = link.path.with_suffix(".py")
            if beside.is_file():
                try:
                    functions |= from_module(_import(beside))
                except Exception as error:  # noqa: BLE001 - whatever an author's file raises is told at the file
                    self.problems.add(Place(Source(_shown(beside), ""), 1, 1), f"cannot be imported: {error}")
        return functions

    def _text(self, key: str) -> str | None:
        value = self.document.get(key)
        if value is None or (isinstance(value, Scalar) and isinstance(value.value, str | None)):
            return plain(value) if value else None
        self.problems.add(value.place, f"{key!r} is a text")
        return None

    def _native(self) -> bool:
        value = self.document.get("native")
        if value is None or plain(value) in (True, False):
            return value is not None and plain(value) is True
        self.problems.add(value.place, "'native' is true or false")
        return False

    def _framing(self) -> str:
        framing = self._text("framing") or "sse"
        if framing not in words.FRAMINGS:
            entry = self.document.entries["framing"]
            self.problems.add(entry.value.place, f"unknown framing {framing!r}; it is one of {', '.join(words.FRAMINGS)}")
        return framing

    def _models(self) -> dict[str, Any]:
        models = self.document.get("models")
        if models is None:
            return {}
        if not isinstance(models, Fields):
            self.problems.add(models.place, "'models' is an object: main, fast, long, known")
            return {}
        self._check_words(models, (*words.MODEL_ROLES, "known", "only_known"), "models")
        known = models.get("known")
        for entry in known.entries.values() if isinstance(known, Fields) else ():
            if isinstance(entry.value, Fields):
                self._check_words(entry.value, words.MODEL_FACTS, "a model")
        return dict(plain(models))

    def _examples(self) -> list[dict[str, Any]]:
        """Only the file's own: a child's sections differ from those that its parent's examples are about."""
        examples = self.chain[0].document.get("examples")
        told = plain(examples) if examples is not None else []
        if isinstance(told, list) and all(isinstance(example, dict) for example in told):
            return told
        self.problems.add(self.chain[0].document.entries["examples"].key, "'examples' is a list: about, section, given, expect")
        return []

    def _check_words(self, fields: Fields, known: Iterable[str], of: str) -> None:
        for key, entry in fields.entries.items():
            if key not in known:
                self.problems.add(entry.key, f"{of} has no {key!r}{suggest(key, known)}")


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mapping_{path.stem.replace('-', '_')}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


__all__ = ["Mapping", "MappingError", "load"]
