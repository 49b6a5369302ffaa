"""Who may ask. Without a key only this machine may, and no web page that it happens to show."""

import hmac
from urllib.parse import urlsplit

from engine.gateway.config import Config
from engine.gateway.http import Scope, header
from engine.gateway.upstream import is_loopback
from engine.wire.errors import ApiError


class UnsafeAddress(Exception):
    """The server would listen to the world without asking for a key."""


def check_address(config: Config) -> None:
    """Raises UnsafeAddress where the configuration would serve anyone who can reach the machine."""
    if not config.api_key and not is_loopback(config.host):
        raise UnsafeAddress(f"host {config.host} can be reached by others: set `api_key`, or listen on 127.0.0.1")


def check(scope: Scope, config: Config) -> None:
    """Raises ApiError where the request may not be served."""
    if config.api_key:
        _check_key(scope, config.api_key)
    else:
        _check_local(scope)


def _check_key(scope: Scope, key: str) -> None:
    """Clients send the key as `x-api-key`, as a bearer token, or as both."""
    bearer = header(scope, b"authorization") or ""
    given = [header(scope, b"x-api-key") or "", bearer.removeprefix("Bearer ").removeprefix("bearer ")]
    # Both are compared, whatever the first comparison says, so that the time taken tells nothing.
    right = [hmac.compare_digest(one.encode(), key.encode()) for one in given]
    if not any(right):
        raise ApiError(401, "authentication_error", "the key is missing or wrong: send it as x-api-key or as a bearer token")


def _check_local(scope: Scope) -> None:
    client = scope.get("client")
    if client and not is_loopback(client[0]):
        raise ApiError(403, "permission_error", "without `api_key` in its configuration ccproxy serves only this machine")
    # A page from elsewhere can make the browser ask this machine: by a name that it has pointed here (DNS rebinding), or
    # across origins. Neither gets an answer. https://developer.mozilla.org/docs/Web/HTTP/Headers/Origin
    for name in (b"host", b"origin"):
        value = header(scope, name)
        if value and not is_loopback(_host(value if name == b"origin" else f"//{value}")):
            raise ApiError(403, "permission_error", f"the {name.decode()} {value!r} is not this machine")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
