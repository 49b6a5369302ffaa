"""What a server records is a case: it can be run again, and holds no key."""

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli import main
from tests.answers import Said, chat, messages, responses, streamed
from tests.running import proxy
from tests.test_cases import check_case, loaded, read_case
from tests.test_observation import ask
from tests.upstreams import Answer, scripted

SECRET = "sk-abcdefghij0123456789"
REQUEST = {
    "model": "any",
    "max_tokens": 900,
    "messages": [{"role": "user", "content": f"line one\nthe key is {SECRET}, and ours is hush-hush"}],
    "tools": [{"name": "Read", "description": "Reads", "input_schema": {"type": "object", "properties": {}}}],
}

STREAM = Said("I should look.", "state-1", "Here.", calls=["call_1a"])
REFUSAL = Answer([b'{"error": {"message": "no: hush-hush is wrong", "type": "bad"}}'], 400, "application/json")


def test_each_attempt_is_recorded(tmp_path: Path) -> None:
    """The one that failed is the one to look at."""
    with scripted() as upstream:
        upstream.answers = [Answer([b"{}"], 529, "application/json"), REFUSAL]
        configuration = f"""
record: {tmp_path}/recorded
providers: {{ a: {{ mapping: openai-chat, base_url: "{upstream.base_url}", api_key: hush-hush }} }}
routes: {{ models: {{ both: {{ to: a/one, fallbacks: [a/two] }} }} }}
"""
        with proxy(tmp_path, configuration) as address:
            ask(address, "POST", "/v1/messages", REQUEST | {"model": "both"})
    first, second = sorted((tmp_path / "recorded").glob("*/*.yaml"), key=lambda file: len(file.name))
    assert "status: 529" in first.read_text()
    assert "status: 400" in second.read_text()
    assert second.name.endswith("-2.yaml")


@pytest.mark.parametrize(
    ("mapping", "form", "stream"),
    [
        ("openai-chat", chat, True),
        ("openai-chat", None, True),
        ("openai-chat", None, False),
        ("openai", responses, True),
        ("anthropic", messages, True),
        ("anthropic", None, True),
    ],
)
def test_a_recorded_exchange_is_a_case(mapping: str, form: Callable[..., Any] | None, stream: bool, tmp_path: Path) -> None:
    with scripted() as upstream:
        upstream.answers = [Answer([streamed(form, STREAM)])] if form else [REFUSAL]
        configuration = f"""
providers: {{ mine: {{ mapping: {mapping}, base_url: "{upstream.base_url}", api_key: hush-hush }} }}
routes: {{ default: mine/m }}
record: {tmp_path}/recorded
"""
        with proxy(tmp_path, configuration) as address:
            status, _, told = ask(address, "POST", "/v1/messages", REQUEST | {"stream": stream})
    assert status == (200 if form else 400), told
    [file] = (tmp_path / "recorded").glob("*/*.yaml")
    assert file.parent.name == mapping
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(secret in file.read_text() for secret in (SECRET, "hush-hush"))
    case = read_case(file)
    assert case["request"]["messages"][0]["content"] == "line one\nthe key is [key], and ours is [key]"
    if form:
        assert [block["type"] for block in case["expect"]["message"]["content"]][-1] == "tool_use"
    else:
        assert case["expect"]["error"]["status"] == 400
    if mapping != "anthropic":
        check_case(loaded(mapping), case)

    done = CliRunner().invoke(main, ["replay", str(file)])
    assert (done.exit_code, done.output) == (0, f"as {file} says: {', '.join(case['expect'])}\n")


def test_what_is_different_now(tmp_path: Path) -> None:
    """One of the tests' own cases, whose expectation is another."""
    case = Path(__file__).parent / "cases" / "openai-chat" / "E02_a_page_in_place_of_an_error.yaml"
    folder = tmp_path / "openai-chat"
    folder.mkdir()
    file = folder / case.name
    shutil.copy(case, file)
    text = file.read_text()
    assert "request" not in read_case(file)
    request = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
    file.write_text(text.replace("type: ", "type: not_", 1) + f"request: {json.dumps(request)}\n")
    done = CliRunner().invoke(main, ["replay", str(file)])
    assert done.exit_code == 1
    assert 'error.type\n  - "not_' in done.output
    assert "1 of it is different" in done.output


def test_what_is_no_exchange(tmp_path: Path) -> None:
    file = tmp_path / "openai-chat" / "x.yaml"
    file.parent.mkdir()
    for text, words in (("about: x\n", "it has no `request`"), ("[", "is no YAML")):
        file.write_text(text)
        done = CliRunner().invoke(main, ["replay", str(file)])
        assert done.exit_code == 1
        assert words in done.output
