"""A mapping's own examples: what is given to a section, and what it makes of it."""

from typing import Any

import orjson

from .mapping import Mapping


def run_examples(mapping: Mapping) -> list[str]:
    """What the examples complain of; nothing where each section gives what its example says.

    An example is `{about, section, given, expect}`; `given` holds the section's names.
    """
    complaints = []
    for number, example in enumerate(mapping.examples, 1):
        title = f"{mapping.name}: example {number} ({example.get('about', 'without a title')})"
        try:
            made = _run(mapping, example)
        except Exception as error:  # noqa: BLE001 - an example may fail in any way, and is then told with its line
            problem = mapping.explain(error)
            complaints.append(f"{title} fails: {problem.picture() if problem else repr(error)}")
            continue
        if made != example.get("expect"):
            complaints.append(f"{title} gives\n  {_json(made)}\nwhere it says\n  {_json(example.get('expect'))}")
    return complaints


def _run(mapping: Mapping, example: dict[str, Any]) -> Any:
    section = mapping.sections.get(example.get("section", "request"))
    if section is None:
        raise LookupError(f"there is no section {example.get('section')!r}")
    return section.function(**dict.fromkeys(section.parameters) | example.get("given", {}))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
