"""The log: lines on the standard error, as text or as JSON. Nothing of a body or a key is ever in them."""

import logging
import sys
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from time import localtime, strftime, time
from typing import Any, TextIO

from engine.gateway import http

# What no line tells need not be found out.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False

_log = logging.getLogger("ccproxy")


class _Lines(logging.Formatter):
    """Lines in one of the forms of settings.LOG_FORMATS."""

    def __init__(self, form: str):
        super().__init__()
        self.has_fields = form == "json"
        self._line = _json if self.has_fields else _text

    def format(self, record: logging.LogRecord) -> str:
        trace = {"trace": self.formatException(record.exc_info)} if record.exc_info else {}
        return self._line(record.created, record.levelname, record.getMessage(), trace)

    def write(self, message: str, fields: Mapping[str, Any]) -> None:
        """Write a line past what `logging` does for one, which takes as long as a tenth of a small request, and together with
        those of all requests that end in this turn of the loop: while a file is written another thread may go on, and then has
        to be waited for."""
        global _writer
        _unwritten.append(self._line(time(), "INFO", message, fields) + "\n")
        if _writer is not (loop := get_running_loop()):
            loop.call_soon(_write)
            _writer = loop


_unwritten: list[str] = []
_writer: AbstractEventLoop | None = None
"""Who will write them."""


def _write() -> None:
    global _unwritten, _writer
    lines, _unwritten, _writer = "".join(_unwritten), [], None
    with suppress(OSError, ValueError):  # who reads the log may have gone
        sys.stderr.write(lines)


class _Handler(logging.StreamHandler[TextIO]):
    """Everything else that is logged, each at its turn."""

    def emit(self, record: logging.LogRecord) -> None:
        self.flush()
        super().emit(record)

    def flush(self) -> None:
        _write()
        super().flush()


def _text(at: float, level: str, message: str, fields: Mapping[str, Any]) -> str:
    """A line for people, who are told of the fields in the message."""
    line = f"{_second(int(at))},{int(at % 1 * 1000):03} {level} {message}"
    return f"{line}\n{fields['trace']}" if "trace" in fields else line


@lru_cache(maxsize=1)
def _second(at: int) -> str:
    return strftime("%Y-%m-%d %H:%M:%S", localtime(at))


def _json(at: float, level: str, message: str, fields: Mapping[str, Any]) -> str:
    """A line that is an object: what happened, and what a machine may want to know of it by name."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return http.json({"time": moment, "level": level.lower(), "message": message, **fields}).decode()


_lines = _Lines("text")


def set_up(level: str, form: str) -> None:
    """Log from this level on, in this form; asked again, from another one on and in another."""
    global _lines
    _lines = _Lines(form)
    handler = _Handler(sys.stderr)
    handler.setFormatter(_lines)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def is_json() -> bool:
    """Whether it is for machines."""
    return _lines.has_fields


def access(id: str, where: str, status: int, seconds: float, told: Mapping[str, Any]) -> None:
    """The line of a request that has ended; what is told of it besides has its name before it."""
    if _log.isEnabledFor(logging.INFO):
        ms = seconds * 1000
        more = "".join([f" {name}={value}" for name, value in told.items()])
        fields: Mapping[str, Any] = {}
        if _lines.has_fields:
            fields = {"request_id": id, "way": where, "status": status, "ms": round(ms, 1), **told}
        _lines.write(http.one_line(f"{id} {where} {status} {ms:.0f} ms{more}"), fields)
