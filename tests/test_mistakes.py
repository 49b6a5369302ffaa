"""Every mistake an author can make is told with its place, what is wrong, and a hint: one .yaml and .txt each."""

import os
from pathlib import Path

import pytest

from engine import MappingError, load_mapping

FOLDER = Path(__file__).parent / "errors"
UPDATE = os.environ.get("UPDATE_CASES")
"""Set to rewrite the expected texts; read the difference before it is committed."""


@pytest.mark.parametrize("mistake", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_mistake_is_told(mistake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    with pytest.raises(MappingError) as caught:
        load_mapping(mistake, [FOLDER / "parents"])
    told = f"{caught.value}\n"
    expected = mistake.with_suffix(".txt")
    if UPDATE:
        expected.write_text(told)
    assert told == expected.read_text()


def test_parent_is_well() -> None:
    assert load_mapping(FOLDER / "parents" / "complete.yaml").stream({}, "m") == [{"text": "hello"}]
