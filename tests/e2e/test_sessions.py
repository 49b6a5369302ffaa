"""Sessions of real Claude Code. `play` says for each that it ends as it does with Anthropic; the rest is what that means."""

import base64
import hashlib
import json
import struct
import zlib
from typing import Any

import pytest

from tests.e2e import package
from tests.e2e.conftest import Session
from tests.e2e.stage import Model, Seen
from tests.e2e.wires import GEMINI, Found, Refusal, Reply, Result, Turn

missing = package.missing()
pytestmark = pytest.mark.skipif(missing is not None, reason=str(missing))


def says(text: str, **more: Any) -> Turn:
    return Turn(f"I'll say “{text[:20]}”.", secret(text), text, **more)


def calls(tool: str, inputs: dict[str, Any], text: str = "", **more: Any) -> Turn:
    return Turn(f"“{tool}” – naïve, but it'll do: {' '.join(inputs)}", secret(str(inputs)), text, [*inputs], tool, inputs, **more)


def secret(word: str) -> str:
    """What nobody but the provider can read."""
    return base64.b64encode(hashlib.sha512(word.encode()).digest()).decode()


def bash(id: str, command: str, **more: Any) -> Turn:
    return calls("Bash", {id: {"command": command, "description": "Look"}}, **more)


def test_a_bash_call(session: Session) -> None:
    def model(seen: Seen) -> Reply:
        if "call-1" not in seen.results:
            return bash("call-1", "cat a.txt")
        return says(f"It says: {seen.results['call-1'].text}")

    ended = session.play(model, "What does a.txt say?", files={"a.txt": b"the secret is 42\n"})
    assert ended.answer == "It says: the secret is 42"
    assert ended.results == {"call-1": Result("the secret is 42")}
    assert len(ended.seen) == 2


def test_parallel_reads(session: Session) -> None:
    """Each result belongs to its call, in whatever order the tools are done."""
    names = ("one", "two", "three", "four")

    def model(seen: Seen) -> Reply:
        if not seen.results:
            return calls("Read", {f"call-{name}": {"file_path": name} for name in names})
        return says("All are read.")

    files = {name: f"this is file {name}\n".encode() for name in names}
    files["two"] += b"and it is long\n" * 500
    ended = session.play(model, "Read the files.", files=files)
    assert ended.answer == "All are read."
    assert len(ended.seen) == 2
    assert ended.results.keys() == {f"call-{name}" for name in names}
    for name in names:
        assert f"this is file {name}" in ended.results[f"call-{name}"].text


def test_an_edit(session: Session) -> None:
    """What is written is what the model said, to the last quotation mark."""
    old, new = 'print("old")\n', """print("new", 'naïve – “😀”', "\\\\ \\t", f'{x}')\n\tpass\n"""

    def model(seen: Seen) -> Reply:
        if "call-read" not in seen.results:
            return calls("Read", {"call-read": {"file_path": "a.py"}})
        if "call-edit" not in seen.results:
            return calls("Edit", {"call-edit": {"file_path": "a.py", "old_string": old, "new_string": new}}, "Now I change it.")
        return says("Done.")

    ended = session.play(model, "Change a.py.", files={"a.py": f"import os\n{old}".encode()})
    assert ended.answer == "Done."
    assert ended.files == {"a.py": f"import os\n{new}".encode()}


def test_a_subagent(session: Session) -> None:
    """It works on its own, and what it found comes back as the result of the call."""
    ended = session.play(asking_an_agent(run_in_background=False), "Ask an agent.", files={"word.txt": b"XYZZY\n"})
    assert ended.answer == "The agent said XYZZY."
    assert "The word is XYZZY." in ended.results["call-agent"].text


def test_a_subagent_in_the_background(session: Session) -> None:
    """The conversation goes on without it, and is told when it is done."""
    ended = session.play(asking_an_agent(), "Ask an agent.", files={"word.txt": b"XYZZY\n"})
    assert ended.answer == "The agent said XYZZY."
    assert "XYZZY" not in ended.results["call-agent"].text


def asking_an_agent(**how: bool) -> Model:
    task = {"description": "Find the word", "prompt": "Say the magic word.", "subagent_type": "general-purpose", **how}

    def model(seen: Seen) -> Reply:
        if task["prompt"] in seen.text and "call-agent" not in seen.text:
            if "call-word" not in seen.results:
                return bash("call-word", "cat word.txt")
            return says(f"The word is {seen.results['call-word'].text}.")
        if "call-agent" not in seen.results:
            return calls("Agent", {"call-agent": task})
        return says("The agent said XYZZY." if "The word is XYZZY." in seen.text else "I wait for the agent.")

    return model


