"""Counting tokens: exact where a vocabulary is known, and an estimate that keeps its word where none is (E03)."""

import asyncio
import base64
import json
import re
import struct
import subprocess
import sys
import sysconfig
from itertools import islice
from pathlib import Path
from random import Random
from time import thread_time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.gateway.names import Named
from engine.gateway.settings import Config, ProviderConfig, RouteConfig
from engine.wire import pictures, tokens
from server import Application

ROOT = Path(__file__).parents[1]
STDLIB = Path(sysconfig.get_paths()["stdlib"])
SHARED = ROOT.parent / "shared"


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]} | more


# How close the estimate comes. It is fitted to no text; a long one is sampled, and a sample may mislead.

TEXTS: dict[str, list[dict[str, Any]]] = yaml.safe_load((ROOT / "tests" / "data" / "texts.yaml").read_text("utf-8"))


@pytest.mark.parametrize("kind", TEXTS)
def test_E03_the_estimate_is_within_a_tenth_of_what_another_implementation_counts(kind):
    for sample in TEXTS[kind]:
        estimated = tokens.estimate(said(sample["text"])) - tokens.estimate(said(""))
        assert estimated == pytest.approx(sample["tokens"], rel=0.1), sample["text"]


def prose() -> list[str]:
    from pydoc_data.topics import topics

    return [text for text in topics.values() if len(text) > 2_000]


def stdlib_sources() -> list[str]:
    return [path.read_text("utf-8")[:20_000] for path in islice(sorted(STDLIB.glob("[a-t]*.py")), 0, 120, 4)]


