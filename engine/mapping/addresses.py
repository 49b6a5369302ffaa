"""The addresses that paths are appended to: what of one can be known before anybody is asked there."""

import re
from urllib.parse import urlsplit

NAME = "([A-Za-z_][A-Za-z0-9_]*)"
"""Of an environment variable."""

VARIABLE = re.compile(r"\$\{" + NAME + r"\}")


def url_trouble(url: str) -> str | None:
    """Why no path can be appended to an address, or nobody asked there; None where all is well."""
    if not url.startswith(("http://", "https://")):
        return f"begins with http:// or https://, not {url!r}"
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        return f"is no address: {error}"
    if not url.isprintable() or " " in url:
        return "holds a space or a line end"
    if not has_host:
        return "names no host"
    if parts.username is not None:
        return "holds a name or a password, which would be shown: a key belongs in `api_key`"
    if parts.query or parts.fragment:
        return "ends before any '?' and '#': paths are appended to it"
    return None


def trouble_with_variables(url: str) -> str | None:
    """The same of an address in which variables stand, whatever they hold."""
    filled = VARIABLE.sub("1", f"http://{url}" if VARIABLE.match(url) else url)
    return "has a variable that is not written ${NAME}" if "${" in filled else url_trouble(filled)
