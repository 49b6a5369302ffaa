"""`check`: every mistake of a configuration and of mappings, before anything is served."""

import sys
from pathlib import Path

import click

from engine import MappingError, load_mapping
from engine.commands.telling import fail
from engine.gateway import catalogue, config
from engine.gateway.access import UnsafeAddress
from engine.gateway.limits import Limiter
from engine.gateway.metrics import Metrics
from engine.gateway.providers import ProviderError, folders
from engine.gateway.service import Service
from engine.gateway.settings import Config
from engine.mapping.document import Fields, read
from engine.mapping.errors import Problems, Source
from engine.mapping.examples import run_examples
from engine.mapping.words import TOP_LEVEL

OF_BOTH = {"limits"}
"""Keys that a configuration may have as well as a mapping."""


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Check configuration and mappings.

    All that can be reached, or just these FILES. The mappings' own examples are run.
    """
    own = folders(_settings())
    paths = list(files) or _all(own)
    with click.progressbar(paths, file=sys.stderr, hidden=not sys.stderr.isatty(), show_eta=False, show_pos=True) as shown:
        troubles = [trouble for path in shown for trouble in (*_of_name(path, own), *_troubles(path, own))]
    for trouble in troubles:
        click.echo(f"{trouble}\n", err=True)
    if troubles:
        fail(f"{_count(len(troubles), 'problem')} in {_count(len(paths), 'file')}")
    click.echo(f"{_count(len(paths), 'file')}, no problem")


def _settings() -> Config:
    """What the configuration says, if it can be read."""
    try:
        return config.load(config.find(None))
    except (MappingError, OSError):
        return Config()


def _all(own: list[Path]) -> list[Path]:
    """The configuration, if there is one, every mapping that it can reach, and what only looks like one."""
    path = config.find(None)
    return [*([path] if path else []), *catalogue.files(own).values(), *catalogue.misnamed(own)]


def _of_name(path: Path, own: list[Path]) -> list[str]:
    told = catalogue.misnamed(own).get(path.absolute())
    return [told] if told else []


def _troubles(path: Path, own: list[Path]) -> list[str]:
    try:
        return _of_configuration(path) if _is_configuration(path, own) else run_examples(load_mapping(path, [path.parent]))
    except MappingError as error:
        return [problem.picture() for problem in error.problems]
    except OSError as error:
        return [f"{path}: {error.strerror}"]


def _of_configuration(path: Path) -> list[str]:
    """Beyond what is written in it: whether a server could be started with it here and now."""
    try:
        Service(config.load(path), Metrics(), Limiter())
    except (ProviderError, UnsafeAddress) as error:
        return [f"{path}: {error}"]
    return []


def _is_configuration(path: Path, own: list[Path]) -> bool:
    if path == config.find(None) or path.stat().st_size > config.LONGEST:
        return True
    if path.parent in own:
        return False
    try:
        document = read(Source(str(path), path.read_text(encoding="utf-8", errors="replace")), Problems())
    except MappingError:
        # Its mistakes are the same, whatever it was to be.
        return True
    return not isinstance(document, Fields) or not document.entries.keys() & (TOP_LEVEL.keys() - OF_BOTH)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
