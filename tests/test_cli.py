"""The command, as it is typed."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.cli import COMMANDS, main
from engine.gateway.service import Services
from engine.gateway.settings import Config
from tests.running import ROOT

REQUEST = {"model": "claude-x", "max_tokens": 50, "top_k": 3, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration, mapping or key of this machine is seen."""
    for name in list(os.environ):
        if name not in ("PATH", "PYTHONPATH", "LANG"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def own(home: Path) -> Path:
    """The folder of the user's own configuration and mappings."""
    (home / ".ccproxy" / "mappings").mkdir(parents=True)
    return home / ".ccproxy"


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


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=lambda command: " ".join(command) or "ccproxy")
def test_help_fits_a_screen(command: list[str]) -> None:
    told = ccproxy(*command, "--help")
    assert told.exit_code == 0
    assert told.output.startswith("Usage: ")
    assert len(told.output.splitlines()) < 24
    assert not any(line.endswith("...") for line in told.output.splitlines()[1:])


def test_a_command_that_is_none() -> None:
    told = ccproxy("modles")
    assert told.exit_code == 2
    assert "there is no command 'modles'; did you mean 'models'?" in told.output


def test_every_command_is_in_the_readme_and_has_a_place_in_the_docs() -> None:
    readme, page = (ROOT / "README.md").read_text(), (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in COMMANDS if f"`ccproxy {name}" not in readme] == []
    assert [name for name in COMMANDS if f"`ccproxy {name}" not in page] == []


# check


def test_check_all_that_can_be_reached(own: Path) -> None:
    built_in = len(list((ROOT / "mappings").glob("*.yaml")))
    (own / "mappings" / "mine.yaml").write_text("extends: openai-chat\n")
    (own / "config.yaml").write_text("port: 5000\n")
    told = ccproxy("check")
    assert (told.exit_code, told.output) == (0, f"{built_in + 2} files, no problem\n")


def test_check_tells_of_the_configuration_and_of_mappings_at_once(own: Path) -> None:
    (own / "mappings" / "mine.yaml").write_text("extends: openai-chat\nrequest: { a: =reqest.a }\n")
    (own / "config.yaml").write_text("prot: 5000\nroutes: { defualt: a/b }\n")
    told = ccproxy("check")
    assert told.exit_code == 1
    for words in (
        "config.yaml:1:1: unknown key 'prot'",
        "config.yaml:2:11: unknown key 'defualt'",
        "mine.yaml:2:16: unknown name",
    ):
        assert words in told.output
    assert told.output.endswith("files\n")


def test_check_a_configuration_file_is_to_ask_whether_it_can_be_served(home: Path) -> None:
    (home / "given.yaml").write_text("limits: { request_bytes: 5 }\nproviders: { openai-chat: {} }\n")
    told = ccproxy("check", str(home / "given.yaml"))
    assert told.exit_code == 1
    assert "the provider 'openai-chat' needs a key: set $OPENAI_API_KEY" in told.output
    (home / "given.yaml").write_text("limits: { request_bytes: 5 }\nproviders: { openai-chat: { api_key: k } }\n")
    assert ccproxy("check", str(home / "given.yaml")).output == "1 file, no problem\n"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [", b"", b"- 1\n"])
def test_check_a_file_that_is_no_mapping(content: bytes, home: Path) -> None:
    (home / "odd.yaml").write_bytes(content)
    told = ccproxy("check", str(home / "odd.yaml"), str(home / "nowhere.yaml"))
    assert told.exit_code == 1
    assert "nowhere.yaml: No such file or directory" in told.output
    assert "Traceback" not in told.output


def test_check_a_mapping_without_a_word(own: Path) -> None:
    (own / "mappings" / "empty.yaml").write_text("# nothing yet\n")
    told = ccproxy("check")
    assert told.exit_code == 1
    assert "empty.yaml:1:1: the section 'request' is missing" in told.output


def test_a_mapping_by_another_ending_is_told(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = own / "mappings" / "mine.yml"
    path.write_text("extends: openai-chat\n")
    words = f"{path}: this is no mapping until it is called mine.yaml"
    for arguments in ([], [str(path)]):
        told = ccproxy("check", *arguments)
        assert (told.exit_code, told.output.count(words)) == (1, 1)
    assert f"there is no mapping named 'mine'; {path} is read when it is called mine.yaml" in ccproxy("show", "mine").output
    (own / "config.yaml").write_text("providers: { mine: {}, other: { mapping: mine } }\n")
    assert ccproxy("check").output.count(f"there is no mapping named 'mine'; {path} is read") == 2
    Services(Config(), Config)
    assert caplog.messages == [words]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"port:3456\n", "odd.yaml:1:1: a configuration is an object: keys and values; behind a key's ':' is a space\n"),
        ("port: 3456\n".encode("utf-16"), "odd.yaml:1:1: this is no UTF-8: save the file in that encoding\n"),
        (b"# \xfc\nport: many\n", "odd.yaml:1:3: this is no UTF-8: save the file in that encoding\n"),
        (b"\x7fELF\0\1\2\xff\n", "odd.yaml:1:8: this is no UTF-8: save the file in that encoding\n"),
        (b"port: 1\n" * 50_000, "odd.yaml:1:1: is this the configuration? It has more than 256 KB\n"),
    ],
    ids=["space", "utf-16", "latin-1", "binary", "huge"],
)
def test_check_a_file_that_is_no_configuration(content: bytes, words: str, home: Path) -> None:
    (home / "odd.yaml").write_bytes(content)
    told = ccproxy("check", str(home / "odd.yaml"))
    assert (told.exit_code, words in told.output) == (1, True)
    assert not set(told.output) & set(map(chr, [*range(9), *range(11, 32), 127]))


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
    assert "it has endpoint, request, lost, response" in ccproxy("show", "openai-chat", "streem").output


