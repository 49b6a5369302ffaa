"""engine/wire/history.py: whatever a client's history looks like, a provider gets one that it can take."""

import copy
import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.wire import reasoning, validate
from engine.wire.errors import ApiError
from engine.wire.facts import Facts
from engine.wire.history import Prepared, prepare

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "anthropic"
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
PDF = {"type": "document", "title": "Plan", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
CANCELLED = "Error: [no result: the call was cancelled]"


def repaired(messages: list[Any], facts: Facts | None = None, **fields: Any) -> Prepared:
    request = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": messages, **fields}
    validate.check(request)
    before = copy.deepcopy(request)
    prepared = prepare(request, facts or Facts(), provider="acme", model="one")
    assert request == before
    return prepared


def conversation(messages: list[Any], facts: Facts | None = None, **fields: Any) -> list[Any]:
    return repaired(messages, facts, **fields).request["messages"]


def facts(**words: Any) -> Facts:
    return dataclasses.replace(Facts(), **words)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": [text(block) if isinstance(block, str) else block for block in blocks]}


def assistant(*blocks: Any) -> dict[str, Any]:
    return user(*blocks) | {"role": "assistant"}


def system(*blocks: Any) -> dict[str, Any]:
    return user(*blocks) | {"role": "system"}


def call(id: str, name: str = "Read") -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, "input": {"path": "a.py"}}


def result(id: str, *blocks: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": user(*blocks)["content"], **fields}


def answered(id: str, *blocks: Any, name: str = "Read", **fields: Any) -> dict[str, Any]:
    """The result as a mapping reads it."""
    return result(id, *blocks, name=name, **fields)


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object", "properties": {}}, **fields}


# The system prompt and system messages


def test_R14_the_billing_line_is_dropped_from_the_system_prompt_or_kept() -> None:
    line = text("x-anthropic-billing-header: cc_version=2.1.330.abc; cc_entrypoint=cli;")
    prompt = [line, {**text("You are Claude Code."), "cache_control": {"type": "ephemeral"}}, text("")]
    assert repaired([user("hi")], system=prompt).request["system"] == [text("You are Claude Code.")]
    kept = repaired([user("hi")], facts(attribution="keep"), system=prompt).request["system"]
    assert kept == [line, text("You are Claude Code.")]


@pytest.mark.parametrize("prompt", ["", [], [text("")], None])
def test_an_empty_system_prompt_is_absent(prompt: Any) -> None:
    assert "system" not in repaired([user("hi")], system=prompt).request


@pytest.mark.parametrize("content", ["Mind the gap.", [{**text("Mind the gap."), "cache_control": {"type": "ephemeral"}}]])
def test_R08_a_system_message_is_folded_into_the_words_before_it_whatever_its_form(content: Any) -> None:
    folded = conversation([user("hi"), {"role": "system", "content": content}, assistant("yes")])
    assert folded == [user("hi", "<system-reminder>\nMind the gap.\n</system-reminder>"), assistant("yes")]


def test_R08_a_folded_message_comes_after_the_tool_results_before_it() -> None:
    folded = conversation([user("hi"), assistant(call("a")), user(result("a", "ok")), system("Mind.")])
    assert folded[2] == user(answered("a", "ok"), "<system-reminder>\nMind.\n</system-reminder>")


def test_R08_a_system_message_never_stands_between_a_call_and_its_result() -> None:
    history = [user("hi"), assistant(call("a")), system("Mind."), user(result("a", "ok"), "go on")]
    kept = conversation(history, facts(mid_system="keep"))
    assert kept == [*kept[:2], user(answered("a", "ok")), system("Mind."), user("go on")]
    folded = conversation(history)
    assert folded[2:] == [user(answered("a", "ok"), "<system-reminder>\nMind.\n</system-reminder>", "go on")]


def test_R08_what_is_already_a_reminder_is_not_wrapped_again_and_an_empty_message_says_nothing() -> None:
    reminder = "<system-reminder>\nMind.\n</system-reminder>"
    assert conversation([user("hi"), system(reminder), system()]) == [user("hi", reminder)]
    assert conversation([{"role": "system", "content": []}, user("hi")], facts(mid_system="keep")) == [user("hi")]


def test_R08_a_leading_system_message_goes_to_the_front_of_the_first_user_message() -> None:
    assert conversation([system("Mind."), user("hi")]) == [user("<system-reminder>\nMind.\n</system-reminder>", "hi")]


def test_R08_changes_of_tools_in_a_system_message_are_named_as_lost() -> None:
    changing = {"role": "system", "content": [{"type": "tool_removal", "tool": {"type": "tool_reference", "name": "Read"}}]}
    prepared = repaired([user("hi"), changing | {"output_config": {"effort": "low"}}])
    assert prepared.request["messages"] == [user("hi")]
    assert prepared.lost.keys() == {"tool_removal"}
    assert prepared.request["thinking"]["effort"] == "low"


# Turns


def test_R10_neighbours_of_one_role_are_merged() -> None:
    history = [user("a"), {"role": "ctx", "content": "b"}, assistant("c"), assistant("d"), user("e")]
    assert conversation(history) == [user("a", "b"), assistant("c", "d"), user("e")]


@pytest.mark.parametrize("roles", [("user",), ("user", "system")], ids=str)
def test_R10_many_short_messages_are_merged_in_a_moment(roles: tuple[str, ...]) -> None:
    request = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": role, "content": "a"} for role in roles * (60_000 // len(roles))],
    }
    start = process_time()
    prepared = prepare(request, Facts(), provider="acme", model="one")
    assert process_time() - start < 1  # with a new list for each of them: four
    assert [len(message["content"]) for message in prepared.request["messages"]] == [60_000]


