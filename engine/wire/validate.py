"""Whether a request can be served at all.

The API grows faster than any list of it, so what is not known here is no problem; what is read on the way
to a provider has to be what it should be. Refusals are in Anthropic's words: the path, then what is wrong there.
"""

from itertools import islice
from typing import Any

from engine.wire.errors import ApiError
from engine.wire.recurring import once
from engine.wire.shapes import Check, Problems, Shape, fields, list_of, number, one_of, tagged

_TOLD = 3  # problems in one refusal
# Of what is named here, much is kept and told again: in headers, in the log, in what is counted.
_FIELDS = 1_000
_LONGEST_NAME = 32_768


def check(request: Any, *, counting: bool = False) -> None:
    """Raises ApiError (400, invalid_request_error) with the first problems. A request to count tokens needs no max_tokens."""
    problems = _names(request) or (_COUNT if counting else _REQUEST)(request)
    if problems:
        told = "; ".join(f"{path}: {words}" if path else words for path, words in islice(problems, _TOLD))
        raise ApiError(400, "invalid_request_error", told)


def _names(request: Any) -> Problems:
    """What names more than anybody has to say would keep all others waiting."""
    if type(request) is not dict:
        return []
    if len(request) > _FIELDS:
        return [("", f"the request has more than {_FIELDS:,} fields")]
    model = request.get("model")
    if max(map(len, [*request, model] if type(model) is str else request), default=0) > _LONGEST_NAME:
        return [("", f"the model or a field has a name of more than {_LONGEST_NAME:,} characters")]
    return []


_BLOCKS: dict[str, Check] = {}  # which may hold others
_TYPED = fields({"type": str})
_BLOCK = tagged("type", _BLOCKS, _TYPED)
_CONTENT = (str, list_of(_BLOCK))
_IMAGE_TYPES = one_of("image/jpeg", "image/png", "image/gif", "image/webp")

_STORED: dict[str, Check] = {"url": fields({"url": str}), "file": fields({"file_id": str})}
_IMAGE = tagged("type", {**_STORED, "base64": fields({"media_type": _IMAGE_TYPES, "data": str})}, _TYPED)
_DOCUMENT = tagged(
    "type",
    {
        **_STORED,
        "base64": fields({"media_type": one_of("application/pdf"), "data": str}),
        "text": fields({"data": str}),
        "content": fields({"content": _CONTENT}),
    },
    _TYPED,
)

_BLOCKS.update(
    {
        "text": fields({"text": str}),
        "image": fields({"source": _IMAGE}),
        "document": fields({"source": _DOCUMENT}, {"title": str, "context": str}),
        "search_result": fields({"title": str, "source": str, "content": list_of(_BLOCK)}),
        "tool_reference": fields({"tool_name": str}),
        "tool_use": fields({"id": str, "name": str, "input": dict}),
        "tool_result": fields({"tool_use_id": str}, {"content": _CONTENT, "is_error": bool}),
        "thinking": fields({"thinking": str}),
        "server_tool_use": fields({"name": str, "input": dict}),
        "mcp_tool_use": fields({"name": str, "input": dict}),
        "web_search_tool_result": fields({"content": (dict, list_of(dict))}),
        "compaction": fields({}, {"content": str}),
    }
)

_SPOKEN = fields({"content": _CONTENT})
_MESSAGE = tagged(
    "role",
    {
        **dict.fromkeys(("user", "assistant", "ctx", "msg"), _SPOKEN),
        # One that only changes tools or effort has no content.
        "system": fields({}, {"content": _CONTENT, "output_config": fields({}, {"effort": str})}),
    },
    fields({"role": one_of("user", "assistant"), "content": _CONTENT}),
)

_OWN_TOOL = fields({"input_schema": dict}, {"name": str, "description": str, "strict": bool})
_DEFINED_TOOL = fields({"type": str}, {"name": str})


def _tool(value: Any) -> Problems:
    is_defined = type(value) is dict and value.get("type") not in (None, "custom")
    return (_DEFINED_TOOL if is_defined else _OWN_TOOL)(value)


_TOOLS = list_of(_tool)
_CHOICE = tagged("type", {"tool": fields({"name": str})}, fields({"type": one_of("auto", "any", "tool", "none")}))

_NEEDED: dict[str, Shape] = {"model": str, "messages": list_of(_MESSAGE, empty="at least one message is required")}
_OPTIONAL: dict[str, Shape] = {
    "system": _CONTENT,
    "tools": lambda value: once(_TOOLS, value),
    "tool_choice": _CHOICE,
    "thinking": fields({"type": str}, {"budget_tokens": number(0, whole=True), "display": str}),
    "output_config": fields({}, {"effort": str, "format": fields({"type": str}, {"schema": dict})}),
    "stop_sequences": list_of(str),
    "temperature": number(0, 1),
    "top_p": number(0, 1),
    "top_k": number(0, whole=True),
    "stream": bool,
    "metadata": dict,
    "thread": _TYPED,
}
_MAX_TOKENS = {"max_tokens": number(0, whole=True)}  # 0 warms a cache, and asks for no answer

_REQUEST = fields(_NEEDED | _MAX_TOKENS, _OPTIONAL)
_COUNT = fields(_NEEDED, _OPTIONAL | _MAX_TOKENS)