def test_show_a_mapping_that_is_nowhere() -> None:
    told = ccproxy("show", "opena-chat")
    assert told.exit_code == 1
    assert "there is no mapping named 'opena-chat'; did you mean 'openai-chat'?" in told.output


def test_try_shows_what_would_be_sent_and_what_is_lost() -> None:
    told = json.loads(ccproxy("try", "openai-chat", "--stream", given=json.dumps(REQUEST)).output)
    assert told["url"] == "https://api.openai.com/v1/chat/completions"
    assert told["headers"] == {"authorization": "Bearer $KEY"}
    assert told["body"]["stream"] is True
    assert told["lost"] == {"top_k": "the provider has no top_k"}


def test_try_shows_the_address_that_is_asked(home: Path) -> None:
    (home / "mine.yaml").write_text("extends: openai-chat\nbase_url: https://api.example.com/v1/\n")
    told = json.loads(ccproxy("try", str(home / "mine.yaml"), given=json.dumps(REQUEST)).output)
    assert told["url"] == "https://api.example.com/v1/chat/completions"


@pytest.mark.parametrize("given", ["nonsense", "[]", '{"model": "m"}'])
def test_try_a_request_that_is_none(given: str) -> None:
    told = ccproxy("try", "openai-chat", given=given)
    assert told.exit_code == 1
    assert "Traceback" not in told.output


def test_version() -> None:
    assert ccproxy("version").output.strip().count(".") == 2
    assert ccproxy("--version").output == ccproxy("version").output


def to(sink: str, *arguments: str) -> tuple[int, str]:
    """A command's exit code and what it says is wrong, where what it tells goes elsewhere."""
    command = shlex.join([sys.executable, "-m", "engine.cli", *arguments])
    ended = subprocess.run(
        ["bash", "-c", f"{command} {sink}; exit ${{PIPESTATUS[0]}}"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stderr


def test_where_nobody_reads_on_a_command_ends_in_silence() -> None:
    assert to("| true", "show", "openai-chat") == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk here that is always full")
def test_a_disk_that_is_full() -> None:
    assert to("> /dev/full", "show", "openai-chat") == (1, "Error: [Errno 28] No space left on device\n")


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


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.mkdir, "Is a directory"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
    ],
    ids=["folder", "loop", "nowhere"],
)
def test_a_configuration_that_is_no_file(make: Callable[[Path], None], words: str, own: Path) -> None:
    """It is there, so the defaults are not what is meant."""
    make(own / "config.yaml")
    for command in ("start", "check", "models", "env", "code"):
        told = ccproxy(command)
        assert (told.exit_code, words in told.output) == (1, True)


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


# providers, models

ROUTED = """
providers:
  groq: { api_key: gsk-secret }
  office: { mapping: groq, base_url: http://127.0.0.1:8000/v1, api_key: none, models: [vendor/large, small] }
routes: { default: groq/openai/gpt-oss-120b, background: office/small }
"""


