"""Which ccproxy serves a port: a lock on `~/.ccproxy/ccproxy-PORT.pid`, and another that counts the sessions which use it.

The kernel lets go of a lock when its holder dies, however that happens, and it says who holds one. So a file without a
holder is stale, whatever number is written in it, and nobody is told of, or stopped, for having that number by chance.
"""

import fcntl
import os
import re
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from engine.gateway.settings import HOME, make_folder

_LOCK = "hhqqi" if sys.platform == "linux" else "qqihh"
"""fcntl(2)'s `struct flock`: type, whence, start, length, pid; on macOS and the BSDs: start, length, pid, type, whence."""

LONG_LOG = 10_000_000
"""Bytes; some hundred thousand requests."""


class Instance(NamedTuple):
    """A ccproxy that is alive."""

    port: int
    pid: int

    def stop(self) -> None:
        """Ask it to end. Asked again, it does so at once."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, for so long at most; whether it has come."""
        end = time.monotonic() + seconds
        while (alive := running(self.port) == self) and time.monotonic() < end:
            time.sleep(0.02)
        return not alive


class AlreadyRunning(Exception):
    """Another ccproxy holds the port's lock."""


@contextmanager
def holding(port: int) -> Iterator[None]:
    """Be the instance of a port. Raises AlreadyRunning, and OSError where the folder cannot be written."""
    path = _file(port, "pid")
    try:
        held = _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AlreadyRunning from None
    try:
        _write(path, held, os.getpid())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(held)


def running(port: int) -> Instance | None:
    """The instance of a port; None where none is alive."""
    pid = _holder(_file(port, "pid"))
    return Instance(port, pid) if pid else None


def all_running() -> list[Instance]:
    """Those of all ports."""
    names = [re.fullmatch(r"ccproxy-(\d+)\.pid", path.name) for path in _folder().glob("ccproxy-*.pid")]
    found = [running(port) for port in sorted(int(name[1]) for name in names if name)]
    return [instance for instance in found if instance]


@contextmanager
def using(port: int, *, grace: float) -> Iterator[Callable[[Instance], None]]:
    """Be one of the sessions that share the instance of a port.

    What it yields is to be told of an instance that was started for them; that one the last session to leave stops.
    """
    path = _file(port, "users")
    shared = _lock(path, fcntl.LOCK_SH)
    try:
        yield lambda started: _write(path, shared, started.pid)
    finally:
        if _is_last(shared, path):
            instance = running(port)
            if instance and str(instance.pid) == os.pread(shared, 20, 0).decode().strip():
                instance.stop()
                instance.ends_within(grace)
            path.unlink(missing_ok=True)
        os.close(shared)


def _is_last(shared: int, path: Path) -> bool:
    """Whether nobody else uses the instance; nobody can begin to, then, before this session is done with it."""
    # Let go first: two that leave at once would each find the other.
    fcntl.lockf(shared, fcntl.LOCK_UN)
    try:
        fcntl.lockf(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return _lies_at(shared, path)


def log_file(port: int) -> Path:
    """Where an instance in the background logs to."""
    return _file(port, "log")


def open_log(port: int) -> BinaryIO:
    """The log to write to. One that has grown long makes room for a new one, and takes the place of the one before."""
    path = log_file(port)
    make_folder(path.parent)
    if path.exists() and path.stat().st_size > LONG_LOG:
        path.replace(path.with_suffix(".log.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _file(port: int, kind: str) -> Path:
    return _folder() / f"ccproxy-{port}.{kind}"


def _folder() -> Path:
    return HOME.expanduser()


def _lock(path: Path, kind: int) -> int:
    """The descriptor of the locked file. Raises BlockingIOError where it is held and `kind` does not wait."""
    make_folder(path.parent)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(file, kind)
        except BaseException:
            os.close(file)
            raise
        # Who held it before may have removed it since it was opened, and others lock the one that lies there now.
        if _lies_at(file, path):
            return file
        os.close(file)


def _lies_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> int | None:
    """The process that holds a file's lock alone."""
    try:
        file = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        told = struct.unpack(_LOCK, fcntl.fcntl(file, fcntl.F_GETLK, _wanted()))
    finally:
        os.close(file)
    kind, pid = (told[0], told[4]) if sys.platform == "linux" else (told[3], told[2])
    # Not every holder can be named: to a container the processes outside of it have no number.
    return pid if kind != fcntl.F_UNLCK and pid > 0 else None


def _wanted() -> bytes:
    """A shared lock on the whole file."""
    kind, whence, whole = fcntl.F_RDLCK, os.SEEK_SET, 0
    fields = (kind, whence, whole, whole, 0) if sys.platform == "linux" else (whole, whole, 0, kind, whence)
    return struct.pack(_LOCK, *fields)


def _write(path: Path, file: int, pid: int) -> None:
    """Raises OSError, which of a full disk else does not say where that is."""
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, f"{pid}\n".encode(), 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
