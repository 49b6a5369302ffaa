"""Attacks on a server that is a real process: through its front door, and from the provider behind it.

docs/attacks.md tells of each what happens, and a test here holds that table to the tests there are.
"""

import base64
import contextlib
import gzip
import hmac
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.gateway import access
from engine.gateway.names import glob
from engine.gateway.settings import ClientKey, Config
from engine.wire import validate
from engine.wire.errors import ApiError, from_provider
from engine.wire.facts import Facts
from engine.wire.framing import SSE
from engine.wire.pairing import pair
from engine.wire.redact import redact
from tests.running import ROOT, running
from tests.upstreams import Answer, Upstream, chat_stream, scripted, stop_chunk, text_chunk

KEY = "sk-of-the-provider-5up3r53cr3t"
OWN = "open-sesame-of-ccproxy"
PAGE = ROOT / "docs" / "attacks.md"

HELLO = Answer(chat_stream(text_chunk("Hello"), stop_chunk()))
HOST = {"host": "127.0.0.1", "connection": "close"}


class RawProvider:
    """A provider that speaks bytes: it reads a request, sends what `answer` gives, and remembers who asked."""

    def __init__(self) -> None:
        self.answer: Callable[[], Iterable[bytes]] = lambda: []
        self.asked: list[bytes] = []
        self.left = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._one, args=(self._listener.accept()[0],), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            length = re.search(rb"content-length: (\d+)", data, re.IGNORECASE)
            while length and len(data.partition(b"\r\n\r\n")[2]) < int(length[1]):
                data += connection.recv(65536)
            self.asked.append(data)
            try:
                for piece in self.answer():
                    connection.sendall(piece)
            except OSError:
                self.left.set()

    def close(self) -> None:
        self._listener.close()


class Place(NamedTuple):
    """A server, the providers behind it, its folder and its process."""

    address: str
    told: Upstream
    raw: RawProvider
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")

    def memory(self) -> int:
        """Megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found
        return int(found[1]) // 1024


@contextlib.contextmanager
def serving(folder: Path, more: str = "", environment: dict[str, str] | None = None) -> Iterator[Place]:
    raw = RawProvider()
    with scripted() as told:
        told.answers = [HELLO]
        configuration = f"""
breaker: false
providers:
  told: {{ mapping: openai-chat, base_url: "{told.base_url}", api_key: {KEY}, models: [big] }}
  any: {{ mapping: openai-chat, base_url: "{told.base_url}", api_key: {KEY} }}
  gemini: {{ base_url: "{told.base_url}", api_key: {KEY} }}
  raw: {{ mapping: openai-chat, base_url: "http://127.0.0.1:{raw.port}/v1", api_key: {KEY} }}
  native: {{ mapping: anthropic, base_url: "http://127.0.0.1:{raw.port}", api_key: {KEY} }}
timeouts: {{ connect: 2s, silence: 2s }}
{more}
"""
        with running(folder, configuration, environment=environment) as (address, process):
            yield Place(address, told, raw, folder, process)
    raw.close()


@pytest.fixture(scope="module")
def open_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Without a key: for this machine alone."""
    with serving(tmp_path_factory.mktemp("open"), "limits: { request_bytes: 100000 }") as place:
        yield place
        assert "Traceback" not in place.log
        assert KEY not in place.log


@pytest.fixture(scope="module")
def keyed_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """With a key, for the whole world; for requests of ten megabytes."""
    with serving(tmp_path_factory.mktemp("keyed"), f"host: 0.0.0.0\napi_key: {OWN}\n") as place:
        yield place
        assert "Traceback" not in place.log
        assert KEY not in place.log
        assert OWN not in place.log


@pytest.fixture
def place(open_place: Place) -> Place:
    open_place.told.requests.clear()
    open_place.told.answers = [HELLO]
    open_place.raw.left.clear()
    open_place.raw.asked.clear()
    return open_place


@pytest.fixture
def keyed(keyed_place: Place) -> Place:
    keyed_place.told.requests.clear()
    keyed_place.told.answers = [HELLO]
    return keyed_place


class Got(NamedTuple):
    """A response; of several, which no request here should have, the rest is in the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        told: str = json.loads(self.body)["error"]["message"]
        return told


def exchange(address: str, *data: bytes | float, seconds: float = 20, source: str | None = None) -> bytes:
    """All that comes for these bytes, between which a number is a pause, until the server closes the connection."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds, source_address=(source, 0) if source else None) as line:
        got = b""
        with contextlib.suppress(ConnectionError):  # who is refused may still have been sending
            for piece in data:
                if isinstance(piece, float):
                    time.sleep(piece)
                else:
                    line.sendall(piece)
        with contextlib.suppress(ConnectionError):
            while piece := line.recv(65536):
                got += piece
    return got


def read(answer: bytes) -> Got:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Got(int(first.split(" ")[1]) if first else 0, headers, body)


def written(method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes | None = None) -> bytes:
    length = [("content-length", str(len(body)))] if body is not None else []
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in [*headers, *length]), "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body or b"")


def ask(place: Place, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None) -> Got:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return read(exchange(place.address, written(method, path, (HOST | (headers or {})).items(), data)))


