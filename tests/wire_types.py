"""Whether a provider would take a request: its own published types, and the rules that it enforces beside them.

    problems("chat", body)                                 what OpenAI would say; [] where it would take the body
    problems("chat", body, EXTRA["zai"], REFUSED["zai"])   the same of a provider that adds to OpenAI's words or lacks some

A rule's source stands beside it: § is a section of providers.md, a letter with a number is a row of edge-cases.md.
"""

import copy
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any, Required

from jsonschema import Draft202012Validator, ValidationError, validators
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from typing_extensions import TypedDict

Body = dict[str, Any]

TYPES = {
    "chat": "openai.types.chat.completion_create_params:CompletionCreateParams",
    "responses": "openai.types.responses.response_create_params:ResponseCreateParams",
    "mistral": "mistralai.client.models:ChatCompletionRequestTypedDict",
    "groq": "groq.types.chat.completion_create_params:CompletionCreateParams",
    "messages": "anthropic.types.message_create_params:MessageCreateParams",
}


def problems(format: str, body: Body, extra: Collection[str] = (), refused: Collection[str] = ()) -> list[str]:
    """What is wrong with a body, each as "path: what". Rules are asked only of a body whose types are right.

    `extra` and `refused` are paths: what a provider takes beyond the types of its format, and what it does not take.
    """
    errors = _validator(format).iter_errors(_without(body, extra))
    by_type = [f"{_path(error.absolute_path)}: {error.message[:300]}" for error in errors]
    by_provider = [f"{_path(trail)}: is not taken here" for path in refused for trail in _trails(body, path)]
    return by_provider + (by_type or [problem for rule in RULES[format] for problem in rule(body)])


# The types, as one JSON Schema for each format


@cache
def _validator(format: str) -> Any:
    if format == "generate_content":
        schema = TypeAdapter(_generate_content()).json_schema(schema_generator=_Google)
    else:
        schema = TypeAdapter(pkgutil.resolve_name(TYPES[format])).json_schema(schema_generator=_Strict)
    if format == "responses":
        # §2.2: an item with its state in it is taken without an id
        schema["$defs"]["ResponseReasoningItemParam"]["required"].remove("id")
    if format == "mistral":
        # Python has a use of its own for the name that goes over the wire.
        schema["$defs"]["JSONSchemaTypedDict"] = _renamed(schema["$defs"]["JSONSchemaTypedDict"], "schema_definition", "schema")
    return _Validator(_resolved(schema, schema["$defs"], {}))


