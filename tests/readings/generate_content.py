"""generateContent, Gemini's and Vertex's.

A stream is a list of answers, each with the next parts, and a whole answer is a list of one. A word for the end does not
end it: with code execution more may come after a first STOP.

- thinking is what is marked as `thought`; a signature marks nothing
- state is the signatures in order, each with the kind of part that it stood on: `call`, `text`, `thought`, `empty` for a
  part whose text is empty, or the name of a part that is unshown
- searches and citations are those of `groundingMetadata` with an address; a file search has none
- unshown are all other parts: executableCode and codeExecutionResult, toolCall and toolResponse (tools of Google's own),
  inlineData (images, sound); and citationMetadata and urlContextMetadata, which stand beside the parts
- a refusal's words, where there are any, are shown as text (S32)
"""

import json
import re
from typing import Any

from tests.readings import CUT, Call, Reading, Search, http_error, put_together, settle, split_sse

# providers.md 5.4
STOPS = {
    "STOP": "end_turn",
    1: "end_turn",  # numbers come where the request asks for them: $alt=json;enum-encoding=int
    "MAX_TOKENS": "max_tokens",
    "SAFETY": "refusal",
    "RECITATION": "refusal",
    "MODEL_ARMOR": "refusal",
    # A call of a function that was not declared is still a call (S13): a client says that there is no such tool.
    "UNEXPECTED_TOOL_CALL": "end_turn",
}

SHOWN = ("text", "thought", "thoughtSignature", "functionCall")
BESIDE = ("citationMetadata", "urlContextMetadata")


def read(recording: dict[str, Any]) -> Reading:
    if recording["status"] >= 400:
        return Reading(error=http_error(recording["response"], recording["status"]))
    return read_chunks(split(recording) if recording["stream"] else [recording["response"]])


def split(recording: dict[str, Any]) -> list[dict[str, Any]]:
    if recording["stream_format"] == "json_array":
        chunks: list[dict[str, Any]] = json.loads(recording["response_raw"])
        return chunks
    return split_sse(recording["response_raw"])[0]


def read_chunks(chunks: list[dict[str, Any]]) -> Reading:
    candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates", []) if candidate.get("index", 0) == 0]
    parts = [part for candidate in candidates for part in candidate.get("content", {}).get("parts", [])]
    stop, refusal = read_end(chunks, candidates)
    reading = put_together([*map(read_part, parts), ("refusal", refusal)], read_calls(parts))
    grounds = [candidate["groundingMetadata"] for candidate in candidates if candidate.get("groundingMetadata")]
    reading.searches = [read_search(ground) for ground in grounds if ground.get("webSearchQueries")]
    reading.citations = [citation for ground in grounds for citation in read_citations(ground)]
    reading.state = [(kind_of(part), part["thoughtSignature"]) for part in parts if part.get("thoughtSignature")]
    reading.unshown = read_unshown(parts, candidates)
    if stop is None:
        reading.error = CUT
        return reading
    reading.stop = settle(stop, reading)
    reading.usage = read_usage(chunks)
    return reading


# What the model says


def read_part(part: dict[str, Any]) -> tuple[str, str]:
    if "functionCall" in part:
        return "tool_use", "a call" if part["functionCall"].get("name") else ""
    return "thinking" if part.get("thought") else "text", part.get("text", "")


def read_calls(parts: list[dict[str, Any]]) -> list[Call]:
    """A call is one part, but where Vertex was asked for arguments in pieces: then those without a name go on with it."""
    calls: list[Call] = []
    for call in [part["functionCall"] for part in parts if "functionCall" in part]:
        if call.get("name"):
            calls.append(Call(call["name"], call.get("args") or {}))
        for piece in call.get("partialArgs", []):
            put_in(calls[-1].input, piece)
    return calls


def put_in(arguments: Any, piece: dict[str, Any]) -> None:
    """`$.operations[0].action` and a value, of which a text goes on where there is one already (providers.md 2.4)."""
    [value] = [piece[name] for name in ("stringValue", "numberValue") if name in piece]
    *way, last = [name or int(index) for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", piece["jsonPath"])]
    for step, following in zip(way, [*way[1:], last], strict=True):
        arguments = reach(arguments, step, [] if isinstance(following, int) else {})
    arguments[last] = arguments[last] + value if last in arguments else value


def reach(place: Any, step: str | int, empty: Any) -> Any:
    """What stands at the step, which is made where there is nothing yet."""
    if isinstance(place, dict):
        return place.setdefault(step, empty)
    if step == len(place):
        place.append(empty)
    return place[step]


# What is not said


def read_search(ground: dict[str, Any]) -> Search:
    return Search(ground["webSearchQueries"], [page(chunk) for chunk in ground.get("groundingChunks", []) if "web" in chunk])


def read_citations(ground: dict[str, Any]) -> list[tuple[str, str]]:
    supports = ground.get("groundingSupports", [])
    chunks = [ground["groundingChunks"][index] for support in supports for index in support["groundingChunkIndices"]]
    return [page(chunk) for chunk in chunks if "web" in chunk]


def page(chunk: dict[str, Any]) -> tuple[str, str]:
    return chunk["web"]["uri"], chunk["web"]["title"]


def kind_of(part: dict[str, Any]) -> str:
    if "functionCall" in part:
        return "call"
    if "text" in part:
        return "thought" if part.get("thought") else "text" if part["text"] else "empty"
    [other] = part.keys() - {"thoughtSignature"}
    return str(other)


def read_unshown(parts: list[dict[str, Any]], candidates: list[dict[str, Any]]) -> list[str]:
    kinds = [name for part in parts for name in part if name not in SHOWN]
    kinds += [name for candidate in candidates for name in BESIDE if name in candidate]
    return list(dict.fromkeys(kinds))


# The end


def read_end(chunks: list[dict[str, Any]], candidates: list[dict[str, Any]]) -> tuple[str | None, str]:
    """The stop reason, and a refusal's words. The last word counts; where there is none, the stream is cut off (S20)."""
    for feedback in [chunk.get("promptFeedback", {}) for chunk in chunks]:
        if "blockReason" in feedback or "blockReasonMessage" in feedback:
            return "refusal", feedback.get("blockReasonMessage", "")
    ends = [candidate for candidate in candidates if "finishReason" in candidate]
    if not ends:
        return None, ""
    stop = STOPS[ends[-1]["finishReason"]]
    return stop, ends[-1].get("finishMessage", "") if stop == "refusal" else ""


def read_usage(chunks: list[dict[str, Any]]) -> dict[str, int] | None:
    """Each chunk tells the sum so far, so of each number the last counts. The arithmetic is providers.md 5.5."""
    told: dict[str, Any] = {}
    for chunk in chunks:
        told |= chunk.get("usageMetadata", {})
    if not told:
        return None
    prompt = told.get("promptTokenCount", 0) + told.get("toolUsePromptTokenCount", 0)
    cached, thoughts = told.get("cachedContentTokenCount", 0), told.get("thoughtsTokenCount", 0)
    return {
        "input_tokens": max(0, prompt - cached),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": told.get("candidatesTokenCount", 0) + thoughts,
        "thinking_tokens": thoughts,
    }