def message(model: str = "told/big", **fields: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": True} | fields


def send(place: Place, body: Any, **headers: str) -> Got:
    return ask(place, "POST", "/v1/messages", headers, body)


def is_well(place: Place) -> bool:
    """Whether it serves the next one, and at once."""
    began = time.monotonic()
    return ask(place, "GET", "/ready").status == 200 and time.monotonic() - began < 2


# Who asks


def own_address() -> str | None:
    """An address of this machine that is no loopback address. No packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found: str = probe.getsockname()[0]
        return None if found.startswith("127.") else found


def test_foreign_address(place: Place) -> None:
    """Who asks is told by the address that the connection comes from, though the server listens on a loopback address."""
    source = own_address()
    if source is None:
        pytest.skip("this machine has no address but loopback ones, so that no connection can come from another")
    for path in ("/status", "/", "/v1/models", "/metrics"):
        got = read(exchange(place.address, written("GET", path, HOST.items()), source=source))
        assert (got.status, b"serves only this machine" in got.body) == (403, True)
    assert list(json.loads(read(exchange(place.address, written("GET", "/health", HOST.items()), source=source)).body)) == [
        "status"
    ]


@pytest.mark.parametrize(
    "peer", ["192.0.2.9", "10.0.0.1", "::2", "fe80::1", "0.0.0.0", "::", "not an address", "127.0.0.1.example"]
)
def test_foreign_address_of_any_kind(peer: str) -> None:
    scope = {"client": (peer, 4711), "headers": [(b"host", b"127.0.0.1")], "method": "GET", "path": "/status"}
    with pytest.raises(ApiError, match="serves only this machine"):
        access.check(scope, Config())


def test_listening_to_the_world_without_a_key(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", own_address() or "192.0.2.1"):
        with pytest.raises(AssertionError, match="can be reached by others: set `api_key`"), running(tmp_path, f'host: "{host}"'):
            pass


def test_a_reload_that_takes_the_key_away(tmp_path: Path) -> None:
    """The address stays what it was, and so the key has to stay as well."""
    with serving(tmp_path, f"host: 0.0.0.0\napi_key: {OWN}\n") as place:
        (tmp_path / "config.yaml").write_text("host: 127.0.0.1\n")
        got = ask(place, "POST", "/reload", {"x-api-key": OWN})
        assert (got.status, "can be reached by others" in got.error) == (400, True)
        assert ask(place, "GET", "/status").status == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "evil.example:3456",
        "0.0.0.0",
        "[::ffff:192.0.2.1]",
        "[",
        "x" * 5_000,
    ],
)
def test_rebinding(host: str, place: Place) -> None:
    """A page of a name that points to this machine: the browser sends that name as Host."""
    for method, path in (("POST", "/v1/messages"), ("GET", "/status"), ("GET", "/"), ("POST", "/reload")):
        got = ask(place, method, path, {"host": host}, message() if method == "POST" else None)
        assert (got.status, len(got.body) < 1_500) == (403, True)
    assert place.told.requests == []


def test_several_hosts_of_which_one_is_ours(place: Place) -> None:
    for name in ("host", "origin"):
        for values in (("127.0.0.1", "evil.example"), ("evil.example", "127.0.0.1")):
            told = [(name, f"http://{value}" if name == "origin" else value) for value in values]
            first = [("host", "127.0.0.1")] if name == "origin" else []
            got = read(exchange(place.address, written("GET", "/status", [*first, *told, ("connection", "close")])))
            assert got.status in (400, 403)


FOREIGN_PAGES = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1.evil.example"},
    {"origin": "file://"},
    {"sec-fetch-site": "cross-site"},
    {"origin": "https://evil.example", "content-type": "text/plain"},
    {"origin": "https://evil.example", "content-type": "application/x-www-form-urlencoded"},
]


@pytest.mark.parametrize("page", FOREIGN_PAGES, ids=str)
def test_cross_site(page: dict[str, str], place: Place) -> None:
    """Also as what a browser sends without asking first: a form, plain text, a picture's address."""
    for method, path in (("POST", "/v1/messages"), ("POST", "/reload"), ("GET", "/status"), ("GET", "/")):
        got = ask(place, method, path, page, message() if method == "POST" else None)
        assert got.status == 403
        assert not any(name.startswith("access-control-") for name in got.headers)
    assert place.told.requests == []
    assert "reloaded" not in place.log


def test_cross_site_with_a_key(keyed: Place) -> None:
    """The browser asks first whether it may send a header of the page's own, and is told nothing."""
    asked = {
        "origin": "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key",
    }
    got = ask(keyed, "OPTIONS", "/v1/messages", asked)
    assert got.status == 401
    assert not any(name.startswith("access-control-") for name in got.headers)


def basic(password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


def test_a_password_that_the_browser_adds_for_another_page(keyed: Place) -> None:
    """What a browser remembers it sends along with whatever a page has it ask."""
    assert ask(keyed, "GET", "/status", basic(OWN)).status == 200
    assert ask(keyed, "GET", "/status", basic(OWN) | {"sec-fetch-site": "same-origin"}).status == 200
    for site in ("cross-site", "same-site"):
        page = basic(OWN) | {"sec-fetch-site": site}
        assert ask(keyed, "GET", "/status", page | {"sec-fetch-dest": "script"}).status == 401
        assert ask(keyed, "GET", "/status", page | {"sec-fetch-dest": "iframe", "sec-fetch-mode": "navigate"}).status == 401
        assert ask(keyed, "GET", "/", page | {"sec-fetch-dest": "document"}).status == 200  # a link that was clicked
    for method, path in (("POST", "/reload"), ("POST", "/v1/messages"), ("GET", "/metrics"), ("GET", "/providers")):
        assert ask(keyed, method, path, basic(OWN), b"{}").status == 401


def test_the_page_in_a_frame(place: Place) -> None:
    headers = ask(place, "GET", "/").headers
    rules = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'", "connect-src 'self'"} <= {
        *rules
    }
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_forwarded_requests(tmp_path: Path, place: Place) -> None:
    """Behind a proxy everyone has its address, and what it says of them counts only where it is known."""
    for said in ({"x-forwarded-for": "127.0.0.1"}, {"forwarded": "for=127.0.0.1"}, {"x-real-ip": "127.0.0.1"}, {"via": "1.1 x"}):
        assert ask(place, "GET", "/status", said).status == 403
    with serving(tmp_path, "trusted_proxies: [127.0.0.1]\n") as trusting:
        for hops, status in (
            (["127.0.0.1"], 200),
            (["203.0.113.9"], 403),
            (["127.0.0.1, 203.0.113.9"], 403),
            (["127.0.0.1", "203.0.113.9"], 403),  # a proxy that adds a line of its own behind the asker's
            (["203.0.113.9, 127.0.0.1"], 403),
            (["localhost, unknown"], 403),
            ([""], 403),
        ):
            lines = [*HOST.items(), *(("x-forwarded-for", hop) for hop in hops)]
            assert (hops, read(exchange(trusting.address, written("GET", "/status", lines))).status) == (hops, status)
        assert ask(trusting, "GET", "/status", {"forwarded": "for=203.0.113.9"}).status == 403


def test_guessing_a_key_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By construction: every key is compared with every other by a comparison that takes as long whatever it finds."""
    compared: list[tuple[bytes, bytes]] = []

    def comparing(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return right(one, other)

    right = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", comparing)
    config = Config(api_key=OWN, api_keys={name: ClientKey(f"key-of-{name}") for name in ("alice", "bob", "ci")})
    counts = set()
    for guess in (OWN, "key-of-alice", "key-of-ci", "wrong", OWN[:-1], "", "ä" * 50):
        compared.clear()
        scope = {"headers": [(b"x-api-key", guess.encode())], "method": "GET", "path": "/status"}
        with contextlib.suppress(ApiError):
            access.check(scope, config)
        counts.add(len(compared))
    assert counts == {8}
    # And by nothing else.
    assert not re.search(r"\.key\b\s*(?:==|!=|in\b)|(?:==|!=)\s*config\.api_key", inspect.getsource(access))


def test_keys_where_none_belongs(keyed: Place) -> None:
    """A key in an address would stand in histories and logs; an empty or a doubled one is no key."""
    for headers in (
        {},
        {"x-api-key": ""},
        {"authorization": "Bearer "},
        {"authorization": ""},
        {"cookie": f"x-api-key={OWN}"},
        {"authorization": f"Bearer {OWN} {OWN}"},
        {"x-api-key": OWN + "\t" + OWN},
        {"x-api-key": OWN.upper()},
        {"x-api-key": "x" * 50_000},
        {"authorization": "Basic !"},
        {"authorization": "Basic " + "A" * 50_000},
    ):
        assert (headers, ask(keyed, "GET", "/status", headers).status) == (headers, 401)
    for path in (f"/status?key={OWN}", f"/status?x-api-key={OWN}", f"/v1/models?api_key={OWN}", f"/status#{OWN}"):
        assert ask(keyed, "GET", path).status in (400, 401)


def test_the_door_is_before_the_body(keyed: Place) -> None:
    """Who has no key is refused before a byte of the body is read, and holds nothing."""
    head = written("POST", "/v1/messages", [*HOST.items(), ("content-length", "10000000")])
    assert read(exchange(keyed.address, head)).status == 401


# How much


def test_a_body_too_large(place: Place) -> None:
    for head, body in (
        (("content-length", "999999999"), b"x" * 200_000),
        (("transfer-encoding", "chunked"), b"4000\r\n" + b"x" * 0x4000 + b"\r\n"),
    ):
        pieces = [written("POST", "/v1/messages", [*HOST.items(), head]), *([body] * 20)]
        got = read(exchange(place.address, *pieces))
        assert (got.status, json.loads(got.body)["error"]["type"]) == (413, "request_too_large")
    assert is_well(place)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One that gives a request two seconds, and not a minute."""
    folder = tmp_path_factory.mktemp("impatient")
    (folder / "sitecustomize.py").write_text("from engine.gateway import client_watch\nclient_watch.BODY_SECONDS = 2.0\n")
    with serving(folder, environment={"PYTHONPATH": f"{folder}:{ROOT}"}) as place:
        yield place


def test_a_body_that_trickles_in(impatient: Place) -> None:
    for head in (("content-length", "1000"), ("transfer-encoding", "chunked")):
        drops = [b"1\r\n{\r\n" if head[1] == "chunked" else b"{", 0.4] * 12
        began = time.monotonic()
        got = read(exchange(impatient.address, written("POST", "/v1/messages", [*HOST.items(), head]), *drops))
        assert (got.status, json.loads(got.body)["error"]["type"]) == (408, "timeout_error")
        assert time.monotonic() - began < 8


def test_a_head_that_trickles_in(place: Place) -> None:
    """Granian gives it thirty seconds, and so it does the next request of a connection."""
    began = time.monotonic()
    got = exchange(place.address, b"GET /status HTTP/1.1\r\nhost: 127.0.0.1\r\n", *[b"x: y\r\n", 1.0] * 34, seconds=60)
    assert not got.startswith(b"HTTP/1.1 200")
    assert time.monotonic() - began < 40


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(10_000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        b"X" * 1_000_000 + b" / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    ],
    ids=["many headers", "a long header", "a long address", "a long method"],
)
def test_a_head_too_large(head: bytes, place: Place) -> None:
    before = place.memory()
    assert read(exchange(place.address, head)).status in (400, 414, 431)
    assert place.memory() - before < 20
    assert is_well(place)


def test_what_is_quoted_is_cut(place: Place) -> None:
    for method, path in (("GET", "/" + "x" * 60_000), ("X" * 60_000, "/")):
        got = ask(place, method, path)
        assert got.status in (404, 405)
        assert len(got.body) < 2_000
        assert len(place.log.splitlines()[-1]) < 2_000


FORTUNES = ",".join(f'"{number}": 1' for number in range(700_000))
REST = '"model": "told/big", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[" * 5_000_000, 400),
        ('{"a":' * 1_000_000, 400),
        (f'{{{REST}, "metadata": {"[" * 300}{"]" * 300}}}', 400),
        (f"{{{REST}, {FORTUNES}}}", 400),
        (f'{{{REST}, "top_k": {"9" * 9_000_000}}}', 400),
        (f'{{{REST}, "temperature": 1e999}}', 400),
        (f'{{{REST}, "temperature": NaN}}', 400),
        (f'{{{REST}, "top_k": -1}}', 400),
        (f'{{{REST}, "{"x" * 9_000_000}": 1}}', 400),
        (f"{{{REST.replace('big', 'big' + '[1m]' * 2_000_000)}}}", 400),
        ("{" + REST.replace("big", "\\ud83d") + "}", 400),
        ("\ufeff{}", 400),
        ("", 400),
        ("null", 400),
    ],
    ids=[
        "lists without end",
        "objects without end",
        "lists in place of an object",
        "a million keys",
        "a long number",
        "infinity",
        "no number",
        "a negative number",
        "a long key",
        "a model's name that goes on",
        "half an emoji",
        "a byte order mark",
        "nothing",
        "null",
    ],
)
def test_json_that_is_made_to_hurt(body: str, status: int, keyed: Place) -> None:
    began = time.monotonic()
    got = send(keyed, body.encode(), **{"x-api-key": OWN})
    assert (got.status, json.loads(got.body)["error"]["type"]) == (status, "invalid_request_error")
    assert time.monotonic() - began < 5
    assert len(got.body) < 2_000
    assert is_well(keyed)


