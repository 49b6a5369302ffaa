"""Which way a request goes: the rules in their order, on what Claude Code really sends (client.md 1 and 2)."""

from typing import Any

import pytest

from engine.gateway.config_file import read_config
from engine.gateway.providers import Provider, ProviderError, open_providers
from engine.gateway.router import Asked, Route, Router
from engine.mapping.errors import Problems, Source
from engine.wire.errors import ApiError

PROVIDERS = """
providers:
  a: { mapping: openai-chat, base_url: "http://a.example/v1", api_key: none, models: [main, vendor/small.1] }
  b: { mapping: anthropic, base_url: "http://b.example/v1", api_key: none }
  local: { base_url: "http://127.0.0.1:9/v1" }
"""
EVERY_ROUTE = """
routes:
  default: a/default
  background: a/background
  think: a/think
  longContext: { to: a/long, above: 1000 }
  webSearch: a/search
"""


def router(text: str = "") -> Router:
    problems = Problems()
    made = read_config(Source("config.yaml", PROVIDERS + text), {}, problems)
    problems.check()
    return Router(open_providers(made, {}), made)


@pytest.fixture(scope="module")
def routed() -> Router:
    return router(EVERY_ROUTE)


def asked(model: str = "claude-opus-5-5", headers: dict[str, str] | None = None, size: int = 500, **fields: Any) -> Asked:
    request = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], **fields}
    return Asked(request, headers or {}, size)


def went(route: Route) -> tuple[str, str]:
    """Where a route goes, and why."""
    return f"{route.targets[0].provider.name}/{route.targets[0].model}", route.reason


TOOLS = [{"name": "Bash", "input_schema": {"type": "object"}}]
SEARCH = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}]
ADAPTIVE = {"thinking": {"type": "adaptive", "display": "omitted"}}
TITLE = {"tools": [], "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
SUBAGENT = {"x-claude-code-agent-id": "0123456789abcdef0"}


def system(effort: str) -> dict[str, Any]:
    return {"role": "system", "content": "…", "output_config": {"effort": effort}}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        pytest.param(asked(**ADAPTIVE, tools=TOOLS, output_config={"effort": "medium"}), "default", id="the main loop"),
        pytest.param(asked(**ADAPTIVE, tools=TOOLS, output_config={"effort": "high"}), "default", id="of an unknown model"),
        pytest.param(asked(**ADAPTIVE, tools=TOOLS, headers=SUBAGENT), "default", id="a subagent"),
        pytest.param(asked(tools=SEARCH, tool_choice={"type": "auto"}), "webSearch", id="a web search"),
        pytest.param(asked(tools=[*TOOLS, *SEARCH]), "webSearch", id="a web search among other tools"),
        pytest.param(asked(tools=[{"name": "web_search", "input_schema": {}}]), "default", id="a client's own search"),
        pytest.param(asked(**TITLE), "background", id="a session's title"),
        pytest.param(asked(**TITLE, thinking={"type": "disabled"}), "default", id="a question with thinking switched off"),
        pytest.param(asked(**TITLE, headers=SUBAGENT), "default", id="a subagent without tools"),
        pytest.param(asked(**{**TITLE, "tools": TOOLS}), "default", id="an answer in JSON with tools"),
        pytest.param(asked(output_config=TITLE["output_config"]), "default", id="an answer in JSON from an SDK"),
        pytest.param(asked("claude-haiku-5-5"), "background", id="a haiku"),
        pytest.param(asked("claude-3-5-Haiku-latest", tools=TOOLS), "background", id="an old haiku"),
        pytest.param(asked("claude-haiku-5-5", headers=SUBAGENT), "background", id="a haiku as a subagent"),
        pytest.param(asked(headers={"x-claude-code-request-class": "auxiliary"}), "background", id="told as auxiliary"),
        pytest.param(asked(headers={"x-claude-code-request-class": "main"}), "default", id="told as main"),
        pytest.param(asked(thinking={"type": "enabled", "budget_tokens": 31999}), "think", id="thinking of old"),
        pytest.param(asked(**ADAPTIVE, output_config={"effort": "xhigh"}), "think", id="xhigh"),
        pytest.param(asked(**ADAPTIVE, output_config={"effort": "max"}), "think", id="max"),
        pytest.param(asked(thinking={"type": "disabled"}, output_config={"effort": "max"}), "default", id="no thinking at all"),
        pytest.param(asked(output_config={"effort": "max"}), "default", id="an effort without thinking"),
        pytest.param(
            asked(**ADAPTIVE, messages=[{"role": "user", "content": "hi"}, system("max")], output_config={"effort": "low"}),
            "think",
            id="an effort changed on the way",
        ),
        pytest.param(
            asked(**ADAPTIVE, messages=[{"role": "user", "content": "hi"}, system("low")], output_config={"effort": "max"}),
            "default",
            id="an effort lowered on the way",
        ),
        pytest.param(
            asked("claude-sonnet-5", max_tokens=64, stop_sequences=["</block>"], thinking={"type": "disabled"}),
            "default",
            id="the classifier of the auto mode",
        ),
    ],
)
def test_what_claude_code_sends(request_: Asked, reason: str, routed: Router) -> None:
    assert routed.route(request_).reason == reason


