"""The Dockerfile's steps as they stand, in a fresh folder, and what they make, run as compose and Kubernetes run it.

`make image-check`: it takes a minute or two, root, and Debian's packages; so it is no part of `make test`.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from engine.commands.serving import GRACE
from tests.containers import TOOLS, Container, Stage, build, container, own_network
from tests.running import ROOT
from tests.upstreams import Answer, Upstream, chat_stream, scripted, stop_chunk, text_chunk

if os.geteuid() or not all(map(shutil.which, TOOLS)):
    pytest.skip(f"it takes root and {', '.join(TOOLS)}", allow_module_level=True)

URL = "http://127.0.0.1:3456"
KEY = "a-key"
MEGABYTES = 80
"""What the image may add to the one that it is made from."""


@pytest.fixture(scope="module")
def image() -> Iterator[Stage]:
    with TemporaryDirectory() as folder:
        yield build(ROOT / "Dockerfile", Path(folder))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with own_network(), scripted() as upstream:
        yield upstream


@contextmanager
def serving(image: Stage, upstream: Upstream, folder: Path, *arguments: str) -> Iterator[Container]:
    """The image as compose.yaml has it run, with a configuration of one's own."""
    own = (ROOT / "deploy/config.yaml").read_text()
    provider = {"mapping": "openai-chat", "base_url": upstream.base_url, "api_key": "none", "models": ["m"]}
    (folder / "config.yaml").write_text(own + yaml.safe_dump({"providers": {"told": provider}}))
    folders = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["ccproxy"]["tmpfs"]
    with container(
        image,
        *arguments,
        tmpfs={path: options for path, _, options in (place.partition(":") for place in folders)},
        files={"/etc/ccproxy/config.yaml": folder / "config.yaml"},
        environment={"CCPROXY_API_KEY": KEY},
        log=folder / "log.txt",
    ) as made:
        end = time.monotonic() + 30
        while made.process.poll() is None and time.monotonic() < end and made.run(image.told["HEALTHCHECK"]).returncode:
            time.sleep(0.1)
        assert made.process.poll() is None, (folder / "log.txt").read_text()
        yield made


def ask() -> str:
    body = {"model": "told/m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"content-type": "application/json", "x-api-key": KEY}
    with urllib.request.urlopen(urllib.request.Request(f"{URL}/v1/messages", json.dumps(body).encode(), headers)) as answer:
        told: str = answer.read().decode()
        return told


@pytest.mark.parametrize("workers", ["1", "2"])
def test_its_health_is_asked_for_at_the_port_that_it_listens_on(
    image: Stage, upstream: Upstream, tmp_path: Path, workers: str
) -> None:
    with serving(image, upstream, tmp_path, "start", "--port", "3999", "--workers", workers) as made:
        assert made.run(image.told["HEALTHCHECK"]).returncode == 0


def slow_answer() -> Answer:
    return Answer([*chat_stream(text_chunk("begun "), done=False), 2.0, *chat_stream(text_chunk("ended"), stop_chunk())])


@pytest.mark.parametrize("arguments", [(), ("start", "--workers", "2")], ids=["one-worker", "two-workers"])
def test_it_serves_on_a_root_that_cannot_be_written_and_ends_when_it_is_told(
    image: Stage, upstream: Upstream, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    upstream.answers = [slow_answer()]
    with serving(image, upstream, tmp_path, *arguments) as made:
        assert made.run(image.told["HEALTHCHECK"]).returncode == 0
        with urllib.request.urlopen(f"{URL}/ready") as ready:
            assert ready.status == 200
        answers: list[str] = []
        asking = threading.Thread(target=lambda: answers.append(ask()))
        asking.start()
        while not upstream.requests:
            time.sleep(0.02)
        began = time.monotonic()
        os.kill(made.pid, signal.SIGTERM)
        asking.join()
        assert "ended" in answers[0]
        assert "message_stop" in answers[0]
        assert made.process.wait(GRACE) == 0, (tmp_path / "log.txt").read_text()
        assert 1 < time.monotonic() - began < 10


def test_it_has_no_rights(image: Stage, upstream: Upstream, tmp_path: Path) -> None:
    with serving(image, upstream, tmp_path) as made:
        status = dict(line.split(":\t", 1) for line in made.run(["cat", "/proc/1/status"]).stdout.splitlines())
        assert status["Name"] == "dumb-init"
        assert status["Uid"].split() == ["10001"] * 4
        assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, 0, "1")
        for place in ("/opt/ccproxy/x", "/etc/ccproxy/x", "/home/ccproxy/x", "/tmp/x", "/usr/x"):
            assert "Read-only file system" in made.run(["touch", place]).stderr
        assert made.run(["touch", "/home/ccproxy/.ccproxy/x"]).returncode == 0


def test_nothing_that_ends_is_left_unburied(image: Stage, upstream: Upstream, tmp_path: Path) -> None:
    """What a shell left behind that somebody had opened in the container becomes process 1's."""
    with serving(image, upstream, tmp_path) as made:
        made.run(["sh", "-c", "(sleep 0.1 &)"])
        time.sleep(0.3)
        states = made.run(["sh", "-c", "cat /proc/[0-9]*/stat"]).stdout
        assert "(dumb-init) S" in states
        assert ") Z" not in states


def test_it_says_what_it_lacks(image: Stage, tmp_path: Path) -> None:
    """Without the folder for its lock, or without a key of its own, it ends, and tells why."""
    log = tmp_path / "log.txt"
    with own_network(), container(image, tmpfs={}, files={}, environment={}, log=log) as made:
        assert made.process.wait(10) == 1
        assert "CCPROXY_API_KEY" in log.read_text()
    environment = {"CCPROXY_API_KEY": KEY, "OPENAI_API_KEY": "k"}
    with own_network(), container(image, tmpfs={}, files={}, environment=environment, log=log) as made:
        assert made.process.wait(10) == 1
        assert "Read-only file system" in log.read_text()


def test_it_holds_what_runs_and_nothing_that_builds(image: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    listed = subprocess.run(
        ["du", "--block-size=1K", "--max-depth=4", "opt/ccproxy"], cwd=image.root, capture_output=True, text=True
    )
    sizes = {path: int(size) / 1024 for size, path in (line.split("\t") for line in listed.stdout.splitlines())}
    packages = {path.rpartition("/")[2]: size for path, size in sizes.items() if "/site-packages/" in path}
    with capsys.disabled():
        print(f"\n{sizes['opt/ccproxy']:7.1f} MB  /opt/ccproxy, of which")
        for name, size in sorted(packages.items(), key=lambda pair: -pair[1])[:12]:
            print(f"{size:7.1f} MB  {name}")
    assert sizes["opt/ccproxy"] < MEGABYTES
    assert {"engine", "granian"} <= packages.keys()
    assert not {"pip", "hatchling", "pytest", "tests", "setuptools"} & packages.keys()
    assert not (image.root / "src").exists()