def nested(depth: int, inner: Any = "x", *, content: bool = False) -> Any:
    for _ in range(depth):
        inner = [{"type": "tool_result", "tool_use_id": "t", "content": inner}] if content else {"properties": inner}
    return inner


@pytest.mark.parametrize("depth", [100, 250, 300, 480, 900])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("model", ["told/big", "native/big"])  # which breaks off
def test_what_is_nested_is_sent_on_or_refused(depth: int, path: str, model: str, place: Place) -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": nested(depth)}
    asked = {"role": "user", "content": "hi"}
    for fields in (
        {"metadata": nested(depth)},
        {"messages": [asked, {"role": "assistant", "content": [call]}, asked]},
        {"messages": [{"role": "user", "content": nested(depth // 2, content=True)}]},
        {"tools": [{"name": "f", "input_schema": nested(depth)}]},
        {"system": nested(depth // 2, content=True)},
        {"output_config": {"format": {"type": "json_schema", "schema": nested(depth)}}},
    ):
        got = ask(place, "POST", path, {}, message(model, **fields))
        assert b"ccproxy failed" not in got.body
        if model == "told/big":
            assert got.status == 200 if depth == 100 else got.status in (200, 400)
    assert is_well(place)


def test_names_are_never_longer_than_names(keyed: Place) -> None:
    """What a client names is kept: in what is counted, in the log, in headers."""
    before = keyed.memory()
    for number in range(30):
        got = send(keyed, message(f"any/{number}" + "x" * 9_000_000), **{"x-api-key": OWN})
        assert got.status == 400
    assert keyed.memory() - before < 150
    assert len(ask(keyed, "GET", "/status", {"x-api-key": OWN}).body) < 500_000


SMUGGLED = b"GET /status HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        [("content-length", str(len(SMUGGLED) + 5)), ("transfer-encoding", "chunked")],
        [("transfer-encoding", "chunked"), ("content-length", "5")],
        [("transfer-encoding", "chunked"), ("transfer-encoding", "identity")],
        [("transfer-encoding", "xchunked")],
        [("transfer-encoding ", "chunked")],
        [("content-length", "5"), ("content-length", "6")],
        [("content-length", "-1")],
        [("content-length", "+5")],
        [("content-length", "5, 6")],
        [("content-length", "0x5")],
        [("content-length", "9" * 40)],
        [("x", "y\r\n content-length: 5")],
    ],
    ids=str,
)
def test_smuggling(headers: list[tuple[str, str]], place: Place) -> None:
    """Of a request whose length can be read in two ways no second one is made."""
    head = written("POST", "/v1/messages", [("host", "127.0.0.1"), *headers])
    answer = exchange(place.address, head + b"0\r\n\r\n" + SMUGGLED, seconds=40)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert read(answer).status == 400
    assert b"uptime_seconds" not in answer


@pytest.mark.parametrize(
    "chunks",
    [
        b"-1\r\nabc\r\n0\r\n\r\n",
        b"f" * 40 + b"\r\nabc\r\n",
        b"zz\r\n",
        b"1;" + b"a" * 50_000 + b"\r\n{\r\n0\r\n\r\n",
        b"1;a=b\r\n{\r\n" * 20_000,
        b"1\r\n{\r\n0\r\n" + b"a: b\r\n" * 50_000 + b"\r\n",
    ],
    ids=["less than nothing", "more than there is", "no number", "a long extension", "many extensions", "many trailers"],
)
def test_chunks_that_are_none(chunks: bytes, place: Place) -> None:
    got = read(
        exchange(place.address, written("POST", "/v1/messages", [*HOST.items(), ("transfer-encoding", "chunked")]) + chunks)
    )
    assert got.status in (0, 400, 413, 500)
    assert b"Traceback" not in got.body
    assert place.told.requests == []
    assert is_well(place)


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nhost: 169.254.169.254\r\nconnection: close\r\n\r\n", {400, 403}),
        (b"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nhost: 169.254.169.254\r\nconnection: close\r\n\r\n", {403}),
        (b"TRACE / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncookie: a=b\r\n\r\n", {405}),
        (
            b"GET /status HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            {200},
        ),
        (
            b"GET /status HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade, http2-settings, close\r\nupgrade: h2c\r\n"
            b"http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
            {200},
        ),
        (bytes.fromhex("16030100ff010000fb0303") + bytes(200), {400}),
        (b"\0" * 5_000, {400}),
        (b"GET /\0 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", {400}),
        (b"GET /\xff HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: a\r\n b\r\n\r\n", {400}),
        (b"GET / HTTP/9.9\r\nhost: 127.0.0.1\r\n\r\n", {400}),
    ],
    ids=[
        "connect",
        "an absolute address",
        "trace",
        "websocket",
        "h2c",
        "tls",
        "zeros",
        "a zero in the path",
        "no UTF-8",
        "a folded line",
        "another version",
    ],
)
def test_other_protocols(data: bytes, statuses: set[int], place: Place) -> None:
    """Nothing is switched to, nothing is fetched, nothing is echoed."""
    got = read(exchange(place.address, data))
    assert got.status in statuses
    assert b"a=b" not in got.body
    assert place.raw.asked == []


def test_expecting_to_be_waited_for(keyed: Place) -> None:
    """`Expect: 100-continue` of who may not ask brings the refusal at once, and no invitation to send ten megabytes."""
    head = written("POST", "/v1/messages", [*HOST.items(), ("expect", "100-continue"), ("content-length", "10000000")])
    assert exchange(keyed.address, head).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%5c..%5cetc",
        "//etc/passwd",
        "/v1/models/..%2f..%2fstatus",
        "/v1/models/../../../../etc/passwd",
        "/status%00",
        "/v1/messages%00.html",
        "/%c0%ae%c0%ae/etc/passwd",
        "/static/../status",
        "/.env",
        "/config.yaml",
        "/v1/models/%ed%a0%80",
        "/%0d%0ax-evil:%201",
        "/server.py",
        "/;/status",
    ],
)
def test_path_traversal(path: str, place: Place) -> None:
    """A path is looked up in a table, and names no file."""
    got = ask(place, "GET", path)
    assert (got.status, json.loads(got.body)["error"]["type"]) == (404, "not_found_error")
    assert b"root:" not in got.body
    assert "x-evil" not in got.headers


