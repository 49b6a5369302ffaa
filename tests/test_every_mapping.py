"""What every mapping makes of a request: its provider's own types take it, and it says what the client said.

The requests are those of all cases (tests/cases), and those that Hypothesis thinks of.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from engine.gateway.exchange import Exchange
from engine.mapping.functions import strict
from engine.wire import validate
from engine.wire.errors import ApiError
from engine.wire.facts import Facts
from engine.wire.thinking import is_on
from engine.wire.tools import WEB_SEARCH
from tests.conversations import Conversation, differences, read
from tests.conversations.conversation import Document, Image, Other, Reasoning, Result, Text, Tool
from tests.conversations.histories import anthropic_requests
from tests.every_mapping import chain, format_of, mapping, model, names
from tests.test_cases import FOLDER, REQUEST, read_case
from tests.wire_types import EXTRA, REFUSED, problems

# Whose types are their own, and whose additions to OpenAI's are listed under another name.
OWN_TYPES = ("mistral", "groq")
LISTED = {"xai": "xai-responses", "xai-chat": "xai", "zai-chat": "zai", "minimax-chat": "minimax"}

# Rules that OpenAI has for its own models, and of which no other server of its format knows.
CLIENTS_FAULT = re.compile(r"cache_control: more than 4")
OPENAIS_RULES = re.compile(rf"may not stand at the root|an array without items|stop: more than 4|{CLIENTS_FAULT.pattern}")
OPENAIS_OWN = {"openai-chat", "azure", "openai", "azure-responses"}

# The words of wire/blocks.py that stand for what a model cannot see, or for what a file has no place for, and those of
# mappings ahead of a schema.
STAND_IN = re.compile(
    r"\[An? (?:image|PDF document|document)(?: \(.{0,300}?\))? was here.{0,300}?\.\]"
    r"|About this document:|^Title of this document: .+",
    re.DOTALL,
)
COLDEST = 0.01  # where a temperature has to be more than 0
SCHEMA_IN_WORDS = "Answer with JSON that fits this schema"

# What a provider may refuse, and its mapping then refuses in words: R11 an answer begun by the client, G08 too many tools,
# R27 an image that the model cannot see.
MAY_BE_REFUSED = ("R11", "G08", "R27")


def requests() -> dict[str, dict[str, Any]]:
    """The requests of all cases, by the case's name; each but once."""
    found = {}
    for path in sorted(FOLDER.glob("*/*.yaml")):
        case = read_case(path)
        request = REQUEST | case.get("request", {})
        if "request" in case and "given" not in case and is_valid(request):
            found[json.dumps(request, sort_keys=True)] = (path.stem, request)
    return dict(found.values())


def is_valid(request: dict[str, Any]) -> bool:
    try:
        validate.check(request)
    except ApiError:
        return False
    return True


REQUESTS = requests()


def translated(name: str, request: dict[str, Any]) -> Exchange:
    return Exchange(name, mapping(name), model(name), request, request_id="req_1")


def troubles(name: str, request: dict[str, Any]) -> list[str]:
    """What is wrong with what a mapping makes of a request."""
    exchange = translated(name, request)
    if exchange.answer_here() is not None:
        return []
    body = json.loads(json.dumps(exchange.body))
    got = read(format_of(name), body, exchange.endpoint("http://upstream")["url"])
    told = differences(*as_far_as_told(read("messages", request), got, exchange))
    return [*refused(name, body), *unsaid(exchange), *(difference for difference in told if not is_added(difference))]


def unsaid(exchange: Exchange) -> list[str]:
    """What stands in words in a body, and of which the client is not told."""
    seen = {"image": exchange.facts.images, "document": exchange.facts.documents}
    asked = read("messages", exchange.asked).items
    shown = [inner for item in asked for inner in (item, *getattr(item, "content", ()))]
    kinds = {kind_of(item) for item in shown if isinstance(item, Image) and not item.is_text}
    return [f"{kind}: is not named as lost" for kind in kinds if not seen[kind] and kind not in exchange.lost]


def refused(name: str, body: dict[str, Any]) -> list[str]:
    """What the provider would not take of a body."""
    lineage = chain(name)
    types = next((ancestor for ancestor in lineage if ancestor in OWN_TYPES), format_of(name))
    listed = next((LISTED.get(one, one) for one in lineage if LISTED.get(one, one) in EXTRA), name)
    extra = EXTRA.get(listed, set()) | (EXTRA["anthropic"] if types == "messages" else set())
    found = problems(types, body, extra, REFUSED.get(listed, set()))
    passed_over = CLIENTS_FAULT if name in OPENAIS_OWN else OPENAIS_RULES
    return [problem for problem in found if not passed_over.search(problem)]


