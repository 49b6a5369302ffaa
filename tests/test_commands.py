"""The command as real processes: the server that it starts and stops, and Claude Code beside it."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.running import ROOT, descendants, free_port
from tests.upstreams import Answer, Upstream, chat_stream, scripted, stop_chunk, text_chunk

CLAUDE_JSON = '{ "kept":   "as it is", "é": 1 }\r\n'.encode()

FAKE_CLAUDE = """#!/bin/sh
env > "$HOME/seen.env"
for word in "$@"; do printf '%s\\n' "$word"; done > "$HOME/seen.args"
"""


def _hear_signals() -> None:
    """What runs the tests may have had signals ignored (nohup, a shell's background), and a shell cannot trap those."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


@dataclass
class Machine:
    """A home of its own, with a port, a configuration and a PATH; no key of the real machine is seen."""

    home: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def folder(self) -> Path:
        return self.home / ".ccproxy"

    @property
    def pid_file(self) -> Path:
        return self.folder / f"ccproxy-{self.port}.pid"

    @property
    def variables(self) -> dict[str, str]:
        own = {"PATH": f"{self.home / 'bin'}:/usr/bin:/bin", "HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        return own | self.environment

    def configure(self, words: str) -> None:
        (self.folder / "config.yaml").write_text(f"port: {self.port}\n{words}\n")

    def claude(self, script: str = "") -> None:
        """A program named claude, that writes down what it was started with and goes on as the script says."""
        path = self.home / "bin" / "claude"
        path.write_text(FAKE_CLAUDE + script)
        path.chmod(0o755)

    def begin(self, *arguments: str, program: Sequence[str] = ("-m", "engine.cli")) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-P", *program, *arguments],
            env=self.variables,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_hear_signals,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """A command to its end: exit code, standard output, standard error."""
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def status(self, *arguments: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.run("status", "--json", *arguments)[1])
        return told

    def seen(self, kind: str) -> list[str]:
        """What the program named claude was started with: `env` or `args`."""
        return (self.home / f"seen.{kind}").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, free_port())
    made.folder.mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / ".claude.json").write_bytes(CLAUDE_JSON)
    made.configure("providers: { told: { mapping: openai-chat, base_url: http://127.0.0.1:9/v1, api_key: none, models: [m] } }")
    yield made
    for path in made.folder.glob("ccproxy-*.pid"):
        made.run("stop", "--port", path.stem.rpartition("-")[2])
    for process in made.started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert not list(made.folder.glob("ccproxy-*.pid"))
    assert (tmp_path / ".claude.json").read_bytes() == CLAUDE_JSON
    assert not (tmp_path / ".claude").exists()


def soon(happens: Callable[[], object], seconds: float = 30, pause: float = 0.05) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happens():
            return True
        time.sleep(pause)
    return False


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def catches(pid: int, number: signal.Signals) -> bool:
    told = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(told["SigCgt"], 16) >> number - 1 & 1)


def is_stopped(pid: int) -> bool:
    return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


# start, status, stop


def test_in_the_background_status_and_stop(machine: Machine) -> None:
    code, out, err = machine.run("start", "--background")
    assert (code, out) == (0, "")
    assert f"ccproxy listens on {machine.address}\n" in err
    assert str(machine.folder / f"ccproxy-{machine.port}.log") in err
    assert answers(machine.port)

    told = machine.status()
    assert (told["running"], told["port"], told["address"], told["status"]) == (True, machine.port, machine.address, "ok")
    assert told["pid"] == int(machine.pid_file.read_text())
    assert told["uptime_seconds"] < 60
    assert "told" in json.dumps(told["providers"])
    code, out, _ = machine.run("status")
    assert (code, f"ccproxy runs on {machine.address} (pid {told['pid']})" in out, "providers: told" in out) == (0, True, True)

    assert ["told", "not", "needed", "m", "tools,", "images,", "documents", "unknown"] in [
        line.split() for line in machine.run("providers")[1].splitlines()
    ]

    assert machine.run("stop") == (0, f"stopped ccproxy on port {machine.port} (pid {told['pid']})\n", "")
    assert not answers(machine.port)
    assert not machine.pid_file.exists()
    assert machine.run("status") == (3, f"ccproxy is not running on port {machine.port}\n", "")
    assert machine.status() == {"running": False, "port": machine.port}
    assert machine.run("stop") == (0, "ccproxy is not running\n", "")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_listens_when_it_says_so(workers: str, machine: Machine) -> None:
    server = machine.begin("start", "--workers", workers)
    assert server.stderr
    assert server.stderr.readline() == f"ccproxy listens on {machine.address}\n"
    assert answers(machine.port)


