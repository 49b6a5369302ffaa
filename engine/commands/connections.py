"""How many connections a server process takes: as many as it may have files open, two for each request."""

import resource
from contextlib import suppress

BACKLOG = 1024
"""Connections that may wait until they are taken."""

MOST_FILES = 65_536

BESIDE = 64
"""Open files that are no connections: the log, what is listened on, what is being read."""


def most_connections() -> int:
    """How many clients there is room for, with the soft limit of open files raised, which is 1,024 in most shells.

    Granian takes no more at once, idle ones among them, and of its own accord no more than 128 in one process: what it
    calls backpressure.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS has a limit of its own below the one that it tells.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(1, (MOST_FILES if soft == resource.RLIM_INFINITY else soft) // 2 - BESIDE)
