"""A web search that a provider made itself, in the two blocks that Anthropic tells of one with.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.wire.jsontext import dumps

_ODD = re.compile(r"[^A-Za-z0-9_]")

UNAVAILABLE = "unavailable"
_ERRORS = ("invalid_tool_input", UNAVAILABLE, "max_uses_exceeded", "too_many_requests", "query_too_long", "request_too_large")


class Search(NamedTuple):
    """`input` is the JSON text of a server_tool_use block, `content` that of its web_search_tool_result."""

    id: str
    input: str
    content: list[dict[str, Any]] | dict[str, Any]


def search_blocks(told: Mapping[str, Any], made_up_id: str) -> Search:
    """A web_search delta -> its blocks. The provider's own id would be none of Anthropic's, but tells searches apart."""
    own = told.get("id")
    id = f"srvtoolu_{_ODD.sub('_', own)}" if isinstance(own, str) and own else made_up_id
    query = told.get("query")
    input = dumps({"query": query} if isinstance(query, str) else {}).decode()
    if error := told.get("error"):
        code = error if error in _ERRORS else UNAVAILABLE
        return Search(id, input, {"type": "web_search_tool_result_error", "error_code": code})
    results = told.get("results")
    return Search(id, input, [_page(result) for result in results if _is_page(result)] if isinstance(results, list) else [])


def _is_page(result: Any) -> bool:
    return isinstance(result, dict) and isinstance(result.get("url"), str)


def _page(result: Mapping[str, Any]) -> dict[str, Any]:
    title, age = result.get("title"), result.get("page_age")
    return {
        "type": "web_search_result",
        "url": result["url"],
        "title": title if isinstance(title, str) and title else result["url"],
        "page_age": age if isinstance(age, str) else None,
        "encrypted_content": "",
    }
