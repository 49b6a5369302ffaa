"""What a section may be made of: a request is an object, a stream is a list of deltas, and a delta has a known kind.

Checked on the nodes, so that a misspelt delta is told at load and at its line.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from . import nodes, words
from .errors import Problems, suggest

_TOLD_AS = {"text": "a text", "number": "a number", "boolean": "true or false", "list": "a list", "object": "an object"}
_KINDS = {str: "text", int: "number", float: "number", bool: "boolean", list: "list", dict: "object"}


def check_shapes(section: str, node: nodes.Node, parts: Mapping[str, nodes.Node], problems: Problems) -> None:
    """Check a section against words.SECTIONS, words.DELTAS and words.MADE."""
    word = words.SECTIONS[section]
    if word.makes == "deltas":
        for whole in wholes(node, parts):
            if _is_list(section, whole, problems):
                for delta in leaves(whole, parts):
                    _check_delta(delta, parts, problems)
        return
    for whole in () if section in words.MAY_BE_NOTHING else wholes(node, parts):
        if isinstance(whole, nodes.If):
            problems.add(whole.place, f"{section!r} always makes an object: $if belongs to what stands in it")
    for whole in present(node, parts):
        if isinstance(whole, nodes.Record):
            _check_keys(whole, words.MADE.get(section, whole.keys), f"{section!r} has no key", problems)
            for value in whole.entries.values() if word.makes == "reasons" else ():
                _check_reason(value, parts, problems)
        elif not isinstance(whole, nodes.Drop):
            problems.add(whole.place, f"{section!r} makes an object")
        elif word.needed != "never":
            problems.add(whole.place, f"{section!r} makes an object: it cannot be dropped")


def _check_reason(node: nodes.Node, parts: Mapping[str, nodes.Node], problems: Problems) -> None:
    """Reasons are counted and shown: what a client has said has no place in them."""
    for whole in present(node, parts):
        if not isinstance(whole, nodes.Drop) and not (isinstance(whole, nodes.Literal) and isinstance(whole.value, str)):
            problems.add(whole.place, "a reason is a text that is written out")


def _is_list(section: str, whole: nodes.Node, problems: Problems) -> bool:
    """Only a list that is written by hand is always there: where nothing is repeated, or no condition true, nothing is."""
    if isinstance(whole, nodes.Select | nodes.Template | nodes.Literal):
        problems.add(whole.place, f"{section!r} is a list of deltas")
        return False
    if not isinstance(whole, nodes.Listing):
        problems.add(whole.place, f"{section!r} is a list of deltas: put `- ` before it, or [ ] around it")
    return True


def _check_delta(delta: nodes.Node, parts: Mapping[str, nodes.Node], problems: Problems) -> None:
    is_object = isinstance(delta, nodes.Select) or (isinstance(delta, nodes.Literal) and isinstance(delta.value, dict))
    if not isinstance(delta, nodes.Record):
        if not is_object:
            problems.add(delta.place, "a delta is an object: its kind and what is said")
        return
    if len(delta.entries) != 1:
        problems.add(delta.place, f"a delta has one kind, not {len(delta.entries)}: {', '.join(delta.entries) or 'none'}")
    _check_keys(delta, words.DELTAS, "unknown delta", problems)
    for kind, value in delta.entries.items():
        for leaf in leaves(value, parts) if words.DELTAS.get(kind) else ():
            if isinstance(leaf, nodes.Record):
                _check_keys(leaf, words.DELTAS[kind], f"the delta {kind!r} has no", problems)
        for whole in present(value, parts) if kind in words.DELTA_VALUES else ():
            _check_value(kind, whole, problems)


def _check_value(kind: str, value: nodes.Node, problems: Problems) -> None:
    """What is written by hand; what an expression finds shows only when it runs."""
    made, takes = _made(value), words.DELTA_VALUES[kind]
    if made is not None and made not in takes:
        problems.add(value.place, f"the delta {kind!r} takes {' or '.join(_TOLD_AS[one] for one in takes)}, not {_TOLD_AS[made]}")
    elif kind == "stop" and isinstance(value, nodes.Literal) and value.value not in (None, *words.STOP_REASONS):
        hint = suggest(value.value, words.STOP_REASONS) or f"; it is one of {', '.join(words.STOP_REASONS)}"
        problems.add(value.place, f"an answer does not end for the reason {value.value!r}{hint}")


def _made(node: nodes.Node) -> str | None:
    """The kind of value that a node makes, None where that is not known or it is null."""
    if isinstance(node, nodes.Template):
        return "text"
    if isinstance(node, nodes.Listing | nodes.For):
        return "list"
    if isinstance(node, nodes.Record):
        return "object"
    return _KINDS.get(type(node.value)) if isinstance(node, nodes.Literal) else None


def _check_keys(record: nodes.Record, known: Iterable[str], complaint: str, problems: Problems) -> None:
    for key, place in record.keys.items():
        if key not in known:
            problems.add(place, f"{complaint} {key!r}{suggest(key, known)}")


def wholes(
    node: nodes.Node, parts: Mapping[str, nodes.Node], using: tuple[str, ...] = (), *, through: Any = nodes.Let
) -> Iterator[nodes.Node]:
    """What a node may turn out to be as a whole: a list is one value, and so is what may be absent ($for, $if, $drop)."""
    if isinstance(node, through):
        yield from wholes(node.body, parts, using, through=through)
    elif isinstance(node, nodes.First):
        for choice in node.choices[:-1]:
            yield from wholes(choice, parts, using, through=_WHERE_PRESENT)
        for last in node.choices[-1:]:  # where it is absent, nothing comes behind it
            yield from wholes(last, parts, using, through=through)
    elif isinstance(node, nodes.Switch):
        for case in [*node.cases.values(), *([node.default] if node.default else [])]:
            yield from wholes(case, parts, using, through=through)
    elif isinstance(node, nodes.Use):
        if node.part in parts and node.part not in using:
            yield from wholes(parts[node.part], parts, (*using, node.part), through=through)
    else:
        yield node


_WHERE_PRESENT = nodes.Let | nodes.If

present = partial(wholes, through=_WHERE_PRESENT)
"""What a node may turn out to be as a whole, where it is there."""


def leaves(node: nodes.Node, parts: Mapping[str, nodes.Node], using: tuple[str, ...] = ()) -> Iterator[nodes.Node]:
    """What a node may turn out to be, seen through its directives; a list's items one by one, of which a list is one."""
    if isinstance(node, nodes.Let | nodes.For | nodes.If):
        yield from leaves(node.body, parts, using)
    elif isinstance(node, nodes.Listing):
        for item in node.items:
            yield from [item] if isinstance(item, nodes.Listing) else leaves(item, parts, using)
    elif isinstance(node, nodes.First):
        for choice in node.choices:
            yield from leaves(choice, parts, using)
    elif isinstance(node, nodes.Switch):
        for case in [*node.cases.values(), *([node.default] if node.default else [])]:
            yield from leaves(case, parts, using)
    elif isinstance(node, nodes.Use):
        if node.part in parts and node.part not in using:
            yield from leaves(parts[node.part], parts, (*using, node.part))
    elif not isinstance(node, nodes.Drop):
        yield node
