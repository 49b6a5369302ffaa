"""The log: lines on the standard error, as text or as JSON. Nothing of a body or a key is ever in them."""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engine.gateway import http

# What no line tells need not be found out.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False

_FIELDS = "fields"
_log = logging.getLogger("ccproxy")


class _Json(logging.Formatter):
    """A line is an object: what happened, and what a machine may want to know of it by name."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return http.json(told).decode()


def set_up(level: str, form: str) -> None:
    """Log from this level on, in this form (settings.LOG_FORMATS); asked again, from another one on and in another."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def access(id: str, where: str, status: int, seconds: float, told: Mapping[str, Any]) -> None:
    """The line of a request that has ended; what is told of it besides has its name before it."""
    if not _log.isEnabledFor(logging.INFO):
        return
    more = "".join([f" {name}={value}" for name, value in told.items()])
    line = http.one_line(f"{id} {where} {status} {seconds * 1000:.0f} ms{more}")
    # Made by hand: logging looks through the stack for who logs, which takes longer than all the rest.
    record = logging.LogRecord(_log.name, logging.INFO, "", 0, line, (), None)
    setattr(record, _FIELDS, {"request_id": id, "way": where, "status": status, "ms": round(seconds * 1000, 1), **told})
    _log.handle(record)