def test_providers(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAI_API_KEY", "xai-secret")
    (own / "config.yaml").write_text(ROUTED)
    rows = {line.split("  ")[0]: line for line in ccproxy("providers").output.splitlines()}
    assert rows["groq"].split("  ")[-1].strip() == "-"
    assert " found " in rows["groq"]
    assert " not needed " in rows["office"]
    assert "vendor/large" in rows["office"]
    assert "tools, images" in rows["xai"]
    assert "cerebras ($CEREBRAS_API_KEY)" in ccproxy("providers").output


def test_providers_for_a_script(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAI_API_KEY", "xai-secret")
    (own / "config.yaml").write_text(ROUTED)
    told = ccproxy("providers", "--json")
    assert "secret" not in told.output
    found = {entry["name"]: entry for entry in json.loads(told.output)}
    keys = [found[name]["key"] for name in ("groq", "office", "xai", "cerebras")]
    assert keys == ["found", "not needed", "found", "missing"]
    assert found["cerebras"]["lacking"] == ["CEREBRAS_API_KEY"]
    assert found["office"]["models"] == ["vendor/large", "small"]
    assert found["xai"]["capabilities"]["images"] is True
    assert all(entry["health"] is None for entry in found.values())


def test_no_provider_at_all() -> None:
    told = ccproxy("providers")
    assert told.exit_code == 0
    assert told.output.endswith("No provider is configured, and no key is in the environment.\n")
    assert ccproxy("models").output.startswith("No model is known")
    assert json.loads(ccproxy("models", "--json").output) == []


def test_models(own: Path) -> None:
    (own / "config.yaml").write_text(ROUTED)
    rows = [line.split() for line in ccproxy("models").output.splitlines()]
    assert ["groq/openai/gpt-oss-120b", "131,072", "65,536", "0.15", "0.6", "default"] in rows
    assert ["office/small", "-", "-", "-", "-", "background"] in rows
    found = {entry["id"]: entry for entry in json.loads(ccproxy("models", "--json").output)}
    assert found["groq/openai/gpt-oss-120b"]["context"] == 131_072
    assert found["groq/openai/gpt-oss-120b"]["routes"] == ["default"]
    assert found["office/vendor/large"] | {"routes": []} == {
        "id": "office/vendor/large",
        "provider": "office",
        "model": "vendor/large",
        "routes": [],
    }


# env: what Claude Code is told


def told_by_env() -> dict[str, str]:
    lines = [line.removeprefix("export ") for line in ccproxy("env").output.splitlines() if line.startswith("export ")]
    return {name: shlex.split(value)[0] for name, _, value in (line.partition("=") for line in lines)}


GROQ = "providers: { groq: { api_key: k } }\n"
TWO = """
providers:
  groq: { api_key: k }
  office: { mapping: groq, base_url: http://127.0.0.1:8000/v1, api_key: none, models: [vendor/large, small] }
"""


@pytest.mark.parametrize(
    ("configuration", "model", "haiku", "window"),
    [
        # The first provider's main model; its name alone, so that the routes decide.
        (GROQ, "gpt-oss-120b", None, "131072"),
        # A route's model, of which nothing is known.
        (f"{TWO}routes: {{ default: office/vendor/large }}\n", "large", None, None),
        # Side calls ask for a haiku model where one has a way of its own.
        (f"{TWO}routes: {{ background: office/small }}\n", "gpt-oss-120b", "claude-haiku-5-5", "131072"),
        (f"{TWO}routes: {{ models: {{ claude-haiku-*: office/small }} }}\n", "gpt-oss-120b", "claude-haiku-5-5", "131072"),
        # Long conversations have the window of the model that they go to.
        (f"{TWO}routes: {{ default: office/small, longContext: groq/qwen/qwen3.8-27b }}\n", "small", None, "131072"),
        # Where routes speak of Claude's models, their names are asked for.
        (f"{TWO}routes: {{ models: {{ claude-opus-*: office/small }} }}\n", None, None, "131072"),
        # A name with haiku in it would go to the background.
        ("providers: { a: { mapping: groq, base_url: http://127.0.0.1/v1, models: [x-haiku] } }\n", None, None, None),
        ("{}\n", None, None, None),
    ],
)
def test_the_models_that_claude_code_is_told_of(
    configuration: str, model: str | None, haiku: str | None, window: str | None, own: Path
) -> None:
    (own / "config.yaml").write_text(configuration)
    told = told_by_env()
    assert told.get("ANTHROPIC_MODEL") == model
    assert told.get("ANTHROPIC_DEFAULT_HAIKU_MODEL") == haiku
    assert told.get("CLAUDE_CODE_MAX_CONTEXT_TOKENS") == window


def test_what_its_user_has_set_stays_but_for_what_leads_to_the_proxy(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "config.yaml").write_text(f"host: '::'\nport: 5000\napi_key: open sesame\n{GROQ}")
    for name, value in {"ANTHROPIC_BASE_URL": "http://elsewhere", "ANTHROPIC_MODEL": "mine", "API_TIMEOUT_MS": "7"}.items():
        monkeypatch.setenv(name, value)
    told = told_by_env()
    assert (told["ANTHROPIC_BASE_URL"], told["ANTHROPIC_AUTH_TOKEN"]) == ("http://[::1]:5000", "open sesame")
    assert (told["ANTHROPIC_MODEL"], told["API_TIMEOUT_MS"]) == ("mine", "7")
    assert "NO_PROXY" not in told


def test_the_way_to_the_proxy_leads_around_other_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:8080")
    monkeypatch.setenv("no_proxy", "intranet.example")
    told = told_by_env()
    assert told["NO_PROXY"] == told["no_proxy"] == "intranet.example,127.0.0.1"


# explain

PARENT = """\
endpoint:
  url: "{{ base_url }}/ask"
  headers: { authorization: "Bearer {{ key }}" }
request:
  model: =model
  kind: [a, { b: 1 }]
  said:
    $for: message in request.messages
    who: =message.role
    words: { $use: words }
  tools: =request.tools
  limit: { $use: limit }
  listed: [ { model: =model }, { $first: [ { $if: request.nothing, no: 1 }, { words: =text(request.system) }, { no: 2 } ] } ]
response: []
stream: []
error: { message: =reply }
parts:
  words: =text(message.content)
  limit:
    $first:
      - =request.nothing
      - { $if: request.max_tokens > `10`, $value: =request.max_tokens }
      - 10
"""

CHILD = """\
extends: parent
base_url: http://127.0.0.1:9
parts:
  words:
    $let: { long: "{{ message.role }}!" }
    $value: =long
"""


def explained(home: Path, **fields: Any) -> dict[str, tuple[Any, str]]:
    (home / "parent.yaml").write_text(PARENT)
    (home / "child.yaml").write_text(CHILD)
    told = ccproxy("explain", str(home / "child.yaml"), "--json", given=json.dumps(REQUEST | fields))
    assert told.exit_code == 0, told.output
    return {one["field"]: (one["value"], f"{Path(one['file']).stem}:{one['line']}") for one in json.loads(told.output)}


def test_explain_names_the_line_of_each_field(home: Path) -> None:
    tools = [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert explained(home, tools=tools) == {
        "url": ("http://127.0.0.1:9/ask", "parent:2"),
        "headers.authorization": ("Bearer $KEY", "parent:3"),
        "body.model": ("claude-x", "parent:5"),
        "body.kind[0]": ("a", "parent:6"),
        "body.kind[1].b": (1, "parent:6"),
        "body.said[0].who": ("user", "parent:9"),
        "body.said[0].words": ("user!", "child:6"),
        "body.tools": (tools, "parent:11"),
        "body.limit": (50, "parent:22"),
        "body.listed[0].model": ("claude-x", "parent:13"),
        "body.listed[1].no": (2, "parent:13"),
    }


def test_explain_names_the_choice_that_was_taken(home: Path) -> None:
    assert explained(home, max_tokens=5)["body.limit"] == (10, "parent:23")


def test_explain_names_the_choice_that_adds_to_a_list(home: Path) -> None:
    assert explained(home, system="Be brief.")["body.listed[1].words"] == ("Be brief.", "parent:13")


def at(value: Any, path: str) -> Any:
    for step in re.findall(r"[^.\[\]]+", path):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "mappings").glob("*.yaml")))
