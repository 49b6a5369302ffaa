"""Several workers: the process whose children they are. `start` runs it, and it ends with `start`, however that dies."""

import os
import signal
import sys
from typing import TYPE_CHECKING

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops

from engine.commands import connections

if TYPE_CHECKING:
    from server import Application


def main(host: str, port: str, workers: str, grace: str, parent: str) -> None:
    server = Granian(
        "server",
        host,
        int(port),
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,  # why: serving.py
        loop=Loops.uvloop,
        workers=int(workers),
        workers_kill_timeout=int(grace),
        # Else a worker that the kernel kills, for its memory say, takes the others with it.
        respawn_failed_workers=True,
        backlog=connections.BACKLOG,
        backpressure=connections.most_connections(),
        websockets=False,
        log_enabled=False,
    )
    _end_with(int(parent))
    # A fork has Granian's own handlers, which only note a signal, until it is ready: told to stop before, it would never.
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    # Granian's own loader looks in the current directory first.
    server.serve(target_loader=_application, wrap_loader=False)


def _application() -> "Application":
    from server import create

    return create()


def _end_with(parent: int) -> None:
    """A timer, and no thread that waits: the workers are forks, which threads do not survive."""

    def look(*_: object) -> None:
        if os.getppid() != parent:
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGALRM, look)
    # So often that the port is free again when somebody starts the next server.
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