@pytest.mark.parametrize(("key", "shown"), [("${ROUTER_KEY}", "$ROUTER_KEY"), ("open-sesame", "YOUR_API_KEY")])
def test_the_greeting_names_a_variable_that_there_is(key: str, shown: str, machine: Machine) -> None:
    machine.environment = {"ROUTER_KEY": "of-the-router"}
    machine.configure(
        f"api_key: {key}\nproviders: {{ told: {{ mapping: openai-chat, base_url: http://127.0.0.1:9, api_key: none }} }}"
    )
    assert f"ANTHROPIC_AUTH_TOKEN={shown} claude\n" in machine.run("start", "--background")[2]


@pytest.mark.parametrize("how", [["--background"], ["--background", "--workers", "2"], []], ids=" ".join)
def test_twice(how: list[str], machine: Machine) -> None:
    first = machine.begin("start", *how)
    assert soon(lambda: answers(machine.port))
    pid = machine.status()["pid"]
    assert how or pid == first.pid
    for again in (["start"], ["start", "--background"]):
        told = f"ccproxy already runs on port {machine.port} (pid {pid}): see `ccproxy status`\n"
        assert machine.run(*again) == (1, "", told)
    assert machine.status()["pid"] == pid


def test_at_the_same_moment_one_of_many_gets_the_port(machine: Machine) -> None:
    with ThreadPoolExecutor(5) as pool:
        ended = list(pool.map(lambda _: machine.run("start", "--background"), range(5)))
    assert sorted(code for code, _, _ in ended) == [0, 1, 1, 1, 1]
    assert all("already runs on port" in err for code, _, err in ended if code)
    assert machine.status()["running"]


def test_two_ports(machine: Machine) -> None:
    other = free_port()
    machine.run("start", "--background", "--port", str(other))
    # The only one that runs is the one that is meant.
    assert machine.status()["port"] == other
    third = free_port()
    machine.run("start", "--background", "--port", str(third))
    code, _, err = machine.run("status")
    assert (code, "say which one is meant with --port" in err) == (2, True)
    assert all(str(port) in err for port in (other, third))
    assert machine.run("stop", "--port", str(other))[0] == 0
    assert (answers(other), answers(third)) == (False, True)
    assert machine.status("--port", str(third))["running"]
    assert machine.run("stop")[1].startswith(f"stopped ccproxy on port {third}")


def test_a_stale_file_is_taken_over(machine: Machine) -> None:
    """The number in it is that of a process which is alive, and no ccproxy: it is neither told of nor stopped."""
    machine.pid_file.write_text(f"{os.getpid()}\n")
    assert machine.status() == {"running": False, "port": machine.port}
    assert machine.run("stop")[1] == "ccproxy is not running\n"
    assert machine.run("start", "--background")[0] == 0
    assert machine.status()["pid"] != os.getpid()


def test_asking_makes_nothing(machine: Machine) -> None:
    (machine.folder / "config.yaml").unlink()
    machine.folder.rmdir()
    for command in ("stop", "status", "env", "providers", "models"):
        assert "Traceback" not in machine.run(command)[2]
    assert not machine.folder.exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_it_leaves_nothing_in_the_way(workers: str, machine: Machine) -> None:
    machine.run("start", "--background", "--workers", workers)
    pid = machine.status()["pid"]
    os.kill(pid, signal.SIGKILL)
    assert soon(lambda: not answers(machine.port), 10)
    assert machine.run("status")[0] == 3
    assert machine.status() == {"running": False, "port": machine.port}
    assert machine.run("stop")[1] == "ccproxy is not running\n"
    assert machine.run("start", "--background", "--workers", workers)[0] == 0
    assert machine.status()["pid"] != pid


def test_one_of_two_is_killed(machine: Machine) -> None:
    other = free_port()
    for port in (machine.port, other):
        machine.run("start", "--background", "--port", str(port))
    os.kill(machine.status()["pid"], signal.SIGKILL)
    assert soon(lambda: not answers(machine.port), 10)
    assert machine.status()["port"] == other
    assert machine.run("stop")[1].startswith(f"stopped ccproxy on port {other} ")
    machine.pid_file.unlink()


def test_a_worker_that_is_killed_is_followed_by_another(machine: Machine) -> None:
    machine.run("start", "--background", "--workers", "2")
    pid = machine.status()["pid"]
    [granian, *workers] = descendants(pid)
    os.kill(workers[0], signal.SIGKILL)
    assert soon(lambda: len(descendants(pid)) == 3 and workers[0] not in descendants(pid))
    assert (machine.status()["pid"], descendants(pid)[0]) == (pid, granian)
    assert soon(lambda: machine.status()["status"] == "ok")


def test_workers_end_with_the_server(machine: Machine) -> None:
    machine.run("start", "--background", "--workers", "2")
    all_of_it = descendants(machine.status()["pid"])
    assert len(all_of_it) == 3
    assert machine.run("stop")[0] == 0
    assert not any(map(is_alive, all_of_it))


