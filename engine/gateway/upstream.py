"""Connections to providers: httpx's transport interface, aiohttp underneath.

httpx's own connection pool searches all its connections at every request and collapses under load (a tenth of the
requests a second at 64 connections); its transport interface is the seam, so that tests can bring a MockTransport.
"""

import errno
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from engine.gateway.settings import Timeouts
from engine.wire.errors import ApiError

_BROKEN = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
"""What an error says of a connection that there was."""


class LazyTransport(httpx.AsyncBaseTransport):
    """The transport for one provider's address.

    aiohttp's session is made at the first request: it wants a running loop, and its import costs more than the rest.
    """

    def __init__(self, base_url: str):
        self.base_url = base_url
        self._inner: httpx.AsyncBaseTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._inner is None:
            self._inner = self._open()
        return await self._inner.handle_async_request(request)

    def _open(self) -> httpx.AsyncBaseTransport:
        import aiohttp
        from httpx_aiohttp import AiohttpTransport

        trust = ssl.create_default_context()
        # No limit: how many requests run at once is decided at the front door, not in a queue in the middle.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60, ssl=trust)
        session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            # With trust_env aiohttp would take more than proxies from the environment: passwords out of ~/.netrc.
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )
        proxy = _environments_proxy(self.base_url)
        return AiohttpTransport(verify=trust, client=session, proxy=httpx.Proxy(proxy) if proxy else None)

    async def aclose(self) -> None:
        if self._inner is not None:
            await self._inner.aclose()


def _environments_proxy(base_url: str) -> str | None:
    """The proxy that the environment names for an address. It is for the world outside, never for this machine."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return None if is_loopback(host) or proxy_bypass(host) else getproxies().get(parts.scheme)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@asynccontextmanager
async def post(
    provider: str,
    transport: httpx.AsyncBaseTransport,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    timeouts: Timeouts,
) -> AsyncIterator[httpx.Response]:
    """Send a body and hand over the answer, unread. Leaving the block early closes the connection, which is what
    stops the provider. Raises ApiError where the provider cannot be reached."""
    request = httpx.Request(
        "POST",
        url,
        headers={
            "content-type": "application/json",
            # Compressed streams come in bursts.
            "accept-encoding": "identity",
            "user-agent": "ccproxy",
            **headers,
        },
        content=body,
        extensions={"timeout": {"connect": timeouts.connect, "read": timeouts.silence}},
    )
    try:
        response = await transport.handle_async_request(request)
    except httpx.TransportError as error:
        raise unreachable(provider, url, error) from error
    response.request = request
    try:
        if 300 <= response.status_code < 400:
            raise _redirected(provider, url, response)
        yield response
    finally:
        await response.aclose()


def _redirected(provider: str, url: str, response: httpx.Response) -> ApiError:
    """No API redirects; http for https and a path that is missing do."""
    there = urlsplit(response.headers.get("location", ""))
    where = f"{there.scheme}://{there.netloc}{there.path}" if there.netloc else there.path or "another address"
    words = f"{provider}: {url} redirects to {where} (HTTP {response.status_code}); check its base_url"
    return ApiError(400, "invalid_request_error", words, should_retry=False)


async def read(provider: str, response: httpx.Response) -> bytes:
    """The whole of an answer. Raises ApiError where it breaks off."""
    try:
        return await response.aread()
    except httpx.TransportError as error:
        raise unreachable(provider, str(response.request.url), error) from error


async def pieces(provider: str, response: httpx.Response) -> AsyncIterator[bytes]:
    """An answer as it comes. Raises ApiError where it breaks off."""
    try:
        async for data in response.aiter_bytes():
            yield data
    except httpx.TransportError as error:
        raise unreachable(provider, str(response.request.url), error) from error


def unreachable(provider: str, url: str, error: httpx.TransportError) -> ApiError:
    """The client's error for a provider that does not answer: the host is named, its path and query are not."""
    host = urlsplit(url).netloc
    # httpx-aiohttp tells a refused connection as a timeout; the exception beneath knows better.
    cause = error.__cause__ or error
    if isinstance(error, httpx.ReadTimeout):
        return ApiError(504, "timeout_error", f"{provider}: {host} fell silent for longer than the time allowed")
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return ApiError(504, "timeout_error", f"{provider}: no connection to {host} within the time allowed")
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno not in _BROKEN:
        return ApiError(500, "api_error", f"{provider}: cannot connect to {host}: {cause.strerror or cause}")
    # A connection that was kept for the next request may be closed at the moment of the next request.
    return ApiError(500, "api_error", f"{provider}: the connection to {host} broke: {cause}", should_retry=True)
