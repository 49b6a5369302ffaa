"""A real picture and a real PDF through every mapping: byte for byte where it says that they are taken, words where not."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from engine.gateway.exchange import Exchange
from tests.conversations import read
from tests.conversations.conversation import Document, Image, Result, Text
from tests.every_mapping import format_of, mapping, model, names

DATA = Path(__file__).parent / "data"
PICTURE = (DATA / "picture.png").read_bytes()
PLAN = (DATA / "plan.pdf").read_bytes()

SHOWN: dict[str, tuple[dict[str, Any], bytes]] = {
    "image": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64encode(PICTURE).decode()}},
        PICTURE,
    ),
    "document": (
        {
            "type": "document",
            "title": "plan.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": b64encode(PLAN).decode()},
        },
        PLAN,
    ),
}


def by_a_person(block: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, block]}]


def by_a_tool(block: dict[str, Any]) -> list[dict[str, Any]]:
    call = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a"}}
    return [
        {"role": "user", "content": "Look at a."},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [block]}]},
    ]


def models(name: str, kind: str) -> list[tuple[str, bool]]:
    """A model that sees what is shown and one that does not, as far as the mapping knows of both; and whether it sees."""
    known = [model(name), *(mapping(name).models.get("known") or {})]
    sees = {bool(getattr(mapping(name).facts_of(one), f"{kind}s")): one for one in reversed(known)}
    return [(one, seen) for seen, one in sees.items()]


CASES = [(name, kind, *case) for name in names() for kind in SHOWN for case in models(name, kind)]


@pytest.mark.parametrize("shown", [by_a_person, by_a_tool])
@pytest.mark.parametrize(("name", "kind", "upstream", "seen"), CASES, ids=["-".join(case[:3]) for case in CASES])
def test_it_arrives_or_words_stand_for_it(name: str, kind: str, upstream: str, seen: bool, shown: Any) -> None:
    if mapping(name).facts.unseen_images == "refuse" and kind == "image" and shown is by_a_person:
        return  # tests/cases/local shows the refusal
    block, data = SHOWN[kind]
    request = {"model": "claude", "max_tokens": 500, "messages": shown(block)}
    request["tools"] = [{"name": "Read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}]
    exchange = Exchange(name, mapping(name), upstream, request, request_id="req_1")
    told = read(format_of(name), exchange.body)
    within = [inner for item in told.items if isinstance(item, Result) for inner in item.content]
    items = [*told.items, *within]
    found = [item for item in items if isinstance(item, Document if kind == "document" else Image)]
    assert [sha256(item.data).hexdigest() for item in found] == [sha256(data).hexdigest()] * seen
    words = " ".join(item.text for item in items if isinstance(item, Text))
    assert ("was here" in words) == (not seen)
    assert (kind in exchange.lost) == (not seen)
