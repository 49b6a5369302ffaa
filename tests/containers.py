"""A Dockerfile's steps carried out without Docker: by chroot and the kernel's namespaces, on Debian in place of the image."""

import ctypes
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from string import Template

TOOLS = ("chroot", "ip", "mmdebstrap", "nsenter", "setpriv", "unshare")
"""What it takes, besides being root."""

CLONE_NEWNET = 0x40000000
"""sched.h's; Python knows it, and the calls, since 3.12."""


@dataclass(frozen=True)
class Step:
    """An instruction, `--flags` apart."""

    word: str
    flags: Mapping[str, str]
    rest: str

    @property
    def words(self) -> list[str]:
        """The arguments, in either of the two forms that a Dockerfile has for them."""
        told: list[str] = json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)
        return told


def steps(dockerfile: str) -> list[Step]:
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.lstrip().startswith("#"))
    found = []
    for line in re.sub(r"\\\n", " ", lines).split("\n"):
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            flags = re.match(r"(?:\s*--\S+)*", rest)
            assert flags
            pairs = [flag.removeprefix("--").partition("=") for flag in flags[0].split()]
            found.append(Step(word, {name: value for name, _, value in pairs}, rest[flags.end() :].strip()))
    return found


def context(folder: Path, into: Path) -> None:
    """What of a folder reaches the builder. In .dockerignore the last line that matches a file, or a folder above it, counts."""
    lines = [line for line in (folder / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    rules = [(line.removeprefix("!"), line.startswith("!")) for line in lines]

    def is_taken(path: Path) -> bool:
        matching = [back for pattern, back in rules if any(_matches(place, pattern) for place in (path, *path.parents))]
        return matching[-1] if matching else True

    def copy(path: Path) -> None:
        for entry in sorted((folder / path).iterdir()):
            within = path / entry.name
            if entry.is_dir():
                if is_taken(within) or any(back and pattern.startswith(f"{within}/") for pattern, back in rules):
                    copy(within)
            elif is_taken(within):
                (into / path).mkdir(parents=True, exist_ok=True)
                shutil.copy(entry, into / within)

    copy(Path())


def _matches(path: Path, pattern: str) -> bool:
    """A `*` stops at a slash, and `**/` is any folder, or none."""
    if pattern.startswith("**/"):
        return fnmatchcase(path.name, pattern.removeprefix("**/"))
    wanted = pattern.split("/")
    return len(wanted) == len(path.parts) and all(map(fnmatchcase, path.parts, wanted))


def debian(root: Path, image: str) -> None:
    """Stand in for an image `python:VERSION-slim-SUITE`: the same Debian, with its own Python of the same version."""
    named = re.match(r"python:(\d+\.\d+)\.\d+-slim-(\w+)@", image)
    assert named
    version, suite = named.groups()
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", packages, suite, str(root)], check=True)
    (root / "usr/local/bin/python").symlink_to(f"/usr/bin/python{version}")
    assert (root / f"usr/bin/python{version}").exists()


@dataclass
class Stage:
    """An image in the making."""

    root: Path
    environment: dict[str, str]
    folder: str = "/"
    user: str = "0:0"
    told: dict[str, list[str]] = field(default_factory=dict)
    """What ENTRYPOINT, CMD and HEALTHCHECK say."""

    def at(self, path: str) -> Path:
        """Where a path of the image lies here."""
        return self.root / os.path.normpath(os.path.join(self.folder, path)).lstrip("/")

    def command(self, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """What runs them inside, as the user of the image and with no more rights than an unprivileged container has."""
        user, group = self.user.split(":")
        rights = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"] if user != "0" else []
        pairs = [f"{name}={value}" for name, value in (self.environment | environment).items()]
        who = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *rights]
        return ["/usr/bin/env", "-i", f"--chdir={self.folder}", *pairs, *who, *words]


def build(dockerfile: Path, into: Path) -> Stage:
    """The last stage, made by the file's steps in their order, in a folder that is empty."""
    context(dockerfile.parent, into / "context")
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage = Stage(into / "none", {})
    for step in steps(dockerfile.read_text()):
        match step.word:
            case "ARG":
                name, _, value = step.rest.partition("=")
                arguments[name] = value
            case "FROM":
                image, _, name = Template(step.rest).substitute(arguments).partition(" AS ")
                if not (into / "base").exists():
                    debian(into / "base", image)
                stage = stages[name] = Stage(into / f"stage-{len(stages)}", {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin"})
                subprocess.run(["cp", "--archive", str(into / "base"), str(stage.root)], check=True)
            case "ENV":
                for word in step.words:
                    name, _, value = word.partition("=")
                    stage.environment[name] = Template(value).safe_substitute(stage.environment)
            case "WORKDIR":
                stage.folder = step.rest
                stage.at(".").mkdir(parents=True, exist_ok=True)
            case "COPY":
                source = stages[step.flags["from"]].root if "from" in step.flags else into / "context"
                what, where = step.words
                _copy(source / what.lstrip("/"), stage.at(where))
            case "RUN":
                _run(stage, step.rest)
            case "USER":
                stage.user = step.rest
            case "ENTRYPOINT" | "CMD":
                stage.told[step.word] = step.words
            case "HEALTHCHECK":
                stage.told[step.word] = json.loads(step.rest.removeprefix("CMD "))
            case "EXPOSE":
                pass
            case other:
                raise AssertionError(f"no way to carry out {other}")
    return stage


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def _run(stage: Stage, line: str) -> None:
    """A RUN, with this machine's way to the package index. What is mounted for that leaves nothing behind."""
    settings, files = _index()
    made = [point for path in files if (point := _mount_point(stage.root, path))]
    mounts = [["mount", "--bind", path, f"{stage.root}{path}"] for path in files]
    mounts.append(["mount", "-t", "proc", "proc", f"{stage.root}/proc"])
    inside = ["chroot", str(stage.root), *stage.command(["/bin/sh", "-c", line], settings)]
    # The command is not told where it fails: an index's address may hold a password.
    code = subprocess.run(["unshare", "--mount", "--pid", "--fork", "/bin/sh", "-ec", _script(mounts, inside)]).returncode
    assert code == 0, line
    for point in made:
        shutil.rmtree(point) if point.is_dir() else point.unlink()


def _script(mounts: Sequence[Sequence[str]], last: Sequence[str]) -> str:
    return "\n".join([*map(shlex.join, mounts), f"exec {shlex.join(last)}"])


def _index() -> tuple[dict[str, str], list[str]]:
    """The variables that tell pip what this machine's own pip is told, and the paths that they and the resolver speak of."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    pairs = [line.partition("=") for line in told.splitlines() if line.startswith(("global.", "install.", ":env:."))]
    settings = {f"PIP_{name.rpartition('.')[2].replace('-', '_').upper()}": value.strip("'\"") for name, _, value in pairs}
    settings |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    named = re.findall(r"(?:^|\s|file://)(/\S+)", " ".join(settings.values()))
    # An index in a folder keeps its files beside it.
    paths = {path.removesuffix("/simple") for path in named} | {"/etc/resolv.conf", "/etc/hosts"}
    return settings, sorted(path for path in paths if Path(path).exists())


def _mount_point(root: Path, path: str) -> Path | None:
    """Have there a place to mount a path at; what of it was made, None where it was there."""
    place = root / path.lstrip("/")
    if place.exists():
        return None
    made = next(parent for parent in (place, *place.parents) if parent.parent.exists())
    (place if Path(path).is_dir() else place.parent).mkdir(parents=True, exist_ok=True)
    if not Path(path).is_dir():
        place.touch()
    return made


class Container:
    """A stage that runs. `pid` is its process 1, as this machine counts."""

    def __init__(self, stage: Stage, process: "subprocess.Popen[bytes]", environment: Mapping[str, str]) -> None:
        self.stage = stage
        self.process = process
        self.environment = environment
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (told := children.read_text()):
            assert process.poll() is None
        self.pid = int(told)

    def run(self, words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """As `docker exec` does, and as a HEALTHCHECK is run."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--root", "--"]
        return subprocess.run([*enter, *self.stage.command(words, self.environment)], capture_output=True, text=True)


@contextmanager
def container(
    stage: Stage, *arguments: str, tmpfs: Mapping[str, str], files: Mapping[str, Path], environment: Mapping[str, str], log: Path
) -> Iterator[Container]:
    """Its ENTRYPOINT, with the arguments or CMD, as process 1 on a root that cannot be written.

    `tmpfs` are the folders that can, with mount options; `files` lie over those of the image. It is killed in the end.
    """
    root = str(stage.root)
    mounts = [["mount", "--make-rprivate", "/"], ["mount", "--bind", root, root], ["mount", "-o", "remount,bind,ro", root]]
    mounts += [["mount", "-t", "proc", "proc", f"{root}/proc"], ["mount", "-t", "tmpfs", "shm", f"{root}/dev/shm"]]
    mounts += [["mount", "-t", "tmpfs", "-o", options, "tmpfs", root + path] for path, options in tmpfs.items()]
    mounts += [["mount", "--bind", str(file), root + path] for path, file in files.items()]
    words = [*stage.told["ENTRYPOINT"], *(arguments or stage.told["CMD"])]
    script = _script(mounts, ["chroot", root, *stage.command(words, environment)])
    with log.open("wb") as sink:
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-ec", script], stdout=sink, stderr=sink
        )
    try:
        yield Container(stage, process, environment)
    finally:
        process.kill()
        process.wait()


@contextmanager
def own_network() -> Iterator[None]:
    """Nothing but a loopback for this thread and what it starts: any port is free there, and nothing gets out."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(home)
