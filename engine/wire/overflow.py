"""A provider's words for a prompt that does not fit -> the words that make the client compact.

Claude Code recognises Anthropic's wording alone; anything else ends the session instead of shortening it (E01).
"""

import re
from collections.abc import Mapping
from typing import Any

_TOO_LONG = re.compile(
    r"""
      prompt\ (?:is\ )?too\ long
    | prompt\ exceeds\ max\ length
    | prompt\ tokens\ \(\d+\)\ exceed
    | input\ is\ too\ long\ for\ requested\ model
    | exceeds?\ the\ context\ window
    | exceeds?\ (?:the\ )?(?:(?:this\ )?model'?s?\ )?maximum\ context\ length
    | exceeds?\ the\ available\ context\ size | exceed_context_size
    | exceeds?\ the\ maximum\ number\ of\ tokens\ allowed
    | exceeds?\ (?:the\ )?maximum\ allowed\ input\ length
    | exceeds?\ context\ limit
    | maximum\ context\ length\ (?:is|of)\ [\d,]+
    | maximum\ prompt\ length\ is\ [\d,]+
    | maximum\ input\ length\ (?:is|of)\ .{1,20}tokens
    | model'?s\ context\ length\ is\ only\ [\d,]+
    | context\ window\ exceed(?:ed|s\ limit) | ContextWindowExceededError | model_context_window_exceeded
    | context[_ ]length[_ ]exceeded | token[_ ]limit[_ ]exceeded | too\ many\ tokens | exceeded\ model\ token\ limit
    | input\ token\ count.{0,40}exceeds\ the\ maximum
    | input\ token\ count\ is\ [\d,]+\ but\ model\ only\ supports
    | prompt\ token\ count\ of\ [\d,]+\ exceeds\ the\ limit
    | reduce\ the\ length\ of\ the\ (?:input\ )?(?:messages|prompt)
    | input\ \([\d,]+\ tokens\)\ is\ longer\ than\ the\ model'?s\ context\ length
    | prompt\ length\ \(.{1,60}\ should\ not\ exceed\ max_num_tokens
    | greater\ than\ the\ context\ length | context\ the\ overflows | context\ size\ has\ been\ exceeded
    | too\ large\ for\ model\ with\ [\d,]+\ maximum\ context\ length
    | configured\ context\ size\ is\ [\d,]+\ tokens
    | range\ of\ input\ length\ should\ be
    | input\ length\ and\ .?max_tokens.?\ exceed\ context\ limit
    | `inputs`\ tokens\ \+\ `max_new_tokens`\ must\ be
    | current\ length\ is\ [\d,]+\ while\ limit\ is
    | input\ too\ long:\ .{1,40}\ input\ tokens,\ limit\ is
    | capability_rejected:\ prompt_too_long
    """,
    re.IGNORECASE | re.VERBOSE,
)

# Codes that say it where the words do not.
_CODES = {"prompt_too_long", "1261"}

# Of tokens too, but about how many a minute, how long a string or how long the answer.
_NOT_THIS = re.compile(
    r"rate limit|too many requests|throttl|per minute|per min\b|per day|\bTP[MD]\b|please wait|string_above_max_length"
    r"|max_tokens is too large",
    re.IGNORECASE,
)