def test_the_order_of_the_rules() -> None:
    """A request to which all of them apply loses one reason after the other."""
    exact, glob = "claude-haiku-5-5: a/exact", "claude-*: a/glob"
    rules = [exact, glob, "webSearch: a/search", "longContext: { to: a/long, above: 1000 }", "background: a/background",
             "think: a/think", "default: a/default"]  # fmt: skip
    everything = asked(
        "claude-haiku-5-5", size=90_000, tools=SEARCH, system="word " * 3_000, thinking={"type": "enabled", "budget_tokens": 5000}
    )
    reasons = []
    while rules:
        models = [f"    {rule}" for rule in rules if rule in (exact, glob)]
        others = [f"  {rule}" for rule in rules if rule not in (exact, glob)]
        text = "\n".join(["routes:", *others, *(["  models:", *models] if models else [])])
        reasons.append(went(router(text).route(everything)))
        rules.pop(0)
    assert reasons == [
        ("a/exact", "models.claude-haiku-5-5"),
        ("a/glob", "models.claude-*"),
        ("a/search", "webSearch"),
        ("a/long", "longContext"),
        ("a/background", "background"),
        ("a/think", "think"),
        ("a/default", "default"),
    ]
    assert went(router().route(everything)) == ("a/main", "first provider")


@pytest.mark.parametrize(
    ("model", "goes_to"),
    [
        ("a/main", "a/main"),
        ("a,main", "a/main"),
        ("a/vendor/small.1", "a/vendor/small.1"),
        ("a,vendor/small.1", "a/vendor/small.1"),
        ("a/Vendor/Some.Model-V2:free", "a/Vendor/Some.Model-V2:free"),
        ("b/claude-haiku-5-5", "b/claude-haiku-5-5"),
        ("a/main[1m]", "a/main"),
        ("for-claude-code/a/main[1M]", "a/main"),
    ],
)
def test_the_client_names_a_provider(model: str, goes_to: str, routed: Router) -> None:
    everything = asked(model, size=90_000, tools=SEARCH, system="word " * 3_000)
    assert went(routed.route(everything)) == (goes_to, "model")


@pytest.mark.parametrize("model", ["vendor/small.1", "c/main", "A/main", "main", "a/", "/main", "", "a"])
def test_what_names_no_provider_goes_by_the_rules(model: str, routed: Router) -> None:
    assert went(routed.route(asked(model))) == ("a/default", "default")


def test_models_by_name() -> None:
    made = router(
        """
routes:
  models:
    claude-*-5-5: a/second
    claude-opus-5-5: a/exact
    claude-?: a/one
    vendor/*: b/vendors
    "*sonnet*": a/sonnet
"""
    )
    assert went(made.route(asked("claude-opus-5-5[1m]"))) == ("a/exact", "models.claude-opus-5-5")
    assert went(made.route(asked("claude-sonnet-5-5"))) == ("a/second", "models.claude-*-5-5")
    assert went(made.route(asked("claude-5"))) == ("a/one", "models.claude-?")
    assert went(made.route(asked("vendor/some.thing/else"))) == ("b/vendors", "models.vendor/*")
    assert went(made.route(asked("claude-sonnet-5"))) == ("a/sonnet", "models.*sonnet*")
    assert went(made.route(asked("Claude-Opus-5-5"))) == ("a/main", "first provider")


def test_a_long_context_is_counted_whole(routed: Router) -> None:
    """System prompt, messages and tools together; a body that is too short for it is not counted at all."""
    words = "a word or two " * 75  # some 300 tokens
    tool = {"name": "Bash", "description": words, "input_schema": {"type": "object"}}
    message = {"role": "user", "content": [{"type": "text", "text": words}]}
    long = {"system": words, "messages": [message, message], "tools": [tool]}
    assert routed.route(asked(**long, size=5_000)).reason == "longContext"
    for part in long:
        assert routed.route(asked(**{**long, part: [message] if part == "messages" else []}, size=5_000)).reason == "default"
    assert routed.route(asked(**long, size=1_000)).reason == "default"


def test_the_usual_limit_of_a_long_context() -> None:
    made = router("routes: { longContext: a/long }\n")
    assert made.route(asked(system="word " * 50_000, size=250_000)).reason == "first provider"
    assert made.route(asked(system="word " * 70_000, size=350_000)).reason == "longContext"


def test_a_route_with_all_its_words() -> None:
    text = "routes: { default: { to: a/main, parameters: { seed: 7 }, fallbacks: [b/claude-opus-5-5, a/vendor/small.1] } }\n"
    route = router(text).route(asked())
    told = [(target.provider.name, target.model, dict(target.parameters)) for target in route.targets]
    assert told == [("a", "main", {"seed": 7}), ("b", "claude-opus-5-5", {}), ("a", "vendor/small.1", {})]


def test_a_model_that_its_provider_has_not(routed: Router) -> None:
    with pytest.raises(
        ApiError, match=r"model: local/smollm3\. There is no such model; local serves local/smollm2-135m"
    ) as caught:
        routed.route(asked("local/smollm3"))
    assert caught.value.status == 404


def test_nowhere_to_go() -> None:
    made = router()
    providers: dict[str, Provider] = {"b": made.providers["b"]}
    with pytest.raises(ApiError, match="Name one as provider/model; providers: b"):
        Router(providers, made.config).route(asked())
    with pytest.raises(ApiError, match="no provider is configured"):
        Router({}, made.config).route(asked())


def test_a_route_to_the_local_model_that_is_not_served() -> None:
    problems = Problems()
    made = read_config(Source("config.yaml", "routes: { default: local/smollm2-135m }\n"), {}, problems)
    problems.check()
    with pytest.raises(ProviderError, match=r"routes\.default goes to local/smollm2-135m, and 'local' is not served"):
        Router(open_providers(made, {}), made)
