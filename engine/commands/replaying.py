"""`replay`: a recorded exchange once more, with the mappings as they are now."""

from pathlib import Path
from typing import Any

import click

from engine.commands.mappings import load
from engine.commands.telling import bad, fail, good, short
from engine.gateway import recording
from engine.gateway.sections import TranslationError

LONG = 400
"""Characters of a value that are shown."""


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mapping", help="Its name, where the file does not lie in a folder of that name.")
def replay(file: Path, mapping: str | None) -> None:
    """Run a recorded exchange again.

    The exchange is a file that a server with `record: FOLDER` wrote, or a case of the tests. Nothing is sent: what goes to the
    provider and what the client gets are held against what the file says. The exit code is 1 where they differ.
    """
    loaded = load(mapping or file.absolute().parent.name)
    try:
        case = recording.read(file)
        made = recording.play(loaded, case)
    except (ValueError, TranslationError) as error:
        fail(str(error))
    different = list(_differences(case.get("expect") or {}, made))
    for name, said, is_now in different:
        click.echo(f"{name}\n  {bad('-')} {short(said, LONG)}\n  {good('+')} {short(is_now, LONG)}")
    if different:
        fail(f"{len(different)} of it {'is' if len(different) == 1 else 'are'} different from what {file} says")
    click.echo(f"as {file} says: {', '.join(made)}")


def _differences(expected: dict[str, Any], made: dict[str, Any]) -> Any:
    """Of each object the keys that are listed; a case lists those that it is about."""
    for name in expected.keys() & {"body", "message", "error", "lost"}:
        said, is_now = expected[name], made.get(name)
        if isinstance(said, dict) and isinstance(is_now, dict):
            for key in said:
                if said[key] != is_now.get(key):
                    yield f"{name}.{key}", said[key], is_now.get(key)
        elif said != is_now:
            yield name, said, is_now
