"""`start`, `stop` and `status`: the server as a process of this machine."""

import asyncio
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import orjson
import uvloop

from engine import MappingError
from engine.commands import connections
from engine.commands.telling import duration, fail, or_fail, say, tell_json
from engine.gateway import config, instances, logs
from engine.gateway.config import LOCAL_URL
from engine.gateway.instances import AlreadyRunning, Instance
from engine.gateway.settings import LOG_LEVELS, Config, listening_address
from engine.gateway.shared import BREAK_OFF, FOLDER, Shared

if TYPE_CHECKING:
    from server import Application

log = logging.getLogger("ccproxy")

GRACE = 30.0
"""Seconds that running answers have left when the server is told to stop. Told again, it stops at once."""

LAST_WORDS = 1.0
"""Seconds in which the clients of those that have not ended by then are told so."""

START_SECONDS = 90.0
"""That a start in the background may take, the local model's included."""

TAIL = 20
"""Lines of the log that say why a start has failed."""

LET_GO = 2.0
"""Seconds that a port which somebody listens on may take to become free."""

NOT_RUNNING, NOT_KNOWN = 3, 4
"""The exit codes of `status`, as of services everywhere: there is none, and there is one that does not say how it is.
https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/iniscrptact.html"""

port_option = click.option("--port", type=click.IntRange(1, 65535), help="The port it listens on, where several are running.")


class NotStarted(Exception):
    """A server in the background does not answer; the message says why."""


# Starting


@click.command()
@click.option("--config", "file", metavar="FILE", help="Configuration file; else $CCPROXY_CONFIG, else ~/.ccproxy/config.yaml.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Server processes.")
@click.option("--local", is_flag=True, help="Serve the small local model; so does a machine without any key.")
@click.option("--background", is_flag=True, help="Return as soon as the port answers.")
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="How much is logged.")
def start(
    file: str | None, host: str | None, port: int | None, workers: int, local: bool, background: bool, log_level: str | None
) -> None:
    """Serve, in the foreground or --background."""
    if host and not (host := listening_address(host)):
        raise click.BadParameter("an address is meant: 127.0.0.1, 0.0.0.0, ::1", param_hint="--host")
    flags: dict[str, Any] = {"host": host, "port": port, "log_level": log_level}

    def read() -> Config:
        return replace(config.load(config.find(file)), **{key: value for key, value in flags.items() if value is not None})

    settings = or_fail(read)
    named = {config.FILE: file, config.HOST: host, config.PORT: port, config.LOG_LEVEL: log_level}
    for variable, given in named.items():
        if given:
            os.environ[variable] = str(given)
    if background:
        _start_in_background(settings, {**flags, "config": file, "workers": workers, "local": local})
        return
    gc.disable()  # until service.settle: what a start makes stays, and looking through it takes a tenth of the time
    logs.set_up(settings.log_level, settings.log_format)
    try:
        code = uvloop.run(_serve(settings, read, workers, local))
    except Exception:  # of whatever kind: its trace goes to the log, in the form that this has
        log.exception("ccproxy has failed")
        code = 1
    # Granian's threads may still hold futures of this interpreter, and panic where it is taken down under them.
    logging.shutdown()
    os._exit(code)


async def _serve(settings: Config, read: Callable[[], Config], workers: int, local: bool) -> int:
    """Serve until told to stop; the command's exit code."""
    try:
        with instances.holding(settings.port):
            _check_port(settings)
            async with AsyncExitStack() as stack:
                url = await _local_model(settings, local, stack)

                def with_local(settings: Config) -> Config:
                    return config.with_local(settings, url) if url else settings

                place = _meeting_place(stack) if workers > 1 else None
                application = _application(with_local(settings), lambda: with_local(read()), Shared(place and place[0]))
                if place is None:
                    return await _serve_here(settings, application)
                return await _serve_in_processes(settings, application, url, workers, *place)
    except AlreadyRunning:
        _tell_who_runs(settings.port)
    except OSError as error:
        fail(f"ccproxy: {error}")