def test_empty_texts_are_dropped_and_a_user_who_says_nothing_keeps_the_turn() -> None:
    assert conversation([user("", "a"), assistant("", "b"), user("")]) == [user("a"), assistant("b"), user("(empty)")]
    assert conversation([user("a"), assistant(""), user("b")]) == [user("a", "b")]
    assert conversation([assistant("b")]) == [user("(empty)"), assistant("b")]


def test_R09_a_short_word_goes_between_tool_results_and_what_the_user_says() -> None:
    strict = facts(user_after_tool=False)
    history = [user("hi"), assistant(call("a")), user(result("a", PNG), "go on")]
    seen = [answered("a", "[image below]")], [text("From the result of the tool Read:"), PNG, text("go on")]
    assert conversation(history, strict)[2:] == [user(*seen[0]), assistant("OK."), user(*seen[1])]
    apart = [user("hi"), assistant(call("a")), user(result("a", "ok")), system("Mind."), user("go on")]
    bridged = conversation(apart, facts(user_after_tool=False, mid_system="keep"))
    assert bridged[2:] == [user(answered("a", "ok")), system("Mind."), assistant("OK."), user("go on")]


def test_R11_a_prefill_is_kept_refused_or_dropped_where_it_is_blank() -> None:
    strict = facts(prefill="drop")
    assert conversation([user("hi"), assistant("{")]) == [user("hi"), assistant("{")]
    assert conversation([user("hi"), assistant(" ")], strict) == [user("hi")]
    with pytest.raises(ApiError, match=r"^messages\.1: this provider does not continue an assistant message$"):
        conversation([user("hi"), assistant("{")], strict)
    assert conversation([user("hi"), assistant(call("a"))], strict)[2] == user(answered("a", CANCELLED, is_error=True))


# Calls and results


def test_R03_results_come_first_and_in_the_order_of_the_calls() -> None:
    history = [user("hi"), assistant(call("a"), call("b")), user("and?", result("b", "2"), result("a", "1"))]
    assert conversation(history)[2] == user(answered("a", "1"), answered("b", "2"), "and?")


def test_R02_a_call_without_a_result_gets_one() -> None:
    history = [user("hi"), assistant(call("a"), call("b")), user(result("b", "2"))]
    assert conversation(history)[2] == user(answered("a", CANCELLED, is_error=True), answered("b", "2"))
    assert conversation([user("hi"), assistant(call("a")), assistant("So?")])[2:3] == [
        user(answered("a", CANCELLED, is_error=True))
    ]


def test_R01_a_result_without_a_call_becomes_what_the_user_says() -> None:
    history = [user(result("gone", "42", PNG), "so?"), assistant(call("a")), user(result("a", "1"), result("a", "2"))]
    repaired_history = conversation(history)
    assert repaired_history[0] == user("[result of an earlier tool call]\n42", PNG, "so?")
    assert repaired_history[2] == user(answered("a", "1"), "[result of an earlier tool call]\n2")


