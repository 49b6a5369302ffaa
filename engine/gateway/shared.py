"""What the worker processes of one server tell each other: what they have counted, and that all are to reload.

A file for each worker in a folder that only they and their parent know, written anew each second and before it is read.
"""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from engine.gateway.metrics import Metrics

FOLDER = "CCPROXY_SHARED"
"""The variable by which the command tells its worker processes where they meet."""


class Told(NamedTuple):
    """What a worker tells of itself: its metrics, and the state of its breakers as `/status` has it."""

    metrics: Metrics
    breakers: list[dict[str, Any]]


class Shared:
    """A worker's view of the others. `folder` is None where there are none."""

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._reloaded = self._asked()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Shared":
        return cls(Path(environment[FOLDER]) if FOLDER in environment else None)

    def tell(self, own: Told) -> None:
        """So that whoever is asked next counts at least as much: a counter that went back would look like a restart."""
        if self._folder:
            file = self._folder / f"{os.getpid()}.worker"
            written = file.with_suffix(".part")
            written.write_bytes(pickle.dumps(own))
            written.replace(file)

    def all(self, own: Told) -> list[Told]:
        """What all have told. What a worker counted that is no more still counts; what it was about does not."""
        if not self._folder:
            return [own]
        self.tell(own)
        told = {int(file.stem): pickle.loads(file.read_bytes()) for file in sorted(self._folder.glob("*.worker"))}
        for pid, one in told.items():
            if not _is_alive(pid):
                one.metrics.running.clear()
                one.breakers.clear()
        return list(told.values())

    @property
    def workers(self) -> int:
        """How many there are."""
        return sum(_is_alive(int(file.stem)) for file in self._folder.glob("*.worker")) if self._folder else 1

    def must_reload(self) -> bool:
        """Whether another has been told to reload since this was last True."""
        asked = self._asked()
        is_new, self._reloaded = asked != self._reloaded, asked
        return is_new

    def has_reloaded(self) -> None:
        """This one has, and the others are to."""
        if self._folder:
            ask_all(self._folder)
            self._reloaded = self._asked()

    def _asked(self) -> int:
        try:
            return (self._folder / "reload").stat().st_mtime_ns if self._folder else 0
        except OSError:
            return 0


def ask_all(folder: Path) -> None:
    """Have all workers reload."""
    (folder / "reload").write_bytes(os.urandom(8))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
