"""The log: lines on the standard error."""

import logging
import sys


def set_up(level: str) -> None:
    """Log from this level on; nothing of a body or a key is ever logged."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
