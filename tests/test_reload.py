"""A configuration that changes while the server runs: all or nothing, and nobody who is being answered notices."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.gateway.watching import Watch
from tests.running import descendants, running
from tests.upstreams import Answer, Upstream, chat_stream, scripted, stop_chunk, text_chunk

STREAMS = 32
RELOADS = 200


def echo(request: dict[str, Any]) -> Answer:
    """The last message's mark and the model, over and over: an answer that tells whose it is."""
    said = f"{request['body']['messages'][-1]['content']} by {request['body']['model']};"
    chunks: list[bytes | float] = []
    for _ in range(10):
        chunks += [*chat_stream(text_chunk(said), done=False), 0.01]
    return Answer([*chunks, *chat_stream(stop_chunk())])


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with scripted() as made:
        made.answering = echo
        yield made


def configuration(upstream: Upstream, model: str, more: str = "") -> str:
    told = f"mapping: openai-chat, base_url: '{upstream.base_url}', api_key: sk-{model * 20}"
    return f"providers: {{ told: {{ {told} }} }}\nroutes: {{ default: told/{model} }}\n{more}"


def ask(address: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, str, str]:
    """A request's status, the model that its headers name, and the body."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, json.dumps(body) if body else None, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("x-ccproxy-model", ""), answer.read().decode()


def stream(address: str, mark: str) -> tuple[str, str, str]:
    """A streamed answer: the mark that was sent, the model, the text."""
    request = {"model": "any", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": mark}]}
    status, model, told = ask(address, "POST", "/v1/messages", request)
    assert status == 200, told
    events = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
    assert events[-1] == {"type": "message_stop"}
    return mark, model, "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


def model_now(address: str) -> str:
    return stream(address, "x")[1]


def comes(what: Callable[[], bool]) -> bool:
    """Whether it comes to be so within ten seconds."""
    end = time.monotonic() + 10
    while not (so := what()) and time.monotonic() < end:
        time.sleep(0.05)
    return so


def write(file: Path, text: str) -> None:
    """At once, as a careful editor does."""
    part = file.with_suffix(".part")
    part.write_text(text)
    part.replace(file)


def test_two_hundred_reloads_while_thirty_two_streams_run(tmp_path: Path, upstream: Upstream) -> None:
    file = tmp_path / "config.yaml"
    with (
        running(tmp_path, configuration(upstream, "a")) as (address, process),
        concurrent.futures.ThreadPoolExecutor(STREAMS) as pool,
    ):
        done = False

        def streams(number: int) -> list[tuple[str, str, str]]:
            answers = []
            while not done:
                answers.append(stream(address, f"stream {number}, answer {len(answers)}"))
            return answers

        futures = [pool.submit(streams, number) for number in range(STREAMS)]
        refused = 0
        for number in range(RELOADS):
            model = "ab"[number % 2]
            if number % 10 == 9:
                write(file, "providers: [")
                refused += ask(address, "POST", "/reload")[0] == 400
                continue
            write(file, configuration(upstream, model))
            if number % 3:
                assert ask(address, "POST", "/reload")[0] == 200
                assert number % 7 or model_now(address) == model
            else:
                process.send_signal(signal.SIGHUP)
        done = True
        answers = [answer for future in futures for answer in future.result()]
        log = (tmp_path / "log.txt").read_text()
    assert refused == RELOADS // 10
    assert len(answers) > RELOADS
    assert {model for _, model, _ in answers} == {"a", "b"}
    for mark, model, text in answers:
        assert text == f"{mark} by {model};" * 10
    assert log.count(" reloaded: told") >= RELOADS * 0.6  # signals that come at once are one


def test_a_broken_file_changes_nothing_and_is_told_with_its_picture(tmp_path: Path, upstream: Upstream) -> None:
    with running(tmp_path, configuration(upstream, "a")) as (address, process):
        write(tmp_path / "config.yaml", configuration(upstream, "b", "api_kye: sk-abcdefghijklmnop1234567890\n"))
        process.send_signal(signal.SIGHUP)
        log = tmp_path / "log.txt"
        assert comes(lambda: "not reloaded, and nothing is changed" in log.read_text())
        status, _, told = ask(address, "POST", "/reload")
        assert model_now(address) == "a"
    said = json.loads(told)["error"]["message"]
    assert status == 400
    for words in (log.read_text(), said):
        assert "config.yaml:3:1: unknown key 'api_kye'; did you mean 'api_key'?" in words
        assert "3 | api_kye: [key]" in words
        assert "sk-abc" not in words


def test_a_key_of_its_own_and_the_log_change_too(tmp_path: Path, upstream: Upstream) -> None:
    with running(tmp_path, configuration(upstream, "a")) as (address, _):
        more = "api_key: sesame\nlogs: { format: json }\nhost: 127.0.0.2\n"
        write(tmp_path / "config.yaml", configuration(upstream, "b", more))
        assert ask(address, "POST", "/reload")[0] == 200
        assert ask(address, "GET", "/v1/models")[0] == 401
        assert ask(address, "GET", "/v1/models", headers={"x-api-key": "sesame"})[0] == 200
        assert comes(lambda: '"message":"reloaded: told"' in (tmp_path / "log.txt").read_text())
    assert "host and port stay" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_files_are_watched_where_that_is_wanted(workers: str, tmp_path: Path, upstream: Upstream) -> None:
    """The configuration's own file, and those in the folder of mappings."""
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    more = f"watch: true\nmappings: {mappings}\n"
    with running(tmp_path, configuration(upstream, "a", more), "--workers", workers) as (address, _):
        write(tmp_path / "config.yaml", configuration(upstream, "b", more))
        assert comes(lambda: {model_now(address) for _ in range(8)} == {"b"})
        (mappings / "openai-chat.yaml").write_text("abuot: mine\n")
        assert comes(lambda: "openai-chat.yaml:1:1: unknown key 'abuot'" in (tmp_path / "log.txt").read_text())
        assert model_now(address) == "b"