def test_R02_a_result_that_comes_later_than_the_next_message_is_moved() -> None:
    history = [user("hi"), assistant(call("a")), user("wait"), assistant("Yes."), user(result("a", "ok"), "done")]
    assert conversation(history)[2:] == [user(answered("a", "ok"), "wait"), assistant("Yes."), user("done")]


def test_G09_ids_are_unique_and_fit_the_provider_in_call_and_result() -> None:
    long = "call:" + "x" * 90
    history = [
        user("hi"),
        assistant(call(long)),
        user(result(long, "1")),
        assistant(call(long), call("b")),
        user(result(long, "2")),
    ]
    prepared = repaired(history, facts(tool_id_max=40))
    first, second = prepared.request["messages"][1]["content"][0]["id"], prepared.request["messages"][3]["content"][0]["id"]
    assert first.startswith("call_xxx")
    assert len(first) == len(second) == 40
    assert first != second
    assert prepared.request["messages"][2] == user(answered(first, "1"))
    assert prepared.request["messages"][4] == user(answered(second, "2"), answered("b", CANCELLED, is_error=True))
    assert prepared.tool_ids == {long, "b"}


def test_G09_of_two_calls_with_one_id_the_first_gets_the_first_result() -> None:
    told = conversation([user("hi"), assistant(call("a"), call("a")), user(result("a", "1"), result("a", "2"))])
    first, second = (block["id"] for block in told[1]["content"])
    assert first != second
    assert told[2] == user(answered(first, "1"), answered(second, "2"))


def test_G09_a_very_short_id_is_letters_and_digits() -> None:
    [block] = conversation([user("hi"), assistant(call("toolu_01ABC"))], facts(tool_id_max=9))[1]["content"]
    assert len(block["id"]) == 9
    assert block["id"].isalnum()


@pytest.mark.parametrize("fields", [{}, {"content": ""}, {"content": []}, {"content": [text("")]}, {"content": None}])
def test_R07_an_empty_result_says_so(fields: Any) -> None:
    empty = {"type": "tool_result", "tool_use_id": "a", **fields}
    assert conversation([user("hi"), assistant(call("a")), user(empty)])[2] == user(answered("a", "(no output)"))


def test_R06_a_failed_result_says_so_once() -> None:
    history = [user("hi"), assistant(*map(call, "abc"))]
    failures = [result("a", "no file"), result("b", "Error: no file"), result("c", PNG)]
    answers = user(*(failure | {"is_error": True} for failure in failures))
    assert conversation([*history, answers], facts(tool_result_images="native"))[2] == user(
        answered("a", "Error: no file", is_error=True),
        answered("b", "Error: no file", is_error=True),
        answered("c", "Error:", PNG, is_error=True),
    )


def test_R04_R05_images_in_results_follow_all_results_or_stay() -> None:
    history = [user("hi"), assistant(call("a"), call("b", "Shot")), user(result("b", "two", PNG, PNG), result("a", PNG), "so?")]
    assert conversation(history)[2] == user(
        answered("a", "[image below]"),
        answered("b", "two", "[image below, 1 of 2 of this result]", "[image below, 2 of 2 of this result]", name="Shot"),
        *("From the result of the tool Read:", PNG),
        *("From the result of the tool Shot:", PNG, PNG),
        "so?",
    )
    native = conversation(history, facts(tool_result_images="native"))[2]
    assert native == user(answered("a", PNG), answered("b", "two", PNG, PNG, name="Shot"), "so?")


# Blocks


def test_R27_a_model_that_sees_no_images_is_told_of_them() -> None:
    blind = facts(images=False)
    note = "[An image was here; this model cannot see images.]"
    prepared = repaired([user(PNG), assistant(call("a")), user(result("a", PNG))], blind)
    assert prepared.request["messages"][0] == user(note)
    assert prepared.request["messages"][2] == user(answered("a", note))
    assert prepared.lost == {"image": "this model cannot see images"}


def test_R28_a_pdf_is_passed_on_or_told_of() -> None:
    assert conversation([user(PDF)], facts(documents=True)) == [user(PDF)]
    prepared = repaired([user(PDF)])
    assert prepared.request["messages"] == [user("[A PDF document was here (Plan); this model cannot read PDF files.]")]
    assert prepared.lost.keys() == {"document"}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "a\nb"}, ['<document title="A &amp; B">\na\nb\n</document>']),
        ({"type": "content", "content": "a"}, ['<document title="A &amp; B">\na\n</document>']),
        ({"type": "content", "content": [text("a"), PNG]}, ['<document title="A &amp; B">', "a", PNG, "</document>"]),
    ],
)
def test_R28_a_document_of_text_is_text(source: Any, told: Any) -> None:
    assert conversation([user({"type": "document", "title": "A & B", "source": source})]) == [user(*told)]


