"""tests/conversations: readings of requests, held against plain walks over what was read, and against each other.

The recordings lie beside the repository (../shared/corpus) and are not part of it.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.wire.validate import check
from tests.conversations import CannotBeSaid, Conversation, anthropic_request, differences, read
from tests.conversations.conversation import Call, Document, Image, Item, Other, Reasoning, Result, Text, Turn, decoded, held
from tests.conversations.histories import anthropic_requests
from tests.conversations.words import tells
from tests.conversations.writing import write_effort
from tests.corpus_table import CORPUS

Json = dict[str, Any]

FORMATS = {
    "chat_completions": "chat",
    "responses": "responses",
    "generate_content": "generate_content",
    "messages": "messages",
}

# Recordings that Anthropic's format has no words for, by what it lacks them for.
LEFT_OUT = {
    "audio": ["openai.chat_completions.chat-completion-audio-output.52a28e0d"],
    "input_audio": [
        "mistral.chat_completions.streaming-agent-sends-audio.20ec1d7d",
        "openai.chat_completions.test-chat-completions-with-audio-input.9782e7df",
    ],
    "video_url": ["openrouter.chat_completions.video-analysis-prompt.587df9b0"],
    "video/webm": ["vertex.generate_content.test-google-url-input-videourl.898a9c3f"],
    # A file that is kept at the provider.
    "input_file": ["openai.responses.test-multimodal-tool-return-matrix-direct-uploaded-file-docu.669dfa64"],
    # Tools that come in the middle of a conversation, by the provider's search or without it.
    "additional_tools": ["openai.responses.test-cross-provider-capability-replay-anthropic-claude-sonne.0ef0bf30"],
    "tool_search_call": [
        "openai.responses.test-live-tool-search-handoff-anthropic-to-openai.c75a6831",
        "openai.responses.test-openai-native-tool-search-streaming.eb294a3c",
    ],
    "the provider's own tool tool_search": [
        "openai.responses.test-openai-hosted-tool-search-stateless-continuation.b4396c95",
        "openai.responses.test-openai-native-tool-search-round-trip.8ee34c86",
        "openai.responses.test-openai-native-tool-search-streaming.5e2390ef",
        "openai.responses.test-openai-native-tool-search-with-deferred-capability.71971e00",
    ],
    # A tool whose input is free text.
    "the provider's own tool custom": ["openai.chat_completions.chat-completion-custom-tool-call.c4161d75"],
    # Other tools that the provider runs, and what came of them.
    "code_interpreter_call": ["openai.responses.test-openai-responses-thinking-with-code-execution-tool.377f6c01"],
    "the provider's own tool code_interpreter": [
        "openai.responses.test-openai-responses-thinking-with-code-execution-tool.28587633",
        "openai.responses.test-openai-responses-thinking-with-code-execution-tool-stre.3ab252da",
    ],
    "the provider's own tool codeExecution": [
        "gemini.generate_content.two-terminal-stream-unicode-answer-after-the-first-finish.88b9f457",
        "gemini.generate_content.two-terminal-stream-with-visible-thoughts.3a275c45",
    ],
    "toolCall": ["gemini.generate_content.test-google-model-file-search-grounding-gemini-3-true.307f6b5c"],
    "the provider's own tool fileSearch": [
        "gemini.generate_content.test-google-model-file-search-grounding-gemini-3-true.e7664683",
        "gemini.generate_content.test-google-model-file-search-tool-stream.ae431f4e",
    ],
    "the provider's own tool file_search": ["openai.responses.test-file-search.9358ca02"],
    "the provider's own tool image_generation": ["openai.responses.test-openai-responses-image-generation-jpeg.24712f9d"],
    "the provider's own tool mcp": [
        "openai.responses.with-function-tools.36b8da31",
        "openai.responses.test-agent-common-format-single-server.006c6936",
        "openai.responses.test-agent-mcp-server.9e824b38",
        "openai.responses.test-openai-responses-model-mcp-server-tool-with-connector.1867a609",
    ],
    "the provider's own tool urlContext": [
        "gemini.generate_content.test-google-model-web-fetch-tool.d221cb0c",
        "gemini.generate_content.test-google-model-web-fetch-tool-stream.5a8f1df5",
    ],
}
REASONS = {stem: reason for reason, stems in LEFT_OUT.items() for stem in stems}

# What of the other recordings Anthropic's format does not say.
LOST = {
    "settings.seed": "Anthropic lets nobody choose its dice",
    "settings.random_seed": "as seed, by Mistral's name",
    "settings.n": "an answer is one answer",
    "settings.candidateCount": "as n, by Google's name",
    "settings.logprobs": "Anthropic tells no probabilities",
    "settings.responseLogprobs": "Anthropic tells no probabilities",
    "settings.safetySettings": "Anthropic has no such settings",
    "settings.modelArmorConfig": "Anthropic has no such settings",
    "settings.moderation": "Anthropic has no such settings",
    "settings.plugins": "how a gateway reads a PDF is its own affair",
    "settings.context_management": "OpenAI's compaction is not Anthropic's",
}

# Where a request has strings that are no conversation: keys from the outside inwards, lists passed over.
UNREAD = re.compile(
    r"""^(
    model | models | provider\..* | transforms | user | prompt_cache_key | service_tier | include | anthropic_version |
    (.*\.)?(type | role | cache_control\.ttl) |                      # read as what it is and who says it
    response_format\.json_schema\.(name|description) | text\.format\.name |
    messages\.name |                                                 # of speakers
    tool_choice | .*\.functionCallingConfig\.mode |                  # read in Anthropic's words
    .*\.(detail | search_context_size) |                             # how much is spent on an image or a search
    input\.(id | status | phase) |                                   # of items: what calls and results share is call_id
    contents\.(.*\.)?(mimeType | mime_type) |                        # of an address
    generationConfig\.(responseModalities | responseMimeType | response_mime_type)
    )$""",
    re.VERBOSE,
)


def rows() -> list[Json]:
    """The recorded requests that were answered, of the formats that are read here; none where there is no corpus."""
    if not CORPUS.is_dir():
        return []
    found = map(json.loads, (CORPUS / "INDEX.jsonl").read_text().splitlines())
    return [row for row in found if row["api"] in FORMATS and row["status"] == 200 and "request_missing" not in row["features"]]


ROWS = rows()
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the recordings (../shared/corpus) are not here")
each_recording = pytest.mark.parametrize(
    ("file", "format"), [(row["file"], FORMATS[row["api"]]) for row in ROWS], ids=[Path(row["file"]).stem for row in ROWS]
)


def load(file: str, format: str) -> tuple[Json, Conversation]:
    recording = json.loads((CORPUS / file).read_text())
    return recording["request"], read(format, recording["request"], recording["url_path"] or "")


@needs_corpus
@each_recording
def test_no_word_of_a_recorded_request_is_lost_in_reading(file: str, format: str) -> None:
    body, conversation = load(file, format)
    found = {value for _, value in strings(asdict(conversation))} | {"web_search"}
    texts = "\n".join(value for value in found if isinstance(value, str))
    for path, value in strings(body):
        is_found = value in found or (isinstance(value, str) and (value.encode() in found or value in texts))
        assert is_found or UNREAD.match(path), (path, value)


@needs_corpus
@each_recording
def test_a_recorded_request_says_the_same_in_anthropics_format(file: str, format: str) -> None:
    _, conversation = load(file, format)
    reason = REASONS.get(Path(file).stem)
    if reason:
        with pytest.raises(CannotBeSaid, match=f"^{re.escape(reason)}$"):
            anthropic_request(conversation, "claude-test")
        return
    request = anthropic_request(conversation, "claude-test", seal=dict if format == "messages" else None)
    check(request)
    told = differences(conversation, read("messages", json.loads(json.dumps(request))))
    assert [line for line in told if line.partition(":")[0] not in LOST] == []


@needs_corpus
def test_what_is_left_out_and_what_is_lost_is_recorded() -> None:
    read_rows = [(row["file"], *load(row["file"], FORMATS[row["api"]])) for row in ROWS]
    assert REASONS.keys() <= {Path(file).stem for file, _, _ in read_rows}
    settings = {f"settings.{name}" for _, _, conversation in read_rows for name in conversation.settings}
    assert LOST.keys() <= settings
    assert len(read_rows) > 550


@needs_corpus
@pytest.mark.parametrize("format", FORMATS.values())
def test_sealed_reasoning_comes_back_in_its_place(format: str) -> None:
    files = [row["file"] for row in ROWS if FORMATS[row["api"]] == format and Path(row["file"]).stem not in REASONS]
    thinking = [file for file in files if any(isinstance(item, Reasoning) for item in load(file, format)[1].items)]
    assert thinking
    for file in thinking:
        assert_sealed_comes_back(load(file, format)[1])


def assert_sealed_comes_back(conversation: Conversation) -> None:
    request = anthropic_request(conversation, "claude-test", seal=sealed)
    check(request)
    back = [unsealed(turn) for turn in read("messages", request).turns]
    told = differences(conversation, replace(read("messages", request), format=conversation.format, turns=back))
    assert [line for line in told if not line.startswith(("settings.", "effort:"))] == []


def sealed(state: Json) -> Json:
    return {"type": "thinking", "thinking": "", "signature": json.dumps(state)}


def unsealed(turn: Turn) -> Turn:
    items = [Reasoning(json.loads(item.state["signature"])) if isinstance(item, Reasoning) else item for item in turn.items]
    return Turn(turn.role, tuple(items))


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str | bytes]]:
    """All strings of a request or a reading with the keys that lead to them: files as bytes, a call's arguments parsed."""
    match value:
        case {"type": "base64", "data": str(data)} | {"mimeType": _, "data": str(data)}:
            yield f"{path}.data", decoded(data)
            yield from strings({key: inner for key, inner in value.items() if key != "data"}, path)
        case dict():
            for key, inner in value.items():
                yield from strings(inner, f"{path}.{key}" if path else key)
        case list() | tuple():
            for inner in value:
                yield from strings(inner, path)
        case str() if path.endswith(".arguments"):
            yield from strings(json.loads(value or "{}"), path.removesuffix("arguments") + "parsed")
        case str() if value.startswith("data:"):
            yield path, held(value)[1]
        case bytes() | str():
            yield path, value


