"""The `ccproxy` command."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from engine import Mapping, MappingError, load_mapping
from engine.gateway import config, logs
from engine.gateway.config import LOCAL_URL, Config

if TYPE_CHECKING:
    from server import Application

Result = TypeVar("Result")

SHOWN_KEY = "$KEY"
"""Stands for the key in what `try` prints."""

GRACE = 10.0
"""Seconds that running answers have left when the server is told to stop. Told again, it stops at once."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Claude Code, and anything that speaks the Anthropic Messages API, with any AI provider."""


# Serving


@main.command()
@click.option("--config", "file", metavar="FILE", help="Configuration file; else $CCPROXY_CONFIG, else ~/.ccproxy/config.yaml.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Server processes.")
@click.option("--local", is_flag=True, help="Serve the small local model; so does a machine without any key.")
@click.option("--log-level", type=click.Choice(config.LOG_LEVELS), help="How much is logged.")
def start(file: str | None, host: str | None, port: int | None, workers: int, local: bool, log_level: str | None) -> None:
    """Serve, in the foreground."""
    path = config.find(file)
    if host and not (host := config.address(host)):
        raise click.BadParameter("an address is meant: 127.0.0.1, 0.0.0.0, ::1", param_hint="--host")
    flags: dict[str, Any] = {"host": host, "port": port, "log_level": log_level}
    settings = replace(_or_fail(lambda: config.load(path)), **{key: value for key, value in flags.items() if value is not None})
    logs.set_up(settings.log_level)
    code = asyncio.run(_serve(settings, path, workers, local))
    # Granian's threads may still hold futures of this interpreter, and panic where it is taken down under them.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


async def _serve(settings: Config, path: Path | None, workers: int, local: bool) -> int:
    """Serve until told to stop; the command's exit code."""
    _check_port(settings)
    async with AsyncExitStack() as stack:
        if url := await _local_model(settings, local, stack):
            settings = config.with_local(settings, url)
        application = _application(settings)
        if workers == 1:
            return await _serve_here(settings, application)
        return await _serve_in_processes(settings, path, url, workers)


def _check_port(settings: Config) -> None:
    """Granian shares a port with whoever listens on it, and then each request goes to one of the two."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        # A port that was used a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            _fail(f"ccproxy: cannot listen on {settings.host}:{settings.port}: {error.strerror or error}")


async def _local_model(settings: Config, wanted: bool, stack: AsyncExitStack) -> str | None:
    """The address of the local model, started where it is asked for or where no other provider can be called."""
    from engine.gateway.providers import configured

    if not wanted and configured(settings):
        return None
    from engine.gateway import local

    click.echo("starting the local model …", err=True)
    try:
        running = await local.start()
    except local.LocalUnavailable as error:
        _fail(str(error))
    stack.push_async_callback(running.stop)
    return running.base_url


def _application(settings: Config) -> "Application":
    from engine.gateway.access import UnsafeAddress
    from engine.gateway.providers import ProviderError
    from server import Application

    try:
        return _or_fail(lambda: Application(settings))
    except (UnsafeAddress, ProviderError) as error:
        _fail(f"ccproxy: {error}")


async def _serve_here(settings: Config, application: "Application") -> int:
    """One worker: Granian in this process, which listens a fifth of a second after the command."""
    from granian.constants import Interfaces
    from granian.server.embed import Server

    server = Server(application, settings.host, settings.port, interface=Interfaces.ASGI, log_enabled=False, websockets=False)
    server.on_startup(lambda: _greet(settings))
    serving = asyncio.ensure_future(server.serve())
    _on_stop(lambda: _stop(server, serving))
    with suppress(asyncio.CancelledError):
        await serving
    return 0


def _stop(server: Any, serving: "asyncio.Future[None]") -> None:
    """Granian waits for running answers without limit, so the limit is set here."""
    if server.interrupt_signal:
        serving.cancel()
    server.stop()
    asyncio.get_running_loop().call_later(GRACE, serving.cancel)


def _on_stop(act: Callable[[], Any]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, act)


async def _serve_in_processes(settings: Config, path: Path | None, local_url: str | None, workers: int) -> int:
    """Several workers: Granian's own command, whose processes read the same configuration for themselves."""
    environment = os.environ | {config.LOG_LEVEL: settings.log_level}
    environment |= {"CCPROXY_CONFIG": str(path)} if path else {}
    environment |= {LOCAL_URL: local_url} if local_url else {}
    command = ["--interface", "asgi", "--factory", "--no-ws", "--no-log", "--workers-kill-timeout", str(int(GRACE))]
    address = ["--host", settings.host, "--port", str(settings.port), "--workers", str(workers)]
    granian = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "granian", *command, *address, "server:create", env=environment
    )
    _on_stop(granian.terminate)
    _greet(settings)
    return await granian.wait()