# What may differ, since the client is told of it or it is done on this side. Reasoning is the subject of test_round_trips.py.


def as_far_as_told(asked: Conversation, got: Conversation, exchange: Exchange) -> tuple[Conversation, Conversation]:
    lost, facts = exchange.lost, exchange.facts
    stops = [stop for stop in asked.stop if stop]
    asked = replace(
        asked,
        turns=[
            replace(turn, items=tuple(named_as(got.format, item) for item in without_unseen(turn.items, facts)))
            for turn in asked.turns
        ],
        max_tokens=exchange.request["max_tokens"],
        stop=[] if "stop_sequences" in lost else stops[: len(stops) - len(exchange.prepared.stop_sequences)],
        one_call=got.one_call if facts.single_call == "enforced" else asked.one_call,
        stream=exchange.streams,
        settings={key: value for key, value in asked.settings.items() if key not in lost},
        web_search=asked.web_search and "web_search" not in lost,
        schema=None if "output_config" in lost else asked.schema,
        tools=[
            replace(tool, strict=tool.strict and "tools.strict" not in lost and can_be_strict(tool, exchange))
            for tool in asked.tools
            if family(tool.defined) not in lost
        ],
        hosted=[tool for tool in asked.hosted if family(tool) not in lost],
        effort={},
    )
    for name in ("temperature", "top_p", "top_k"):
        # Beside reasoning, most models take none: then it is left out unsaid.
        if name in lost or (getattr(got, name) is None and is_on(exchange.request["thinking"])):
            asked = replace(asked, **{name: None})
    if asked.temperature == 0 and got.temperature == COLDEST:
        asked = replace(asked, temperature=COLDEST)
    if got.format == "generate_content":
        # Its modes ANY and VALIDATED hold every tool to its schema.
        asked = replace(asked, tools=[replace(tool, strict=False) for tool in asked.tools])
        got = replace(got, tools=[replace(tool, strict=False) for tool in got.tools])
    got = replace(got, turns=[replace(turn, items=tuple(without_stand_ins(turn.items))) for turn in got.turns], effort={})
    got = with_schema_from_words(asked, got)
    if "types_in_branches" in facts.schema:
        # Kimi's dialect has a type in every branch of anyOf and none beside it: the same schema, of another outline.
        tools = [with_schema_of(got, tool, exchange) for tool in asked.tools]
        asked = replace(asked, schema=asked.schema and got.schema, tools=tools)
    return with_choice_as_known(asked, got, exchange), got


def without_unseen(items: Iterable[Any], facts: Facts) -> Iterator[Any]:
    """Less the images and documents in whose place words stand."""
    for item in items:
        if isinstance(item, Reasoning) or is_blank(item):
            continue
        if is_at_anthropic(item):
            if item.block.get("context"):
                yield Text("user", item.block["context"])
            continue
        if isinstance(item, Image) and not item.is_text:
            if is_seen(item, facts):
                yield replace(item, context="") if isinstance(item, Document) else item
            if isinstance(item, Document) and item.context:
                yield Text("user", item.context)
            continue
        has_more = isinstance(item, Result | Other)
        yield replace(item, content=tuple(without_unseen(item.content, facts))) if has_more else item


def is_at_anthropic(item: Any) -> bool:
    """A file that nobody else has."""
    return isinstance(item, Other) and item.kind == "file"


def is_blank(item: Any) -> bool:
    is_text = isinstance(item, Document) and item.is_text
    return is_text and not (item.data.strip() or item.title or item.context)


def is_seen(item: Image, facts: Facts) -> bool:
    if isinstance(item, Document):
        return facts.documents and (facts.document_urls or not item.url)
    return facts.images and (facts.image_urls or not item.url)


def named_as(format: str, item: Any) -> Any:
    """Google has no name for a file; OpenAI's Responses has none for one at an address."""
    if isinstance(item, Result):
        return replace(item, content=tuple(named_as(format, inner) for inner in item.content))
    has_none = format == "generate_content" or (format == "responses" and isinstance(item, Image) and item.url)
    return replace(item, title="") if has_none and isinstance(item, Document) and not item.is_text else item


def kind_of(item: Image) -> str:
    return "document" if isinstance(item, Document) else "image"


