"""Independent readings of requests: what is said in one, whatever its format, and whether two say the same."""

from typing import Any

from tests.conversations import chat, generate_content, messages, responses
from tests.conversations.comparing import differences
from tests.conversations.conversation import CannotBeSaid, Conversation
from tests.conversations.writing import anthropic_request

__all__ = ["CannotBeSaid", "Conversation", "anthropic_request", "differences", "read"]

_READERS = {
    "chat": chat.read,
    "responses": responses.read,
    "generate_content": generate_content.read,
    "messages": messages.read,
}


def read(format: str, body: dict[str, Any], path: str = "") -> Conversation:
    """`path` is where the request went: generateContent says there whether the answer is to be streamed."""
    return _READERS[format](body, path)
