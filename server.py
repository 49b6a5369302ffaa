"""The ASGI application: a route table and the application's lifespan; nothing about formats."""

import logging
import os
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from engine.gateway import access, config, http, logs
from engine.gateway.config import Config
from engine.gateway.http import Receive, Scope, Send
from engine.gateway.names import CLAUDE_PREFIX, plain_name
from engine.gateway.providers import Provider, open_providers
from engine.gateway.proxy import Proxy
from engine.gateway.router import Router
from engine.wire.errors import ApiError

log = logging.getLogger("ccproxy")

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

EPOCH = "1970-01-01T00:00:00Z"
"""Mappings do not say when a model came out, and Anthropic's shape wants a date."""


class Application:
    """ccproxy as an ASGI application."""

    def __init__(self, settings: Config):
        access.check_address(settings)
        self.config = settings
        self.providers = open_providers(settings)
        self.router = Router(self.providers, settings)
        self.began = monotonic()
        proxy = Proxy(settings, self.router)
        self.routes: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/messages"): proxy.messages,
            ("POST", "/v1/messages/count_tokens"): proxy.count_tokens,
            ("GET", "/v1/models"): self.models,
        }
        self.open_routes: dict[tuple[str, str], Handler] = {
            ("GET", "/health"): self.health,
            ("GET", "/ready"): self.ready,
            ("HEAD", "/"): self.nothing,
            ("HEAD", "/api/hello"): self.nothing,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
        elif scope["type"] == "http":
            await self.serve(scope, receive, send)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        id = http.request_id()
        try:
            await self.handler(scope)(scope, receive, send)
        except ApiError as error:
            log.info("%s %s %s %d", id, scope["method"], http.one_line(scope["path"]), error.status)
            await http.send_error(send, error, id)
        except Exception:
            log.exception("%s failed", id)
            await http.send_error(send, ApiError(500, "api_error", "ccproxy failed; its log has the trace"), id)

    def handler(self, scope: Scope) -> Handler:
        """What serves a request. Raises ApiError where nothing does, or where the asker may not ask."""
        path: str = scope["path"]
        # Users write base addresses that end in /v1, to which clients add another.
        path = path.removeprefix("/v1") if path.startswith("/v1/v1/") else path
        route = (scope["method"], path.rstrip("/") or "/")
        if route in self.open_routes:
            return self.open_routes[route]
        access.check(scope, self.config)
        if route in self.routes:
            return self.routes[route]
        if route[0] == "GET" and route[1].startswith("/v1/models/"):
            return self.model
        if any(route[1] == known for _, known in self.routes | self.open_routes):
            raise ApiError(405, "invalid_request_error", f"{route[1]} does not take {route[0]}")
        raise ApiError(404, "not_found_error", f"there is nothing at {route[1]}")

    async def lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                for provider in self.providers.values():
                    await provider.transport.aclose()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    # The small routes

    async def nothing(self, scope: Scope, receive: Receive, send: Send) -> None:
        await http.start(send, 200, [("content-length", "0")])
        await http.send_piece(send, b"", last=True)

    async def health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The short form is anyone's; who may ask is also told of providers and uptime."""
        told: dict[str, Any] = {"status": "ok"}
        try:
            access.check(scope, self.config)
        except ApiError:
            pass
        else:
            told |= {"providers": list(self.providers), "uptime_seconds": round(monotonic() - self.began, 1)}
        await http.send_json(send, 200, http.json(told))

    async def ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        ready = bool(self.providers)
        told = {"status": "ready" if ready else "no provider can be called"}
        await http.send_json(send, 200 if ready else 503, http.json(told))

    async def models(self, scope: Scope, receive: Receive, send: Send) -> None:
        data = [_model(provider, name) for provider, name in self.router.models()]
        first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        told = {"data": data, "has_more": False, "first_id": first, "last_id": last}
        await http.send_json(send, 200, http.json(told))

    async def model(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = plain_name(scope["path"].partition("/models/")[2])
        for provider, name in self.router.models():
            if wanted == f"{provider.name}/{name}":
                return await http.send_json(send, 200, http.json(_model(provider, name)))
        raise ApiError(404, "not_found_error", f"model: {wanted}")


def _model(provider: Provider, name: str) -> dict[str, Any]:
    """A model in the shape of Anthropic's list. https://docs.claude.com/en/api/models-list"""
    known = provider.facts_of(name)
    return {
        "type": "model",
        "id": f"{CLAUDE_PREFIX}{provider.name}/{name}",
        "display_name": f"{provider.name}/{name}",
        "created_at": EPOCH,
        "max_input_tokens": known.get("context"),
        "max_tokens": known.get("output"),
    }


def create() -> Application:
    """The application of a worker process, by the configuration that the environment names."""
    settings = config.resolve(os.environ)
    logs.set_up(settings.log_level)
    return Application(settings)