# Requests that nobody recorded


@given(anthropic_requests())
def test_a_request_of_any_kind_is_valid_and_no_word_of_it_is_lost_in_reading(request_: Json) -> None:
    check(request_)
    items = list(flattened(read("messages", request_).items))
    walked = list(walk(request_))
    for role in ("user", "assistant", "system"):
        said = [block["text"] for speaker, block in walked if (speaker, block["type"]) == (role, "text")]
        assert [item.text for item in items if isinstance(item, Text) and item.role == role] == said
    shown = [block["text"] for speaker, block in walked if (speaker, block["type"]) == ("tool", "text")]
    assert [item.text for item in items if isinstance(item, Text) and item.role == "tool"] == shown
    assert [item.id for item in items if isinstance(item, Call)] == [block["id"] for block in of_type(walked, "tool_use")]
    results = [(block["tool_use_id"], block.get("is_error")) for block in of_type(walked, "tool_result")]
    assert [(item.call_id, item.is_error) for item in items if isinstance(item, Result)] == results
    files = [block["source"] for block in of_type(walked, "image", "document")]
    assert [written_source(item) for item in items if written_source(item)] == [source_of(source) for source in files]


@given(anthropic_requests())
def test_a_request_of_any_kind_says_the_same_when_it_is_repaired(request_: Json) -> None:
    conversation = read("messages", request_)
    request = anthropic_request(conversation, "claude-test", seal=dict)
    check(request)
    # Nothing is repaired of what is asked for: tools with one name, a choice of what is not offered.
    asked: Json = {"tools": [], "hosted": [], "web_search": False, "choice": "", "chosen": "", "one_call": False}
    assert differences(replace(conversation, **asked), replace(read("messages", request), **asked)) == []
    assert_in_order(request["messages"])