def test_what_killed_workers_have_left_the_next_start_removes(machine: Machine) -> None:
    """There are keys in it. What others hold, or have put there, stays."""
    folder = machine.home / "tmp"
    machine.environment["TMPDIR"] = str(folder)
    (folder / "ccproxy-another's").mkdir(parents=True)
    (folder / "ccproxy-linked").symlink_to(machine.home)
    kept = {path.name for path in folder.iterdir()}

    def left() -> set[str]:
        return {path.name for path in folder.iterdir()} - kept

    def start(port: int) -> "subprocess.Popen[str]":
        server = machine.begin("start", "--workers", "2", "--port", str(port))
        assert soon(lambda: answers(port))
        return server

    killed = start(free_port())
    abandoned = left()
    assert len(abandoned) == 1
    group = descendants(killed.pid)
    for pid in (killed.pid, *group):
        os.kill(pid, signal.SIGKILL)
    assert soon(lambda: not any(map(is_alive, group)))
    assert left() == abandoned
    first = start(free_port())
    assert len(left()) == 1
    assert not left() & abandoned
    second = start(machine.port)
    assert len(left()) == 2
    for server in (first, second):
        server.terminate()
        assert server.wait(10) == 0
    assert not left()
    assert {path.name for path in folder.iterdir()} == kept
    assert machine.pid_file.parent.exists()
    for stale in machine.folder.glob("ccproxy-*.pid"):
        stale.unlink()


def test_a_start_in_the_background_that_is_given_up_is_over(machine: Machine) -> None:
    log = machine.folder / f"ccproxy-{machine.port}.log"
    starting = machine.begin("start", "--background", "--local")
    assert soon(lambda: log.exists() and "local model" in log.read_text())
    starting.send_signal(signal.SIGINT)
    assert starting.wait(20) == 1
    assert soon(lambda: machine.run("status")[0] == 3)
    machine.pid_file.unlink(missing_ok=True)


def test_one_that_does_not_answer(machine: Machine) -> None:
    machine.run("start", "--background")
    pid = machine.status()["pid"]
    os.kill(pid, signal.SIGSTOP)
    told = f"ccproxy runs on port {machine.port}, but does not answer (pid {pid})\n"
    assert machine.run("status") == (4, told, "")
    assert machine.run("status", "--json")[0] == 4
    os.kill(pid, signal.SIGCONT)
    assert soon(lambda: machine.status()["status"] == "ok")


def test_a_port_that_is_taken_is_told_by_the_background_too(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", machine.port)):
        code, _, err = machine.run("start", "--background")
    assert code == 1
    assert "ccproxy has not started; its log says:\n" in err
    assert f"ccproxy: cannot listen on 127.0.0.1:{machine.port}: Address already in use" in err
    assert machine.run("status")[0] == 3


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); from engine.cli import main; main()"
"""As on a disk that is full: no file can be written."""


def test_a_file_that_cannot_be_written_is_named(machine: Machine) -> None:
    server = machine.begin("start", program=("-c", FULL))
    assert server.communicate(timeout=20)[1] == f"ccproxy: [Errno 27] File too large: '{machine.pid_file}'\n"
    assert server.returncode == 1


def test_a_log_that_cannot_be_written_is_told_by_the_background(machine: Machine) -> None:
    server = machine.begin("start", "--background", program=("-c", FULL))
    log = machine.folder / f"ccproxy-{machine.port}.log"
    words = f"ccproxy has not started; its log says:\n(nothing: {log} cannot be written: File too large)\n"
    assert server.communicate(timeout=20)[1] == words
    assert server.returncode == 1


def test_the_tail_of_the_log_is_that_of_this_start(machine: Machine) -> None:
    (machine.folder / f"ccproxy-{machine.port}.log").write_text("an old word\n")
    machine.configure("host: 0.0.0.0\nproviders: { told: { mapping: openai-chat, api_key: k } }")
    code, _, err = machine.run("start", "--background")
    assert (code, "an old word" in err) == (1, False)
    assert "can be reached by others: set `api_key`" in err
    assert (machine.folder / f"ccproxy-{machine.port}.log").read_text().startswith("an old word\n")


def test_a_home_that_cannot_be_written(machine: Machine) -> None:
    machine.environment = {"HOME": "/dev/null"}
    for arguments in (["start"], ["start", "--background"]):
        code, _, err = machine.run(*arguments)
        assert (code, err) == (1, "ccproxy: [Errno 20] Not a directory: '/dev/null/.ccproxy'\n")


def test_nothing_of_the_current_directory_is_run(machine: Machine) -> None:
    for name in ("server.py", "granian.py", "engine.py", "sitecustomize.py"):
        (machine.home / name).write_text("import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()\n")
    for workers in ("1", "2"):
        assert machine.run("start", "--background", "--workers", workers)[0] == 0
        assert machine.run("stop")[0] == 0
    assert list(machine.home.glob("*.ran")) == []


# Under load


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with scripted() as made:
        yield made


