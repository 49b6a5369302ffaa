"""`show`, `try` and `explain`: what a mapping has become, and what it makes of a request."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from engine import Mapping, load_mapping
from engine.commands.telling import fail, or_fail, short, table, tell_json
from engine.gateway import config
from engine.gateway.http import read_json
from engine.gateway.providers import folders
from engine.gateway.sections import TranslationError
from engine.gateway.translation import Translation, translate
from engine.mapping.errors import Place
from engine.mapping.explaining import Explained, explain
from engine.wire import jsontext, validate
from engine.wire.errors import ApiError

SHOWN_KEY = "$KEY"
"""Stands for the key in what is shown."""

WIDE = 48
"""Characters of a value that are shown in a table."""

mapping_argument = click.argument("mapping")
stream_option = click.option("--stream", is_flag=True, help="As if a stream were asked for.")


@click.command()
@mapping_argument
@click.argument("section", required=False)
def show(mapping: str, section: str | None) -> None:
    """Print the Python that a mapping became."""
    loaded = load(mapping)
    if section and section not in loaded.sections:
        fail(f"{mapping} has no section {section!r}; it has {', '.join(loaded.sections)}")
    click.echo("\n\n\n".join(loaded.python(name) for name in ([section] if section else loaded.sections)))


@click.command("try")
@mapping_argument
@stream_option
def try_mapping(mapping: str, stream: bool) -> None:
    """Print what a request would become upstream.

    The request, as Anthropic's API takes it, comes from standard input. Nothing is sent.
    """
    made, where, body = _try(load(mapping), stream=stream)
    tell_json({**where, "body": body, "lost": made.lost})


@click.command("explain")
@mapping_argument
@stream_option
@click.option("--json", "as_json", is_flag=True, help="For a script.")
def explain_mapping(mapping: str, stream: bool, as_json: bool) -> None:
    """Print which line of YAML makes each field.

    The request, as Anthropic's API takes it, comes from standard input. Nothing is sent.
    """
    loaded = load(mapping)
    made, _, body = _try(loaded, stream=stream)
    said = list(_explained(loaded, made))
    # Where the client's request passes as it is, the mapping speaks of a part of it.
    spoken_of = {field.path[1] for field in said if field.path[0] == "body"}
    rest = [(f"body.{key}", value, None) for key, value in body.items() if key not in spoken_of]
    fields = [*((field.name, field.value, field.place) for field in said), *rest]
    if as_json:
        tell_json([{"field": name, "value": value, **_in_json(place)} for name, value, place in fields])
        return
    rows = [
        (name, short(value, WIDE), f"{place.source.name}:{place.line}" if place else "as it came")
        for name, value, place in fields
    ]
    table(["FIELD", "VALUE", "MADE BY"], rows)


def load(name: str) -> Mapping:
    """A mapping by its name, or by its file's path."""
    settings = or_fail(lambda: config.load(config.find(None)))
    return or_fail(lambda: load_mapping(Path(name) if name.endswith(".yaml") else name, folders(settings)))


def _try(mapping: Mapping, *, stream: bool) -> tuple[Translation, dict[str, Any], dict[str, Any]]:
    """What the request from standard input would become: on its way, with its address and headers, with its body."""
    if sys.stdin.isatty():
        click.echo("The request is read from here; Ctrl-D ends it.", err=True)
    try:
        data = sys.stdin.buffer.read()
        request = read_json(data)
        validate.check(request)
        if stream:
            request["stream"] = True
            data = jsontext.dumps(request)
        model = mapping.models.get("main") or request["model"]
        made = translate(mapping.name, mapping, model, request, data, request_id="req_try", key=SHOWN_KEY)
        where = made.endpoint(mapping.base_url or "")
    except (ApiError, TranslationError) as error:
        fail(str(error))
    return made, where, orjson.loads(made.body) if isinstance(made.body, bytes) else made.body


def _explained(mapping: Mapping, made: Translation) -> Iterator[Explained]:
    endpoint = mapping.base_url or "", made.model, made.key, made.streams, made.client
    yield from explain(mapping.sections["endpoint"], mapping.sources, *endpoint)
    for field in explain(mapping.sections["request"], mapping.sources, made.request, made.model):
        yield Explained(("body", *field.path), field.value, field.place)


def _in_json(place: Place | None) -> dict[str, Any]:
    return {"file": place.source.name, "line": place.line, "column": place.column} if place else {"file": None}
