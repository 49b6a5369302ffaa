"""The processes that stand side by side: canned providers, a bare server, the floor, the proxy."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.running import ROOT, descendants, free_port

TICK = os.sysconf("SC_CLK_TCK")

PROVIDERS = {
    "chat": ("openai-chat", "http://127.0.0.1:{port}/v1"),
    "responses": ("openai", "http://127.0.0.1:{port}/v1"),
    "gemini": ("gemini", "http://127.0.0.1:{port}/v1beta"),
    "tls": ("openai-chat", "https://127.0.0.1:{tls_port}/v1"),
}

# A small request is held against all rules, down to the last.
ROUTES = """\
routes:
  default: chat/gpt-bench
  background: chat/gpt-bench
  think: chat/gpt-bench
  longContext: { to: chat/gpt-bench, above: 60000 }
  webSearch: chat/gpt-bench
"""


@dataclass
class Upstream:
    """Where the canned providers listen."""

    port: int
    tls_port: int
    certificate: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}/v1"


class Server:
    """A process that listens on a port of this machine."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]"):
        self.port = port
        self.process = process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def resident(self) -> float:
        """Its memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def cpu_seconds(self) -> float:
        """What it and its workers have used of the processor so far, which other work changes less than it changes times."""
        used = 0
        for process in self._processes:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            used += int(fields[11]) + int(fields[12])
        return used / TICK

    @cached_property
    def _processes(self) -> list[int]:
        return [self.process.pid, *descendants(self.process.pid)]

    def wait(self, path: str = "/health", body: bytes | None = None, *, seconds: float = 60) -> bytes:
        """Its first answer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args!r} ended with {self.process.returncode}")
            try:
                return ask(self.url, path, body)
            except ConnectionRefusedError:
                time.sleep(0.002)
        raise RuntimeError(f"{self.process.args!r} does not answer")


def ask(url: str, path: str, body: bytes | None = None) -> bytes:
    """The answer to one request. Raises RuntimeError where it is none."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": "any"}
        connection.request("POST" if body else "GET", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"{url}{path} answers {response.status}: {answer[:300]!r}")
    return answer


@contextmanager
def server(command: Sequence[str], port: int, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A process that is there until the block is left; what it says goes to a file, as an access log would."""
    with log.open("ab") as sink:
        own = {"PATH": os.environ["PATH"], "HOME": str(log.parent), "PYTHONPATH": str(ROOT), **(environment or {})}
        process = subprocess.Popen([sys.executable, *command], cwd=log.parent, env=own, stdout=sink, stderr=sink)
    try:
        yield Server(port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def upstream(folder: Path, port: int) -> Iterator[Upstream]:
    """The canned providers, on a port and the one after it, with a certificate of their own."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    kind = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    extensions = "-addext subjectAltName=IP:127.0.0.1 -addext keyUsage=critical,digitalSignature,keyCertSign"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *kind.split(), *extensions.split(), *files], check=True, capture_output=True)
    command = ["-m", "bench.upstream", str(port), str(port + 1), str(certificate), str(key)]
    with server(command, port, folder / "upstream.log") as running:
        _wait_for_port(running)
        yield Upstream(port, port + 1, certificate)


def _wait_for_port(running: Server) -> None:
    while running.process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", running.port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"the canned providers did not start; is port {running.port} or the next in use?")


@contextmanager
def bare(folder: Path) -> Iterator[Server]:
    port = free_port()
    with server(["-m", "bench.bare", str(port)], port, folder / "bare.log") as running:
        yield running


@contextmanager
def floor(folder: Path, canned: Upstream, *arguments: str, tls: bool = False) -> Iterator[Server]:
    port, url = free_port(), canned.tls_url if tls else canned.url
    command = ["-m", "bench.floor", str(port), url, *arguments]
    with server(command, port, folder / "floor.log", {"SSL_CERT_FILE": str(canned.certificate)}) as running:
        yield running


@contextmanager
def proxy(folder: Path, canned: Upstream, *arguments: str, providers: Iterable[str] = PROVIDERS) -> Iterator[Server]:
    """ccproxy as a user has it: routes, log and all."""
    port, file = free_port(), folder / "config.yaml"
    entries = {name: (mapping, url.format(**vars(canned))) for name, (mapping, url) in PROVIDERS.items() if name in providers}
    lines = [f'  {name}: {{ mapping: {mapping}, base_url: "{url}", api_key: any }}' for name, (mapping, url) in entries.items()]
    file.write_text("\n".join(["providers:", *lines, ROUTES]))
    command = ["-m", "engine.cli", "start", "--config", str(file), "--port", str(port), *arguments]
    with server(command, port, folder / "ccproxy.log", {"SSL_CERT_FILE": str(canned.certificate)}) as running:
        yield running
