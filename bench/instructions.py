"""How many instructions of the processor something takes: counted by valgrind, and the same whatever else the machine does.

A process under callgrind warms each piece up and forks; the children count for themselves, one that works a little and one
that works more, and what lies between the two is the work alone. https://valgrind.org/docs/manual/cl-manual.html
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.running import ROOT

FEW, MORE = 1, 4
"""How often a piece is done in the one child, and how much more often in the other."""

WARM = 10
"""How often it is done before: then what is done once has been done, and Python has seen which types there are."""

COUNTED = re.compile(r"^totals: (\d+)", re.MULTILINE)

Pieces = Mapping[str, Callable[[int], None]]
"""By name, what can be done so many times."""


def can_be_counted() -> bool:
    return shutil.which("valgrind") is not None


def count(module: str) -> dict[str, float]:
    """The instructions of each of a module's `pieces()`, once done."""
    with TemporaryDirectory() as folder:
        # The order of sets must not change from run to run.
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "HOME": folder}

        def run(*command: str) -> str:
            command = (*command, sys.executable, "-P", "-m", __name__, module)
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr)
            return done.stdout

        run()  # by which mappings are compiled and kept, at a fiftieth of what it takes under valgrind
        told = json.loads(run("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/%p"))
        counted = {name: [_total(Path(folder) / str(child)) for child in children] for name, children in told.items()}
    return {name: (many - few) / MORE for name, (few, many) in counted.items()}


def _total(file: Path) -> int:
    found = COUNTED.search(file.read_text())
    if found is None:
        raise RuntimeError(f"nothing is counted in {file}")
    return int(found[1])


def main(module: str) -> None:
    """The work under valgrind: which children have done what."""
    from importlib import import_module

    pieces: Pieces = import_module(module).pieces()
    for work in pieces.values():
        work(WARM)
    print(json.dumps({name: [_child(work, FEW), _child(work, FEW + MORE)] for name, work in pieces.items()}))


def _child(work: Callable[[int], None], times: int) -> int:
    child = os.fork()
    if child == 0:
        work(times)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"{work} failed")
    return child


if __name__ == "__main__":
    main(sys.argv[1])
