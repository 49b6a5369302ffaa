"""Connections to providers: what is sent, how an answer is read, which connection serves again, what is told of trouble."""

import asyncio
import errno
import gzip
import os
import shlex
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.gateway import addresses, connection, upstream
from engine.wire.errors import ApiError
from tests.providers import CLOSE, HALF_CLOSE, OK, RESET, SECONDS, STAY, Part, Provider, There, Visit, listening, on_both_loops
from tests.running import free_port

STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b"2\r\nhi\r\n"
END = b"0\r\n\r\n"
LARGE = b"x" * 50_000_000


async def ask(there: There, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    with await there.post(there.url, headers or {}, body) as reply:
        return reply.status, reply.headers, await reply.read()


async def told(coming: Awaitable[Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await coming
    return caught.value


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


async def broken(*answer: Part) -> tuple[str, ApiError]:
    """What a client is told of an answer, ahead of which is the address that it came from."""
    async with Provider(list(answer)) as provider:
        error = await told(ask(provider.upstream()))
        return f"p: the connection to 127.0.0.1:{provider.port} broke: ", error


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@on_both_loops
async def test_a_request_is_sent_before_anything_else_is_done() -> None:
    visits: list[socket.socket] = []

    def answer() -> None:
        if not visits:
            visits.append(place.accept()[0])
            visits[0].settimeout(5)
        assert visits[0].recv(10_000).endswith(b"{}")
        visits[0].sendall(OK)

    with socket.create_server(("127.0.0.1", 0)) as place:
        there = There(f"http://127.0.0.1:{place.getsockname()[1]}")
        for _ in range(3):
            with await there.post(there.url, {}, b"{}", answer) as reply:
                assert await reply.read() == b"hi"
        there.close()
        visits[0].close()


@on_both_loops
async def test_what_fails_meanwhile_ends_the_request() -> None:
    async with Provider([STAY]) as provider:
        there = provider.upstream()
        with pytest.raises(ZeroDivisionError):
            await there.post(there.url, {}, b"{}", lambda: 1 / 0)
        await provider.has_left.wait()


# Connections are used again


@on_both_loops
async def test_whole_answers_come_by_one_connection() -> None:
    async with Provider(OK) as provider:
        there = provider.upstream()
        for _ in range(20):
            assert (await ask(there))[::2] == (200, b"hi")
        assert len(provider.visits) == 1


@on_both_loops
async def test_streams_that_are_read_to_their_end_come_by_one_connection() -> None:
    async with Provider([STREAM, CHUNK, CHUNK, END]) as provider:
        there = provider.upstream()
        for _ in range(20):
            assert (await ask(there))[2] == b"hihi"
        assert len(provider.visits) == 1


@on_both_loops
async def test_a_stream_whose_end_comes_a_little_later_is_drained() -> None:
    async with Provider([STREAM, CHUNK, 0.03, b"2\r\n\n\n\r\n", 0.02, END]) as provider:
        there = provider.upstream()
        for _ in range(3):
            with await there.post(there.url, {}, b"{}") as reply:
                assert await reply.next() == b"hi"
                await reply.drain()
        assert len(provider.visits) == 1


@on_both_loops
async def test_a_stream_that_has_no_end_is_not_waited_for() -> None:
    async with Provider([STREAM, CHUNK, STAY]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            assert await reply.next() == b"hi"
            await reply.drain()
        await provider.has_left.wait()
        assert not there._all


@on_both_loops
async def test_refusals_keep_the_connection() -> None:
    async with Provider(head("content-length: 2", status="429 Slow down") + b"no", OK) as provider:
        there = provider.upstream()
        assert (await ask(there))[::2] == (429, b"no")
        assert (await ask(there))[::2] == (200, b"hi")
        assert len(provider.visits) == 1


@on_both_loops
async def test_requests_at_once_have_a_connection_each_and_the_youngest_is_used_first() -> None:
    async with Provider([0.05, OK]) as provider:
        there = provider.upstream()
        await asyncio.gather(*(ask(there) for _ in range(3)))
        assert len(provider.visits) == 3
        [free] = there._free.values()
        youngest = list(free)[-1]
        await ask(there)
        assert list(free)[-1] is youngest
        assert len(provider.visits) == 3


@pytest.mark.parametrize(
    "answer",
    [
        [head("content-length: 2", "connection: close") + b"hi"],
        [head("content-length: 2", "Connection: Keep-Alive, CLOSE") + b"hi"],
        [b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi"],
        [head() + b"hi", CLOSE],
        [OK + OK],
        [OK + b"H"],
        [OK + b"what is this"],
        [STREAM + CHUNK + END + OK],
        [OK, OK],
    ],
    ids=["close", "close in a list", "HTTP/1.0", "until the end", "two at once", "begun", "rubbish", "after a stream", "two"],
)
@on_both_loops
async def test_who_is_not_used_again(answer: list[Part]) -> None:
    async with Provider(answer) as provider:
        there = provider.upstream()
        for asked in range(1, 4):
            assert (await ask(there))[::2] == (200, b"hi")
            await asyncio.sleep(0.01)
            assert len(provider.visits) == asked
            assert not there._all
            assert not any(there._free.values())


@on_both_loops
async def test_HTTP_1_0_that_says_keep_alive_is_used_again() -> None:
    async with Provider(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi") as provider:
        there = provider.upstream()
        await ask(there)
        await ask(there)
        assert len(provider.visits) == 1


@on_both_loops
async def test_an_offer_of_another_protocol_is_no_obstacle() -> None:
    """As Apache makes it."""
    async with Provider(head("upgrade: h2,h2c", "connection: Upgrade, Keep-Alive", "content-length: 2") + b"hi") as provider:
        there = provider.upstream()
        await ask(there)
        assert (await ask(there))[::2] == (200, b"hi")
        assert len(provider.visits) == 1


@on_both_loops
async def test_an_answer_before_the_request_was_sent_ends_the_connection() -> None:
    async with Provider(OK, reads_bodies=False) as provider:
        there = provider.upstream()
        assert (await ask(there, body=LARGE))[::2] == (200, b"hi")
        await asyncio.sleep(0.01)
        assert not there._all


@on_both_loops
async def test_a_farewell_on_a_connection_that_is_kept_is_no_answer_to_anything() -> None:
    async with Provider(
        [OK, 0.02, head("content-length: 3", "connection: close", status="408 Request Timeout") + b"bye"]
    ) as provider:
        there = provider.upstream()
        assert (await ask(there))[::2] == (200, b"hi")
        await asyncio.sleep(0.05)
        assert not there._all
        assert (await ask(there))[::2] == (200, b"hi")
        assert len(provider.visits) == 2


@on_both_loops
async def test_a_connection_that_ends_at_this_moment_is_not_used() -> None:
    """It has been told to close, and nobody has told yet that it is."""
    async with Provider(OK) as provider:
        there = provider.upstream()
        await ask(there)
        [kept] = there._all
        kept.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert (await ask(there))[::2] == (200, b"hi")
        assert len(provider.visits) == 2


@pytest.mark.parametrize("end", [CLOSE, RESET])
@on_both_loops
async def test_a_provider_that_closes_what_it_kept_is_connected_to_anew(end: str) -> None:
    async with Provider([OK, 0.01, end]) as provider:
        there = provider.upstream()
        for _ in range(3):
            assert (await ask(there))[::2] == (200, b"hi")
            await asyncio.sleep(0.05)
            assert not there._all
        assert len(provider.visits) == 3


@pytest.mark.parametrize("end", [CLOSE, RESET])
@on_both_loops
async def test_connections_that_were_given_up_unheard_are_no_failure(end: str) -> None:
    """As a firewall gives up what has been quiet: all that were kept, which only who asks by them is told."""
    served: set[Visit] = set()

    async def answer_once(visit: Visit) -> None:
        await visit.do(end if visit in served else OK)
        served.add(visit)

    async with Provider([0.02, answer_once]) as provider:
        there = provider.upstream()
        await asyncio.gather(*(ask(there) for _ in range(8)))
        done = []
        for reply in await asyncio.gather(*(there.post(there.url, {}, b"{}", lambda: done.append(1)) for _ in range(8))):
            assert await reply.read() == b"hi"
        assert len(done) == 8
        assert len(provider.visits) == 16


@on_both_loops
async def test_one_that_has_worked_before_it_gave_up_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALE", 0.1)
    async with Provider(OK, [0.2, CLOSE]) as provider:
        there = provider.upstream()
        await ask(there)
        assert (await told(ask(there))).status == 500
        assert len(provider.heads) == 2


@pytest.mark.parametrize("answer", [[b"HTTP/1.1 2", CLOSE], [head(status="103 Early Hints"), RESET], [b"what is this"], [STAY]])
@on_both_loops
async def test_what_fails_by_a_connection_that_was_kept_is_not_asked_for_again(answer: list[Part]) -> None:
    async with Provider(OK, [*answer[:1], 0.01, *answer[1:]]) as provider:
        there = provider.upstream(silence=0.2)
        await ask(there)
        await told(ask(there))
        assert len(provider.heads) == 2


@on_both_loops
async def test_who_gives_up_a_new_connection_too_has_failed() -> None:
    async with Provider(OK, RESET) as provider:
        there = provider.upstream()
        await ask(there)
        error = await told(ask(there))
        assert (error.status, error.type, error.should_retry) == (500, "api_error", True)
        assert (len(provider.heads), len(provider.visits)) == (3, 2)


@on_both_loops
async def test_connections_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP", 0.2)
    async with Provider(OK) as provider:
        there = provider.upstream()
        await ask(there)
        await asyncio.sleep(0.12)
        await ask(there)
        await asyncio.sleep(0.12)
        assert len(provider.visits) == len(there._all) == 1
        await asyncio.sleep(0.2)
        assert provider.left == 1
        assert not there._all


@on_both_loops
async def test_a_long_answer_is_not_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP", 0.05)
    async with Provider([0.2, STREAM, 0.2, CHUNK + END]) as provider:
        assert (await ask(provider.upstream()))[2] == b"hi"


@on_both_loops
async def test_many_that_end_at_once_are_forgotten_at_once() -> None:
    async with Provider([0.1, OK]) as provider:
        there = provider.upstream()
        await asyncio.gather(*(ask(there) for _ in range(100)))
        assert len(there._all) == 100
        for visit in provider.visits:
            visit.writer.close()
        while there._all:
            await asyncio.sleep(0.01)
        assert not any(there._free.values())


@on_both_loops
async def test_closing_ends_what_is_kept_and_what_is_under_way() -> None:
    async with Provider([STREAM, CHUNK, STAY], OK) as provider:
        there = provider.upstream()
        reply = await there.post(there.url, {}, b"{}")
        await ask(there)
        there.close()
        assert await reply.next() == b"hi"
        assert (await told(reply.next())).message.endswith("broke: it was closed before the answer was whole")
        while provider.left < 2:
            await asyncio.sleep(0.01)
        assert not there._all


# A body that is handed on as it comes


@on_both_loops
async def test_what_comes_is_taken_until_there_is_enough() -> None:
    taken: list[bytes] = []
    heard: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        return len(taken) == 3

    async with Provider([STREAM + CHUNK, 0.02, CHUNK, 0.02, CHUNK, 0.02, CHUNK + END]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            reply.heard = heard.append
            assert await reply.hand(take)
            assert (taken, reply.is_whole) == ([b"hi"] * 3, False)
            assert await reply.next() == b"hi"
            assert not await reply.hand(take)
            assert heard == [b"hi"] * 4
        assert len(taken) == 3
        assert [len(free) for free in there._free.values()] == [1]


@on_both_loops
async def test_what_comes_with_the_end_is_handed_on_too() -> None:
    taken: list[tuple[bytes, bool]] = []
    async with Provider([STREAM, CHUNK, 0.02, CHUNK + CHUNK + END]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            assert not await reply.hand(lambda data: bool(taken.append((data, reply.is_whole))))
    assert taken == [(b"hi", False), (b"hihi", True)]


@on_both_loops
async def test_what_goes_wrong_with_a_piece_is_told_to_who_waits_for_the_body() -> None:
    async with Provider([STREAM + CHUNK, 0.02, CHUNK, STAY]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            come = iter([1, 0])
            with pytest.raises(ZeroDivisionError):
                await reply.hand(lambda data: not 1 / next(come))
            assert next(come, None) is None
            assert not reply.is_whole
        await provider.has_left.wait()


@on_both_loops
async def test_a_body_that_breaks_off_while_it_is_handed_on() -> None:
    taken: list[bytes] = []
    async with Provider([STREAM + CHUNK, 0.02, CHUNK, 0.02, CLOSE]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            error = await told(reply.hand(lambda data: bool(taken.append(data))))
    assert " broke: " in error.message
    assert taken == [b"hi"] * 2


# Bodies that are compressed unasked


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("encoding", "form"), [("gzip", 31), ("GZIP", 31), ("x-gzip", 31), ("deflate", 15), ("identity", 0), ("", 0)]
)
@on_both_loops
async def test_a_compressed_answer_is_unpacked(size: int, encoding: str, form: int) -> None:
    said = "".join(f"word {number} " for number in range(2000)).encode()
    body = zlib.compress(said, wbits=form) if form else said
    pieces = [body[at : at + size] for at in range(0, len(body), size)][:300]
    pieces.append(body[size * len(pieces) :])
    async with Provider([head(f"content-length: {len(body)}", f"Content-Encoding: {encoding}"), *pieces]) as provider:
        assert (await ask(provider.upstream()))[2] == said


@on_both_loops
async def test_a_compressed_stream_is_unpacked_as_it_comes() -> None:
    packing = zlib.compressobj(wbits=31)

    def chunk(data: bytes) -> bytes:
        packed = packing.compress(data) + packing.flush(zlib.Z_SYNC_FLUSH)
        return b"%x\r\n%s\r\n" % (len(packed), packed)

    begin = head("transfer-encoding: chunked", "content-encoding: gzip")
    pieces = [part for number in range(5) for part in (chunk(b"piece %d" % number), 0.02)]
    async with Provider([begin, *pieces, END]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            assert [await reply.next() for _ in range(6)] == [b"piece %d" % number for number in range(5)] + [b""]


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        ("br", b"hi", "what only br reads is not unpacked here"),
        ("gzip, gzip", b"hi", "what only gzip, gzip reads is not unpacked here"),
        ("gzip", b'{"plain": true}', "Error -3 while decompressing data: incorrect header check"),
        ("gzip", gzip.compress(b"x" * 50_000_000), "it would be longer than 4,194,304 bytes"),
    ],
)
@on_both_loops
async def test_what_cannot_be_unpacked_is_told(encoding: str, body: bytes, words: str) -> None:
    async with Provider([head(f"content-length: {len(body)}", f"content-encoding: {encoding}"), body]) as provider:
        error = await told(ask(provider.upstream()))
        begin = f"p: 127.0.0.1:{provider.port} compresses its answer, which it was asked not to, and it cannot be read: "
    assert (error.status, error.message, error.should_retry) == (500, begin + words, False)


# Bodies and heads


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (head("content-length: 5") + b"hello", b"hello"),
        (head("CONTENT-LENGTH:5") + b"hello", b"hello"),
        (head("content-length: 0"), b""),
        (STREAM + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
        (STREAM + b'3;a=b\r\nhel\r\n2;c="d;e"\r\nlo\r\n000;f\r\n\r\n', b"hello"),
        (STREAM + b"0003\r\nhel\r\n2  \r\nlo\r\n0\r\n\r\n", b"hello"),
        (STREAM + b"5\r\nhello\r\n0\r\ngrpc-status: 0\r\nx: y\r\n\r\n", b"hello"),
        (STREAM + b"A\r\nhello\r\nyou\r\n0\r\n\r\n", b"hello\r\nyou"),
        (head("Transfer-Encoding: Chunked") + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (STREAM + b"0\r\n\r\n", b""),
        (b"\r\n\r\n" + head("content-length: 5") + b"hello", b"hello"),
    ],
)
@on_both_loops
async def test_bodies(answer: bytes, body: bytes) -> None:
    async with Provider(answer) as provider:
        there = provider.upstream()
        assert (await ask(there))[::2] == (200, body)
        assert (await ask(there))[::2] == (200, body)
        assert len(provider.visits) == 1


@pytest.mark.parametrize("lines", [[], ["transfer-encoding: identity"], ["transfer-encoding: gzip"], ["connection: keep-alive"]])
@on_both_loops
async def test_a_body_that_ends_with_the_connection(lines: list[str]) -> None:
    """RFC 9112, 6.3: 4 and 8."""
    async with Provider([head(*lines), b"hel", 0.01, b"lo", CLOSE]) as provider:
        assert (await ask(provider.upstream()))[::2] == (200, b"hello")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@on_both_loops
async def test_an_answer_without_a_body(status: str) -> None:
    async with Provider(head(status=status)) as provider:
        there = provider.upstream()
        for _ in range(2):
            if status.startswith("204"):
                assert (await ask(there))[::2] == (204, b"")
            else:
                assert "redirects to another address (HTTP 304)" in (await told(ask(there))).message
        assert len(provider.visits) == (1 if status.startswith("204") else 2)


@on_both_loops
async def test_what_is_no_answer_yet_is_passed_over() -> None:
    early = [
        head(status="100 Continue"),
        head("link: </x>", "retry-after: 9", "content-encoding: gzip", status="103 Early Hints"),
        head(status="102 Processing"),
    ]
    async with Provider([*early, 0.01, *early, OK], b"".join(early) + OK) as provider:
        there = provider.upstream()
        for _ in range(2):
            status, headers, body = await ask(there)
            assert (status, headers, body) == (200, {"content-length": "2"}, b"hi")
        assert len(provider.visits) == 1


@on_both_loops
async def test_headers() -> None:
    lines = [
        "ReTRY-After: 5",
        "X-Many: a",
        "x-many: b",
        "X-MANY:c",
        "empty:",
        "spaces: \t a b \t ",
        "text: gr\xfc\xdfe",
        "content-length: 0",
    ]
    async with Provider(head(*lines)) as provider:
        _, headers, _ = await ask(provider.upstream())
    assert headers == {
        "retry-after": "5",
        "x-many": "a, b, c",
        "empty": "",
        "spaces": "a b",
        "text": "gr\xfc\xdfe",
        "content-length": "0",
    }


@on_both_loops
async def test_headers_that_stand_behind_the_body_are_not_the_answers() -> None:
    """RFC 9110, 6.5.1."""
    async with Provider([STREAM, 0.01, b"0\r\nretry-after: 100\r\ncontent-type: text/html\r\n\r\n"]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            await reply.read()
            assert reply.headers == {"transfer-encoding": "chunked"}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\ncontent-length: 2\nname: value\n\nhi",
        b"HTTP/1.1 200 OK\r\nname: value\r\ncontent-length: 2\r\nother: a\x01\x02b\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nfolded: a\r\n  b\r\nname: value\r\n\r\nhi",
        b"HTTP/1.1 200\r\ncontent-length: 2\r\nname: value\r\n\r\nhi",
        b"HTTP/1.1 200 \xe9\r\ncontent-length: 2\r\nname: value\r\n\r\nhi",
    ],
    ids=["line feeds alone", "control characters", "folded", "no reason", "a reason in Latin"],
)
@on_both_loops
async def test_what_is_not_quite_HTTP_is_read(answer: bytes) -> None:
    async with Provider(answer) as provider:
        status, headers, body = await ask(provider.upstream())
        assert (status, headers["name"], body) == (200, "value", b"hi")


@dataclass(frozen=True)
class Told:
    """An answer, as its bytes and as what they mean."""

    data: bytes
    status: int
    headers: dict[str, str]
    body: bytes
    is_kept: bool
    ends_with_the_connection: bool


NAMES = st.sampled_from(["x-a", "X-B", "Retry-After", "x_c", "ETag", "x-a-longer.name"])
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=8)
PIECES = st.lists(st.binary(min_size=1, max_size=12), max_size=4)


@st.composite
def answers(draw: st.DrawFn) -> Told:
    status = draw(st.sampled_from([200, 201, 204, 400, 404, 429, 500, 529]))
    early = [head("x-early: 1", status="103 Early Hints")] * draw(st.integers(0, 2))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=3))
    pieces = [] if status == 204 else draw(PIECES)
    body = b"".join(pieces)
    form = "none" if status == 204 else draw(st.sampled_from(["length", "chunked", "until the end"]))
    closes = form == "until the end" or draw(st.booleans())
    if closes:
        headers.append(("Connection", "close"))
    if form == "length":
        headers.append(("Content-Length", str(len(body))))
        sent = body
    elif form == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
        extension = draw(st.sampled_from([b"", b";a=b", b";a"]))
        trailer = draw(st.sampled_from([b"", b"x-late: 1\r\n"]))
        sent = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"
    else:
        sent = body
    meant: dict[str, str] = {}
    for name, value in headers:
        meant[name.lower()] = f"{meant[name.lower()]}, {value}" if name.lower() in meant else value
    data = b"".join(early) + head(*(f"{name}: {value}" for name, value in headers), status=f"{status} Told") + sent
    return Told(data, status, meant, body, not closes, form == "until the end")


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@settings(max_examples=150, deadline=None)
@given(answer=answers(), cut=st.one_of(st.none(), st.sets(st.integers(1, 300), max_size=8)))
def test_however_an_answer_is_cut_it_is_the_same(runner: asyncio.Runner, answer: Told, cut: set[int] | None) -> None:
    """Without places to cut it at, into single bytes."""
    places = [0, *(range(1, len(answer.data)) if cut is None else sorted(at for at in cut if at < len(answer.data))), None]
    cuts = [answer.data[begin:end] for begin, end in pairwise(places)]

    async def write(visit: Visit) -> None:
        for piece in cuts:
            visit.writer.write(piece)
            for _ in range(3):
                await asyncio.sleep(0)
        if answer.ends_with_the_connection:
            visit.writer.close()

    async def story() -> None:
        async with Provider(write) as provider:
            there = provider.upstream()
            for _ in range(2):
                assert await ask(there) == (answer.status, answer.headers, answer.body)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            assert len(provider.visits) == (1 if answer.is_kept else 2)

    runner.run(story())


# What breaks


@on_both_loops
async def test_the_end_in_the_middle() -> None:
    cuts: list[list[Part]] = [
        [CLOSE],
        [b"HTTP/1.1 200", CLOSE],
        [head()[:-2], CLOSE],
        [head(status="100 Continue"), CLOSE],
        [STREAM, CLOSE],
        [STREAM + b"5\r\nhel", CLOSE],
        [STREAM + CHUNK, CLOSE],
        [STREAM + CHUNK + b"0\r\n", CLOSE],
        [head("content-length: 5"), CLOSE],
        [head("content-length: 5") + b"hi", CLOSE],
    ]
    for cut in cuts:
        begin, error = await broken(*cut)
        assert (error.status, error.type, error.should_retry) == (500, "api_error", True)
        assert error.message == begin + "it was closed before the answer was whole"


@pytest.mark.parametrize("answer", [[RESET], [STREAM + CHUNK, 0.01, RESET], [head(), b"hi", 0.01, RESET]])
@on_both_loops
async def test_the_connection_is_reset(answer: list[Part]) -> None:
    begin, error = await broken(*answer)
    assert (error.status, error.type, error.should_retry) == (500, "api_error", True)
    assert error.message == begin + "[Errno 104] Connection reset by peer"


@pytest.mark.parametrize("form", [STREAM + CHUNK, head("content-length: 5") + b"hi", STREAM + CHUNK + b"nonsense\r\n"])
@on_both_loops
async def test_what_came_before_the_break_is_handed_out_first(form: bytes) -> None:
    async with Provider([form, CLOSE]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            await asyncio.sleep(0.02)
            assert await reply.next() == b"hi"
            for _ in range(2):
                assert " broke: " in (await told(reply.next())).message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n", "Expected HTTP/"),
        (b"HTTP/2 200 OK\r\n\r\n", "Expected dot"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "Expected HTTP/"),
        (b"<html>no</html>\r\n\r\n", "Expected HTTP/"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "Invalid status code"),
        (head("content-length: 2", "content-length: 3") + b"hi", "Duplicate Content-Length"),
        (head("content-length: -2") + b"hi", "Invalid character in Content-Length"),
        (head("content-length: 2", "transfer-encoding: chunked") + b"hi", "Content-Length"),
        (head("a b: c") + b"hi", "Invalid header token"),
        (STREAM + b"xyz\r\n", "Invalid character in chunk size"),
        (head(status="101 Switching Protocols"), "another protocol"),
        (head("upgrade: websocket", "connection: upgrade", status="101 Switching Protocols"), "another protocol"),
    ],
)
@on_both_loops
async def test_what_is_no_HTTP(answer: bytes, words: str) -> None:
    begin, error = await broken(answer, STAY)
    assert (error.status, error.type, error.should_retry) == (500, "api_error", True)
    assert error.message.startswith(begin + "what came is no HTTP: ")
    assert words in error.message


async def _endless(visit: Visit, piece: bytes) -> None:
    while True:
        await visit.do(piece)
        await visit.do(0.0)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 50),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 500),
        (b"", head("x: y", status="103 Early Hints") * 20),
        (STREAM + CHUNK + b"0\r\n", b"x: y\r\n" * 50),
        (STREAM + CHUNK + b"0\r\nx: ", b"y" * 500),
        (STREAM + CHUNK + b"2;x=", b"y" * 500),
    ],
    ids=["headers", "one header", "early answers", "trailers", "one trailer", "a chunk's extension"],
)
@on_both_loops
async def test_what_stands_beside_a_body_is_bounded(begin: bytes, piece: bytes) -> None:
    words, error = await broken(begin, lambda visit: _endless(visit, piece))
    assert error.message == words + "the headers of the answer are longer than 65,536 bytes"


