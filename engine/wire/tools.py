"""The tools that a provider is offered, and the choice among them."""

import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from engine.wire import schema
from engine.wire.blocks import cache_mark
from engine.wire.errors import ApiError
from engine.wire.facts import Facts
from engine.wire.recurring import once
from engine.wire.toolnames import ToolNames

Tool = dict[str, Any]

WEB_SEARCH = "web_search"

_READ = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_NEEDLESS = frozenset({"defer_loading", "eager_input_streaming"})  # what is deferred is offered in time, and all input streams


class Offered(NamedTuple):
    """The tools that go upstream: by the client's names, and as a mapping reads them; the names that they have there.

    `lost`: what of them does not reach the provider.
    """

    tools: dict[str, Tool]
    canonical: list[Tool]
    names: ToolNames
    lost: dict[str, str]


def offered(request: dict[str, Any], facts: Facts) -> Offered:
    """What a provider is offered of a request's tools.

    Raises ApiError when they are more than the provider takes (G08): which to leave out is for the client to say; and when
    a schema is too deep to read.
    """
    tools, asked = request.get("tools"), request.get("tool_choice") or {}
    if not tools or not facts.tools:
        return Offered({}, [], ToolNames((), facts), {"tools": "this model calls no tools"} if tools else {})
    if asked.get("type") == "none" and "none" not in facts.tool_choices:
        return Offered({}, [], ToolNames((), facts), {})
    # To a provider that can be told to choose but not what, the one tool alone is offered.
    is_alone = asked.get("type") == "tool" and "tool" not in facts.tool_choices and "any" in facts.tool_choices
    alone = asked["name"] if is_alone else None
    if once(_is_deferred, tools):
        return _offered(_without_deferred(tools, request["messages"]), facts, alone)
    made = once(_offered, tools, facts, alone)
    return made._replace(names=made.names.copy())


def _offered(tools: list[Tool], facts: Facts, alone: str | None) -> Offered:
    lost: dict[str, str] = {}
    found = _found(tools, facts, alone, lost)
    names = ToolNames(found, facts)
    return Offered(found, [_canonical(tool, names, facts, lost) for tool in found.values()], names, lost)


def _found(tools: list[Tool], facts: Facts, alone: str | None, lost: dict[str, str]) -> dict[str, Tool]:
    """The tools that go upstream, by the client's names; of several with one name the first."""
    found: dict[str, Tool] = {}
    for tool in tools:
        if _is_offered(tool, facts, lost):
            found.setdefault(tool["name"], tool)
    if alone in found:
        found = {alone: found[alone]}
    if facts.max_tools is not None and len(found) > facts.max_tools:
        words = f"tools: this provider takes at most {facts.max_tools} tools, and {len(found)} were sent"
        raise ApiError(400, "invalid_request_error", words)
    return found


def _canonical(tool: Tool, names: ToolNames, facts: Facts, lost: dict[str, str]) -> Tool:
    """A tool as a mapping reads it. Raises ApiError when its schema is too deep to read."""
    family = _family(tool)
    mark = cache_mark(tool, facts, lost, on_text=False)
    if family == WEB_SEARCH:
        return {key: value for key, value in tool.items() if key not in ("cache_control", "defer_loading")} | mark
    for key, value in tool.items():
        if value and key not in _READ and key not in _NEEDLESS:
            lost[f"tools.{key}"] = "the provider knows nothing like it"
    if family in _CLIENT_TOOLS:
        tool = {"name": tool["name"], **_CLIENT_TOOLS[family]}
    try:
        cleaned = schema.clean(tool.get("input_schema"), facts.schema)
    except RecursionError:
        raise ApiError(400, "invalid_request_error", f"tools: the input_schema of {tool['name']} is nested too deeply") from None
    made: Tool = {"name": names[tool["name"]]}
    if tool.get("description"):
        made["description"] = tool["description"]
    made["input_schema"] = cleaned
    if tool.get("strict"):
        if facts.strict_tools:
            made["strict"] = True
        else:
            lost["tools.strict"] = "the provider holds no tool to its schema"
    return made | mark if mark else made


def choice(
    request: dict[str, Any], tools: Collection[str], names: ToolNames, facts: Facts, lost: dict[str, str], *, thinks: bool
) -> Any:
    """The tool choice that the provider can be given; None where there is nothing to choose from (G11)."""
    asked = request["tool_choice"]
    if not tools or not asked or asked["type"] not in ("any", "tool"):
        return asked if tools else None
    if thinks and not facts.forced_tools_with_thinking:  # T06
        lost["tool_choice"] = "the provider forces no tool on a model that thinks"
    elif asked["type"] == "tool" and asked["name"] not in tools:
        lost["tool_choice"] = f"the provider is not offered {asked['name']}"
    elif forced := _forced(asked, tools, names, facts):
        return forced
    else:
        lost["tool_choice"] = "the provider cannot be told which tool to choose"
    return {key: value for key, value in asked.items() if key != "name"} | {"type": "auto"}


