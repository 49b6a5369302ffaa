"""What a model of any provider that speaks Chat says means the same: the answers of openai-chat's cases, of every child.

Where a child has a case of its own of the same name, that one counts.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.every_mapping import format_of, mapping, names
from tests.test_cases import FOLDER, check_case, read_case

CASES = [path for path in sorted((FOLDER / "openai-chat").glob("*.yaml")) if "given" in read_case(path)]
# Where a child's own facts make for another answer, as cases of its own or of its parent's show.
OTHERWISE = {
    "R23_the_fifth_stop_sequence_is_enforced_here": ("llamacpp", "local", "mistral", "ollama", "vllm"),  # they take any number
    "S40_a_stop_sequence_that_the_provider_names": ("llamacpp", "local"),  # in a field of its own
    "S41_an_answer_that_is_no_stream": ("minimax-chat",),  # the message that ends its streams is the whole told again
}
CHILDREN = [name for name in names() if format_of(name) == "chat" and name != "openai-chat"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", CHILDREN)
def test_an_answer_means_the_same(name: str, path: Path) -> None:
    if (FOLDER / name / path.name).exists() or name in OTHERWISE.get(path.stem, ()):
        return
    case: dict[str, Any] = read_case(path)
    check_case(mapping(name), case, provider="openai-chat")
