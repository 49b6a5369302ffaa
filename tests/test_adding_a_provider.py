"""docs/adding-a-provider.md, followed to the letter: fifteen lines of YAML and no Python.

Only the address is another one: of a server that names its reasoning field differently and refuses `tool_choice: required`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from engine.commands.writing import ANY
from tests.running import ROOT, proxy
from tests.upstreams import Answer, Upstream, chat_stream, scripted, stop_chunk, text_chunk

PAGE = (ROOT / "docs" / "adding-a-provider.md").read_text()
YAML, *_, FROM_NOTHING = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS, START = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)

READ: dict[str, Any] = {"name": "Read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with scripted() as made:
        yield made


@pytest.fixture
def home(tmp_path: Path, upstream: Upstream) -> Path:
    mappings = tmp_path / ".ccproxy" / "mappings"
    mappings.mkdir(parents=True)
    (mappings / "example.yaml").write_text(YAML.replace("https://api.example.com/v1", upstream.base_url))
    return tmp_path


@pytest.mark.parametrize("page", ["README.md", "docs/adding-a-provider.md"])
def test_it_extends_what_ccproxy_new_does(page: str) -> None:
    first = re.search(r"```yaml\n(?:#.*\n)?extends: (.*)\n", (ROOT / page).read_text())
    assert first
    assert first[1] == ANY


def test_it_is_fifteen_lines() -> None:
    written = [line for line in YAML.splitlines() if line.strip() and not line.startswith("#")]
    assert len(written) <= 15


def test_the_commands_of_the_page(home: Path) -> None:
    bin = home / "bin"
    bin.mkdir()
    (bin / "ccproxy").write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from engine.cli import main; main()' \"$@\"\n")
    (bin / "ccproxy").chmod(0o755)
    environment = {"HOME": str(home), "PATH": f"{bin}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        ["sh", "-ec", COMMANDS], env=environment, cwd=home, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "1 file, no problem" in told
    assert '"max_tokens": 100' in told
    assert '"model": "example-large"' in told
    assert "def request(request, model):" in told


def test_it_serves(home: Path, upstream: Upstream) -> None:
    assert START.split()[1:] == ["ccproxy", "start"]
    thought = {"choices": [{"index": 0, "delta": {"thoughts": "Hm."}, "finish_reason": None}]}
    upstream.answers = [Answer(chat_stream(thought, text_chunk("Yes."), stop_chunk()))]
    with proxy(home, environment={"EXAMPLE_API_KEY": "a-key"}) as address:
        client = anthropic.Anthropic(base_url=address, api_key="any", max_retries=0)
        with (
            client,
            client.messages.stream(
                model="example/example-large",
                max_tokens=50,
                messages=[{"role": "user", "content": "Is it?"}],
                tools=[READ],
                tool_choice={"type": "any"},
            ) as stream,
        ):
            answer = stream.get_final_message()
            lost = stream.response.headers["x-ccproxy-dropped"]
    assert [(block.type, getattr(block, block.type)) for block in answer.content] == [("thinking", "Hm."), ("text", "Yes.")]
    [asked] = upstream.requests
    assert asked["headers"]["authorization"] == "Bearer a-key"
    assert (asked["body"]["max_tokens"], asked["body"]["model"]) == (50, "example-large")
    assert "max_completion_tokens" not in asked["body"]
    assert asked["body"]["tool_choice"] == "auto"
    assert lost == "tool_choice"


def test_a_mapping_from_nothing_serves(home: Path, upstream: Upstream) -> None:
    words = FROM_NOTHING.replace("https://api.example.com/v1", upstream.base_url)
    (home / ".ccproxy" / "mappings" / "example.yaml").write_text(words)
    whole = b'{"words": "Hello.", "end": "full", "read": 5, "written": 2}'
    lines: list[bytes | float] = [b'{"words": "Hel"}\n', b'{"words": "lo."}\n{"end": "full", "read": 5, "written": 2}\n']
    upstream.answers = [
        Answer([whole], content_type="application/json"),
        Answer(lines, content_type="application/x-ndjson"),
        Answer([b'{"trouble": "no such model"}'], status=404, content_type="application/json"),
    ]
    asked: dict[str, Any] = {"model": "example/any", "max_tokens": 2, "messages": [{"role": "user", "content": "Hi"}]}
    with (
        proxy(home, environment={"EXAMPLE_API_KEY": "a-key"}) as address,
        anthropic.Anthropic(base_url=address, api_key="any", max_retries=0) as client,
    ):
        answer = client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            streamed = stream.get_final_message()
        with pytest.raises(anthropic.NotFoundError, match="example: no such model"):
            client.messages.create(**asked)
    for message in (answer, streamed):
        assert [(block.type, getattr(block, "text", "")) for block in message.content] == [("text", "Hello.")]
        assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("max_tokens", 5, 2)
    first, second, _ = [request["body"] for request in upstream.requests]
    assert first == {"model": "any", "at_most": 2, "streamed": False, "turns": [{"who": "user", "says": "Hi"}]}
    assert second == first | {"streamed": True}
