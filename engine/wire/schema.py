"""A tool's JSON Schema -> what a provider takes of it, by named rules.

A schema holds names that are a person's own: a property may be called `format` or `const`. So rules look only at schemas
in their places, and never at the names of properties. Booleans, and whatever else is no object, stay as they are.
What a rule leaves alone is shared with the given schema, which never changes.

A new rule is a function and a line in RULES. It takes one schema, without what lies in it, and gives that or another one;
a rule in WHOLE takes the whole of a tool's schema.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeVar
from urllib.parse import unquote

import orjson

Kind = TypeVar("Kind")
Schema = dict[str, Any]
Merged = tuple[dict[str, Any], list[str]]
Rule = Callable[[Schema], Schema]

# Where schemas lie in a schema.
_BY_NAME = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_IN_A_LIST = frozenset({"anyOf", "oneOf", "allOf", "prefixItems", "items"})
_ALONE = frozenset({"items", "additionalItems", "unevaluatedItems", "contains", "propertyNames", "not", "if", "then", "else"}) | {
    "additionalProperties",
    "unevaluatedProperties",
}
_PLACES = _BY_NAME | _IN_A_LIST | _ALONE

_LONG = 20_000  # bytes: nothing that is longer is kept
_MOST_INLINED = 10_000  # schemas: references can unfold into more than any provider reads


def clean(schema: Any, rules: Sequence[str] = ()) -> Schema:
    """The schema of a tool's input as an object with properties (G01), and with the named rules applied in their order.

    The tools of a session come again with each request, so what became of a schema is kept, and is not to be changed.
    """
    try:
        text = orjson.dumps(schema)
    except TypeError:
        return _cleaned(schema, rules)
    return _known(text, tuple(rules)) if len(text) < _LONG else _cleaned(schema, rules)


def clean_answer(schema: Any, rules: Sequence[str] = ()) -> Any:
    """The schema of an answer, with the named rules applied: it says what it said, as an answer may be a list or a text, too.

    Of an object it is cleaned like a tool's, and has the type at its root for a mapping to see.
    """
    if not isinstance(schema, dict) or _is_object(schema, schema, {}):
        return clean(schema, rules)
    return _with_rules(schema, [rule for rule in rules if rule != no_root_combinators.__name__])


def _is_object(schema: Any, root: Schema, known: dict[str, bool]) -> bool:
    """Whether nothing but an object fits the schema; `known` says so of references, each of which is followed once."""
    if not isinstance(schema, dict):
        return False
    ref = schema.get("$ref")
    if isinstance(ref, str):
        if ref not in known:
            known[ref] = False
            known[ref] = _is_object(_target(root, ref), root, known)
        if known[ref]:
            return True
    if "type" in schema or "properties" in schema:
        return schema.get("type", "object") in ("object", ["object"])
    alternatives = _of(list, schema.get("anyOf")) or _of(list, schema.get("oneOf"))
    if alternatives and all(_is_object(branch, root, known) for branch in alternatives):
        return True
    return any(_is_object(branch, root, known) for branch in _of(list, schema.get("allOf")))


@lru_cache(maxsize=1000)
def _known(text: bytes, rules: tuple[str, ...]) -> Schema:
    return _cleaned(orjson.loads(text), rules)


def _cleaned(schema: Any, rules: Sequence[str]) -> Schema:
    return _with_rules(_as_object(schema if isinstance(schema, dict) else {}), rules)


def _with_rules(cleaned: Schema, rules: Sequence[str]) -> Schema:
    for whole, names in groupby(rules, WHOLE.__contains__):
        functions = [RULES[name] for name in names]
        cleaned = _in_turn(cleaned, functions if whole else [_everywhere(functions)])
    return cleaned


def _in_turn(schema: Schema, rules: Iterable[Rule]) -> Schema:
    for rule in rules:
        schema = rule(schema)
    return schema


def _everywhere(rules: Sequence[Rule]) -> Rule:
    """The rules as one, for a schema and for every schema in it, the innermost first."""

    def visit(schema: Schema) -> Schema:
        schema = _within(schema, visit)
        for rule in rules:
            schema = rule(schema)
        return schema

    return visit


def _within(schema: Schema, visit: Rule) -> Schema:
    """The schema with what `visit` makes of each schema that lies directly in it."""
    for key, value in schema.items():
        if key in _PLACES and (changed := _at(key, value, visit)) is not value:
            schema = schema | {key: changed}
    return schema


def _at(key: str, value: Any, visit: Rule) -> Any:
    """What stands at a keyword that holds schemas; `value` itself when nothing changes."""
    if isinstance(value, dict):
        if key in _ALONE:
            return visit(value)
        if key in _BY_NAME:
            named = {name: visit(schema) if isinstance(schema, dict) else schema for name, schema in value.items()}
            return named if any(named[name] is not value[name] for name in value) else value
    if isinstance(value, list) and key in _IN_A_LIST:
        listed = [visit(schema) if isinstance(schema, dict) else schema for schema in value]
        return listed if any(new is not old for new, old in zip(listed, value, strict=True)) else value
    return value


def _without(schema: Schema, *keys: str) -> Schema:
    if schema.keys().isdisjoint(keys):
        return schema
    return {key: value for key, value in schema.items() if key not in keys}


def _of(kind: type[Kind], value: Any) -> Kind:
    """The value of a keyword, as far as it is what it should be."""
    return value if isinstance(value, kind) else kind()


def _target(root: Schema, ref: Any) -> Schema:
    """What a reference within the schema points to; nothing said, of all others. https://www.rfc-editor.org/rfc/rfc6901"""
    if not isinstance(ref, str) or not ref.startswith("#"):
        return {}
    found: Any = root
    for step in unquote(ref).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(name)] if re.fullmatch(r"\d{1,9}", name) and int(name) < len(found) else None
        else:
            found = _of(dict, found).get(name)
    return _of(dict, found)


