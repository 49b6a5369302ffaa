"""The Claude Code that is tested: an npm package in a folder of its own, run where there is no network."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.running import ROOT

NAME = "@anthropic-ai/claude-code"
VERSION = "2.1.332"

_HIDE = "if [ -d /etc/claude-code ]; then mount -t tmpfs none /etc/claude-code; fi"
_ALONE = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-ec", f'ip link set lo up; {_HIDE}; exec "$@"', "sh"]
"""What stands in front of a command that is to see no network but loopback, and no settings that are made for all users."""

_TOLD = "CCPROXY_E2E_MISSING"
"""Tells the tests why nothing could be made ready for them."""


class Missing(Exception):
    """What cannot be had on this machine, in words."""


def program() -> Path:
    return _folder() / "node_modules" / ".bin" / "claude"


def _folder() -> Path:
    return Path(os.environ.get("CCPROXY_E2E_CLAUDE") or ROOT / ".venv" / f"claude-code-{VERSION}")


def missing() -> str | None:
    """Why no session can be played, if none can."""
    if told := os.environ.get(_TOLD):
        return told
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        return "Claude Code is run where there is no network, by `make e2e`"
    return None if program().exists() else f"there is no {program()}"


def command(*arguments: str) -> list[str]:
    """One that finds Claude Code and no network; or what is missing for that."""
    try:
        _install()
        _run(ROOT, *_ALONE, "true")
    except Missing as error:
        os.environ[_TOLD] = str(error)
        return [*arguments]
    return [*_ALONE, *arguments]


def _install() -> None:
    """Once for all runs. npm runs no scripts of packages unasked; this one's puts the program for the machine in its place."""
    if os.environ.get("CCPROXY_E2E_CLAUDE") or _folder().exists():
        return
    made = _folder().with_name("claude-code.part")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    _run(made, "npm", "install", "--prefix", ".", "--no-audit", "--no-fund", f"{NAME}@{VERSION}")
    _run(made / "node_modules" / NAME, "node", "install.cjs")
    made.rename(_folder())


def _run(where: Path, *command: str) -> None:
    try:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True)
    except FileNotFoundError:
        raise Missing(f"there is no {command[0]} on this machine") from None
    if done.returncode:
        raise Missing(f"{' '.join(command)}: {' '.join(done.stderr.split())[:300]}")
