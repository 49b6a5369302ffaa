"""A Granian application and nothing else: what every server on Granian needs to start, and to be there."""

import asyncio
import sys
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


if __name__ == "__main__":
    server = Server(application, "127.0.0.1", int(sys.argv[1]), interface=Interfaces.ASGI, log_enabled=False, websockets=False)
    asyncio.run(server.serve())
