"""ccproxy's engine: an Anthropic Messages API in front of any provider, each a mapping."""

from collections.abc import Sequence
from pathlib import Path

from .mapping.errors import MappingError, suggest_mapping
from .mapping.mapping import Mapping
from .wire.facts import Facts

__version__ = "0.1.0"

__all__ = ["Mapping", "MappingError", "load_mapping"]

# In a checkout the mappings lie beside the package, in a wheel inside it.
_HERE = Path(__file__).parent
BUILT_IN = next(folder for folder in (_HERE / "mappings", _HERE.parent / "mappings") if folder.is_dir())


def load_mapping(name: str | Path, folders: Sequence[Path] = ()) -> Mapping:
    """Load a mapping by its name, looked for in `folders` and then among the built-in ones, or by its file's path.

    Raises MappingError with all that is wrong with it, FileNotFoundError where there is none.
    """
    from .mapping.loader import load  # its libraries are not wanted where what was compiled is kept

    places = [*folders, BUILT_IN]
    if isinstance(name, Path):
        return load(name, places, Facts)
    for folder in places:
        path = folder / f"{name}.yaml"
        if path.is_file():
            return load(path, places, Facts)
    raise FileNotFoundError(f"there is no mapping named {name!r}{suggest_mapping(name, places)}")