def test_explain_agrees_with_try(name: str) -> None:
    tools = [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}]
    given = json.dumps(REQUEST | {"system": "Be brief.", "tools": tools})
    sent = json.loads(ccproxy("try", name, "--stream", given=given).output)
    fields = json.loads(ccproxy("explain", name, "--stream", "--json", given=given).output)
    assert [field for field in fields if at(sent, field["field"]) != field["value"]] == []
    spoken_of = {re.split(r"[.\[]", field["field"])[1] for field in fields if field["field"].startswith("body.")}
    assert spoken_of == sent["body"].keys()
    assert [field for field in fields if field["file"] and not (ROOT / field["file"]).is_file()] == []


def test_explain_in_a_table(home: Path) -> None:
    explained(home)
    rows = [line.split() for line in ccproxy("explain", str(home / "child.yaml"), given=json.dumps(REQUEST)).output.splitlines()]
    assert rows[0] == ["FIELD", "VALUE", "MADE", "BY"]
    assert rows[3][:2] == ["body.model", '"claude-x"']
    assert rows[3][2].endswith("parent.yaml:5")


def test_explain_a_request_that_passes_as_it_is() -> None:
    told = ccproxy("explain", "anthropic", given=json.dumps(REQUEST))
    assert ["body.messages", '[{"role":"user","content":"hi"}]', "as", "it", "came"] in [
        line.split() for line in told.output.splitlines()
    ]


