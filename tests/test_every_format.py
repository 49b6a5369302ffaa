"""One session through a real process in every format: the anthropic SDK here, a server that speaks the format there."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from engine.wire.framing import encode
from tests import answers
from tests.answers import Said, streamed
from tests.providers import Provider, on_both_loops
from tests.running import proxy
from tests.upstreams import Answer, Upstream, scripted

READ: dict[str, Any] = {"name": "Read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}
HELLO: Any = [{"role": "user", "content": "hi"}]

# The mapping, what answers, the path that is asked, and the header that carries the key.
FORMATS: dict[str, tuple[Callable[[Said], Iterator[Any]], str, tuple[str, str]]] = {
    "deepseek": (answers.chat, "/v1/chat/completions", ("authorization", "Bearer a-key")),
    "openai": (answers.responses, "/v1/responses", ("authorization", "Bearer a-key")),
    "gemini": (answers.generate_content, "/v1/models/m:streamGenerateContent?alt=sse", ("x-goog-api-key", "a-key")),
    "kimi": (answers.messages, "/v1/messages", ("authorization", "Bearer a-key")),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with scripted() as made:
        yield made


@pytest.fixture(scope="module")
def client(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[anthropic.Anthropic]:
    told = [f"  {name}: {{ base_url: '{upstream.base_url}', api_key: a-key }}" for name in FORMATS]
    with (
        proxy(tmp_path_factory.mktemp("formats"), "\n".join(["breaker: false", "providers:", *told, ""])) as address,
        anthropic.Anthropic(base_url=address, api_key="any", max_retries=0) as made,
    ):
        yield made


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_and_its_result(name: str, client: anthropic.Anthropic, upstream: Upstream) -> None:
    answer, path, (header, key) = FORMATS[name]
    first, second = Said("Hm.", "state-1", calls=["call_1"]), Said("Ah.", "state-2", "It says one.")
    upstream.answers = [Answer([streamed(answer, said)]) for said in (first, second)]
    upstream.requests.clear()
    asked: dict[str, Any] = {"model": f"{name}/m", "max_tokens": 9000, "tools": [READ], "thinking": {"type": "adaptive"}}
    messages: list[Any] = [{"role": "user", "content": "What is in a"}]
    with client.messages.stream(**asked, messages=messages) as stream:
        called = stream.get_final_message()
    assert [block.type for block in called.content] == ["thinking", "tool_use"]
    assert called.stop_reason == "tool_use"
    assert (called.usage.input_tokens, called.usage.output_tokens) == (9, 9)
    result = {"type": "tool_result", "tool_use_id": called.content[1].id, "content": "one"}
    messages += [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    with client.messages.stream(**asked, messages=messages) as stream:
        said = stream.get_final_message()
    assert [getattr(block, block.type) for block in said.content if block.type != "thinking"] == ["It says one."]
    assert [request["path"] for request in upstream.requests] == [path, path]
    assert upstream.requests[0]["headers"][header] == key
    again = str(upstream.requests[1]["body"])
    assert "call_1" in again
    assert ("state-1" in again) or ("Hm." in again)


def chunked(event: bytes) -> bytes:
    """A whole stream of one event, its end with it."""
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(event), event)


@on_both_loops
async def test_words_that_come_with_a_continuation_that_fails_are_told_once(tmp_path: Path) -> None:
    candidate = {"content": {"parts": [{"text": "One, "}]}, "finishReason": "CONTINUATION", "continuationToken": "dG9rZW4="}
    stream = chunked(b"data: " + json.dumps({"candidates": [candidate]}).encode() + b"\n\n")
    refusal = b'HTTP/1.1 400 No\r\ncontent-length: 41\r\n\r\n{"error": {"message": "that is too old"}}'
    async with Provider(stream, refusal) as provider:
        await one_word_and_then("gemini", provider, tmp_path, "that is too old")


@on_both_loops
async def test_words_that_come_with_an_end_that_is_none_are_told(tmp_path: Path) -> None:
    start = {"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "model": "m", "content": [], "usage": {}}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "One, "}}
    async with Provider(chunked(encode([start, block, delta]))) as provider:
        await one_word_and_then("anthropic", provider, tmp_path, "broke off before its end")


async def one_word_and_then(name: str, provider: Provider, folder: Path, error: str) -> None:
    """The client reads a word, once, and then that error."""
    with proxy(
        folder, f"providers: {{ {name}: {{ base_url: 'http://127.0.0.1:{provider.port}', api_key: a-key }} }}\n"
    ) as address:
        async with (
            anthropic.AsyncAnthropic(base_url=address, api_key="any", max_retries=0) as client,
            client.messages.stream(model=f"{name}/m", max_tokens=9, messages=HELLO) as asked,
        ):
            words = asked.text_stream
            assert await anext(words) == "One, "
            with pytest.raises(anthropic.APIStatusError, match=error):
                await anext(words)