_PROMPT = re.compile(
    r"""
      (?:too\ long: | resulted\ in | prompt\ contains | request\ (?:contains|has) | you\ passed | given:
      | current\ length\ is | token\ count\ is)\ (\d{1,12})
    | (?:prompt\ tokens|prompt\ length|input\ token\ count|the\ input|request)\ \((\d{1,12})
    | prompt\ token\ count\ of\ (\d{1,12}) | requested:\ (\d{1,12})
    | (?<!\d)(\d{1,12})\ (?:tokens\ )?(?:in\ the\ messages|from\ the\ input) | (?<!\d)(\d{1,12})\ input\ tokens
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ANSWER = re.compile(
    r"""
      (?<!\d)(\d{1,12})\ (?:tokens\ )?(?:in|for)\ the\ (?:completion|output)
    | max_(?:completion_)?tokens\W{1,3}is\ too\ large:\ (\d{1,12})
    | and\ (\d{1,12})\ `max_new_tokens` | requested\ (\d{1,12})\ output\ tokens
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BOTH = re.compile(r"you requested (?:about |a total of )?(\d{1,12}) tokens", re.IGNORECASE)
_WINDOW = re.compile(
    r"""
      (?:context\ (?:length|size|window) | prompt\ length(?!\ \() | input\ length | model\ maximum | tokens\ allowed | limit)
      (?:\ is|\ of|\ only|:)*[ (]*(\d{1,12})
    | model\ with\ (\d{1,12})\ maximum | must\ be\ <=\ (\d{1,12}) | should\ be\ \[\d+,\ (\d{1,12})\] | tokens\ >\ (\d{1,12})
    | only\ supports\ up\ to\ (\d{1,12}) | max_num_tokens\ \((\d{1,12})
    """,
    re.IGNORECASE | re.VERBOSE,
)
_EXCESS = re.compile(r"exceeded max context length by (\d{1,12})", re.IGNORECASE)
_OWN_WORDS = re.compile(r"input length and `max_tokens` exceed context limit: \d+ \+ \d+ > \d+")
_ADVICE = "decrease input length or `max_tokens` and try again"


def retold(words: str, told: Mapping[str, Any], context_window: int | None) -> str | None:
    """Anthropic's wording for an overflow, with the numbers that are known; None where the words tell of something else.

    `told`, or the `details` in it, may hold the numbers themselves (`n_prompt_tokens`, `n_ctx`); `context_window` stands
    in for a maximum unsaid.
    """
    if isinstance(details := told.get("details"), Mapping):
        told = {**details, **told}
    codes = {str(told.get("code")).lower(), str(told.get("type")).lower()}
    if not (codes & _CODES or _TOO_LONG.search(words)) or _NOT_THIS.search(words):
        return None
    if own := _OWN_WORDS.search(words):
        return f"{own[0]}, {_ADVICE}"
    return _wording(*_numbers(re.sub(r"(?<=\d),(?=\d{3})", "", words), told, context_window))


def unsaid(context_window: int | None) -> str:
    """The wording of an overflow of which nothing but itself is known."""
    return _wording(None, None, context_window)


def _wording(prompt: int | None, answer: int | None, window: int | None) -> str:
    if window is None:
        # The token that gateways are told to use: https://code.claude.com/docs/en/llm-gateway-connect
        return "prompt is too long (capability_rejected: prompt_too_long)"
    if answer and prompt is not None and prompt < window < prompt + answer:
        # The client lowers max_tokens by itself when told so in these words.
        return f"input length and `max_tokens` exceed context limit: {prompt} + {answer} > {window}, {_ADVICE}"
    if prompt is None or prompt <= window:
        return f"prompt is too long: at least {window + 1} tokens > {window} maximum"
    return f"prompt is too long: {prompt} tokens > {window} maximum"


def _numbers(words: str, told: Mapping[str, Any], context_window: int | None) -> tuple[int | None, int | None, int | None]:
    """How many tokens the prompt has, the answer may have and the window holds, each as far as it was said."""
    answer = _first(_ANSWER, words)
    window = _whole(told.get("n_ctx")) or _first(_WINDOW, words) or context_window
    prompt = _whole(told.get("n_prompt_tokens")) or _first(_PROMPT, words)
    if prompt is None and (both := _first(_BOTH, words)) is not None:
        prompt = both - (answer or 0)
    if prompt is None and window is not None and (excess := _first(_EXCESS, words)) is not None:
        prompt = window + excess
    return prompt, answer, window


def _first(pattern: re.Pattern[str], words: str) -> int | None:
    found = pattern.search(words)
    return int(found[found.lastindex or 0]) if found else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
