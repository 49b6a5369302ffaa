"""A test's session: played with each provider, and held against the same one with Anthropic and no proxy."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import pytest

from tests.e2e.stage import Ended, Model, Stage, through_the_proxy, without_proxy
from tests.e2e.wires import WIRES, Wire


@pytest.fixture(params=WIRES, scope="session")
def wire(request: pytest.FixtureRequest) -> Wire:
    return WIRES[request.param]


@pytest.fixture(scope="session")
def stage(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One proxy for all sessions with a provider."""
    with through_the_proxy(wire, tmp_path_factory.mktemp(wire.name)) as made:
        yield made


@pytest.fixture(scope="session")
def with_anthropic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with without_proxy(tmp_path_factory.mktemp("without-proxy")) as made:
        yield made


@pytest.fixture(scope="session")
def expected() -> dict[str, Ended]:
    """What each test's session came to with Anthropic, which need be played but once."""
    return {}


@dataclass(frozen=True)
class Session:
    title: str
    wire: Wire
    stage: Stage
    with_anthropic: Stage
    expected: dict[str, Ended]

    def play(
        self,
        model: Model,
        *turns: tuple[str, ...] | str,
        files: Mapping[str, bytes] = MappingProxyType({}),
        in_as_many_turns: bool = True,
    ) -> Ended:
        """What the session came to, which is what it came to with Anthropic."""
        typed = tuple((turn,) if isinstance(turn, str) else turn for turn in turns)
        if self.title not in self.expected:
            self.expected[self.title] = self.with_anthropic.play(model, typed, files)
        expected = self.expected[self.title]
        ended = self.stage.play(model, typed, files)
        print(ended.log)
        assert ended == (expected if in_as_many_turns else replace(expected, turns=ended.turns))
        return ended


@pytest.fixture
def session(
    request: pytest.FixtureRequest, wire: Wire, stage: Stage, with_anthropic: Stage, expected: dict[str, Ended]
) -> Session:
    return Session(request.node.originalname, wire, stage, with_anthropic, expected)
