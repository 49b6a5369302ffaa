"""Documents -> the nodes of the mapping language.

A value is a literal, a JMESPath expression (`=…`), a Jinja template (`… {{ … }} …`) or an object with directives
(`$…`). Directives that stand *beside* an object's keys wrap it, `$let` outermost, then `$for`, then `$if`; those that
stand *instead of* keys are the object.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .document import Entry, Fields, Items, Scalar, Value, plain
from .errors import Place, Problems, suggest

NAME = re.compile(r"[a-z](_?[a-z0-9])*")
"""Of what `$let` and `$for` name. All others are free for the compiler's own variables: `text_`, `found__1`."""

FOR = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s+in\s+(.*)", re.DOTALL)

BESIDE = {
    "$let": "names for what is below",
    "$for": "repeat the object: `name in expression`",
    "$if": "only if the expression is true",
}
INSTEAD = {
    "$switch": "pick from `$case` by the expression's value, else `$else`",
    "$first": "the first that is present",
    "$use": "a part, in the scope of the place of use",
    "$drop": "absent, on purpose, for this reason",
    "$value": "the body, where it is a list, a text or a number",
    "$literal": "exactly this",
}
OF_SWITCH = {"$case": "values and what each stands for", "$else": "what stands for any other value"}
DIRECTIVES = BESIDE | INSTEAD | OF_SWITCH


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any
    place: Place


@dataclass(frozen=True, slots=True)
class Select:
    """A JMESPath expression; `offset` is where it begins in the scalar's text."""

    text: str
    scalar: Scalar
    offset: int

    @property
    def place(self) -> Place:
        return self.scalar.place


@dataclass(frozen=True, slots=True)
class Template:
    text: str
    scalar: Scalar

    @property
    def place(self) -> Place:
        return self.scalar.place


@dataclass(frozen=True, slots=True)
class Record:
    """An object: keys whose absent values are left out, and where each key stands."""

    entries: dict[str, "Node"]
    keys: dict[str, Place]
    place: Place


@dataclass(frozen=True, slots=True)
class Listing:
    """A list written by hand; directives in it contribute items."""

    items: list["Node"]
    place: Place


@dataclass(frozen=True, slots=True)
class Let:
    names: dict[str, tuple[Place, "Node"]]
    body: "Node"
    place: Place


@dataclass(frozen=True, slots=True)
class For:
    name: str
    source: Select
    body: "Node"
    place: Place


@dataclass(frozen=True, slots=True)
class If:
    condition: Select
    body: "Node"
    place: Place


@dataclass(frozen=True, slots=True)
class Switch:
    subject: Select
    cases: dict[str, "Node"]
    default: "Node | None"
    place: Place


@dataclass(frozen=True, slots=True)
class First:
    choices: list["Node"]
    place: Place


@dataclass(frozen=True, slots=True)
class Use:
    part: str
    place: Place


@dataclass(frozen=True, slots=True)
class Drop:
    reason: str
    place: Place


Node = Literal | Select | Template | Record | Listing | Let | For | If | Switch | First | Use | Drop


def read_node(value: Value, problems: Problems) -> Node:
    """The node that a document's value is. What is wrong goes to `problems`; a null literal stands in for it."""
    if isinstance(value, Scalar):
        return _scalar(value, problems)
    if isinstance(value, Items):
        return Listing([node for item in value.items for node in _contributed(item, problems)], value.place)
    return _object(value, problems)


def _contributed(item: Value, problems: Problems) -> list[Node]:
    """What an item of a list contributes: a list that a $value holds is spread, one that is an item itself is one."""
    node = read_node(item, problems)
    return node.items if isinstance(item, Fields) and isinstance(node, Listing) else [node]


def _scalar(scalar: Scalar, problems: Problems) -> Node:
    text = scalar.value
    if isinstance(text, str):
        if text.startswith("="):
            return _expression(scalar, 1, problems)
        if "{{" in text or "{%" in text:
            return Template(text, scalar)
    return Literal(text, scalar.place)


def _expression(scalar: Scalar, offset: int, problems: Problems) -> Select:
    text = scalar.value[offset:]
    if not text.strip():
        problems.add(scalar.place, "the expression is empty")
        text = "`null`"
    return Select(text, scalar, offset)


def _object(fields: Fields, problems: Problems) -> Node:
    directives = {key: entry for key, entry in fields.entries.items() if key.startswith("$")}
    for key, entry in directives.items():
        if key not in DIRECTIVES:
            problems.add(entry.key, f"unknown directive {key}{suggest(key, DIRECTIVES, '{}')}")
    node = _body(fields, directives, problems)
    if "$if" in directives:
        condition = _condition(directives["$if"], "$if", problems)
        node = If(condition, node, directives["$if"].key) if condition else node
    if "$for" in directives:
        node = _for(directives["$for"], node, problems)
    if "$let" in directives:
        node = _let(directives["$let"], node, problems)
    return node


