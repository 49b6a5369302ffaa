"""The mapping language: small mappings whose own examples show it, and what mappings say of themselves."""

import ast
import json
from pathlib import Path

import pytest
from anthropic.types.beta.message_create_params import MessageCreateParamsBase

from engine import BUILT_IN, Mapping, load_mapping
from engine.mapping import words
from engine.mapping.examples import run_examples
from engine.mapping.mapping import FILE
from engine.mapping.runtime import NothingFound
from engine.wire import assembler

FOLDER = Path(__file__).parent / "language"
PARENTS = Path(__file__).parent / "errors" / "parents"


def load(name: str) -> Mapping:
    return load_mapping(name, [FOLDER, PARENTS])


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_examples(name: str) -> None:
    mapping = load(name)
    print("\n\n".join(mapping.python(section) for section in mapping.sections))
    assert mapping.examples
    assert run_examples(mapping) == []


def test_an_example_that_fails_is_told() -> None:
    mapping = load("templates")
    mapping.examples = [
        {"about": "wrong", "section": "request", "given": {"model": "m", "request": {}}, "expect": {}},
        {"about": "other", "section": "stream", "given": {}, "expect": [1]},
    ]
    failing, differing = run_examples(mapping)
    assert "templates.yaml:4:" in failing
    assert "there is no value for 'request.a.b'" in failing
    assert "templates: example 2 (other) gives" in differing


def test_an_example_compares_as_json_does(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "extends: complete\nrequest: { a: =request.a }\nexamples:\n"
        "  - { given: { request: { a: 1 }, model: m }, expect: { a: 1, model: m } }\n"
        "  - { given: { request: { a: 2.0 } }, expect: { a: 2 } }\n"
        "  - { given: { request: { a: 1 } }, expect: { a: true } }\n"
    )
    [differing] = run_examples(load_mapping("own", [tmp_path, PARENTS]))
    assert differing == 'own: example 3 (without a title) gives\n  {"a": 1}\nwhere it says\n  {"a": true}'


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_built_in_mappings_are_well(path: Path) -> None:
    mapping = load_mapping(path.stem)
    assert mapping.about
    assert run_examples(mapping) == []


def test_a_failure_points_at_the_yaml(tmp_path: Path) -> None:
    """Also where the line stands in a parent, and inside a part."""
    (tmp_path / "child.yaml").write_text("extends: switch\nrequest:\n  own: =sum(request.numbers)\n")
    mapping = load_mapping("child", [tmp_path, FOLDER, PARENTS])
    told = []
    for request in ({"numbers": ["a"]}, {"numbers": [], "reason": "length", "blocks": [{"type": "video"}]}):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever a section raises
            mapping.request(request, "m")
        problem = mapping.explain(caught.value)
        assert problem
        told.append(problem.picture())
    own, inherited = told
    assert own.startswith(f"{tmp_path}/child.yaml:3:8: ")
    assert own.endswith("  3 |   own: =sum(request.numbers)\n    |        ^^^^^^^^^^^^^^^^^^^^^")
    assert "switch.yaml:15:" in inherited
    assert "nothing is said about 'video'" in inherited
    assert "      $switch: block.type\n" in inherited


@pytest.mark.parametrize(
    "template",
    [
        "{{ request.gone }}",
        "{{ request.gone ~ 'x' }}",
        "{{ request.null | title }}",
        "{{ request.gone | replace('N', 'M') }}",
        "{{ request['gone'].deeper | title }}",
        "{{ [request.gone] | join(',') }}",
        "{{ [request.gone] }}",
        "{{ request.list | map(attribute='gone') | join(',') }}",
        "{{ request.gone | tojson }}",
        "{{ request.gone | length }}",
        "{% for item in request.gone %}{{ item }}{% endfor %}",
        "{{ model ~ 'x' }}",
    ],
)
def test_what_is_missing_is_no_text(template: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(f"extends: complete\nrequest:\n  a: {json.dumps(template)}\n")
    mapping = load_mapping("own", [tmp_path, PARENTS])
    with pytest.raises(NothingFound, match=r"^there is no value for '(request\.)?(gone|null|model)', which the template needs$"):
        mapping.request({"null": None, "list": [{}]}, None)  # type: ignore[arg-type]


def test_a_switch_may_have_many_cases(tmp_path: Path) -> None:
    cases = "".join(f"      k{number}: v{number}\n" for number in range(3000))
    (tmp_path / "own.yaml").write_text(
        f"extends: complete\nrequest:\n  a:\n    $switch: model\n    $case:\n{cases}    $else: other\n"
    )
    mapping = load_mapping("own", [tmp_path, PARENTS])
    assert [mapping.request({}, model)["a"] for model in ("k0", "k2999", "k")] == ["v0", "v2999", "other"]


def test_an_error_from_elsewhere_is_not_explained() -> None:
    assert load("switch").explain(ValueError("elsewhere")) is None


def test_every_line_of_generated_code_comes_from_a_file() -> None:
    mapping = load_mapping("local")
    files = {path.name for path in BUILT_IN.glob("*.yaml")}
    for section in mapping.sections.values():
        for node in ast.walk(section.tree):
            if isinstance(node, ast.stmt | ast.expr):
                source = mapping.sources[node.lineno // FILE]
                assert Path(source.name).name in files
                assert source.line(node.lineno % FILE).strip()


def test_variables_are_used_again() -> None:
    """Each call pays for every variable of its function, and more for one that a comprehension names in it."""
    stream = load_mapping("openai").sections["stream"].function.__code__
    assert stream.co_nlocals < 50
    assert not stream.co_cellvars
    assert not stream.co_cellvars


def test_what_is_lost_is_told_with_its_reason() -> None:
    told = load_mapping("openai-chat").unread({"model": "m", "messages": [], "top_k": 1, "brand_new": 2})
    assert told == {"top_k": "the provider has no top_k", "brand_new": "the mapping 'openai-chat' says nothing about it"}


def test_a_key_goes_to_the_address_that_it_belongs_to(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("extends: openai-chat\nbase_url: https://api.example.com/v1\n")
    (tmp_path / "same.yaml").write_text("extends: openai-chat\nabout: The same.\n")
    other, same = load_mapping("other", [tmp_path]), load_mapping("same", [tmp_path])
    assert (other.key_env, other.models) == (None, {})
    assert (same.key_env, same.models["main"]) == ("OPENAI_API_KEY", "gpt-6.1-terra")


def test_a_mapping_that_is_nowhere() -> None:
    with pytest.raises(FileNotFoundError, match="there is no mapping named 'opena'; did you mean 'openai'"):
        load_mapping("opena")


def test_the_reasons_to_stop_are_those_that_are_heard() -> None:
    assert words.STOP_REASONS == assembler.STOP_REASONS


def test_the_fields_of_a_request_are_known() -> None:
    assert MessageCreateParamsBase.__annotations__.keys() <= set(words.REQUEST)
