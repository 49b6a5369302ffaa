"""`code` and `env`: Claude Code, pointed at the proxy."""

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import click

from engine.commands import serving
from engine.commands.serving import GRACE, START_SECONDS, NotStarted
from engine.commands.telling import fail, or_fail
from engine.gateway import config, instances
from engine.gateway.compiled import Compiled
from engine.gateway.instances import Instance
from engine.gateway.names import Named
from engine.gateway.providers import Provider, ProviderError, configured, folders, open_provider
from engine.gateway.settings import Config, ProviderConfig

NO_CLAUDE = """ccproxy: there is no `claude` on the PATH. Claude Code is installed with
  npm install -g @anthropic-ai/claude-code
or as https://code.claude.com/docs/en/setup says."""

PATIENCE = 3_600_000
"""Milliseconds. The proxy itself gives up a provider that falls silent, and knows which of them think for long."""

SMALL = "claude-haiku-5-5"
"""What side calls ask for: a haiku model, which is what `routes.background` is for. Without a name of their own they ask for
the main model."""

ELSEWHERE = (
    "ANTHROPIC_API_KEY",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_GATEWAY",
    "CLAUDE_CODE_USE_MANTLE",
    "CLAUDE_CODE_USE_VERTEX",
)
"""What would lead the client past the proxy, or make it send a key of Anthropic's there."""

OF_TERMINALS = (signal.SIGINT, signal.SIGQUIT)
"""Signals that a terminal sends to all who are in its foreground."""


class _PassedOn(click.Command):
    """All that follows is Claude Code's, be it an option; only a first --help is ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_ours = args[:1] in (["-h"], ["--help"], ["--"])
        return super().parse_args(ctx, args if is_ours else ["--", *args])


@click.command(cls=_PassedOn, options_metavar="")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def code(args: tuple[str, ...]) -> None:
    """Run Claude Code against the proxy.

    The proxy is started if it does not run. Several sessions share one; the last of them stops it, unless it was started by
    `ccproxy start`. All ARGS are those of `claude`: ccproxy code --continue, ccproxy code -- --help.
    """
    settings = or_fail(lambda: config.load(config.find(None)))
    claude = shutil.which("claude")
    if claude is None:
        fail(NO_CLAUDE)
    with instances.using(settings.port, grace=GRACE) as started:
        told = variables(settings, _address(settings, started))
        kept = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        status = or_fail(lambda: _run([claude, *args], kept | told))
    sys.exit(status)


@click.command()
def env() -> None:
    """Print the shell lines that lead to the proxy.

    For Claude Code, and for what is made with Anthropic's SDKs: eval "$(ccproxy env)"
    """
    settings = or_fail(lambda: config.load(config.find(None)))
    for name, value in variables(settings, serving.own_address(settings)).items():
        click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f"unset {' '.join(ELSEWHERE)}")


# What Claude Code is told


def variables(settings: Config, address: str) -> dict[str, str]:
    """The environment that makes Claude Code work well behind the proxy; docs/commands.md says why each variable is in it.

    Those that lead to the proxy are as they must be; of the others its user's own stay.
    """
    leading = {"ANTHROPIC_BASE_URL": address, "ANTHROPIC_AUTH_TOKEN": settings.own_key or "any", **_around_proxies(address)}
    advice = {
        "API_TIMEOUT_MS": str(PATIENCE),
        "CLAUDE_CODE_AUTO_MODE_SERVER": "0",
        "CLAUDE_CODE_GATEWAY_HINT_HEADERS": "1",
        "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
        **_models(settings),
    }
    return leading | {name: os.environ.get(name) or value for name, value in advice.items()}


def _around_proxies(address: str) -> dict[str, str]:
    """An HTTP proxy of the environment is for the world outside."""
    if not getproxies_environment().keys() & {"http", "all"}:
        return {}
    spared = [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), urlsplit(address).hostname]
    return dict.fromkeys(["NO_PROXY", "no_proxy"], ",".join(filter(None, spared)))


def _models(settings: Config) -> dict[str, str]:
    """The names by which Claude Code asks for models, and the window of what it gets."""
    told = {}
    default = _default(settings)
    if default and not _claude_names_count(settings, default):
        # Without its provider: who names one gets that very model, whatever the other routes say.
        told["ANTHROPIC_MODEL"] = default.model.rpartition("/")[2]
    if "background" in settings.routes or any("haiku" in name for name in settings.models):
        told["ANTHROPIC_DEFAULT_HAIKU_MODEL"] = SMALL
    long = settings.routes["longContext"].to if "longContext" in settings.routes else None
    windows = (_window(settings, model) for model in (long, default) if model)
    if window := next(filter(None, windows), None):
        told["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = str(window)
    return told


def _claude_names_count(settings: Config, default: Named) -> bool:
    """Whether a name of the default model's own would miss a route: one by Claude's names, or be taken for a small model's."""
    return "haiku" in default.model or any("claude" in name and "haiku" not in name for name in settings.models)


def _default(settings: Config) -> Named | None:
    """What answers where no other route does."""
    if "default" in settings.routes:
        return settings.routes["default"].to
    providers = (_provider(settings, name, wanted) for name, wanted in configured(settings).items())
    return next((Named(provider.name, provider.main) for provider in providers if provider.main), None)


def _window(settings: Config, model: Named) -> int | None:
    wanted = configured(settings).get(model.provider)
    facts = _provider(settings, model.provider, wanted).facts_of(model.model) if wanted else {}
    return facts.get("context")


def _provider(settings: Config, name: str, wanted: ProviderConfig) -> Provider:
    try:
        return or_fail(lambda: open_provider(name, wanted, settings, os.environ, Compiled(tuple(folders(settings))).load))
    except ProviderError as error:
        fail(f"ccproxy: {error}")


# The proxy, and the client beside it


def _address(settings: Config, started: Callable[[Instance], None]) -> str:
    """Where the proxy answers, which is started if it does not run."""
    end = time.monotonic() + START_SECONDS
    found = None
    while not found:
        if time.monotonic() > end:
            fail(f"ccproxy runs on port {settings.port} and does not answer; its log is {instances.log_file(settings.port)}")
        if instance := instances.running(settings.port):
            found = serving.find(instance, settings)
            time.sleep(0 if found else 0.05)
        else:
            _start(settings, started)
    return found[0]


def _start(settings: Config, started: Callable[[Instance], None]) -> None:
    try:
        started(or_fail(lambda: serving.launch(settings, {})))
    except NotStarted as error:
        # Another session may have been quicker.
        if not instances.running(settings.port):
            fail(str(error))


def _run(command: list[str], environment: Mapping[str, str]) -> int:
    """Run a program as if it had been typed: with the signals that are sent, and with its exit code as a shell tells it."""
    child = os.posix_spawn(command[0], command, environment, setsigdef=[signal.SIGPIPE])

    def pass_on(number: int, _: object) -> None:
        if number not in OF_TERMINALS or not _in_foreground():
            with suppress(ProcessLookupError):
                os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGHUP, *OF_TERMINALS):
        signal.signal(number, pass_on)
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            break
        # It may suspend itself alone, and the shell waits for this process.
        os.kill(os.getpid(), signal.SIGSTOP)
        os.kill(child, signal.SIGCONT)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    """Whether what is typed at the terminal, Ctrl-C for one, reaches the child by itself."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