def test_a_file_at_anthropic_is_told_of() -> None:
    file = {"type": "file", "file_id": "file_1"}
    prepared = repaired([user({"type": "image", "source": file}, {"type": "document", "source": file})], facts(documents=True))
    assert [block["type"] for block in prepared.request["messages"][0]["content"]] == ["text", "text"]
    assert prepared.lost.keys() == {"image", "document"}


def test_R31_references_and_search_results_are_words() -> None:
    found = {"type": "search_result", "title": "T", "source": "https://a.example", "content": [text("one"), text("two")]}
    history = [user("hi"), assistant(call("a")), user(result("a", {"type": "tool_reference", "tool_name": "Edit"}, found))]
    assert conversation(history)[2] == user(
        answered("a", "Tool loaded: Edit", '<search_result title="T" source="https://a.example">\none\ntwo\n</search_result>')
    )


def test_the_providers_own_search_is_told_as_text() -> None:
    searched = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "ducks"}}
    page = {"type": "web_search_result", "title": "Ducks", "url": "https://d.example", "encrypted_content": "x"}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [page]}
    failure = found | {"content": {"type": "web_search_tool_result_error", "error_code": "unavailable"}}
    said = assistant(
        "[web_search: ducks]", "[found on the web]\n- Ducks: https://d.example", "[web search failed: unavailable]", "So."
    )
    assert conversation([user("hi"), assistant(searched, found, failure, "So.")]) == [user("hi"), said]


def test_blocks_of_unknown_kinds_are_named_as_lost() -> None:
    said = assistant({"type": "fallback"}, {"type": "mcp_tool_result"}, {"type": "compaction", "content": "In short."})
    prepared = repaired([user({"type": "hologram"}), said])
    assert prepared.request["messages"] == [
        user("[unsupported block: hologram]"),
        assistant("[unsupported block: mcp_tool_result]", "In short."),
    ]
    assert prepared.lost.keys() == {"hologram", "fallback", "mcp_tool_result"}


def test_R17_cache_marks_and_citations_go_and_are_named() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    quoted = {**text("b"), "citations": [{"type": "char_location"}]}
    history = [
        user({**text("a"), **mark}),
        assistant(quoted, call("t") | mark | {"caller": {"type": "direct"}}),
        user(result("t", "x", **mark)),
    ]
    prepared = repaired(history, tools=[tool("Read", **mark)])
    assert prepared.request["messages"] == [user("a"), assistant("b", call("t")), user(answered("t", "x"))]
    assert prepared.request["tools"] == [tool("Read")]
    assert prepared.lost.keys() == {"cache_control", "citations"}


# Reasoning


def thought(state: dict[str, Any] | None, provider: str = "acme", model: str = "one", words: str = "Hm.") -> dict[str, Any]:
    return {
        "type": "thinking",
        "thinking": words,
        "signature": "EqQB…" if state is None else reasoning.seal(provider, model, state),
    }


def test_T10_T14_only_reasoning_of_the_same_provider_and_model_goes_back() -> None:
    details = [{"type": "reasoning.encrypted", "data": "x"}]
    own = [thought({"signature": "s"}), thought({"details": details, "thinking": "Well."}, words=""), thought({}, words="")]
    foreign = [thought(None), thought({}, "other"), thought({}, model="two"), {"type": "thinking", "thinking": "Hm."}]
    redacted = [{"type": "redacted_thinking", "data": data} for data in ("x", own[0]["signature"])]
    prepared = repaired([user("hi"), assistant(*own, *foreign, *redacted, "Yes.")])
    assert prepared.request["messages"][1] == assistant(
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "thinking", "thinking": "Well.", "details": details},
        {"type": "thinking", "thinking": "", "signature": "s"},
        "Yes.",
    )
    assert "thinking" in prepared.lost
    hidden = {"type": "redacted_thinking", "data": reasoning.seal("acme", "one", {"redacted": "x"})}
    assert conversation([user("hi"), assistant(hidden)])[1] == assistant({"type": "redacted_thinking", "data": "x"})
    dropped = conversation([user("hi"), assistant(*own, "Yes.")], facts(reasoning_history="drop"))
    assert dropped == [user("hi"), assistant("Yes.")]