def _tell_who_runs(port: int) -> NoReturn:
    instance = instances.running(port)
    fail(f"ccproxy already runs on port {port}{f' (pid {instance.pid})' if instance else ''}: see `ccproxy status`")


def _check_port(settings: Config) -> None:
    """Granian shares a port with whoever listens on it, and then each request goes to one of the two.

    Workers whose server was killed let go of theirs in a moment.
    """
    end = time.monotonic() + LET_GO
    while trouble := _port_trouble(settings):
        if time.monotonic() > end:
            fail(f"ccproxy: cannot listen on {settings.host}:{settings.port}: {trouble}")
        time.sleep(0.05)


def _port_trouble(settings: Config) -> str | None:
    """Why the port cannot be listened on; None where it can."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        # A port that was used a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            return error.strerror or str(error)
    return None


async def _local_model(settings: Config, wanted: bool, stack: AsyncExitStack) -> str | None:
    """The address of the local model, started where it is asked for or where no other provider can be called."""
    from engine.gateway.providers import configured

    if not wanted and configured(settings):
        return None
    from engine.gateway import local

    say("starting the local model …")
    try:
        running = await local.start()
    except local.LocalUnavailable as error:
        fail(str(error))
    stack.push_async_callback(running.stop)
    return running.base_url


def _application(settings: Config, read: Callable[[], Config], shared: Shared) -> "Application":
    from engine.gateway.access import UnsafeAddress
    from engine.gateway.providers import ProviderError
    from server import Application

    try:
        return or_fail(lambda: Application(settings, read, shared))
    except (UnsafeAddress, ProviderError) as error:
        fail(f"ccproxy: {error}")


def _meeting_place(stack: AsyncExitStack) -> tuple[Path, int]:
    from engine.gateway import meeting

    return stack.enter_context(meeting.place())


async def _serve_here(settings: Config, application: "Application") -> int:
    """One worker: Granian in this process, which listens a fifth of a second after the command."""
    from granian.constants import HTTPModes, Interfaces
    from granian.server.embed import Server

    server: Any = Server(
        application,
        settings.host,
        settings.port,
        interface=Interfaces.ASGI,
        # A few bytes of HTTP/2's compressed headers become gigabytes, before anybody is asked for a key.
        http=HTTPModes.http1,
        backlog=connections.BACKLOG,
        backpressure=connections.most_connections(),
        log_enabled=False,
        websockets=False,
    )
    serving = asyncio.ensure_future(server.serve())
    greeting = asyncio.ensure_future(_greet_when_it_listens(settings))

    def stop() -> None:
        # Granian waits for running answers without limit, so the limit is set here.
        _end_within(0 if application.is_stopping else GRACE, application.break_off, serving.cancel)
        application.is_stopping = True
        server.stop()

    _on_stop(stop)
    _on_hangup(application, stop)
    with suppress(asyncio.CancelledError):
        await serving
    greeting.cancel()
    return 0


def _end_within(grace: float, break_off: Callable[[], Any], end: Callable[[], Any]) -> None:
    """Answers that have not ended by then are broken off, and who does not hear of that is not waited for."""
    loop = asyncio.get_running_loop()
    loop.call_later(grace, break_off)
    loop.call_later(grace + LAST_WORDS, end)


def _on_stop(act: Callable[[], Any]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, act)


def _on_hangup(application: "Application", stop: Callable[[], Any]) -> None:
    """SIGHUP asks a server to read its configuration anew, and tells a program that its terminal is gone."""
    # One who ignores it from the start, as nohup has it, goes on without the terminal.
    had_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _terminal()
    reloading: set[asyncio.Future[None]] = set()

    def act() -> None:
        if had_terminal and not _terminal():
            stop()
            return
        reloading.add(task := asyncio.ensure_future(application.reload_by_itself()))
        task.add_done_callback(reloading.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)


def _terminal() -> bool:
    """Whether there is a terminal that could end this with a key."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


