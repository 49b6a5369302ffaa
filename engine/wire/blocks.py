"""A client's content blocks -> the blocks that a mapping reads.

Where a provider cannot take a block, words stand in its place; what no words can stand for is dropped, and named in `lost`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from engine.wire import reasoning
from engine.wire.facts import Facts
from engine.wire.toolnames import ToolNames

Block = dict[str, Any]


def text(words: str) -> Block:
    return {"type": "text", "text": words}


def stray(content: list[Block]) -> list[Block]:
    """What a tool result says, where no call is left that it could belong to (R01)."""
    heading = "[result of an earlier tool call]"
    if content[0]["type"] == "text":
        return [text(f"{heading}\n{content[0]['text']}"), *content[1:]]
    return [text(heading), *content]


def failed(content: list[Block]) -> list[Block]:
    """What a failed tool says: most providers have no field for it, so the words say it (R06)."""
    if content[0]["type"] != "text":
        return [text("Error:"), *content]
    if content[0]["text"].startswith("Error:"):
        return content
    return [text(f"Error: {content[0]['text']}"), *content[1:]]


def searched_for(block: Block) -> Block:
    """What a provider was asked to do itself, in words."""
    return text(f"[{block['name']}: {block['input'].get('query') or _json(block['input'])}]")


def found_on_the_web(block: Block) -> Block:
    """What a search has found, in words."""
    found = block["content"]
    if isinstance(found, dict):
        return text(f"[web search failed: {found.get('error_code')}]")
    return text("\n".join(["[found on the web]", *(f"- {page.get('title')}: {page.get('url')}" for page in found)]))


def _tagged(tag: str, attributes: Mapping[str, str | None], content: list[Block]) -> list[Block]:
    """Blocks between an opening and a closing tag, as one text where they are text."""
    from xml.sax.saxutils import quoteattr  # it brings along an HTTP client, which few requests want

    told = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items() if value)
    opening, closing = f"<{tag}{told}>", f"</{tag}>"
    if all(block["type"] == "text" for block in content):
        return [text("\n".join([opening, *(block["text"] for block in content), closing]))]
    return [text(opening), *content, text(closing)]


def cache_mark(marked: Mapping[str, Any], facts: Facts, lost: dict[str, str], *, on_text: bool) -> Block:
    """The `cache_control` of a block or a tool, as the provider takes it (R17).

    `on_text`: it would stand on the text or the result of a call that a user or the system says.
    """
    mark = marked.get("cache_control")
    if not mark:
        return {}
    if facts.cache_marks == "drop":
        lost["cache_control"] = "the provider caches by itself, or not at all"
        return {}
    if facts.cache_marks == "texts" and not on_text:
        lost["cache_control"] = "only what a user or the system says in words bears a mark"
        return {}
    if facts.cache_marks == "keep":
        return {"cache_control": mark}
    if isinstance(mark, dict) and mark.get("ttl"):
        lost["cache_control.ttl"] = "for how long it caches is the provider's affair"
    return {"cache_control": {"type": "ephemeral"}}


class BlockReader:
    """Reads the blocks of one request.

    `tool_ids` are the ids of the calls it met, as the client knows them; `has_results`: it met results of calls; `has_files`:
    it met what words cannot be, images or documents.
    """

    has_results = has_files = _has_thoughts = False

    def __init__(self, facts: Facts, names: ToolNames, lost: dict[str, str], provider: str, model: str) -> None:
        self.tool_ids: set[str] = set()
        self._facts = facts
        self._names = names
        self._lost = lost
        self._provider = provider
        self._model = model

    def read(self, role: str, content: str | list[Block] | None) -> list[Block]:
        """The blocks of a message of this role, or of what is `shown` in one; none where it says nothing."""
        if isinstance(content, str):
            return [{"type": "text", "text": content}] if content.strip() else []  # Anthropic refuses a blank text
        readers = _READERS[role]
        blocks: list[Block] = []
        for block in content or ():
            read = (readers.get(block["type"]) or readers["*"])(self, block)
            if "cache_control" in block and read:
                on_text = role != "assistant" and read[-1]["type"] in ("text", "tool_result")
                if mark := cache_mark(block, self._facts, self._lost, on_text=on_text):
                    read[-1] = read[-1] | mark
            blocks += read
        return reasoning.place(blocks) if self._has_thoughts else blocks

    def _text(self, block: Block) -> list[Block]:
        if not block["text"].strip():
            return []
        if len(block) == 2:
            return [block]
        self._leave_out(block, "text")
        return [text(block["text"])]

    # What a user shows

    def _image(self, block: Block) -> list[Block]:
        self._leave_out(block, "source")
        source = block["source"]
        if not self._facts.images:
            self._lost["image"] = "this model cannot see images"
            return [text("[An image was here; this model cannot see images.]")]
        if source["type"] not in ("base64", "url"):
            return self._file("image", "An image")
        if source["type"] == "url" and not self._facts.image_urls:
            self._lost["image"] = "this provider fetches no images"
            return [text(f"[An image was here, at {source['url']}; it cannot be fetched from here.]")]
        self.has_files = True
        return [{"type": "image", "source": source}]

    def _document(self, block: Block) -> list[Block]:
        self._leave_out(block, "source", "title", "context")
        source, title = block["source"], block.get("title")
        if source["type"] in ("text", "content"):
            content = source["data"] if source["type"] == "text" else source["content"]
            shown = [text(content)] if isinstance(content, str) else self.read("shown", content)
            return _tagged("document", {"title": title, "context": block.get("context")}, shown)
        context = block.get("context")
        about = [text(f"About this document: {context}")] if context and context.strip() else []
        return self._pdf(source, title) + about

    def _pdf(self, source: Block, title: str | None) -> list[Block]:
        named = f" ({title})" if title else ""
        if not self._facts.documents:
            self._lost["document"] = "this model cannot read PDF files"
            return [text(f"[A PDF document was here{named}; this model cannot read PDF files.]")]
        if source["type"] not in ("base64", "url"):
            return self._file("document", f"A document{named}")
        if source["type"] == "url" and not self._facts.document_urls:
            self._lost["document"] = "this provider fetches no documents"
            return [text(f"[A PDF document was here{named}, at {source['url']}; it cannot be fetched from here.]")]
        self.has_files = True
        return [{"type": "document", "source": source} | ({"title": title} if title else {})]

    def _file(self, kind: str, what: str) -> list[Block]:
        self._lost[kind] = "a file kept at Anthropic cannot be read from here"
        return [text(f"[{what} was here; it is kept where it cannot be read.]")]

    def _search_result(self, block: Block) -> list[Block]:
        self._leave_out(block, "title", "source", "content")
        passages = self.read("shown", block["content"])
        return _tagged("search_result", {"title": block["title"], "source": block["source"]}, passages)

    def _tool_reference(self, block: Block) -> list[Block]:
        return [text(f"Tool loaded: {self._names[block['tool_name']]}")]

    def _tool_result(self, block: Block) -> list[Block]:
        content = self.read("shown", block.get("content")) or [text("(no output)")]  # R07
        if block.get("is_error") and self._facts.tool_errors == "words":
            content = failed(content)
        if not self._facts.tools:
            return stray(content)
        self.has_results = True
        result = {"type": "tool_result", "tool_use_id": block["tool_use_id"], "content": content}
        return [result | {"is_error": True} if block.get("is_error") else result]

    def _leave_out(self, block: Block, *read: str) -> None:
        """Name what a block says besides the fields that are read of it."""
        for key, value in block.items():
            if value and key not in read and key not in ("type", "cache_control"):
                self._lost[key] = "the provider knows nothing like it"

    def _unknown(self, block: Block) -> list[Block]:
        self._lost[block["type"]] = "this kind of block is unknown here"
        return [text(f"[unsupported block: {block['type']}]")]

    # What an assistant says

    def _thinking(self, block: Block) -> list[Block]:
        """Reasoning of the same provider and model, as it was; no one else may be shown it (T10, T14)."""
        state = reasoning.unseal(block.get("signature") or block.get("data"), self._provider, self._model)
        if state is None or self._facts.reasoning_history == "drop":
            self._lost["thinking"] = "the provider takes no reasoning back but its own model's, if any"
            return []
        self._has_thoughts = True
        if redacted := state.get("redacted"):
            return [{"type": "redacted_thinking", "data": redacted}]
        carried = {key: state[key] for key in ("signature", "details") if state.get(key)}
        words = state.get("thinking") or block.get("thinking", "")
        return [{"type": "thinking", "thinking": words} | carried] if words or carried else []

    def _tool_use(self, block: Block) -> list[Block]:
        self.tool_ids.add(block["id"])
        if not self._facts.tools:
            return [text(f"[called the tool {block['name']}]\n{_json(block['input'])}")]
        name = self._names[block["name"]]
        if len(block) == 4 and name == block["name"]:
            return [block]
        return [{"type": "tool_use", "id": block["id"], "name": name, "input": block["input"]}]

    def _server_tool_use(self, block: Block) -> list[Block]:
        return [searched_for(block)]

    def _web_search_result(self, block: Block) -> list[Block]:
        return [found_on_the_web(block)]

    def _compaction(self, block: Block) -> list[Block]:
        return [text(block["content"])] if block.get("content") else self._dropped(block)

    def _unknown_said(self, block: Block) -> list[Block]:
        return self._unknown(block) if block["type"].endswith("_result") else self._dropped(block)

    # What is left out

    def _dropped(self, block: Block) -> list[Block]:
        self._lost[block["type"]] = "the provider knows nothing like it"
        return []


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


Readers = Mapping[str, Callable[[BlockReader, Block], list[Block]]]

# By type; "*" reads all others. What is shown may stand in a tool result, too.
_SHOWN: Readers = {
    "text": BlockReader._text,
    "image": BlockReader._image,
    "document": BlockReader._document,
    "search_result": BlockReader._search_result,
    "tool_reference": BlockReader._tool_reference,
    "*": BlockReader._unknown,
}
_READERS: dict[str, Readers] = {
    "shown": _SHOWN,
    "user": {**_SHOWN, "tool_result": BlockReader._tool_result},
    "assistant": {
        "text": BlockReader._text,
        "thinking": BlockReader._thinking,
        "redacted_thinking": BlockReader._thinking,
        "tool_use": BlockReader._tool_use,
        "server_tool_use": BlockReader._server_tool_use,
        "mcp_tool_use": BlockReader._server_tool_use,
        "web_search_tool_result": BlockReader._web_search_result,
        "compaction": BlockReader._compaction,
        "*": BlockReader._unknown_said,
    },
    "system": {
        "text": BlockReader._text,
        "tool_addition": BlockReader._dropped,
        "tool_removal": BlockReader._dropped,
        "*": BlockReader._unknown,
    },
}
