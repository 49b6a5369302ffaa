"""The folder in which the workers of a server meet (shared.py), and those that nobody meets in any more."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

PREFIX = "ccproxy-"

HELD = "held"
"""A file in each folder that is locked for as long as one of those who meet there lives."""


@contextmanager
def place() -> Iterator[tuple[Path, int]]:
    """A folder, and the descriptor that holds it, which all who meet there are to have."""
    _remove_abandoned()
    with TemporaryDirectory(prefix=PREFIX) as name:
        folder, held = Path(name), os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            (folder / HELD).touch(0o600)
            yield folder, held
        finally:
            os.close(held)


def _remove_abandoned() -> None:
    """Remove what those have left who were all killed: there are keys in it."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Without the file nobody holds it yet, or it is nobody's of ours.
                if os.fstat(held).st_uid == os.getuid() and (folder / HELD).exists():
                    shutil.rmtree(folder)
            finally:
                os.close(held)
