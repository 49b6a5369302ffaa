"""What a section makes, and for each field of it the line of YAML that made it.

The section's syntax tree is compiled once more, with a note beside each key and item that is set. The notes' places are
those that the compiler has stamped on the tree.
"""

import ast
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from .errors import Place, Source
from .mapping import Section, place_at

Step = str | int
"""A key of an object, or an index of a list."""

_NOTES = "_explained"


@dataclass(frozen=True, slots=True)
class Explained:
    """A field of what a section has made. What was taken over as it is, be it an object or a list, is one field."""

    path: tuple[Step, ...]
    value: Any
    place: Place

    @property
    def name(self) -> str:
        """The path as one writes it: `messages[0].content`."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return "".join(steps).removeprefix(".")


def explain(section: Section, sources: Sequence[Source], *arguments: Any) -> Iterator[Explained]:
    """Run a section of a mapping with these sources, and explain each field of what it makes.

    What the section raises comes from the same places as ever.
    """
    notes = _Notes(sources)
    tree = _Noting(notes).visit(deepcopy(section.tree))
    space = {**section.function.__globals__, _NOTES: notes}
    module = ast.fix_missing_locations(ast.Module([tree], []))
    exec(compile(module, section.function.__code__.co_filename, "exec"), space)
    return notes.fields(space[tree.name](*arguments), (), notes.places[notes.of(section.tree)])


@dataclass(slots=True)
class _Notes:
    """What the function writes down while it runs: where the fields of each object and list that it makes come from."""

    sources: Sequence[Source]
    places: list[Place] = field(default_factory=list)
    chosen: dict[str, int] = field(default_factory=dict)
    made: dict[int, tuple[Any, dict[Step, int]]] = field(default_factory=dict)

    def of(self, node: Any) -> int:
        """The number of the place of a tree's node."""
        self.places.append(place_at(self.sources, node.lineno, node.col_offset, node.end_col_offset))
        return len(self.places) - 1

    # Called by the function

    def set(self, container: Any, step: Step, place: int, variable: str | None = None) -> None:
        self._steps(container)[step] = self.chosen.get(variable or "", place)

    def append(self, items: list[Any], place: int, variable: str | None = None) -> None:
        self.set(items, len(items) - 1, place, variable)

    def built(self, container: Any, *places: int) -> Any:
        """An object or a list that is written whole."""
        steps: Sequence[Step] = list(container) if isinstance(container, dict) else range(len(container))
        self._steps(container).update(zip(steps, places, strict=True))
        return container

    def choose(self, variable: str, place: int, other: str | None = None) -> None:
        """What comes of a `$first` is explained by the choice that was taken."""
        self.chosen[variable] = self.chosen.get(other or "", place)

    def _steps(self, container: Any) -> dict[Step, int]:
        # The container is kept: else another could be given its id.
        return self.made.setdefault(id(container), (container, {}))[1]

    # Read afterwards

    def fields(self, value: Any, path: tuple[Step, ...], place: Place) -> Iterator[Explained]:
        _, steps = self.made.get(id(value), (None, {}))
        if not steps:
            yield Explained(path, value, place)
            return
        for step, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from self.fields(child, (*path, step), self.places[steps[step]])


class _Noting(ast.NodeTransformer):
    """Adds the notes to a function."""

    def __init__(self, notes: _Notes):
        self.notes = notes

    def visit_Assign(self, node: ast.Assign) -> Any:
        self.generic_visit(node)
        match node.targets:
            case [ast.Subscript(container, step)]:
                return [node, self._note(node, "set", container, step, node.value)]
            case [ast.Name(name)] if name.startswith("first__"):
                return [node, self._note(node, "choose", ast.Constant(name), node.value)]
        return node

    def visit_Expr(self, node: ast.Expr) -> Any:
        self.generic_visit(node)
        match node.value:
            case ast.Call(ast.Attribute(items, "append"), [value]):
                return [node, self._note(node, "append", items, value)]
        return node

    def visit_Dict(self, node: ast.Dict) -> Any:
        places = [self._place(value) for value in node.values]
        self.generic_visit(node)
        return self._call(node, "built", node, *places)

    def visit_List(self, node: ast.List) -> Any:
        places = [self._place(item) for item in node.elts]
        self.generic_visit(node)
        return self._call(node, "built", node, *places)

    def _note(self, node: ast.stmt, kind: str, *subject: ast.expr) -> ast.stmt:
        """The statement that notes where a value is set; the value itself comes last of the subject."""
        *about, value = subject
        variable = ast.Constant(value.id if isinstance(value, ast.Name) else None)
        return ast.copy_location(ast.Expr(self._call(node, kind, *about, self._place(node), variable)), node)

    def _call(self, node: ast.AST, method: str, *arguments: ast.expr) -> ast.expr:
        called = ast.Attribute(ast.Name(_NOTES, ast.Load()), method, ast.Load())
        return ast.copy_location(ast.Call(called, list(arguments), []), node)

    def _place(self, node: ast.AST) -> ast.expr:
        return ast.Constant(self.notes.of(node))
