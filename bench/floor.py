"""The floor: a proxy for one case as an expert would write it by hand, to measure the one that is compiled from mappings against.

Anthropic's Messages in, OpenAI's Chat Completions out, text out of the model and nothing else, on Granian, aiohttp and orjson.
It repairs nothing, checks nothing and knows no other provider: what it does per request is what cannot be left out.
"""

import asyncio
import sys
from typing import Any

import aiohttp
import orjson
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}

JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]

START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_%b","type":"message","role":"assistant",'
    b'"model":%b,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
)
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%b}}\n\n'
STOP = (
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"%b","stop_sequence":null},"usage":%b}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


class Floor:
    """The application, in front of an address of OpenAI's API."""

    def __init__(self, base_url: str):
        self.url = f"{base_url}/chat/completions"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
        elif scope["path"] != "/v1/messages":
            await answer(send, 200, b'{"status":"ok"}')
        else:
            await self.messages(receive, send)

    async def lifespan(self, receive: Any, send: Any) -> None:
        while True:
            event = (await receive())["type"]
            if event == "lifespan.startup":
                self.session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0),
                    headers={"content-type": "application/json", "authorization": "Bearer any"},
                    auto_decompress=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
            else:
                await self.session.close()
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    async def messages(self, receive: Any, send: Any) -> None:
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        request = orjson.loads(body)
        async with self.session.post(self.url, data=orjson.dumps(asked(request))) as response:
            if response.status != 200:
                await answer(send, response.status, await response.read())
            elif request.get("stream"):
                await stream(send, response.content, request["model"])
            else:
                await answer(send, 200, whole(orjson.loads(await response.read()), request["model"]))


async def answer(send: Any, status: int, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": JSON})
    await send({"type": "http.response.body", "body": body})


# The way there


def asked(request: dict[str, Any]) -> dict[str, Any]:
    """What OpenAI is asked."""
    messages: list[dict[str, Any]] = []
    if system := request.get("system"):
        messages.append({"role": "system", "content": text_of(system)})
    for message in request["messages"]:
        content = message["content"]
        if type(content) is str:
            messages.append(message)
        elif message["role"] == "user":
            messages += user(content)
        else:
            messages.append(assistant(content))
    body = {"model": request["model"], "messages": messages, "max_completion_tokens": request["max_tokens"]}
    if tools := request.get("tools"):
        body["tools"] = [{"type": "function", "function": function(tool)} for tool in tools]
    if effort := request.get("output_config", {}).get("effort"):
        body["reasoning_effort"] = effort
    if request.get("stream"):
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def function(tool: dict[str, Any]) -> dict[str, Any]:
    return {"name": tool["name"], "description": tool.get("description", ""), "parameters": tool["input_schema"]}


def user(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A user's message: answers to calls are messages of their own, ahead of what else is said."""
    messages: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for block in content:
        kind = block["type"]
        if kind == "text":
            parts.append({"type": "text", "text": block["text"]})
        elif kind == "tool_result":
            result = {"role": "tool", "tool_call_id": block["tool_use_id"], "content": text_of(block["content"])}
            messages.append(result)
        elif kind == "image":
            source = block["source"]
            url = f"data:{source['media_type']};base64,{source['data']}"
            parts.append({"type": "image_url", "image_url": {"url": url}})
    if parts:
        messages.append({"role": "user", "content": parts})
    return messages


def assistant(content: list[dict[str, Any]]) -> dict[str, Any]:
    calls = [
        {
            "id": block["id"],
            "type": "function",
            "function": {"name": block["name"], "arguments": orjson.dumps(block["input"]).decode()},
        }
        for block in content
        if block["type"] == "tool_use"
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text_of(content) or None}
    if calls:
        message["tool_calls"] = calls
    return message


def text_of(content: str | list[dict[str, Any]]) -> str:
    if type(content) is str:
        return content
    return "".join([block["text"] for block in content if block["type"] == "text"])


# The way back


def usage_of(usage: dict[str, Any]) -> dict[str, Any]:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": usage["prompt_tokens"] - cached,
        "cache_read_input_tokens": cached,
        "output_tokens": usage["completion_tokens"],
    }


def whole(reply: dict[str, Any], model: str) -> bytes:
    choice = reply["choices"][0]
    message = {
        "id": f"msg_{reply['id']}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": choice["message"]["content"]}],
        "stop_reason": STOPS[choice["finish_reason"]],
        "stop_sequence": None,
        "usage": usage_of(reply["usage"]),
    }
    return orjson.dumps(message)


async def stream(send: Any, content: aiohttp.StreamReader, model: str) -> None:
    """All events that one read from the provider makes go out in one write."""
    await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
    rest = b""
    started = done = False
    stop, usage = "end_turn", {"input_tokens": 0, "output_tokens": 0}
    async for data in content.iter_any():
        *events, rest = (rest + data).split(b"\n\n")
        out: list[bytes] = []
        for event in events:
            if event == b"data: [DONE]":
                out.append(STOP % (stop.encode(), orjson.dumps(usage)))
                done = True
                break
            chunk = orjson.loads(event[6:])
            if choices := chunk["choices"]:
                choice = choices[0]
                if not started:
                    started = True
                    out.append(START % (chunk["id"].encode(), orjson.dumps(model)))
                if text := choice["delta"].get("content"):
                    out.append(DELTA % orjson.dumps(text))
                if finish := choice["finish_reason"]:
                    stop = STOPS[finish]
            if counted := chunk.get("usage"):
                usage = usage_of(counted)
        if out:
            await send({"type": "http.response.body", "body": b"".join(out), "more_body": not done})


if __name__ == "__main__":
    floor = Floor(sys.argv[2])
    server = Server(floor, "127.0.0.1", int(sys.argv[1]), interface=Interfaces.ASGI, log_enabled=False, websockets=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if "uvloop" in sys.argv else None) as runner:
        runner.run(server.serve())