def test_T01_T02_calls_without_thoughts_get_blank_ones_where_the_provider_demands_some() -> None:
    history = [user("hi"), assistant(thought(None), call("a")), user(result("a", "ok")), assistant("Done."), user("ok")]
    strict = facts(reasoning_history="placeholder")
    spoken = conversation(history, strict, thinking={"type": "adaptive"})
    assert spoken[1] == assistant({"type": "thinking", "thinking": " "}, call("a"))
    assert spoken[3] == assistant("Done.")
    assert conversation(history, strict, thinking={"type": "disabled"})[1] == assistant(call("a"))
    # A model that cannot but think has its rules whatever is asked.
    always = dataclasses.replace(strict, efforts=("low", "high"))
    assert conversation(history, always)[1] == assistant({"type": "thinking", "thinking": " "}, call("a"))


def test_T03_thinking_is_switched_off_where_a_call_has_lost_its_own_and_the_provider_wants_all() -> None:
    history = [user("hi"), assistant(thought(None), call("a")), user(result("a", "ok"))]
    strict = facts(reasoning_history="required")
    prepared = repaired(history, strict, thinking={"type": "adaptive"}, output_config={"effort": "high"})
    assert prepared.request["thinking"] == {"type": "disabled", "effort": "none"}
    assert "thinking" in prepared.lost
    whole = [user("hi"), assistant(thought({}), call("a")), user(result("a", "ok"))]
    hidden = {"type": "redacted_thinking", "data": reasoning.seal("acme", "one", {"redacted": "x"})}
    unseen = [user("hi"), assistant(hidden, call("a")), user(result("a", "ok"))]
    for kept in (whole, unseen):
        assert repaired(kept, strict, thinking={"type": "adaptive"}).request["thinking"] == {"type": "adaptive"}


# Tools


