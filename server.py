"""The ASGI application: a route table and the application's lifespan; nothing about formats."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache
from time import monotonic
from typing import Any

from engine import __version__
from engine.gateway import access, config, http, listing, logs, status
from engine.gateway.http import Receive, Scope, Send
from engine.gateway.metrics import added
from engine.gateway.names import plain_name
from engine.gateway.service import NotReloaded, Service, Services, settle
from engine.gateway.settings import Config
from engine.gateway.shared import Shared, Told
from engine.wire import tokens
from engine.wire.errors import ApiError

log = logging.getLogger("ccproxy")

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

A_MODEL = "/v1/models/{id}"

EVERY = 1.0
"""Seconds between two looks at files and other workers, and between two pictures of the status."""

PAGE_HEADERS = [
    ("content-type", "text/html; charset=utf-8"),
    # Nothing from elsewhere, and nothing that could be smuggled into it, is run or asked.
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
]


class NotAllowed(ApiError):
    """A method that a path does not take; it takes those that are `allowed`."""

    def __init__(self, method: str, path: str, allowed: set[str]):
        super().__init__(405, "invalid_request_error", http.one_line(f"{path} does not take {method}"))
        self.allowed = allowed

    def headers(self) -> dict[str, str]:
        return super().headers() | {"allow": ", ".join(sorted(self.allowed))}


class Application:
    """ccproxy as an ASGI application. `config` is what it begins with; `read` reads the configuration anew.

    A worker is given what it shares with others, and the mappings that they serve by.
    """

    def __init__(
        self, config: Config, read: Callable[[], Config], shared: Shared | None = None, mappings: dict[str, bytes] | None = None
    ):
        self.services = Services(config, read, shared, mappings)
        self.shared = self.services.shared
        self.began = monotonic()
        self.is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.routes: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/messages"): self.messages,
            ("POST", "/v1/messages/count_tokens"): self.count_tokens,
            ("GET", "/v1/models"): self.models,
            ("GET", A_MODEL): self.model,
            ("GET", "/providers"): self.providers,
            ("GET", "/status"): self.status,
            ("GET", "/metrics"): self.metrics,
            ("GET", "/"): self.page,
            ("POST", "/reload"): self.reload,
        }
        self.open_routes: dict[tuple[str, str], Handler] = {
            ("GET", "/health"): self.health,
            ("GET", "/ready"): self.ready,
            ("HEAD", "/"): self.nothing,
            ("HEAD", "/api/hello"): self.nothing,
        }

    @property
    def service(self) -> Service:
        return self.services.current

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self.lifespan(receive, send) if scope["type"] == "lifespan" else self.serve(scope, receive, send)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self.service
        try:
            await self.handler(scope)(scope, receive, send)
        except ApiError as error:
            id = http.request_id()
            self.services.metrics.refused[error.type] += 1
            log.info("%s %d", http.one_line(f"{id} {scope['method']} {scope['path']}"), error.status)
            asks = error.status == 401 and scope["path"] in access.FOR_BROWSERS
            await http.send_error(send, error, id, [access.ASK_FOR_PASSWORD] if asks else [])
        except Exception:  # of whatever kind: the client waits for an answer
            id = http.request_id()
            log.exception("%s failed", id)
            await http.send_error(send, ApiError(500, "api_error", "ccproxy failed; its log has the trace"), id)
        finally:
            service.close_if_done()

    def handler(self, scope: Scope) -> Handler:
        """What serves a request. Raises ApiError where nothing does, or where the asker may not ask."""
        path: str = scope["path"]
        # Users write base addresses that end in /v1, to which clients add another.
        path = path.removeprefix("/v1") if path.startswith("/v1/v1/") else path
        path = path.rstrip("/") or "/"
        route = (scope["method"], A_MODEL if path.startswith("/v1/models/") else path)
        if route[0] == "HEAD" and route not in self.open_routes:
            route = ("GET", route[1])  # whose body the server leaves out
        if route in self.open_routes:
            return self.open_routes[route]
        scope[http.KEY_NAME] = access.check(scope, self.service.config)
        if route in self.routes:
            return self.routes[route]
        if allowed := {method for method, known in self.routes | self.open_routes if known == route[1]}:
            raise NotAllowed(scope["method"], path, allowed | ({"HEAD"} if "GET" in allowed else set()))
        raise ApiError(404, "not_found_error", http.one_line(f"there is nothing at {path}"))

    # While it runs

    async def lifespan(self, receive: Receive, send: Send) -> None:
        watching: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._loop = asyncio.get_running_loop()
                watching = asyncio.create_task(self.watch())
                settle()
            else:
                self.is_stopping = True
                if watching:
                    watching.cancel()
                self.service.retire()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    def break_off(self) -> None:
        """Wait no longer for the answers that are running; their clients are told. It may be a signal that calls."""
        if self._loop:
            self._loop.call_soon_threadsafe(self.services.break_off)

    async def watch(self) -> None:
        """Ask how providers are that were left alone, tell the other workers, reload when one of them has, and when a file
        changes where the configuration wants that."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.look()
            except Exception:
                log.exception("what is done each second failed")

    async def look(self) -> None:
        if "longContext" in self.service.config.routes and self.service.is_idle:
            tokens.load()  # at first it holds everything up for a third of a second
        self.service.checks.begin()
        self.shared.tell(self.told())
        if self.shared.must_follow():
            with suppress(NotReloaded):
                await self.services.follow()
        elif self.services.is_outdated:
            await self.reload_by_itself()

    async def reload_by_itself(self) -> None:
        """Where nobody waits for an answer: what is wrong is told in the log."""
        with suppress(NotReloaded):
            await self.services.reload()

    def told(self) -> Told:
        return Told(self.services.metrics, status.breakers(self.service.providers))

    # Messages

    def messages(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self.service.proxy.messages(scope, receive, send)

    def count_tokens(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self.service.proxy.count_tokens(scope, receive, send)

    # The small routes

    async def nothing(self, scope: Scope, receive: Receive, send: Send) -> None:
        await http.start(send, 200, [("content-length", "0")])
        await http.send_piece(send, b"", last=True)

    async def health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The short form is anyone's; who may ask is also told of providers, breakers, uptime and version."""
        health: dict[str, Any] = {"status": "stopping" if self.is_stopping else "ok"}
        if self.may_ask(scope):
            health |= {
                "providers": {name: status.health(provider) for name, provider in self.service.providers.items()},
                "breakers": status.breakers(self.service.providers),
                "uptime_seconds": round(monotonic() - self.began, 1),
                "version": __version__,
            }
        await http.send_json(send, 503 if self.is_stopping else 200, http.json(health))

    async def ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        ready = bool(self.service.providers) and not self.is_stopping
        state = {"status": "ready" if ready else "stopping" if self.is_stopping else "no provider can be called"}
        await http.send_json(send, 200 if ready else 503, http.json(state))

    async def models(self, scope: Scope, receive: Receive, send: Send) -> None:
        await http.send_json(send, 200, http.json(listing.models(self.service.router)))

    async def model(self, scope: Scope, receive: Receive, send: Send) -> None:
        model = listing.model(self.service.router, plain_name(scope["path"].partition("/models/")[2]))
        await http.send_json(send, 200, http.json(model))

    async def providers(self, scope: Scope, receive: Receive, send: Send) -> None:
        await http.send_json(send, 200, http.json({"data": listing.providers(self.service.providers)}))

    async def reload(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            service = await self.services.reload()
        except NotReloaded as error:
            raise ApiError(400, "invalid_request_error", f"nothing is changed:\n{error}") from None
        await http.send_json(send, 200, http.json({"status": "reloaded", "providers": list(service.providers)}))

    # What goes on

    def picture(self) -> dict[str, Any]:
        """What `/status` tells, of all workers together."""
        workers = self.shared.all(self.told())
        return {
            "version": __version__,
            "uptime_seconds": round(monotonic() - self.began, 1),
            "workers": self.shared.workers,
            "draining": self.is_stopping,
            **status.told(added(one.metrics for one in workers)),
            "breakers": status.together(one.breakers for one in workers),
            "routes": status.routes(self.service.router),
            "providers": listing.providers(self.service.providers),
        }

    async def status(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Once, or as a stream for who asks for one."""
        if scope["method"] == "HEAD" or "text/event-stream" not in (http.header(scope, b"accept") or ""):
            return await http.send_json(send, 200, http.json(self.picture()))
        await http.start(send, 200, [("content-type", "text/event-stream"), ("cache-control", "no-store")])
        left = asyncio.create_task(http.client_left(receive))
        while not left.done() and not self.is_stopping and self.may_ask(scope):
            await http.send_piece(send, b"data: " + http.json(self.picture()) + b"\n\n")
            await asyncio.wait([left], timeout=EVERY)
        left.cancel()
        return await http.send_piece(send, b"", last=True)

    def may_ask(self, scope: Scope) -> bool:
        """Whether who was let in still is: a reload may have taken the key."""
        try:
            access.check(scope, self.service.config)
        except ApiError:
            return False
        return True

    async def metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        from engine.gateway import prometheus  # the start is quicker without it

        workers = self.shared.all(self.told())
        counted, breakers = added(one.metrics for one in workers), status.together(one.breakers for one in workers)
        # In a thread: of many keys and models it takes half a second, in which streams go on.
        text = await asyncio.to_thread(prometheus.exposition, counted, breakers, __version__, monotonic() - self.began)
        await http.send_body(send, text, [("content-type", prometheus.CONTENT_TYPE)])

    async def page(self, scope: Scope, receive: Receive, send: Send) -> None:
        await http.send_body(send, dashboard(), PAGE_HEADERS)


@cache
def dashboard() -> bytes:
    from importlib.resources import files

    return files("engine.gateway").joinpath("dashboard.html").read_bytes()


def create() -> Application:
    """The application of a worker process. It begins with what the others serve, whatever has become of the files since."""

    def read() -> Config:
        return config.resolve(os.environ)

    shared = Shared.of(os.environ)
    settings, mappings = shared.kept()
    logs.set_up(settings.log_level, settings.log_format)
    return Application(settings, read, shared, mappings)
