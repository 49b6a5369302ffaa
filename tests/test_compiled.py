"""Compiled mappings that are kept: the same as those that are made anew, and made anew when anything is different."""

from dataclasses import fields
from pathlib import Path

import pytest

from engine import BUILT_IN, Mapping, load_mapping
from engine.gateway.compiled import FOLDER, Compiled
from engine.mapping.frozen import freeze, thaw
from engine.mapping.runtime import NothingFound
from tests.test_cases import FOLDER as CASES
from tests.test_cases import check_case, read_case

NAMES = sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_thawed_is_what_was_frozen(name: str) -> None:
    mapping = load_mapping(name)
    again = thaw(freeze(mapping))
    for field in fields(Mapping):
        if field.name not in mapping.sections and field.name != "sections":
            assert getattr(again, field.name) == getattr(mapping, field.name), field.name
    assert again.sections.keys() == mapping.sections.keys()
    for section in mapping.sections:
        assert again.python(section) == mapping.python(section)
        assert (again.said, again.sections[section].reads) == (mapping.said, mapping.sections[section].reads)


@pytest.mark.parametrize("name", ["gemini", "openai", "openai-chat", "mistral"])
def test_it_does_the_same(name: str) -> None:
    mapping = thaw(freeze(load_mapping(name)))
    for case in sorted((CASES / name).glob("*.yaml")):
        check_case(mapping, read_case(case))


def test_what_becomes_of_the_files_is_nothing_to_it(tmp_path: Path) -> None:
    for name in ("gemini.yaml", "gemini.py"):
        (tmp_path / name).write_bytes((BUILT_IN / name).read_bytes())
    frozen = freeze(load_mapping("gemini", [tmp_path]))
    (tmp_path / "gemini.yaml").write_text("nonsense")
    (tmp_path / "gemini.py").write_text("nonsense")
    for case in sorted((CASES / "gemini").glob("*.yaml")):
        check_case(thaw(frozen), read_case(case))


# On disk


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of those that were compiled."""
    made: list[str] = []

    def load(name: str, folders: tuple[Path, ...]) -> Mapping:
        made.append(name)
        return load_mapping(name, folders)

    monkeypatch.setattr("engine.gateway.compiled.load_mapping", load)
    return made


OWN = "about: mine\nextends: openai-chat\nbase_url: http://127.0.0.1:1/v1\n"


def own(home: Path, text: str = OWN) -> tuple[Path, ...]:
    folder = home / "mappings"
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(text)
    return (folder,)


def test_what_fails_is_told_at_its_line(home: Path) -> None:
    folders = own(home, OWN + 'request:\n  extra: "so {{ request.nowhere }}"\n')
    for _ in range(2):
        mapping = Compiled(folders).load("mine")
        with pytest.raises(NothingFound) as caught:
            mapping.request({"messages": [], "max_tokens": 1}, "m")
        told = mapping.explain(caught.value)
        assert told
        assert (told.place.line, told.message) == (
            5,
            "there is no value for 'request.nowhere', which the template needs",
        )


def test_it_is_compiled_once(home: Path, made: list[str]) -> None:
    folders = own(home)
    for _ in range(3):
        assert Compiled(folders).load("mine").about == "mine"
    assert made == ["mine"]
    for folder in (FOLDER.expanduser(), FOLDER.expanduser().parent):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_it_is_compiled_anew_when_a_file_changes(home: Path, made: list[str]) -> None:
    Compiled(own(home)).load("mine")
    assert Compiled(own(home, OWN.replace("mine", "changed"))).load("mine").about == "changed"
    (home / "mappings" / "openai-chat.yaml").write_text("about: a parent of one's own\nextends: openai-compatible\n")
    Compiled(own(home)).load("mine")
    assert made == ["mine"] * 3
    assert len(list(FOLDER.expanduser().iterdir())) == 1


def test_what_cannot_be_read_is_compiled(home: Path, made: list[str]) -> None:
    folders = own(home)
    Compiled(folders).load("mine")
    [kept] = FOLDER.expanduser().iterdir()
    for data in (b"", kept.read_bytes()[:1000], b"nonsense"):
        kept.write_bytes(data)
        assert Compiled(folders).load("mine").about == "mine"
    assert made == ["mine"] * 4


def test_places_are_named_from_where_it_is_now(home: Path, made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folders = own(home)
    (home / "elsewhere").mkdir()
    names = []
    for place in (home, home / "elsewhere", home):
        monkeypatch.chdir(place)
        names.append(Compiled(folders).load("mine").sources[0].name)
    assert names == ["mappings/mine.yaml", str(folders[0] / "mine.yaml"), "mappings/mine.yaml"]


def test_a_folder_and_a_dangling_link_are_no_mappings(home: Path, made: list[str]) -> None:
    [folder] = own(home)
    (folder / "odd.yaml").mkdir()
    (folder / "gone.yaml").symlink_to(folder / "nowhere")
    assert Compiled((folder,)).load("mine").about == "mine"


def test_where_nothing_can_be_kept_it_is_compiled(home: Path, made: list[str]) -> None:
    (home / ".ccproxy").write_text("in the way")
    for _ in range(2):
        assert Compiled(own(home)).load("mine").about == "mine"
    assert made == ["mine"] * 2