@on_both_loops
async def test_a_long_stream_of_small_chunks_is_not_beside_its_body() -> None:
    async with Provider([STREAM, *[b"1;%b\r\nx\r\n" % (b"e" * 1000)] * 200, END]) as provider:
        assert (await ask(provider.upstream()))[2] == b"x" * 200


@pytest.mark.parametrize("begin", [STREAM, head(), head("content-length: 999999999")])
@on_both_loops
async def test_a_body_that_has_no_end(begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_BYTES", 1_000_000)
    monkeypatch.setattr(upstream, "MOST_BYTES", 1_000_000)
    piece = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
    async with Provider([begin, lambda visit: _endless(visit, piece)]) as provider:
        there = provider.upstream()
        error = await told(ask(there))
        assert (error.status, error.type, error.should_retry) == (500, "api_error", False)
        assert error.message == "p: the answer is larger than 1,000,000 bytes"
        await provider.has_left.wait()
        assert not there._all


@pytest.mark.parametrize(
    "answer", [[], [b"HTTP/1.1 200 OK\r\n"], [STREAM], [STREAM + CHUNK], [head("content-length: 5") + b"hi"], [head()]]
)
@on_both_loops
async def test_silence(answer: list[Part]) -> None:
    async with Provider([*answer, STAY]) as provider:
        there = provider.upstream(silence=0.2)
        began = asyncio.get_running_loop().time()
        error = await told(ask(there))
        assert 0.19 < asyncio.get_running_loop().time() - began < 0.6
        assert (error.status, error.type, error.should_retry) == (504, "timeout_error", None)
        assert error.message == f"p: 127.0.0.1:{provider.port} fell silent for longer than the time allowed"
        await provider.has_left.wait()
        assert not there._all


@on_both_loops
async def test_the_time_for_silence_begins_with_the_request() -> None:
    async with Provider(OK, [0.15, OK]) as provider:
        there = provider.upstream(silence=0.2)
        await ask(there)
        await asyncio.sleep(0.15)
        assert (await ask(there))[2] == b"hi"
        await asyncio.sleep(0.5)
        assert (await ask(there))[2] == b"hi"
        assert len(provider.visits) == 1


@on_both_loops
async def test_who_says_something_now_and_then_is_not_silent() -> None:
    async with Provider([0.1, STREAM[:20], 0.1, STREAM[20:], 0.1, CHUNK, 0.1, CHUNK, 0.1, END]) as provider:
        assert (await ask(provider.upstream(silence=0.2)))[2] == b"hihi"


async def _read_slowly(visit: Visit) -> None:
    """What the other side still sends."""
    left = len(LARGE)
    while left:
        data = await visit.reader.read(min(left, 2_000_000))
        left -= len(data)
        if data:
            await asyncio.sleep(0.1)


@on_both_loops
async def test_who_takes_a_request_slowly_is_not_silent() -> None:
    async with Provider([_read_slowly, OK], reads_bodies=False) as provider:
        began = asyncio.get_running_loop().time()
        assert (await ask(provider.upstream(silence=1.0), body=LARGE))[2] == b"hi"
        assert asyncio.get_running_loop().time() - began > 1.5


@on_both_loops
async def test_who_does_not_take_a_request_is_silent() -> None:
    async with Provider([STAY], reads_bodies=False) as provider:
        error = await told(ask(provider.upstream(silence=0.2), body=LARGE))
        assert error.message.endswith("fell silent for longer than the time allowed")


@on_both_loops
async def test_short_times_are_waited_too() -> None:
    """The clock of uvloop knows whole milliseconds only."""
    waiting = asyncio.Event()
    async with Provider([STREAM, waiting, CHUNK + END]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            before, since = reply.waited, time.perf_counter()
            waiting.set()
            assert await reply.read() == b"hi"
            assert 0 < reply.waited - before <= time.perf_counter() - since


@on_both_loops
async def test_who_may_not_speak_is_not_silent() -> None:
    """Its time begins when it may again."""
    first, second = b"30000\r\n" + b"x" * 0x30000 + b"\r\n", b"20000\r\n" + b"x" * 0x20000 + b"\r\n"
    waiting = asyncio.Event()
    async with Provider([STREAM + first, 0.02, second, waiting, 0.15, CHUNK + END]) as provider:
        there = provider.upstream(silence=0.2)
        with await there.post(there.url, {}, b"{}") as reply:
            await asyncio.sleep(0.55)
            assert reply.unread > connection.MOST_UNREAD
            size = 0
            while size < 0x50000:
                size += len(await reply.next())
            waiting.set()
            assert await reply.next() == b"hi"


@on_both_loops
async def test_what_nobody_reads_is_not_sent() -> None:
    sent = 0

    async def write(visit: Visit) -> None:
        nonlocal sent
        await visit.do(head(f"content-length: {len(LARGE)}"))
        while sent < len(LARGE):
            await visit.do(LARGE[:100_000])
            sent += 100_000

    async with Provider(write) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            await asyncio.sleep(0.3)
            stopped = sent
            await asyncio.sleep(0.1)
            assert sent == stopped < 20_000_000
            most = reply.unread
            size = 0
            while piece := await reply.next():
                most = max(most, reply.unread, len(piece))
                size += len(piece)
            assert size == len(LARGE)
            assert most <= 2 * connection.MOST_UNREAD + 1
        assert [len(free) for free in there._free.values()] == [1]


@on_both_loops
async def test_an_answer_that_is_not_read_yet_leaves_the_next_alone() -> None:
    """Both come by one connection; who reads the first does not have the second sent."""
    async with Provider([OK], [head(f"content-length: {len(LARGE)}"), LARGE]) as provider:
        there = provider.upstream()
        first = await there.post(there.url, {}, b"{}")
        await asyncio.sleep(0.01)
        second = await there.post(there.url, {}, b"{}")
        await asyncio.sleep(0.1)
        unread = second.unread
        assert await first.read() == b"hi"
        await asyncio.sleep(0.1)
        assert second.unread == unread > connection.MOST_UNREAD
        assert len(await second.read()) == len(LARGE)
        assert len(provider.visits) == 1


# Leaving


@pytest.mark.parametrize("answer", [[STREAM], [STREAM + CHUNK], [head("content-length: 9") + b"hi"], [head() + b"hi"]])
@on_both_loops
async def test_leaving_early_closes_the_connection_at_once(answer: list[Part]) -> None:
    async with Provider([*answer, lambda visit: visit.reader.readexactly(1)]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}"):
            pass
        async with asyncio.timeout(0.5):
            await provider.has_left.wait()
        assert not there._all


@on_both_loops
async def test_leaving_in_mid_flood_closes_the_connection_at_once() -> None:
    async with Provider([head(), lambda visit: _endless(visit, b"x" * 100_000)]) as provider:
        there = provider.upstream()
        with await there.post(there.url, {}, b"{}") as reply:
            while reply.unread <= connection.MOST_UNREAD:
                await asyncio.sleep(0)
        async with asyncio.timeout(0.5):
            await provider.has_left.wait()
        assert not there._all


@pytest.mark.parametrize("after", [0.0, 0.05])
@on_both_loops
async def test_who_is_cancelled_leaves_nothing_open(after: float) -> None:
    async with Provider([STAY]) as provider:
        there = provider.upstream()
        before = open_files()
        for _ in range(5):
            asking = asyncio.create_task(ask(there))
            await asyncio.sleep(after)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        while provider.left < len(provider.visits):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert open_files() == before
        assert not there._all


@pytest.mark.parametrize("tls", [False, True])
@on_both_loops
async def test_cancelled_at_every_step(tls: bool, certificates: "Certificates") -> None:
    """As many turns of the loop later as it takes to have an answer: nothing stays open, and the next is answered."""
    with certificates.trusted():
        async with Provider([0.0, STREAM, 0.0, CHUNK + END], tls=certificates.server("good") if tls else None) as provider:
            there = provider.upstream()
            for turns in range(60):
                asking = asyncio.create_task(ask(there))
                for _ in range(turns):
                    await asyncio.sleep(0)
                asking.cancel()
                with suppress(asyncio.CancelledError):
                    await asking
                there.close()
                await asyncio.sleep(0.001)
            assert (await ask(there))[2] == b"hi"
            there.close()
            await asyncio.sleep(0.05)
            assert not there._all
            there_is = [visit for visit in provider.visits if not visit.writer.is_closing()]
            assert not there_is


@on_both_loops
async def test_cancelling_while_a_body_is_read() -> None:
    async with Provider([STREAM + CHUNK, STAY], OK) as provider:
        there = provider.upstream()
        asking = asyncio.create_task(ask(there))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0.02)
        assert not there._all
        assert (await ask(there))[2] == b"hi"


# Connecting


@contextmanager
def deaf() -> Iterator[int]:
    """A port at which connecting takes for ever: its queue is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        try:
            yield port
        finally:
            for one in waiting:
                one.close()


@on_both_loops
async def test_connecting_takes_too_long() -> None:
    with deaf() as port:
        there = There(f"http://127.0.0.1:{port}", connect=0.2)
        before = open_files()
        error = await told(there.post(f"http://127.0.0.1:{port}/x?key=1", {}, b""))
        assert (error.status, error.type, error.should_retry) == (504, "timeout_error", None)
        assert error.message == f"p: no connection to 127.0.0.1:{port} within the time allowed"
        asking = asyncio.create_task(there.post(f"http://127.0.0.1:{port}/x", {}, b""))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0.01)
        assert open_files() == before


@on_both_loops
async def test_nobody_is_there() -> None:
    port = free_port()
    there = There(f"http://127.0.0.1:{port}")
    error = await told(there.post(f"http://127.0.0.1:{port}/x?key=1", {}, b""))
    assert (error.status, error.type, error.should_retry) == (500, "api_error", None)
    words = "nothing listens there (connection refused); is the server running?"
    assert error.message == f"p: cannot connect to 127.0.0.1:{port}: {words}"


REFUSED = "[Errno 111] Connect call failed ('127.0.0.1', 1)"


@pytest.mark.skipif(errno.ECONNREFUSED != 111, reason="another system's numbers")
@pytest.mark.parametrize(
    ("host", "error", "words"),
    [
        (
            "localhost",
            OSError(111, f"Multiple exceptions: {REFUSED}"),
            "nothing listens there (connection refused); is the server running?",
        ),
        ("localhost", OSError(f"[Errno 99] no, {REFUSED}"), "nothing listens there (connection refused); is the server running?"),
        ("192.0.2.1", OSError(111, REFUSED), "nothing listens there (connection refused)"),
        ("192.0.2.1", OSError(101, "Connect call failed ('192.0.2.1', 1)"), "Network is unreachable"),
        ("192.0.2.1", OSError("there is no network"), "there is no network"),
    ],
)
@on_both_loops
async def test_why_there_is_no_connection(host: str, error: OSError, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*infos: Any, **options: Any) -> socket.socket:
        raise error

    monkeypatch.setattr(addresses, "start_connection", fail)
    caught = await told(There(f"http://{host}:1").post(f"http://{host}:1/x", {}, b""))
    assert caught.message == f"p: cannot connect to {host}:1: {words}"


@on_both_loops
async def test_a_host_that_nobody_knows() -> None:
    there = There("http://nobody.invalid")
    error = await told(there.post("http://nobody.invalid/x", {}, b""))
    assert (error.status, error.type) == (500, "api_error")
    assert error.message.startswith("p: cannot connect to nobody.invalid: ")
    assert "Multiple" not in error.message


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example", "ü" * 70 + ".example"])
@on_both_loops
async def test_a_host_that_cannot_be(host: str) -> None:
    there = There(f"http://{host}")
    error = await told(there.post(f"http://{host}/x", {}, b""))
    assert (error.status, error.type) == (500, "api_error")
    assert host in error.message


def looking_up(monkeypatch: pytest.MonkeyPatch, find: Callable[[str], list[tuple[str, int]]]) -> None:
    """Have names looked up so, each in whatever thread that is."""
    look_up = socket.getaddrinfo

    def getaddrinfo(name: str, port: int, *args: Any, **hints: Any) -> list[Any]:
        if hints.get("flags") == socket.AI_NUMERICHOST or name == "127.0.0.1":
            return list(look_up(name, port, *args, **hints))
        found = find(name)
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address, _ in found]
        return [(family, socket.SOCK_STREAM, 6, "", it) for family, it in zip(families, found, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@on_both_loops
async def test_a_name_that_nobody_answers_for_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lookup is one for all who ask; who leaves ends it for nobody else, and all the others are told the same."""
    asked: list[str] = []
    is_over = threading.Event()

    def find(name: str) -> list[tuple[str, int]]:
        asked.append(name)
        if name == "stuck.example":
            is_over.wait(SECONDS)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [("127.0.0.1", provider.port)]

    looking_up(monkeypatch, find)
    async with Provider([0.05, OK]) as provider:
        try:
            stuck, there = provider.upstream("http://stuck.example"), provider.upstream("http://good.example")
            waiting = [asyncio.create_task(told(ask(stuck))) for _ in range(40)]
            answers = await asyncio.gather(*(ask(there) for _ in range(20)))
            waiting[0].cancel()
            await asyncio.wait(waiting[:1])
        finally:
            is_over.set()
        errors = await asyncio.gather(*waiting[1:])
        assert {body for _, _, body in answers} == {b"hi"}
        assert waiting[0].cancelled()
        assert {error.message for error in errors} == {"p: cannot connect to stuck.example: Temporary failure in name resolution"}
        assert asked.count("stuck.example") == 1
        await told(ask(stuck))
        assert asked.count("stuck.example") == 2


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
@on_both_loops
async def test_of_two_addresses_the_first_refuses(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Provider(OK) as provider:
        looking_up(monkeypatch, lambda name: [(family, free_port()), ("127.0.0.1", provider.port)])
        there = provider.upstream("http://two.example")
        assert (await ask(there))[2] == b"hi"


@on_both_loops
async def test_of_two_addresses_the_first_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Provider(OK) as provider:
        with deaf() as port:
            before = open_files()
            looking_up(monkeypatch, lambda name: [("127.0.0.1", port), ("127.0.0.1", provider.port)])
            there = provider.upstream("http://two.example")
            assert (await ask(there))[2] == b"hi"
            there.close()
            await asyncio.sleep(0.02)
            assert open_files() <= before
            asking = asyncio.create_task(ask(there))
            await asyncio.sleep(0.1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await asyncio.sleep(0.02)
            assert open_files() <= before


@on_both_loops
async def test_both_addresses_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    looking_up(monkeypatch, lambda name: [("::1", free_port()), ("127.0.0.1", free_port())])
    there = There("http://two.example")
    error = await told(there.post("http://two.example/x", {}, b""))
    assert (error.status, error.type, error.should_retry) == (500, "api_error", None)
    assert error.message.startswith("p: cannot connect to two.example: ")


@pytest.mark.parametrize("end", [CLOSE, RESET])
@on_both_loops
async def test_a_provider_that_hangs_up_at_once(end: str) -> None:
    async with listening(end) as host:
        there = There(f"http://{host}")
        for _ in range(20):
            error = await told(ask(there))
            assert (error.status, error.type, error.should_retry) == (500, "api_error", True)
            assert error.message.startswith(f"p: the connection to {host} broke: ")
        await asyncio.sleep(0.01)
        assert not there._all


@on_both_loops
async def test_a_provider_that_speaks_first_is_not_understood() -> None:
    async with listening(b"220 mail.example ESMTP\r\n") as host:
        there = There(f"http://{host}")
        for _ in range(20):
            assert (await told(ask(there))).message.startswith(f"p: the connection to {host} broke: ")
        await asyncio.sleep(0.01)
        assert not there._all


@on_both_loops
async def test_the_end_of_an_answer_is_heard_while_the_request_is_sent() -> None:
    async with Provider([b"HTTP/1.1 413 Too", HALF_CLOSE, STAY], reads_bodies=False) as provider:
        there = provider.upstream()
        async with asyncio.timeout(1):
            error = await told(ask(there, body=LARGE))
        assert error.message.endswith("it was closed before the answer was whole")


# TLS


CA = """\
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = names
rand_serial = yes
unique_subject = no
[any]
commonName = supplied
[names]
subjectAltName = {names}
"""

CERTIFICATES = {
    "good": "IP:127.0.0.1,IP:::1,DNS:provider.test",
    "expired": "IP:127.0.0.1",
    "another's": "DNS:other.example",
    "unknown": "IP:127.0.0.1",
}


@dataclass(frozen=True)
class Certificates:
    """Each its own issuer; all but the unknown are trusted."""

    folder: Path

    def server(self, name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context

    @contextmanager
    def trusted(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(self.folder / "trusted.pem"))
            addresses.tls.cache_clear()
            try:
                yield
            finally:
                addresses.tls.cache_clear()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "index.txt").touch()

    def openssl(arguments: str) -> None:
        subprocess.run(["openssl", *shlex.split(arguments)], cwd=folder, check=True, capture_output=True)

    for name, names in CERTIFICATES.items():
        (folder / "ca.cnf").write_text(CA.format(names=names))
        key = f'"{name}.key"'
        openssl(f'req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {key} -subj "/CN={name}" -out request')
        dates = "-startdate 20200101000000Z -enddate 20210101000000Z" if name == "expired" else "-days 2"
        openssl(f'ca -batch -config ca.cnf -selfsign -keyfile {key} -in request -notext {dates} -out "{name}.pem"')
    trusted = "".join((folder / f"{name}.pem").read_text() for name in CERTIFICATES if name != "unknown")
    (folder / "trusted.pem").write_text(trusted)
    return Certificates(folder)


@on_both_loops
async def test_TLS(certificates: Certificates) -> None:
    with certificates.trusted():
        async with Provider([STREAM, CHUNK, 0.01, CHUNK + END], tls=certificates.server("good")) as provider:
            there = provider.upstream()
            for _ in range(5):
                assert (await ask(there))[2] == b"hihi"
            assert len(provider.visits) == 1
            with await there.post(there.url, {}, b"{}") as reply:
                assert await reply.next() == b"hi"
            async with asyncio.timeout(0.5):
                await provider.has_left.wait()
            assert not there._all


@on_both_loops
async def test_TLS_with_an_address_of_IPv6(certificates: Certificates) -> None:
    with certificates.trusted():
        async with Provider(OK, tls=certificates.server("good"), host="::1") as provider:
            assert (await ask(provider.upstream()))[2] == b"hi"
            assert f"\r\nhost: [::1]:{provider.port}\r\n" in provider.heads[0]


@on_both_loops
async def test_TLS_with_a_name_that_ends_in_a_dot(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """As names in a cluster are written whole; no certificate has the dot."""
    with certificates.trusted():
        async with Provider(OK, tls=certificates.server("good")) as provider:
            looking_up(monkeypatch, lambda name: [("127.0.0.1", provider.port)])
            assert (await ask(provider.upstream(f"https://provider.test.:{provider.port}/v1")))[2] == b"hi"


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ("expired", "certificate has expired"),
        ("another's", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ("unknown", "self-signed certificate"),
    ],
)
@on_both_loops
async def test_a_certificate_that_is_not_good(certificate: str, words: str, certificates: Certificates) -> None:
    with certificates.trusted():
        async with Provider(OK, tls=certificates.server(certificate)) as provider:
            there = provider.upstream()
            before = open_files()
            for _ in range(3):
                error = await told(ask(there))
                assert (error.status, error.type, error.should_retry) == (500, "api_error", None)
                assert error.message.startswith(f"p: cannot connect to 127.0.0.1:{provider.port}: ")
                assert words in error.message
            await asyncio.sleep(0.05)
            assert not there._all
            assert provider.heads == []
            assert open_files() <= before + 1


@on_both_loops
async def test_TLS_with_who_does_not_speak_it() -> None:
    async with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n", after=1) as host:
        error = await told(ask(There(f"https://{host}")))
        assert error.message.startswith(f"p: cannot connect to {host}: ")
        assert "wrong version number" in error.message.lower()


@on_both_loops
async def test_who_hangs_up_before_TLS_is_agreed_on() -> None:
    async with listening(CLOSE, after=1) as host:
        error = await told(ask(There(f"https://{host}")))
        assert (error.status, error.type, error.should_retry) == (500, "api_error", True)
        assert error.message.startswith(f"p: the connection to {host} broke: ")
        assert not error.message.endswith(": ")


@on_both_loops
async def test_TLS_that_takes_too_long() -> None:
    async with listening(STAY) as host:
        error = await told(ask(There(f"https://{host}", connect=0.2)))
        assert (error.status, error.message) == (504, f"p: no connection to {host} within the time allowed")


@pytest.mark.parametrize("form", [head(), head("content-length: 5"), STREAM + b"5\r\n"])
@on_both_loops
async def test_what_is_broken_within_TLS(form: bytes, certificates: Certificates) -> None:
    """Bytes that are none of it, after the answer has begun."""

    async def spoil(visit: Visit) -> None:
        os.write(visit.writer.get_extra_info("socket").fileno(), b"this is not encrypted")

    with certificates.trusted():
        async with Provider([form, b"hi", 0.02, spoil, 0.05], tls=certificates.server("good")) as provider:
            error = await told(ask(provider.upstream()))
            assert (error.status, error.type, error.should_retry) == (500, "api_error", True)
            assert error.message.startswith(f"p: the connection to 127.0.0.1:{provider.port} broke: ")


@on_both_loops
async def test_a_body_that_ends_with_the_connection_over_TLS(certificates: Certificates) -> None:
    with certificates.trusted():
        async with Provider([head(), b"hel", 0.01, b"lo", CLOSE], tls=certificates.server("good")) as provider:
            assert (await ask(provider.upstream()))[2] == b"hello"


# Requests


def lines_of(head: str) -> dict[str, str]:
    first, *lines = head.rstrip("\r\n").split("\r\n")
    told = [line.partition(": ")[::2] for line in lines]
    assert len(told) == len(dict(told))
    return {"": first, **dict(told)}


@on_both_loops
async def test_a_request() -> None:
    async with Provider(OK) as provider:
        there = provider.upstream()
        await ask(there, '{"a": "ü"}'.encode(), {"Authorization": "Bearer k", "X-Other": "ü"})
        assert provider.bodies == ['{"a": "ü"}'.encode()]
        assert lines_of(provider.heads[0]) == {
            "": "POST /v1 HTTP/1.1",
            "host": f"127.0.0.1:{provider.port}",
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "ccproxy",
            "authorization": "Bearer k",
            "x-other": "ü",
            "content-length": "11",
        }


@on_both_loops
async def test_what_a_mapping_says_of_a_header_counts() -> None:
    async with Provider(OK) as provider:
        await ask(
            provider.upstream(), b"{}", {"User-Agent": "other", "CONTENT-TYPE": "text/plain", "Content-Length": "9", "Host": "h"}
        )
        sent = lines_of(provider.heads[0])
        assert (sent["user-agent"], sent["content-type"], sent["content-length"], sent["host"]) == (
            "other",
            "text/plain",
            "2",
            "h",
        )


@on_both_loops
async def test_asking_without_a_body() -> None:
    """RFC 9110, 8.6: a length of nothing is told where something could be expected."""
    async with Provider(OK) as provider:
        there = provider.upstream()
        with await there.get(there.url, {}) as reply:
            assert await reply.read() == b"hi"
        with await there.post(there.url, {}, b"") as reply:
            assert await reply.read() == b"hi"
        assert "content-length" not in lines_of(provider.heads[0])
        assert lines_of(provider.heads[1])["content-length"] == "0"
        assert len(provider.visits) == 1


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v1/models/größe", "/v1/models/gr%C3%B6%C3%9Fe"),
        ("/v1/a b", "/v1/a%20b"),
        ("/v1/a%20b%2Fc", "/v1/a%20b%2Fc"),
        ("/v1/m:generate?alt=sse&key=a+b/c%2B", "/v1/m:generate?alt=sse&key=a+b/c%2B"),
        ("/v1/@cf/meta/llama-3.1_8b~x", "/v1/@cf/meta/llama-3.1_8b~x"),
        ('/v1/[a]{b}|"<c>^`\\', "/v1/%5Ba%5D%7Bb%7D%7C%22%3Cc%3E%5E%60%5C"),
        ("/v1/!$&'()*,;=x", "/v1/!$&'()*,;=x"),
        ("/v1/x#fragment", "/v1/x"),
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("/v1?q=ü {}", "/v1?q=%C3%BC%20%7B%7D"),
    ],
)
def test_a_path_is_sent_as_RFC_3986_has_it(path: str, target: str) -> None:
    assert addresses.address(f"https://h.example{path}").target == target


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("https://API.Example.com/v1", ("https", "api.example.com", 443), "api.example.com"),
        ("http://api.example.com:443", ("http", "api.example.com", 443), "api.example.com:443"),
        ("https://api.example.com:443", ("https", "api.example.com", 443), "api.example.com"),
        ("http://[::1]:8080/v1", ("http", "::1", 8080), "[::1]:8080"),
        ("http://[2001:DB8::1]", ("http", "2001:db8::1", 80), "[2001:db8::1]"),
        ("https://bücher.example", ("https", "xn--bcher-kva.example", 443), "xn--bcher-kva.example"),
        ("https://name:word@h.example:1", ("https", "h.example", 1), "h.example:1"),
    ],
)
def test_an_address(url: str, origin: tuple[str, str, int], authority: str) -> None:
    to = addresses.address(url)
    assert to.origin == addresses.Origin(*origin)
    assert to.origin.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h",
        "ftp://h",
        "http://",
        "http://:80",
        "http:///x",
        "//h",
        "http://h:99999",
        "http://h:x",
        "http://[::1",
        "file:///etc",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        addresses.address(url)


