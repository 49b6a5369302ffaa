"""Ten turns with a made-up model of each mapping: all that it thought comes back to it, and to nobody else.

The client keeps what it was sent and sends it back; nothing else connects one turn with the next. Calls come one at a
time and in pairs, their results in another order, one with a picture and one as an error.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.gateway.exchange import Exchange
from engine.wire import validate
from engine.wire.assembler import fold
from tests import answers
from tests.answers import Said, streamed
from tests.every_mapping import chain, format_of, mapping, model, names
from tests.grammar import check, sdk_message

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
READ = {"name": "Read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}}
THINKING = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}

# Who thinks in another form than its format's first.
FORMS: dict[str, Callable[[Said], Iterator[Any]]] = {
    "openrouter": answers.chat_with_details,
    "vercel": answers.chat_with_details,
    "minimax-chat": answers.chat_with_details,
    "mistral": answers.chat_with_thinking_parts,
    "groq": answers.chat_under_another_name,
    "cerebras": answers.chat_under_another_name,
    "ollama": answers.chat_under_another_name,
}
# Older and newer versions read it under different names.
UNDER_TWO_NAMES = ("vllm",)
# Whose reasoning is readable and all there is of it.
WORDS_ALONE = (answers.chat, answers.chat_under_another_name, answers.chat_with_thinking_parts)

TURNS = [
    Said("thought-0", "state-0", "said-0"),
    Said("thought-1", "state-1", calls=["call_1a"]),
    Said("thought-2", "state-2", "said-2", calls=["call_2a", "call_2b"]),
    Said("thought-3", "state-3", calls=["call_3a", "call_3b", "call_3c"]),
    Said("thought-4", "state-4", "said-4"),
    Said("thought-5", "state-5", "said-5", calls=["call_5a"]),
    Said("thought-6", "state-6", calls=["call_6a"]),
    Said("thought-7", "state-7", calls=["call_7a", "call_7b"]),
    Said("thought-8", "state-8", "said-8"),
    Said("thought-9", "state-9", "said-9"),
]


class Session:
    """A client that keeps what it was told."""

    def __init__(self, display: str) -> None:
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": "asked-0"}]
        self.display = display

    def ask(self, name: str) -> Exchange:
        thinking = THINKING["thinking"] | {"display": self.display}
        request = {"model": "claude", "max_tokens": 9000, "stream": True, "tools": [READ], "messages": self.messages}
        request |= THINKING | {"thinking": thinking}
        validate.check(request)
        return Exchange(name, mapping(name), model(name), request, request_id=f"req_{len(self.messages)}")

    def turn(self, name: str, said: Said, number: int) -> dict[str, Any]:
        """One turn with a provider; what was sent upstream."""
        exchange = self.ask(name)
        events = exchange.receive(streamed(form_of(name), said)) + exchange.finish()
        check(events)
        message = fold(events)
        assert [block["text"] for block in message["content"] if block["type"] == "text"] == [said.text] * bool(said.text)
        calls = [block for block in message["content"] if block["type"] == "tool_use"]
        assert [(call["name"], call["input"]) for call in calls] == [("Read", said.input(id)) for id in said.calls]
        assert len(sdk_message(events)["content"]) == len(message["content"])
        self.messages.append({"role": "assistant", "content": message["content"]})
        self.messages.append({"role": "user", "content": self.results(calls) or f"asked-{number + 1}"})
        return exchange.body

    def results(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Parallel ones in another order than that of the calls, as Claude Code has them."""
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        shown: dict[str, Any] = {"call_2b": [{"type": "text", "text": "a picture"}, picture]}
        results = []
        for call in reversed(calls):
            path = call["input"]["path"]
            result = {"type": "tool_result", "tool_use_id": call["id"], "content": shown.get(path, f"result of {path}")}
            results.append(result | ({"is_error": True} if path == "call_7a" else {}))
        return results


def form_of(name: str) -> Callable[[Said], Iterator[Any]]:
    forms: dict[str, Callable[[Said], Iterator[Any]]] = {
        "chat": answers.chat,
        "responses": answers.responses,
        "generate_content": answers.generate_content,
        "messages": answers.messages,
    }
    return next((FORMS[ancestor] for ancestor in chain(name) if ancestor in FORMS), forms[format_of(name)])


def tokens(name: str, said: Said) -> list[str]:
    """What is to come back of a turn."""
    return [said.thought] if form_of(name) in WORDS_ALONE else [said.state]


def is_carried(name: str, said: Said, display: str) -> bool:
    """What comes behind the last words of a turn has no place where the client takes the last block for the answer."""
    return not (form_of(name) is answers.generate_content and display == "omitted" and not said.calls)


def takes_back(name: str) -> bool:
    """A provider that wants no reasoning back says so in its mapping."""
    return mapping(name).facts_of(model(name)).reasoning_history != "drop"


def stretch(body: str, number: int) -> str:
    """The text of a request between what the user said last before a turn and first after it."""
    before = [f"result of {id}" for id in TURNS[number - 1].calls] if number and TURNS[number - 1].calls else [f"asked-{number}"]
    after = [f"result of {id}" for id in TURNS[number].calls] or [f"asked-{number + 1}"]
    start = max(body.rfind(mark) for mark in before)
    end = min(place for mark in after if (place := body.find(mark)) >= 0)
    assert 0 <= start < end
    return body[start:end]


@pytest.mark.parametrize("display", ["summarized", "omitted"])
@pytest.mark.parametrize("name", names())
def test_all_reasoning_comes_back_to_its_turn(name: str, display: str) -> None:
    session = Session(display)
    for number, said in enumerate(TURNS):
        body = json.dumps(session.turn(name, said, number))
        for earlier in range(number):
            for token in tokens(name, TURNS[earlier]):
                comes = takes_back(name) and is_carried(name, TURNS[earlier], display)
                assert (token in stretch(body, earlier)) == comes, f"{token} in turn {number}"
                assert body.count(token) == comes * (2 if name in UNDER_TWO_NAMES else 1)
    told = json.dumps([block for message in session.messages for block in message["content"] if isinstance(block, dict)])
    assert ("thought-3" in told) == (display == "summarized")


@pytest.mark.parametrize("name", names())
def test_nobody_gets_the_reasoning_of_another(name: str) -> None:
    """Five turns with one provider, two with another, and back again."""
    other = "gemini" if format_of(name) != "generate_content" else "openai"
    session = Session("omitted")
    speakers = [name] * 5 + [other] * 2 + [name] * 3
    for number, (said, speaker) in enumerate(zip(TURNS, speakers, strict=True)):
        body = json.dumps(session.turn(speaker, said, number))
        for earlier, author in enumerate(speakers[:number]):
            for secret in {TURNS[earlier].state, TURNS[earlier].thought}:
                own = speaker == author and takes_back(speaker) and secret in tokens(speaker, TURNS[earlier])
                own = own and is_carried(speaker, TURNS[earlier], "omitted")
                if own or speaker != author:
                    assert (secret in body) == own, f"{secret} of {author} in turn {number} with {speaker}"
        assert "ccproxy1." not in body


def test_every_form_belongs_to_a_mapping() -> None:
    assert FORMS.keys() <= {*names()}