@given(anthropic_requests(), st.data())
def test_whatever_is_left_out_or_said_twice_is_a_difference(request_: Json, data: st.DataObject) -> None:
    conversation = read("messages", request_ | {"tools": None, "tool_choice": None})
    places = [(place, number) for place, turn in enumerate(conversation.turns) for number in range(len(turn.items))]
    assume([place for place in places if matters(conversation, *place)])
    place, number = data.draw(st.sampled_from([place for place in places if matters(conversation, *place)]))
    item = conversation.turns[place].items[number]
    for instead in ((), (item, item)):
        turns = list(conversation.turns)
        turns[place] = with_items(turns[place], number, *instead)
        assert differences(conversation, replace(conversation, turns=turns))


def matters(conversation: Conversation, place: int, number: int) -> bool:
    """Whether it is more than what may be anywhere: an empty text, an empty result."""
    match conversation.turns[place].items[number]:
        case Result() as answer:
            return any(map(tells, answer.content))
        case Text() | Image() as shown:
            return tells(shown)
        case item:
            return isinstance(item, Call)


def assert_in_order(messages: list[Json]) -> None:
    """Every call has its one result at the beginning of the next message, no other result is there, and no id comes twice."""
    ids = [block["id"] for message in messages for block in blocks_of(message, "tool_use")]
    assert len(set(ids)) == len(ids)
    for message, following in zip(messages, [*messages[1:], {"role": "user", "content": []}], strict=True):
        called = [block["id"] for block in blocks_of(message, "tool_use")]
        answers = following["content"][: len(called)]
        assert [block.get("tool_use_id") for block in answers] == called
        assert len(blocks_of(following, "tool_result")) == len(called)


def blocks_of(message: Json, type: str) -> list[Json]:
    return [block for block in message["content"] if not isinstance(block, str) and block["type"] == type]


def walk(request: Json) -> Iterator[tuple[str, Json]]:
    """Every block of the messages, and who says it."""
    for message in request["messages"]:
        role = {"ctx": "user", "msg": "user"}.get(message["role"], message["role"])
        yield from walk_content(role, message.get("content"))


def walk_content(role: str, content: Any) -> Iterator[tuple[str, Json]]:
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
        yield role, block
        if block["type"] == "tool_result":
            yield from walk_content("tool", block.get("content"))
        elif block["type"] in ("search_result", "compaction"):
            yield from walk_content(role, block.get("content"))
        elif block["type"] == "document" and block["source"]["type"] == "content":
            yield from walk_content(role, block["source"]["content"])


def of_type(walked: list[tuple[str, Json]], *types: str) -> list[Json]:
    return [block for _, block in walked if block["type"] in types]


def flattened(items: Any) -> Iterator[Item]:
    for item in items:
        yield item
        yield from flattened(getattr(item, "content", ()))