@pytest.mark.parametrize(
    ("base", "url", "words"),
    [
        ("http://h", "ftp://h.example/x?key=1", "an address begins with http"),
        ("http://h", "http://h.example:99999/x?key=1", "Port out of range"),
        ("http://[::1", "http://[::1/x?key=1", "cannot connect to [::1: Invalid IPv6 URL"),
    ],
)
@on_both_loops
async def test_an_address_that_is_none_is_told(base: str, url: str, words: str) -> None:
    error = await told(There(base).post(url, {}, b""))
    assert (error.status, error.type, error.should_retry) == (500, "api_error", None)
    assert words in error.message
    assert "key" not in error.message


@on_both_loops
async def test_a_name_and_a_password_in_an_address() -> None:
    async with Provider(OK) as provider:
        for name, expected in [("user:pass%20word", "dXNlcjpwYXNzIHdvcmQ="), ("user", "dXNlcjo="), (":word", "OndvcmQ=")]:
            there = provider.upstream(f"http://{name}@127.0.0.1:{provider.port}/v1")
            await ask(there)
            sent = lines_of(provider.heads[-1])
            assert sent["authorization"] == f"Basic {expected}"
            assert sent["host"] == f"127.0.0.1:{provider.port}"


@on_both_loops
async def test_a_password_in_an_address_is_not_told() -> None:
    port = free_port()
    error = await told(There(f"http://user:word@127.0.0.1:{port}").post(f"http://user:word@127.0.0.1:{port}/x", {}, b""))
    assert error.message.startswith(f"p: cannot connect to 127.0.0.1:{port}: ")
    assert "word" not in error.message


