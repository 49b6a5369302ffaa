"""The `ccproxy` command."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from engine import BUILT_IN, Mapping, MappingError, load_mapping
from engine.gateway import config, logs
from engine.gateway.config import LOCAL_URL, Config

if TYPE_CHECKING:
    from server import Application

Result = TypeVar("Result")


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
    flags: dict[str, Any] = {"host": host, "port": port, "log_level": log_level}
    settings = replace(_told(lambda: config.load(path)), **{key: value for key, value in flags.items() if value is not None})
    logs.set_up(settings.log_level)
    asyncio.run(_serve(settings, path, workers, local))
    # Granian's threads may still hold futures of this interpreter, and panic where it is taken down under them.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)


async def _serve(settings: Config, path: Path | None, workers: int, local: bool) -> None:
    async with AsyncExitStack() as stack:
        if url := await _local_model(settings, local, stack):
            settings = config.with_local(settings, url)
        application = _application(settings)
        if workers == 1:
            await _serve_here(settings, application)
        else:
            await _serve_in_processes(settings, path, url, workers)


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
    from engine.gateway.providers import MissingKey
    from server import Application

    try:
        return _told(lambda: Application(settings))
    except (UnsafeAddress, MissingKey) as error:
        _fail(f"ccproxy: {error}")


async def _serve_here(settings: Config, application: "Application") -> None:
    """One worker: Granian in this process, which listens a fifth of a second after the command."""
    from granian.constants import Interfaces
    from granian.server.embed import Server

    server = Server(application, settings.host, settings.port, interface=Interfaces.ASGI, log_enabled=False, websockets=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    server.on_startup(lambda: _greet(settings))
    await server.serve()


async def _serve_in_processes(settings: Config, path: Path | None, local_url: str | None, workers: int) -> None:
    """Several workers: Granian's own command, whose processes read the same configuration for themselves."""
    environment = dict(os.environ)
    if path:
        environment["CCPROXY_CONFIG"] = str(path)
    if local_url:
        environment[LOCAL_URL] = local_url
    command = ["--interface", "asgi", "--factory", "--no-ws", "--no-log", "--workers", str(workers)]
    address = ["--host", settings.host, "--port", str(settings.port)]
    granian = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "granian", *command, *address, "server:create", env=environment
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, granian.send_signal, number)
    _greet(settings)
    await granian.wait()


def _greet(settings: Config) -> None:
    address = f"http://{settings.host}:{settings.port}"
    click.echo(f"ccproxy listens on {address}", err=True)
    click.echo(f"Claude Code:  ANTHROPIC_BASE_URL={address} ANTHROPIC_AUTH_TOKEN=any claude", err=True)


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
    settings = _told(lambda: config.load(config.find(None)))
    folders = [settings.mappings.expanduser(), BUILT_IN]
    return [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.yaml"))]


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

    from engine.gateway.exchange import Exchange, TranslationError
    from engine.gateway.http import read_json
    from engine.wire import validate
    from engine.wire.errors import ApiError

    loaded = _mapping(mapping)
    try:
        request = read_json(sys.stdin.buffer.read())
        validate.check(request)
        if stream:
            request["stream"] = True
        exchange = Exchange(loaded.name, loaded, loaded.models.get("main") or request["model"], request, request_id="req_try")
        where = exchange.endpoint(loaded.base_url or "", "$KEY")
    except (ApiError, TranslationError) as error:
        _fail(str(error))
    told: dict[str, Any] = {**where, "body": exchange.body, "lost": exchange.lost}
    click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(installed_version("ccproxy"))


def _mapping(name: str) -> Mapping:
    """A mapping by its name, or by its file's path."""
    settings = _told(lambda: config.load(config.find(None)))
    return _told(lambda: load_mapping(Path(name) if name.endswith(".yaml") else name, [settings.mappings.expanduser()]))


# Telling


def _told(work: Callable[[], Result]) -> Result:
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
