"""Where a session is played: Claude Code, the proxy, and providers that think up their answers by a script."""

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e import package
from tests.e2e.wires import ANTHROPIC, WIRES, Reply, Result, Wire
from tests.running import proxy
from tests.upstreams import Answer


@dataclass(frozen=True)
class Seen:
    """A request as a provider saw it, and those of the session that came before it."""

    wire: Wire
    path: str
    body: Any
    at: float
    earlier: "list[Seen]"

    @cached_property
    def text(self) -> str:
        return json.dumps(self.body, ensure_ascii=False)

    def holds(self, value: str) -> int:
        """How often the very text is a value in the request."""
        return self.text.count(json.dumps(value, ensure_ascii=False))

    @cached_property
    def results(self) -> dict[str, Result]:
        return dict(self.wire.results(self.body))

    @property
    def model(self) -> str:
        """It stands in the body, for Gemini in the address."""
        named: str = self.body.get("model") or self.path.rpartition("/models/")[2].partition(":")[0]
        return named

    @property
    def is_streamed(self) -> bool:
        return bool(self.body.get("stream")) or self.path.endswith("alt=sse")


Model = Callable[[Seen], Reply]
"""What answers. It goes by what a request holds, not by its number: Claude Code asks several things at a time."""


class Providers(ThreadingHTTPServer):
    """All providers on one port: the first part of an address is the format that is spoken there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Speaking)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def perform(self, model: Model) -> None:
        """From now on the model answers, and what it sees is kept."""
        self.model = model
        self.seen: list[Seen] = []
        self.mistakes: list[Exception] = []

    def think(self, path: str, body: Any) -> Answer:
        request = Seen(WIRES[path.split("/")[1]], path, body, time.monotonic(), list(self.seen))
        self.seen.append(request)
        try:
            return request.wire.answer(self.model(request), request.is_streamed)
        except Exception as mistake:  # noqa: BLE001
            # The session comes to no good end, and its test tells why.
            self.mistakes.append(mistake)
            return Answer([b'{"error": {"message": "the script has a mistake"}}'], 403, "application/json")


class Speaking(BaseHTTPRequestHandler):
    server: Providers
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        answer = self.server.think(self.path, json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(answer.status)
        for name, value in {"content-type": answer.content_type, "transfer-encoding": "chunked", **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in answer.pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.close_connection = answer.cut
        if not answer.cut:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """The proxy has a log."""


@contextmanager
def serving() -> Iterator[Providers]:
    with Providers() as providers:
        thread = threading.Thread(target=providers.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield providers
        finally:
            providers.shutdown()
            thread.join()


@dataclass(frozen=True)
class Ended:
    """What a session came to, by its turns and as a whole. Two that are equal ended alike."""

    answers: list[str]
    failed: list[bool]
    turns: list[int]
    reasons: list[str]
    files: dict[str, bytes]
    results: dict[str, Result]
    seen: list[Seen] = field(compare=False, repr=False)
    log: str = field(compare=False, repr=False)

    @property
    def answer(self) -> str:
        return self.answers[-1]


# Agents, their files and how long they took: other ones each time.
_PASSING = re.compile(r"\ba[0-9a-f]{16}\b|(?<=output_file: )\S+|(?<=duration_ms: )\d+")

TOOLS = "Agent,Bash,Edit,Read,WebSearch"


@dataclass(frozen=True)
class Stage:
    """Claude Code, and whom it is to ask. The log is the proxy's, if there is one between."""

    folder: Path
    providers: Providers
    address: str

    def play(self, model: Model, turns: tuple[tuple[str, ...], ...], files: Mapping[str, bytes]) -> Ended:
        """A session in a home and a folder of its own. A turn is what a person types, and arguments of the program."""
        home, work = self.folder / "home", self.folder / "work"
        for made in (home, work):
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
        for name, data in files.items():
            (work / name).write_bytes(data)
        before = len(self._log)
        self.providers.perform(model)
        ends = [self._turn(turn, home, work) for turn in turns]
        for mistake in self.providers.mistakes:
            raise mistake
        seen = self.providers.seen
        return Ended(
            [end["result"] for end in ends],
            [end["is_error"] for end in ends],
            [end["num_turns"] for end in ends],
            [end["terminal_reason"] for end in ends],
            {str(file.relative_to(work)): file.read_bytes() for file in work.rglob("*") if file.is_file()},
            {id: self._lasting(result) for request in seen for id, result in request.results.items()},
            seen,
            self._log[before:],
        )

    def _turn(self, turn: tuple[str, ...], home: Path, work: Path) -> Any:
        """The environment is made from nothing: no setting and no key of this machine."""
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(home),
            "IS_SANDBOX": "1",
            "ANTHROPIC_BASE_URL": self.address,
            "ANTHROPIC_AUTH_TOKEN": "any",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "3",
            "DISABLE_TELEMETRY": "1",
        }
        prompt, *arguments = turn
        command = [str(package.program()), "-p", prompt, "--output-format", "json", "--allowedTools", TOOLS, *arguments]
        done = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True, timeout=60)
        assert done.stdout.startswith("{"), done
        return json.loads(done.stdout.splitlines()[-1])

    def _lasting(self, result: Result) -> Result:
        text = _PASSING.sub("…", result.text.replace(str(self.folder), ""))
        if text.startswith("Web search results"):  # of which some providers tell the pages first, and others last
            text = "\n\n".join(sorted(text.split("\n\n")))
        return Result(text, result.failed)

    @property
    def _log(self) -> str:
        file = self.folder / "log.txt"
        return file.read_text() if file.exists() else ""


# One proxy plays all sessions, and what fails in one on purpose is not held against the next.
CONFIGURATION = """
breaker: false
providers:
  {wire}: {{ base_url: "{address}/{wire}", api_key: key-one }}
  {other}: {{ base_url: "{address}/{other}", api_key: key-two }}
routes:
  default: {wire}/main
  longContext: {{ to: {wire}/long, above: 60000 }}
  webSearch: {searching}/search
  models:
    claude-sonnet-5-5: {{ to: {wire}/main, fallbacks: [{other}/spare] }}
    claude-haiku-5-5: {other}/small
"""


@contextmanager
def through_the_proxy(wire: Wire, folder: Path) -> Iterator[Stage]:
    """A provider of the format, and another one beside it, of the next."""
    names = [*WIRES, *WIRES]
    other = names[names.index(wire.name) + 1]
    searching = wire.name if wire.finds else other
    with serving() as providers:
        configuration = CONFIGURATION.format(wire=wire.name, other=other, searching=searching, address=providers.address)
        with proxy(folder, configuration) as address:
            yield Stage(folder, providers, address)


@contextmanager
def without_proxy(folder: Path) -> Iterator[Stage]:
    """Anthropic itself, as far as a script can be."""
    with serving() as providers:
        yield Stage(folder, providers, f"{providers.address}/{ANTHROPIC.name}")