KINDS = {kind: [sample["text"] for sample in samples] for kind, samples in TEXTS.items()} | {
    "python": stdlib_sources(),
    "python's manual": prose(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_E03_the_estimate_of_300_kb_is_within_a_tenth_of_the_count(kind):
    for seed in range(3):
        assert_close(stretches(KINDS[kind], 300_000, Random(seed)))


@pytest.mark.parametrize("size", [100_000, 300_000, 3_000_000])
def test_E03_the_estimate_of_all_kinds_mixed_is_within_a_tenth_of_the_count(size):
    for seed in range(5):
        random = Random(seed)
        blocks = [stretches(random.choice(list(KINDS.values())), size // 50, random) for _ in range(50)]
        assert_close([text for block in blocks for text in block])


@pytest.mark.parametrize("size", [20_000, 100_000, 300_000, 1_000_000])
def test_whether_it_is_more_than_a_limit_is_told_as_the_estimate_tells_it(size: int) -> None:
    for seed in range(10):
        random = Random(seed)
        blocks = [stretches(random.choice(list(KINDS.values())), size // 50, random) for _ in range(50)]
        request = conversation([text for block in blocks for text in block])
        estimated = tokens.estimate(request)
        for limit in (0, *(int(estimated * part) for part in (0.1, 0.5, 0.8, 0.95)), estimated - 1):
            assert tokens.is_more_than(limit, request)
        for limit in (estimated, *(int(estimated * part) for part in (1.05, 1.25, 2, 10))):
            assert not tokens.is_more_than(limit, request)


@pytest.mark.parametrize(("turns", "size"), [(16, 16_000), (32, 6_000), (20, 6_000), (128, 2_000), (17, 9_000)])
@pytest.mark.parametrize("head", ["9f3a" * 50, "\N{GRINNING FACE}" * 60], ids=["hex", "emoji"])
def test_turns_that_are_equally_long_mislead_no_sample(turns: int, size: int, head: str) -> None:
    english = "It went on as it had begun, and nobody was surprised by that. " * (size // 50)
    request = conversation([(head + english)[:size]] * turns)
    exact, estimated = tokens.count(request, "o200k"), tokens.estimate(request)
    assert estimated == pytest.approx(exact, rel=0.15)
    for limit in (int(exact * part) for part in (0.4, 0.7, 0.8, 1.2, 1.4, 2.5)):
        assert tokens.is_more_than(limit, request) == (exact > limit)


def stretches(texts: list[str], size: int, random: Random) -> list[str]:
    """Pieces of texts, so many bytes together."""
    pieces = []
    while size > 0:
        text = random.choice(texts)
        start = random.randrange(len(text))
        pieces.append(text[start : start + random.randint(1, 3_000)])
        size -= len(pieces[-1].encode())
    return pieces


def conversation(texts: list[str]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


def assert_close(texts: list[str]) -> None:
    request = conversation(texts)
    assert tokens.estimate(request) == pytest.approx(tokens.count(request, "o200k"), rel=0.1)


@pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")
def test_E03_the_estimate_holds_for_technical_notes():
    assert list(SHARED.glob("*.md"))
    for page in SHARED.glob("*.md"):
        text = page.read_text()
        assert tokens.estimate(said(text)) == pytest.approx(exact(text), rel=0.1), page.name


def exact(text: str) -> int:
    return tokens.count(said(text), "o200k") - tokens.count(said(""), "o200k")


# The vocabularies


def test_E03_a_vocabulary_counts_as_the_provider_does():
    assert tokens.count(said("Hello, world!"), "o200k") == 3 + 4 + 4
    assert exact("Antidisestablishmentarianism") == 6
    korean = said(KINDS["korean"][0])
    assert tokens.count(korean, "cl100k") > tokens.count(korean, "o200k")


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded traffic (../shared/corpus) is not here")
def test_E03_the_count_is_what_a_provider_charged_for_a_plain_chat():
    charged = list(recorded_chats())
    assert charged
    # One token less, for the models that reason.
    assert [counted - paid for counted, paid in charged if counted - paid not in {0, 1}] == []


def recorded_chats() -> Any:
    """Plain conversations with models that use o200k: what we count and what was charged."""
    for line in (SHARED / "corpus" / "INDEX.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if (entry["provider"], entry["api"], entry["status"]) != ("openai", "chat_completions", 200) or entry["stream"]:
            continue
        record = json.loads((SHARED / "corpus" / entry["file"]).read_text())
        request = record["request"] or {}
        messages = request.get("messages", [])
        plain = all(set(message) == {"role", "content"} and only_text(message["content"]) for message in messages)
        special = {"tools", "functions", "response_format", "web_search_options"} & set(request)
        if plain and messages and not special and re.match(r"gpt-(4o|4\.1|5)(?!.*search)|o\d", request["model"]):
            yield tokens.count(request, "o200k"), record["response"]["usage"]["prompt_tokens"]


def only_text(content: Any) -> bool:
    return isinstance(content, str) or all(part["type"] == "text" for part in content)


def test_E03_half_an_emoji_is_counted():
    assert tokens.count(said("a\ud83d"), "o200k") > 0
    assert tokens.estimate(said("a\ud83d", tools=[{"name": "x", "description": "\ud83d"}])) > 0


def test_E03_where_no_vocabulary_is_known_it_is_estimated():
    request = said(KINDS["korean"][0])
    assert tokens.count(request, "estimate") == tokens.estimate(request)


def test_counting_costs_nothing_until_it_is_asked_for():
    code = "import sys, engine.wire.tokens; sys.exit('toktok' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("kind", TEXTS)
def test_E03_a_vocabulary_counts_as_another_implementation_does(kind):
    assert [exact(sample["text"]) for sample in TEXTS[kind]] == [sample["tokens"] for sample in TEXTS[kind]]


# What is counted


def test_E03_each_part_of_a_request_counts():
    text = "the quick brown fox jumps over the lazy dog " * 5
    parts: list[dict[str, Any]] = [
        {"system": text},
        {"system": [{"type": "text", "text": text}]},
        {"messages": [{"role": "user", "content": text}]},
        {"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": text, "signature": "s"}]}]},
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "x", "input": {"a": text}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": text}]}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": text}]}],
                }
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": text}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "some_news", "words": text}]}]},
        {"tools": [{"name": "x", "description": text, "input_schema": {}}]},
    ]
    for request in parts:
        assert 45 <= tokens.count(request, "o200k") <= 75, request
        assert 40 <= tokens.estimate(request) <= 80, request


def test_E03_what_is_sealed_or_only_for_caching_does_not_count():
    sealed = {"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x" * 9_000}]}]}
    assert tokens.estimate(sealed) < 10
    plain = {"tools": [{"name": "x"}]}
    assert tokens.estimate({"tools": [{"name": "x", "cache_control": {"type": "ephemeral"}}]}) == tokens.estimate(plain)