def _renamed(schema: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    properties = {new if name == old else name: value for name, value in schema["properties"].items()}
    return schema | {"properties": properties, "required": [new if name == old else name for name in schema["required"]]}


def _generate_content() -> Any:
    """Google's library has types for all that is in the body, but none for the body. (Its import takes half a second.)"""
    google = pkgutil.resolve_name("google.genai.types")
    keys = {
        "contents": Required[list[google.Content]],
        "systemInstruction": google.Content,
        "tools": list[google.Tool],
        "toolConfig": google.ToolConfig,
        "generationConfig": google.GenerationConfig,
        "safetySettings": list[google.SafetySetting],
        "cachedContent": str,
        "labels": dict[str, str],
        "serviceTier": google.ServiceTier,
        "continuationToken": str,
        "store": bool,
    }
    return TypedDict("GenerateContent", keys, total=False)


_NOTHING: JsonSchemaValue = {"enum": []}


class _Strict(GenerateJsonSchema):
    """The types as JSON knows them: closed, and without what the libraries accept for a programmer's convenience."""

    def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:
        return super().typed_dict_schema(schema) | {"additionalProperties": False}

    def lax_or_strict_schema(self, schema: Any) -> JsonSchemaValue:
        # A file's path (anthropic); a word that the library does not know (mistralai).
        return _NOTHING

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        # A block of an answer, as the object that the library made of it (anthropic).
        return _NOTHING


class _Google(GenerateJsonSchema):
    """Google's types are for programmers too: all may be None, and bytes are bytes."""

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def bytes_schema(self, schema: Any) -> JsonSchemaValue:
        return {"type": "string", "pattern": "^[A-Za-z0-9+/_-]*={0,2}$"}

    def enum_schema(self, schema: Any) -> JsonSchemaValue:
        # The API takes `low` and `object` as well as `LOW` and `OBJECT`.
        known = super().enum_schema(schema)
        return known | {"enum": [*known["enum"], *map(str.lower, known["enum"])]}

    def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:
        return super().typed_dict_schema(schema) | {"additionalProperties": False}


def _resolved(schema: Any, named: dict[str, Any], done: dict[str, Any]) -> Any:
    """A schema whose references are what they refer to: following them each time takes twice as long."""
    if isinstance(schema, list):
        return [_resolved(item, named, done) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in done:
            done[name] = {}  # before its content, which may refer to it
            done[name] |= _resolved(named[name], named, done)
        return done[name]
    return {key: _resolved(value, named, done) for key, value in schema.items() if not _vertex_only(value) and key != "$defs"}


def _vertex_only(schema: Any) -> bool:
    """Google's descriptions say what the Gemini API does not take."""
    told = isinstance(schema, dict) and schema.get("description")
    return isinstance(told, str) and "not supported in Gemini API" in " ".join(told.split())


def _any_of(validator: Any, members: list[Any], value: Any, schema: Any) -> Iterator[ValidationError]:
    """Of a union, the problems of the member that is meant, which its tag tells."""
    meant = [member for member in members if _could_mean(validator, member, value)]
    if not meant:
        tags = {tag: value[tag] for tag in _TAGS if tag in value} if isinstance(value, dict) else repr(value)
        yield ValidationError(f"{tags} is nothing that may stand here")
        return
    verdicts = []
    for member in meant:
        verdicts.append(list(validator.descend(value, member)))
        if not verdicts[-1]:
            return
    yield from min(verdicts, key=len)


_TAGS = ("type", "role", "stream")  # the last tells OpenAI's two kinds of whole requests apart


def _could_mean(validator: Any, schema: Any, value: Any) -> bool:
    if "anyOf" in schema:
        return any(_could_mean(validator, member, value) for member in schema["anyOf"])
    if "type" in schema and not validator.is_type(value, schema["type"]):
        return False
    if isinstance(value, dict):
        own = schema.get("properties", {})
        return all(_could_mean(validator, own[tag], value[tag]) for tag in _TAGS if tag in own and tag in value)
    return value in schema.get("enum", [schema.get("const", value)])


def _unknown_keys(validator: Any, allowed: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    """Each at its own place, where jsonschema names all at their object's."""
    if not isinstance(value, dict) or allowed is True:
        return
    for key in (key for key in value if key not in schema.get("properties", {})):
        if allowed is False:
            yield ValidationError("is unknown", path=[key])
        else:
            yield from validator.descend(value[key], allowed, path=key)


_Validator = validators.extend(Draft202012Validator, {"anyOf": _any_of, "additionalProperties": _unknown_keys})


# Places in a body, by a path: `thinking.type=enabled|disabled`, `messages[role=tool].content[type=image_url]`, `stop[1]`

_STEP = re.compile(r"(?P<name>\w+)(\[(?P<which>[^]]*)\])?(=(?P<words>.+))?")


def _trails(body: Body, path: str) -> list[tuple[Any, ...]]:
    """Every place that is meant, as the keys that lead there."""
    found: list[tuple[Any, ...]] = [()]
    for text in path.split("."):
        step = _STEP.fullmatch(text)
        assert step, f"{path}: {text} is no step of a path"
        found = [(*trail, step["name"]) for trail in found if step["name"] in _keys(_at(body, trail))]
        if step["which"] is not None:
            found = [(*trail, at) for trail in found for at in _chosen(_at(body, trail), step["which"])]
        if step["words"]:
            found = [trail for trail in found if _at(body, trail) in step["words"].split("|")]
    return found


def _at(body: Any, trail: Iterable[Any]) -> Any:
    for key in trail:
        body = body[key]
    return body


def _keys(value: Any) -> Collection[str]:
    return value.keys() if isinstance(value, dict) else ()


def _chosen(value: Any, which: str) -> Iterator[int]:
    key, _, word = which.partition("=")
    for at, item in enumerate(value if isinstance(value, list) else []):
        if not which or which == str(at) or (key in _keys(item) and item[key] == word):
            yield at


def _without(body: Body, paths: Collection[str]) -> Body:
    """The body without these places, and without the objects that held nothing else."""
    body = copy.deepcopy(body) if paths else body
    for path in paths:
        for trail in reversed(_trails(body, path)):
            *above, key = trail
            del _at(body, above)[key]
            while above and isinstance(above[-1], str) and _at(body, above) == {}:
                *above, key = above
                del _at(body, above)[key]
    return body


def _path(trail: Iterable[Any]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in trail).removeprefix(".")


# The rules that types do not tell. Each gives "path: what" for whatever breaks it.

Rule = Callable[[Body], Iterator[str]]
Placed = Iterator[tuple[str, Any]]  # things with their paths

_OPENAI_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # §2.1
_ANTHROPIC_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")  # §2.6
_GOOGLE_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")  # §2.4
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # §2.2, §2.4 and §2.6 agree
_MISTRAL_ID = re.compile(r"[A-Za-z0-9]{9}")  # §3.5


def _items(value: Any, path: str) -> Placed:
    """The items of a list; none of what is no list."""
    return ((f"{path}[{at}]", item) for at, item in enumerate(value if isinstance(value, list) else []))


def _misfits(form: re.Pattern[str], words: Iterable[tuple[str, Any]]) -> Iterator[str]:
    return (f"{path}: {word!r} is not {form.pattern}" for path, word in words if not form.fullmatch(word or ""))


def _twice(words: list[Any]) -> list[Any]:
    return sorted({word for word in words if words.count(word) > 1})


def _empty_texts(blocks: Any, path: str) -> Iterator[str]:
    texts = ((at, block) for at, block in _items(blocks, path) if block["type"] in ("text", "input_text", "output_text"))
    return (f"{at}.text: is empty" for at, block in texts if not block["text"])


def _too_long(body: Body, **most: int) -> Iterator[str]:
    return (f"{key}: more than {limit}" for key, limit in most.items() if len(body.get(key) or "") > limit)


# Chat Completions: OpenAI, and Mistral and Groq where they agree


def _messages(body: Body) -> Placed:
    return _items(body["messages"], "messages")


def _calls(body: Body) -> Placed:
    return (call for path, message in _messages(body) for call in _items(message.get("tool_calls"), f"{path}.tool_calls"))


def _functions(body: Body) -> Placed:
    return ((f"{path}.function", tool["function"]) for path, tool in _items(body.get("tools"), "tools") if "function" in tool)


def calls_are_answered(body: Body) -> Iterator[str]:
    # §5.1, R01 to R04: one tool message for each call, directly behind the message with the calls
    waiting: list[Any] = []
    for path, message in _messages(body):
        if message["role"] == "tool":
            if message.get("tool_call_id") in waiting:
                waiting.remove(message["tool_call_id"])
            else:
                yield f"{path}: answers {message.get('tool_call_id')!r}, which is no call that waits for an answer"
            continue
        if waiting:
            yield f"{path}: stands before the answers to {waiting}"
        waiting = [call.get("id") for call in message.get("tool_calls") or []]
        if _twice(waiting):
            yield f"{path}.tool_calls: {_twice(waiting)} are there twice"
    if waiting:
        yield f"messages: end before the answers to {waiting}"


def messages_say_something(body: Body) -> Iterator[str]:
    # §5.1, S03, R07: many servers refuse an empty content. Only what says something else may have none.
    if not body["messages"]:
        yield "messages: are none"
    for path, message in _messages(body):
        content = message.get("content")
        says = any(message.get(key) for key in ("tool_calls", "function_call", "audio", "refusal"))
        if not content and (content == [] or not says):
            yield f"{path}.content: is empty"
        yield from _empty_texts(content, f"{path}.content")


def functions_have_names(body: Body) -> Iterator[str]:
    # §2.1, G06
    called = ((f"{path}.function", call["function"]) for path, call in _calls(body) if "function" in call)
    return _misfits(_OPENAI_NAME, ((f"{path}.name", function["name"]) for path, function in [*_functions(body), *called]))


def tools_are_there_to_choose(body: Body) -> Iterator[str]:
    # §3.20 for the empty list; G11; §5.2a for a name that is not declared
    choice = body.get("tool_choice")
    if body.get("tools") == []:
        yield "tools: is empty"
    if choice and not body.get("tools"):
        yield "tool_choice: without tools"
    # https://github.com/Upsonic/Upsonic/issues/323
    if "parallel_tool_calls" in body and not body.get("tools"):
        yield "parallel_tool_calls: without tools"
    if isinstance(choice, dict) and "function" in choice:
        name = choice["function"]["name"]
        if name not in [function["name"] for _, function in _functions(body)]:
            yield f"tool_choice: {name!r} is not among the tools"


def parameters_are_objects(body: Body) -> Iterator[str]:
    # §5.9, G01
    for path, function in _functions(body):
        if function.get("parameters", {"type": "object"}).get("type") != "object":
            yield f"{path}.parameters: is no schema of an object"


def openai_schemas(body: Body) -> Iterator[str]:
    for path, function in _functions(body):
        yield from _schema_problems(function.get("parameters"), f"{path}.parameters", function.get("strict"))
    shape = (body.get("response_format") or {}).get("json_schema") or {}
    yield from _schema_problems(shape.get("schema"), "response_format.json_schema.schema", shape.get("strict"))


def _schema_problems(schema: Any, root: str, strict: Any) -> Iterator[str]:
    # §2.1, G02: a plain object at the root; every array says of what; in strict mode, every object is closed and whole
    for word in ("oneOf", "anyOf", "allOf", "enum", "not"):
        if word in (schema or {}):
            yield f"{root}.{word}: may not stand at the root"
    for path, part in _schemas(schema, root):
        if part.get("type") == "array" and not {"items", "prefixItems"} & part.keys():
            yield f"{path}: an array without items"
        if not strict:
            continue
        if part.get("type") == "object" and (
            part.get("additionalProperties") is not False or set(part.get("required", [])) != set(part.get("properties", {}))
        ):
            yield f"{path}: is strict, so it has to be closed and to require all its properties"
        for word in ("allOf", "propertyNames"):
            if word in part:
                yield f"{path}.{word}: may not stand in a strict schema"


def _schemas(schema: Any, path: str) -> Placed:
    """A schema and all that are in it."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for word in ("properties", "patternProperties", "$defs", "definitions"):
        for name, part in schema.get(word, {}).items():
            yield from _schemas(part, f"{path}.{word}.{name}")
    for word in ("items", "additionalProperties", "not"):
        yield from _schemas(schema.get(word), f"{path}.{word}")
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for at, part in _items(schema.get(word), f"{path}.{word}"):
            yield from _schemas(part, at)


def chat_limits(body: Body) -> Iterator[str]:
    # §2.1, R23, R24, G08, G09
    yield from _too_long(body, tools=128, user=64, prompt_cache_key=64, safety_identifier=128)
    if isinstance(body.get("stop"), list):
        yield from _too_long(body, stop=4)
    if not 0 <= (body.get("temperature") or 0) <= 2:
        yield "temperature: is not within 0 and 2"
    for path, call in _calls(body):
        if len(call["id"]) > 40:
            yield f"{path}.id: more than 40"


def chat_pairs(body: Body) -> Iterator[str]:
    # https://github.com/BerriAI/litellm/issues/5803
    if body.get("stream_options") and not body.get("stream"):
        yield "stream_options: without stream"
    # §2.1: the second took the place of the first
    if {"max_tokens", "max_completion_tokens"} <= body.keys():
        yield "max_tokens: together with max_completion_tokens"


def openai_reasons_elsewhere(body: Body) -> Iterator[str]:
    # §1.3 fact 1, T11: gpt-5.4 and 5.5 take tools only with no effort given or with none, later models only with none
    if re.match(r"gpt-(5\.[4-9]|6)", body["model"]) and body.get("tools"):
        silent = "none" if re.match(r"gpt-5\.[45]", body["model"]) else None
        if body.get("reasoning_effort", silent) != "none":
            yield f"reasoning_effort: {body['model']} takes tools here only with 'none'"
    # §2.1, R19
    if re.match(r"gpt-[56]|o\d", body["model"]) and "max_tokens" in body:
        yield f"max_tokens: {body['model']} knows only max_completion_tokens"


def mistral_ids(body: Body) -> Iterator[str]:
    # §3.5
    answers = ((f"{path}.tool_call_id", each.get("tool_call_id")) for path, each in _messages(body) if each["role"] == "tool")
    return _misfits(_MISTRAL_ID, [*((f"{path}.id", call.get("id")) for path, call in _calls(body)), *answers])


def mistral_order(body: Body) -> Iterator[str]:
    # §3.5, R09, R11
    for (_, before), (path, message) in pairwise(_messages(body)):
        if before["role"] == "tool" and message["role"] not in ("tool", "assistant"):
            yield f"{path}: role {message['role']!r} after role 'tool'"
    for path, last in list(_messages(body))[-1:]:
        if last["role"] not in ("user", "tool") and not last.get("prefix"):
            yield f"{path}: the last message is of role {last['role']!r} and no prefix"


def mistral_thinks_in_one_piece(body: Body) -> Iterator[str]:
    # §3.5
    for path, message in _messages(body):
        if [part["type"] for _, part in _items(message.get("content"), path)].count("thinking") > 1:
            yield f"{path}.content: thinking in several pieces"


def groq_limits(body: Body) -> Iterator[str]:
    # §3.4
    if {"reasoning_format", "include_reasoning"} <= body.keys():
        yield "reasoning_format: together with include_reasoning"
    if body.get("n", 1) != 1:
        yield "n: is not 1"


# Responses: OpenAI


def _input(body: Body) -> Placed:
    return _items(body.get("input"), "input")


def items_are_answered(body: Body) -> Iterator[str]:
    # §2.2, §1.1, R01, R02. What the server holds may hold the other half.
    if body.get("previous_response_id") or body.get("conversation"):
        return
    waiting: list[str] = []
    for path, item in _input(body):
        if item.get("type") == "function_call":
            waiting.append(item["call_id"])
        elif item.get("type") == "function_call_output":
            if item["call_id"] in waiting:
                waiting.remove(item["call_id"])
            else:
                yield f"{path}: answers {item['call_id']!r}, which is no call that waits for an answer"
        elif waiting and item.get("role") in ("user", "system", "developer"):
            yield f"{path}: stands before the answers to {waiting}"
    if waiting:
        yield f"input: ends before the answers to {waiting}"


def items_have_ids(body: Body) -> Iterator[str]:
    # §2.2, G09; https://github.com/openai/codex/issues/33176, https://github.com/jlcodes99/cockpit-tools/issues/2090
    begins = {"function_call": "fc", "reasoning": "rs", "message": "msg"}
    yield from _misfits(_ID, ((f"{path}.call_id", item["call_id"]) for path, item in _input(body) if "call_id" in item))
    yield from _misfits(_ID, ((f"{path}.id", item["id"]) for path, item in _input(body) if item.get("id") is not None))
    for path, item in _input(body):
        if item.get("id") and not item["id"].startswith(begins.get(item.get("type"), "")):
            yield f"{path}.id: does not begin with {begins[item['type']]}"
        if item.get("type") == "item_reference" and body.get("store") is False:
            yield f"{path}: refers to what is not stored"


def reasoning_goes_before_what_it_led_to(body: Body) -> Iterator[str]:
    # §2.2, T09
    for (path, item), (_, after) in pairwise([*_input(body), ("", {"role": "user"})]):
        led = after.get("role") == "assistant" or str(after.get("type")).endswith(("_call", "reasoning"))
        if item.get("type") == "reasoning" and not led:
            yield f"{path}: reasoning without the item that it led to"


def input_says_something(body: Body) -> Iterator[str]:
    # §5.1, S03, R07
    if not body.get("input"):
        yield "input: is empty"
    for path, item in _input(body):
        for key in ("content", "output"):
            if not item.get(key, "nothing to be said"):
                yield f"{path}.{key}: is empty"
            yield from _empty_texts(item.get(key), f"{path}.{key}")


def responses_names(body: Body) -> Iterator[str]:
    # §2.2, G06
    functions = [*_items(body.get("tools"), "tools"), *_input(body)]
    functions = [(path, each) for path, each in functions if each.get("type") in ("function", "function_call")]
    return _misfits(_OPENAI_NAME, ((f"{path}.name", each["name"]) for path, each in functions))


def responses_tools(body: Body) -> Iterator[str]:
    # G11, §5.2a
    tools, choice = list(_items(body.get("tools"), "tools")), body.get("tool_choice")
    if choice and not tools:
        yield "tool_choice: without tools"
    if isinstance(choice, dict) and "name" in choice and choice["name"] not in [tool.get("name") for _, tool in tools]:
        yield f"tool_choice: {choice['name']!r} is not among the tools"
    for path, tool in tools:
        yield from _schema_problems(tool.get("parameters"), f"{path}.parameters", tool.get("strict"))
    shape = (body.get("text") or {}).get("format") or {}
    yield from _schema_problems(shape.get("schema"), "text.format.schema", shape.get("strict"))


def responses_limits(body: Body) -> Iterator[str]:
    # §2.2, R20, R24
    if (body.get("max_output_tokens") or 16) < 16:
        yield "max_output_tokens: less than 16"
    yield from _too_long(body, prompt_cache_key=64, safety_identifier=128)


# generateContent: Google

# One of these is what a part is; all else goes with it.
_PART_IS = {"text", "inlineData", "fileData", "functionCall", "functionResponse", "toolCall", "toolResponse"}
_PART_IS |= {"executableCode", "codeExecutionResult"}


def _contents(body: Body) -> Placed:
    return _items(body["contents"], "contents")


def _of(content: Any, kind: str) -> list[Any]:
    return [part[kind] for part in content.get("parts", []) if kind in part]


def google_roles(body: Body) -> Iterator[str]:
    # §2.4, R08. One content alone needs no role.
    contents = list(_contents(body))
    if not contents:
        yield "contents: are none"
    for path, content in contents:
        if content.get("role", len(contents) == 1 and "user") not in ("user", "model"):
            yield f"{path}.role: is neither user nor model"
    if contents and contents[0][1].get("role") == "model":
        yield "contents[0]: the first is the model's"


def google_parts(body: Body) -> Iterator[str]:
    # §2.4, §5.1: an empty text only where it carries a signature
    system = [("systemInstruction", body["systemInstruction"])] if "systemInstruction" in body else []
    for path, content in [*_contents(body), *system]:
        if not content.get("parts"):
            yield f"{path}.parts: are none"
        for at, part in _items(content.get("parts"), f"{path}.parts"):
            if len(_PART_IS & part.keys()) != 1:
                yield f"{at}: is {sorted(_PART_IS & part.keys()) or 'nothing'}, where a part is one thing"
            if part.get("text") == "" and "thoughtSignature" not in part:
                yield f"{at}.text: is empty"


def google_answers(body: Body) -> Iterator[str]:
    # §2.4, G04, G05: all in the one user content behind the calls, in their order and by their names
    calls: list[Any] = []
    before = "user"
    for path, content in _contents(body):
        answers = _of(content, "functionResponse")
        for key in ("name", "id"):
            given, wanted = [each.get(key) for each in answers], [each.get(key) for each in calls]
            if given != wanted:
                yield f"{path}: answers with the {key}s {given} to calls with {wanted}"
                break
        calls, role = _of(content, "functionCall"), content.get("role", "user")
        # https://github.com/google-gemini/gemini-cli/issues/11814
        if calls and (before, role) != ("user", "model"):
            yield f"{path}: calls are the model's, directly behind a user's content"
        before = role
    if calls:
        yield f"contents: end before the answers to {[each.get('name') for each in calls]}"


def google_responses_refer_to_nothing(body: Body) -> Iterator[str]:
    # §2.4: {"$ref": name} in a response means one of its `parts`
    for path, content in _contents(body):
        if any(_has_reference(answer.get("response")) for answer in _of(content, "functionResponse")):
            yield f"{path}: a function's response has the key $ref"


def _has_reference(value: Any) -> bool:
    if isinstance(value, dict):
        return "$ref" in value or any(map(_has_reference, value.values()))
    return isinstance(value, list) and any(map(_has_reference, value))


def _declared(body: Body) -> Placed:
    for path, tool in _items(body.get("tools"), "tools"):
        yield from _items(tool.get("functionDeclarations"), f"{path}.functionDeclarations")


def google_tools(body: Body) -> Iterator[str]:
    # §2.4, G11
    for path, tool in _items(body.get("tools"), "tools"):
        if not tool or tool.get("functionDeclarations") == []:
            yield f"{path}: is empty"
    for path, function in _declared(body):
        if {"parameters", "parametersJsonSchema"} <= function.keys():
            yield f"{path}: has both parameters and parametersJsonSchema"
    names = [function.get("name") for _, function in _declared(body)]
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    if calling and not names:
        yield "toolConfig.functionCallingConfig: without functions"
    if unknown := [name for name in calling.get("allowedFunctionNames", []) if name not in names]:
        yield f"toolConfig.functionCallingConfig.allowedFunctionNames: {unknown} are not declared"
    if "allowedFunctionNames" in calling and calling.get("mode") not in ("ANY", "VALIDATED"):
        yield "toolConfig.functionCallingConfig.allowedFunctionNames: only with mode ANY or VALIDATED"


def google_names(body: Body) -> Iterator[str]:
    # §2.4, G06
    yield from _misfits(_GOOGLE_NAME, ((f"{path}.name", function.get("name")) for path, function in _declared(body)))
    for path, content in _contents(body):
        for kind in ("functionCall", "functionResponse"):
            called = _of(content, kind)
            yield from _misfits(_GOOGLE_NAME, ((f"{path}: {kind}.name", each.get("name")) for each in called))
            yield from _misfits(_ID, ((f"{path}: {kind}.id", each["id"]) for each in called if "id" in each))


def google_config(body: Body) -> Iterator[str]:
    # §2.4
    config = body.get("generationConfig", {})
    if {"thinkingLevel", "thinkingBudget"} <= config.get("thinkingConfig", {}).keys():
        yield "generationConfig.thinkingConfig: has both thinkingLevel and thinkingBudget"
    shapes = {"responseSchema", "responseJsonSchema"} & config.keys()
    if len(shapes) == 2:
        yield "generationConfig: has both responseSchema and responseJsonSchema"
    if shapes and config.get("responseMimeType") != "application/json":
        yield "generationConfig: a schema without responseMimeType application/json"
    if len(config.get("stopSequences", [])) > 5:
        yield "generationConfig.stopSequences: more than 5"


# Messages: Anthropic


def _blocks(body: Body) -> Placed:
    return (block for path, message in _messages(body) for block in _items(message["content"], f"{path}.content"))


def turns_alternate(body: Body) -> Iterator[str]:
    # §5.1. A system message stands between turns (§1.1).
    if not body["messages"]:
        yield "messages: are none"
    expected = "user"
    for path, message in _messages(body):
        if message["role"] not in (expected, "system"):
            yield f"{path}: the {message['role']}'s, where it is the {expected}'s turn"
        expected = {"user": "assistant", "assistant": "user", "system": expected}[message["role"]]


def tool_results_come_first(body: Body) -> Iterator[str]:
    # §1.1, R01 to R03: all results, before anything else, in the message behind the calls
    waiting: list[str] = []
    for path, message in _messages(body):
        kinds = [block["type"] for _, block in _items(message["content"], path)]
        answers = [block["tool_use_id"] for _, block in _items(message["content"], path) if block["type"] == "tool_result"]
        if sorted(answers) != sorted(waiting):
            yield f"{path}: results of {answers} to calls {waiting}"
        if set(kinds[: len(answers)]) - {"tool_result"}:
            yield f"{path}: something stands before a tool_result"
        waiting = [block["id"] for _, block in _items(message["content"], path) if block["type"] == "tool_use"]
    if waiting:
        yield f"messages: end before the results of {waiting}"


def texts_are_not_empty(body: Body) -> Iterator[str]:
    # S03: "text content blocks must be non-empty"
    yield from _empty_texts(body.get("system"), "system")
    for path, message in _messages(body):
        if not message["content"]:
            yield f"{path}.content: is empty"
        yield from _empty_texts(message["content"], f"{path}.content")
    for path, block in _blocks(body):
        if block["type"] == "tool_result":
            yield from _empty_texts(block.get("content"), f"{path}.content")


def anthropic_names(body: Body) -> Iterator[str]:
    # §2.6
    tools = [(f"{path}.name", tool["name"]) for path, tool in _items(body.get("tools"), "tools") if "name" in tool]
    calls = [(path, block) for path, block in _blocks(body) if block["type"] == "tool_use"]
    yield from _misfits(_ANTHROPIC_NAME, [*tools, *((f"{path}.name", call["name"]) for path, call in calls)])
    yield from _misfits(_ID, ((f"{path}.id", call["id"]) for path, call in calls))
    # https://github.com/danny-avila/LibreChat/issues/13162
    if twice := _twice([name for _, name in tools]):
        yield f"tools: {twice} are there twice"


def anthropic_choice(body: Body) -> Iterator[str]:
    # G11, §5.2a
    choice, tools = body.get("tool_choice"), body.get("tools") or []
    if choice and not tools:
        yield "tool_choice: without tools"
    elif choice and "name" in choice and choice["name"] not in [tool.get("name") for tool in tools]:
        yield f"tool_choice: {choice['name']!r} is not among the tools"


def thinking_is_signed(body: Body) -> Iterator[str]:
    # §1.2, T03
    for path, block in _blocks(body):
        if block["type"] == "thinking" and not block["signature"]:
            yield f"{path}.signature: is empty"
    # §1.1
    if not 1024 <= body.get("thinking", {}).get("budget_tokens", 1024) < max(body["max_tokens"], 1025):
        yield "thinking.budget_tokens: is less than 1024, or not less than max_tokens"


def anthropic_limits(body: Body) -> Iterator[str]:
    # R17, in all
    lists = (_items(body.get("system"), ""), _items(body.get("tools"), ""), _blocks(body))
    if sum(bool(each.get("cache_control")) for things in lists for _, each in things) > 4:
        yield "cache_control: more than 4"
    # §1.1
    for path, block in _blocks(body):
        if block.get("is_error") and any(part["type"] == "image" for _, part in _items(block.get("content"), "")):
            yield f"{path}: an error with an image"


_CHAT: list[Rule] = [calls_are_answered, messages_say_something, functions_have_names]
_CHAT += [tools_are_there_to_choose, parameters_are_objects]

RULES: dict[str, list[Rule]] = {
    "chat": [*_CHAT, openai_schemas, chat_limits, chat_pairs, openai_reasons_elsewhere],
    "groq": [*_CHAT, chat_limits, groq_limits],
    "mistral": [*_CHAT, mistral_ids, mistral_order, mistral_thinks_in_one_piece],
    "responses": [
        *(items_are_answered, items_have_ids, reasoning_goes_before_what_it_led_to, input_says_something),
        *(responses_names, responses_tools, responses_limits),
    ],
    "generate_content": [
        *(google_roles, google_parts, google_answers, google_responses_refer_to_nothing),
        *(google_tools, google_names, google_config),
    ],
    "messages": [
        *(turns_alternate, tool_results_come_first, texts_are_not_empty, anthropic_names),
        *(anthropic_choice, thinking_is_signed, anthropic_limits),
    ],
}


# What a provider documents beyond the types of its format, and what of them it does not take. A path means what stands
# there: `_trails` reads it.

_REASONED = {"messages[role=assistant].reasoning_content"}  # earlier reasoning goes back under this name, or under
_REASONING = {"messages[role=assistant].reasoning"}  # this one
_SAMPLING = {"top_k", "min_p", "repetition_penalty"}
_SWITCH = "thinking.type=enabled|disabled"
_VIDEO = "messages[].content[type=video_url]"
_CACHED = "messages[].content[].cache_control"

EXTRA: dict[str, set[str]] = {
    # §3.1: both fields of thinking; user_id; images in tool messages; prefix on /beta
    "deepseek": _REASONED
    | {_SWITCH, "user_id", "messages[role=assistant].prefix", "messages[role=tool].content[type=image_url]"},
    # §3.2: body extras, reasoning and its details, cache_control; top_k of §5.2; the two ways to a web search of §5.2a
    "openrouter": _REASONED
    | _REASONING
    | {"messages[role=assistant].reasoning_details", "top_k", "models", "provider", "session_id", "trace", _CACHED}
    | {"reasoning.effort=max|xhigh|high|medium|low|minimal|none", "reasoning.summary", "reasoning.max_tokens"}
    | {"reasoning.exclude", "reasoning.enabled", "cache_control.type=ephemeral", "plugins", "tools[type=openrouter:web_search]"},
    # §3.3: the effort in either form; reasoning comes, and in the corpus goes back, as `reasoning`
    "ollama": _REASONING | {"reasoning.effort=high|medium|low|none"},
    # §3.4: the types lack it, the API takes it (checked live)
    "groq": {"stream_options.include_usage"},
    # §3.6: sampling of the Responses route, and `x_search` among its tools; chat takes back the reasoning_content that it gives
    "xai": _REASONED | {"top_k", "min_p", "seed", "tools[type=x_search]"},
    # §3.6; LangChain's types of its web search have excluded_domains
    "xai-responses": {"top_k", "tools[type=web_search].filters.excluded_domains"},
    # §3.7
    "cerebras": _REASONING
    | {"reasoning_format=none|parsed|text_parsed|raw|hidden", "disable_reasoning", "clear_thinking", "model_parameters"},
    # §3.8: reasoning under either name
    "together": _REASONED
    | _REASONING
    | _SAMPLING
    | {"context_length_exceeded_behavior=truncate|error", "reasoning.enabled", "chat_template_kwargs"},
    # §3.9: §5.2 spells a forced choice `any`
    "fireworks": _REASONED
    | {"top_k", "min_p", "prompt_truncate_len", "context_length_exceeded_behavior", "reasoning_history", "tool_choice=any"}
    | {"thinking.type", "thinking.budget_tokens"},
    # §3.10: `keep` on k2.6; $web_search is a builtin_function; ms:// and data: videos
    "moonshot": _REASONED | {_SWITCH, "thinking.keep=all", "tools[type=builtin_function]", _VIDEO},
    # §3.11
    "zai": _REASONED
    | {_SWITCH, "thinking.clear_thinking", "tool_stream", "do_sample", "request_id", "user_id", "watermark_enabled"}
    | {"tools[type=web_search]", "tools[type=retrieval]"},
    # §3.12
    "qwen": _REASONED | {"top_k", "enable_thinking", "thinking_budget", "preserve_thinking", _CACHED, _VIDEO},
    # §3.13: reasoning_split gives reasoning_details, M3.1-Flash reasoning_content
    "minimax": _REASONED
    | {"thinking.type=adaptive|enabled|disabled", "reasoning_split", "messages[role=assistant].reasoning_details"},
    # §3.14: by model, as vLLM or as DeepSeek
    "nvidia": _REASONED | {_SWITCH, "chat_template_kwargs.enable_thinking", "chat_template_kwargs.thinking"},
    # §3.15, §3.16, §3.19: nothing of their own
    "sambanova": set(),
    "huggingface": set(),
    "cohere": set(),
    # §3.20: reasoning under the new name and the old
    "vllm": _REASONED
    | _REASONING
    | _SAMPLING
    | {"chat_template_kwargs", "structured_outputs", "priority", "thinking_token_budget"},
    # §3.21; top_k of §5.2; https://github.com/ggml-org/llama.cpp/pull/15827; tests/test_local_model.py for verbose
    "llamacpp": _REASONED | {"top_k", "chat_template_kwargs", "thinking_budget_tokens", "return_progress", "verbose"},
    # §3.22
    "lmstudio": _REASONED | {"top_k"},
    # §3.23: "deepseek-style thinking, reasoning_content replay"
    "xiaomi": _REASONED | {_SWITCH},
    # Recorded (vercel_gateway, venice): reasoning as OpenRouter has it, marks of Anthropic's; a switch of its own
    "vercel": _REASONED | {"messages[role=assistant].reasoning_details", "reasoning", _CACHED},
    "venice": _REASONED | {"venice_parameters"},
    # §2.4: on the route that speaks Chat
    "gemini": {"messages[role=assistant].tool_calls[].extra_content.google.thought_signature"},
    # §3.20, §3.21: their routes that speak Messages take what vLLM and llama.cpp do
    "vllm-anthropic": {"chat_template_kwargs"},
    "llamacpp-anthropic": {"chat_template_kwargs"},
    # §3.2: "x-session-id for sticky routing (or body session_id)"
    "openrouter-anthropic": {"session_id"},
    # §2.6: the models before 5.x take sampling, which the types have forgotten
    "anthropic": {"temperature", "top_p", "top_k"},
    # §2.5: on the route that speaks generateContent; the library says so of excludeDomains
    "vertex": {"toolConfig.functionCallingConfig.streamFunctionCallArguments", "modelArmorConfig"}
    | {"tools[].googleSearch.excludeDomains"},
}

_DEVELOPER = "messages[role=developer]"
_STRICT = "tools[].function.strict"

REFUSED: dict[str, set[str]] = {
    # §3.1: "max_tokens (not max_completion_tokens). No developer role, no store"; function tools only, no PDF
    "deepseek": {"max_completion_tokens", _DEVELOPER, "store", "parallel_tool_calls", "tools[type=custom]"}
    | {"messages[].content[type=input_audio]", "messages[].content[type=file]"},
    # §3.3: "not tool_choice, logit_bias, user, n"
    "ollama": {"tool_choice", "logit_bias", "user", "n"},
    # §3.4: "not supported"
    "groq": {"logprobs", "top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty", "store", "metadata"},
    # §3.6, §1.3 fact 9: on chat. (It says to strip `strict` too, which the corpus shows taken.)
    "xai": {"messages[].name", "stop", "frequency_penalty", "presence_penalty"},
    # §3.7
    "cerebras": {"store"},
    # §3.8
    "together": {_DEVELOPER, _STRICT, "store"},
    # §3.9
    "fireworks": {_DEVELOPER, "store"},
    # §3.10: sampling is fixed; §5.2 for parallel_tool_calls; images are not fetched
    "moonshot": {"temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "top_k"}
    | {"parallel_tool_calls", _STRICT, "messages[].content[type=file]"},
    # §3.11: one stop sequence, no choice but auto and, as recorded, a tool by its name; §5.2 for parallel_tool_calls
    "zai": {_DEVELOPER, "store", "stop[1]", "tool_choice=none|required", "parallel_tool_calls"},
    # §3.12
    "qwen": {_DEVELOPER, "store", "frequency_penalty", "messages[].content[type=file]"},
    # §5.2
    "minimax": {"parallel_tool_calls"},
    # §3.14
    "nvidia": {_DEVELOPER, "store", _STRICT},
    # §3.16
    "huggingface": {_DEVELOPER},
    # §2.5; §5.2 for server tools among functions
    "vertex": {"store", "serviceTier", "tools[].fileSearch", "contents[].parts[].partMetadata"}
    | {"toolConfig.includeServerSideToolInvocations"},
}
