"""Two proxies behind a load balancer, which serve one session turn and turn about, and one of which is killed: nobody notices.

They share nothing: each has a home of its own. What a provider's model has thought comes back to it byte for byte all the same.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.wire.assembler import fold
from tests.answers import Said, streamed
from tests.every_mapping import model
from tests.grammar import check
from tests.running import ROOT, free_port
from tests.test_round_trips import READ, THINKING, TURNS, Session, form_of, stretch, takes_back, tokens
from tests.upstreams import Answer, Upstream, scripted

pytestmark = pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy, a package of Debian's, is not installed")

BALANCER = """
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    # A replica that is not there has not seen the request: the next one gets it.
    retries 2
    option redispatch 1
    retry-on conn-failure
frontend balancer
    bind 127.0.0.1:{port}
    http-response set-header x-replica %s
    default_backend replicas
backend replicas
    balance roundrobin
    server first 127.0.0.1:{first}
    server second 127.0.0.1:{second}
"""
KILLS = (3, 6)
"""The turns before which the replica is killed that would serve them; before the next one it is back."""
OTHER = {"first": "second", "second": "first"}


def wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Until it can be asked."""
    end = time.monotonic() + 60
    while True:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
            return
        assert process.poll() is None, f"it has ended with {process.returncode}"
        assert time.monotonic() < end
        time.sleep(0.05)


class Replica:
    """A proxy on a port of its own, and again on the same after it was killed."""

    def __init__(self, home: Path, configuration: str) -> None:
        home.mkdir()
        self.port = free_port()
        self._home = home
        (home / "config.yaml").write_text(f"port: {self.port}\n{configuration}")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        own = {"PATH": os.environ["PATH"], "HOME": str(self._home), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", "from engine.cli import main; main()", "start", "--config", "config.yaml"]
        with (self._home / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(command, env=own, cwd=self._home, stdout=log, stderr=log)
        wait_for(self.process, self.port)

    def end(self, number: signal.Signals) -> None:
        if self.process:
            self.process.send_signal(number)
            self.process.wait(15)
            self.process = None


@contextmanager
def replicas(folder: Path, configuration: str) -> Iterator[tuple[str, dict[str, Replica]]]:
    """The balancer's address, and what stands behind it."""
    with ExitStack() as stack:
        behind = {name: Replica(folder / name, configuration) for name in ("first", "second")}
        for replica in behind.values():
            stack.callback(replica.end, signal.SIGTERM)
            replica.start()
        port = free_port()
        file = folder / "haproxy.cfg"
        file.write_text(BALANCER.format(port=port, **{name: replica.port for name, replica in behind.items()}))
        balancer = subprocess.Popen(["haproxy", "-q", "-db", "-f", str(file)])
        stack.callback(balancer.wait)
        stack.callback(balancer.terminate)
        wait_for(balancer, port)
        yield f"http://127.0.0.1:{port}", behind


class Client(Session):
    """The client of the round trips, with a network in between."""

    def __init__(self, address: str, upstream: Upstream) -> None:
        super().__init__("summarized")
        self.address = address
        self.upstream = upstream
        self.served_by: list[str] = []

    def turn(self, name: str, said: Said, number: int) -> dict[str, Any]:
        request: dict[str, Any] = {"model": f"{name}/{model(name)}", "max_tokens": 9000, "stream": True, "tools": [READ]}
        request |= THINKING | {"thinking": THINKING["thinking"] | {"display": self.display}, "messages": self.messages}
        self.upstream.answers = [Answer([streamed(form_of(name), said)])]
        # A connection for each request: the balancer then gives each to the next replica.
        answer = httpx.post(f"{self.address}/v1/messages", json=request, timeout=30)
        assert answer.status_code == 200, answer.text
        events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n") if line.startswith("data: ")]
        check(events)
        self.served_by.append(answer.headers["x-replica"])
        content = fold(events)["content"]
        calls = [block for block in content if block["type"] == "tool_use"]
        assert [call["input"] for call in calls] == [said.input(id) for id in said.calls]
        self.messages.append({"role": "assistant", "content": content})
        self.messages.append({"role": "user", "content": self.results(calls) or f"asked-{number + 1}"})
        (sent,) = self.upstream.requests
        self.upstream.requests.clear()
        body: dict[str, Any] = sent["body"]
        return body


def lifelike(said: Said) -> Said:
    """What it thought, as long and as odd as what providers send."""
    return replace(said, thought=f"{said.thought} „für“ 🦊\n\u2028", state=b64encode(said.state.encode() * 100).decode() + "+/==")


@pytest.mark.parametrize("name", ["openai", "gemini", "deepseek"])
def test_a_session_goes_on_whichever_replica_serves_it(name: str, tmp_path: Path) -> None:
    turns = [lifelike(said) for said in TURNS]
    assert takes_back(name)
    with scripted() as upstream:
        configuration = json.dumps({"providers": {name: {"base_url": upstream.base_url, "api_key": "k"}}})
        with replicas(tmp_path, configuration[1:-1]) as (address, behind):
            client = Client(address, upstream)
            for number, said in enumerate(turns):
                due = behind[OTHER[client.served_by[-1]]] if number in KILLS else None
                if due:
                    due.end(signal.SIGKILL)
                body = json.dumps(client.turn(name, said, number), ensure_ascii=False)
                for earlier in range(number):
                    for token in tokens(name, turns[earlier]):
                        written = json.dumps(token, ensure_ascii=False)[1:-1]
                        assert written in stretch(body, earlier), f"turn {earlier} in turn {number}"
                        assert body.count(written) == 1
                if due:
                    due.start()
    changes = [one != another for one, another in pairwise(client.served_by)]
    assert changes == [number not in KILLS for number in range(1, len(turns))]