@pytest.mark.parametrize("said", ["k\r\nx-evil: 1", "k\nx-evil: 1", "k\rx-evil: 1", "k\0", "\r\n\r\nGET / HTTP/1.1", "k\ud83d"])
@pytest.mark.parametrize("where", ["value", "name"])
@on_both_loops
async def test_a_header_cannot_become_two(said: str, where: str) -> None:
    async with Provider(OK) as provider:
        there = provider.upstream()
        error = await told(ask(there, headers={"authorization": said} if where == "value" else {said: "x"}))
        assert (error.status, error.type, error.should_retry) == (500, "api_error", None)
        assert "evil" not in error.message
        assert provider.visits == []


@pytest.mark.parametrize("said", ["m\r\nx-evil: 1", "m\n", "m\r", "m\0", "m HTTP/1.1", "m\x01\x7f", "m\u2028"])
@on_both_loops
async def test_a_path_cannot_become_a_header(said: str) -> None:
    async with Provider(OK) as provider:
        there = provider.upstream()
        with suppress(ApiError):
            with await there.post(f"{there.url}/{said}", {}, b"{}") as reply:
                await reply.read()
            sent = lines_of(provider.heads[0])
            assert sent[""].count(" ") == 2
            assert sent[""].isascii()
            assert sent[""].isprintable()
            assert "x-evil" not in sent


