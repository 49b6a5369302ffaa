"""`check`: every mistake of a configuration and of mappings, before anything is served."""

from pathlib import Path

import click

from engine import MappingError, load_mapping
from engine.commands.telling import fail
from engine.gateway import catalogue, config
from engine.gateway.access import UnsafeAddress
from engine.gateway.config import Config
from engine.gateway.providers import ProviderError, folders
from engine.mapping.document import Fields, read
from engine.mapping.errors import Problems, Source
from engine.mapping.examples import run_examples
from engine.mapping.words import TOP_LEVEL
from server import Application

OF_BOTH = {"limits"}
"""Keys that a configuration may have as well as a mapping."""


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Check configuration and mappings.

    All that can be reached, or just these FILES. The mappings' own examples are run.
    """
    paths = list(files) or _all()
    troubles = [trouble for path in paths for trouble in _troubles(path)]
    for trouble in troubles:
        click.echo(f"{trouble}\n", err=True)
    if troubles:
        fail(f"{_count(len(troubles), 'problem')} in {_count(len(paths), 'file')}")
    click.echo(f"{_count(len(paths), 'file')}, no problem")


def _all() -> list[Path]:
    """The configuration, if there is one, and every mapping that it can reach."""
    path = config.find(None)
    try:
        settings = config.load(path)
    except (MappingError, OSError):
        settings = Config()
    mappings = catalogue.files(folders(settings)).values()
    return [*([path] if path else []), *mappings]


def _troubles(path: Path) -> list[str]:
    try:
        return _of_configuration(path) if _is_configuration(path) else run_examples(load_mapping(path, [path.parent]))
    except MappingError as error:
        return [problem.picture() for problem in error.problems]
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    except UnicodeDecodeError as error:
        return [f"{path}: this is no UTF-8: {error.reason} at byte {error.start}"]


def _of_configuration(path: Path) -> list[str]:
    """Beyond what is written in it: whether a server could be started with it here and now."""
    try:
        Application(config.load(path))
    except (ProviderError, UnsafeAddress) as error:
        return [f"{path}: {error}"]
    return []


def _is_configuration(path: Path) -> bool:
    if path == config.find(None):
        return True
    document = read(Source(str(path), path.read_text(encoding="utf-8")), Problems())
    return isinstance(document, Fields) and not document.entries.keys() & (TOP_LEVEL.keys() - OF_BOTH)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