def _body(fields: Fields, directives: dict[str, Entry], problems: Problems) -> Node:
    keys = {key: entry for key, entry in fields.entries.items() if not key.startswith("$")}
    wholes = [key for key in directives if key in INSTEAD]
    for key in OF_SWITCH:
        if key in directives and "$switch" not in directives:
            problems.add(directives[key].key, f"{key} belongs to a $switch")
    if not wholes:
        entries = {key: read_node(entry.value, problems) for key, entry in keys.items()}
        return Record(entries, {key: entry.key for key, entry in keys.items()}, fields.place)
    whole = wholes[0]
    for other in [*wholes[1:], *keys]:
        shown = other if other.startswith("$") else repr(other)
        problems.add(directives[whole].key, f"{whole} stands for the whole object, so it cannot sit beside {shown}")
    return _WHOLE[whole](fields, directives[whole], problems)


def _condition(entry: Entry, directive: str, problems: Problems) -> Select | None:
    """The expression of `$if` or `$switch`, which needs no `=`."""
    value = entry.value
    if isinstance(value, Scalar) and isinstance(value.value, str):
        return _expression(value, int(value.value.startswith("=")), problems)
    problems.add(value.place, f"{directive} takes an expression")
    return None


def _for(entry: Entry, body: Node, problems: Problems) -> Node:
    value = entry.value
    match = FOR.fullmatch(value.value) if isinstance(value, Scalar) and isinstance(value.value, str) else None
    if not match or not isinstance(value, Scalar):
        problems.add(value.place, "$for is written `name in expression`")
        return body
    name = match[1]
    _check_name(name, value.at(match.start(1), len(name)), problems)
    return For(name, _expression(value, match.start(2) + match[2].startswith("="), problems), body, entry.key)


def _let(entry: Entry, body: Node, problems: Problems) -> Node:
    if not isinstance(entry.value, Fields):
        problems.add(entry.value.place, "$let takes an object: names and their values")
        return body
    names = {}
    for name, named in entry.value.entries.items():
        _check_name(name, named.key, problems)
        names[name] = (named.key, read_node(named.value, problems))
    return Let(names, body, entry.key)


def _check_name(name: str, place: Place, problems: Problems) -> None:
    if not NAME.fullmatch(name):
        made_of = "small letters and digits, with single _ between them, and begins with a letter"
        problems.add(place, f"a name is made of {made_of}: {name!r} is not one")


def _switch(fields: Fields, entry: Entry, problems: Problems) -> Node:
    subject = _condition(entry, "$switch", problems)
    cases = fields.get("$case")
    default = fields.get("$else")
    if not isinstance(cases, Fields) or not cases.entries:
        problems.add(entry.key, "$switch needs a $case: values and what each stands for")
    if not isinstance(cases, Fields) or not subject:
        return Literal(None, entry.key)
    for key, case in cases.entries.items():
        if key in DIRECTIVES:
            told = "$else stands beside $case, not in it" if key == "$else" else f"a case is a value, not a directive ({key})"
            problems.add(case.key, told)
        elif key.startswith("="):
            problems.add(case.key, "a case is a value, not an expression; $if takes one")
    return Switch(
        subject,
        {key: read_node(case.value, problems) for key, case in cases.entries.items()},
        read_node(default, problems) if default is not None else None,
        entry.key,
    )


def _first(_: Fields, entry: Entry, problems: Problems) -> Node:
    if not isinstance(entry.value, Items):
        problems.add(entry.value.place, "$first takes a list")
        return Literal(None, entry.key)
    if not entry.value.items:
        problems.add(entry.value.place, "$first needs something to choose from")
    return First([read_node(item, problems) for item in entry.value.items], entry.key)


def _text_of(entry: Entry, takes: str, problems: Problems) -> str:
    value = entry.value.value if isinstance(entry.value, Scalar) else None
    if not isinstance(value, str) or not value:
        problems.add(entry.value.place, takes)
        return ""
    return value


def _use(_: Fields, entry: Entry, problems: Problems) -> Node:
    return Use(_text_of(entry, "$use takes the name of a part", problems), entry.value.place)


def _drop(_: Fields, entry: Entry, problems: Problems) -> Node:
    return Drop(_text_of(entry, "$drop takes the reason, in words", problems), entry.key)


def _value(_: Fields, entry: Entry, problems: Problems) -> Node:
    return read_node(entry.value, problems)


def _literal(_: Fields, entry: Entry, problems: Problems) -> Node:
    return Literal(plain(entry.value), entry.value.place)


_WHOLE: dict[str, Callable[[Fields, Entry, Problems], Node]] = {
    "$switch": _switch,
    "$first": _first,
    "$use": _use,
    "$drop": _drop,
    "$value": _value,
    "$literal": _literal,
}