def _greet(settings: Config) -> None:
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    host = everywhere.get(settings.host, settings.host)
    address = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    key = "$CCPROXY_API_KEY" if settings.api_key else "any"
    click.echo(f"ccproxy listens on {address}", err=True)
    click.echo(f"Claude Code:  ANTHROPIC_BASE_URL={address} ANTHROPIC_AUTH_TOKEN={key} claude", err=True)


# Mappings


@main.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Check mappings and run their examples: the files, or else the configuration and every mapping it can reach."""
    paths = files or tuple(_reachable())
    troubles = [trouble for path in paths for trouble in _troubles(path)]
    for trouble in troubles:
        click.echo(f"{trouble}\n", err=True)
    if troubles:
        _fail(f"{len(troubles)} problems in {len(paths)} mappings")
    click.echo(f"{len(paths)} mappings are well: {', '.join(path.stem for path in paths)}")


def _reachable() -> list[Path]:
    return [path for folder in _folders() for path in sorted(folder.glob("*.yaml"))]


def _folders() -> list[Path]:
    from engine.gateway.providers import folders

    return folders(_or_fail(lambda: config.load(config.find(None))))


def _troubles(path: Path) -> list[str]:
    from engine.mapping.examples import run_examples

    try:
        return run_examples(load_mapping(path, [path.parent]))
    except MappingError as error:
        return [problem.picture() for problem in error.problems]
    except OSError as error:
        return [f"{path}: {error.strerror}"]


@main.command()
@click.argument("mapping")
@click.argument("section", required=False)
def show(mapping: str, section: str | None) -> None:
    """Print the Python that a mapping's sections became."""
    loaded = _mapping(mapping)
    if section and section not in loaded.sections:
        _fail(f"{mapping} has no section {section!r}; it has {', '.join(loaded.sections)}")
    click.echo("\n\n\n".join(loaded.python(name) for name in ([section] if section else loaded.sections)))


@main.command("try")
@click.argument("mapping")
@click.option("--stream", is_flag=True, help="As if a stream were asked for.")
def try_mapping(mapping: str, stream: bool) -> None:
    """Print what an Anthropic request from standard input would become upstream, without sending it."""
    import orjson

    from engine.gateway.exchange import Exchange
    from engine.gateway.http import read_json
    from engine.gateway.relay import Relay
    from engine.gateway.sections import TranslationError
    from engine.wire import validate
    from engine.wire.errors import ApiError

    loaded = _mapping(mapping)
    try:
        data = sys.stdin.buffer.read()
        request = read_json(data)
        validate.check(request)
        if stream:
            request["stream"] = True
        model = loaded.models.get("main") or request["model"]
        made: Exchange | Relay
        if loaded.native:
            made = Relay(loaded.name, loaded, model, request, data, key=SHOWN_KEY)
        else:
            made = Exchange(loaded.name, loaded, model, request, request_id="req_try", key=SHOWN_KEY)
        where = made.endpoint(loaded.base_url or "")
        body = orjson.loads(made.body) if isinstance(made.body, bytes) else made.body
    except (ApiError, TranslationError) as error:
        _fail(str(error))
    told: dict[str, Any] = {**where, "body": body, "lost": made.lost}
    click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(installed_version("ccproxy"))


def _mapping(name: str) -> Mapping:
    """A mapping by its name, or by its file's path."""
    where = _folders()
    return _or_fail(lambda: load_mapping(Path(name) if name.endswith(".yaml") else name, where))


# Telling


def _or_fail(work: Callable[[], Result]) -> Result:
    """The work's result; what is wrong with a file is told with its picture, and ends the command."""
    try:
        return work()
    except MappingError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"ccproxy: {error}")


def _fail(words: str) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(1)