def picture(data: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(data).decode()}
    return {"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + bytes(9)


EXIF = b"\xff\xe1" + struct.pack(">H", 60_000) + bytes(59_998)

PICTURES = {
    "png": png(300, 200),
    "gif": b"GIF89a" + struct.pack("<HH", 300, 200) + bytes(3),
    "jpeg": b"\xff\xd8" + EXIF + b"\xff\xc2\0\x11\x08" + struct.pack(">HH", 200, 300) + bytes(12),
    "webp lossy": b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + struct.pack("<HH", 300, 200),
    "webp lossless": b"RIFF\0\0\0\0WEBPVP8L" + bytes(5) + struct.pack("<I", 299 | 199 << 14) + bytes(8),
    "webp extended": b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + (299).to_bytes(3, "little") + (199).to_bytes(3, "little"),
}


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
def test_a_pictures_size_is_read_from_its_first_bytes(data):
    assert pictures.size(base64.b64encode(data + bytes(100_000)).decode()) == (300, 200)


def test_a_picture_costs_by_its_size_up_to_a_limit():
    empty = tokens.estimate(said(""))
    assert tokens.estimate(picture(png(300, 200))) - empty == 80
    assert tokens.estimate(picture(png(9_000, 9_000))) - empty == 1_600
    assert tokens.estimate(picture(b"who knows")) - empty == 1_600
    link = {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]}]}
    assert tokens.count(link, "o200k") - empty == 1_600


def test_a_document_costs_by_its_size():
    def document(size: int) -> int:
        source = {"type": "base64", "media_type": "application/pdf", "data": "A" * size}
        return tokens.estimate({"messages": [{"role": "user", "content": [{"type": "document", "source": source}]}]})

    assert 1_900 < document(10_000) < 2_100
    assert 18_000 < document(1_000_000) < 22_000


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.sampled_from([b"", *(data[:16] for data in PICTURES.values())]))
def test_a_broken_picture_has_no_size_rather_than_an_error(data, head):
    for text in (base64.b64encode(head + data).decode(), data.decode("latin-1")):
        size = pictures.size(text)
        assert size is None or min(size) >= 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "content", "source", "data", "name", "input"]), inner)
    ),
    max_leaves=8,
)
block_types = st.sampled_from(["text", "thinking", "image", "document", "tool_use", "tool_result", "other"])
blocks = st.fixed_dictionaries(
    {"type": block_types}, optional={"source": json_values, "content": json_values, "text": json_values}
)


@settings(max_examples=100, deadline=None)
@given(content=json_values | st.lists(blocks, max_size=3), system=json_values, tools=json_values)
def test_E03_whatever_comes_is_counted(content, system, tools):
    request = {"system": system, "messages": [{"role": "user", "content": content}], "tools": tools}
    assert tokens.estimate(request) >= 7
    assert tokens.count(request, "o200k") >= 7


# The cost, in the processor's time: the machine may be busy with other things


def cost(request: dict[str, Any]) -> float:
    start = thread_time()
    tokens.estimate(request)
    return thread_time() - start


@pytest.mark.parametrize("kind", ["python", "simplified chinese", "korean", "hashes and base64"])
def test_an_estimate_of_300_kb_takes_a_few_milliseconds(kind):
    tokens.load()
    assert min(cost(conversation(stretches(KINDS[kind], 300_000, Random(seed)))) for seed in range(20)) < 0.005


def test_a_longer_text_takes_no_longer():
    text = "".join(stdlib_sources())
    assert min(cost(said(text * 20)) for _ in range(10)) < 5 * min(cost(said(text)) for _ in range(10))


def test_no_request_waits_for_the_vocabulary_once_it_is_loaded():
    code = """
from time import thread_time
from engine.wire import tokens
tokens.load()
start = thread_time()
tokens.estimate({"system": "Hello"})
print(thread_time() - start)
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    assert float(ran.stdout) < 0.005


def test_the_vocabulary_is_read_when_nobody_waits_for_an_answer(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    providers = {"told": ProviderConfig("openai-chat", base_url="http://127.0.0.1:9/v1", keys=())}
    config = Config(providers=providers, routes={"longContext": RouteConfig(Named("told", "m"))})
    application = Application(config, lambda: config)
    read = []
    monkeypatch.setattr(tokens, "load", lambda: read.append(True))
    application.service.proxy.running.add(None)
    asyncio.run(application.look())
    assert not read
    application.service.proxy.running.clear()

    async def look_while_the_page_is_open():
        async def receive():
            await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        sent, headers = [], [(b"host", b"127.0.0.1"), (b"accept", b"text/event-stream")]
        scope = {"type": "http", "method": "GET", "path": "/status", "client": ("127.0.0.1", 1), "headers": headers}
        page = asyncio.ensure_future(application(scope, receive, send))
        await asyncio.sleep(0.05)
        await application.look()
        page.cancel()
        return sent[0]["status"]

    assert asyncio.run(look_while_the_page_is_open()) == 200
    assert read
