"""Where the configuration comes from: a file, and what the command tells its worker processes."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import time

from engine.gateway.settings import HOME, Config, ProviderConfig
from engine.mapping.errors import Place, Problems, Source

FILE = "CCPROXY_CONFIG"
"""The variable that names the file."""

LOCAL_URL = "CCPROXY_LOCAL_URL"
"""The variable by which the command tells its worker processes where the local model listens."""
LOG_LEVEL = "CCPROXY_LOG_LEVEL"
HOST = "CCPROXY_HOST_FLAG"
PORT = "CCPROXY_PORT_FLAG"
"""The same for what its flags say."""

LONGEST = 256 * 1024
"""Bytes of a file. Nobody writes so much; it is another file."""


def find(flag: str | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Which file is read: the flag's, `$CCPROXY_CONFIG`, `~/.ccproxy/config.yaml`; None where that is not there.

    Never one from the current directory: a hostile checkout must not choose where keys go.
    """
    named = flag or environment.get(FILE)
    if named:
        return Path(named).expanduser()
    usual = (HOME / "config.yaml").expanduser()
    # A link that leads nowhere, or a folder, is told of when it is read.
    return usual if os.path.lexists(usual) else None


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration. Raises MappingError with all that is wrong with it, OSError where it cannot be read."""
    if path is None:
        return Config()
    since, problems = time(), Problems()
    from engine.gateway.config_file import read_config  # YAML is imported where there is some

    config = read_config(_source(path, problems), environment, problems)
    problems.check()
    return replace(config, file=path, since=since)


def _source(path: Path, problems: Problems) -> Source:
    """A file's text. Windows puts a mark before it, and sometimes writes letters in a way of its own."""
    with path.open("rb") as file:
        data = file.read(LONGEST + 1)
    text = data.decode("utf-8-sig", errors="replace")
    source = Source(str(path), text)
    if len(data) > LONGEST:
        problems.add(Place(source, 1, 1), f"is this the configuration? It has more than {LONGEST // 1024} KB")
        problems.check()
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = source.line(line).find("\ufffd") + 1
        from engine.mapping.document import printable

        source = Source(str(path), printable(text))
        problems.add(Place(source, line, column), "this is no UTF-8: save the file in that encoding")
        if "\0" in text:
            # It is no text at all, or one with two bytes for a letter: there is nothing else to tell of it.
            problems.check()
    return source


def resolve(environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a worker process, which knows only its environment."""
    settings = load(find(None, environment), environment)
    settings = replace(
        settings,
        host=environment.get(HOST) or settings.host,
        port=int(environment.get(PORT) or settings.port),
        log_level=environment.get(LOG_LEVEL) or settings.log_level,
    )
    url = environment.get(LOCAL_URL)
    return with_local(settings, url) if url else settings


def with_local(settings: Config, url: str) -> Config:
    """The local model, listening at `url`, as one more provider."""
    return replace(settings, providers={**settings.providers, "local": ProviderConfig("local", base_url=url)})