def ask(machine: Machine) -> str:
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    told = subprocess.run(
        ["curl", "-sSN", f"{machine.address}/v1/messages", "-d", json.dumps(body)], capture_output=True, text=True, check=False
    )
    return told.stdout + told.stderr


def slow(machine: Machine, upstream: Upstream) -> None:
    """Answers that take four seconds."""
    told = f"{{ mapping: openai-chat, base_url: '{upstream.base_url}', api_key: none, models: [m] }}"
    machine.configure(f"providers: {{ told: {told} }}")
    upstream.answers = [Answer([*chat_stream(text_chunk("Hel"), done=False), 4.0, *chat_stream(text_chunk("lo"), stop_chunk())])]


def serve_slowly(machine: Machine, upstream: Upstream, *arguments: str, **program: Any) -> "subprocess.Popen[str]":
    slow(machine, upstream)
    server = machine.begin("start", *arguments, **program)
    assert soon(lambda: answers(machine.port))
    return server


JSON_LOG = "logs: { format: json }\nproviders: { told: { mapping: openai-chat, base_url: http://127.0.0.1:9/v1, api_key: none } }"


def logged(err: str) -> list[tuple[str, str]]:
    """Level and message of each line of a log in JSON."""
    lines = [json.loads(line) for line in err.splitlines()]
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
    return [(line["level"], line["message"]) for line in lines]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_log_in_json_is_that_from_its_first_line(workers: str, machine: Machine) -> None:
    machine.configure(JSON_LOG)
    server = machine.begin("start", "--workers", workers)
    assert soon(lambda: answers(machine.port))
    time.sleep(0.2)
    code, _, err = machine.run("start")
    assert (code, logged(err)) == (
        1,
        [("error", f"ccproxy already runs on port {machine.port} (pid {server.pid}): see `ccproxy status`")],
    )
    server.terminate()
    greeting = [
        ("info", f"ccproxy listens on {machine.address}"),
        ("info", f"Claude Code:  ANTHROPIC_BASE_URL={machine.address} ANTHROPIC_AUTH_TOKEN=any claude"),
    ]
    assert logged(server.communicate(timeout=10)[1]) == greeting


FAILS = "from engine.commands import serving; serving._check_port = lambda _: 1 / 0; from engine.cli import main; main()"


def test_a_start_that_fails_tells_its_trace_in_the_log(machine: Machine) -> None:
    server = machine.begin("start", program=("-c", FAILS))
    assert "ERROR ccproxy has failed\nTraceback" in server.communicate(timeout=20)[1]
    machine.configure(JSON_LOG)
    server = machine.begin("start", program=("-c", FAILS))
    _, err = server.communicate(timeout=20)
    assert (server.returncode, logged(err)) == (1, [("error", "ccproxy has failed")])
    assert "ZeroDivisionError" in json.loads(err)["trace"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_told_to_stop_under_load_it_finishes_what_runs_and_takes_nothing_new(
    workers: str, machine: Machine, upstream: Upstream
) -> None:
    server = serve_slowly(machine, upstream, "--workers", workers)
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(ask, machine) for _ in range(8)]
        assert soon(lambda: len(upstream.requests) == 8)
        server.terminate()
        assert soon(lambda: not answers(machine.port), 2)
        assert "curl: (7)" in ask(machine)
        assert not any(answer.done() for answer in running)
    assert all(answer.result().endswith('data: {"type":"message_stop"}\n\n') for answer in running)
    _, err = server.communicate(timeout=10)
    assert (server.returncode, "Traceback" in err, len(upstream.requests)) == (0, False, 8)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_stop_waits_for_running_answers(workers: str, machine: Machine, upstream: Upstream) -> None:
    server = serve_slowly(machine, upstream, "--workers", workers)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(ask, machine)
        assert soon(lambda: len(upstream.requests) == 1)
        assert machine.run("stop")[0] == 0
        assert server.wait(5) == 0
    assert running.result().endswith('data: {"type":"message_stop"}\n\n')


@pytest.mark.parametrize("workers", ["1", "2"])
def test_who_looks_on_does_not_delay_the_stop(workers: str, machine: Machine) -> None:
    server = machine.begin("start", "--workers", workers)
    assert soon(lambda: answers(machine.port))
    watching = subprocess.Popen(
        ["curl", "-sSN", "-H", "accept: text/event-stream", f"{machine.address}/status"], stdout=subprocess.PIPE, text=True
    )
    assert watching.stdout
    assert watching.stdout.readline().startswith("data: ")
    server.terminate()
    assert server.wait(5) == 0
    watching.communicate(timeout=5)
    assert watching.returncode == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_under_load_is_the_same(workers: str, machine: Machine, upstream: Upstream) -> None:
    """The terminal sends it to all who are in its foreground; the workers are not."""
    slow(machine, upstream)
    with ThreadPoolExecutor(4) as pool, terminal(machine, "start", "--workers", workers) as (server, person):
        assert soon(lambda: answers(machine.port))
        running = [pool.submit(ask, machine) for _ in range(4)]
        assert soon(lambda: len(upstream.requests) == 4)
        os.write(person, b"\x03")
        assert soon(lambda: not answers(machine.port), 2)
        assert "curl: (7)" in ask(machine)
    assert all(answer.result().endswith('data: {"type":"message_stop"}\n\n') for answer in running)
    assert (server.returncode, len(upstream.requests)) == (0, 4)