async def _serve_in_processes(
    settings: Config, application: "Application", local_url: str | None, workers: int, folder: Path, held: int
) -> int:
    """Several workers, which serve what `application` would, and take from it what it reloads; they are Granian's affair, in a
    process of its own."""
    application.shared.keep(application.service.kept)
    environment = dict(os.environ)
    environment |= {LOCAL_URL: local_url} if local_url else {}
    environment |= {FOLDER: str(folder)}
    told = [settings.host, settings.port, workers, int(GRACE + LAST_WORDS), os.getpid(), settings.log_level, settings.log_format]
    granian = await asyncio.create_subprocess_exec(
        *_python("engine.commands.workers"), *map(str, told), env=environment, start_new_session=True, pass_fds=[held]
    )
    asked: list[bool] = []

    def send_all(number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(granian.pid, number)

    def stop() -> None:
        _end_within(0 if asked else GRACE, partial(send_all, BREAK_OFF), partial(send_all, signal.SIGKILL))
        granian.terminate()
        asked.append(True)

    _on_stop(stop)
    _on_hangup(application, stop)
    greeting = asyncio.ensure_future(_greet_when_it_listens(settings))
    code = await granian.wait()
    greeting.cancel()
    # Were it killed, its workers would go on without it.
    send_all(signal.SIGKILL)
    return 0 if asked else code


async def _greet_when_it_listens(settings: Config) -> None:
    """Which Granian does not tell. Nobody else listens there: that was looked at before."""
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(_near(settings.host), settings.port)
            writer.close()
            break
        await asyncio.sleep(0.01)
    greet(settings)


def _python(module: str) -> list[str]:
    """The command that runs a module of ours. -P: the current directory must not be where Python looks for it."""
    return [sys.executable, "-P", "-m", module]


def greet(settings: Config) -> None:
    address = own_address(settings)
    variable = next((name for name, value in os.environ.items() if value == settings.own_key), None)
    key = f"${variable}" if variable else "YOUR_API_KEY" if settings.own_key else "any"
    say(f"ccproxy listens on {address}")
    say(f"Claude Code:  ANTHROPIC_BASE_URL={address} ANTHROPIC_AUTH_TOKEN={key} claude")


# In the background


def _start_in_background(settings: Config, flags: Mapping[str, Any]) -> None:
    if instances.running(settings.port):
        _tell_who_runs(settings.port)
    try:
        instance = or_fail(lambda: launch(settings, flags))
    except NotStarted as error:
        fail(str(error))
    greet(settings)
    click.echo(f"It is process {instance.pid} and logs to {instances.log_file(settings.port)}", err=True)


def launch(settings: Config, flags: Mapping[str, Any]) -> Instance:
    """Start a server in the background, with `start`'s flags, and wait until it answers. Raises NotStarted."""
    given = {f"--{name.replace('_', '-')}": value for name, value in flags.items() if value}
    arguments = [word for name, value in given.items() for word in ([name] if value is True else [name, str(value)])]
    with instances.open_log(settings.port) as log:
        begins = log.tell()
        process = subprocess.Popen(
            [*_python("engine.cli"), "start", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C and the end of the terminal are not for it.
            start_new_session=True,
        )
    instance = Instance(settings.port, process.pid)
    began, patient = time.monotonic(), False
    try:
        while process.poll() is None and time.monotonic() < began + START_SECONDS:
            if instances.running(settings.port) == instance and health(_near(settings.host), settings):
                return instance
            if not patient and time.monotonic() > began + 2:
                patient = True
                click.echo("ccproxy is starting …", err=True)
            time.sleep(0.05)
    except KeyboardInterrupt:
        # Who is told that nothing was started must not find it running.
        process.terminate()
        raise
    process.terminate()
    why = f"does not answer after {START_SECONDS:.0f} seconds" if process.returncode is None else "has not started"
    raise NotStarted(f"ccproxy {why}; its log says:\n{_tail(settings.port, begins)}")


def _tail(port: int, begins: int) -> str:
    """The last lines of the log, of those since it was this long; where there are none, perhaps why."""
    with instances.log_file(port).open("rb") as log:
        log.seek(begins)
        lines = log.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-TAIL:]) or f"(nothing{_why_nothing(port)})"


