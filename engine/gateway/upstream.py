"""Connections to providers: aiohttp's client, whose connections are found by address and not by looking through all of them."""

import errno
import ipaddress
import re
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.gateway.settings import Timeouts
from engine.wire.errors import ApiError
from engine.wire.redact import redact, without_keys

if TYPE_CHECKING:
    import aiohttp

_BROKEN = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
"""What an error says of a connection that there was."""

MOST_BYTES = 64 * 1024 * 1024
"""That an answer may have which is kept until it is whole: as a stream of single words, the longest of any model have half."""

_HEADERS = {
    "content-type": "application/json",
    # Compressed streams come in bursts.
    "accept-encoding": "identity",
    "user-agent": "ccproxy",
}


_LEADS_ELSEWHERE = re.compile(r"[?#%\\\s\0]|(?:^|/)\.{1,2}(?:/|$)")


def check_model(url: str, model: str) -> None:
    """Raises ApiError where a model's name, as it stands in an address, would make another address of it: the client that
    says the name has no right to whatever else the provider does for this key."""
    if model in url and _LEADS_ELSEWHERE.search(model):
        raise ApiError(404, "not_found_error", f"model: {model}. No model has a name like this")


class Upstream:
    """The connections to one provider's address, and how long they may take.

    aiohttp's session is made at the first request: it wants a running loop, and its import costs more than the rest.
    """

    def __init__(self, provider: str, base_url: str, timeouts: Timeouts):
        self.provider = provider
        self.timeouts = timeouts
        self._base_url = base_url
        self._session: aiohttp.ClientSession | None = None
        self._options: dict[str, Any] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> "Reply":
        """Send a body. Raises ApiError where the provider cannot be reached, or sends elsewhere."""
        return await self._request("POST", url, headers, body)

    async def get(self, url: str, headers: Mapping[str, str]) -> "Reply":
        """Ask for what is at an address. Raises ApiError as `post` does."""
        return await self._request("GET", url, headers, None)

    async def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> "Reply":
        session = self._session or self._open()
        try:
            response = await session.request(method, url, headers={**_HEADERS, **headers}, data=body, **self._options)
        except (OSError, ValueError, _client_error()) as error:
            raise unreachable(self.provider, url, error) from error
        if 300 <= response.status < 400:
            response.close()
            raise _redirected(self.provider, url, response.status, response.headers.get("location", ""))
        return Reply(self.provider, url, response)

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        self._options = {
            "allow_redirects": False,
            "timeout": aiohttp.ClientTimeout(sock_connect=self.timeouts.connect, sock_read=self.timeouts.silence),
            "proxy": _environments_proxy(self._base_url),
        }
        self._session = aiohttp.ClientSession(
            # No limit: how many requests run at once is decided at the front door, not in a queue in the middle.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            auto_decompress=False,
            # With trust_env aiohttp would take more than proxies from the environment: passwords out of ~/.netrc.
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


class Reply:
    """A provider's answer: `status`, `headers` by their names in any case, and the body as it comes.

    It is a context: to leave that before the end closes the connection, which is what stops the provider.
    """

    def __init__(self, provider: str, url: str, response: "aiohttp.ClientResponse"):
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._provider = provider
        self._url = url
        self._response = response

    def __enter__(self) -> "Reply":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._response.release()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ApiError where it breaks off."""
        try:
            async for data in self._response.content.iter_any():
                yield data
        except (OSError, _client_error()) as error:
            raise unreachable(self._provider, self._url, error) from error

    async def read(self) -> bytes:
        """The whole body. Raises ApiError where it breaks off, or has no end."""
        return b"".join([data async for data in bounded(self._provider, self.pieces())])

    @property
    def is_stream(self) -> bool:
        """Whether it may be a stream, by what it is said to be."""
        said = self.headers.get("content-type", "")
        return "json" not in said and "html" not in said


async def bounded(provider: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of an answer that is kept until it is whole. Raises ApiError where it has no end."""
    size = 0
    async for data in pieces:
        size += len(data)
        if size > MOST_BYTES:
            raise ApiError(500, "api_error", f"{provider}: the answer is larger than {MOST_BYTES:,} bytes", should_retry=False)
        yield data


@lru_cache(maxsize=1)
def _client_error() -> "type[aiohttp.ClientError]":
    import aiohttp

    return aiohttp.ClientError


def _environments_proxy(base_url: str) -> str | None:
    """The proxy that the environment names for an address. It is for the world outside, never for this machine."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return None if is_loopback(host) or proxy_bypass(host) else getproxies().get(parts.scheme)


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _redirected(provider: str, url: str, status: int, location: str) -> ApiError:
    """No API redirects; http for https and a path that is missing do. Nobody follows: it would take the key along."""
    try:
        there = urlsplit(location)
        where = f"{there.scheme}://{_host(location)}{there.path}" if there.netloc else there.path or "another address"
    except ValueError:
        where = "what is no address"
    words = f"{provider}: {without_keys(url)} redirects to {redact(where)} (HTTP {status}); check its base_url"
    return ApiError(400, "invalid_request_error", words, should_retry=False)


def _host(url: str) -> str:
    """An address's host and port, without the password that may stand before them."""
    return urlsplit(url).netloc.rpartition("@")[2]


def unreachable(provider: str, url: str, error: Exception) -> ApiError:
    """The client's error for a provider that does not answer: the host is named, its path and query are not."""
    import aiohttp

    host = _host(url)
    if isinstance(error, aiohttp.SocketTimeoutError):
        return ApiError(504, "timeout_error", f"{provider}: {host} fell silent for longer than the time allowed")
    if isinstance(error, TimeoutError):
        return ApiError(504, "timeout_error", f"{provider}: no connection to {host} within the time allowed")
    if isinstance(error, OSError) and error.errno is not None and error.errno not in _BROKEN:
        return ApiError(500, "api_error", f"{provider}: cannot connect to {host}: {error.strerror or error}")
    # A connection that was kept for the next request may be closed at the moment of the next request.
    return ApiError(500, "api_error", f"{provider}: the connection to {host} broke: {redact(str(error))}", should_retry=True)
