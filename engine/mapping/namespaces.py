"""What generated code finds by name: helpers, functions, and those of a mapping's own Python files."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from .runtime import NAMES
from .signatures import Function, from_module


def namespace(functions: Mapping[str, Function]) -> dict[str, Any]:
    """The globals of compiled expressions: helpers, functions, and functions that check what they are given."""
    plain = {variable_of(name): made.implementation for name, made in functions.items()}
    return {**NAMES, **plain, **{f"_checked_{name}": made.checked for name, made in functions.items()}}


def variable_of(function: str) -> str:
    """The variable of a function; generated code has uses of its own for Python's `type`, and no name starts with _."""
    return f"_{function}_" if function in NAMES else function


def from_files(files: Sequence[Path]) -> dict[str, Function]:
    """The functions of Python files. Raises whatever one of them raises."""
    return from_texts({file: file.read_bytes() for file in files})


def from_texts(texts: Mapping[Path, bytes]) -> dict[str, Function]:
    """The same, of what was in the files."""
    return {name: made for file, text in texts.items() for name, made in from_module(_import(file, text)).items()}


def _import(path: Path, text: bytes) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"mapping_{path.stem.replace('-', '_')}", path)
    if spec is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    exec(compile(text, str(path), "exec", dont_inherit=True), module.__dict__)
    return module