# What is named in a request


ODD = "x\r\nx-evil: 1\r\n\r\n<script>\0\x1b[31mé\u2028."


def test_header_injection(place: Place) -> None:
    """Through names of models, tools and fields, and the client's own headers: what stands in a header is one line of ASCII."""
    tool = {"name": ODD, "input_schema": {"type": "object"}}
    calls = [{"index": 0, "id": ODD, "function": {"name": ODD, "arguments": "{}"}}]
    call = {"choices": [{"index": 0, "delta": {"tool_calls": calls}}]}
    place.told.answers = [Answer(chat_stream(call, stop_chunk("tool_calls")))]
    headers = {"x-claude-code-session-id": "s", "anthropic-beta": "a\tb"}
    got = send(place, message(f"any/{ODD}", tools=[tool], **{ODD: 1}), **headers)
    assert got.status == 200
    assert got.headers["x-ccproxy-model"] == got.headers["x-ccproxy-dropped"] == "x??x-evil: 1????<script>??[31m??."
    assert "x-evil" not in got.headers
    [asked] = place.told.requests
    assert "x-evil" not in asked["headers"]
    assert asked["body"]["model"] == ODD.strip()
    assert re.fullmatch(r"[\w-]{1,64}", asked["body"]["tools"][0]["function"]["name"])


