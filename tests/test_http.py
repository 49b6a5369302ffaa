"""How a request's body is read, however it comes."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway import http
from engine.gateway.http import Message
from engine.wire.errors import ApiError


class Server:
    """One that gives a body in these pieces, and as Granian does tells its end by an empty message behind them."""

    def __init__(self, pieces: Sequence[bytes]):
        self.messages = [http_request(piece, more=True) for piece in pieces] + [http_request(b"", more=False)]
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        return self.messages[self.asked - 1]


def http_request(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


pieces = st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6)


@given(pieces)
def test_a_body_of_known_length_is_whole_without_another_question(pieces: list[bytes]) -> None:
    server = Server(pieces)
    length = sum(map(len, pieces))
    assert asyncio.run(http.read_body(server.receive, length, length)) == b"".join(pieces)
    assert server.asked == len(pieces)


@given(pieces)
def test_a_body_of_unknown_length_is_read_to_its_end(pieces: list[bytes]) -> None:
    server = Server(pieces)
    assert asyncio.run(http.read_body(server.receive, 1_000)) == b"".join(pieces)
    assert server.asked == len(pieces) + 1


@pytest.mark.parametrize("length", [None, 0])
def test_a_body_that_is_empty(length: int | None) -> None:
    assert asyncio.run(http.read_body(Server([]).receive, 10, length)) == b""


@pytest.mark.parametrize("length", [None, 21, 5])
def test_a_body_that_is_too_large(length: int | None) -> None:
    with pytest.raises(ApiError, match="larger than 20 bytes"):
        asyncio.run(http.read_body(Server([b"a" * 21]).receive, 20, length))


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({"content-length": "0"}, 0),
        ({"content-length": "120"}, 120),
        ({"content-length": "120", "transfer-encoding": "chunked"}, None),
        ({"transfer-encoding": "chunked"}, None),
        ({"content-length": "-1"}, None),
        ({"content-length": "1_0"}, None),
        ({"content-length": "²"}, None),
        ({"content-length": "1, 1"}, None),
        ({}, None),
    ],
)
def test_the_length_of_a_body(headers: dict[str, str], length: int | None) -> None:
    scope = {"headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]}
    assert http.length(scope) == length
