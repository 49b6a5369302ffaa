"""The command, as it is typed."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from tests.running import ROOT

REQUEST = {"model": "claude-x", "max_tokens": 50, "top_k": 3, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration, mapping or key of this machine is seen."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CCPROXY_CONFIG", raising=False)
    return tmp_path


def ccproxy(*arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=given)


def start(home: Path, configuration: str, *arguments: str) -> tuple[int, str]:
    """A start that fails: its exit code and what it says."""
    (home / "config.yaml").write_text(configuration)
    ended = subprocess.run(
        [sys.executable, "-c", "from engine.cli import main; main()", "start", "--config", "config.yaml", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stderr


def test_help_fits_a_screen() -> None:
    told = ccproxy("--help")
    assert told.exit_code == 0
    assert len(told.output.splitlines()) < 24


def test_check_the_built_in_mappings() -> None:
    told = ccproxy("check")
    assert told.exit_code == 0
    assert "mappings are well: llamacpp, local, openai-chat" in told.output


def test_check_tells_every_mistake_of_a_file(home: Path) -> None:
    (home / "mine.yaml").write_text("extends: openai-chat\nrequest:\n  a: =reqest.a\n  b: =txt(model)\nparts: { thinkin: 1 }\n")
    told = ccproxy("check", str(home / "mine.yaml"))
    assert told.exit_code == 1
    for words in ("mine.yaml:3:7: unknown name 'reqest'", "mine.yaml:4:7: unknown function txt()", "'thinkin' is used nowhere"):
        assert words in told.output
    assert "Traceback" not in told.output


def test_check_runs_examples(home: Path) -> None:
    example = "{ about: it, given: { model: m, request: {} }, expect: { model: n } }"
    (home / "mine.yaml").write_text(f"extends: openai-chat\nexamples: [ {example} ]\n")
    told = ccproxy("check", str(home / "mine.yaml"))
    assert told.exit_code == 1
    assert "mine: example 1 (it) gives" in told.output


def test_show_prints_the_python() -> None:
    told = ccproxy("show", "openai-chat", "stream")
    assert told.exit_code == 0
    assert told.output.startswith("def stream(chunk, model):\n")
    compile(told.output, "shown", "exec")
    assert "it has endpoint, request, response" in ccproxy("show", "openai-chat", "streem").output


def test_show_a_mapping_that_is_nowhere() -> None:
    told = ccproxy("show", "opena-chat")
    assert told.exit_code == 1
    assert "there is no mapping named 'opena-chat'; did you mean 'openai-chat'?" in told.output


def test_try_shows_what_would_be_sent_and_what_is_lost() -> None:
    told = json.loads(ccproxy("try", "openai-chat", "--stream", given=json.dumps(REQUEST)).output)
    assert told["url"] == "https://api.openai.com/v1/chat/completions"
    assert told["headers"] == {"authorization": "Bearer $KEY"}
    assert told["body"]["stream"] is True
    assert told["lost"] == {"top_k": "OpenAI has no top_k"}


@pytest.mark.parametrize("given", ["nonsense", "[]", '{"model": "m"}'])
def test_try_a_request_that_is_none(given: str) -> None:
    told = ccproxy("try", "openai-chat", given=given)
    assert told.exit_code == 1
    assert "Traceback" not in told.output


def test_version() -> None:
    assert ccproxy("version").output.strip().count(".") == 2


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ("prot: 1\n", "config.yaml:1:1: unknown key 'prot'; did you mean 'port'?"),
        ("port: many\n", "config.yaml:1:7: a whole number is meant here"),
        ("api_key: ${NO_SUCH_KEY}\n", "config.yaml:1:10: the environment variable NO_SUCH_KEY is not set"),
        ("providers: { a: { base_ulr: x } }\n", "unknown key 'base_ulr'; did you mean 'base_url'?"),
        ("providers: { a: {} }\n", "there is no mapping named 'a'"),
        ("providers: { openai-chat: {} }\n", "the provider 'openai-chat' needs a key: set $OPENAI_API_KEY"),
        ("timeouts: { silence: long }\n", "a time is meant here: 30s, 5m, 500ms"),
        ("logs: { level: loud }\n", "unknown level 'loud'; it is one of debug, info, warning, error"),
        ("host: 0.0.0.0\nproviders: { openai-chat: { api_key: k } }\n", "host 0.0.0.0 can be reached by others: set `api_key`"),
        ("host: somewhere\n", "config.yaml:1:7: 'somewhere' is no address to listen on"),
        ("providers: { openai-chat: { base_url: api.example.com, api_key: k } }\n", "`base_url` begins with http:// or https://"),
        ("providers: { openai-chat: { api_key: “k” } }\n", "holds a character that no key has"),
        ("- a list\n", "a configuration is an object: keys and values"),
        ("port: [1\n", "config.yaml:"),
    ],
)
def test_mistakes_in_the_configuration(configuration: str, words: str, home: Path) -> None:
    code, told = start(home, configuration)
    assert code == 1
    assert words in told
    assert "Traceback" not in told


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken(workers: str, home: Path) -> None:
    """Granian would share it, and each request would go to one of the two."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        code, told = start(home, f"port: {port}\nproviders: {{ openai-chat: {{ api_key: k }} }}\n", "--workers", workers)
    assert (code, told) == (1, f"ccproxy: cannot listen on 127.0.0.1:{port}: Address already in use\n")


def test_an_address_that_is_none() -> None:
    told = ccproxy("start", "--host", "somewhere")
    assert told.exit_code == 2
    assert "an address is meant" in told.output


def test_a_configuration_that_is_not_there(home: Path) -> None:
    code, told = start(home, "{}", "--config", "elsewhere.yaml")
    assert (code, "Traceback" in told) == (1, False)
    assert "elsewhere.yaml" in told


def test_the_current_directory_chooses_nothing(home: Path) -> None:
    """A hostile checkout must not choose where keys go."""
    (home / "elsewhere").mkdir()
    (home / "elsewhere" / "config.yaml").write_text("nonsense: true\n")
    ended = subprocess.run(
        [sys.executable, "-c", "from engine.cli import main; main()", "check"],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)},
        cwd=home / "elsewhere",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
