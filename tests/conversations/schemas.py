"""What a JSON Schema asks for, however it is written: the names of properties, and which of them have to be there."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outline:
    properties: dict[str, "Outline"] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


def outline(schema: Any) -> Outline:
    return _outline(schema, schema, ())


def _outline(schema: Any, root: Any, path: tuple[str, ...]) -> Outline:
    """Of an array, the outline of its items; nothing of a reference that leads back into itself."""
    if not isinstance(schema, dict):
        return Outline()
    named = schema.get("properties") or {}
    own = Outline({name: _outline(inner, root, path) for name, inner in named.items()}, frozenset(schema.get("required") or ()))
    parts = [own]
    ref = schema.get("$ref")
    if ref is not None and ref not in path:
        parts.append(_outline(_target(root, ref), root, (*path, ref)))
    parts += [_outline(branch, root, path) for branch in schema.get("allOf") or ()]
    for key in ("anyOf", "oneOf"):
        parts.append(_any([_outline(branch, root, path) for branch in schema.get(key) or ()]))
    items = schema.get("items")
    parts.append(_any([_outline(item, root, path) for item in (items if isinstance(items, list) else [items])]))
    return _all(parts)


def _target(root: Any, ref: str) -> Any:
    """https://www.rfc-editor.org/rfc/rfc6901"""
    for step in ref.split("/")[1:]:
        root = root.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(root, dict) else None
    return root


def _all(parts: Iterable[Outline]) -> Outline:
    """What holds where all of them hold."""
    united = Outline()
    for part in parts:
        for name, inner in part.properties.items():
            known = united.properties.get(name)
            united.properties[name] = inner if known is None else _all([known, inner])
        united.required |= part.required
    return united


def _any(branches: list[Outline]) -> Outline:
    """What holds where one of them holds: of what is required, what all require. A branch that says nothing, as null, is none."""
    branches = [branch for branch in branches if branch.properties]
    names = dict.fromkeys(name for branch in branches for name in branch.properties)
    return Outline(
        {name: _any([branch.properties[name] for branch in branches if name in branch.properties]) for name in names},
        frozenset.intersection(*(branch.required for branch in branches)) if branches else frozenset(),
    )


def same(expected: Outline, got: Outline) -> bool:
    """A schema may also have been closed, so that every property has to be there."""
    if expected.properties.keys() != got.properties.keys():
        return False
    closed = got.required == got.properties.keys()
    required = expected.required & expected.properties.keys()
    return (closed or required == got.required & got.properties.keys()) and all(
        same(inner, got.properties[name]) for name, inner in expected.properties.items()
    )
