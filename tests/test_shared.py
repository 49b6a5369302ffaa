"""What workers tell each other, where it can be written and where it cannot."""

import asyncio
import logging
import os
from pathlib import Path

import pytest

from engine.gateway import shared
from engine.gateway.metrics import Metrics
from engine.gateway.service import NotReloaded, Services
from engine.gateway.settings import Config
from engine.gateway.shared import Shared, Told


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is."""

    def fdopen(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shared.os, "fdopen", fdopen)


def test_what_cannot_be_written_is_told_of_once_and_counts_for_who_is_asked(
    tmp_path: Path, full: None, caplog: pytest.LogCaptureFixture
) -> None:
    one, own = Shared(tmp_path), Told(Metrics(), [])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert one.all(own) == [own]
    assert one.workers == 1
    assert [record.message for record in caplog.records] == [
        "the other workers do not know what this one counts: "
        f"[Errno 28] No space left on device: '{tmp_path}/{os.getpid()}.worker'"
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_reload_that_the_others_cannot_be_told_is_none(tmp_path: Path, full: None) -> None:
    services = Services(Config(), lambda: Config(request_bytes=1), Shared(tmp_path))
    before = services.current
    with pytest.raises(NotReloaded, match=r"the other workers cannot be told: .* No space left on device"):
        asyncio.run(services.reload())
    assert services.current is before


def test_the_others_take_what_one_has_reloaded(tmp_path: Path) -> None:
    one = Services(Config(), lambda: Config(request_bytes=1), Shared(tmp_path))
    other = Services(Config(), Config, Shared(tmp_path))
    asyncio.run(one.reload())
    assert (one.shared.must_follow(), other.shared.must_follow()) == (False, True)
    asyncio.run(other.follow())
    assert other.current.config.request_bytes == 1
    assert not other.shared.must_follow()
    assert (tmp_path / "served").stat().st_mode & 0o777 == 0o600
