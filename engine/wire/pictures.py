"""How large a picture is, read from its first bytes."""

import re
from binascii import Error, a2b_base64
from collections.abc import Callable
from typing import Literal

_ENOUGH = 400
_ENOUGH_OF_A_JPEG = 200_000
"""Its size stands behind its metadata, which may hold a thumbnail."""


def size(base64: str) -> tuple[int, int] | None:
    """Width and height of a PNG, GIF, JPEG or WebP in base64; None where they cannot be read."""
    try:
        data = a2b_base64(base64[:_ENOUGH])
        if data.startswith(b"\xff\xd8"):
            data = a2b_base64(base64[:_ENOUGH_OF_A_JPEG])
    except (Error, ValueError):
        return None
    for signature, read in _FORMATS:
        if signature.match(data):
            return read(data)
    return None


def _png(data: bytes) -> tuple[int, int] | None:
    return _pair(data[16:20], data[20:24], "big")


def _gif(data: bytes) -> tuple[int, int] | None:
    return _pair(data[6:8], data[8:10], "little")


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        # Start of frame; C4, C8 and CC are something else among them.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _pair(data[at + 7 : at + 9], data[at + 5 : at + 7], "big")
        at += 2 + length
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    return (width, height) if len(data) >= 30 else None


def _pair(width: bytes, height: bytes, order: Literal["big", "little"]) -> tuple[int, int] | None:
    return (int.from_bytes(width, order), int.from_bytes(height, order)) if height else None


_FORMATS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], tuple[int, int] | None]], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"GIF8"), _gif),
    (re.compile(rb"\xff\xd8\xff"), _jpeg),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
)