@pytest.mark.parametrize(
    "model",
    ["../../../evil?x=", "..%2f..%2fevil", "x#", "x?key=stolen&", "x:otherMethod?", "a/..", "x\\..", "x\r\nhost: evil.example"],
)
def test_a_model_in_an_address(model: str, place: Place) -> None:
    """Where the address holds the model's name, the name leads to no other address: the key is good for more than models."""
    for stream in (True, False):
        got = send(place, message(f"gemini/{model}", stream=stream))
        assert (got.status, "No model has a name like this" in got.error) == (404, True)
    assert place.told.requests == []
    send(place, message("gemini/@evil.example/models:x"))
    [asked] = place.told.requests
    assert asked["path"] == "/v1/models/@evil.example/models:x:streamGenerateContent?alt=sse"
    assert asked["headers"]["host"] == f"127.0.0.1:{place.told.port}"


def test_ssrf(place: Place) -> None:
    """Nothing is fetched: a picture's address goes to the provider as an address, and no word of a request names a server."""
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.5)
        url = f"http://127.0.0.1:{inside.getsockname()[1]}/latest/meta-data"
        picture = {"type": "image", "source": {"type": "url", "url": url}}
        document = {"type": "document", "source": {"type": "url", "url": url}}
        words = dict.fromkeys(("base_url", "api_base", "endpoint", "url", "proxy", "provider", "host"), url)
        server = {"mcp_servers": [{"type": "url", "url": url, "name": "m"}]}
        body = message(**words, **server, messages=[{"role": "user", "content": [picture, document]}])
        assert send(place, body, **{"x-base-url": url, "x-forwarded-host": url, "x-original-url": url}).status == 200
        with pytest.raises(TimeoutError):
            inside.accept()
    [asked] = place.told.requests
    assert [part["image_url"]["url"] for part in asked["body"]["messages"][0]["content"] if part["type"] == "image_url"] == [url]


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest", "http://{own}/stolen", "//{own}/x", "/v1/other", "http://[", f"http://u:{KEY}@{{own}}/"],
)
def test_redirects(location: str, place: Place) -> None:
    """A provider that sends elsewhere: nobody goes there, and the key stays."""
    there = location.replace("{own}", f"127.0.0.1:{place.raw.port}")
    place.told.answers = [Answer([b"moved"], status=302, headers={"location": there})]
    got = send(place, message())
    assert (got.status, "redirects to" in got.error) == (400, True)
    assert KEY not in got.error
    assert (len(place.told.requests), place.raw.asked) == (1, [])


def log_at_rest(place: Place) -> list[str]:
    """The log's lines, when no more of them come: a request's is written behind its answer."""
    text = None
    while text != place.log:
        text = place.log
        time.sleep(0.1)
    return text.splitlines() if text else []