def _forced(asked: dict[str, Any], tools: Collection[str], names: ToolNames, facts: Facts) -> dict[str, Any] | None:
    """A forced choice as the provider knows it. To choose any of one tool is to choose that tool."""
    same = ("any", "tool") if len(tools) == 1 else ()
    kind = next((kind for kind in (asked["type"], *same) if kind in facts.tool_choices), None)
    if kind is None:
        return None
    named = {"name": names[asked.get("name") or next(iter(tools))]} if kind == "tool" else {}
    return {key: value for key, value in asked.items() if key != "name"} | {"type": kind} | named


def asks_to_search(request: dict[str, Any]) -> bool:
    """Whether the request holds the server tool that searches the web."""
    return any(_family(tool) == WEB_SEARCH for tool in request.get("tools") or ())


def asks_only_to_search(request: dict[str, Any]) -> bool:
    """Whether the request is a search of the web and nothing else, as Claude Code's side calls are."""
    tools: list[Tool] = request.get("tools") or []
    return bool(tools) and all(_family(tool) == WEB_SEARCH for tool in tools)


def _is_offered(tool: Tool, facts: Facts, lost: dict[str, str]) -> bool:
    family = _family(tool)
    if not tool.get("name"):  # G12
        lost[family or "a tool without a name"] = "the provider takes no tool without a name"
        return False
    if family is None or family in _CLIENT_TOOLS or (family == WEB_SEARCH and facts.web_search):
        return True
    lost[family] = "the provider has no such tool of its own"  # R29
    return False


def _family(tool: Tool) -> str | None:
    """The kind of a tool that Anthropic defines, without its date; None of a client's own tool."""
    kind = tool.get("type")
    return None if kind in (None, "custom") else re.sub(r"_\d{8}$", "", kind)


# Tool search (R31): the client defers tools, until a search brings up their names.


def _is_deferred(tools: list[Tool]) -> bool:
    """Whether some may not have come up yet. Where the search would be Anthropic's own, none could: all are offered."""
    return any(tool.get("defer_loading") for tool in tools) and not any(
        (_family(tool) or "").startswith("tool_search_tool") for tool in tools
    )


def _without_deferred(tools: list[Tool], messages: list[dict[str, Any]]) -> list[Tool]:
    """Without the tools that have not come up yet."""
    known = {name for message in messages for name in _named(message.get("content"))}
    return [tool for tool in tools if not tool.get("defer_loading") or tool.get("name") in known]


def _named(content: Any) -> Iterator[str]:
    """The tools that a message's blocks name."""
    for block in content if isinstance(content, list) else ():
        match block:
            case {"type": "tool_use", "name": name} | {"type": "tool_reference", "tool_name": name}:
                yield name
            case {"type": "tool_addition", "tool": {"name": str(name)}}:
                yield name
            case {"type": "tool_result", "content": list(shown)}:
                yield from _named(shown)


# Tools that Anthropic defines and the client runs. https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview


def _takes(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


_TEXT = {"type": "string"}
_LINE = {"type": "integer", "minimum": 0}
_EDITING = {
    "path": _TEXT,
    "file_text": _TEXT | {"description": "The whole text, for create."},
    "old_str": _TEXT | {"description": "The text to replace, which stands there once."},
    "new_str": _TEXT | {"description": "The text to put in its place."},
    "insert_line": _LINE | {"description": "The line to insert behind, 0 for the beginning."},
    "insert_text": _TEXT | {"description": "The text to insert."},
    "view_range": {"type": "array", "items": {"type": "integer"}, "description": "First and last line to view, -1 for the end."},
}
_CLIENT_TOOLS: dict[str | None, Tool] = {
    "bash": {
        "description": "Run a command in a bash shell that lives on between calls.",
        "input_schema": _takes("", command=_TEXT, restart={"type": "boolean", "description": "Start a new shell."}),
    },
    "text_editor": {
        "description": "View, create and edit text files.",
        "input_schema": _takes(
            "command path", command={"type": "string", "enum": ["view", "create", "str_replace", "insert"]}, **_EDITING
        ),
    },
    "memory": {
        "description": "View, create, edit, delete and rename files under /memories, which are kept between conversations.",
        "input_schema": _takes(
            "command",
            command={"type": "string", "enum": ["view", "create", "str_replace", "insert", "delete", "rename"]},
            **_EDITING,
            old_path=_TEXT,
            new_path=_TEXT,
        ),
    },
}