# new


def test_new_writes_a_mapping_that_works(own: Path) -> None:
    told = ccproxy("new", "example", "--base-url", "https://api.example.com/v1/")
    path = own / "mappings" / "example.yaml"
    assert told.exit_code == 0
    for words in (str(path), "https://api.example.com/v1/chat/completions", f"ccproxy check {path}", "export EXAMPLE_API_KEY=…"):
        assert words in told.output
    assert ccproxy("check", str(path)).exit_code == 0
    sent = json.loads(ccproxy("try", "example", given=json.dumps(REQUEST)).output)
    assert (sent["url"], sent["body"]["model"]) == ("https://api.example.com/v1/chat/completions", "claude-x")


def test_new_from_another_mapping_for_a_server_on_this_machine(own: Path) -> None:
    told = ccproxy("new", "near", "--base-url", "http://localhost:8000", "--from", "gemini")
    assert told.exit_code == 0
    assert "providers: { near: {} }" in told.output
    assert "extends: gemini\n" in (own / "mappings" / "near.yaml").read_text()
    assert ccproxy("check").exit_code == 0


def test_new_overwrites_nothing(own: Path) -> None:
    (own / "mappings" / "example.yaml").write_text("# mine\n")
    told = ccproxy("new", "example", "--base-url", "https://api.example.com/v1")
    assert told.exit_code == 1
    assert "example.yaml is there already" in told.output
    assert (own / "mappings" / "example.yaml").read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a/b", "--base-url", "https://x.example"], 2, "a name begins with a letter"),
        (["../up", "--base-url", "https://x.example"], 2, "a name begins with a letter"),
        (["a", "--base-url", "api.example.com"], 2, "an address is meant"),
        (
            ["a", "--base-url", "https://x.example", "--from", "gemni"],
            1,
            "there is no mapping named 'gemni'; did you mean 'gemini'?",
        ),
        (
            ["a", "--base-url", "https://x.example/v1/chat/completions/"],
            2,
            "without /chat/completions, which openai-compatible appends",
        ),
        (["a"], 2, "Missing option '--base-url'"),
    ],
)
def test_new_with_words_that_make_no_mapping(arguments: list[str], code: int, words: str, home: Path) -> None:
    told = ccproxy("new", *arguments)
    assert (told.exit_code, words in told.output) == (code, True)
    assert not (home / ".ccproxy").exists()


# bench


def test_bench_holds_mappings_to_their_budget(own: Path) -> None:
    nested = "{ $for: x in request.messages, b: { $for: y in request.messages, c: { $for: z in request.messages, d: =z } } }"
    slow = f"request: {{ a: {nested} }}\n"
    (own / "mappings" / "slow.yaml").write_text(f"extends: openai-chat\n{slow}")
    told = ccproxy("bench", "slow", "openai-chat")
    assert told.exit_code == 1
    assert [line.split()[0] for line in told.output.splitlines()[:3]] == ["MAPPING", "slow", "openai-chat"]
    assert "slow: request takes " in told.output
    assert "openai-chat: " not in told.output


def test_bench_takes_an_example_that_is_given_nothing(own: Path) -> None:
    example = "{ section: count, expect: {} }"
    (own / "mappings" / "mine.yaml").write_text(
        f"extends: openai-chat\ncount: {{ input_tokens: =reply.n }}\nexamples: [ {example} ]\n"
    )
    assert ccproxy("check", str(own / "mappings" / "mine.yaml")).exit_code == 0
    assert ccproxy("bench", "mine").exit_code == 0


def test_bench_for_a_script() -> None:
    told = ccproxy("bench", "--json", "gemini")
    found = {one["section"]: one for one in json.loads(told.output)}
    assert told.exit_code == 0
    assert set(found) >= {"endpoint", "request", "response", "stream", "error"}
    assert all(0 < one["ratio"] <= one["budget"] and one["microseconds"] > 0 for one in found.values())