def test_R29_tools_that_anthropic_runs_are_dropped_and_those_the_client_runs_are_explained() -> None:
    defined = [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
        {"type": "code_execution_20260521", "name": "code_execution"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    ]
    prepared = repaired([user("hi")], tools=defined, tool_choice={"type": "tool", "name": "web_search"})
    [editor] = prepared.request["tools"]
    assert editor["name"] == "str_replace_based_edit_tool"
    assert editor["input_schema"]["required"] == ["command", "path"]
    assert prepared.request["tool_choice"] == {"type": "auto"}
    assert prepared.lost.keys() == {"web_search", "code_execution", "tool_choice"}
    assert repaired([user("hi")], facts(web_search=True), tools=defined[:1]).request["tools"] == defined[:1]


def test_R31_deferred_tools_are_offered_when_they_have_come_up() -> None:
    deferred = [tool(name, defer_loading=True) for name in ("Placeholder", "Found", "Called")]
    shown = result("a", {"type": "tool_reference", "tool_name": "Found"})
    history = [user("hi"), assistant(call("a", "ToolSearch"), call("b", "Called")), user(shown)]
    offered = repaired(history, tools=[tool("ToolSearch"), *deferred]).request["tools"]
    assert offered == [tool("ToolSearch"), tool("Found"), tool("Called")]
    search = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
    assert len(repaired([user("hi")], tools=[search, *deferred]).request["tools"]) == 3


def test_G11_without_tools_there_is_no_choice() -> None:
    prepared = repaired([user("hi")], tools=[{"type": "web_fetch_20260309", "name": "web_fetch"}], tool_choice={"type": "any"})
    assert not prepared.request.keys() & {"tools", "tool_choice"}
    assert not repaired([user("hi")], tools=[], tool_choice={"type": "auto"}).request.keys() & {"tools", "tool_choice"}


def test_G12_a_tool_without_a_name_is_dropped_and_of_two_with_one_name_the_second() -> None:
    nameless = {"input_schema": {"type": "object"}}
    prepared = repaired(
        [user("hi")], tools=[nameless, tool("Read", description="1"), tool("Read", description="2", strict=False)]
    )
    assert prepared.request["tools"] == [tool("Read", description="1")]
    assert prepared.lost.keys() == {"a tool without a name"}


def test_a_model_without_tools_reads_of_calls_and_results() -> None:
    history = [user("hi"), assistant("Let me.", call("a")), user(result("a", "ok"))]
    prepared = repaired(history, facts(tools=False), tools=[tool("Read")], tool_choice={"type": "auto"})
    assert prepared.request["messages"][1:] == [
        assistant("Let me.", '[called the tool Read]\n{"path": "a.py"}'),
        user("[result of an earlier tool call]\nok"),
    ]
    assert not prepared.request.keys() & {"tools", "tool_choice"}
    assert prepared.lost.keys() == {"tools"}


def test_G08_more_tools_than_the_provider_takes_are_refused_in_numbers() -> None:
    with pytest.raises(ApiError, match=r"^tools: this provider takes at most 1 tools, and 2 were sent$"):
        repaired([user("hi")], facts(max_tools=1), tools=[tool("a"), tool("b")])


def test_G06_G07_S39_names_are_shortened_readably_and_lead_back() -> None:
    long = ["mcp__srv__" + "x" * 60 + end for end in ("1", "2", ".3")]
    history = [user("hi"), assistant(call("a", long[0])), user(result("a", "ok"))]
    choice = {"type": "tool", "name": long[1], "disable_parallel_tool_use": True}
    prepared = repaired(history, tools=[*map(tool, long), tool("ok")], tool_choice=choice)
    sent = [offered["name"] for offered in prepared.request["tools"]]
    assert sent[3] == "ok"
    assert all(name.startswith("mcp__srv__xxx") and len(name) == 64 for name in sent[:3])
    assert [prepared.tool_names[name] for name in sent[:3]] == long
    assert prepared.request["messages"][1]["content"][0]["name"] == sent[0]
    assert prepared.request["messages"][2]["content"][0]["name"] == sent[0]
    assert prepared.request["tool_choice"] == choice | {"name": sent[1]}


def test_G07_a_shortened_name_is_never_that_of_another_tool() -> None:
    [short] = repaired([user("hi")], tools=[tool("a.b")]).tool_names
    prepared = repaired([user("hi")], tools=[tool("a.b"), tool(short)])
    assert prepared.tool_names.keys().isdisjoint({short})
    assert list(prepared.tool_names.values()) == ["a.b"]


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "Read"}])
def test_T06_a_forced_choice_is_lowered_where_thinking_forbids_it(choice: Any) -> None:
    def chosen(thinking: str, **words: Any) -> Any:
        return repaired([user("hi")], facts(**words), tools=[tool("Read")], tool_choice=choice, thinking={"type": thinking})

    lowered = chosen("adaptive", forced_tools_with_thinking=False)
    assert lowered.request["tool_choice"] == {"type": "auto"}
    assert lowered.lost.keys() == {"tool_choice"}
    assert chosen("adaptive").request["tool_choice"] == choice
    assert chosen("disabled", forced_tools_with_thinking=False).request["tool_choice"] == choice


def test_G01_a_schema_too_deep_to_read_is_refused() -> None:
    schema: dict[str, Any] = {
        "$ref": "#/$defs/0",
        "$defs": {str(n): {"items": {"$ref": f"#/$defs/{n + 1}"}} for n in range(1000)},
    }
    with pytest.raises(ApiError, match=r"^tools: the input_schema of Read is nested too deeply$"):
        repaired([user("hi")], facts(schema=("inline_refs",)), tools=[{"name": "Read", "input_schema": schema}])


# Limits


@pytest.mark.parametrize(("asked", "sent"), [(1, 16), (500, 500), (128000, 8192)])
def test_R20_R21_max_tokens_is_within_what_the_provider_takes(asked: int, sent: int) -> None:
    assert repaired([user("hi")], facts(min_output=16, max_output=8192), max_tokens=asked).request["max_tokens"] == sent