@pytest.mark.parametrize("has_loop", [False, True])
def test_a_worker_told_to_stop_before_it_is_ready_does_not_stay(has_loop: bool, machine: Machine) -> None:
    """uvloop only notes a signal while it does not run, and Granian has it run twice."""
    server = machine.begin("start", "--workers", "2")
    assert soon(lambda: len(descendants(server.pid)) == 3)
    late = descendants(server.pid)[-1]
    assert not has_loop or soon(lambda: catches(late, signal.SIGTERM), pause=0)
    os.kill(late, signal.SIGSTOP)
    assert soon(lambda: is_stopped(late), pause=0)  # else another signal may come before this one
    assert soon(lambda: answers(machine.port))
    server.terminate()
    time.sleep(0.2)
    os.kill(late, signal.SIGCONT)
    assert server.wait(5) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_under_load_it_can_be_started_again_at_once(workers: str, machine: Machine, upstream: Upstream) -> None:
    """One process takes its answers with it; workers finish theirs."""
    server = serve_slowly(machine, upstream, "--workers", workers)
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(ask, machine) for _ in range(4)]
        assert soon(lambda: len(upstream.requests) == 4)
        server.kill()
        server.wait()
        assert machine.run("start", "--background", "--workers", workers)[0] == 0
        assert ask(machine).endswith('data: {"type":"message_stop"}\n\n')
    assert ["message_stop" in answer.result() for answer in running] == [workers == "2"] * 4


@pytest.mark.parametrize("workers", ["1", "2"])
def test_told_twice_it_stops_at_once(workers: str, machine: Machine, upstream: Upstream) -> None:
    server = serve_slowly(machine, upstream, "--workers", workers)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(ask, machine)
        assert soon(lambda: len(upstream.requests) == 1)
        server.terminate()
        assert soon(lambda: not answers(machine.port), 2)
        server.terminate()
        assert server.wait(2) == 0
    assert_broken_off(running.result(), server)


SHORT_GRACE = "from engine.commands import serving; serving.GRACE = 0.5; from engine.cli import main; main()"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_client_whose_answer_is_not_waited_for_is_told_so(workers: str, machine: Machine, upstream: Upstream) -> None:
    server = serve_slowly(machine, upstream, "--workers", workers, program=("-c", SHORT_GRACE))
    with ThreadPoolExecutor() as pool:
        running = pool.submit(ask, machine)
        assert soon(lambda: len(upstream.requests) == 1)
        time.sleep(0.3)
        server.terminate()
        assert server.wait(3) == 0
    assert_broken_off(running.result(), server)


