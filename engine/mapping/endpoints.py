"""Where requests go: what of an address and its headers can be known before there is a request."""

import re
from collections.abc import Mapping

from . import nodes
from .document import Fields, Scalar, Value
from .errors import Problems
from .shapes import present

_TAG = re.compile(r"(?:\s*\{[{%]-|\{[{%]).*?(?:-[}%]\}\s*|[}%]\})", re.DOTALL)
"""What Jinja acts on, with the white space that a `-` takes away."""

_APPENDED = re.compile(r"\{\{\s*base_url\s*\}\}(/.+)")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")

Parts = Mapping[str, nodes.Node]


def check_endpoint(section: str, node: nodes.Node, parts: Parts, document: Fields, problems: Problems) -> None:
    """Check a section that makes an address and its headers. What is of another shape has been told."""
    for where in present(node, parts):
        if not isinstance(where, nodes.Record):
            continue
        if "url" not in where.entries:
            problems.add(where.place, f"{section!r} says no 'url'")
        for url in present(where.entries["url"], parts) if "url" in where.entries else ():
            _check_url(section, url, problems)
            if section == "endpoint":
                _check_appended(url, document.get("base_url"), problems)
        for headers in present(where.entries["headers"], parts) if "headers" in where.entries else ():
            _check_headers(headers, parts, problems)


def _check_url(section: str, url: nodes.Node, problems: Problems) -> None:
    if isinstance(url, nodes.Select):
        return
    text = _text(url)
    if text is None:
        problems.add(url.place, f"the 'url' of {section!r} is a text")
    elif not text.startswith(("http://", "https://", "{{", "{%")):
        problems.add(url.place, 'an address begins with http:// or https://, or with "{{ base_url }}"')
    elif not _is_line(text) or " " in _TAG.sub("", text):
        problems.add(url.place, f"an address cannot hold a space or a line end{_hint(url)}")


def _check_appended(url: nodes.Node, base_url: Value | None, problems: Problems) -> None:
    """A page of documentation shows the whole address, and that is easily taken for `base_url`."""
    appended = _APPENDED.match(_text(url) or "")
    if appended and isinstance(base_url, Scalar) and str(base_url.value).rstrip("/").endswith(appended[1]):
        problems.add(base_url.place, f"'base_url' ends before {appended[1]}, which the mapping appends")


def _check_headers(headers: nodes.Node, parts: Parts, problems: Problems) -> None:
    if isinstance(headers, nodes.Select | nodes.Drop):
        return
    if not isinstance(headers, nodes.Record):
        problems.add(headers.place, "'headers' is an object: names and their values")
        return
    for name, node in headers.entries.items():
        if not _HEADER.fullmatch(name):
            problems.add(headers.keys[name], f"{name!r} is no name of a header: that is made of letters, digits and dashes")
        for value in present(node, parts):
            text = _text(value)
            if text is None and not isinstance(value, nodes.Select | nodes.Drop):
                problems.add(value.place, f"the header {name!r} is a text; one that reads as something else must be quoted")
            elif text is not None and not _is_line(text):
                problems.add(value.place, f"the header {name!r} cannot hold a line end{_hint(value)}")


def _text(node: nodes.Node) -> str | None:
    """What is written of a text, None where the node makes none or an expression finds it."""
    if isinstance(node, nodes.Template):
        return node.text
    return node.value if isinstance(node, nodes.Literal) and isinstance(node.value, str) else None


def _is_line(text: str) -> bool:
    return _TAG.sub("", text).isprintable()


def _hint(node: nodes.Node) -> str:
    """Block text ends in a line end, which nobody sees."""
    is_block = isinstance(node, nodes.Template) and node.scalar.style in ("|", ">")
    return "; behind `|` and `>` a text ends in one, behind `>-` it does not" if is_block else ""
