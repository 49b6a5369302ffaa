"""What the worker processes of one server tell each other: what they have counted, and what all of them serve.

A file for each worker in a folder that only they and their parent know, written anew each second and before it is read;
and one with what was reloaded last, which the others take, and a worker that begins later.
"""

import logging
import os
import pickle
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from engine.gateway.metrics import Metrics
from engine.gateway.settings import Config

FOLDER = "CCPROXY_SHARED"
"""The variable by which the command tells its worker processes where they meet."""

BREAK_OFF = signal.SIGUSR1
"""By which the command tells them that it waits no longer for running answers."""

SERVED = "served"


log = logging.getLogger("ccproxy")

Stamp = tuple[int, int]


class Kept(NamedTuple):
    """What is served: the configuration, and the mappings of its providers, frozen."""

    config: Config
    mappings: dict[str, bytes]


class Told(NamedTuple):
    """What a worker tells of itself: its metrics, and the state of its breakers as `/status` has it."""

    metrics: Metrics
    breakers: list[dict[str, Any]]


class Shared:
    """A worker's view of the others. `folder` is None where there are none."""

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._served = self._stamp()
        self._has_failed = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Shared":
        return cls(Path(environment[FOLDER]) if FOLDER in environment else None)

    def tell(self, own: Told) -> None:
        """So that whoever is asked next counts at least as much: a counter that went back would look like a restart."""
        if not self._folder:
            return
        try:
            _write(self._folder / f"{os.getpid()}.worker", pickle.dumps(own))
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                log.warning("the other workers do not know what this one counts: %s", error)
            self._has_failed = True

    def all(self, own: Told) -> list[Told]:
        """What all have told. What a worker counted that is no more still counts; what it was about does not."""
        if not self._folder:
            return [own]
        self.tell(own)
        workers = {int(file.stem): pickle.loads(file.read_bytes()) for file in sorted(self._folder.glob("*.worker"))}
        workers[os.getpid()] = own  # which may not have been written
        for pid, one in workers.items():
            if not _is_alive(pid):
                one.metrics.running.clear()
                one.breakers.clear()
        return list(workers.values())

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self._alive())

    @property
    def is_first(self) -> bool:
        """Whether it is this worker that does what one does for all."""
        return min(self._alive()) == os.getpid()

    def _alive(self) -> set[int]:
        known = {int(file.stem) for file in self._folder.glob("*.worker")} if self._folder else set()
        return {pid for pid in known if _is_alive(pid)} | {os.getpid()}

    def must_follow(self) -> bool:
        """Whether another has reloaded since this was last True, or since this one has."""
        stamp = self._stamp()
        is_new, self._served = stamp != self._served, stamp
        return is_new

    def keep(self, kept: Callable[[], Kept]) -> None:
        """Have all workers serve this, and those that begin later. Raises OSError where it cannot be written."""
        if not self._folder:
            return
        try:
            self._served = _write(self._folder / SERVED, pickle.dumps(kept()))
        except OSError as error:
            raise OSError(f"the other workers cannot be told: {error}") from error

    def kept(self) -> Kept:
        """What is to be served. Only where there are other workers."""
        assert self._folder
        kept: Kept = pickle.loads((self._folder / SERVED).read_bytes())
        return kept

    def _stamp(self) -> Stamp | None:
        try:
            return _stamp(self._folder / SERVED) if self._folder else None
        except OSError:
            return None


def _write(file: Path, data: bytes) -> Stamp:
    """At once: whoever reads it finds this, or what was there before. There are keys in it."""
    part = file.with_name(f"{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(data)
        stamp = _stamp(part)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(file)) from error
    return stamp


def _stamp(file: Path) -> Stamp:
    found = file.stat()
    return found.st_mtime_ns, found.st_ino


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
