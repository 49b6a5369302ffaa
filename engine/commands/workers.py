"""Several workers: the process whose children they are. `start` runs it, and it ends with `start`, however that dies."""

import logging
import os
import shutil
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces, Loops
from granian.server import MPServer

from engine.commands import connections
from engine.gateway import logs
from engine.gateway.shared import BREAK_OFF, FOLDER

if TYPE_CHECKING:
    from server import Application


log = logging.getLogger("ccproxy")


def main(host: str, port: str, workers: str, grace: str, parent: str, log_level: str, log_format: str) -> None:
    logs.set_up(log_level, log_format)
    server = MPServer(
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
    _watch(server, int(parent))
    os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_take_signals)
    # Granian's own loader looks in the current directory first.
    try:
        server.serve(target_loader=_application, wrap_loader=False)
    except Exception:  # of whatever kind: its trace goes to the log, in the form that this has
        log.exception("the workers have failed")
        sys.exit(1)
    finally:
        # There are keys in it, and a parent that was killed has left it.
        shutil.rmtree(os.environ[FOLDER], ignore_errors=True)


def _application() -> "Application":
    from server import create

    try:
        application = create()
    except Exception:  # Granian would write the trace as text
        log.exception("a worker has not started")
        sys.exit(1)

    def stop(*_: object) -> None:
        application.is_stopping = True

    # Whoever looks on need not be waited for: Granian tells of the end only when all answers are done.
    signal.signal(signal.SIGALRM, stop)
    signal.signal(BREAK_OFF, lambda *_: application.break_off())
    return application


def _watch(server: MPServer, parent: int) -> None:
    """End with the parent, and wake the workers that are to end until they have, which tells them that they are to.

    uvloop only notes a signal that comes while it does not run, and Granian has it run twice, for the start and then for good.
    What was noted in between is heard when any other signal comes; a second SIGTERM would end a worker's answers.

    A timer, and no thread that waits: the workers are forks, which threads do not survive.
    """

    def look(*_: object) -> None:
        if server.interrupt_signal:
            for process in (worker.inner for worker in server.wrks):
                with suppress(ProcessLookupError):
                    if process.is_alive():
                        os.kill(process.pid, signal.SIGALRM)
        elif os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(BREAK_OFF, signal.SIG_IGN)  # it is for the workers, as soon as they have answers
    signal.signal(signal.SIGALRM, look)
    # So often that the port is free again when somebody starts the next server.
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)


# A fork forgets the signals that came before it runs, and has the handlers of the process that it was made by.

SIGNALS = {signal.SIGTERM, signal.SIGALRM}


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _take_signals() -> None:
    """A worker that is told to end before it is ready has nothing to finish."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, lambda *_: None)
    _release_signals()


if __name__ == "__main__":
    main(*sys.argv[1:])