def written_source(item: Item) -> Any:
    match item:
        case Document(is_text=True):
            return item.text or "no text"
        case Image():
            return item.url or (item.media_type, b64encode(item.data).decode())
        case Other(kind="file"):
            return item.block["source"]["file_id"]
        case Other(kind="document"):
            return "content"
    return None


def source_of(source: Json) -> Any:
    match source:
        case {"type": "text", "data": data}:
            return data or "no text"
        case {"type": "content"}:
            return "content"
        case {"url": told} | {"file_id": told}:
            return told
    return (source["media_type"], source["data"])


# What is a difference

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
JPEG = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"}}
PDF = {"type": "document", "title": "Plan", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
PNG_URL, JPEG_URL = "data:image/png;base64,iVBORw0KGgo=", "data:image/jpeg;base64,/9j/4AAQ"


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def message(role: str, *content: Any) -> Json:
    return {"role": role, "content": [text(block) if isinstance(block, str) else block for block in content]}


def user(*content: Any) -> Json:
    return message("user", *content)


def assistant(*content: Any) -> Json:
    return message("assistant", *content)


def system(*content: Any) -> Json:
    return message("system", *content)


def call(id: str, name: str = "Read", **input: Any) -> Json:
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def result(id: str, *content: Any, **fields: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": id, "content": user(*content)["content"], **fields}


def asked(messages: list[Json], **fields: Any) -> Conversation:
    return read("messages", {"model": "m", "max_tokens": 10, "messages": messages, **fields})


def sent(messages: list[Json], **fields: Any) -> Conversation:
    return read("chat", {"model": "m", "max_tokens": 10, "messages": messages, **fields})


FULL = asked(
    [
        user("Look at these:", PNG, PDF, "Well?"),
        assistant(
            {"type": "thinking", "thinking": "Hm.", "signature": "s"}, "Let me see.", call("a", path="x"), call("b", "Run")
        ),
        user(result("b", "ran", is_error=True), result("a", "one", JPEG, "two"), "and now?"),
        system("The day is over."),
        assistant("I see.", call("c", path="y", deep={"n": [1]})),
        user(result("c", {"type": "tool_reference", "tool_name": "Edit"}), "So?"),
        assistant("Done."),
        user({"type": "search_result", "title": "Ducks", "source": "https://d.example", "content": [text("Ducks swim.")]}),
    ],
    system=[text("You are a duck."), text("Be brief.")],
    tools=[
        {"name": "Read", "description": "Reads.", "input_schema": {"properties": {"path": {}}, "required": ["path"]}},
        {"name": "Run", "input_schema": {"type": "object"}},
    ],
    tool_choice={"type": "tool", "name": "Run"},
    temperature=0.5,
    stop_sequences=["END"],
    stream=True,
)


def changed(item: Item) -> Item:
    match item:
        case Text():
            return replace(item, text=item.text.replace("e", "E", 1) + "!")
        case Image():
            return replace(item, data=item.data + b"!")
        case Other():
            return replace(item, words=("another", *item.words[1:]))
        case Reasoning():
            return Reasoning(item.state | {"signature": "another"})
        case Call():
            return replace(item, input=item.input | {"more": 1})
    return replace(item, content=(*item.content, Text("tool", "more")))


def mistakes() -> Iterator[tuple[str, Conversation]]:
    """The full conversation with one thing wrong."""
    for place, turn in enumerate(FULL.turns):
        yield f"turn {place} is gone", with_turns(place, 1)
        yield f"turn {place} comes twice", with_turns(place, 1, turn, turn)
        yield f"turn {place} comes late", with_turns(place, 2, *FULL.turns[place + 1 : place + 2], turn)
        for number, item in enumerate(turn.items):
            what = f"turn {place}, {type(item).__name__} {number}"
            others = turn.items[number + 1 :]
            yield f"{what} is gone", with_turns(place, 1, with_items(turn, number))
            yield f"{what} comes twice", with_turns(place, 1, with_items(turn, number, item, item))
            yield f"{what} is another", with_turns(place, 1, with_items(turn, number, changed(item)))
            if others and not isinstance(item, Result):
                late = Turn(turn.role, (*turn.items[:number], others[0], item, *others[1:]))
                yield f"{what} comes late", with_turns(place, 1, late)


def with_turns(place: int, length: int, *turns: Turn) -> Conversation:
    return replace(FULL, turns=[*FULL.turns[:place], *turns, *FULL.turns[place + length :]])


def with_items(turn: Turn, number: int, *items: Item) -> Turn:
    return Turn(turn.role, (*turn.items[:number], *items, *turn.items[number + 1 :]))


MISTAKES = {about: made for about, made in mistakes() if made != FULL}


def test_a_conversation_does_not_differ_from_itself() -> None:
    assert differences(FULL, FULL) == []
    assert differences(FULL, read("messages", anthropic_request(FULL, "m", seal=dict))) == []


@pytest.mark.parametrize("about", MISTAKES)
def test_each_mistake_is_a_difference(about: str) -> None:
    assert differences(FULL, MISTAKES[about])


READ, RUN = FULL.tools
ASKED: dict[str, Json] = {
    "system": {"system": ["You are a duck.", "Be long."]},
    "tools": {"tools": [RUN]},
    "tools, Read, description": {"tools": [replace(READ, description="Writes."), RUN]},
    "tools, Read, strict": {"tools": [replace(READ, strict=True), RUN]},
    "tools, Read, schema": {"tools": [replace(READ, schema={"properties": {"path": {}}, "required": []}), RUN]},
    "tools, Run, schema": {"tools": [READ, replace(RUN, schema={"properties": {"path": {}}})]},
    "choice": {"choice": "auto"},
    "one_call": {"one_call": True},
    "max_tokens": {"max_tokens": None},
    "stop": {"stop": ["END", "STOP"]},
    "temperature": {"temperature": None},
    "top_p": {"top_p": 1},
    "top_k": {"top_k": 1},
    "web_search": {"web_search": True},
    "hosted": {"hosted": [{"type": "code_execution"}]},
    "stream": {"stream": False},
    "schema": {"schema": {}},
    "settings.seed": {"settings": {"seed": 1}},
    "effort": {"effort": {"effort": "low"}},
}


@pytest.mark.parametrize("about", ASKED)
def test_what_is_asked_for_differs_under_its_name(about: str) -> None:
    lines = differences(FULL, replace(FULL, **ASKED[about]))
    assert {line.partition(":")[0] for line in lines} == {about}


# What is none, and beside it what is one after all: what was asked in Anthropic's format, and what was sent in another

THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
CALLING = {"id": "1", "type": "function", "function": {"name": "Read", "arguments": '{"path":"x"}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALLING]}
BOTH = CALLED | {"tool_calls": [CALLING, CALLING | {"id": "2"}]}
ANSWERED = {"role": "tool", "tool_call_id": "1", "content": "ok"}
HISTORY = [user("hi"), assistant(call("a", path="x")), user(result("a", "ok"))]
HI = {"role": "user", "content": "hi"}
SHOT = [user("hi"), assistant(call("a", path="x")), user(result("a", "see", PNG), "so?")]
REMINDER = "<system-reminder>\nMind.\n</system-reminder>"


def told(content: Any, **fields: Any) -> Json:
    return {"role": "user", "content": content, **fields}


def image(url: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url}}


def pdf(name: str) -> Json:
    return {"type": "file", "file": {"filename": name, "file_data": "data:application/pdf;base64,JVBERi0="}}


SAME: dict[str, tuple[list[Json], list[Json], list[Json]]] = {
    "texts are joined, but not glued together": ([user("a", "b")], [told("a\nb")], [told("ab")]),
    "messages are joined": ([user("a"), user("b"), user("c")], [told("a\nb\n\nc")], [told("a\nb\n\nc\nc")]),
    "ids are others": (HISTORY, [HI, CALLED, ANSWERED], [HI, CALLED, ANSWERED | {"tool_call_id": "a"}]),
    "an empty text is none": ([user("", "a"), assistant(""), user(" ")], [told("a")], [told("")]),
    "somebody has to begin": ([assistant("a")], [told("(empty)"), assistant("a")], [told("a"), assistant("a")]),
    "thoughts are the provider's own": ([user("a"), assistant(THINKING, "b")], [told("a"), assistant("b")], [told("a")]),
    "a system message becomes a reminder": (
        [user("hi"), system("Mind.")],
        [told(f"hi\n{REMINDER}")],
        [told("hi\nMind.")],
    ),
    "a system message stays in its place": (
        [user("hi"), system("Mind."), assistant("a")],
        [HI, {"role": "system", "content": "Mind."}, assistant("a")],
        [HI, assistant("a"), {"role": "system", "content": "Mind."}],
    ),
    "a system message before all others is part of the prompt": (
        [system("Mind."), user("hi")],
        [{"role": "system", "content": "Mind."}, HI],
        [{"role": "system", "content": "Be brief."}, HI],
    ),
    "an image comes behind the result that points to it": (
        SHOT,
        [
            HI,
            CALLED,
            ANSWERED | {"content": "see\n[image below]"},
            told([text("From the result of the tool Read:"), image(PNG_URL), text("so?")]),
        ],
        [
            HI,
            CALLED,
            ANSWERED | {"content": "see\n[image below]"},
            told([text("From the result of the tool Read:"), image(JPEG_URL), text("so?")]),
        ],
    ),
    "an image stays in its result": (
        SHOT,
        [HI, CALLED, ANSWERED | {"content": [text("see"), image(PNG_URL)]}, told("so?")],
        [HI, CALLED, ANSWERED | {"content": [text("see"), image(PNG_URL), image(PNG_URL)]}, told("so?")],
    ),
    "results come in any order": (
        [user("hi"), assistant(call("a", path="x"), call("b", path="x")), user(result("b", "2"), result("a", "1"))],
        [HI, BOTH, ANSWERED | {"content": "1"}, ANSWERED | {"tool_call_id": "2", "content": "2"}],
        [HI, BOTH, ANSWERED | {"content": "2"}, ANSWERED | {"tool_call_id": "2", "content": "1"}],
    ),
    "a missing result is made up": (
        HISTORY[:2],
        [HI, CALLED, ANSWERED | {"content": "Error: [no result: the call was cancelled]"}],
        [HI, CALLED, ANSWERED],
    ),
    "an empty result has a word": (
        [*HISTORY[:2], user(result("a"))],
        [HI, CALLED, ANSWERED | {"content": "(no output)"}],
        [HI, CALLED, ANSWERED | {"content": "no"}],
    ),
    "an error is told in words": (
        [*HISTORY[:2], user(result("a", "no file", is_error=True))],
        [HI, CALLED, ANSWERED | {"content": "Error: no file"}],
        [HI, CALLED, ANSWERED | {"content": "no file"}],
    ),
    "a result that is no error does not become one": (
        HISTORY,
        [HI, CALLED, ANSWERED],
        [HI, CALLED, ANSWERED | {"content": "Error: ok"}],
    ),
    "a result without a call is what the user says": (
        [user(result("gone", "42", PNG))],
        [told([text("[result of an earlier tool call]\n42"), image(PNG_URL)])],
        [told([image(PNG_URL)])],
    ),
    "the assistant speaks between results and words": (
        [*HISTORY[:2], user(result("a", "ok"), "so?")],
        [HI, CALLED, ANSWERED, assistant("OK."), told("so?")],
        [HI, CALLED, ANSWERED, assistant("Yes."), told("so?")],
    ),
    "an odd name is another everywhere": (
        [user("hi"), assistant(call("a", "a.b", path="x"), call("b", "a.b", path="x"))],
        [HI, BOTH],
        [HI, CALLED | {"tool_calls": [CALLING, CALLING | {"function": CALLING["function"] | {"name": "Write"}}]}],
    ),
    "two odd names do not become one": (
        [user("hi"), assistant(call("a", "a.b", path="x"), call("b", "Read", path="x"))],
        [HI, CALLED | {"tool_calls": [CALLING | {"function": CALLING["function"] | {"name": "a_b"}}, CALLING]}],
        [HI, CALLED | {"tool_calls": [CALLING, CALLING]}],
    ),
    "a file without a name gets one": (
        [user(PDF | {"title": None})],
        [told([pdf("document.pdf")])],
        [told([pdf("x.pdf")])],
    ),
    "what a file is about is told behind it": (
        [user(PDF | {"context": "Mind it."})],
        [told([pdf("Plan"), text("About this document: Mind it.")])],
        [told([pdf("Plan")])],
    ),
    "a document of text is told as text": (
        [user({"type": "document", "title": "A & B", "source": {"type": "text", "media_type": "text/plain", "data": "a\nb"}})],
        [told('<document title="A &amp; B">\na\nb\n</document>')],
        [told("a\nb")],
    ),
    "a file at Anthropic is told of": (
        [user({"type": "image", "source": {"type": "file", "file_id": "f"}}, PNG)],
        [told([text("[An image was here; it is kept where it cannot be read.]"), image(PNG_URL)])],
        [told([text("[An image was here; it is kept where it cannot be read.]")])],
    ),
    "what only Anthropic knows is told of": (
        [
            user("hi"),
            assistant({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "ducks"}}, "So."),
            user({"type": "search_result", "title": "T", "source": "https://t.example", "content": [text("one")]}, "?"),
        ],
        [
            HI,
            assistant("[web_search: ducks]\nSo."),
            told('<search_result title="T" source="https://t.example">\none\n</search_result>\n?'),
        ],
        [
            HI,
            assistant("[web_search: ducks]\nSo."),
            told('<search_result title="T" source="https://t.example">\n</search_result>\n?'),
        ],
    ),
}


@pytest.mark.parametrize("about", SAME)
def test_what_may_differ_is_no_difference(about: str) -> None:
    expected, same, other = SAME[about]
    assert differences(asked(expected), sent(same)) == []
    assert differences(asked(expected), sent(other))


def test_a_deferred_tool_is_offered_when_it_has_come_up() -> None:
    def tools(*names: str, **fields: Any) -> list[Json]:
        return [{"name": name, "input_schema": {"type": "object"}, **fields} for name in names]

    def offered(*names: str) -> Conversation:
        return sent([HI], tools=[{"type": "function", "function": {"name": name}} for name in names])

    shown = user("hi", {"type": "tool_reference", "tool_name": "Edit"})
    declared = tools("Search") + tools("Edit", "Late", defer_loading=True)
    assert differences(asked([user("hi")], tools=declared), offered("Search")) == []
    assert differences(asked([user("hi")], tools=declared), offered("Search", "Edit", "Late")) == []
    lines = [differences(asked([shown], tools=declared), offered(*names)) for names in (("Search",), ("Search", "Edit"))]
    assert lines == [
        ["tools: Edit became nothing", "0: 'Edit' became ''"],
        ["0: 'Edit' became ''"],
    ]


def test_to_choose_the_only_tool_is_to_choose_any() -> None:
    def offered(*names: str, **fields: Any) -> Json:
        return {"tools": [{"name": name, "input_schema": {"type": "object"}} for name in names], **fields}

    def sent_with(*names: str, **fields: Any) -> Conversation:
        return sent([HI], tools=[{"type": "function", "function": {"name": name}} for name in names], **fields)

    choice = {"tool_choice": {"type": "tool", "name": "Read"}}
    assert differences(asked([user("hi")], **offered("Read", **choice)), sent_with("Read", tool_choice="required")) == []
    lines = differences(asked([user("hi")], **offered("Read", "Run", **choice)), sent_with("Read", "Run", tool_choice="required"))
    assert {line.partition(":")[0] for line in lines} == {"choice"}


def test_schemas_are_the_same_however_they_are_written() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "a/b": {}}, "required": ["next"]}
    unfolded = {"properties": {"next": {"type": "object"}, "a/b": {}}, "required": ["next"]}
    pairs = [
        ({"$ref": "#/$defs/node", "$defs": {"node": node}}, unfolded),
        (
            {"anyOf": [{"properties": {"a": {}, "b": {}}, "required": ["a", "b"]}, {"properties": {"a": {}}, "required": ["a"]}]},
            {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]},
        ),
        ({"allOf": [{"properties": {"a": {}}}, {"required": ["a"]}]}, {"properties": {"a": {}}, "required": ["a"]}),
        ({"properties": {"a": {"items": [node, {"type": "null"}]}}}, {"properties": {"a": {"items": {"anyOf": [node]}}}}),
        ({"properties": {"a": {}, "b": {}}, "required": ["a"]}, {"properties": {"a": {}, "b": {}}, "required": ["b", "a"]}),
    ]
    for one, other in pairs:
        assert differences(answer(one), answer(other)) == []
    for one, other in [(pairs[1][0], pairs[2][0]), ({"properties": {"a": pairs[1][1]}}, {"properties": {"a": {}}})]:
        [line] = differences(answer(one), answer(other))
        assert line.startswith("answer, schema:")