# Rules for the whole of a schema


def _as_object(schema: Schema) -> Schema:
    """A tool's input is an object, whatever its schema says, and some providers want to see its properties."""
    root, seen = schema, []
    while "$ref" in schema:
        ref, schema = schema["$ref"], _without(schema, "$ref")
        if ref not in seen:
            seen.append(ref)
            schema = _target(root, ref) | schema
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        return schema
    return schema | {"type": "object", "properties": _of(dict, schema.get("properties"))}


def inline_refs(schema: Schema) -> Schema:
    """Each reference becomes a copy of what it names; where one leads back into itself, any object."""
    left = _MOST_INLINED

    def inline(node: Schema, path: tuple[str, ...]) -> Schema:
        nonlocal left
        left -= 1
        if "$ref" in node:
            ref, node = node["$ref"], _without(node, "$ref")
            target = {"type": "object"} if ref in path or left < 0 else _target(schema, ref)
            return inline(target | node, (*path, ref))
        return _within(_without(node, "$defs", "definitions"), lambda inner: inline(inner, path))

    return inline(schema, ())


_COMBINATORS = ("anyOf", "oneOf", "allOf", "not", "enum", "if", "then", "else")


def no_root_combinators(schema: Schema) -> Schema:
    """Alternatives at the root become one object: with the properties of all, requiring what all of them require."""
    if _without(schema, *_COMBINATORS) is schema:
        return schema
    properties, required = _merged(schema, schema, {})
    merged = _without(schema, *_COMBINATORS, "required") | {"properties": properties}
    return merged | {"required": required} if required else merged


def _merged(schema: Schema, root: Schema, known: dict[str, Merged]) -> Merged:
    """The properties of a schema and all its branches, and the names of those that are always required.

    `known` holds what became of references, each of which is followed once.
    """
    properties = _of(dict, schema.get("properties"))
    required = [name for name in _of(list, schema.get("required")) if isinstance(name, str)]
    together = _branches("allOf", schema, root, known)
    ref = schema.get("$ref")
    if isinstance(ref, str):
        if ref not in known:
            known[ref] = {}, []  # for where it leads back into itself
            known[ref] = _merged(_target(root, ref), root, known)
        together.insert(0, known[ref])
    for inner, needed in together:
        properties = inner | properties
        required += needed
    for key in ("anyOf", "oneOf"):
        branches = _branches(key, schema, root, known)
        properties = _any_of(inner for inner, _ in branches) | properties
        if branches:
            required += [name for name in branches[0][1] if all(name in needed for _, needed in branches)]
    return properties, list(dict.fromkeys(required))


