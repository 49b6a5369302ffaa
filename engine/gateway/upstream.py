"""The connections to a provider: made when they are needed, kept for the next request, and what is told where they fail."""

import asyncio
import errno
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, partial
from urllib.parse import urlsplit

from engine.gateway.addresses import Address, Origin, address, connect, head, is_loopback, tls
from engine.gateway.compression import Packed
from engine.gateway.connection import MOST_BYTES, Connection, Endless, Reply, Silence
from engine.gateway.settings import Timeouts
from engine.wire.errors import ApiError
from engine.wire.redact import redact, without_keys

_BROKEN = (None, errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
"""What an error says of a connection that there was."""

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
    """The connections to one provider, and how long they may take."""

    def __init__(self, provider: str, base_url: str, timeouts: Timeouts):
        self.provider = provider
        self.timeouts = timeouts
        self._base_url = base_url
        self._free: dict[Origin, dict[Connection, None]] = {}
        self._all: set[Connection] = set()

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, meanwhile: Callable[[], object] | None = None
    ) -> Awaitable[Reply]:
        """Send a body; `meanwhile` is done while the provider is at it. Raises ApiError where it cannot be reached, or sends
        elsewhere."""
        return self._request("POST", url, headers, body, meanwhile)

    def get(self, url: str, headers: Mapping[str, str]) -> Awaitable[Reply]:
        """Ask for what is at an address. Raises ApiError as `post` does."""
        return self._request("GET", url, headers, b"")

    async def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        meanwhile: Callable[[], object] | None = None,
        *,
        anew: bool = False,
    ) -> Reply:
        try:
            to = address(url)
            begin = head(method, to, {**_HEADERS, **headers}, len(body), self._proxy)
            connection = (not anew and self._kept(to.origin)) or await self._connect(to.origin)
        except (OSError, ValueError) as error:
            raise unreachable(self.provider, url, error) from error
        reply = connection.ask(begin, body, partial(unreachable, self.provider, url))
        try:
            if meanwhile:
                meanwhile()
            await reply.begin()
        except BaseException:
            connection.close()
            raise
        if reply.is_stale:
            return await self._request(method, url, headers, body, anew=True)
        if 300 <= reply.status < 400:
            connection.close()
            raise _redirected(self.provider, url, reply.status, reply.headers.get("location", ""))
        return reply

    @cached_property
    def _proxy(self) -> Address | None:
        """The proxy that the environment names. It is for the world outside, never for this machine. Raises ValueError."""
        parts = urlsplit(self._base_url)
        host = parts.hostname or ""
        if is_loopback(host):
            return None
        from urllib.request import getproxies, proxy_bypass

        proxy = None if proxy_bypass(host) else getproxies().get(parts.scheme)
        if proxy and not proxy.startswith("http://"):
            raise ValueError("the proxy that the environment names has to begin with http://")
        return address(proxy) if proxy else None

    def _kept(self, origin: Origin) -> Connection | None:
        """A connection that has served before; the youngest, so that those that are too many grow old."""
        free = self._free.get(origin)
        while free:
            connection, _ = free.popitem()
            if not connection.is_closing:
                return connection
        return None

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self.timeouts.connect):
            socket = await connect(loop, origin, self._proxy)
            _, connection = await loop.create_connection(
                lambda: Connection(self.timeouts.silence, partial(self._keep, origin), partial(self._drop, origin)),
                sock=socket,
                ssl=tls() if origin.is_tls else None,
                server_hostname=origin.host.rstrip(".") if origin.is_tls else None,
            )
        self._all.add(connection)
        return connection

    def _keep(self, origin: Origin, connection: Connection) -> None:
        self._free.setdefault(origin, {})[connection] = None

    def _drop(self, origin: Origin, connection: Connection) -> None:
        self._all.discard(connection)
        self._free.get(origin, {}).pop(connection, None)

    def close(self) -> None:
        for connection in self._all:
            connection.close()


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
    return re.split("[/?#]", url.partition("//")[2])[0].rpartition("@")[2]


def unreachable(provider: str, url: str, error: Exception) -> ApiError:
    """The client's error for a provider that does not answer: the host is named, its path and query are not."""
    host = _host(url)
    if isinstance(error, Endless):
        return too_large(provider)
    if isinstance(error, Packed):
        words = f"{provider}: {host} compresses its answer, which it was asked not to, and it cannot be read: {error}"
        return ApiError(500, "api_error", words, should_retry=False)
    if isinstance(error, Silence):
        return ApiError(504, "timeout_error", f"{provider}: {host} fell silent for longer than the time allowed")
    if isinstance(error, TimeoutError):
        return ApiError(504, "timeout_error", f"{provider}: no connection to {host} within the time allowed")
    if isinstance(error, ConnectionError) and error.errno in _BROKEN:
        words = redact(str(error)) or "it was closed"
        return ApiError(500, "api_error", f"{provider}: the connection to {host} broke: {words}", should_retry=True)
    words = (isinstance(error, OSError) and error.strerror) or redact(str(error))
    return ApiError(500, "api_error", f"{provider}: cannot connect to {host}: {words}")


def too_large(provider: str) -> ApiError:
    """The client's error for an answer that has no end."""
    return ApiError(500, "api_error", f"{provider}: the answer is larger than {MOST_BYTES:,} bytes", should_retry=False)
