"""The `ccproxy` command: its commands by name, each in a module of `engine.commands` that is loaded when it is typed."""

import errno
import os
from importlib import import_module
from typing import Any

import click

from engine import __version__
from engine.mapping.errors import suggest

COMMANDS = {
    "start": "serving:start",
    "stop": "serving:stop",
    "status": "serving:status",
    "code": "sessions:code",
    "env": "sessions:env",
    "providers": "listing:providers",
    "models": "listing:models",
    "check": "checking:check",
    "show": "mappings:show",
    "try": "mappings:try_mapping",
    "explain": "mappings:explain_mapping",
    "new": "writing:new",
    "replay": "replaying:replay",
    "bench": "timing:bench",
    "version": "listing:version",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"engine.commands.{module}"), name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            ctx.fail(f"there is no command {args[0]!r}{suggest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            # Click itself ends in silence where nobody reads on.
            if error.errno == errno.EPIPE:
                raise
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s", hidden=True)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Claude Code, and whoever speaks Anthropic's API, with any AI provider."""
    # https://no-color.org
    if os.environ.get("NO_COLOR"):
        ctx.color = False


if __name__ == "__main__":
    main(prog_name="ccproxy")
