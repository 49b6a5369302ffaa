"""How a provider is asked whether it is well: at which address, with which key, and what it may answer."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine import BUILT_IN, load_mapping
from engine.gateway import health
from engine.gateway.health import HealthChecks
from engine.gateway.providers import Provider, open_provider
from engine.gateway.settings import BreakerConfig, Config, ProviderConfig
from engine.wire.errors import ApiError
from tests.running import free_port

NAMES = sorted(path.stem for path in BUILT_IN.glob("*.yaml"))
ASKED = [name for name in NAMES if load_mapping(name).health_endpoint]
BASE = "https://p.example/v7"


def address(name: str, key: str | None) -> dict[str, Any]:
    section = load_mapping(name).health_endpoint
    assert section
    return section(BASE, key)


@pytest.mark.parametrize("name", ASKED)
def test_it_lies_under_the_base_url_and_the_key_is_told_as_ever(name: str) -> None:
    where = address(name, "sk-1")
    assert where["url"].startswith(f"{BASE}/models")
    keys = {header: value for header, value in where["headers"].items() if "sk-1" in value}
    sent = load_mapping(name).endpoint(BASE, "m", "sk-1", False, {})["headers"]
    assert keys == {header: value for header, value in sent.items() if "sk-1" in value} != {}
    assert "sk-1" not in where["url"]


@pytest.mark.parametrize("name", ASKED)
def test_without_a_key_none_is_sent(name: str) -> None:
    assert address(name, None)["headers"].keys().isdisjoint({"authorization", "x-api-key", "x-goog-api-key"})


def test_who_has_none() -> None:
    """Clouds whose addresses are a project's, and providers that document no list beside their Anthropic format."""
    assert sorted(set(NAMES) - set(ASKED)) == [
        "anthropic-compatible",
        "azure",
        "azure-anthropic",
        "azure-responses",
        "bedrock-anthropic",
        "cohere",
        "deepseek-anthropic",
        "kimi",
        "kimi-code",
        "minimax",
        "qwen-anthropic",
        "vertex",
        "vertex-anthropic",
        "xiaomi-anthropic",
        "zai",
    ]


# What comes of it


class Server:
    """Answers whatever it is asked with the same bytes, and none for silence."""

    def __init__(self, answer: bytes):
        self.answer = answer
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.answer)
        await (writer.drain() if self.answer else reader.read())
        writer.close()


def answering(status: int, body: bytes = b"{}", more: str = "") -> bytes:
    return f"HTTP/1.1 {status} S\r\ncontent-length: {len(body)}\r\n{more}connection: close\r\n\r\n".encode() + body


def left_alone(port: int, mapping: str = "openai-chat", folders: Sequence[Path] = ()) -> Provider:
    """A provider of which it is time to know."""
    config = Config(breaker=BreakerConfig(failures=1, open=0))
    wanted = ProviderConfig(mapping, base_url=f"http://127.0.0.1:{port}/v1", keys=("sk-first", "sk-second"))
    provider = open_provider("p", wanted, config, {}, partial(load_mapping, folders=folders))
    breaker = provider.breakers.of("m")
    trial = breaker.lets_pass()
    assert trial
    breaker.over(trial, ApiError(500, "api_error", "p: broken"))
    return provider


async def checked(provider: Provider) -> None:
    """One question, however often it is time for it meanwhile."""
    checks = HealthChecks({"p": provider})
    for _ in range(3):
        checks.begin()
    [task] = checks._running.values()
    await task
    provider.upstream.close()
    await asyncio.sleep(0.02)  # both ends are closed in turns of the loop that are still to come


def told(answer: bytes, mapping: str = "openai-chat") -> tuple[dict[str, Any], list[str]]:
    """What the breaker tells after it was asked, and what the server was asked."""

    async def run() -> tuple[dict[str, Any], list[str]]:
        server = Server(answer)
        async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
            provider = left_alone(listening.sockets[0].getsockname()[1], mapping)
            await checked(provider)
        breaker = provider.breakers.of("m")
        return {"is_due": breaker.is_due} | breaker.told(), server.heads

    return asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        answering(200, b'{"data": []}'),
        answering(401),
        answering(404, b"<html>"),
        answering(429),
        answering(308, more="location: https://elsewhere.example/\r\n"),
    ],
    ids=["200", "401", "404", "429", "308"],
)
def test_what_answers_may_be_tried(answer: bytes) -> None:
    breaker, [head] = told(answer)
    assert breaker["state"] == "half_open"
    assert head.startswith("GET /v1/models HTTP/1.1\r\n")
    assert "authorization: bearer sk-first\r\n" in head.lower()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answering(503, b'{"error": {"message": "the key sk-first is fine, the house is not"}}'), "p: the key [key] is fine"),
        (answering(502, b"<html><title>Bad Gateway</title></html>"), "p: Bad Gateway"),
        (answering(500, b""), "p: HTTP 500"),
        (b"HTTP/1.1 500 S\r\ncontent-length: 100\r\n\r\n{", "p: the connection to"),
        (b"no HTTP at all\r\n\r\n", "p: the connection to"),
    ],
    ids=["told", "a page", "wordless", "cut", "no HTTP"],
)
def test_what_does_not_is_left_alone_again(answer: bytes, why: str) -> None:
    breaker, heads = told(answer)
    assert breaker["why"].startswith(why)
    assert len(heads) == 1
    # `open` is over in no time here, and it is to be asked anew.
    assert (breaker["is_due"], breaker["state"]) == (True, "open")


def test_silence_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SECONDS", 0.2)
    breaker, _ = told(b"")
    assert (breaker["state"], breaker["why"]) == ("open", "p: asked how it is, it said nothing for 0.2 seconds")


def test_nobody_there_is_no_answer() -> None:
    provider = left_alone(free_port())
    asyncio.run(checked(provider))
    assert provider.breakers.of("m").told()["why"].startswith("p: cannot connect to 127.0.0.1")


def test_of_a_mapping_without_an_address_requests_find_out() -> None:
    provider = left_alone(9, "kimi")
    assert (provider.breakers.are_due, provider.breakers.of("m").state) == (False, "half_open")


def test_a_mapping_that_fails_at_it_keeps_nothing_shut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "odd.yaml").write_text(
        "extends: openai-chat\nhealth_endpoint: { $switch: key, $case: { other: { url: 'http://u' } } }\n"
    )
    provider = left_alone(9, "odd", [tmp_path])
    asyncio.run(checked(provider))
    assert provider.breakers.of("m").state == "half_open"
    assert "odd.yaml:2" in caplog.text
    assert "sk-" not in caplog.text
