"""Answers that are compressed although nobody has asked for that: some gateways know no better."""

import zlib
from collections.abc import Callable

MOST = 4 * 1024 * 1024
"""Bytes that a piece of an answer may unfold to: a few can become gigabytes."""

_EITHER = 32 + zlib.MAX_WBITS
"""gzip's form or zlib's, which HTTP calls deflate."""


class Packed(OSError):
    """An answer that cannot be unpacked; the message says why."""


def unpacker(encoding: str) -> Callable[[bytes], bytes] | None:
    """What unpacks an answer piece by piece, by its Content-Encoding; None where it is not packed. Both raise Packed."""
    match [name.strip() for name in encoding.lower().split(",")]:
        case ["" | "identity"]:
            return None
        case ["gzip" | "x-gzip" | "deflate"]:
            return _unpacking()
    raise Packed(f"what only {encoding} reads is not unpacked here")


def _unpacking() -> Callable[[bytes], bytes]:
    packed = zlib.decompressobj(_EITHER)

    def unpack(piece: bytes) -> bytes:
        try:
            data = packed.decompress(piece, MOST)
        except zlib.error as error:
            raise Packed(str(error)) from error
        if packed.unconsumed_tail:
            del data  # which the error's trace would hold
            raise Packed(f"it would be longer than {MOST:,} bytes")
        return data

    return unpack
