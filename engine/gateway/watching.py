"""Whether the files that a server runs by have changed."""

from collections.abc import Iterable
from pathlib import Path

Stamps = dict[Path, tuple[int, int, int]]


class Watch:
    """Looks at files and at those in folders, by what the file system says of them: no event is lost where there is none.

    An editor writes in several steps, and a mounted ConfigMap changes as a whole: a change counts when it has come to rest.
    `since` is when the files were first read, in seconds since 1970: they may have changed before the first look.
    """

    def __init__(self, since: float) -> None:
        self._since = since * 1e9
        self._settled: Stamps | None = None
        self._seen: Stamps = {}

    def has_changed(self, paths: Iterable[Path]) -> bool:
        """Whether anything is different from what it was when this was last True, or at first."""
        now = {file: stamp for path in paths for file in _files(path) if (stamp := _stamp(file))}
        if self._settled is None:
            self._seen = now
            self._settled = {file: stamp for file, stamp in now.items() if stamp[0] < self._since}
        rests, self._seen = now == self._seen, now
        if not rests or now == self._settled:
            return False
        self._settled = now
        return True


def _files(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else [path]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