def assert_broken_off(told: str, server: "subprocess.Popen[str]") -> None:
    """The stream ends in an error that Claude Code asks again for, and the log does not take it for an answer."""
    assert "message_start" in told
    assert "message_stop" not in told
    last = json.loads(told.strip().splitlines()[-1].removeprefix("data: "))
    assert last["type"] == "error"
    assert last["error"]["type"] == "overloaded_error"
    assert "is being stopped" in last["error"]["message"]
    _, log = server.communicate(timeout=5)
    assert re.search(r" told/m .*529 \d+ ms", log), log
    assert "Traceback" not in log


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_client_that_does_not_read_does_not_delay_the_stop(workers: str, machine: Machine, upstream: Upstream) -> None:
    server = serve_slowly(machine, upstream, "--workers", workers, program=("-c", SHORT_GRACE))
    upstream.answers = [Answer(chat_stream(*[text_chunk("x" * 60_000)] * 500, stop_chunk()))]
    body = json.dumps({"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    with socket.create_connection(("127.0.0.1", machine.port)) as client:
        head = f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{machine.port}\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall((head + body).encode())
        assert soon(lambda: len(upstream.requests) == 1)
        time.sleep(0.5)
        server.terminate()
        assert server.wait(4) == 0


# code


def test_code_starts_the_proxy_runs_claude_and_stops_it_again(machine: Machine) -> None:
    machine.claude('curl -s "$ANTHROPIC_BASE_URL/health" > "$HOME/health"\nexit 7\n')
    machine.environment = {
        "ANTHROPIC_API_KEY": "sk-real",
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "ANTHROPIC_BASE_URL": "http://elsewhere",
    }
    code, out, err = machine.run("code", "-p", "two words", "--model", "x", "--help")
    assert (code, out, err) == (7, "", "")
    assert machine.seen("args") == ["-p", "two words", "--model", "x", "--help"]
    seen = dict(line.partition("=")[::2] for line in machine.seen("env"))
    assert (seen["ANTHROPIC_BASE_URL"], seen["ANTHROPIC_AUTH_TOKEN"]) == (machine.address, "any")
    assert "ANTHROPIC_API_KEY" not in seen
    assert "CLAUDE_CODE_USE_BEDROCK" not in seen
    assert json.loads((machine.home / "health").read_text())["status"] == "ok"
    assert machine.run("status")[0] == 3
    assert sorted(path.suffix for path in machine.folder.iterdir() if path.is_file()) == [".log", ".yaml"]


def test_code_sends_the_proxys_key(machine: Machine) -> None:
    machine.claude()
    machine.configure("api_key: open sesame\nproviders: { told: { mapping: openai-chat, api_key: k } }")
    assert machine.run("code")[0] == 0
    assert "ANTHROPIC_AUTH_TOKEN=open sesame" in machine.seen("env")


def test_code_leaves_a_proxy_alone_that_it_did_not_start(machine: Machine) -> None:
    machine.claude()
    machine.run("start", "--background")
    pid = machine.status()["pid"]
    assert machine.run("code")[0] == 0
    assert machine.status()["pid"] == pid


@pytest.mark.parametrize("leaves_first", [0, 1])
def test_two_sessions_share_one_proxy_and_the_last_stops_it(leaves_first: int, machine: Machine) -> None:
    machine.claude('while [ ! -e "$HOME/leave.$1" ]; do sleep 0.05; done\n')
    sessions = []
    for name in "01":
        sessions.append(machine.begin("code", name))
        assert soon(lambda name=name: (machine.home / "seen.args").exists() and machine.seen("args") == [name])
    pid = machine.status()["pid"]
    for number in (leaves_first, 1 - leaves_first):
        assert machine.status()["pid"] == pid
        (machine.home / f"leave.{number}").touch()
        assert sessions[number].wait(20) == 0
    assert machine.run("status")[0] == 3


def test_sessions_that_begin_at_the_same_moment_share_one_proxy(machine: Machine) -> None:
    machine.claude('curl -s "$ANTHROPIC_BASE_URL/health" > /dev/null || exit 9\nsleep 1\n')
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: machine.run("code"), range(4)))
    assert [(code, err) for code, _, err in ended] == [(0, "")] * 4
    assert (machine.folder / f"ccproxy-{machine.port}.log").read_text().count("listens on") == 1
    assert machine.run("status")[0] == 3


def test_a_session_that_was_killed_is_no_user_any_more(machine: Machine) -> None:
    machine.claude('while [ ! -e "$HOME/leave" ]; do sleep 0.05; done\n')
    session = machine.begin("code")
    assert soon((machine.home / "seen.args").exists)
    session.kill()
    assert machine.status()["running"]
    (machine.home / "leave").touch()
    assert machine.run("code")[0] == 0
    assert machine.run("status")[0] == 3
    assert not answers(machine.port)


def test_a_session_outlives_its_proxy(machine: Machine) -> None:
    machine.claude('while [ ! -e "$HOME/leave" ]; do sleep 0.05; done\nexit 4\n')
    session = machine.begin("code")
    assert soon((machine.home / "seen.args").exists)
    os.kill(machine.status()["pid"], signal.SIGKILL)
    (machine.home / "leave").touch()
    out, err = session.communicate(timeout=20)
    assert (session.returncode, out, err.removeprefix("ccproxy is starting …\n")) == (4, "", "")
    assert machine.run("status")[0] == 3
    machine.pid_file.unlink()


def test_a_proxy_that_takes_the_place_of_one_that_was_killed_ends_with_the_last_session(machine: Machine) -> None:
    machine.claude('while [ ! -e "$HOME/leave.$1" ]; do sleep 0.05; done\n')
    sessions = []
    for name in "01":
        sessions.append(machine.begin("code", name))
        assert soon(lambda name=name: (machine.home / "seen.args").exists() and machine.seen("args") == [name])
        if name == "0":
            os.kill(machine.status()["pid"], signal.SIGKILL)
    pid = machine.status()["pid"]
    for name in "01":
        assert machine.status()["pid"] == pid
        (machine.home / f"leave.{name}").touch()
        assert sessions[int(name)].wait(20) == 0
    assert machine.run("status")[0] == 3


def test_files_that_a_crash_has_left_are_nothing_to_code(machine: Machine) -> None:
    machine.claude()
    for kind in ("pid", "users"):
        (machine.folder / f"ccproxy-{machine.port}.{kind}").write_text(f"{os.getpid()}\n")
    assert machine.run("code") == (0, "", "")
    assert machine.run("status")[0] == 3
    assert sorted(path.suffix for path in machine.folder.iterdir() if path.is_file()) == [".log", ".yaml"]