def answer(schema: Json) -> Conversation:
    return asked([user("hi")], output_config={"format": {"type": "json_schema", "schema": schema}})


# Dialects


def test_chat_is_read_as_it_was_spoken_before_there_were_tools_and_ids() -> None:
    conversation = sent(
        [
            HI,
            {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": ""}},
            {"role": "function", "name": "add", "content": "3"},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        ],
        functions=[{"name": "add"}],
        function_call={"name": "add"},
        stop="END",
    )
    assert conversation.items == [
        Text("user", "hi"),
        Call("call_1", "add", {}),
        Result("call_1", (Text("tool", "3"),), "add"),
        Text("assistant", "No."),
    ]
    assert (conversation.choice, conversation.chosen, conversation.stop) == ("tool", "add", ["END"])
    assert [tool.name for tool in conversation.tools] == ["add"]


def test_what_chat_dialects_hold_of_reasoning_is_read_in_its_place() -> None:
    chunk = {"type": "thinking", "thinking": [text("Hm.")]}
    details = [{"type": "reasoning.encrypted", "data": "x"}]
    conversation = sent(
        [
            HI,
            assistant(chunk, "So."),
            {"role": "assistant", "content": "a", "reasoning_content": "Hm.", "reasoning_details": details, "reasoning": ""},
        ]
    )
    assert conversation.items[1:] == [
        Reasoning(chunk),
        Text("assistant", "So."),
        Reasoning({"reasoning_content": "Hm.", "reasoning_details": details}),
        Text("assistant", "a"),
    ]


def test_generate_content_pairs_by_name_and_order_where_there_are_no_ids() -> None:
    calls = [{"functionCall": {"name": name, "args": {"n": n}}} for name, n in (("a", 1), ("b", 2), ("a", 3))]
    answers = [{"function_response": {"name": name, "response": {"output": told}}} for name, told in (("b", "2"), ("a", "1"))]
    failure = {"functionResponse": {"name": "a", "response": {"error": "3"}, "parts": [{"inlineData": inline("iVBORw0KGgo=")}]}}
    contents = [{"role": "model", "parts": calls}, {"role": "user", "parts": [*answers, failure, {"text": "so?"}]}]
    conversation = read("generate_content", {"contents": contents}, "models/m:streamGenerateContent?alt=sse")
    called = [item.id for item in conversation.items if isinstance(item, Call)]
    assert conversation.turns[1].items == (
        Result(called[1], (Text("tool", "2"),), "b"),
        Result(called[0], (Text("tool", "1"),), "a"),
        Result(called[2], (Text("tool", "3"), Image("image/png", decoded("iVBORw0KGgo"))), "a", is_error=True),
        Text("user", "so?"),
    )
    assert conversation.stream


def inline(data: str) -> Json:
    return {"mimeType": "image/png", "data": data}


def test_a_result_that_names_another_tool_than_its_call_is_a_difference() -> None:
    def contents(name: str) -> Conversation:
        parts = [{"functionCall": {"id": "1", "name": "Read", "args": {"path": "x"}}}]
        response = {"functionResponse": {"id": "1", "name": name, "response": {"output": "ok"}}}
        spoken = [("user", [{"text": "hi"}]), ("model", parts), ("user", [response])]
        config = {"maxOutputTokens": 10}
        body = {"contents": [{"role": role, "parts": told} for role, told in spoken], "generationConfig": config}
        return read("generate_content", body)

    assert differences(asked(HISTORY), contents("Read")) == []
    assert differences(asked(HISTORY), contents("Write")) == ["1, call 0, result, name: Read became Write"]


def test_results_hold_files_beside_their_words_or_behind_them() -> None:
    def contents(words: str, *files: Json) -> Conversation:
        answer = {"name": "Read", "response": {"output": words}, "parts": [*files]}
        spoken = [{"text": "hi"}], [{"functionCall": {"name": "Read", "args": {"path": "x"}}}], [{"functionResponse": answer}]
        told = [{"role": role, "parts": parts} for role, parts in zip(("user", "model", "user"), spoken, strict=True)]
        return read("generate_content", {"contents": [*told, {"role": "user", "parts": [{"text": "so?"}]}]})

    png = {"inlineData": inline("iVBORw0KGgo=")}
    shot = replace(asked(SHOT), max_tokens=None)
    assert differences(shot, contents("see\n[image below]", png)) == differences(shot, contents("see", png)) == []
    assert differences(shot, contents("see\n[image below]"))
    assert differences(shot, contents("see\n[image below]", png, png))


def test_responses_holds_files_in_results_in_their_order() -> None:
    spoken: list[Json] = [
        {"role": "user", "content": "hi"},
        {"type": "function_call", "call_id": "1", "name": "Read", "arguments": '{"path":"x"}'},
        {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "see"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "so?"}]},
    ]
    spoken[2]["output"] += [{"type": "input_image", "image_url": PNG_URL}]
    assert differences(asked(SHOT), read("responses", {"input": spoken, "max_output_tokens": 10})) == []
    order = [spoken[0], spoken[3], *spoken[1:3]]
    assert differences(asked(SHOT), read("responses", {"input": order, "max_output_tokens": 10}))


