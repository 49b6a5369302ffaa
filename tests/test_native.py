"""llama.cpp speaks Anthropic's format natively too: the same prompts through its /v1/messages, and through the proxy and
its /v1/chat/completions, give the same answer. docs/native.md lists the differences that remain."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.gateway import local
from tests.grammar import check, sdk_message
from tests.running import proxy

pytestmark = pytest.mark.skipif(
    not local.available(), reason="the local model's packages are not installed: make run installs them"
)

_RECORDED = json.loads((Path(__file__).parent / "data" / "local_tool_conversation.json").read_text())
TOOLS = {key: _RECORDED[key] for key in ("system", "tools", "messages")}
CALL = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "toolu_99", "name": "get_weather", "input": {"city": "Oslo"}}],
}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_99", "content": "5 degrees, snow"}]}


def said(*turns: str) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[number % 2], "content": turn} for number, turn in enumerate(turns)]


PROMPTS: dict[str, dict[str, Any]] = {
    "plain": {"messages": said("Name three colours.")},
    "system": {"system": "You are a pirate.", "messages": said("Who are you?")},
    "system in blocks": {"system": [{"type": "text", "text": "You are a poet."}], "messages": said("Who are you?")},
    "turns": {"messages": said("My name is Ada.", "Hello Ada.", "What is my name?")},
    "blocks": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Name three animals."}]}]},
    "max_tokens": {"max_tokens": 4, "messages": said("Tell me a story.")},
    "a stop sequence": {"stop_sequences": ["colours"], "messages": said("Name three colours.")},
    "a tool call": TOOLS,
    "a tool's result": {**TOOLS, "messages": [*TOOLS["messages"], CALL, RESULT]},
}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """llama.cpp's own address, and that of the proxy in front of it."""
    running = asyncio.run(local.start())
    configuration = f"providers: {{ local: {{ base_url: '{running.base_url}' }} }}\n"
    try:
        with proxy(tmp_path_factory.mktemp("native"), configuration) as address:
            yield running.base_url.removesuffix("/v1"), address
    finally:
        asyncio.run(running.stop())


def answer(address: str, prompt: dict[str, Any], stream: bool) -> dict[str, Any]:
    request = {"model": "smollm2-135m", "max_tokens": 40, "temperature": 0, "stream": stream, **prompt}
    told = httpx.post(f"{address}/v1/messages", json=request, timeout=120, headers={"connection": "close"})
    assert told.status_code == 200, told.text
    if not stream:
        whole: dict[str, Any] = told.json()
        return whole
    events = [json.loads(line.removeprefix("data: ")) for line in told.text.splitlines() if line.startswith("data: ")]
    if "request-id" in told.headers:
        check(events)
    return sdk_message(events)


def essence(message: dict[str, Any]) -> dict[str, Any]:
    """What must be equal: ids are made up, and how much of a prompt was cached depends on what came before."""
    blocks = [
        {key: block[key] for key in ("type", "text", "name", "input") if block.get(key) is not None}
        for block in message["content"]
    ]
    usage = message["usage"]
    sent = usage["input_tokens"] + (usage.get("cache_read_input_tokens") or 0)
    return {"content": blocks, "stop_reason": message["stop_reason"], "sent": sent, "received": usage["output_tokens"]}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_same_as_llama_cpps_own(prompt: str, stream: bool, addresses: tuple[str, str]) -> None:
    native, ours = (essence(answer(address, PROMPTS[prompt], stream)) for address in addresses)
    if prompt == "a stop sequence":
        # It names the sequence and still says end_turn; Anthropic says stop_sequence.
        assert (native.pop("stop_reason"), ours.pop("stop_reason")) == ("end_turn", "stop_sequence")
    assert ours == native


@pytest.mark.parametrize("prompt", PROMPTS)
def test_tokens_are_counted_the_same(prompt: str, addresses: tuple[str, str]) -> None:
    request = {
        "model": "smollm2-135m",
        **{key: value for key, value in PROMPTS[prompt].items() if key not in ("max_tokens", "stop_sequences")},
    }
    native, ours = (
        httpx.post(f"{address}/v1/messages/count_tokens", json=request, timeout=60, headers={"connection": "close"}).json()[
            "input_tokens"
        ]
        for address in addresses
    )
    assert ours == native