def test_sessions_on_two_ports_have_a_proxy_each(machine: Machine) -> None:
    machine.claude('while [ ! -e "$HOME/leave.$1" ]; do sleep 0.05; done\n')
    other = Machine(machine.home, free_port(), started=machine.started)
    other.environment = {"CCPROXY_CONFIG": str(other.home / "other.yaml")}
    words = (machine.folder / "config.yaml").read_text().replace(f"{machine.port}", f"{other.port}")
    (other.home / "other.yaml").write_text(words)
    sessions = []
    for one, name in ((machine, "0"), (other, "1")):
        sessions.append(one.begin("code", name))
        assert soon(lambda name=name: (machine.home / "seen.args").exists() and machine.seen("args") == [name])
        assert f"ANTHROPIC_BASE_URL={one.address}" in machine.seen("env")
    assert machine.status()["pid"] != other.status()["pid"]
    (machine.home / "leave.0").touch()
    assert sessions[0].wait(20) == 0
    assert (answers(machine.port), answers(other.port)) == (False, True)
    (machine.home / "leave.1").touch()
    assert sessions[1].wait(20) == 0
    assert not answers(other.port)


def test_stopped_in_the_middle_of_a_session_it_finishes_what_the_session_is_told(machine: Machine, upstream: Upstream) -> None:
    slow(machine, upstream)
    body = json.dumps({"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    ask_there = f"curl -sSN $ANTHROPIC_BASE_URL/v1/messages -d '{body}'"
    machine.claude(f'{ask_there} > "$HOME/first"\n{ask_there} > "$HOME/second"\nexit 8\n')
    session = machine.begin("code")
    assert soon(lambda: len(upstream.requests) == 1)
    assert machine.run("stop")[0] == 0
    _, err = session.communicate(timeout=20)
    assert (session.returncode, "curl: (7)" in err) == (8, True)
    assert (machine.home / "first").read_text().endswith('data: {"type":"message_stop"}\n\n')
    assert (machine.home / "second").read_text() == ""


def test_claude_is_nowhere(machine: Machine) -> None:
    code, _, err = machine.run("code")
    assert code == 1
    assert err.startswith("ccproxy: there is no `claude` on the PATH. Claude Code is installed with\n")
    assert sorted(path.name for path in machine.folder.iterdir()) == ["config.yaml"]


def test_claude_is_no_program(machine: Machine) -> None:
    (machine.home / "bin" / "claude").write_bytes(b"\0nonsense")
    (machine.home / "bin" / "claude").chmod(0o755)
    code, _, err = machine.run("code")
    assert (code, "Exec format error" in err, "Traceback" in err) == (1, True, False)
    assert machine.run("status")[0] == 3


def test_code_says_why_the_proxy_does_not_start(machine: Machine) -> None:
    machine.claude()
    with socket.create_server(("127.0.0.1", machine.port)):
        code, _, err = machine.run("code")
    assert (code, "Address already in use" in err, "Traceback" in err) == (1, True, False)
    assert not (machine.home / "seen.args").exists()


@pytest.mark.parametrize(("name", "code"), [("TERM", 21), ("HUP", 22), ("INT", 23)])
def test_signals_are_passed_on(name: str, code: int, machine: Machine) -> None:
    machine.claude(f'trap "exit {code}" {name}\ntouch "$HOME/ready"\nwhile :; do sleep 0.05; done\n')
    session = machine.begin("code")
    assert soon((machine.home / "ready").exists)
    session.send_signal(getattr(signal, f"SIG{name}"))
    assert session.wait(20) == code
    assert machine.run("status")[0] == 3


def test_a_client_that_a_signal_ended_is_told_as_a_shell_does(machine: Machine) -> None:
    machine.claude("kill -KILL $$\n")
    assert machine.run("code")[0] == 128 + signal.SIGKILL


@contextmanager
def terminal(machine: Machine, *arguments: str, before: str = "") -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """A command at a terminal of its own: its process, and the end of the terminal at which a person sits."""
    person, screen = pty.openpty()
    # A process without a terminal has the first one that it opens.
    opening = ["sh", "-c", before + 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(screen)]
    command = [*opening, sys.executable, "-P", "-m", "engine.cli", *arguments]
    process = subprocess.Popen(command, env=machine.variables, cwd=machine.home, start_new_session=True, preexec_fn=_hear_signals)
    try:
        yield process, person
        process.wait(20)
    finally:
        process.kill()
        process.wait()
        os.close(person)
        os.close(screen)


def close_window(person: int) -> None:
    """The terminal hangs up; the descriptor stays one, of nothing."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, person)
    os.close(nothing)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_ends_with_its_terminal(workers: str, machine: Machine) -> None:
    with terminal(machine, "start", "--workers", workers) as (server, person):
        assert soon(lambda: answers(machine.port))
        close_window(person)
    assert server.returncode == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_ends_well_where_nothing_that_it_said_could_be_written(workers: str, machine: Machine) -> None:
    """As where its terminal goes before it greets."""
    command = [sys.executable, "-P", "-m", "engine.cli", "start", "--workers", workers]
    with open("/dev/full", "wb") as full:
        server = subprocess.Popen(command, env=machine.variables, cwd=machine.home, stderr=full, preexec_fn=_hear_signals)
    try:
        assert soon(lambda: answers(machine.port))
        time.sleep(0.2)  # the greeting
        server.terminate()
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_with_nohup_it_goes_on_without_its_terminal_and_reloads_when_it_is_told_to(workers: str, machine: Machine) -> None:
    with terminal(machine, "start", "--workers", workers, before="trap '' HUP; ") as (server, person):
        assert soon(lambda: answers(machine.port))
        close_window(person)
        time.sleep(1)
        machine.configure("providers: { later: { mapping: openai-chat, base_url: http://127.0.0.1:9/v1, api_key: none } }")
        server.send_signal(signal.SIGHUP)
        assert soon(lambda: "later" in machine.status().get("providers", ()))
        server.terminate()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_configuration_that_is_written_after_the_start_is_read(workers: str, machine: Machine) -> None:
    machine.environment = {"OPENAI_API_KEY": "sk-none"}
    (machine.folder / "config.yaml").unlink()
    server = machine.begin("start", "--workers", workers, "--port", str(machine.port))
    assert soon(lambda: answers(machine.port))
    for name, tell in (
        ("first", lambda: server.send_signal(signal.SIGHUP)),
        ("second", lambda: subprocess.run(["curl", "-sS", "-X", "POST", f"{machine.address}/reload"], check=True)),
        ("third", lambda: server.send_signal(signal.SIGHUP)),
    ):
        machine.configure(f"providers: {{ {name}: {{ mapping: openai-chat, base_url: http://127.0.0.1:9/v1, api_key: none }} }}")
        tell()
        assert soon(lambda name=name: name in machine.status().get("providers", ()), 10)


COUNTING = """
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: open("ints", "a").write("int "))
open("ready", "w")
while not os.path.exists("leave"):
    time.sleep(0.05)
sys.exit(5)
"""


def test_ctrl_c_reaches_claude_once(machine: Machine) -> None:
    """The terminal sends it to both; so what `code` gets at a terminal is not passed on."""
    machine.claude(f"exec {sys.executable} -c '{COUNTING}'\n")
    with terminal(machine, "code") as (session, person):
        assert soon((machine.home / "ready").exists)
        session.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert not (machine.home / "ints").exists()
        os.write(person, b"\x03")
        assert soon((machine.home / "ints").exists)
        time.sleep(0.5)
        (machine.home / "leave").touch()
    assert session.returncode == 5
    assert (machine.home / "ints").read_text() == "int "
    assert machine.run("status")[0] == 3


def test_colours_are_for_a_terminal(machine: Machine) -> None:
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        machine.environment = environment
        with terminal(machine, "models") as (_, person):
            assert (b"\x1b[1m" in os.read(person, 100)) is coloured
    assert "\x1b" not in machine.run("models")[1]


def test_progress_is_for_a_terminal(machine: Machine) -> None:
    (machine.home / "own.yaml").write_text("extends: openai-chat\n")
    with terminal(machine, "check", "own.yaml") as (_, person):
        assert soon(lambda: b"1/1" in os.read(person, 1000))
    assert machine.run("check", "own.yaml") == (0, "1 file, no problem\n", "")


@pytest.mark.skipif(not Path("/proc").exists(), reason="what a process is about is told in another way here")
def test_a_client_that_suspends_itself_hands_the_terminal_back(machine: Machine) -> None:
    machine.claude("kill -STOP $$\nexit 6\n")
    session = machine.begin("code")
    state = Path(f"/proc/{session.pid}/stat")
    assert soon(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
    session.send_signal(signal.SIGCONT)
    assert session.wait(20) == 6


def test_env_is_what_a_shell_can_evaluate(machine: Machine) -> None:
    machine.environment = {"ANTHROPIC_API_KEY": "sk-real", "API_TIMEOUT_MS": "5"}
    machine.configure('api_key: "it\'s $HOME"')
    code, lines, _ = machine.run("env")
    shell = ["sh", "-c", f"{lines}\nenv"]
    told = subprocess.run(shell, env=machine.environment, capture_output=True, text=True, check=True)
    seen = dict(line.partition("=")[::2] for line in told.stdout.splitlines())
    assert (code, seen["ANTHROPIC_BASE_URL"], seen["ANTHROPIC_AUTH_TOKEN"]) == (0, machine.address, "it's $HOME")
    assert seen["API_TIMEOUT_MS"] == "5"
    assert "ANTHROPIC_API_KEY" not in seen
