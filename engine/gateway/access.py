"""Who may ask. Without a key only this machine may, and no web page that it happens to show."""

import hmac
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from engine.gateway.addresses import is_loopback
from engine.gateway.http import Scope, header, headers, one_line
from engine.gateway.settings import Config, Network
from engine.wire.errors import ApiError

FOR_BROWSERS = ("/", "/status")
"""What a person opens: a browser asks for the key itself, and sends it as a password (RFC 7617)."""

LONGEST_PLACE = 300
"""Characters of a Host or an Origin: a name of the DNS has 253 at most."""

_FORWARDED_FOR = b"x-forwarded-for"
_FOR_OTHERS = {_FORWARDED_FOR, b"forwarded", b"x-real-ip", b"via"}
"""By which a proxy may tell that it asks for somebody else; for whom is read in X-Forwarded-For alone."""

_PLACES = (b"host", b"origin")

ASK_FOR_PASSWORD = ("www-authenticate", 'Basic realm="ccproxy, with its key as the password", charset="UTF-8"')


class UnsafeAddress(Exception):
    """The server would listen to the world without asking for a key."""


def check_address(config: Config) -> None:
    """Raises UnsafeAddress where the configuration would serve anyone who can reach the machine."""
    if not config.own_key and not is_loopback(config.host):
        raise UnsafeAddress(f"host {config.host} can be reached by others: set `api_key`, or listen on 127.0.0.1")


def check(scope: Scope, config: Config) -> str | None:
    """The name of the key that was given; None where it has none. Raises ApiError where the request may not be served."""
    if config.api_key or config.api_keys:
        return _check_key(scope, config)
    _check_local(scope, config.trusted_proxies)
    return None


# With a key


def _check_key(scope: Scope, config: Config) -> str | None:
    """Every key is compared with every other, whatever the first comparison says: the time taken tells nothing."""
    known = [(None, config.api_key), *((name, client.key) for name, client in config.api_keys.items())]
    given = [one.encode() for one in _given(scope)]
    right = [name for name, key in known if key for one in given if hmac.compare_digest(one, key.encode())]
    if not right:
        raise ApiError(401, "authentication_error", "the key is missing or wrong: send it as x-api-key or as a bearer token")
    return right[0]


def _given(scope: Scope) -> list[str]:
    """Clients send the key as `x-api-key`, as a bearer token, or as both; browsers, which only look, as a password."""
    scheme, _, credentials = (header(scope, b"authorization") or "").partition(" ")
    given = [header(scope, b"x-api-key") or ""]
    if scheme.lower() == "basic":
        return [*given, _password(credentials)] if _may_be_typed(scope) else given
    return [*given, credentials.strip() if scheme.lower() == "bearer" else scheme]


def _may_be_typed(scope: Scope) -> bool:
    """Whether a password opens this. A browser adds it to whatever a foreign page has it ask, too: it opens nothing that
    changes anything, and for a foreign page only what a click on a link opens."""
    is_foreign = header(scope, b"sec-fetch-site") in ("cross-site", "same-site")
    is_link = header(scope, b"sec-fetch-dest") == "document"
    return scope["method"] == "GET" and scope["path"] in FOR_BROWSERS and (is_link or not is_foreign)


def _password(credentials: str) -> str:
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[2]
    except (NotBase64, ValueError):
        return ""


# Without one


def _check_local(scope: Scope, trusted: Sequence[Network]) -> None:
    client = scope.get("client")
    said = dict(scope["headers"])
    if client and not is_loopback(client[0] if _FOR_OTHERS.isdisjoint(said) else _asker(client[0], scope, trusted)):
        raise ApiError(403, "permission_error", "without `api_key` in its configuration ccproxy serves only this machine")
    # A page from elsewhere can make the browser ask this machine: by a name that it has pointed here (DNS rebinding), or
    # across origins. Neither gets an answer. https://developer.mozilla.org/docs/Web/HTTP/Headers/Origin
    for name, value in scope["headers"]:
        if name in _PLACES and value and (len(value) > LONGEST_PLACE or not _is_here(value)):
            place = one_line(value.decode("latin-1"))
            raise ApiError(403, "permission_error", f"the {name.decode()} {place!r} is not this machine")
    if b"sec-fetch-site" in said and header(scope, b"sec-fetch-site") == "cross-site":
        raise ApiError(403, "permission_error", "a page from elsewhere may not ask this machine")


def _asker(peer: str, scope: Scope, trusted: Sequence[Network]) -> str:
    """For whom a proxy asks. Only those that the configuration names are believed about that; one that it does not name
    asks for somebody else all the same, and so does one that says it in other words."""
    # In all lines: some proxies leave what the asker has sent, and add a line of their own.
    hops = [hop.strip() for line in headers(scope, _FORWARDED_FOR) for hop in line.split(",")]
    if not hops or not _is_among(peer, trusted):
        return "somebody behind an unknown proxy"
    return next((hop for hop in reversed(hops) if not _is_among(hop, trusted)), hops[0])


def _is_among(address: str, networks: Iterable[Network]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks if network.version == found.version)


@lru_cache(maxsize=1024)
def _is_here(place: bytes) -> bool:
    """Whether a Host, or the origin of a page, is this machine."""
    url = place.decode("latin-1")
    try:
        return is_loopback(urlsplit(url if "://" in url else f"//{url}").hostname or "")
    except ValueError:
        return False
