"""The mappings there are, known by their text alone: compiling thirty to use one would cost half a second at every start."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from engine import BUILT_IN
from engine.mapping.addresses import NAME, VARIABLE
from engine.mapping.errors import shown

_KEY_ENV = re.compile(rf"""\s*["']?(?!null\b){NAME}["']?\s*(?:\s#.*)?$""")


def folders(own: Path) -> list[Path]:
    """Where mappings are looked for: the user's own first."""
    return [folder for folder in (own.expanduser(), BUILT_IN) if folder.is_dir()]


def files(folders: Sequence[Path]) -> dict[str, Path]:
    """The mappings by their names; of two with one name the first."""
    found: dict[str, Path] = {}
    for folder in folders:
        # By their names: `openai` comes before `openai-chat`, which as paths they do not.
        for path in sorted(filter(Path.is_file, folder.glob("*.yaml")), key=lambda path: path.stem):
            found.setdefault(path.stem, path)
    return found


def misnamed(folders: Sequence[Path]) -> dict[Path, str]:
    """The files that somebody takes for mappings and that are not read, and what is told of each."""
    found = [path for folder in folders for path in sorted(folder.glob("*.yml"))]
    return {path: f"{shown(path)}: this is no mapping until it is called {path.stem}.yaml" for path in found}


def variables(path: Path) -> list[str]:
    """What a mapping needs of the environment: its key, and the parts of its address. Empty where it has no key."""
    found = path.stat()
    return list(_variables(path, found.st_mtime_ns, found.st_size))


@lru_cache(maxsize=1000)
def _variables(path: Path, changed: int, size: int) -> tuple[str, ...]:
    """Of the file as it was then: every start and every reload asks for all of them, and more than once."""
    # What is no UTF-8 in it is told when it is loaded.
    text = "\n" + path.read_bytes().decode(errors="replace")
    key = _KEY_ENV.match(_line(text, "key_env"))
    return (key[1], *VARIABLE.findall(_line(text, "base_url"))) if key else ()


def _line(text: str, key: str) -> str:
    """The line of a key at the top of a mapping, "" where there is none."""
    before, _, after = text.partition(f"\n{key}:")
    return after.partition("\n")[0] if len(before) < len(text) else ""


def with_keys(mappings: Mapping[str, Path], environment: Mapping[str, str]) -> Iterator[str]:
    """Those whose key is in the environment: they need no entry in the configuration."""
    for name, path in mappings.items():
        needed = variables(path)
        if needed and all(map(environment.get, needed)):
            yield name
