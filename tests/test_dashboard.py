"""The page at `/`: that it needs nothing but itself, reads what `/status` tells, and shows names of any kind as text."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parent.parent / "engine" / "gateway" / "dashboard.html").read_text()
SCRIPT = PAGE.partition('<script type="module">')[2].partition("</script>")[0]
CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)

VOID = {"meta", "link", "input", "br"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"

TIMES = {"p50": 812.5, "p95": 4100.0, "p99": 9000.0}
TALLY = {
    "requests": 12,
    "errors": 2,
    "input_tokens": 9000,
    "output_tokens": 800,
    "cache_read_tokens": 50_000,
    "cache_write_tokens": 70,
    "cost": 0.25,
    "whole_ms": TIMES,
    "first_ms": TIMES,
    "own_ms": TIMES,
}
STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "uptime_seconds": 3605.2,
    "workers": 2,
    "draining": False,
    "running": [
        {
            "id": "req_1",
            "seconds": 3.2,
            "route": "think",
            "provider": "one",
            "model": "large",
            "key": "alice",
            "session": "6f1e0f5c-9c2d-4e7c-8c39-1f6f7fd0a001",
            "stream": True,
            "output_tokens": 311,
        }
    ],
    "total": TALLY,
    "by": [{"route": "default", "provider": "one", "model": "large", "key": "alice", **TALLY}],
    "minutes": [{"at": 1_795_000_020, **TALLY}, {"at": 1_795_000_140, **TALLY}],
    "today": [{"provider": "one", "model": "large", **TALLY}],
    "breakers": [{"provider": "one", "model": "large", "state": "open", "failures": 5, "seconds": 12.0, "why": "one: down"}],
    "routes": [{"name": "default", "to": "one/large", "fallbacks": ["two/small"]}],
    "providers": [{"name": "one", "mapping": "openai-chat", "models": ["large"], "health": "failing"}],
    "lost": [{"provider": "one", "field": "top_k", "reason": "it has no such parameter", "count": 4}],
    "refused": {"load": 3},
    "errors": [
        {
            "at": 1_795_000_020.5,
            "id": "req_0",
            "route": "default",
            "provider": "one",
            "model": "large",
            "status": 529,
            "type": "overloaded_error",
            "message": "one: overloaded",
        }
    ],
}
"""What `/status` tells, one of each."""

NAMES = {
    "status": STATUS,
    "total": TALLY,
    "tally": STATUS["by"][0],
    "request": STATUS["running"][0],
    "minute": STATUS["minutes"][0],
    "spent": STATUS["today"][0],
    "breaker": STATUS["breakers"][0],
    "route": STATUS["routes"][0],
    "provider": STATUS["providers"][0],
    "loss": STATUS["lost"][0],
    "error": STATUS["errors"][0],
}
"""What the page's script calls them."""


class Page(HTMLParser):
    """A page's elements and its text, without that of its scripts and styles. Tags that do not match raise."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, name: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(name)) is not None]


def test_it_is_one_file_without_any_outside_resource() -> None:
    # The name of SVG's namespace, in the icon, is fetched by nobody.
    assert "//" not in re.sub(r"^ *//.*| // .*|http://www.w3.org/2000/svg", "", PAGE, flags=re.M)
    assert not re.findall(r"@import|url\(|\bimport\b|fetch\(|XMLHttpRequest", PAGE)
    page = Page(PAGE)
    assert page.all("src") == []
    assert [href for href in page.all("href") if not href.startswith("data:")] == ["status", "status", "metrics"]


def test_it_parses_no_text() -> None:
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|eval|Function\(", SCRIPT)


def test_it_has_no_code_and_no_style_in_attributes() -> None:
    """So that a policy may name the script and the style by their hashes."""
    names = {name for _, attributes in Page(PAGE).elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name == "style"]


def test_its_parts_find_each_other() -> None:
    page = Page(PAGE)
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    assert set(page.all("aria-labelledby")) <= set(ids)
    asked = set(re.findall(r'(?:\$|write|fill|drawLegend)\("([^"]+)"', SCRIPT))
    assert len(asked) > 20
    assert asked <= set(ids)


def test_each_column_has_a_head() -> None:
    heads = [attributes for tag, attributes in Page(PAGE).elements if tag == "th"]
    assert heads
    assert all(head.get("scope") == "col" for head in heads)


def test_what_it_reads_is_told() -> None:
    read = re.findall(rf"\b({'|'.join(NAMES)})\??\.(\w+)", SCRIPT)
    assert {name for name, _ in read} == set(NAMES)
    assert not [f"{name}.{field}" for name, field in read if field not in NAMES[name]]
    assert set(re.findall(r'name="which" value="(\w+)"', PAGE)) <= set(TALLY)


def test_what_is_told_is_read() -> None:
    assert not [field for field in STATUS if not re.search(rf"\b{field}\b", SCRIPT)]


# In a browser

NOT_SHOWN = {"running.0.id", "running.0.session"}
"""A running request is told by its session, of which eight characters are shown."""


def hostile(told: Any, path: str = "") -> Any:
    """The same with each text, except for words that the page has to know, made into an element that says where it is from."""
    if isinstance(told, dict):
        return {name: hostile(value, f"{path}.{name}".lstrip(".")) for name, value in told.items()}
    if isinstance(told, list):
        return [hostile(value, f"{path}.{i}") for i, value in enumerate(told)]
    if not isinstance(told, str) or path.endswith((".state", ".health")):
        return told
    return f"<img src=x alt='{path}' onerror=\"document.title='taken'\"></td></script>&amp;"


def texts(told: Any) -> Iterator[str]:
    if isinstance(told, dict | list):
        for value in told.values() if isinstance(told, dict) else told:
            yield from texts(value)
    elif isinstance(told, str) and told.startswith("<img"):
        yield told


def shown(status: Any, folder: Path) -> Page:
    """What Chromium makes of the page when it is told this status."""
    told = json.dumps(json.dumps(status)).replace("<", r"\u003c")
    stub = f"""<meta http-equiv="content-security-policy" content="{POLICY}">
<script>window.EventSource = class {{
  constructor() {{ queueMicrotask(() => this.onmessage({{ data: {told} }})); }}
  close() {{}}
}};</script>"""
    file = folder / "page.html"
    file.write_text(PAGE.replace("<title>", stub + "<title>"))
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run([*command, *quiet, profile, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=60)
    return Page(done.stdout)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_names_of_any_kind_are_shown_as_text(tmp_path: Path) -> None:
    status = hostile(copy.deepcopy(STATUS))
    page = shown(status, tmp_path)
    assert "live" in page.text, "the page has drawn the status"
    assert "(1) ccproxy" in page.text, "the title is still the page's own"
    assert not [tag for tag, _ in page.elements if tag == "img"]
    missing = [text for text in texts(status) if text not in page.text]
    assert {re.findall("alt='(.*?)'", text)[0] for text in missing} == NOT_SHOWN
    assert status["running"][0]["session"][:8] in page.text
