"""A mapping file -> a Mapping: parents merged, sections compiled, the Python file beside it taken in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import nodes, words
from .addresses import NAME, trouble_with_variables
from .compiler import Compiler
from .document import Entry, Fields, Scalar, Value, plain, read
from .endpoints import check_endpoint
from .errors import MappingError, Place, Problems, Source, lines_of, shown, suggest, suggest_mapping
from .examples import read_examples
from .facts import read_facts, read_variants
from .functions import FUNCTIONS, Function
from .mapping import Mapping
from .models import read_models
from .namespaces import from_files
from .shapes import check_shapes


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
        source = Source(shown(path), path.read_text(encoding="utf-8", errors="replace"))
        if (offset := source.text.find("\ufffd")) >= 0:
            before = lines_of(source.text[:offset])
            problems.add(Place(source, len(before), len(before[-1]) + 1), "this is no UTF-8: save the file in that encoding")
        chain.append(_Link(path, source, _document(source, problems)))
        parent = chain[-1].document.entries.get("extends")
        if parent is None:
            return chain
        path = _parent(parent, chain, folders, problems)


def _document(source: Source, problems: Problems) -> Fields:
    """What a file says. Raises MappingError where nothing can be made of it: all else would be told for that reason alone."""
    value = read(source, problems)
    if not isinstance(value, Fields):
        problems.add(value.place, "a mapping is an object: keys and values")
        raise MappingError(problems)
    parts = value.get("parts")
    if parts is not None and not isinstance(parts, Fields):
        problems.add(parts.place, "'parts' is an object: names and what each stands for")
        del value.entries["parts"]  # and so the parent's stay
    return value


def _parent(entry: Entry, chain: list[_Link], folders: Sequence[Path], problems: Problems) -> Path:
    """The file that the last of the chain extends. Raises MappingError where there is none: what it lacks would be told too."""
    name, path = plain(entry.value), chain[-1].path
    beside = [path.parent, *folders]
    for folder in beside:
        candidate = folder / f"{name}.yaml"
        # A dropped-in file may carry the name of the built-in one that it extends.
        if isinstance(name, str) and candidate.is_file() and candidate != path:
            if candidate not in [link.path for link in chain]:
                return candidate
            problems.add(entry.value.place, f"{name!r} extends this mapping in turn")
            raise MappingError(problems)
    if isinstance(name, str):
        hint = suggest_mapping(name, beside, but=path.stem)
        problems.add(entry.value.place, f"there is no mapping named {name!r} beside this one{hint}")
    else:
        problems.add(entry.value.place, "'extends' is the name of a mapping")
    raise MappingError(problems)


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
        besides = [link.path.with_suffix(".py") for link in reversed(chain)]
        self.modules = [beside for beside in besides if beside.is_file()]

    def mapping(self) -> Mapping:
        self._check_keys()
        parts = self._parts()
        compiler = Compiler(self.sources, parts, self._functions(), self.problems)
        made = {}
        for name, word in words.SECTIONS.items():
            entry = self.document.entries.get(name)
            if entry is not None:
                node = nodes.read_node(entry.value, self.problems)
                if isinstance(node, nodes.Drop) and word.needed == "never":
                    continue  # a parent has it
                try:
                    check_shapes(name, node, parts, self.problems)
                    if words.MADE.get(name) is words.ENDPOINT:
                        check_endpoint(name, node, parts, self.document, self.problems)
                    made[name] = compiler.section(name, word.parameters, node)
                except RecursionError:
                    self.problems.add(entry.key, f"{name!r} is nested too deeply, with the parts that it uses")
                    compiler.used.update(parts)  # which of them it would have used is not known
            elif word.needed == "always" or (word.needed == "translated" and not self._native()):
                self.problems.add(self._start(), f"the section {name!r} is missing: {word.about}")
        self._check_parts(compiler)
        said: dict[str, Any] = {
            "name": self.chain[0].path.stem,
            "about": self._text("about") or "",
            "docs": self._text("docs"),
            "base_url": self._base_url(),
            "key_env": self._key_env(),
            "framing": self._framing(),
            "models": read_models(self.document, self.problems),
            "facts": self.facts(**read_facts(self.document, self.facts, self.problems)),
            "variants": read_variants(self.document, self.facts, self.problems),
            "native": self._native(),
            # Only the file's own: a child's sections differ from those that its parent's examples are about.
            "examples": read_examples(self.chain[0].document, self.problems),
        }
        self.problems.check()
        return Mapping(
            **said,
            sources=self.sources,
            modules=self.modules,
            sections={name: section for name, section in made.items() if section},
        )

    def _start(self) -> Place:
        return Place(self.sources[0], 1, 1)

    def _check_keys(self) -> None:
        for key, entry in self.document.entries.items():
            if key not in words.TOP_LEVEL:
                self.problems.add(entry.key, f"unknown key {key!r}{suggest(key, words.TOP_LEVEL)}")

    def _parts(self) -> dict[str, nodes.Node]:
        parts = self.document.get("parts")
        entries = parts.entries if isinstance(parts, Fields) else {}
        return {name: nodes.read_node(entry.value, self.problems) for name, entry in entries.items()}

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
        for beside in self.modules:
            try:
                functions |= from_files([beside])
            except Exception as error:  # noqa: BLE001 - whatever an author's file raises is told at the file
                self.problems.add(Place(Source(shown(beside), ""), 1, 1), f"cannot be imported: {error}")
        return functions

    def _text(self, key: str) -> str | None:
        value = self.document.get(key)
        if value is None or (isinstance(value, Scalar) and isinstance(value.value, str | None)):
            return plain(value) if value else None
        self.problems.add(value.place, f"{key!r} is a text")
        return None

    def _base_url(self) -> str | None:
        """Without a slash at its end: paths that are appended begin with one."""
        url = self._text("base_url")
        if url is not None and (trouble := trouble_with_variables(url)):
            self.problems.add(self.document.entries["base_url"].value.place, f"'base_url' {trouble}")
        return url.rstrip("/") if url else url

    def _key_env(self) -> str | None:
        name = self._text("key_env")
        if name is not None and not re.fullmatch(NAME, name):
            hint = f"; did you mean {found[1]!r}?" if (found := re.fullmatch(rf"\$\{{?{NAME}\}}?", name)) else ""
            place = self.document.entries["key_env"].value.place
            self.problems.add(place, f"'key_env' is the name of an environment variable: letters, digits and '_'{hint}")
        return name

    def _native(self) -> bool:
        value = self.document.get("native")
        if value is None or type(plain(value)) is bool:  # 1 and 0 equal them
            return value is not None and plain(value) is True
        self.problems.add(value.place, "'native' is true or false")
        return False

    def _framing(self) -> str:
        framing = self._text("framing") or "sse"
        if framing not in words.FRAMINGS:
            entry = self.document.entries["framing"]
            self.problems.add(entry.value.place, f"unknown framing {framing!r}; it is one of {', '.join(words.FRAMINGS)}")
        return framing
