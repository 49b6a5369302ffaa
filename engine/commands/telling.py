"""How a command tells what it has found, or what is wrong: words, tables, JSON, an exit code."""

import logging
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from textwrap import wrap
from typing import Any, NoReturn, TypeVar

import click
import orjson

from engine import MappingError
from engine.gateway import logs
from engine.wire import jsontext

log = logging.getLogger("ccproxy")

Result = TypeVar("Result")


def or_fail(work: Callable[[], Result]) -> Result:
    """The work's result; what is wrong with a file is told with its picture, and ends the command."""
    try:
        return work()
    except MappingError as error:
        fail(str(error))
    except OSError as error:
        fail(f"ccproxy: {error}")


def say(words: str, level: int = logging.INFO) -> None:
    """To whoever has started a command; where its log is for machines, as a line of that."""
    if logs.is_json():
        log.log(level, words)
    else:
        click.echo(words, err=True)


def fail(words: str) -> NoReturn:
    say(words, logging.ERROR)
    sys.exit(1)


def tell_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as their cells, which may be coloured."""
    lines = [[click.style(head, bold=True) for head in heads], *rows]
    widths = [max(len(click.unstyle(line[column])) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = (cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def short(value: Any, most: int) -> str:
    """A value as JSON, cut to so many characters."""
    text = jsontext.dumps(value).decode()
    return text if len(text) <= most else f"{text[: most - 1]}…"


def paragraph(words: str) -> None:
    """Text as wide as the terminal."""
    click.echo("\n".join(wrap(words, shutil.get_terminal_size().columns, break_on_hyphens=False)))


def good(words: str) -> str:
    return click.style(words, fg="green")


def bad(words: str) -> str:
    return click.style(words, fg="red")


def duration(seconds: float) -> str:
    """A stretch of time in its two largest units: `2 h 5 min`."""
    units = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
    rest = int(seconds)
    told: list[str] = []
    for unit, size in units.items():
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not told):
            told.append(f"{count} {unit}")
    return " ".join(told[:2])
