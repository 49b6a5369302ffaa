"""The rooms of docs/architecture.md: who imports whom, and what the front door shows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "mapping": {"mapping"},
    "wire": {"wire"},
    "gateway": {"mapping", "wire", "gateway", ""},
    "commands": {"mapping", "wire", "gateway", "commands", ""},
}


def imported(path: Path) -> Iterator[str]:
    """The rooms of engine that a file imports from; "" is its front door."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            module = "engine." + path.parent.name + "." if node.level else ""
            names = [f"{module}{node.module or ''}"]
        for name in names:
            if name.split(".")[0] == "engine":
                yield ([*name.split("."), ""])[1]


@pytest.mark.parametrize("path", sorted((ROOT / "engine").glob("*/*.py")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_imports_go_one_way(path: Path) -> None:
    assert set(imported(path)) <= MAY_IMPORT[path.parent.name]


@pytest.mark.parametrize("room", ["mapping", "wire"])
def test_inner_rooms_know_no_sockets_and_no_clock(room: str) -> None:
    forbidden = {"asyncio", "socket", "time", "datetime", "random", "secrets", "os", "httpx", "aiohttp"}
    for path in (ROOT / "engine" / room).glob("*.py"):
        names = {
            (alias.name if isinstance(node, ast.Import) else node.module or "").split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not names & forbidden, path


def test_what_generated_code_calls_leans_on_nothing_else() -> None:
    beside = {"functions": {".signatures", "."}, "jmespath_functions": {".signatures"}, "signatures": set(), "runtime": set()}
    for name, allowed in beside.items():
        tree = ast.parse((ROOT / "engine" / "mapping" / f"{name}.py").read_text())
        relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
        assert {f".{node.module or ''}" for node in relative} <= allowed, name


def test_the_front_door() -> None:
    assert engine.__all__ == ["Mapping", "MappingError", "load_mapping"]


def test_no_provider_is_named_in_the_engine() -> None:
    names = [path.stem for path in (ROOT / "mappings").glob("*.yaml")] + ["openai", "gemini", "deepseek", "mistral", "groq"]
    for path in [*(ROOT / "engine").rglob("*.py"), ROOT / "server.py"]:
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        # `local` is no provider out there: the command starts it. `openai-compatible` is any that has no file of its own.
        assert not texts & set(names) - {"local", "openai-compatible"}, path
