"""The whole way for real: the anthropic SDK, the proxy as a process, llama.cpp with a small model behind it."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from engine.gateway import local
from tests.running import proxy

pytestmark = pytest.mark.skipif(
    not local.available(), reason="the local model's packages are not installed: make run installs them"
)

# The tool was called three times before, which makes the small model call it again.
_RECORDED = json.loads((Path(__file__).parent / "data" / "local_tool_conversation.json").read_text())
CONVERSATION = {key: _RECORDED[key] for key in ("system", "tools", "messages")}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with proxy(tmp_path_factory.mktemp("local")) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=address, api_key="any", max_retries=0, timeout=120) as made:
        yield made


def ask(client: anthropic.Anthropic, stream: bool, **fields: Any) -> Any:
    """The message, streamed or not; deterministic."""
    request: dict[str, Any] = {"model": "any", "max_tokens": 30, "extra_body": {"temperature": 0}} | fields
    if stream:
        with client.messages.stream(**request) as events:
            return events.get_final_message()
    return client.messages.create(**request)


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@both
def test_a_message(stream: bool, client: anthropic.Anthropic) -> None:
    answer = ask(client, stream, system="You are brief.", messages=user("What is the capital of France?"))
    [block] = answer.content
    assert len(block.text) > 20
    assert answer.usage.input_tokens + answer.usage.cache_read_input_tokens > 20
    assert 0 < answer.usage.output_tokens <= 30
    assert answer.model == "any"


def test_a_stream_is_the_whole_answer_in_pieces(client: anthropic.Anthropic) -> None:
    streamed, whole = (ask(client, stream, messages=user("Name three colours.")) for stream in (True, False))
    assert [block.text for block in streamed.content] == [block.text for block in whole.content]
    assert (streamed.stop_reason, streamed.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)


@both
def test_a_tool_call_and_the_turn_with_its_result(stream: bool, client: anthropic.Anthropic) -> None:
    answer = ask(client, stream, max_tokens=100, **CONVERSATION)
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == "tool_use"
    assert call.name == CONVERSATION["tools"][0]["name"]
    assert set(call.input) == set(CONVERSATION["tools"][0]["input_schema"]["required"])
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees, sunny"}
    messages = [
        *CONVERSATION["messages"],
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
        {"role": "user", "content": [result]},
    ]
    after = ask(client, stream, max_tokens=60, **CONVERSATION | {"messages": messages})
    assert after.content
    assert after.usage.output_tokens > 0


@both
def test_structured_output_by_schema(stream: bool, client: anthropic.Anthropic) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "rainy": {"type": "boolean"}},
        "required": ["city", "rainy"],
        "additionalProperties": False,
    }
    answer = ask(
        client,
        stream,
        max_tokens=80,
        messages=user("Is Paris rainy?"),
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    told = json.loads(answer.content[0].text)
    assert (type(told["city"]), type(told["rainy"]), len(told)) == (str, bool, 2)


@both
def test_a_stop_sequence(stream: bool, client: anthropic.Anthropic) -> None:
    answer = ask(client, stream, messages=user("Name three colours."), stop_sequences=["yellow", "colours"])
    assert (answer.content[0].text.strip(), answer.stop_reason, answer.stop_sequence) == (
        "There are no three",
        "stop_sequence",
        "colours",
    )
    assert answer.usage.output_tokens == 5


@both
def test_max_tokens(stream: bool, client: anthropic.Anthropic) -> None:
    answer = ask(client, stream, max_tokens=5, messages=user("Tell me a long story."))
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 5)


def test_tokens_are_counted_by_the_model_itself(client: anthropic.Anthropic) -> None:
    messages = user("What is the capital of France?")
    counted = client.messages.count_tokens(model="any", messages=messages)  # type: ignore[arg-type]
    answer = ask(client, False, messages=messages, max_tokens=1)
    assert counted.input_tokens == answer.usage.input_tokens + answer.usage.cache_read_input_tokens


def test_an_image_is_refused_in_words(client: anthropic.Anthropic) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    asked = {"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}
    with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.content\.0: this model cannot see images"):
        ask(client, False, messages=[asked])
    later = ask(client, False, messages=[asked, {"role": "assistant", "content": "I cannot see it."}, *user("Never mind.")])
    assert later.content


def test_an_unknown_model(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match=r"local/smollm3.*serves local/smollm2-135m"):
        ask(client, False, model="local/smollm3", messages=user("hi"))


def test_a_prompt_that_is_too_long(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 8192 maximum"):
        ask(client, True, messages=user("word " * 12_000))


def test_a_client_that_leaves_frees_the_slot(client: anthropic.Anthropic, address: str) -> None:
    """The model has two slots. Four long answers are begun and left; a fifth is then served at once."""
    for _ in range(4):
        with client.messages.stream(model="any", max_tokens=4000, messages=user("Count from one to a thousand.")) as stream:  # type: ignore[arg-type]
            next(event for event in stream if event.type == "text")
    began = time.monotonic()
    assert ask(client, False, messages=user("hi"), max_tokens=1).content
    assert time.monotonic() - began < 10


def test_the_readmes_curl_line(address: str) -> None:
    page = (Path(__file__).parent.parent / "README.md").read_text()
    body = page.partition("-d '")[2].partition("'")[0]
    request = urllib.request.Request(f"{address}/v1/messages", body.encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        told = answer.read().decode()
    assert told.startswith("event: message_start\n")
    assert told.count("event: content_block_delta\n") > 3
    assert told.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')