# Proxies


@contextmanager
def environment(**named: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        for name, value in named.items():
            patch.setenv(name, value)
        yield


@on_both_loops
async def test_a_proxy_is_asked_for_the_whole_address() -> None:
    async with Provider(OK) as proxy:
        with environment(http_proxy=f"http://us%40er:word@127.0.0.1:{proxy.port}"):
            there = proxy.upstream("http://provider.test:81/v1?a=b")
            for _ in range(2):
                assert (await ask(there))[2] == b"hi"
        sent = lines_of(proxy.heads[0])
        assert sent[""] == "POST http://provider.test:81/v1?a=b HTTP/1.1"
        assert sent["host"] == "provider.test:81"
        assert sent["proxy-authorization"] == "Basic dXNAZXI6d29yZA=="
        assert len(proxy.visits) == 1


def tunnel(
    certificates: Certificates, name: str = "good", said: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
) -> list[Part]:
    async def begin(visit: Visit) -> None:
        visit.writer.write(said)
        await visit.writer.start_tls(certificates.server(name))

    return [begin]


@on_both_loops
async def test_a_tunnel_through_a_proxy(certificates: Certificates) -> None:
    with certificates.trusted():
        async with Provider(tunnel(certificates), OK) as proxy:
            with environment(https_proxy=f"http://user:word@127.0.0.1:{proxy.port}"):
                there = proxy.upstream("https://provider.test/v1")
                for _ in range(2):
                    assert (await ask(there))[2] == b"hi"
        connect, *sent = map(lines_of, proxy.heads)
        assert connect == {
            "": "CONNECT provider.test:443 HTTP/1.1",
            "host": "provider.test:443",
            "proxy-authorization": "Basic dXNlcjp3b3Jk",
        }
        assert [request[""] for request in sent] == ["POST /v1 HTTP/1.1"] * 2
        assert sent[0]["host"] == "provider.test"
        assert "proxy-authorization" not in sent[0]
        assert len(proxy.visits) == 1


@on_both_loops
async def test_a_tunnel_to_an_address_of_IPv6(certificates: Certificates) -> None:
    async with Provider([head(status="502 No"), CLOSE]) as proxy:
        with environment(https_proxy=f"http://127.0.0.1:{proxy.port}"):
            await told(ask(proxy.upstream("https://[2001:db8::1]:8443/v1")))
        assert lines_of(proxy.heads[0]) == {"": "CONNECT [2001:db8::1]:8443 HTTP/1.1", "host": "[2001:db8::1]:8443"}


@on_both_loops
async def test_a_tunnel_does_not_make_a_certificate_good(certificates: Certificates) -> None:
    with certificates.trusted():
        async with Provider(tunnel(certificates, "another's"), OK) as proxy:
            with environment(https_proxy=f"http://127.0.0.1:{proxy.port}"):
                error = await told(ask(proxy.upstream("https://provider.test/v1")))
        assert error.message.startswith("p: cannot connect to provider.test: ")
        assert "certificate is not valid for 'provider.test'" in error.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            [head("content-length: 0", status="407 Proxy Authentication Required")],
            "does not connect: HTTP/1.1 407 Proxy Authentication",
        ),
        ([head(status="403 Forbidden"), CLOSE], "does not connect: HTTP/1.1 403 Forbidden"),
        ([CLOSE], "gives no answer"),
        ([b"HTTP/1.1 200", CLOSE], "gives no answer"),
        ([b"x" * 100_000], "gives no answer"),
    ],
)
@on_both_loops
async def test_a_proxy_that_refuses(answer: list[Part], words: str) -> None:
    async with Provider([*answer, STAY]) as proxy:
        with environment(https_proxy=f"http://user:word@127.0.0.1:{proxy.port}"):
            error = await told(ask(proxy.upstream("https://provider.test/v1")))
        assert (error.status, error.type) == (500, "api_error")
        assert "provider.test" in error.message
        assert "the proxy " in error.message
        assert words in error.message
        assert "word" not in error.message
        async with asyncio.timeout(1):
            await proxy.has_left.wait()