def without_stand_ins(items: Iterable[Any]) -> Iterator[Any]:
    """Less those words, and what mappings say of reasoning."""
    for item in items:
        if isinstance(item, Text):
            words = STAND_IN.sub("", item.text)
            if words.strip() or not STAND_IN.search(item.text):
                yield replace(item, text=words)
        elif isinstance(item, Result):
            yield replace(item, content=tuple(without_stand_ins(item.content)))
        elif not isinstance(item, Reasoning):
            yield item


def with_schema_of(got: Conversation, tool: Tool, exchange: Exchange) -> Tool:
    names = exchange.prepared.tool_names
    found = next((made for made in got.tools if names.get(made.name, made.name) == tool.name), tool)
    return replace(tool, schema=found.schema)


def family(defined: dict[str, Any] | None) -> str:
    """The kind of a tool that Anthropic defines, without its date."""
    return re.sub(r"_\d{8}$", "", defined["type"]) if defined else ""


def can_be_strict(tool: Tool, exchange: Exchange) -> bool:
    """Strict mode cannot hold every schema (G02), and then the tool is offered without; by the schema as it is cleaned."""
    names, offered = exchange.prepared.tool_names, exchange.request.get("tools", ())
    cleaned = [each.get("input_schema") for each in offered if names.get(each["name"], each["name"]) == tool.name]
    return any(strict(schema) is not None for schema in cleaned)


def with_choice_as_known(asked: Conversation, got: Conversation, exchange: Exchange) -> Conversation:
    """The choice in the words that the provider has (facts.py, `tool_choices`)."""
    known = exchange.facts.tool_choices
    if asked.choice == "none" and "none" not in known:
        return replace(asked, choice="", tools=[], hosted=[], web_search=False)
    if asked.choice == "none":
        asked = replace(asked, web_search=got.web_search)
    # A search is not a tool that models are made to call: most providers cannot be told to search, only that they may.
    if "tool_choice" in exchange.lost or asked.chosen == WEB_SEARCH or not asked.tools:
        return replace(asked, choice=got.choice, chosen=got.chosen)
    if asked.choice == "tool" and "tool" not in known and "any" in known:
        return replace(asked, choice="any", chosen="", tools=[tool for tool in asked.tools if tool.name == asked.chosen])
    if asked.choice == "any" and "any" not in known and len(got.tools) == 1:
        return replace(asked, choice="tool", chosen=asked.tools[0].name)
    return asked


def with_schema_from_words(asked: Conversation, got: Conversation) -> Conversation:
    """A schema that the provider does not know stands in the system prompt, all of it."""
    words = [text for text in got.system if SCHEMA_IN_WORDS in text]
    if not words or asked.schema is None:
        return got
    before, _, told = words[-1].partition(SCHEMA_IN_WORDS)
    written = json.JSONDecoder().raw_decode(told[told.index("{") :])[0]
    others = [text for text in got.system if text is not words[-1]] + ([before.strip()] if before.strip() else [])
    return replace(got, system=others, schema=written)


def is_added(difference: str) -> bool:
    """A setting of the provider's that the client did not speak of."""
    return re.match(r"settings\.\w+: None became", difference) is not None


@pytest.mark.parametrize("case", REQUESTS)
@pytest.mark.parametrize("name", names())
def test_the_request_of_every_case(name: str, case: str) -> None:
    try:
        found = troubles(name, REQUESTS[case])
    except ApiError as refusal:
        found = [] if case.startswith(MAY_BE_REFUSED) and refusal.status == 400 else [refusal.message]
    assert found == []


STRICT_ONCE_CLEANED = {
    "type": "object",
    "$ref": "#/$defs/a",
    "$defs": {"a": {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"], "additionalProperties": False}},
}


@pytest.mark.parametrize("name", names())
@settings(
    max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(request=anthropic_requests())
@example({**REQUEST, "tools": [{"name": "a", "strict": True, "input_schema": STRICT_ONCE_CLEANED}]})
def test_whatever_a_client_sends(name: str, request: dict[str, Any]) -> None:
    validate.check(request)
    try:
        found = troubles(name, request)
    except ApiError as refusal:
        found = [] if is_refused_on_purpose(name, request, refusal) else [refusal.message]
    assert found == []


def is_refused_on_purpose(name: str, request: dict[str, Any], refusal: ApiError) -> bool:
    """R11, G08 and R27 by the mapping's own facts."""
    facts = mapping(name).facts_of(model(name))
    last = next(message["role"] for message in reversed(request["messages"]) if message["role"] != "system")
    begun = facts.prefill == "drop" and last == "assistant" and "does not continue" in refusal.message
    crowded = facts.max_tools is not None and "at most" in refusal.message
    return begun or crowded or (facts.unseen_images == "refuse" and "cannot see" in refusal.message)
