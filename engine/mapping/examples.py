"""A mapping's own examples: what is given to a section, and what it makes of it."""

import json
from typing import Any

from . import words
from .document import Fields, Items, Value, plain
from .errors import Problems, suggest
from .mapping import Mapping


def read_examples(document: Fields, problems: Problems) -> list[dict[str, Any]]:
    """The examples of a file (words.EXAMPLE), each with a section and what it is given. What is wrong goes to `problems`."""
    examples = document.get("examples")
    if examples is None:
        return []
    if not isinstance(examples, Items):
        problems.add(document.entries["examples"].key, f"'examples' is a list: {', '.join(words.EXAMPLE)}")
        return []
    for example in examples.items:
        _check(example, problems)
    return [{"section": "request", "given": {}} | plain(example) for example in examples.items if isinstance(example, Fields)]


def _check(example: Value, problems: Problems) -> None:
    if not isinstance(example, Fields):
        problems.add(example.place, f"an example is an object: {', '.join(words.EXAMPLE)}")
        return
    for key, entry in example.entries.items():
        if key not in words.EXAMPLE:
            problems.add(entry.key, f"an example has no {key!r}{suggest(key, words.EXAMPLE)}")
    if "expect" not in example.entries:
        problems.add(example.place, "an example says what to `expect`")
    said = example.get("section")
    section = "request" if said is None else plain(said)
    if said is not None and (not isinstance(section, str) or section not in words.SECTIONS):
        problems.add(said.place, f"there is no section {section!r}{suggest(str(section), words.SECTIONS)}")
        return
    _check_given(example.get("given"), section, problems)


def _check_given(given: Value | None, section: str, problems: Problems) -> None:
    names = words.SECTIONS[section].parameters
    if isinstance(given, Fields):
        for name, entry in given.entries.items():
            if name not in names:
                problems.add(entry.key, f"the names of the section {section!r} are {', '.join(names)}; {name!r} is none of them")
    elif given is not None:
        problems.add(given.place, f"'given' is an object: {', '.join(names)}")


def run_examples(mapping: Mapping) -> list[str]:
    """What the examples complain of; nothing where each section gives what its example says.

    An example is `{about, section, given, expect}`; `given` holds the section's names.
    """
    complaints = []
    for number, example in enumerate(mapping.examples, 1):
        title = f"{mapping.name}: example {number} ({example.get('about', 'without a title')})"
        try:
            made = _json(_run(mapping, example))
        except Exception as error:  # noqa: BLE001 - an example may fail in any way, and is then told with its line
            problem = mapping.explain(error)
            complaints.append(f"{title} fails: {problem.picture() if problem else repr(error)}")
            continue
        if made != (expected := _json(example["expect"])):
            complaints.append(f"{title} gives\n  {made}\nwhere it says\n  {expected}")
    return complaints


def _run(mapping: Mapping, example: dict[str, Any]) -> Any:
    section = mapping.sections.get(example["section"])
    if section is None:
        raise LookupError(f"there is no section {example['section']!r}")
    return section.function(*arguments(example))


def arguments(example: dict[str, Any]) -> tuple[Any, ...]:
    """What the section is given, by position: in Python a name may be another than in the mapping."""
    return tuple(example["given"].get(name) for name in words.SECTIONS[example["section"]].parameters)


def _json(value: Any) -> str:
    """In which 1 is not true but 1.0, and the order of keys is none."""
    plain = json.loads(json.dumps(value), parse_float=_number)
    return json.dumps(plain, sort_keys=True, ensure_ascii=False)


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number
