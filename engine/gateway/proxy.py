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
from engine.gateway.exchange import Exchange
from engine.gateway.http import ClientLeft, Receive, Scope, Send
from engine.gateway.providers import Provider
from engine.gateway.relay import PASSED_HEADERS, Relay
from engine.gateway.router import Route, Router
from engine.gateway.sections import Sections, TranslationError
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
        self.data = b""
        self.passed: list[tuple[str, str]] = []  # headers of the provider's answer
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
        self.data = await http.read_body(self.receive, self.proxy.config.request_bytes)
        request = http.read_json(self.data)
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
        return headers + self.passed

    def _log(self, status: int) -> None:
        where = f"{self.route.provider.name}/{self.route.model} ({self.route.reason})" if self.route else "-"
        log.info("%s %s %d %.0f ms", self.id, http.one_line(where), status, (perf_counter() - self.began) * 1000)

    def _translation(self, request: dict[str, Any]) -> Exchange | Relay:
        """The request on its way to the provider that it is for."""
        self.route = self.proxy.router.route(request["model"])
        provider, model = self.route.provider, self.route.model
        made: Exchange | Relay
        if provider.mapping.native:
            made = Relay(provider.name, provider.mapping, model, request, self.data, key=provider.key, client=self.client)
        else:
            made = Exchange(
                provider.name, provider.mapping, model, request, request_id=self.id, key=provider.key, client=self.client
            )
        self.lost = made.lost
        return made

    @property
    def provider(self) -> Provider:
        assert self.route is not None
        return self.route.provider

    def _post(self, where: dict[str, Any], body: Any) -> AbstractAsyncContextManager[httpx.Response]:
        data = body if isinstance(body, bytes) else http.json(body)
        provider, headers = self.provider, where.get("headers", {})
        return upstream.post(provider.name, provider.transport, where["url"], headers, data, self.proxy.config.timeouts)

    # Counting

    async def count_tokens(self, request: dict[str, Any]) -> None:
        made = self._translation(request)
        counted = await self._counted_there(made)
        if counted is None:
            counted = tokens.count(made.request, made.facts.tokenizer).tokens
        await self.answer.json(200, {"input_tokens": counted})

    async def _counted_there(self, made: Exchange | Relay) -> int | None:
        """The provider's own count; None where it has no counter, or one that does not answer."""
        where = made.count_endpoint(self.provider.base_url)
        if where is None:
            return None
        with suppress(ApiError, TimeoutError, ValueError):
            async with asyncio.timeout(COUNTING), self._post(where, made.count_body) as response:
                reply = await upstream.read(made.provider, response)
                if response.status_code == 200:
                    return made.counted(jsontext.loads(reply))
        return None

    # Answering

    async def messages(self, request: dict[str, Any]) -> None:
        made = self._translation(request)
        await (self._relay(made) if isinstance(made, Relay) else self._exchange(made, stream=request.get("stream") is True))

    async def _exchange(self, exchange: Exchange, *, stream: bool) -> None:
        """An answer that is translated."""
        if (events := exchange.answer_here()) is not None:
            await (self.answer.events(framing.encode(events), last=True) if stream else self.answer.json(200, fold(events)))
            return
        if stream:
            self.answer.keep_alive()
        async with self._asked(exchange) as response:
            work = self._pass_on if stream else self._gather if exchange.streams else self._whole
            await work(exchange, response)

    async def _relay(self, relay: Relay) -> None:
        """An answer that passes as it is."""
        if relay.streams:
            self.answer.keep_alive()
        async with self._post(relay.endpoint(self.provider.base_url), relay.body) as response:
            self.passed = [(name, value) for name, value in response.headers.items() if name.startswith(PASSED_HEADERS)]
            if response.status_code >= 400 or not relay.streams:
                data = b"".join([piece async for piece in self._timed(relay, response)])
                if response.status_code < 400:
                    await self.answer.body(200, relay.answer(data))
                elif relay.passes(data):
                    await self.answer.body(response.status_code, data)
                else:
                    raise relay.refuse(response.status_code, data, response.headers)
                return
            await self._relay_stream(relay, response)

    async def _relay_stream(self, relay: Relay, response: httpx.Response) -> None:
        try:
            async for piece in self._timed(relay, response):
                if data := relay.receive(piece):
                    await self.answer.events(data)
            rest = relay.finish()
        except ApiError as error:
            if not self.answer.status:
                raise
            rest = relay.fail(error.type, error.message)
        await self.answer.events(rest, last=True)

    @asynccontextmanager
    async def _asked(self, exchange: Exchange) -> AsyncIterator[httpx.Response]:
        """The provider's answer, unread. Raises ApiError where it refuses."""
        sent = perf_counter()
        async with self._post(exchange.endpoint(self.provider.base_url), exchange.body) as response:
            self.waited += perf_counter() - sent
            if response.status_code >= 400:
                data = await upstream.read(exchange.provider, response)
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

    async def _timed(self, made: Sections, response: httpx.Response) -> AsyncIterator[bytes]:
        """What passes between the pieces is the provider's time."""
        sent = perf_counter()
        async for data in upstream.pieces(made.provider, response):
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
