"""Whether a section passes a text on as it is: never said of one that looks into it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.mapping.loader import load
from engine.mapping.opaque import LookedInto, Opaque, passed_as
from engine.mapping.reading import SelectorError
from engine.wire.facts import Facts
from tests.selecting import selection
from tests.test_selectors import EXPRESSIONS, SCALARS

ROOT = Path(__file__).parents[1]
MARK = "the text"
TEXTS = ["a", "b", "1", "-2.5", " ", "object", "é\n", "the text, and more of it"]

LOOKS: list[Callable[[Any], Any]] = [
    *[str, repr, len, list, set, tuple, hash, sorted],
    *[
        lambda text: f"{text}",
        lambda text: text == "a",
        lambda text: text != "a",
        lambda text: text < "a",
    ],
    *[lambda text: text + "a", lambda text: "a" + text, lambda text: text * 2, lambda text: text % ()],
    *[
        lambda text: text[0],
        lambda text: text[:1],
        lambda text: "a" in text,
        lambda text: text in ("a", "b"),
        lambda text: {text: 1},
    ],
    *[lambda text: text.upper(), lambda text: text.startswith("a"), lambda text: [*text], lambda text: {"a": 1}.get(text)],
]


@pytest.mark.parametrize("look", LOOKS)
def test_nobody_looks_into_an_opaque_text(look: Callable[[Any], Any]) -> None:
    with pytest.raises(LookedInto):
        look(Opaque(MARK))


def test_an_opaque_text_is_a_text_that_is_not_empty() -> None:
    assert isinstance(Opaque(MARK), str)
    assert bool(Opaque(MARK))


@pytest.mark.parametrize(
    ("deltas", "kind"),
    [
        ("text: =chunk.a", "text"),
        ("thinking: =chunk.a.b || chunk.a", "thinking"),
        ("text: =text(chunk.a, '')", "text"),
        ("{ $if: chunk.a, text: =chunk.a }", "text"),
        ('{ $if: "!(chunk.a)", stop: end_turn }', None),
        ("{ $if: chunk.a == 'a', text: =chunk.a }", None),
        ("{ $if: \"matches(chunk.a, '^a')\", text: =chunk.a }", None),
        ("{ $if: length(chunk.a) > `1`, text: =chunk.a }", None),
        ("{ $if: \"contains(chunk.a, 'a')\", text: =chunk.a }", None),
        ("{ $if: \"contains(['a'], chunk.a)\", text: =chunk.a }", None),
        ("{ $if: \"json(chunk) == 'a'\", text: =chunk.a }", None),
        ("{ $if: \"to_string(chunk) == 'a'\", text: =chunk.a }", None),
        ("{ $switch: chunk.a, $case: { a: { stop: end_turn } }, $else: { text: =chunk.a } }", None),
        ('text: "{{ chunk.a }}"', None),
        ('text: "{{ chunk.a | upper }}"', None),
        ("text: \"{{ chunk.a | replace('a', 'b') }}\"", None),
        ("tool: { json: =chunk.a }", None),
        ("text: =chunk", None),
        ("error: =chunk.a", None),
    ],
)
def test_what_looks_into_a_text_does_not_pass_it_on(deltas: str, kind: str | None, tmp_path: Path) -> None:
    path = tmp_path / "told.yaml"
    path.write_text(f"extends: openai-chat\nstream:\n  - {deltas}\n")
    mapping = load(path, [ROOT / "mappings"], Facts)
    assert passed_as(mapping.stream, "m", {"a": MARK}, MARK) == kind


def with_text(value: Any, text: str) -> Any:
    if isinstance(value, dict):
        return {key: with_text(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [with_text(item, text) for item in value]
    return text if value == MARK else value


DOCUMENTS = st.recursive(
    st.just(MARK) | SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(EXPRESSIONS, DOCUMENTS)
@example("a", {"a": MARK})
@example("b || a.c", {"a": {"c": MARK}})
@example("[a, b][?@] | [0]", {"a": MARK})
def test_what_is_said_to_be_passed_on_is(text: str, document: Any) -> None:
    try:
        section = selection(f"[{{text: {text}}}]", beside="model")
    except SelectorError:
        return
    if passed_as(section, "m", document, MARK):
        for other in TEXTS:
            assert section(with_text(document, other), "m") == [{"text": other}]
