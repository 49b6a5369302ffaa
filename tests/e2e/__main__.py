"""The sessions where there is no network: `python -m tests.e2e [pytest's arguments]`."""

import os
import sys

from tests.e2e import package

command = package.command(sys.executable, "-m", "pytest", "tests/e2e", "-o", "addopts=-q -rsxX", *sys.argv[1:])
os.execvp(command[0], command)
