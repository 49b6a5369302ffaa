"""Recorded exchanges, read as plainly as possible: what the proxy's answer must say.

Nothing of engine/ is used here, and nothing is clever: the whole recording is in hand, so it is split, parsed and looped
over. Each wire format has a file of its own. Where a rule is not the provider's own, its section of providers.md or its
case of edge-cases.md stands beside it.
"""

import importlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

# The file that reads what a recording calls `api`.
FORMATS = {
    "chat_completions": "chat",
    "responses": "responses",
    "generate_content": "generate_content",
    "messages": "messages",
}

# providers.md 5.6
ERRORS = {
    400: (400, "invalid_request_error"),
    401: (401, "authentication_error"),
    403: (403, "permission_error"),
    404: (404, "not_found_error"),
    429: (429, "rate_limit_error"),
    500: (500, "api_error"),
    502: (500, "api_error"),
}

# What is nobody else's business, of which nothing is passed on (providers.md 5.6).
SECRETS = {
    r"\*{4}-key": "[key]",
    r"(?<=API key provided: )[\w-]+": "[key]",
    r"\b(proj_|org-)\w+|(?<=project_number:)\d+": "[account]",
}


@dataclass
class Call:
    """`input` is the arguments parsed, or their text where they are cut off."""

    name: str
    input: Any


@dataclass
class Search:
    """A web search that the provider ran itself: the (address, title) of what it found, as far as it tells."""

    queries: list[str]
    found: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Error:
    status: int  # the client's
    type: str
    words: str


# A stream that ends without its end, or an answer that never got to one (S20, S37): nobody says why.
CUT = Error(500, "api_error", "")


@dataclass
class Reading:
    """`text` is all that a person would be shown, a refusal's words among it; `order` the kinds of block as they came.

    `citations` are the (address, title) that the text rests on, `state` is what the provider wants back beside what was
    said, as (kind, value), and `unshown` the kinds of what an answer in Anthropic's format has no block for. Each format
    says which those are.
    """

    text: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    refusal: str = ""
    stop: str | None = None
    usage: dict[str, int] | None = None
    error: Error | None = None
    searches: list[Search] = field(default_factory=list)
    citations: list[tuple[str, str]] = field(default_factory=list)
    state: list[tuple[str, str]] = field(default_factory=list)
    unshown: list[str] = field(default_factory=list)


def read(recording: dict[str, Any]) -> Reading:
    # A format's file needs the words above, so it comes after them.
    reading: Reading = importlib.import_module(f"{__name__}.{FORMATS[recording['api']]}").read(recording)
    return reading


def split_sse(text: str) -> tuple[list[dict[str, Any]], bool]:
    """The chunks of a stream, and whether it says that it is complete."""
    chunks, done = [], False
    for event in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line.removeprefix("data:").strip() for line in event.split("\n") if line.startswith("data:")]
        data = "\n".join(lines)
        if data == "[DONE]":
            done = True
        elif data:
            chunks.append(json.loads(data))
    return chunks, done


# What the model says


def put_together(pieces: list[tuple[str, str]], calls: list[Call]) -> Reading:
    """What was said, of its pieces in order: (kind, text), the kinds being thinking, text, refusal and tool_use."""
    reading = Reading(calls=calls, refusal="".join(text for kind, text in pieces if kind == "refusal"))
    for kind, text in runs(pieces):
        if not text.strip():  # S03, S05: no block of white space alone; Anthropic refuses such a history
            continue
        if kind == "text":
            reading.text += text
        if kind == "thinking":
            reading.reasoning += text
        if reading.order[-1:] != [kind]:
            reading.order.append(kind)
    return reading


def runs(pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbouring pieces of a kind joined; a refusal is text."""
    joined: list[tuple[str, str]] = []
    for kind, text in pieces:
        kind = "text" if kind == "refusal" else kind
        if not text:
            continue
        if joined and joined[-1][0] == kind:
            joined[-1] = (kind, joined[-1][1] + text)
        else:
            joined.append((kind, text))
    return joined


def read_arguments(text: str) -> Any:
    try:
        return json.loads(text or "{}")  # S11
    except json.JSONDecodeError:
        return text


# The end


def settle(stop: str, reading: Reading) -> str:
    """S13: a call makes it tool_use, whatever the word, except that length and refusal say more. S14: none, end_turn."""
    if reading.refusal:  # S32
        return "refusal"
    if stop in ("end_turn", "tool_use"):
        return "tool_use" if reading.calls else "end_turn"
    return stop


# Errors


def http_error(reply: dict[str, Any], status: int) -> Error:
    """By the status, but that Google and xAI say 400 to a wrong key."""
    words = error_words(reply)
    wrong_key = re.match("API key not valid|Incorrect API key", words)
    return Error(*ERRORS[401 if wrong_key else status], words)


def error_words(reply: dict[str, Any]) -> str:
    """The first words in providers.md 5.6's order: a gateway's own come after those of the provider behind it."""
    error = reply.get("error")
    if isinstance(error, dict):
        raw = (error.get("metadata") or {}).get("raw")
        if isinstance(raw, str):
            return str(json.loads(raw)["errors"][0]["message"]) if raw.startswith("{") else raw
        return without_secrets(str(error["message"]))
    return without_secrets(str(error or reply.get("message") or reply["detail"]))


def without_secrets(words: str) -> str:
    for secret, stand_in in SECRETS.items():
        words = re.sub(secret, stand_in, words)
    return words.strip()