def test_log_injection(place: Place) -> None:
    """A line of the log is a line, whatever is named in it, and no terminal obeys it."""
    before = len(log_at_rest(place))
    send(place, message(f"any/{ODD}2026-11-25 00:00:00,000 INFO forged"), **{"x-claude-code-session-id": "a\tb"})
    ask(place, "GET", "/%0a2026-11-25%2000:00:00,000%20INFO%20forged%1b[2J")
    lines = log_at_rest(place)[before:]
    assert len(lines) == 2
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO req_\w+ ", line) for line in lines)
    assert all(line.isascii() and line.isprintable() for line in lines)


# From the provider


def whole(body: bytes, *headers: str, status: str = "200 OK") -> list[bytes]:
    lines = [f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "", ""]
    return ["\r\n".join(lines).encode() + body]


JSON, STREAM = "content-type: application/json", "content-type: text/event-stream"


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


TRACE = 'Traceback (most recent call last):\n  File "/srv/a.py", line 1\n'

SHAPES = {
    "in words": json.dumps({"error": {"message": f"the key {KEY} is wrong"}}).encode(),
    "escaped": f'{{"error": {{"message": "the key {escaped(KEY)} is wrong"}}}}'.encode(),
    "as JSON in JSON": json.dumps({"error": {"message": json.dumps({"error": {"message": f"bad {KEY}"}})}}).encode(),
    "as a code": json.dumps({"error": {"code": KEY, "type": KEY, "status": KEY}}).encode(),
    "as Anthropic tells errors": json.dumps({"type": "error", "error": {"type": "x", "message": f"bad {KEY}"}}).encode(),
    "escaped, as Anthropic tells errors": f'{{"type": "error", "error": {{"type": "x", "message": "{escaped(KEY)}"}}}}'.encode(),
    "in a page": f"<html><title>Bad key {KEY}</title>".encode(),
    "in plain text": f"Authorization: Bearer {KEY}".encode(),
    "among bytes": b"\xff\xfe\0" + KEY.encode() + b"\xff",
    "in a list": json.dumps([{"error": {"message": KEY}}]).encode(),
    "in a header that is shown": json.dumps({"error": {"headers": {"authorization": f"Bearer {KEY}"}, "message": "no"}}).encode(),
    "with a trace": json.dumps({"error": {"message": f"{TRACE}KeyError: {KEY}"}}).encode(),
}


