"""One request's journey there and back."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

import httpx
import orjson

from engine.gateway import http, upstream
from engine.gateway.config import Config
from engine.gateway.exchange import Exchange, TranslationError
from engine.gateway.http import ClientLeft, Receive, Scope, Send
from engine.gateway.router import Route, Router
from engine.wire import framing, tokens, validate
from engine.wire.errors import ApiError

log = logging.getLogger("ccproxy")

PING_AFTER = 10.0
"""Seconds of silence after which the client gets a ping. Claude Code shows a banner after 20 s and gives up after 300."""


class Proxy:
    """Serves `/v1/messages` and `/v1/messages/count_tokens` from the providers of a router."""

    def __init__(self, config: Config, router: Router):
        self.config = config
        self.router = router

    async def messages(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Call(self, receive, send).serve(_Call.messages)

    async def count_tokens(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Call(self, receive, send).serve(_Call.count_tokens)


class _Call:
    """One request of a client, from its first byte to its line in the log."""

    def __init__(self, proxy: Proxy, receive: Receive, send: Send):
        self.proxy = proxy
        self.receive = receive
        self.send = send
        self.id = f"req_{secrets.token_hex(12)}"
        self.began = perf_counter()
        self.waited = 0.0
        self.route: Route | None = None
        self.lost: dict[str, str] = {}
        self.status = 0
        self.answering = False

    async def serve(self, work: Callable[["_Call"], Awaitable[None]]) -> None:
        """Do the work; whatever goes wrong is told in Anthropic's words, if anything can still be told."""
        try:
            await work(self)
        except ClientLeft:
            self.status = 499
        except Exception as error:  # noqa: BLE001 - the client waits for an answer, whatever happened
            told = self._told(error)
            self.status = told.status
            if not self.answering:
                await http.send_error(self.send, told, self.id, self._headers())
        finally:
            self._log()

    def _told(self, error: Exception) -> ApiError:
        """What the client is told of trouble; what only its maker can mend goes to the log as well."""
        if isinstance(error, ApiError):
            return error
        if isinstance(error, framing.FramingError):
            return ApiError(500, "api_error", f"{self._provider.name}: {error}")
        if isinstance(error, TranslationError):
            log.error("%s %s", self.id, error)
            return ApiError(500, "api_error", f"the mapping failed: {error.problem}")
        log.error("%s failed", self.id, exc_info=error)
        return ApiError(500, "api_error", "ccproxy failed; its log has the trace under this request's id")

    def _headers(self) -> list[tuple[str, str]]:
        headers = [("request-id", self.id)]
        if self.route:
            own = (perf_counter() - self.began - self.waited) * 1000
            headers += [
                ("x-ccproxy-provider", _header_text(self.route.provider.name)),
                ("x-ccproxy-model", _header_text(self.route.model)),
                ("x-ccproxy-route", self.route.reason),
                ("x-ccproxy-overhead-ms", f"{own:.2f}"),
            ]
        if self.lost:
            headers.append(("x-ccproxy-dropped", _header_text(", ".join(self.lost))))
        return headers

    def _log(self) -> None:
        where = f"{self.route.provider.name}/{self.route.model} ({self.route.reason})" if self.route else "-"
        log.info("%s %s %d %.0f ms", self.id, _header_text(where), self.status, (perf_counter() - self.began) * 1000)

    # What is asked

    async def _request(self, *, counting: bool = False) -> dict[str, Any]:
        data = await http.read_body(self.receive, self.proxy.config.request_bytes)
        request = http.read_json(data)
        validate.check(request, counting=counting)
        assert isinstance(request, dict)
        return request

    def _exchange(self, request: dict[str, Any]) -> Exchange:
        self.route = route = self.proxy.router.route(request["model"])
        exchange = Exchange(route.provider.name, route.provider.mapping, route.model, request, request_id=self.id)
        self.lost = exchange.lost
        return exchange

    async def count_tokens(self) -> None:
        request = await self._request(counting=True)
        exchange = self._exchange(request)
        counted = await self._counted_there(exchange)
        if counted is None:
            counted = tokens.count(exchange.prepared.request, exchange.mapping.facts.tokenizer).tokens
        self.status = 200
        await http.send_json(self.send, 200, {"input_tokens": counted}, self._headers())

    async def _counted_there(self, exchange: Exchange) -> int | None:
        """The provider's own count; None where it has no counter, or one that does not answer."""
        mapping, provider = exchange.mapping, self._provider
        if mapping.count_endpoint is None or mapping.count is None:
            return None
        where = mapping.count_endpoint(provider.base_url, exchange.model, provider.key)
        with suppress(ApiError):
            async with self._post(where, exchange.body) as response:
                reply = await upstream.read(provider.name, response)
                if response.status_code == 200:
                    counted = mapping.count(orjson.loads(reply)).get("input_tokens")
                    return counted if isinstance(counted, int) else None
        return None

    @property
    def _provider(self) -> Any:
        assert self.route is not None
        return self.route.provider

    def _post(self, where: dict[str, Any], body: dict[str, Any]) -> Any:
        provider = self._provider
        return upstream.post(
            provider.name,
            provider.transport,
            where["url"],
            where.get("headers", {}),
            orjson.dumps(body),
            self.proxy.config.timeouts,
        )

    # What is answered

    async def messages(self) -> None:
        request = await self._request()
        exchange = self._exchange(request)
        if request["max_tokens"] == 0:
            # A client that only warms the provider's cache up; no other provider has one to warm.
            await self._answer(exchange.answer_nothing())
            return
        provider = self._provider
        where = exchange.endpoint(provider.base_url, provider.key)
        task = asyncio.current_task()
        assert task is not None
        watch = asyncio.create_task(self._watch(task))
        try:
            sent = perf_counter()
            async with self._post(where, exchange.body) as response:
                self.waited += perf_counter() - sent
                if response.status_code >= 400:
                    data = await upstream.read(provider.name, response)
                    raise exchange.refuse(response.status_code, data, response.headers)
                await self._work(request, exchange)(exchange, response)
        except asyncio.CancelledError:
            if not watch.done():
                raise
            raise ClientLeft from None
        finally:
            watch.cancel()

    async def _watch(self, work: "asyncio.Task[Any]") -> None:
        """When the client leaves, the work for it stops, and with it the provider's."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        work.cancel()

    def _work(self, request: dict[str, Any], exchange: Exchange) -> Callable[[Exchange, httpx.Response], Awaitable[None]]:
        if request.get("stream") is True:
            return self._stream
        return self._gather if exchange.streams else self._whole

    async def _gather(self, exchange: Exchange, response: httpx.Response) -> None:
        """A whole answer from a provider that is asked for a stream."""
        events = []
        async for data in upstream.pieces(exchange.provider, response):
            events += exchange.receive(data)
            if exchange.over:
                break
        events += exchange.finish()
        await self._answer(exchange.gather(events))

    async def _whole(self, exchange: Exchange, response: httpx.Response) -> None:
        sent = perf_counter()
        data = await upstream.read(exchange.provider, response)
        self.waited += perf_counter() - sent
        try:
            reply = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise exchange.refuse(502, data, response.headers) from None
        await self._answer(exchange.answer(reply))

    async def _answer(self, message: dict[str, Any]) -> None:
        self.status, self.answering = 200, True
        await http.send_json(self.send, 200, message, self._headers())

    async def _stream(self, exchange: Exchange, response: httpx.Response) -> None:
        out = _EventStream(self, exchange)
        try:
            await self._pass_on(exchange, response, out)
        finally:
            out.close()

    async def _pass_on(self, exchange: Exchange, response: httpx.Response, out: "_EventStream") -> None:
        sent = perf_counter()
        try:
            async for data in upstream.pieces(exchange.provider, response):
                if not self.answering:
                    self.waited += perf_counter() - sent
                if events := exchange.receive(data):
                    await out.write(framing.encode(events))
                if exchange.over:
                    break
                sent = perf_counter()
            events = exchange.finish()
        except Exception as error:
            if not out.open:
                raise
            events = exchange.fail(self._told(error))
        if exchange.failure:
            if not out.open:
                raise exchange.failure
            events = events or exchange.fail(exchange.failure)
        await out.write(framing.encode(events), last=True)


class _EventStream:
    """The client's side of a stream: opened by the first event, kept alive with pings while the provider is silent."""

    def __init__(self, call: _Call, exchange: Exchange):
        self.call = call
        self.open = False
        self._loop = asyncio.get_running_loop()
        self._written = self._loop.time()
        self._pings: set[asyncio.Task[None]] = set()
        self._timer = self._loop.call_later(PING_AFTER, self._look)

    def _look(self) -> None:
        silence = self._loop.time() - self._written
        if silence >= PING_AFTER:
            ping = asyncio.ensure_future(self.write(framing.PING))
            self._pings.add(ping)
            ping.add_done_callback(self._pings.discard)
            silence = 0.0
        self._timer = self._loop.call_later(PING_AFTER - silence, self._look)

    async def write(self, data: bytes, *, last: bool = False) -> None:
        self._written = self._loop.time()
        if not self.open:
            self.open = self.call.answering = True
            self.call.status = 200
            headers = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"), *self.call._headers()]
            await http.start(self.call.send, 200, headers)
        await http.send_piece(self.call.send, data, last=last)

    def close(self) -> None:
        self._timer.cancel()
        for ping in self._pings:
            ping.cancel()


def _header_text(text: str) -> str:
    """Text that may stand in a header or a line of the log: a model's name comes from outside and may hold anything."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)
