"""The configuration: what it means, and each mistake in it told with its place, what is wrong, and a hint."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine import MappingError
from engine.gateway import config
from engine.gateway.names import Named, covers
from engine.gateway.providers import open_providers
from engine.gateway.settings import Config, Timeouts

ROOT = Path(__file__).parent.parent
MISTAKES = Path(__file__).parent / "errors" / "configuration"
UPDATE = os.environ.get("UPDATE_CASES")
"""Set to rewrite the expected texts; read the difference before it is committed."""

ENVIRONMENT = {"ANTHROPIC_API_KEY": "sk-ant", "EMPTY": ""}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mapping of this machine is seen."""
    monkeypatch.setenv("HOME", str(tmp_path))


def opened(path: Path, environment: Mapping[str, str]) -> None:
    """What a start does with a configuration."""
    open_providers(config.load(path, environment), environment)


@pytest.mark.parametrize("mistake", sorted(MISTAKES.glob("*.yaml")), ids=lambda path: path.stem)
def test_mistake_is_told(mistake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MISTAKES)
    with pytest.raises(MappingError) as caught:
        opened(Path(mistake.name), ENVIRONMENT)
    told = f"{caught.value}\n"
    expected = mistake.with_suffix(".txt")
    if UPDATE:
        expected.write_text(told)
    assert told == expected.read_text()


def test_the_page_of_mistakes_shows_what_is_told() -> None:
    page = (ROOT / "docs" / "configuration-mistakes.md").read_text()
    told = {path.read_text() for path in MISTAKES.glob("*.txt")}
    pictures = re.findall(r"```\n(.*?)```", page, re.DOTALL)
    assert pictures
    assert [picture for picture in pictures if picture not in told] == []
    words = [words for line in re.findall(r"(?m)^\| (`.*?`(?:, `.*?`)*) \|", page) for words in re.findall("`(.*?)`", line)]
    unsaid = [said for said in words if not any(all(part in one for part in said.split("…")) for one in told)]
    assert unsaid == []