@pytest.mark.parametrize(
    ("effort", "written"),
    [
        ({}, (None, None)),
        ({"reasoning_effort": "low"}, ({"type": "adaptive"}, "low")),
        ({"reasoning_effort": "minimal"}, ({"type": "adaptive"}, "low")),
        ({"reasoning_effort": "none"}, ({"type": "disabled"}, None)),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, ({"type": "adaptive"}, "high")),
        ({"reasoning": {"max_tokens": 2000}}, ({"type": "enabled", "budget_tokens": 2000}, None)),
        ({"reasoning": {"enabled": True}}, ({"type": "adaptive"}, None)),
        ({"thinking": {"type": "disabled"}}, ({"type": "disabled"}, None)),
        ({"thinking": {"type": "enabled"}}, ({"type": "adaptive"}, None)),
        ({"enable_thinking": False}, ({"type": "disabled"}, None)),
        ({"thinkingLevel": "HIGH", "includeThoughts": True}, ({"type": "adaptive"}, "high")),
        ({"thinkingBudget": 0}, ({"type": "disabled"}, None)),
        ({"thinkingBudget": 128}, ({"type": "adaptive"}, None)),
        ({"thinkingBudget": 8000}, ({"type": "adaptive"}, None)),
    ],
)
def test_how_hard_to_think_is_said_in_anthropics_words(effort: Json, written: Any) -> None:
    assert write_effort(effort, max_tokens=4000) == written


def test_anthropic_requests_are_fit_for_anthropic() -> None:
    conversation = sent(
        [
            {"role": "developer", "content": "Be brief."},
            HI,
            CALLED | {"tool_calls": [CALLING | {"id": "functions.Read:0"}, CALLING | {"id": "functions.Read:0"}]},
            ANSWERED | {"tool_call_id": "functions.Read:0"},
            {"role": "developer", "content": "Mind."},
            told("so?"),
            {"role": "developer", "content": "Late."},
        ],
        tools=[{"type": "function", "function": {"name": "Read"}}, {"type": "openrouter:web_search"}],
        parallel_tool_calls=False,
        response_format={"type": "json_object"},
    )
    assert anthropic_request(conversation, "m") == {
        "model": "m",
        "max_tokens": 10,
        "system": "Be brief.",
        "messages": [
            user("hi"),
            assistant(call("functions_Read_0", path="x"), call("functions_Read_0_2", path="x")),
            user(
                result("functions_Read_0", "ok"),
                result("functions_Read_0_2", is_error=True) | {"content": "[no result]"},
                REMINDER,
                "so?",
            ),
            {"role": "system", "content": "Late."},
        ],
        "tools": [
            {"name": "Read", "input_schema": {"type": "object", "properties": {}}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    }