def test_a_change_is_reloaded_once_by_each_worker(tmp_path: Path, upstream: Upstream) -> None:
    def settles_at(reloads: int) -> bool:
        if not comes(lambda: reloads <= log.read_text().count("reloaded: told")):
            return False
        time.sleep(4)
        return log.read_text().count("reloaded: told") == reloads

    log = tmp_path / "log.txt"
    with running(tmp_path, configuration(upstream, "a", "watch: true\n"), "--workers", "3") as (address, process):
        assert comes(lambda: json.loads(ask(address, "GET", "/status")[2])["workers"] == 3)
        write(tmp_path / "config.yaml", configuration(upstream, "b", "watch: true\n"))
        assert settles_at(3)
        write(tmp_path / "config.yaml", configuration(upstream, "c", "watch: true\n"))
        process.send_signal(signal.SIGHUP)
        assert settles_at(3 + 4)  # with the process whose children they are
        assert {model_now(address) for _ in range(8)} == {"c"}


@pytest.mark.parametrize("how", ["signal", "request"])
def test_several_workers_reload_together(how: str, tmp_path: Path, upstream: Upstream) -> None:
    with running(tmp_path, configuration(upstream, "a"), "--workers", "2") as (address, process):
        assert comes(lambda: json.loads(ask(address, "GET", "/status")[2])["workers"] == 2)
        write(tmp_path / "config.yaml", configuration(upstream, "b"))
        if how == "signal":
            process.send_signal(signal.SIGHUP)
        else:
            assert ask(address, "POST", "/reload")[0] == 200
        assert comes(lambda: (tmp_path / "log.txt").read_text().count("reloaded: told") == 2 + (how == "signal"))
        assert {model_now(address) for _ in range(8)} == {"b"}


@pytest.mark.parametrize("now", ["changed", "broken"])
def test_a_worker_that_begins_later_serves_what_the_others_do(now: str, tmp_path: Path, upstream: Upstream) -> None:
    """And not what the files say by then, which nobody has reloaded."""
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    more = f"mappings: {mappings}\n"
    log = tmp_path / "log.txt"
    with running(tmp_path, configuration(upstream, "a", more), "--workers", "2") as (address, process):
        assert comes(lambda: json.loads(ask(address, "GET", "/status")[2])["workers"] == 2)
        if now == "changed":
            write(tmp_path / "config.yaml", configuration(upstream, "b", more))
            assert ask(address, "POST", "/reload")[0] == 200
            assert comes(lambda: log.read_text().count("reloaded: told") == 2)
            write(tmp_path / "config.yaml", configuration(upstream, "c", more))
        else:
            write(tmp_path / "config.yaml", "providers: [")
            (mappings / "openai-chat.yaml").write_text("abuot: mine\n")
        [_, killed, _] = descendants(process.pid)
        os.kill(killed, signal.SIGKILL)
        assert comes(lambda: len(descendants(process.pid)) == 3 and killed not in descendants(process.pid))
        assert comes(lambda: json.loads(ask(address, "GET", "/status")[2])["workers"] == 2)
        assert {model_now(address) for _ in range(16)} == {"b" if now == "changed" else "a"}
        assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_configuration_is_held_against_the_host_that_is_listened_on(workers: str, tmp_path: Path, upstream: Upstream) -> None:
    log = tmp_path / "log.txt"
    flags = ["--workers", workers, "--host"]
    with running(tmp_path, configuration(upstream, "a", "host: 0.0.0.0\n"), *flags, "127.0.0.1") as (address, _):
        assert ask(address, "POST", "/reload")[0] == 200
        assert model_now(address) == "a"
    assert "Traceback" not in log.read_text()
    assert "host and port stay" not in log.read_text()
    with running(tmp_path, configuration(upstream, "a", "api_key: sesame\n"), *flags, "0.0.0.0") as (address, _):
        write(tmp_path / "config.yaml", configuration(upstream, "b"))
        status, _, told = ask(address, "POST", "/reload", headers={"x-api-key": "sesame"})
        assert (status, "can be reached by others" in told) == (400, True)
        assert ask(address, "GET", "/v1/models")[0] == 401


def test_a_change_counts_when_it_has_come_to_rest(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text("a")
    watch = Watch(time.time() + 1)
    looks = []
    for text in (None, None, "ab", "abc", None, None, None):
        if text:
            file.write_text(text)
        looks.append(watch.has_changed([tmp_path]))
    assert looks == [False, False, False, False, True, False, False]
    os.remove(file)
    assert [watch.has_changed([tmp_path]) for _ in range(3)] == [False, True, False]


def test_a_change_before_the_first_look_counts(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text("a")
    watch = Watch(time.time() - 1)
    assert [watch.has_changed([tmp_path]) for _ in range(3)] == [True, False, False]