@on_both_loops
async def test_a_proxy_that_does_not_answer() -> None:
    async with Provider([STAY]) as proxy:
        with environment(https_proxy=f"http://127.0.0.1:{proxy.port}"):
            before = open_files()
            there = There("https://provider.test/v1", connect=0.2)
            assert (await told(ask(there))).message == "p: no connection to provider.test within the time allowed"
            await proxy.has_left.wait()
            await asyncio.sleep(0.02)
            assert open_files() <= before


@on_both_loops
async def test_a_proxy_that_is_not_there() -> None:
    port = free_port()
    with environment(http_proxy=f"http://user:word@127.0.0.1:{port}"):
        error = await told(ask(There("http://provider.test/v1")))
    assert error.message.startswith("p: cannot connect to provider.test: ")
    words = f"nothing listens at the proxy 127.0.0.1:{port} (connection refused); is the server running?"
    assert error.message == f"p: cannot connect to provider.test: {words}"


@pytest.mark.parametrize(
    "proxy", ["proxy.example:3128", "socks5://proxy.example:1080", "https://proxy.example", "http://[", "http://"]
)
@on_both_loops
async def test_a_proxy_that_cannot_be_asked_is_told_when_it_is_needed(proxy: str) -> None:
    with environment(https_proxy=proxy):
        error = await told(ask(There("https://provider.test/v1")))
    assert (error.status, error.type, error.should_retry) == (500, "api_error", None)
    assert error.message.startswith("p: cannot connect to provider.test: ")


@pytest.mark.parametrize(
    ("base_url", "named"),
    [
        ("http://127.0.0.1:{port}", {"http_proxy": "http://127.0.0.1:1"}),
        ("http://localhost:{port}", {"HTTP_PROXY": "http://127.0.0.1:1"}),
        ("http://provider.example:{port}", {"http_proxy": "http://127.0.0.1:1", "no_proxy": "other.test,.example"}),
        ("http://provider.example:{port}", {"http_proxy": "http://127.0.0.1:1", "NO_PROXY": "*"}),
        ("http://provider.example:{port}", {"https_proxy": "http://127.0.0.1:1"}),
    ],
)
@on_both_loops
async def test_where_no_proxy_is_asked(base_url: str, named: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    async with Provider(OK) as provider:
        looking_up(monkeypatch, lambda name: [("127.0.0.1", provider.port)])
        with environment(**named):
            assert (await ask(provider.upstream(base_url.format(port=provider.port))))[2] == b"hi"
        assert lines_of(provider.heads[0])[""] == "POST / HTTP/1.1"
