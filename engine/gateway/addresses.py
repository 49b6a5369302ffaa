"""Where a request goes: what an address says, and how a connection to there is made."""

import errno
import ipaddress
import os
import socket
import ssl
from asyncio import AbstractEventLoop, wrap_future
from base64 import b64encode
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import lru_cache
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from aiohappyeyeballs import start_connection

SECOND_FAMILY = 0.25
"""Seconds after which another of a host's addresses is tried beside the first (RFC 8305)."""

MOST_BYTES = 64 * 1024
"""That a proxy may say before it connects."""

_PORTS = {"http": 80, "https": 443}

_SAFE = "!$%&'()*+,/:;=?@"
"""What, beside letters and digits, may stand in an address's path and query as it is (RFC 3986, 3.3)."""


class Origin(NamedTuple):
    """With whom a connection is."""

    scheme: str
    host: str
    port: int

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    @property
    def place(self) -> str:
        """The host and the port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """The host and, where it is none that goes without saying, the port."""
        return self.place.removesuffix(f":{_PORTS[self.scheme]}")


class Address(NamedTuple):
    """An address taken apart: with whom, what there, and the header that gives the password that was in it."""

    origin: Origin
    target: str
    authorization: str | None


@lru_cache(maxsize=1024)
def address(url: str) -> Address:
    """Raises ValueError where it is none."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("an address begins with http:// or https:// and a host")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    return Address(Origin(parts.scheme, host, parts.port or _PORTS[parts.scheme]), target, _authorization(parts))


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    return "Basic " + b64encode(f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()).decode()


def head(method: str, to: Address, headers: Mapping[str, str], length: int, proxy: Address | None) -> bytes:
    """What stands before a request's body. Raises ValueError for a header that would be more than one."""
    lines = _lines(method, to, tuple(headers.items()), proxy)
    return lines + (b"\r\n" if method == "GET" else b"content-length: %d\r\n\r\n" % length)


@lru_cache(maxsize=256)
def _lines(method: str, to: Address, headers: tuple[tuple[str, str], ...], proxy: Address | None) -> bytes:
    """Of all requests to an address these are mostly the same."""
    target = to.target
    told = {"host": to.origin.authority}
    if to.authorization:
        told["authorization"] = to.authorization
    if proxy and not to.origin.is_tls:
        target = f"http://{to.origin.authority}{target}"
        if proxy.authorization:
            told["proxy-authorization"] = proxy.authorization
    told |= {name.lower(): value for name, value in headers}
    told.pop("content-length", None)
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    text = "".join([f"{line}\r\n" for line in lines])
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError("a header has a line break in it")
    return text.encode()


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# Connecting

Infos = list[tuple[Any, ...]]
"""As `socket.getaddrinfo` gives them."""

_lookups: dict[tuple[str, int], Future[Infos]] = {}
"""Those that run."""


async def connect(loop: AbstractEventLoop, origin: Origin, proxy: Address | None) -> socket.socket:
    """A connection to there, through the proxy where there is one. Raises OSError."""
    through = proxy.origin if proxy else origin
    infos = await _resolved(through.host, through.port)
    try:
        connected = await start_connection(infos, happy_eyeballs_delay=SECOND_FAMILY, loop=loop)
    except OSError as error:
        raise OSError(error.errno, _why_not(error, through, is_proxy=proxy is not None)) from error
    try:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if proxy and origin.is_tls:
            await _tunnel(loop, connected, origin, proxy)
    except BaseException:
        connected.close()
        raise
    return connected


async def _resolved(host: str, port: int) -> Infos:
    """What a host's name stands for. Raises OSError, and UnicodeError for what cannot be a name."""
    with suppress(socket.gaierror):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return await wrap_future(_lookup(host, port))


def _lookup(host: str, port: int) -> Future[Infos]:
    """A lookup that runs already, else one in a thread of its own.

    uvloop looks up two names at a time: two whose servers say nothing would stop all others. And a process that ends would wait
    for asyncio's threads.
    """
    lookup = _lookups.get((host, port))
    if lookup is None:
        lookup = Future()
        lookup.set_running_or_notify_cancel()  # one who waits no longer does not end it for the others
        Thread(target=_look_up, args=(host, port, lookup), name=f"looks up {host}", daemon=True).start()
        _lookups[host, port] = lookup
        lookup.add_done_callback(lambda _: _lookups.pop((host, port)))
    return lookup


def _look_up(host: str, port: int, lookup: Future[Infos]) -> None:
    try:
        lookup.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except Exception as error:  # noqa: BLE001 - it is raised where the lookup is waited for
        lookup.set_exception(error.with_traceback(None))  # which would hold the lookup, and that the error


def _why_not(error: OSError, to: Origin, *, is_proxy: bool) -> str:
    """Why there is no connection, in words: the error itself quotes a call of the system, for each address of a host."""
    there = f"at the proxy {to.authority}" if is_proxy else "there"
    if f"[Errno {errno.ECONNREFUSED}]" in str(error):
        hint = "; is the server running?" if is_loopback(to.host) else ""
        return f"nothing listens {there} (connection refused){hint}"
    words = os.strerror(error.errno) if error.errno else str(error)
    return f"{there}: {words}" if is_proxy else words


async def _tunnel(loop: AbstractEventLoop, through: socket.socket, origin: Origin, proxy: Address) -> None:
    """Have the proxy connect to there (RFC 9110, 9.3.6)."""
    lines = [f"CONNECT {origin.place} HTTP/1.1", f"host: {origin.place}"]
    if proxy.authorization:
        lines.append(f"proxy-authorization: {proxy.authorization}")
    await loop.sock_sendall(through, "\r\n".join([*lines, "", ""]).encode())
    said = b""
    while b"\r\n\r\n" not in said:
        piece = await loop.sock_recv(through, 4096)
        if not piece or len(said) > MOST_BYTES:
            raise ConnectionError(f"the proxy {proxy.origin.authority} gives no answer")
        said += piece
    first = said.split(b"\r\n", 1)[0].decode("latin-1")
    if first.split(" ")[1:2] != ["200"]:
        raise ConnectionError(f"the proxy {proxy.origin.authority} does not connect: {first}")


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """Certificates are read once, when they are first needed: that takes longer than a request."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