@pytest.mark.parametrize("word", ["word ", "1,"], ids=["words", "figures"])
@pytest.mark.parametrize("asked", [1, 20, 700, 5_000])
def test_R21_the_longer_the_prompt_the_shorter_the_answer_without_a_leap(asked: int, word: str) -> None:
    window, step = facts(context=4_000), 5
    sent = [repaired([user(word * count)], window, max_tokens=asked).request["max_tokens"] for count in range(1, 4_500, step)]
    assert max(sent) <= asked
    assert sent[-1] == min(asked, 4_000 // 32), "a provider refuses what does not fit, for which the client compacts"
    assert all(0 <= more - less <= 3 * step for more, less in pairwise(sent))


@pytest.mark.parametrize(
    ("prompt", "room"), [(1_000, 32_000), (90_000, 24_500), (110_136, 8_932), (127_000, 4_000), (300_000, 4_000)]
)
def test_R21_the_answer_has_the_room_that_is_left(prompt: int, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.wire.tokens.estimate", lambda request: prompt)
    request = {"model": "m", "max_tokens": 32_000, "messages": [user("hi")]}
    prepared = prepare(request, facts(context=128_000), provider="acme", model="one", size=1_000_000)
    assert prepared.request["max_tokens"] == room


def test_R23_S40_stop_sequences_that_the_provider_does_not_take_are_enforced_here() -> None:
    def split(**words: Any) -> Any:
        prepared = repaired([user("hi")], facts(**words), stop_sequences=["a", "", "b", "c"])
        return prepared.request.get("stop_sequences"), prepared.stop_sequences

    assert split() == (["a", "b", "c"], ())
    assert split(max_stop=2) == (["a", "b"], ("c",))
    assert split(stop_sequences="enforced") == (None, ("a", "b", "c"))


def test_what_is_not_repaired_stays_as_it_came() -> None:
    kept = {
        "output_config": {"format": {"type": "json_schema", "schema": {}}},
        "thinking": {"type": "adaptive"},
        "temperature": 0.5,
        "metadata": {"user_id": "x"},
    }
    prepared = repaired([user("hi")], stream=True, top_p=None, **kept)
    assert prepared.request == {"model": "claude-opus-5-5", "max_tokens": 100, "stream": True, "messages": [user("hi")], **kept}
    assert prepared.lost == {}


# Any history

ids = st.sampled_from(["a", "b", "call.1", "x" * 70])
words = st.sampled_from(["", " ", "hi", "<system-reminder>\nx\n</system-reminder>"])
shown = st.one_of(
    words.map(text),
    st.sampled_from([PNG, PDF, {"type": "tool_reference", "tool_name": "a.b"}, {"type": "hologram"}]),
)
results = st.builds(
    lambda id, content, failed: {"type": "tool_result", "tool_use_id": id, "content": content, "is_error": failed},
    ids,
    st.one_of(words, st.lists(shown, max_size=3)),
    st.booleans(),
)
calls = st.builds(call, ids, st.sampled_from(["Read", "a.b"]))
said = st.one_of(words.map(text), calls, calls, st.sampled_from([{"type": "fallback"}, thought(None), {"type": "x_result"}]))


def spoken_by(role: str, blocks: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    content = st.one_of(words, st.lists(blocks, max_size=4))
    return content.map(lambda told: {"role": role, "content": told})


messages = st.one_of(
    spoken_by("user", st.one_of(shown, results, results)), spoken_by("assistant", said), spoken_by("system", words.map(text))
)
requests = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(messages, min_size=1, max_size=8)},
    optional={
        "system": words,
        "max_tokens": st.integers(0, 99),
        "tools": st.lists(
            st.sampled_from([tool("Read"), tool("a.b"), tool("Lazy", defer_loading=True), {"type": "bash_1", "name": "bash"}])
        ),
        "tool_choice": st.sampled_from([{"type": "any"}, {"type": "tool", "name": "a.b"}]),
        "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "disabled"}]),
        "stop_sequences": st.lists(st.sampled_from("abc")),
    },
)
any_facts = st.builds(
    Facts,
    tools=st.booleans(),
    images=st.booleans(),
    documents=st.booleans(),
    tool_id_max=st.sampled_from([9, 64]),
    max_stop=st.sampled_from([None, 1]),
    mid_system=st.sampled_from(["keep", "fold"]),
    user_after_tool=st.booleans(),
    tool_result_images=st.sampled_from(["native", "followup"]),
    reasoning_history=st.sampled_from(["keep", "placeholder", "drop"]),
    forced_tools_with_thinking=st.booleans(),
)


def blocks_of(message: Any, kind: str) -> list[Any]:
    return [block for block in message["content"] if block["type"] == kind]


@settings(max_examples=400, deadline=None)
@given(requests, any_facts)
def test_R01_R02_R03_R09_R10_any_history_becomes_one_that_a_strict_provider_takes(request: Any, facts: Facts) -> None:
    validate.check(request, counting=True)
    before = copy.deepcopy(request)
    prepared = prepare(request, facts, provider="acme", model="one")
    assert request == before
    told = prepared.request["messages"]

    roles = [message["role"] for message in told]
    assert next(role for role in roles if role != "system") == "user"
    assert all(role != following for role, following in pairwise(roles))
    if facts.mid_system == "fold":
        assert "system" not in roles

    called = [block["id"] for message in told for block in blocks_of(message, "tool_use")]
    assert len(called) == len(set(called))
    for place, message in enumerate(told):
        assert message["content"]
        assert all(block["text"] for block in blocks_of(message, "text"))
        expected = [block["id"] for block in blocks_of(told[place - 1], "tool_use")] if place else []
        kinds = [block["type"] for block in message["content"]]
        assert kinds[: len(expected)] == ["tool_result"] * len(expected)
        assert [block["tool_use_id"] for block in blocks_of(message, "tool_result")] == expected
        assert all(block["content"] for block in blocks_of(message, "tool_result"))
        if expected and not facts.user_after_tool:
            assert len(kinds) == len(expected)
    assert not blocks_of(told[-1], "tool_use")

    assert prepare(prepared.request, facts, provider="acme", model="one").request == prepared.request


@pytest.mark.skipif(not CORPUS.exists(), reason="the recorded traffic lies beside the repository")
def test_every_recorded_request_is_valid_and_stays_so() -> None:
    recordings = [json.loads(path.read_text()) for path in sorted(CORPUS.glob("anthropic.messages.*.json"))]
    asked = [recording["request"] for recording in recordings if recording["request"] and recording["status"] == 200]
    assert len(asked) > 30
    for request in asked:
        validate.check(request)
        once = prepare(request, Facts(), provider="acme", model="one").request
        validate.check(once)
        assert prepare(once, Facts(), provider="acme", model="one").request == once


def choice(asked: dict[str, Any], *known: str) -> tuple[list[str], Any]:
    """The tools that are offered, and the choice among them."""
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("Read", "Edit")]
    request = repaired([user("hi")], facts(tool_choices=known), tools=tools, tool_choice=asked).request
    return [tool["name"] for tool in request.get("tools", [])], request.get("tool_choice")