def test_a_web_search(session: Session) -> None:
    """The tool is found first, as Claude Code keeps it back; then a model that searches is asked, by a route of its own."""
    # OpenAI tells the addresses of what it has found, and no titles.
    page = {"title": "https://example.com/tower", "url": "https://example.com/tower"}

    def model(seen: Seen) -> Reply:
        if "Perform a web search" in seen.text and not seen.results:
            return Found("Let me search.", "s", "It is 330 m high.", query="height of the tower", **page)
        if "call-find" not in seen.results:
            return calls("ToolSearch", {"call-find": {"query": "select:WebSearch"}})
        if "call-search" not in seen.results:
            return calls("WebSearch", {"call-search": {"query": "height of the tower"}})
        return says("It is 330 m high, says example.com.")

    ended = session.play(model, "How high is the tower?")
    assert ended.answer == "It is 330 m high, says example.com."
    assert json.dumps([page], separators=(",", ":")) in ended.results["call-search"].text
    assert "It is 330 m high." in ended.results["call-search"].text
    assert [seen.model for seen in ended.seen] == ["main", "main", "search", "main"]


def test_an_image_read(session: Session) -> None:
    picture = png()

    def model(seen: Seen) -> Reply:
        if "call-1" not in seen.results:
            return calls("Read", {"call-1": {"file_path": "dots.png"}})
        return says("Dots." if base64.b64encode(picture).decode() in seen.text else "I see nothing.")

    ended = session.play(model, "What is in dots.png?", files={"dots.png": picture})
    assert ended.answer == "Dots."


def png() -> bytes:
    """A picture of 16 by 16 grey dots, each another grey than the last."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(bytes([0, *range(row * 16, row * 16 + 16)]) for row in range(16))
    header = struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_a_tool_that_fails(session: Session) -> None:
    def model(seen: Seen) -> Reply:
        if "call-1" not in seen.results:
            return bash("call-1", "echo some words; cat nothing.txt; exit 3")
        return says("It failed." if seen.results["call-1"].failed else "It went well.")

    ended = session.play(model, "Show nothing.txt.")
    assert ended.answer == "It failed."
    assert "some words" in ended.results["call-1"].text
    assert "nothing.txt" in ended.results["call-1"].text


def test_a_call_that_makes_no_sense(session: Session) -> None:
    """An unknown tool, and one without its input: Claude Code says what is wrong, and the model gets it right."""

    def model(seen: Seen) -> Reply:
        if "call-unknown" not in seen.results:
            return calls("Teleport", {"call-unknown": {"to": "home"}})
        if "call-empty" not in seen.results:
            return calls("Bash", {"call-empty": {}})
        return says("I see.")

    ended = session.play(model, "Go home.")
    assert ended.answer == "I see."
    assert ended.results["call-unknown"].failed
    assert ended.results["call-empty"].failed
    assert "command" in ended.results["call-empty"].text


def test_thinking_comes_back(session: Session) -> None:
    """Each turn's state goes back to its provider in every later request, once, to the byte, also when the session is resumed."""
    steps = [bash(f"call-{number}", f"echo {number}", text=f"Step {number}.") for number in range(3)]

    def model(seen: Seen) -> Reply:
        step = next((step for step in steps if step.calls[0] not in seen.results), None)
        return step or says("Done.")

    ended = session.play(model, "Do three steps.", ("And now?", "--continue"))
    assert ended.answers == ["Done.", "Done."]
    assert len(ended.seen) == 5
    for number, seen in enumerate(ended.seen):
        assert [seen.holds(seen.wire.state(step)) for step in steps] == [1 if step < number else 0 for step in range(3)]


def test_forty_turns(session: Session) -> None:
    """The session outgrows its model, goes on with that for long contexts, and forgets nothing."""

    def model(seen: Seen) -> Reply:
        done = len(seen.results)
        if done < 40:
            return bash(f"call-{done}", f"echo turn {done}; seq {1000 + done} {1999 + done}")
        return says("That was all.")

    ended = session.play(model, "Count.")
    assert ended.answer == "That was all."
    assert ended.turns == [41]
    for number in range(40):
        assert ended.results[f"call-{number}"].text.startswith(f"turn {number}\n{1000 + number}\n")
    models = [seen.model for seen in ended.seen]
    assert models == ["main"] * models.count("main") + ["long"] * models.count("long")
    assert models.count("long") in range(5, 36)
    assert [len(seen.results) for seen in ended.seen] == [*range(41)]


def test_an_overflow(session: Session) -> None:
    """The provider says in words of its own that it is too much. Claude Code has a summary made and goes on from there."""

    def model(seen: Seen) -> Reply:
        if "<summary>" in seen.text.rpartition("call-")[2]:
            return says("<analysis>They count.</analysis><summary>We have counted to three.</summary>")
        if "We have counted to three." in seen.text:
            return says("And four.")
        done = len(seen.results)
        return bash(f"call-{done}", f"echo {done}") if done < 4 else Refusal("too long")

    ended = session.play(model, "Count.")
    assert ended.answer == "And four."
    assert ended.log.count(" 400 ") == 1
    *_, refused, summary, last = ended.seen
    assert len(ended.seen) == 7
    assert len(refused.results) == 4
    assert len(last.results) < 4
    assert "TEXT ONLY" in summary.text