def _branches(key: str, schema: Schema, root: Schema, known: dict[str, Merged]) -> list[Merged]:
    return [_merged(branch, root, known) for branch in _of(list, schema.get(key)) if isinstance(branch, dict)]


def _any_of(alternatives: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The properties of all alternatives. One that is not the same in all is any of what it is."""
    variants: dict[str, dict[str, Any]] = {}
    for properties in alternatives:
        for name, schema in properties.items():
            variants.setdefault(name, {})[repr(schema)] = schema
    return {
        name: {"anyOf": list(schemas.values())} if len(schemas) > 1 else next(iter(schemas.values()))
        for name, schemas in variants.items()
    }


def types_in_branches(schema: Schema) -> Schema:
    """Below the root, a type that stands beside alternatives stands in each of them instead, unless that has one."""
    return _within(schema, _everywhere([_type_in_branches]))


def _type_in_branches(schema: Schema) -> Schema:
    if "type" not in schema or not isinstance(schema.get("anyOf"), list):
        return schema
    type = {"type": schema["type"]}
    branches = [_type_in_branches(type | branch) if isinstance(branch, dict) else branch for branch in schema["anyOf"]]
    return _without(schema, "type") | {"anyOf": branches}


# Rules for one schema, wherever it lies


def plain(schema: Schema) -> Schema:
    """Without words about the schema itself."""
    return _without(schema, "$schema", "$id", "$comment")


def const_to_enum(schema: Schema) -> Schema:
    return _without(schema, "const") | {"enum": [schema["const"]]} if "const" in schema else schema


def no_property_names(schema: Schema) -> Schema:
    return _without(schema, "propertyNames")


def array_items(schema: Schema) -> Schema:
    """Every array says what its items are, in one schema."""
    items = schema.get("items")
    if isinstance(items, list):
        return schema | {"items": {"anyOf": items} if items else {}}
    types = schema.get("type")
    is_array = types == "array" or (isinstance(types, list) and "array" in types)
    return schema | {"items": {}} if is_array and items is None else schema


def tuple_items(schema: Schema) -> Schema:
    """Items that differ by their place are `prefixItems`, as the newest draft has them; `items` then says nothing more."""
    items = schema.get("items")
    if isinstance(items, list):
        return _without(schema, "items") | {"prefixItems": [*_of(list, schema.get("prefixItems")), *items]}
    return _without(schema, "items") if isinstance(items, bool) else schema


def no_booleans(schema: Schema) -> Schema:
    """Properties of any kind or of none, `true` or `false`, are objects that say the same."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not any(isinstance(value, bool) for value in properties.values()):
        return schema
    objects = {name: _BOOLEANS[value] if isinstance(value, bool) else value for name, value in properties.items()}
    return schema | {"properties": objects}


_BOOLEANS: dict[bool, Schema] = {True: {}, False: {"not": {}}}


_has_lookaround = re.compile(r"\(\?<?[=!]").search


def no_lookaround(schema: Schema) -> Schema:
    """Engines that generate text by a pattern know no lookaround."""
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and _has_lookaround(pattern):
        schema = _without(schema, "pattern")
    named = schema.get("patternProperties")
    if isinstance(named, dict) and any(map(_has_lookaround, named)):
        schema = schema | {"patternProperties": {name: value for name, value in named.items() if not _has_lookaround(name)}}
    return schema


WHOLE: dict[str, Rule] = {rule.__name__: rule for rule in (inline_refs, no_root_combinators, types_in_branches)}

RULES: dict[str, Rule] = WHOLE | {
    rule.__name__: rule
    for rule in (
        plain,
        const_to_enum,
        no_property_names,
        array_items,
        tuple_items,
        no_booleans,
        no_lookaround,
    )
}