def test_T06_a_choice_that_the_provider_has_no_word_for() -> None:
    named = {"type": "tool", "name": "Edit", "disable_parallel_tool_use": True}
    assert choice(named, "auto", "any", "tool", "none") == (["Read", "Edit"], named)
    assert choice(named, "auto", "any") == (["Edit"], {"type": "any", "disable_parallel_tool_use": True})
    assert choice(named, "auto") == (["Read", "Edit"], {"type": "auto", "disable_parallel_tool_use": True})
    assert choice({"type": "any"}, "auto", "tool") == (["Read", "Edit"], {"type": "auto"})
    assert choice({"type": "none"}, "auto", "any", "tool") == ([], None)
    assert choice({"type": "none"}, "auto", "none") == (["Read", "Edit"], {"type": "none"})


def test_a_thread_that_goes_on_is_refused_since_its_beginning_lies_elsewhere() -> None:
    with pytest.raises(ApiError, match=r"thread\.type"):
        repaired([user("hi")], thread={"type": "continue", "previous_message_id": "msg_1"})
    assert repaired([user("hi")], thread={"type": "create"}).request["messages"] == [user("hi")]


def test_R27_a_source_that_nobody_has_heard_of_is_told_in_words() -> None:
    picture = {"type": "image", "source": {"type": "hologram", "at": "somewhere"}}
    prepared = repaired([user("Look", picture)])
    assert prepared.request["messages"] == [user("Look", "[An image was here; it is kept where it cannot be read.]")]
    assert "image" in prepared.lost


def test_R08_a_reminder_that_others_follow_is_wrapped_as_a_whole() -> None:
    told = system("<system-reminder>\nMind.\n</system-reminder>", "And this.")
    words = "<system-reminder>\n<system-reminder>\nMind.\n</system-reminder>\n\nAnd this.\n</system-reminder>"
    assert conversation([user("hi"), told]) == [user("hi", words)]


def test_R28_what_is_said_of_a_document_stays_where_the_document_cannot() -> None:
    shown = conversation([user(PDF | {"context": "Of last year."})], facts(documents=False))
    assert [block["text"] for block in shown[0]["content"]] == [
        "[A PDF document was here (Plan); this model cannot read PDF files.]",
        "About this document: Of last year.",
    ]
