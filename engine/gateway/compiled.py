"""Compiled mappings, kept on disk between starts, and from one reload to the next.

They are known by what they were made of: the texts of all mappings that there are, this Python, and the compiler itself.
Whatever of that changes, they are made anew.
"""

import os
import sys
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import engine
from engine import BUILT_IN, Mapping, load_mapping
from engine.gateway.settings import HOME, make_folder
from engine.mapping.errors import shown
from engine.mapping.frozen import freeze, thaw

FOLDER = HOME / "compiled"
DIGITS = 32


class Compiled:
    """The mappings of some folders, as of now."""

    def __init__(self, folders: tuple[Path, ...]):
        self._folders = folders
        self._made_of = _digest(folders)

    def load(self, name: str) -> Mapping:
        """As `load_mapping` does. Where nothing can be kept, it is compiled each time."""
        kept = FOLDER.expanduser() / f"{name}-{self._made_of}"
        with suppress(Exception):  # not there, cut short, of another Python: it is only a copy
            return thaw(kept.read_bytes())
        mapping = load_mapping(name, self._folders)
        with suppress(OSError):
            _keep(kept, freeze(mapping), name)
        return mapping


def _keep(kept: Path, data: bytes, name: str) -> None:
    make_folder(kept.parent)
    for old in kept.parent.glob(f"{name}-{'?' * DIGITS}"):
        old.unlink(missing_ok=True)
    # Several processes may write it at once, and each of them the same.
    part = kept.with_name(f"{kept.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(kept)


def _digest(folders: tuple[Path, ...]) -> str:
    digest = blake2b(f"{sys.version} {Path(engine.__file__)}".encode(), digest_size=DIGITS // 2)
    for folder in (*folders, BUILT_IN):
        digest.update(shown(folder).encode())  # as places in them are named, which depends on where one is
        for file in sorted(filter(Path.is_file, (*folder.glob("*.yaml"), *folder.glob("*.py")))):
            digest.update(f"\0{file}\0".encode())
            digest.update(file.read_bytes())
    engines = Path(engine.__file__).parent
    for file in sorted((*engines.glob("mapping/*.py"), *engines.glob("wire/*.py"))):
        found = file.stat()
        digest.update(f"\0{file.name} {found.st_mtime_ns} {found.st_size}".encode())
    return digest.hexdigest()
