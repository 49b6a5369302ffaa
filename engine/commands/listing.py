"""`providers`, `models` and `version`: what there is."""

import os
from collections.abc import Iterator
from typing import Any

import click

from engine import __version__, load_mapping
from engine.commands import serving
from engine.commands.telling import fail, good, or_fail, paragraph, table, tell_json
from engine.gateway import catalogue, config, instances
from engine.gateway.listing import capabilities
from engine.gateway.names import Named
from engine.gateway.providers import Provider, ProviderError, folders, open_providers
from engine.gateway.settings import Config

SHOWN = ("tools", "images", "documents", "web_search")
"""The capabilities that a table has room for."""


def _health(settings: Config) -> dict[str, str]:
    """How a proxy that runs finds its providers, by their names."""
    instance = instances.running(settings.port)
    found = serving.find(instance, settings) if instance else None
    return dict(found[1].get("providers", {})) if found else {}


json_option = click.option("--json", "as_json", is_flag=True, help="For a script.")


@click.command()
@json_option
def providers(as_json: bool) -> None:
    """List the providers. Which have their key, what they can do, how they are."""
    settings = or_fail(lambda: config.load(config.find(None)))
    health = _health(settings)
    found = [_configured(provider, health.get(name)) for name, provider in _opened(settings).items()]
    rest = _without_key(settings)
    if as_json:
        tell_json([*found, *(_unconfigured(name, lacking, settings) for name, lacking in rest.items())])
        return
    # The long list first: what is at the bottom stays on the screen.
    paragraph("Without a key: " + ", ".join(f"{name} (${' $'.join(lacking)})" for name, lacking in rest.items()))
    click.echo()
    if found:
        table(["PROVIDER", "KEY", "MAIN MODEL", "CAN", "HEALTH"], map(_row, found))
    else:
        click.echo("No provider is configured, and no key is in the environment.")


def _opened(settings: Config) -> dict[str, Provider]:
    try:
        return or_fail(lambda: open_providers(settings))
    except ProviderError as error:
        fail(f"ccproxy: {error}")


def _configured(provider: Provider, health: str | None) -> dict[str, Any]:
    """What is told of a provider that can be called; never its key."""
    return {
        "name": provider.name,
        "mapping": provider.mapping.name,
        "base_url": provider.base_url,
        "key": "not needed" if provider.keys.in_order(None) == (None,) else "found",
        "main": provider.main,
        "models": list(provider.known_models()),
        "capabilities": capabilities(provider.mapping.facts_of(provider.main or "")),
        "health": health,
    }


def _unconfigured(name: str, lacking: list[str], settings: Config) -> dict[str, Any]:
    """The same of a mapping that would be a provider if its key were in the environment."""
    mapping = or_fail(lambda: load_mapping(name, folders(settings)))
    return {
        "name": name,
        "mapping": name,
        "base_url": mapping.base_url,
        "key": "missing",
        "lacking": lacking,
        "main": mapping.models.get("main"),
        "models": list(mapping.models.get("known") or ()),
        "capabilities": capabilities(mapping.facts),
        "health": None,
    }


def _row(entry: dict[str, Any]) -> list[str]:
    can = [word.replace("_", " ") for word in SHOWN if entry["capabilities"].get(word)]
    return [entry["name"], good(entry["key"]), entry["main"] or "-", ", ".join(can) or "-", entry["health"] or "-"]


def _without_key(settings: Config) -> dict[str, list[str]]:
    """Those mappings, with the variables that they lack."""
    lacking = {
        name: [variable for variable in dict.fromkeys(catalogue.variables(path)) if not os.environ.get(variable)]
        for name, path in catalogue.files(folders(settings)).items()
    }
    return {name: variables for name, variables in lacking.items() if variables and name not in settings.providers}


# Models


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List the models. Their limits and prices, and the routes that lead to them."""
    settings = or_fail(lambda: config.load(config.find(None)))
    found = [entry for provider in _opened(settings).values() for entry in _models(provider, settings)]
    if as_json:
        tell_json(found)
    elif found:
        table(["MODEL", "WINDOW", "ANSWER", "$ IN", "$ OUT", "ROUTES"], map(_model_row, found))
        click.echo("\nWindow and answer in tokens, prices in USD for a million of them.")
    else:
        click.echo("No model is known: `ccproxy providers` shows what is configured.")


def _models(provider: Provider, settings: Config) -> Iterator[dict[str, Any]]:
    routes = {f"models.{asked}": route.to for asked, route in settings.models.items()}
    routes |= {name: route.to for name, route in settings.routes.items()}
    routed = [to.model for to in routes.values() if to.provider == provider.name]
    for model in dict.fromkeys([*provider.known_models(), *routed]):
        name = Named(provider.name, model)
        leading = [route for route, to in routes.items() if to == name]
        yield {"id": str(name), "provider": provider.name, "model": model, "routes": leading, **provider.facts_of(model)}


def _model_row(entry: dict[str, Any]) -> list[str]:
    limits = [f"{entry[word]:,}" if word in entry else "-" for word in ("context", "output")]
    prices = [f"{entry[word]:g}" if word in entry else "-" for word in ("input_price", "output_price")]
    return [entry["id"], *limits, *prices, ", ".join(entry["routes"])]


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(__version__)