def load(tmp_path: Path, text: str, **environment: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return config.load(path, {**ENVIRONMENT, **environment})


def test_a_machine_without_a_file() -> None:
    assert config.load(None) == Config()


def test_a_file_without_a_word(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing yet\n") == Config()


def test_every_word(tmp_path: Path) -> None:
    """Written as people write it: variables bare inside braces, null for what is left as it is."""
    (tmp_path / "own").mkdir()
    made = load(
        tmp_path,
        f"""
host: localhost
port: ${{PORT}}
api_key: ${{SECRET}}
providers:
  anthropic: {{ models: [claude-opus-5-5], timeout: {{ silence: 10m }} }}
  office: {{ mapping: openai-chat, base_url: "http://${{HOST}}:8000/v1", api_key: none }}
  many: {{ mapping: openai-chat, api_keys: [${{KEY_1}}, ${{KEY_2}}] }}
routes:
  default: anthropic/claude-opus-5-5
  background: office,qwen/qwen3-coder
  longContext: {{ to: "anthropic/claude-opus-5-5[1m]", above: 100000 }}
  models:
    claude-opus-*:
      to: many/vendor/large.2
      parameters: {{ reasoning: {{ effort: high }}, user: "${{TEAM}}", temperature: null }}
      fallbacks: [office/qwen3, anthropic/claude-opus-5-5]
mappings: {tmp_path}/own
limits: {{ request_bytes: 1000 }}
timeouts: {{ connect: 500ms, silence: null }}
logs: {{ level: warning }}
""",
        PORT="8080", SECRET="open-sesame", HOST="10.0.0.1", KEY_1="one", KEY_2="two", TEAM="blue",
    )  # fmt: skip
    assert (made.host, made.port, made.api_key, made.request_bytes) == ("127.0.0.1", 8080, "open-sesame", 1000)
    assert (made.timeouts, made.log_level, made.mappings) == (Timeouts(0.5, 300), "warning", tmp_path / "own")
    anthropic, office, many = made.providers.values()
    assert (anthropic.mapping, anthropic.keys, anthropic.timeout) == ("anthropic", None, {"silence": 600})
    assert (office.mapping, office.base_url, office.keys) == ("openai-chat", "http://10.0.0.1:8000/v1", ())
    assert many.keys == ("one", "two")
    assert made.routes["default"].to == Named("anthropic", "claude-opus-5-5")
    assert made.routes["background"].to == Named("office", "qwen/qwen3-coder")
    assert made.routes["longContext"].to == Named("anthropic", "claude-opus-5-5")
    assert (made.routes["longContext"].above, made.routes["default"].above) == (100_000, 60_000)
    opus = made.models["claude-opus-*"]
    assert opus.to == Named("many", "vendor/large.2")
    assert opus.parameters == {"reasoning": {"effort": "high"}, "user": "blue", "temperature": None}
    assert opus.fallbacks == (Named("office", "qwen3"), Named("anthropic", "claude-opus-5-5"))


def test_no_key_is_shown(tmp_path: Path) -> None:
    made = load(tmp_path, "api_key: hush-1\nproviders: { anthropic: { api_key: hush-2 } }\n")
    assert "hush" not in repr(made)
    assert "hush" not in repr(open_providers(made, {}))


@pytest.mark.parametrize(
    "text",
    [
        "api_keys: { alice: { key: hush-hush, request_per_minute: 60 } }",
        "api_keys: [hush-hush]",
        "api_keyy: hush-hush",
        "api_keys:\n  alice: { key: hush-hush, request_per_minute: 60 }",
        "providers: { openai: { api_keys: [hush-hush, ${NONE}], modelz: [a] } }",
        "providers: { openai: { api_key: 'hush-hush', modelz: [a] } }",
        "providers: { openai: { base_url: 'http://me:hush-hush@here/v1' } }",
        "providers: { openai: { api_key: hush-hush, base_url: [ } }",
        "api_key: |\n  hush-hush\n  hush-hush",
    ],
)
def test_no_key_is_shown_in_a_mistake(text: str, tmp_path: Path) -> None:
    with pytest.raises(MappingError) as error:
        load(tmp_path, text)
    assert "hush" not in str(error.value)


def test_the_usual_folder_of_mappings_need_not_be_there(tmp_path: Path) -> None:
    assert load(tmp_path, "mappings: ~/.ccproxy/mappings\n") == Config()


def test_folders_are_looked_for_beside_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current directory may be anybody's: a checkout must not choose where keys go."""
    for folder in ("maps", "elsewhere/maps"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = load(tmp_path, "mappings: maps\nrecord: faults\n")
    assert (made.mappings, made.record) == (tmp_path / "maps", tmp_path / "faults")


def test_windows_writes_a_mark_before_the_text(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xef\xbb\xbfport: 8080\r\n")
    assert config.load(tmp_path / "config.yaml", {}).port == 8080


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("port: 1\n")
    assert config.find(None, {}) is None
    (tmp_path / ".ccproxy").mkdir()
    (tmp_path / ".ccproxy" / "config.yaml").write_text("port: 2\n")
    assert config.find(None, {}) == tmp_path / ".ccproxy" / "config.yaml"
    assert config.find(None, {"CCPROXY_CONFIG": "~/other.yaml"}) == tmp_path / "other.yaml"
    assert config.find("given.yaml", {"CCPROXY_CONFIG": "~/other.yaml"}) == Path("given.yaml")


def test_a_workers_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("logs: { level: info }\n")
    environment = {"CCPROXY_CONFIG": str(tmp_path / "config.yaml"), "CCPROXY_LOG_LEVEL": "error"}
    assert config.resolve(environment).log_level == "error"
    made = config.resolve(environment | {"CCPROXY_LOCAL_URL": "http://127.0.0.1:9/v1"})
    assert made.providers["local"].base_url == "http://127.0.0.1:9/v1"


def configurations_in_the_docs() -> list[tuple[str, str]]:
    """Those blocks of YAML that speak of what only a configuration has."""
    pages = [(page.name, page.read_text()) for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]]
    blocks = [(name, block) for name, text in pages for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    return [(name, block) for name, block in blocks if re.search(r"(?m)^(host|port|api_keys?|providers|routes|breaker):", block)]


def test_the_pages_that_show_configurations() -> None:
    shown = {name for name, _ in configurations_in_the_docs()}
    assert shown >= {"configuration.md", "routing.md", "coming-from-claude-code-router.md"}


@pytest.mark.parametrize(
    ("page", "block"), configurations_in_the_docs(), ids=lambda value: value if len(value.splitlines()) == 1 else ""
)
def test_configurations_in_the_docs_work(page: str, block: str, tmp_path: Path) -> None:
    keys = {name: name for name in re.findall(r"\$\{(\w+)\}", block)}
    named = {f"{name.upper()}_API_KEY": "k" for name in re.findall(r"(\w+)(?:/|: \{)", block)}
    environment = keys | named
    open_providers(load(tmp_path, block, **environment), environment)


def test_a_configuration_of_claude_code_router_is_translated_faithfully(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "coming-from-claude-code-router.md").read_text()
    there = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    [block] = [block for name, block in configurations_in_the_docs() if name == "coming-from-claude-code-router.md"]
    keys = dict.fromkeys(re.findall(r"\$\{?([A-Z_]+)", json.dumps(there)), "k")
    here = load(tmp_path, block, **keys)
    assert set(here.providers) == {provider["name"] for provider in there["Providers"]}
    above = there["Router"].pop("longContextThreshold")
    assert {name: f"{route.to.provider},{route.to.model}" for name, route in here.routes.items()} == there["Router"]
    assert here.routes["longContext"].above == above
    assert here.timeouts.silence * 1000 == there["API_TIMEOUT_MS"]
    offered = {(provider["name"], model) for provider in there["Providers"] for model in provider["models"]}
    providers = open_providers(here, keys)
    assert [pair for pair in offered if not providers[pair[0]].serves(pair[1])] == []


@pytest.mark.parametrize(
    ("first", "second", "covered"),
    [
        ("claude-*", "claude-opus-*", True),
        ("claude-*", "claude-?", True),
        ("*opus*", "claude-opus-5-5*", True),
        ("claude-*", "claude-*", True),
        ("a?c", "a?c", True),
        ("*", "anything", True),
        ("claude-opus-*", "claude-*", False),
        ("claude-?", "claude-*", False),
        ("a?", "a*", False),
        ("*-opus", "claude-*", False),
        ("?", "", False),
    ],
)
def test_what_a_glob_covers(first: str, second: str, covered: bool) -> None:
    assert covers(first, second) is covered


# Providers


def test_a_provider_whose_key_is_in_the_environment_needs_no_entry(tmp_path: Path) -> None:
    providers = open_providers(load(tmp_path, "{}"), ENVIRONMENT)
    assert list(providers) == ["anthropic"]
    assert providers["anthropic"].keys.in_order(None) == ("sk-ant",)


def test_OpenAI_means_its_Responses_API_where_nothing_else_is_said(tmp_path: Path) -> None:
    assert list(open_providers(load(tmp_path, "{}"), {"OPENAI_API_KEY": "k"})) == ["openai", "openai-chat"]


def test_an_address_with_a_variable_needs_it_and_no_second_slash(tmp_path: Path) -> None:
    key = {"AZURE_OPENAI_API_KEY": "k"}
    assert open_providers(load(tmp_path, "{}"), key) == {}
    made = open_providers(load(tmp_path, "{}"), key | {"AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/"})
    assert {provider.base_url for provider in made.values()} == {"https://mine.openai.azure.com/openai/v1"}


def test_a_key_goes_to_its_own_address_alone(tmp_path: Path) -> None:
    made = load(tmp_path, "providers: { elsewhere: { mapping: anthropic, base_url: https://relay.example } }\n")
    assert open_providers(made, ENVIRONMENT)["elsewhere"].keys.in_order(None) == (None,)


def test_a_providers_own_time(tmp_path: Path) -> None:
    text = "timeouts: { connect: 5s }\nproviders: { anthropic: { timeout: { silence: 600s } } }\n"
    assert open_providers(load(tmp_path, text), ENVIRONMENT)["anthropic"].upstream.timeouts == Timeouts(5, 600)


@pytest.mark.parametrize("written", ["MY_KEY", "my_key", '"MY_KEY"', "'MY_KEY'", "MY_KEY  # from the console", "MY_KEY\r"])
def test_however_the_variable_of_a_key_is_written(written: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"extends: openai-chat\nbase_url: https://mine.example/v1\nkey_env: {written}\n")
    keys = {"MY_KEY": "m", "my_key": "m"}
    assert list(open_providers(load(tmp_path, f"mappings: {tmp_path}\n"), keys)) == ["mine"]


def test_a_mapping_that_says_null_for_its_key_needs_none(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: openai-chat\nkey_env: null\n")
    made = load(tmp_path, f"mappings: {tmp_path}\nproviders: {{ mine: {{}} }}\n")
    assert open_providers(made, {})["mine"].keys.in_order(None) == (None,)


def test_an_own_mapping_wins_over_the_built_in_one(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "anthropic.yaml").write_text("extends: anthropic\nbase_url: https://mine.example/v1\nkey_env: MY_KEY\n")
    made = load(tmp_path, f"mappings: {own}\n", MY_KEY="m")
    assert open_providers(made, {"MY_KEY": "m"})["anthropic"].base_url == "https://mine.example/v1"
    assert open_providers(made, ENVIRONMENT) == {}
