"""One request's journey there and back."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from time import perf_counter
from typing import Any

import httpx

from engine.gateway import http, upstream
from engine.gateway.answer import Answer
from engine.gateway.config import Config
from engine.gateway.exchange import Exchange, TranslationError
from engine.gateway.http import ClientLeft, Receive, Scope, Send
from engine.gateway.providers import Provider
from engine.gateway.router import Route, Router
from engine.wire import framing, jsontext, tokens, validate
from engine.wire.assembler import fold
from engine.wire.errors import ApiError

log = logging.getLogger("ccproxy")

COUNTING = 10.0
"""Seconds that a provider may take to count tokens; then they are counted here."""


class Proxy:
    """Serves `/v1/messages` and `/v1/messages/count_tokens` from the providers of a router."""

    def __init__(self, config: Config, router: Router):
        self.config = config
        self.router = router

    async def messages(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Call(self, scope, receive, send).serve(_Call.messages)

    async def count_tokens(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Call(self, scope, receive, send).serve(_Call.count_tokens, counting=True)


class _Call:
    """One request of a client, from its first byte to its line in the log."""

    def __init__(self, proxy: Proxy, scope: Scope, receive: Receive, send: Send):
        self.proxy = proxy
        self.client = http.protocol_headers(scope)
        self.receive = receive
        self.send = send
        self.id = http.request_id()
        self.began = perf_counter()
        self.waited = 0.0
        self.route: Route | None = None
        self.lost: dict[str, str] = {}
        self.answer = Answer(send, self._headers)

    async def serve(self, work: Callable[["_Call", dict[str, Any]], Awaitable[None]], *, counting: bool = False) -> None:
        """Do the work; whatever goes wrong is told in Anthropic's words, if anything can still be told."""
        left = False
        try:
            request = await self._request(counting=counting)
            await self._while_client_stays(work(self, request))
        except ClientLeft:
            left = not self.answer.is_complete
        except Exception as error:  # noqa: BLE001 - the client waits for an answer, whatever happened
            told = self._api_error(error)
            if not self.answer.status:
                await self.answer.json(told.status, told.body(self.id), told.headers().items())
        finally:
            self.answer.close()
            self._log(499 if left else self.answer.status)

    async def _request(self, *, counting: bool) -> dict[str, Any]:
        data = await http.read_body(self.receive, self.proxy.config.request_bytes)
        request = http.read_json(data)
        validate.check(request, counting=counting)
        assert isinstance(request, dict)
        return request

    async def _while_client_stays(self, work: Awaitable[None]) -> None:
        """When the client leaves, the work for it stops, and with it the provider's. Raises ClientLeft then."""
        task = asyncio.current_task()
        assert task is not None
        watch = asyncio.create_task(self._watch(task))
        try:
            await work
        except asyncio.CancelledError:
            if not watch.done():
                raise
            raise ClientLeft from None
        finally:
            watch.cancel()

    async def _watch(self, work: "asyncio.Task[Any]") -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        work.cancel()

    def _api_error(self, error: Exception) -> ApiError:
        """What the client is told of trouble; what only its maker can mend goes to the log as well."""
        if isinstance(error, ApiError):
            return error
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
                ("x-ccproxy-provider", self.route.provider.name),
                ("x-ccproxy-model", self.route.model),
                ("x-ccproxy-route", self.route.reason),
                ("x-ccproxy-overhead-ms", f"{own:.2f}"),
            ]
        if self.lost:
            headers.append(("x-ccproxy-dropped", ", ".join(self.lost)))
        return headers

    def _log(self, status: int) -> None:
        where = f"{self.route.provider.name}/{self.route.model} ({self.route.reason})" if self.route else "-"
        log.info("%s %s %d %.0f ms", self.id, http.one_line(where), status, (perf_counter() - self.began) * 1000)

    def _exchange(self, request: dict[str, Any]) -> tuple[Provider, Exchange]:
        self.route = self.proxy.router.route(request["model"])
        provider, model = self.route.provider, self.route.model
        exchange = Exchange(
            provider.name, provider.mapping, model, request, request_id=self.id, key=provider.key, client=self.client
        )
        self.lost = exchange.lost
        return provider, exchange

    def _post(self, provider: Provider, where: dict[str, Any], body: Any) -> AbstractAsyncContextManager[httpx.Response]:
        data, headers = http.json(body), where.get("headers", {})
        return upstream.post(provider.name, provider.transport, where["url"], headers, data, self.proxy.config.timeouts)

    # Counting

    async def count_tokens(self, request: dict[str, Any]) -> None:
        provider, exchange = self._exchange(request)
        counted = await self._counted_there(provider, exchange)
        if counted is None:
            counted = tokens.count(exchange.prepared.request, exchange.mapping.facts.tokenizer).tokens
        await self.answer.json(200, {"input_tokens": counted})

    async def _counted_there(self, provider: Provider, exchange: Exchange) -> int | None:
        """The provider's own count; None where it has no counter, or one that does not answer."""
        where = exchange.count_endpoint(provider.base_url)
        if where is None:
            return None
        with suppress(ApiError, TimeoutError, ValueError):
            async with asyncio.timeout(COUNTING), self._post(provider, where, exchange.count_body) as response:
                reply = await upstream.read(provider.name, response)
                if response.status_code == 200:
                    return exchange.counted(jsontext.loads(reply))
        return None

    # Answering

    async def messages(self, request: dict[str, Any]) -> None:
        provider, exchange = self._exchange(request)
        wants_stream = request.get("stream") is True
        if (events := exchange.answer_here()) is not None:
            await (self.answer.events(framing.encode(events), last=True) if wants_stream else self.answer.json(200, fold(events)))
            return
        if wants_stream:
            self.answer.keep_alive()
        async with self._asked(exchange) as response:
            work = self._pass_on if wants_stream else self._gather if exchange.streams else self._whole
            await work(exchange, response)

    @asynccontextmanager
    async def _asked(self, exchange: Exchange) -> AsyncIterator[httpx.Response]:
        """The provider's answer, unread. Raises ApiError where it refuses."""
        assert self.route is not None
        provider, sent = self.route.provider, perf_counter()
        async with self._post(provider, exchange.endpoint(provider.base_url), exchange.body) as response:
            self.waited += perf_counter() - sent
            if response.status_code >= 400:
                data = await upstream.read(provider.name, response)
                raise exchange.refuse(response.status_code, data, response.headers)
            yield response

    async def _pieces(self, exchange: Exchange, response: httpx.Response) -> AsyncIterator[bytes]:
        """The answer as it comes, in several requests where the provider stops in its middle."""
        async for data in self._timed(exchange, response):
            yield data
        while exchange.streams and exchange.goes_on():
            async with self._asked(exchange) as more:
                async for data in self._timed(exchange, more):
                    yield data

    async def _timed(self, exchange: Exchange, response: httpx.Response) -> AsyncIterator[bytes]:
        """What passes between the pieces is the provider's time."""
        sent = perf_counter()
        async for data in upstream.pieces(exchange.provider, response):
            self.waited += perf_counter() - sent
            yield data
            sent = perf_counter()

    async def _whole(self, exchange: Exchange, response: httpx.Response) -> None:
        data = b"".join([piece async for piece in self._pieces(exchange, response)])
        try:
            reply = jsontext.loads(data)
        except ValueError:
            raise exchange.refuse(502, data, response.headers) from None
        await self.answer.json(200, exchange.answer(reply))

    async def _gather(self, exchange: Exchange, response: httpx.Response) -> None:
        """A whole answer from a provider that is asked for a stream."""
        events: list[dict[str, Any]] = []
        try:
            async for data in self._pieces(exchange, response):
                events += exchange.receive(data)
                if exchange.over:
                    break
            events += exchange.finish()
        except framing.FramingError as error:
            raise exchange.refuse(502, error.body.encode(), response.headers) from error
        await self.answer.json(200, exchange.gather(events))

    async def _pass_on(self, exchange: Exchange, response: httpx.Response) -> None:
        """A stream, each of the provider's pieces as it comes."""
        pieces = self._pieces(exchange, response)
        try:
            async for data in pieces:
                if events := exchange.receive(data):
                    await self.answer.events(framing.encode(events))
                if exchange.over:
                    break
            events = exchange.finish()
        except Exception as error:
            if isinstance(error, framing.FramingError):
                error = exchange.refuse(502, error.body.encode(), response.headers)
            if not self.answer.status:
                raise error from None
            # The client waits for an end, whatever happened.
            events = exchange.fail(self._api_error(error))
        if exchange.failure:
            if not self.answer.status:
                raise exchange.failure
            events = events or exchange.fail(exchange.failure)
        await self.answer.events(framing.encode(events), last=True)
        if exchange.is_complete:
            await _drain(pieces)


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read to the end what is over, if it ends at once: a connection read to its end can be used again."""
    with suppress(TimeoutError, ApiError):
        async with asyncio.timeout(0.1):
            async for _ in pieces:
                pass
