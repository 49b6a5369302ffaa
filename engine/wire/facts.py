"""The small named facts about a provider that the protocol code acts on.

A mapping states them under `capabilities`, `limits` and `quirks`; `docs/facts.md` is this table, generated.
A new provider is made of known words. Where a word is missing, it is added here, never a provider's name elsewhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.wire.schema import RULES
from engine.wire.thinking import EFFORTS

CHOICES = ("auto", "any", "tool", "none")
"""Anthropic's words for who chooses a tool."""

SHORTEST_NAME = 16
"""With room for a hash behind a readable beginning; of far shorter ones there are not enough for all tools."""

SHORTEST_ID = 8
LONGEST_ID = 64
"""As long as a hash is; of ids that are much shorter there are not enough for all calls of a conversation."""


def _word(
    group: str,
    default: Any,
    about: str,
    answers: str = "",
    known: Iterable[str] = (),
    least: int | None = None,
    most: int | None = None,
) -> Any:
    """A fact: where it stands in a mapping, its default, what it means, the edge cases it answers.

    Of a list of words, `known` are those that may be in it; a number is not below `least` and not above `most`.
    """
    told = {"group": group, "about": about, "answers": answers, "known": tuple(known), "least": least, "most": most}
    return field(default=default, metadata=told)


@dataclass(frozen=True, slots=True)
class Facts:
    """What `history`, `schema` and `assembler` need to know of the provider at the other end."""

    tools: bool = _word("capabilities", True, "The provider can call tools.")
    strict_tools: bool = _word("capabilities", True, "A tool's input can be held to its schema; else that is left out.", "G02")
    images: bool = _word("capabilities", True, "The models see images; else a sentence stands for each.", "R27")
    image_urls: bool = _word("capabilities", True, "Images may lie at an address; else a sentence stands for each.", "R27")
    documents: bool = _word("capabilities", False, "PDF documents are taken as files; else a sentence stands for each.", "R28")
    document_urls: bool = _word("capabilities", False, "PDF documents may lie at an address.", "R28")
    web_search: bool = _word(
        "capabilities", False, "The provider searches the web itself; else a question that needs it is declined in words.", "R29"
    )

    context: int | None = _word(
        "limits",
        None,
        "The tokens of prompt and answer together; `max_tokens` is lowered to the room that is left.",
        "R21",
        least=1,
    )
    max_output: int | None = _word(
        "limits", None, "The most tokens an answer may have; `max_tokens` is lowered to it.", "R21", least=1
    )
    min_output: int = _word("limits", 1, "The least that `max_tokens` may be; a lower one is raised to it.", "R20", least=1)
    max_stop: int | None = _word(
        "limits", None, "How many stop sequences the provider takes; the rest are enforced here.", "R23", least=0
    )
    max_tools: int | None = _word("limits", None, "How many tools the provider takes; more are refused in words.", "G08", least=1)
    tool_name_max: int = _word(
        "limits", 64, "The longest tool name; longer ones are shortened, reversibly.", "G06 G07 S39", least=SHORTEST_NAME
    )
    tool_id_max: int = _word(
        "limits", 64, "The longest tool call id; longer ones are shortened, reversibly.", "G09", least=SHORTEST_NAME
    )
    tool_id_length: int | None = _word(
        "limits",
        None,
        "Where a tool call id has to be just so many letters and digits: how many; others are hashed.",
        "G09",
        least=SHORTEST_ID,
        most=LONGEST_ID,
    )

    attribution: Literal["drop", "keep"] = _word(
        "quirks", "drop", "What becomes of Claude Code's billing line, the first system block.", "R14"
    )
    mid_system: Literal["keep", "fold"] = _word(
        "quirks", "fold", "A system message between turns: kept in its place, or folded into the user's words.", "R08"
    )
    user_after_tool: bool = _word(
        "quirks", True, "A user message may follow tool results; else a short assistant message goes between.", "R09"
    )
    prefill: Literal["keep", "drop"] = _word(
        "quirks", "keep", "What becomes of an assistant message that ends the request.", "R11"
    )
    tool_result_images: Literal["native", "followup"] = _word(
        "quirks", "followup", "Images in a tool result: left there, or moved behind all results of the turn.", "R04 R05"
    )
    tool_errors: Literal["words", "native"] = _word(
        "quirks", "words", "How a failed tool says so: its result begins with `Error:`, or the mapping has a field for it.", "R06"
    )
    cache_marks: Literal["drop", "texts", "plain", "keep"] = _word(
        "quirks",
        "drop",
        "What becomes of `cache_control`: left out; kept as `{type: ephemeral}`, as strict servers want it, on what a user or "
        "the system says in words; kept so wherever it stands; kept as it is.",
        "R17",
    )
    unseen_images: Literal["placeholder", "refuse"] = _word(
        "quirks",
        "placeholder",
        "Without `images`: a sentence stands for each; or one in the newest message is refused, which a person at a prompt "
        "understands and an agent, which sends it again in each turn, does not.",
        "R27",
    )
    reasoning_history: Literal["keep", "placeholder", "required", "drop"] = _word(
        "quirks",
        "keep",
        "Earlier reasoning of the same provider and model: sent back; sent, and stood in for where it is missing; sent, and "
        "thinking switched off where a call lacks it; dropped.",
        "T01 T02 T03 T14",
    )
    efforts: tuple[str, ...] = _word(
        "quirks",
        (),
        "The efforts that the models know, in rising order: what is asked becomes the next one up, or else the highest. "
        "Models that cannot but think know no `none`: who asks them not to gets the least, and room for it in `max_tokens`. "
        "Unsaid: whatever is asked.",
        "T04 T05 T12 T13",
        EFFORTS,
    )
    forced_tools_with_thinking: bool = _word(
        "quirks", True, "A forced tool choice may go together with thinking; else it is lowered to auto.", "T06"
    )
    tool_choices: tuple[str, ...] = _word(
        "quirks",
        CHOICES,
        "The choices of a tool that the provider knows: a tool that cannot be named is offered alone, so that any is that one; "
        "what cannot be said at all is lowered to auto, and for `none` no tools are offered.",
        "T06 G11",
        CHOICES,
    )
    tool_names: Literal["any", "letter_first"] = _word(
        "quirks",
        "any",
        "What a tool's name begins with: any letter, digit, `_` or `-`; or a letter or `_`, and others are changed, reversibly.",
        "G06",
    )
    stop_sequences: Literal["native", "enforced"] = _word(
        "quirks",
        "native",
        "Who stops at a stop sequence: the provider, or this side, which then knows which one it was.",
        "S40 R23",
    )
    single_call: Literal["native", "enforced"] = _word(
        "quirks",
        "native",
        "Who keeps to one call where `disable_parallel_tool_use` asks for it: the provider, or this side, which passes one on.",
        "G10",
    )
    overflow: Literal["told", "silent"] = _word(
        "quirks",
        "told",
        "That a prompt is too long: told by the provider; or only to be seen in its count of tokens, which is more than "
        "`context`, or as much with no answer behind it.",
        "E01",
    )
    whole_answers: Literal["whole", "streamed"] = _word(
        "quirks",
        "whole",
        "How an answer is asked for that the client wants whole: streamed where the provider notices only while it streams "
        "that the client has left.",
        "E05 E09",
    )
    think_tags: Literal["none", "tagged", "unopened"] = _word(
        "quirks",
        "none",
        "Reasoning that stands in the text itself: never; in `<think>…</think>` at its start; from its start up to `</think>`.",
        "S30",
    )
    call_tags: Literal["none", "tagged"] = _word(
        "quirks",
        "none",
        "Tool calls that a model writes into its text and the server leaves there: never; in `<tool_call>…</tool_call>` and "
        "other tags of that kind (wire/calltags.py), for the tools of the request. A server that makes calls of them itself "
        "needs nothing of this.",
        "S31",
    )
    schema: tuple[str, ...] = _word(
        "quirks", (), "The rules that clean a tool's schema, in order (wire/schema.py).", "G01 G02 G03", RULES
    )
    tokenizer: Literal["o200k", "cl100k", "estimate"] = _word(
        "quirks", "estimate", "How tokens are counted before they are sent.", "E03"
    )
