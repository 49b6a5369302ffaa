"""The proxy as a real process."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    told = subprocess.run(["ps", "-Ao", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, told.splitlines())}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


@contextmanager
def proxy(
    folder: Path, configuration: str = "", *arguments: str, wait: float = 60, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The proxy's address. Its home is `folder`, and its environment holds no key of this machine."""
    with running(folder, configuration, *arguments, wait=wait, environment=environment) as (address, _):
        yield address


@contextmanager
def running(
    folder: Path, configuration: str = "", *arguments: str, wait: float = 60, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The same with its process."""
    file = folder / "config.yaml"
    file.write_text(configuration or "{}\n")
    port = free_port()
    command = [sys.executable, "-c", "from engine.cli import main; main()"]
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    log = folder / "log.txt"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, "start", "--config", str(file), "--port", str(port), *arguments],
            env={**own, **(environment or {})},
            cwd=folder,
            stdout=sink,
            stderr=sink,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, log, wait)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(f"the proxy ended with {process.returncode}:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the proxy does not answer:\n{log.read_text()}")