@pytest.mark.parametrize("provider", ["raw", "native"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_providers_error_with_a_key(shape: str, provider: str, place: Place) -> None:
    for status in ("400 Bad", "401 No", "429 Slow", "500 Broken", "200 OK"):
        for stream in (True, False):
            place.raw.answer = lambda status=status: whole(SHAPES[shape], JSON, status=status)
            got = send(place, message(f"{provider}/m", stream=stream))
            # Decoded too: an escaped key is a key.
            assert KEY not in (got.body + str(got.headers).encode()).decode("unicode_escape", "replace")
            assert b"/srv/a.py" not in got.body
    assert KEY not in ask(place, "GET", "/status").body.decode()


def sse(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(event.get("type", "x")).encode(), json.dumps(event).encode())


@pytest.mark.parametrize("provider", ["raw", "native"])
def test_a_stream_that_breaks_with_a_key(provider: str, place: Place) -> None:
    """In the middle of an answer, when its status is long told."""
    start = {"type": "message_start", "message": {"id": "m", "model": "m", "content": [], "usage": {}}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    begun = {"raw": [text_chunk("Hel")], "native": [start, block]}[provider]
    error = {"type": "error", "error": {"type": "api_error", "message": f"the key {KEY} ran out"}}
    events = [*begun, error] if provider == "native" else [*begun, {"error": error["error"]}]
    body = b"".join(sse(event) for event in events)
    place.raw.answer = lambda: whole(body, STREAM)
    got = send(place, message(f"{provider}/m"))
    assert (got.status, b"event: error" in got.body, b"[key] ran out" in got.body) == (200, True, True)
    assert KEY.encode() not in got.body


def test_keys_are_nowhere(place: Place, keyed: Place) -> None:
    """Not in what is shown, nor in the environment of a trace, after all that this file does to both servers."""
    paths = ("/", "/status", "/metrics", "/providers", "/v1/models", "/health")
    told = [ask(keyed, "GET", path, {"x-api-key": OWN}) for path in paths] + [ask(place, "GET", path) for path in paths]
    assert {got.status for got in told} == {200}
    everything = b"".join(got.body + str(got.headers).encode() for got in told).decode() + place.log + keyed.log
    own = {"PATH": os.environ["PATH"], "HOME": str(keyed.folder), "PYTHONPATH": str(ROOT)}
    own["CCPROXY_CONFIG"] = str(keyed.folder / "config.yaml")
    for command in (["status"], ["status", "--json"], ["check"], ["models"], ["providers"]):
        program = [sys.executable, "-c", "from engine.cli import main; main()", *command]
        ran = subprocess.run(program, env=own, cwd=keyed.folder, capture_output=True, text=True)
        assert (command, ran.returncode) == (command, 0)
        everything += ran.stdout + ran.stderr
    assert "ccproxy runs on" in everything
    assert not any(secret in everything for secret in (KEY, OWN, "5up3r"))


def endless(head: str, piece: bytes) -> Iterator[bytes]:
    yield f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode()
    while True:
        yield piece


WORD = b"data: " + json.dumps(text_chunk("word " * 20)).encode() + b"\n\n"


def test_a_stream_without_end(place: Place) -> None:
    """It goes on for as long as the client reads, nothing of it is kept, and it ends when the client leaves."""
    place.raw.answer = lambda: endless(STREAM, WORD * 50)
    host, port = place.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(written("POST", "/v1/messages", HOST.items(), json.dumps(message("raw/m")).encode()))
        sizes, end = [], time.monotonic() + 3
        while time.monotonic() < end:
            assert line.recv(1 << 20)
            sizes.append(place.memory())
        assert sizes[-1] - sizes[len(sizes) // 3] < 15
    assert place.raw.left.wait(5)
    assert is_well(place)


def test_a_client_that_stops_reading(place: Place) -> None:
    """It keeps its connection, and no provider and no place among those that run."""
    place.raw.answer = lambda: endless(STREAM, WORD * 50)
    place.raw.left.clear()
    host, port = place.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(written("POST", "/v1/messages", HOST.items(), json.dumps(message("raw/m")).encode()))
        assert line.recv(1000)
        assert place.raw.left.wait(20)
        assert json.loads(ask(place, "GET", "/status").body)["running"] == []
    assert re.search(r" raw/m .*499 \d+ ms", place.log)
    assert is_well(place)


ENDLESS = {
    "an answer": (False, JSON, b'{"a": "' + b"x" * 100_000),
    "one event": (True, STREAM, b"data: x" + b"x" * 100_000),
    "one event of many lines": (True, STREAM, b"data: x\n" * 10_000),
}


@pytest.mark.parametrize("provider", ["raw", "native"])
@pytest.mark.parametrize("what", ENDLESS)
def test_an_answer_without_end(what: str, provider: str, place: Place) -> None:
    """What has to be kept until it is whole is kept up to 64 MB, and an event of a stream up to 32."""
    stream, head, piece = ENDLESS[what]
    place.raw.answer = lambda: endless(head, piece)
    before = place.memory()
    got = send(place, message(f"{provider}/m", stream=stream))
    assert (got.status, json.loads(got.body)["error"]["type"]) == (500, "api_error")
    assert place.raw.left.wait(5)
    assert place.memory() - before < 250
    assert is_well(place)


def test_an_error_without_end(place: Place) -> None:
    place.raw.answer = lambda: (piece.replace(b"200 OK", b"500 No") for piece in endless(JSON, b"x" * 100_000))
    for provider in ("raw", "native"):
        got = send(place, message(f"{provider}/m"))
        assert (got.status, "larger than 67,108,864 bytes" in got.error) == (500, True)
    assert is_well(place)


@pytest.mark.parametrize(
    "head",
    [
        lambda: [b"HTTP/1.1 200 OK\r\n", *([b"x: y\r\n" * 1_000] * 1_000)],
        lambda: [b"HTTP/1.1 200 OK\r\nx: ", *([b"y" * 10_000] * 10_000)],
        lambda: [b"HTTP/1.1 200 " + b"y" * 10_000_000],
        lambda: [b"\0" * 1_000_000],
        lambda: [b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n"],
        lambda: [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nzz"],
        lambda: [b"HTTP/1.1 200 OK\r\nx: %b\0\r\n\r\n" % KEY.encode()],
        lambda: [b"HTTP/1.1 999 OK\r\n\r\n"],
    ],
    ids=[
        "headers without end",
        "a header without end",
        "a first line without end",
        "zeros",
        "less than nothing",
        "two lengths",
        "a zero with the key",
        "an odd status",
    ],
)
def test_a_providers_head_without_sense(head: Callable[[], list[bytes]], place: Place) -> None:
    place.raw.answer = head
    before, began = place.memory(), time.monotonic()
    for provider in ("raw", "native"):
        got = send(place, message(f"{provider}/m"))
        assert got.status in (400, 500, 504)
        assert KEY.encode() not in got.body
    assert place.memory() - before < 60
    assert time.monotonic() - began < 10
    assert is_well(place)


def test_headers_of_a_provider(place: Place) -> None:
    """Of them few are passed on, and none that would end a line or set a cookie."""
    evil = [
        "retry-after: 5",
        "anthropic-x: a\tb",
        "set-cookie: a=b",
        "access-control-allow-origin: *",
        "anthropic-organization-id: org-1",
    ]
    place.raw.answer = lambda: whole(b'{"type":"error","error":{"type":"x","message":"slow"}}', JSON, *evil, status="429 Slow")
    got = send(place, message("native/m"))
    assert (got.status, got.headers["retry-after"], got.headers["anthropic-x"]) == (429, "5", "a?b")
    assert not {"set-cookie", "access-control-allow-origin", "anthropic-organization-id"} & {*got.headers}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_gzip_bombs(encoding: str, place: Place) -> None:
    """Nothing compressed was asked for; what comes all the same is unpacked to a limit."""
    bomb = gzip.compress(b'{"a": "' + b"x" * 100_000_000)
    place.raw.answer = lambda: whole(bomb, JSON, f"content-encoding: {encoding}")
    before = place.memory()
    for provider in ("raw", "native"):
        for stream in (True, False):
            assert send(place, message(f"{provider}/m", stream=stream)).status in (400, 500)
    assert place.memory() - before < 20
    assert b"accept-encoding: identity" in place.raw.asked[-1].lower()


# What it costs to read


BABBLE = [
    "1",
    "a",
    "a1",
    "-",
    "_",
    ".",
    ":",
    "::",
    "a.",
    "1.",
    "a@",
    " ",
    "\n",
    "\t",
    "sk-",
    "sk-a",
    "api key ",
    "api key :",
    "bearer ",
    "token:",
    "key=",
    "eyJaaaaaaaa.",
    "arn:aws:",
    "project id ",
    "projects/",
    "org-",
    "://a:",
    "<title>",
    "<h1 ",
    " at a\n",
    "Traceback (most recent call last):\n",
    "goroutine 1",
    "a.internal.",
    "limit: 1 ",
    "model ",
    "try again in 1s ",
    "0:",
]


def test_words_that_take_long_to_read() -> None:
    """The keys, addresses and traces in a provider's words are found in a straight run, and not in going back and forth."""
    for first in ("", "api key ", "bearer ", "sk-", "project id "):
        for again in BABBLE:
            words = (first + again * 8_000)[:8_000]
            assert (min(timed(redact, words) for _ in range(3)) < 0.15) is True, (first, again)


def timed(work: Callable[[Any], Any], *arguments: Any) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def test_lines_that_take_long_to_read() -> None:
    """An event that comes in a hundred thousand lines is read once, and not once for each of them."""
    decoder = SSE()
    began = time.perf_counter()
    for _ in range(100_000):
        assert decoder.feed(b"data: x\n") == []
    assert time.perf_counter() - began < 3
    with pytest.raises(ValueError, match="no JSON"):
        decoder.feed(b"\n")


def test_idle_connections(place: Place) -> None:
    """Who connects and says nothing keeps nobody out."""
    host, port = place.address.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
        assert exchange(place.address, written("GET", "/ready", HOST.items()), seconds=3).startswith(b"HTTP/1.1 200 ")


def test_a_request_that_is_over_is_let_go(keyed: Place) -> None:
    request = message("any/m", messages=[{"role": "user", "content": "x" * 9_000_000}])
    sizes = []
    for _ in range(20):
        assert send(keyed, request, **{"x-api-key": OWN}).status == 200
        sizes.append(keyed.memory())
    assert sizes[-1] - sizes[9] < 40


# Known, and not mended yet


def test_http_2(place: Place) -> None:
    """Its compressed headers unpack to sixteen megabytes for each of two hundred requests of a connection."""
    answer = to_the_end(place.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("status", "words", "headers"),
    [
        (400, "context window exceeded " + "1" * 8_000, {}),
        (429, "slow", {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1" * 4_000 + "x"}),
        (500, "<html>" + "<title>" * 6_000, {}),
    ],
    ids=["figures", "a header", "a page"],
)
def test_errors_that_take_long_to_read(status: int, words: str, headers: dict[str, str]) -> None:
    assert timed(from_provider, "p", status, {"message": words}, headers) < 0.4


@pytest.mark.parametrize(
    "answer",
    [
        Answer([b'{"error": {"message": "prompt is too long: ' + b"9" * 5_000 + b' tokens"}}'], 400, "application/json"),
        Answer([b'{"error": {"message": "slow"}}'], 429, "application/json", {"retry-after": "9" * 400}),
    ],
    ids=["in words", "in a header"],
)
def test_numbers_that_nobody_can_reckon_with(answer: Answer, tmp_path: Path) -> None:
    with serving(tmp_path) as place:
        place.told.answers = [answer]
        assert send(place, message()).status == answer.status
        assert "Traceback" not in place.log


def test_calls_that_all_have_one_id() -> None:
    calls = [{"type": "tool_use", "id": "x", "name": "t", "input": {}}] * 1_000
    assert timed(pair, [{"role": "assistant", "content": calls}], Facts()) < 0.4


def test_globs_that_take_long() -> None:
    assert timed(glob("a*b*c*d").fullmatch, "a" + "bc" * 2_000) < 0.4


def test_a_million_mistakes() -> None:
    request = message(messages=[{"role": "user", "content": [1] * 500_000}])
    began = time.perf_counter()
    with pytest.raises(ApiError):
        validate.check(request)
    assert time.perf_counter() - began < 0.4


# Anything


def test_fuzz(open_place: Place) -> None:
    """Whatever comes in, the server answers or hangs up, is well afterwards, and tells no key and no trace."""
    tokens = st.sampled_from(
        [
            b"GET",
            b"POST",
            b"HEAD",
            b"OPTIONS",
            b"PRI",
            b" ",
            b"/",
            b"*",
            b"/v1/messages",
            b"/v1/messages/count_tokens",
            b"/status",
            b"/v1/models/",
            b"?",
            b"%00",
            b"%2e%2e/",
            b" HTTP/1.1\r\n",
            b" HTTP/1.0\r\n",
            b" HTTP/2.0\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b":",
            b"host: 127.0.0.1\r\n",
            b"host: evil\r\n",
            b"content-length: 7\r\n",
            b"content-length: 99999\r\n",
            b"transfer-encoding: chunked\r\n",
            b"connection: close\r\n",
            b"expect: 100-continue\r\n",
            b"upgrade: h2c\r\n",
            b"x-api-key: a\r\n",
            b"0\r\n\r\n",
            b"5\r\n",
            b'{"model":',
            b'"told/big"',
            b"}",
            b"[",
            b"1e9",
            json.dumps(message()).encode(),
        ]
    )
    end = time.monotonic() + 20

    @settings(max_examples=3_000, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(tokens | st.binary(max_size=12), max_size=14),
        st.sampled_from([b"", b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\n"]),
    )
    def anything(pieces: list[bytes], first: bytes) -> None:
        if time.monotonic() > end:
            return
        answer = to_the_end(open_place.address, first + b"".join(pieces))
        assert not re.match(rb"HTTP/1.1 500 (?!Internal Server Error\r\nserver: granian\r\n)", answer)
        assert b"Traceback" not in answer
        assert KEY.encode() not in answer

    anything()
    assert is_well(open_place)
    assert "Traceback" not in open_place.log


def to_the_end(address: str, data: bytes) -> bytes:
    """What is answered to a client that sends this and has no more to say."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        got = b""
        with contextlib.suppress(OSError):  # it may have hung up
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while piece := line.recv(65536):
                got += piece
    return got


# The table


def test_the_table_is_current() -> None:
    """Every test that it names is one of these, each of these is named there, and what is known to fail is called open."""
    page, here = PAGE.read_text(), {name: test for name, test in globals().items() if name.startswith("test_")}
    assert sorted(re.findall(r"`(test_\w+)`", page)) == sorted(here.keys() - {"test_the_table_is_current"})
    still = {name for row in re.findall(r"\| not yet: .*", page) for name in re.findall(r"`(test_\w+)`", row)}
    assert still == {name for name, test in here.items() if any(mark.name == "xfail" for mark in getattr(test, "pytestmark", []))}
