"""engine/wire/reasoning.py: a provider's state survives the way through the client, and reaches no one else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.wire.reasoning import is_sealed, merge_details, place, seal, unseal

states = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.booleans())),
)


@given(states)
def test_T07_T08_a_state_comes_back_to_the_same_provider_and_model_only(state: dict[str, Any]) -> None:
    sealed = seal("acme", "one", state)
    assert unseal(sealed, "acme", "one") == state
    assert unseal(sealed, "acme", "two") is None
    assert unseal(sealed, "other", "one") is None
    assert sealed.isascii()


SEALED = seal("acme", "one", {"signature": "s"})


@pytest.mark.parametrize(
    "foreign",
    [
        None,
        7,
        "",
        "EqQBCkYIBxgCKkA=",
        SEALED[:-6],
        SEALED + "x",
        SEALED.replace(".", ".é"),
        "ccproxy1.",
        "ccproxy1.bnVsbA==",
        "ccproxy1.W10=",
    ],
)
def test_T10_what_is_foreign_or_damaged_is_no_state(foreign: Any) -> None:
    assert unseal(foreign, "acme", "one") is None


def test_T10_own_signatures_can_be_told_from_all_others() -> None:
    assert is_sealed(SEALED)
    assert not is_sealed("EqQBCkYIBxgCKkA=")
    assert not is_sealed(None)


def merged(*chunks: list[Any]) -> list[Any]:
    gathered: list[Any] = []
    for chunk in chunks:
        merge_details(gathered, chunk)
    return gathered


def test_fragments_of_one_text_are_joined_and_what_comes_late_is_filled_in() -> None:
    text = {"type": "reasoning.text", "index": 0}
    assert merged(
        [text | {"text": "Let ", "signature": None, "format": None}],
        [text | {"text": "me ", "id": "r1", "format": "acme-v1"}],
        [text | {"text": "see.", "id": None}],
        [text | {"signature": "s"}],
    ) == [text | {"text": "Let me see.", "signature": "s", "format": "acme-v1", "id": "r1"}]


def test_items_of_another_kind_index_or_id_stay_apart_in_order() -> None:
    items = [
        {"type": "reasoning.summary", "summary": "a", "index": 0},
        {"type": "reasoning.text", "text": "b", "index": 0},
        {"type": "reasoning.text", "text": "c", "index": 1},
        {"type": "reasoning.text", "text": "d", "index": 1, "id": "r1"},
        {"type": "reasoning.text", "text": "e", "index": 1, "id": "r2"},
    ]
    assert merged(items) == [*items[:2], {"type": "reasoning.text", "text": "cd", "index": 1, "id": "r1"}, items[4]]


def test_encrypted_items_are_never_joined() -> None:
    items = [{"type": "reasoning.encrypted", "data": data, "index": 0} for data in "ab"]
    assert merged(items[:1], items[1:]) == items


def test_what_is_no_item_is_passed_over_and_the_given_items_stay_as_they_are() -> None:
    item = {"type": "reasoning.text", "text": "a"}
    assert merged([None, "x", item, 7], [item]) == [{"type": "reasoning.text", "text": "aa"}]
    assert item["text"] == "a"


def test_T09_what_came_late_of_an_item_stands_in_its_place() -> None:
    def thinking(*items: dict[str, Any]) -> dict[str, Any]:
        return {"type": "thinking", "thinking": "", "details": list(items)}

    first, late = {"type": "reasoning", "id": "r1", "data": ""}, {"type": "reasoning", "id": "r1", "on": "earlier", "data": "x"}
    call = {"type": "tool_use", "id": "c"}
    assert place([thinking(first), call, thinking(late)]) == [thinking(first | {"data": "x"}), call]
    assert place([thinking(first | {"data": "y"}), call, thinking(late)]) == [thinking(first | {"data": "y"}), call]
    assert place([call, thinking(late)]) == [call]