def _why_nothing(port: int) -> str:
    try:
        with instances.open_log(port) as log:
            log.write(b"\n")
    except OSError as error:
        return f": {instances.log_file(port)} cannot be written: {error.strerror}"
    return ""


# Asking


def health(host: str, settings: Config, port: int | None = None) -> dict[str, Any] | None:
    """What `GET /health` tells who has the key; None where nobody answers."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(host, port or settings.port, timeout=5)
    try:
        connection.request("GET", "/health", headers={"x-api-key": settings.own_key} if settings.own_key else {})
        told = orjson.loads(connection.getresponse().read())
        return told if isinstance(told, dict) else None
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()


def find(instance: Instance, settings: Config) -> tuple[str, dict[str, Any]] | None:
    """The address at which an instance answers, and what it tells of its health. It may have been told to listen elsewhere."""
    for host in dict.fromkeys([_near(settings.host), "127.0.0.1", "::1"]):
        if told := health(host, settings, instance.port):
            return _url(host, instance.port), told
    return None


def own_address(settings: Config) -> str:
    """Where this machine reaches what the configuration says."""
    return _url(_near(settings.host), settings.port)


def _near(host: str) -> str:
    """The address by which this machine reaches a server that listens there."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _settings() -> Config:
    """A server that runs is told of, and stopped, whatever has become of its configuration, or of the keys in this shell."""
    try:
        return config.load(config.find(None))
    except (MappingError, OSError):
        return Config()


def _meant(port: int | None, settings: Config) -> Instance | None:
    """The instance that a command is about: the port's, else the configuration's, else the only one there is."""
    if found := instances.running(port or settings.port):
        return found
    others = [] if port else instances.all_running()
    if len(others) > 1:
        ports = " and ".join(str(other.port) for other in others)
        raise click.UsageError(f"ccproxy runs on the ports {ports}: say which one is meant with --port")
    return others[0] if others else None


@click.command()
@port_option
def stop(port: int | None) -> None:
    """Stop the server. Answers that are running are finished."""
    instance = _meant(port, _settings())
    if instance is None:
        click.echo("ccproxy is not running")
        return
    or_fail(instance.stop)
    if not instance.ends_within(1):
        click.echo("waiting for running answers …", err=True)
    if not instance.ends_within(GRACE + 4):
        fail(f"ccproxy on port {instance.port} has not ended; `kill -9 {instance.pid}` ends it")
    click.echo(f"stopped ccproxy on port {instance.port} (pid {instance.pid})")


@click.command()
@port_option
@click.option("--json", "as_json", is_flag=True, help="For a script.")
def status(port: int | None, as_json: bool) -> None:
    """Tell whether the server runs, and what it serves.

    The exit code is 0 where it does, 3 where it does not, and 4 where it runs but does not answer.
    """
    settings = _settings()
    instance = _meant(port, settings)
    if instance is None:
        port = port or settings.port
        if as_json:
            tell_json({"running": False, "port": port})
        else:
            click.echo(f"ccproxy is not running on port {port}")
        sys.exit(NOT_RUNNING)
    address, told = find(instance, settings) or (None, {"status": "no answer"})
    if as_json:
        tell_json({"running": True, "pid": instance.pid, "port": instance.port, "address": address, **told})
    else:
        where = f"on {address}" if address else f"on port {instance.port}, but does not answer"
        uptime = f", for {duration(told['uptime_seconds'])}" if "uptime_seconds" in told else ""
        click.echo(f"ccproxy runs {where} (pid {instance.pid}){uptime}")
        if "providers" in told:
            click.echo(f"providers: {', '.join(told['providers'])}")
    if not address:
        sys.exit(NOT_KNOWN)
