"""Exchanges as files in the form of the test cases: a fault can be reported by one, and run again with `ccproxy replay`.

A case holds a client's request and what the provider answered, and says what came of both (tests/test_cases.py).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from engine.gateway.connection import Reply
from engine.gateway.relay import Relay
from engine.gateway.settings import make_folder
from engine.gateway.translation import Translation, translate
from engine.mapping.mapping import Mapping
from engine.wire import framing, jsontext
from engine.wire.assembler import fold
from engine.wire.errors import ApiError
from engine.wire.redact import without_keys

Case = dict[str, Any]

MOST_BYTES = 16_000_000
"""Of an answer that is recorded; what comes behind is left out."""


class Recording:
    """One request to a provider, and the answer while it comes."""

    def __init__(self, mapping: Mapping, provider: str, model: str, request: dict[str, Any], secrets: Iterable[str]):
        """None of the `secrets` will be in the file, nor whatever else looks like a key."""
        self._mapping = mapping
        self._case: Case = {"provider": provider, "model": model, "request": request}
        self._secrets = [secret for secret in secrets if secret]
        self._status = 0
        self._streams = False
        self._pieces: list[bytes] = []
        self._size = 0

    def answered(self, reply: Reply) -> None:
        """The provider has begun to answer; it may do so once more where it is asked to go on, which is left out."""
        if not self._status:
            self._status, self._streams = reply.status, reply.is_stream

    def hear(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= MOST_BYTES:
            self._pieces.append(piece)

    def write(self, folder: Path, id: str, about: str) -> None:
        """Write the case to `folder/<mapping>/<time>-<id>.yaml`; those behind the first of one request are numbered."""
        case = {"about": about, **self._without_secrets(self._case | {"given": self._given()})}
        case["expect"] = play(self._mapping, case)
        time = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        own = folder / self._mapping.name
        make_folder(folder)
        own.mkdir(mode=0o700, exist_ok=True)
        # Of several attempts those that failed are the ones to look at.
        earlier = len(list(own.glob(f"*-{id}*.yaml")))
        file = own / (f"{time}-{id}-{earlier + 1}.yaml" if earlier else f"{time}-{id}.yaml")
        text = yaml.dump(case, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")

    def _given(self) -> Case:
        if not self._status:
            return {}  # it was not reached, and the request alone tells something
        text = b"".join(self._pieces).decode(errors="replace")
        if self._status < 400 and self._streams:
            return {"stream": text}
        said = {"status": self._status} if self._status >= 400 else {}
        try:
            return {**said, "reply": jsontext.loads(text)}
        except ValueError:
            return {**said, "text": text}

    def _without_secrets(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._without_secrets(held) for key, held in value.items()}
        if isinstance(value, list):
            return [self._without_secrets(held) for held in value]
        if not isinstance(value, str):
            return value
        for secret in self._secrets:
            value = value.replace(secret, "[key]")
        return without_keys(value)


def read(file: Path) -> Case:
    """Raises ValueError where the file is no case."""
    try:
        case = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is no YAML: {error}") from None
    if not isinstance(case, dict) or not isinstance(case.get("request"), dict):
        raise ValueError(f"{file} is no recorded exchange: it has no `request`")
    return case


def play(mapping: Mapping, case: Case) -> Case:
    """What comes of a case now: the body that goes to the provider, what is lost, and the message or the error."""
    given, request = case.get("given") or {}, case["request"]
    provider, model = case.get("provider", mapping.name), case.get("model", "upstream-model")
    try:
        made = translate(provider, mapping, model, request, jsontext.dumps(request), request_id="req_replay")
    except ApiError as error:
        return {"error": _error(error)}
    body = jsontext.loads(made.body) if isinstance(made.body, bytes) else made.body
    return {"body": body, "lost": sorted(made.lost), **_answer(made, given)}


def _answer(made: Translation, given: Case) -> Case:
    if not given:
        return {}
    try:
        if "status" in given:
            raise made.refuse(given["status"], _data(given), given.get("headers") or {})
        return {"message": _told(made, given)}
    except ApiError as error:
        return {"error": _error(error)}


def _told(made: Translation, given: Case) -> Case:
    if isinstance(made, Relay):
        if "stream" not in given:
            return _without_id(jsontext.loads(made.answer(_data(given))))
        events = made.receive(given["stream"].encode()) + made.finish()
        if made.failure:
            raise made.failure
        return _without_id(fold(framing.SSE().feed(events)))
    if "stream" in given:
        return _without_id(made.gather(made.receive(given["stream"].encode()) + made.finish()))
    if "text" in given:
        raise made.no_answer(_data(given), {})
    return _without_id(made.answer(given["reply"]))


def _data(given: Case) -> bytes:
    return given["text"].encode() if "text" in given else jsontext.dumps(given.get("reply"))


def _without_id(message: Case) -> Case:
    """Each message has an id of its own."""
    return {key: value for key, value in message.items() if key != "id"}


def _error(error: ApiError) -> Case:
    return {"status": error.status, "type": error.type, "message": error.message}


# By its name: PyYAML may come without libyaml, and then has no such class, which mypy cannot follow.
class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Texts of several lines are written as such."""


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
