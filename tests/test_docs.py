"""What is generated from the code is current, and what the docs show works."""

import json
import os
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_type_hints

import pytest

from engine import load_mapping
from engine.mapping.editor import schema
from engine.mapping.examples import run_examples
from engine.mapping.facts import GROUPS, in_words
from engine.mapping.functions import FUNCTIONS
from engine.mapping.nodes import DIRECTIVES
from engine.mapping.words import DELTAS, ERROR, MODEL_FACTS, MODEL_ROLES, SECTIONS, STOP_REASONS, TOP_LEVEL
from engine.wire.facts import Facts
from tests import fidelity

ROOT = Path(__file__).parent.parent
UPDATE = os.environ.get("UPDATE_CASES")


def is_current(path: Path, text: str) -> bool:
    if UPDATE:
        path.write_text(text)
    return path.read_text() == text


def test_the_editors_schema_is_current() -> None:
    assert is_current(ROOT / "mappings" / "schema.json", json.dumps(schema(Facts), indent=2) + "\n")


def facts_page() -> str:
    hints = get_type_hints(Facts)
    lines = [
        "# The words about a provider",
        "",
        "What a mapping says under `capabilities`, `limits` and `quirks`; the code in `engine/wire`",
        "acts on them. Generated from `engine/wire/facts.py`; the ids are edge cases ([edge-cases.md](edge-cases.md)).",
        "",
    ]
    for group in GROUPS:
        lines += [f"## {group}", "", "| word | is | unless said | means | answers |", "|---|---|---|---|---|"]
        for word in fields(Facts):
            if word.metadata["group"] == group:
                assert word.default is not MISSING
                default = json.dumps(list(word.default) if isinstance(word.default, tuple) else word.default)
                about, answers = word.metadata["about"], word.metadata["answers"]
                lines.append(f"| `{word.name}` | {in_words(hints[word.name])} | `{default}` | {about} | {answers} |")
        lines.append("")
    known = next(word for word in fields(Facts) if word.name == "schema").metadata["known"]
    return "\n".join([*lines, f"The rules of `schema`: {', '.join(f'`{rule}`' for rule in known)}.", ""])


def test_the_page_of_facts_is_current() -> None:
    assert is_current(ROOT / "docs" / "facts.md", facts_page())


def test_the_page_of_providers_is_current() -> None:
    page = fidelity.page()
    assert "says nothing about it" not in page, "what is not carried over is dropped with a reason"
    assert is_current(ROOT / "docs" / "providers.md", page)


def test_the_languages_page_lists_the_functions() -> None:
    page = ROOT / "docs" / "mapping-language.md"
    table = "\n".join(["| | |", "|---|---|", *(f"| `{one.name}()` | {one.about} |" for one in FUNCTIONS.values())])
    head = page.read_text().partition("<!-- functions -->")[0]
    assert is_current(page, f"{head}<!-- functions -->\n{table}\n")


def test_every_word_of_the_language_is_described() -> None:
    page = (ROOT / "docs" / "mapping-language.md").read_text()
    missing = [word for word in (*DIRECTIVES, *TOP_LEVEL, *DELTAS, *STOP_REASONS, *ERROR) if f"`{word}" not in page]
    assert missing == []
    assert [word for word in (*MODEL_ROLES, *MODEL_FACTS) if word not in page] == []
    for section in SECTIONS.values():
        assert all(f"`{name}`" in page for name in section.parameters)


def yaml_blocks() -> list[tuple[str, str]]:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    found = [(page.name, block) for page in pages for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]
    return [(name, block) for name, block in found if re.search(r"(?m)^(extends|endpoint):", block)]


@pytest.mark.parametrize(("page", "block"), yaml_blocks(), ids=lambda value: value if len(value) < 30 else "")
def test_mappings_in_the_docs_work(page: str, block: str, tmp_path: Path) -> None:
    (tmp_path / "shown.yaml").write_text(block)
    mapping = load_mapping("shown", [tmp_path])
    assert mapping.request({"messages": [], "max_tokens": 5}, "m")["model"] == "m"
    assert run_examples(mapping) == []


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