def test_an_overload(session: Session) -> None:
    def model(seen: Seen) -> Reply:
        return says("Hello.") if seen.earlier else Refusal("overloaded")

    ended = session.play(model, "Say hello.")
    assert ended.answer == "Hello."
    assert len(ended.seen) == 2
    assert " 529 " in ended.log


def test_a_limit_that_says_when_it_ends(session: Session) -> None:
    def model(seen: Seen) -> Reply:
        return says("Hello.") if seen.earlier else Refusal("limited", {"retry-after": "2"})

    ended = session.play(model, "Say hello.")
    assert ended.answer == "Hello."
    first, second = ended.seen
    assert second.at - first.at >= 2
    assert " 429 " in ended.log


def test_a_provider_that_dies_in_mid_thought(session: Session) -> None:
    """Nothing was said, and the question is asked once more, for an answer in one piece."""
    thought = says("Hello.").thought

    def model(seen: Seen) -> Reply:
        return says("Hello.", dies_in="" if seen.earlier else thought)

    ended = session.play(model, "Say hello.")
    assert ended.answer == "Hello."
    assert [seen.is_streamed for seen in ended.seen] == [True, session.wire is GEMINI]


def test_a_provider_that_dies_in_mid_text(session: Session) -> None:
    """Where Anthropic's connection just breaks, Claude Code asks again. The proxy says that it did, and it asks for the rest."""
    text = "This is one half, and this is the other."

    def model(seen: Seen) -> Reply:
        return says(text, dies_in="" if seen.earlier else text)

    ended = session.play(model, "Say something.", in_as_many_turns=False)
    assert ended.answer == text
    assert ended.turns == [2]
    first, second = ended.seen
    assert [seen.text.count("cut off mid-stream") for seen in (first, second)] == [0, 1]
    assert text[:10] not in second.text


def test_a_provider_that_dies_in_mid_call(session: Session) -> None:
    """What came in half is not run, and what comes then runs once. Gemini's calls come whole, and run though it dies."""
    command = {"command": "echo ran >> ran.txt", "description": "Note it"}

    def model(seen: Seen) -> Reply:
        if "call-1" not in seen.results:
            return calls("Bash", {"call-1": command}, dies_in="" if seen.earlier else json.dumps(command))
        return says("Done.")

    ended = session.play(model, "Run it.", in_as_many_turns=False)
    assert ended.answer == "Done."
    assert ended.files == {"ran.txt": b"ran\n"}
    assert len(ended.seen) == (2 if session.wire is GEMINI else 3)


def test_a_fallback(session: Session) -> None:
    """Another provider takes one turn in the middle: it gets the history, and neither gets the other's thoughts."""
    first, second = bash("call-1", "echo one"), bash("call-2", "echo two")

    def model(seen: Seen) -> Reply:
        if "call-1" not in seen.results:
            return first
        if "call-2" not in seen.results:
            return Refusal("overloaded") if seen.model == "main" else second
        return says("Done.")

    ended = session.play(model, ("Do two things.", "--model", "claude-sonnet-5-5"))
    assert ended.answer == "Done."
    assert ended.results == {"call-1": Result("one"), "call-2": Result("two")}
    assert [seen.model for seen in ended.seen] == ["main", "main", "spare", "main"]
    *_, spare, last = ended.seen
    assert spare.wire is not last.wire
    assert spare.results == {"call-1": Result("one")}
    assert not is_told(first, spare)
    assert last.holds(last.wire.state(first)) == 1
    assert not is_told(second, last)


def test_another_model_in_the_middle(session: Session) -> None:
    """The session is resumed with a model of another provider: it knows what was done, and gets nobody's thoughts."""
    first = bash("call-1", "echo one")

    def model(seen: Seen) -> Reply:
        if "call-1" not in seen.results:
            return first
        return says("And again." if "And now?" in seen.text else "Done.")

    ended = session.play(model, "Do it.", ("And now?", "--continue", "--model", "claude-haiku-5-5"))
    assert ended.answers == ["Done.", "And again."]
    assert [seen.model for seen in ended.seen] == ["main", "main", "small"]
    before, after = ended.seen[1:]
    assert before.holds(before.wire.state(first)) == 1
    assert after.wire is not before.wire
    assert after.results == {"call-1": Result("one")}
    assert not is_told(first, after)


def is_told(turn: Turn, seen: Seen) -> bool:
    """Whether anything of the turn's thoughts is in the request, be it sealed by the proxy."""
    return any(thing in seen.text for thing in (turn.state, turn.thought, "ccproxy1."))


def test_as_an_agent_sdk_asks(session: Session) -> None:
    """It is told each block in a line of its own, and the last one is the answer."""

    def model(seen: Seen) -> Reply:
        return says("Hello.") if "call-1" in seen.results else bash("call-1", "echo one")

    ended = session.play(model, ("Say hello.", "--output-format", "stream-json", "--verbose"))
    assert ended.answer == "Hello."
