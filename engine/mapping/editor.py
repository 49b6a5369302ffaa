"""The language as a JSON Schema, so that editors complete its words and flag what is none of them."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from . import nodes, words
from .facts import GROUPS, group_of

VALUE = {"$ref": "#/definitions/value"}


def schema(facts: type) -> dict[str, Any]:
    """The schema of a mapping file. `facts` is the dataclass of capabilities, limits and quirks."""
    top: dict[str, Any] = {name: {"description": about, **_of_general(name)} for name, about in words.GENERAL.items()}
    top |= {name: {"description": section.about, **VALUE} for name, section in words.SECTIONS.items()}
    groups = {group: _object(_facts(facts, group)) for group in GROUPS}
    top |= {group: {"description": words.GENERAL[group], **made} for group, made in groups.items()}
    variant = {"$ref": "#/definitions/variant"}
    top["variants"] = {"description": words.GENERAL["variants"], "type": "object", "additionalProperties": variant}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "ccproxy mapping",
        **_object(top),
        "definitions": {
            "value": {"anyOf": [{"$ref": "#/definitions/object"}, {"type": "array", "items": VALUE}, _scalars()]},
            "variant": _object({group: {"$ref": f"#/properties/{group}"} for group in GROUPS}),
            "object": {
                "type": "object",
                "properties": {name: {"description": about, **_of_directive(name)} for name, about in nodes.DIRECTIVES.items()},
                "patternProperties": {"^[^$]": VALUE},
                "additionalProperties": False,
            },
        },
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _scalars() -> dict[str, Any]:
    return {"type": ["string", "number", "boolean", "null"]}


def _of_general(name: str) -> dict[str, Any]:
    if name == "native":
        return {"type": "boolean"}
    if name == "framing":
        return {"enum": list(words.FRAMINGS)}
    if name == "parts":
        return {"type": "object", "additionalProperties": VALUE}
    if name == "examples":
        return {"type": "array", "items": _object({key: _of_example(key, about) for key, about in words.EXAMPLE.items()})}
    if name == "models":
        about = {key: {**_of_model_fact(key), "description": told} for key, told in words.MODEL_FACTS.items()}
        roles: dict[str, Any] = {role: {"type": ["string", "null"]} for role in words.MODEL_ROLES}
        known = {"type": "object", "additionalProperties": _object(about)}
        return _object({**roles, "known": known, "only_known": {"type": "boolean"}})
    return {"type": "string"}


def _of_example(key: str, about: str) -> dict[str, Any]:
    kinds: dict[str, Any] = {"about": {"type": "string"}, "section": {"enum": list(words.SECTIONS)}, "given": {"type": "object"}}
    return {"description": about, **kinds.get(key, {})}


def _of_model_fact(name: str) -> dict[str, Any]:
    return {"type": "number", "minimum": 0} if name.endswith("_price") else {"type": "integer", "minimum": 1}


def _of_directive(name: str) -> dict[str, Any]:
    text = {"type": "string"}
    anything: dict[str, Any] = {}
    named = {"type": "object", "additionalProperties": VALUE}
    listed = {"type": "array", "items": VALUE}
    kinds = {"$let": named, "$case": named, "$first": listed, "$literal": anything, "$value": VALUE, "$else": VALUE}
    return kinds.get(name, text)


def _facts(facts: type, group: str) -> dict[str, Any]:
    hints = get_type_hints(facts)
    stated = group_of(facts, group)
    return {
        word.name: {
            "description": word.metadata["about"],
            **_of_kind(hints[word.name], word.metadata["known"]),
            **_range(word.metadata["least"], word.metadata["most"]),
        }
        for word in fields(facts)
        if word.name in stated
    }


def _range(least: int | None, most: int | None) -> dict[str, Any]:
    return {name: bound for name, bound in (("minimum", least), ("maximum", most)) if bound is not None}


def _of_kind(kind: Any, known: tuple[str, ...]) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": {"enum": list(known)} if known else {"type": "string"}}
    names = {bool: "boolean", int: "integer", str: "string", type(None): "null"}
    return {"type": [names[option] for option in get_args(kind)] if get_args(kind) else names[kind]}
