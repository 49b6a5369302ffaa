"""`new`: the first lines of a mapping for a provider that nobody has written one for."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click

from engine import BUILT_IN, Mapping, load_mapping
from engine.commands.telling import fail, or_fail
from engine.gateway import config
from engine.gateway.addresses import is_loopback
from engine.gateway.catalogue import folders
from engine.gateway.settings import make_folder

NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
ANY = "openai-compatible"
TEMPLATE = Path(__file__).with_name("new_mapping.yaml")


@click.command()
@click.argument("name")
@click.option("--base-url", required=True, metavar="URL", help="The address that its paths are appended to, often ending in /v1.")
@click.option(
    "--from", "parent", metavar="MAPPING", default=ANY, help="What it differs from; else any server with OpenAI's format."
)
def new(name: str, base_url: str, parent: str) -> None:
    """Write a mapping for a new provider."""
    if not NAME.fullmatch(name):
        raise click.BadParameter("a name begins with a letter and holds letters, digits, dots and dashes", param_hint="NAME")
    if not re.fullmatch(r"https?://[^\s\"'#]+", base_url):
        raise click.BadParameter("an address is meant: https://api.example.com/v1", param_hint="--base-url")
    own = or_fail(lambda: config.load(config.find(None))).mappings.expanduser()
    base_url = base_url.rstrip("/")
    appended = _url(or_fail(lambda: load_mapping(parent, folders(own))), "")
    if appended and base_url.endswith(appended):
        raise click.BadParameter(f"without {appended}, which {parent} appends", param_hint="--base-url")
    path = own / f"{name}.yaml"
    or_fail(lambda: _write(path, _text(name, base_url, parent)))
    for line in _next_steps(or_fail(lambda: load_mapping(path, [own])), path):
        click.echo(line)


def _url(mapping: Mapping, base_url: str) -> str:
    url: str = mapping.endpoint(base_url, "MODEL", "KEY", False, {})["url"]
    return url


def _text(name: str, base_url: str, parent: str) -> str:
    text = TEMPLATE.read_text(encoding="utf-8")
    # A server on this machine asks for none, as a rule.
    is_near = is_loopback(urlsplit(base_url).hostname or "")
    key = "# key_env: …   the variable of its key, where it wants one" if is_near else f"key_env: {_variable(name)}"
    return text.format(name=name, parent=parent, base_url=base_url, key=key, schema=BUILT_IN / "schema.json")


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name).upper() + "_API_KEY"


def _write(path: Path, text: str) -> None:
    make_folder(path.parent)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        fail(f"ccproxy: {path} is there already, and stays as it is")


def _next_steps(mapping: Mapping, path: Path) -> Iterator[str]:
    name, [extends] = mapping.name, re.findall(r"(?m)^extends: (.*)$", path.read_text(encoding="utf-8"))
    yield f"{path} is written. It extends {extends}, and asks {_url(mapping, mapping.base_url or '')}"
    if (BUILT_IN / path.name).is_file():
        yield f"It takes the place of the built-in mapping {name}."
    yield "\nNext:"
    yield "1. Name its models in the file, and what differs (docs/adding-a-provider.md)."
    yield f"2. ccproxy check {path}"
    yield f"3. ccproxy try {name} < request.json    what would be sent; `ccproxy explain` says by which line"
    if mapping.key_env:
        yield f"4. export {mapping.key_env}=…"
    else:
        yield f"4. In ~/.ccproxy/config.yaml:  providers: {{ {name}: {{}} }}"
    yield f"5. Ask for {name}/MODEL; with `routes: {{ default: {name}/MODEL }}` it answers whatever is asked for."
