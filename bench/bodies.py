"""The requests that proxies are measured with."""

import base64
import json
import random
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from tests.bodies import large_request

MODEL = "claude-opus-5-5"


def written(body: Mapping[str, Any]) -> bytes:
    """A body as Claude Code and Anthropic's SDKs write it: nothing stands between its words."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def spaced(body: Mapping[str, Any]) -> bytes:
    """The same with spaces between, so that nothing in it is known from the last time (engine/wire/recurring.py)."""
    return json.dumps(body).encode()


def small(text: str = "Say hello.", *, model: str = MODEL, stream: bool = False) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": 1024,
        "stream": stream,
        "system": "You are a careful engineer.",
        "messages": [{"role": "user", "content": text}],
    }


def session() -> dict[str, Any]:
    """300 KB: 60 tools, 80 messages."""
    return large_request(tools=60, messages=80, size=370_000) | {"stream": False}


def turns() -> dict[str, Any]:
    """200 turns of a call and its result."""
    return large_request(tools=30, messages=400, size=400_000) | {"stream": False}


def images() -> dict[str, Any]:
    """1 MB, most of it four pictures."""
    pictures = [{"type": "image", "source": _picture(seed)} for seed in range(4)]
    content = [{"type": "text", "text": "What do these show?"}, *pictures]
    return small() | {"messages": [{"role": "user", "content": content}]}


def _picture(seed: int) -> dict[str, Any]:
    """A PNG of 250 by 250 random dots, which nothing makes smaller."""
    noise = random.Random(seed)
    rows = zlib.compress(b"".join(b"\0" + noise.randbytes(250 * 3) for _ in range(250)))
    head = struct.pack(">IIBBBBB", 250, 250, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b"")))
    return {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png).decode()}


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
