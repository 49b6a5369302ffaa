"""JMESPath text -> jmespath's tree, and where each name in it stands.

jmespath's parser is used as it is. Its tree is "an implementation detail" of theirs, so their version is pinned, and
the compliance suite is the alarm.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError, LexerError, ParseError
from jmespath.lexer import Lexer

Node = dict[str, Any]
"""A node of jmespath's tree: type, children and often a value. Or a token: type, value, start."""

MAX_DEPTH = 120
"""Python's own compiler gives up on trees that are much deeper."""

TOO_DEEP = "cannot read the expression: it is nested too deeply"

_SPELLED = {"rbracket": "]", "rparen": ")", "rbrace": "}", "colon": ":", "comma": ",", "star": "*"}
_NODES_WITH_NAME = ("field", "function_expression", "key_val_pair", "current")
_TOKENS_WITH_NAME = ("quoted_identifier", "unquoted_identifier", "current")


class SelectorError(Exception):
    """An expression that cannot be compiled.

    `offset` and `length` are in its text, None for the whole of it; `others` is what else is wrong with it.
    """

    def __init__(self, message: str, offset: int | None = None, length: int | None = None):
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = length
        self.others: list[SelectorError] = []


def parse(text: str) -> Node:
    """The tree of an expression. Raises SelectorError."""
    try:
        with _old_literals():
            tree: Any = jmespath.compile(text).parsed
    except JMESPathError as error:
        raise _unreadable(error, text) from None
    except RecursionError:
        raise SelectorError(TOO_DEEP) from None
    except ValueError:  # an index of some thousand digits
        raise SelectorError("cannot read the expression: it holds too great a number") from None
    if any(depth > MAX_DEPTH for _, depth in _in_order(tree)):
        raise SelectorError(TOO_DEEP)
    return dict(tree)


def names_in(tree: Node, text: str) -> dict[int, Node]:
    """The tokens of the nodes that have a name, by the id of the node.

    jmespath's tree does not say where its nodes stood, but it holds the names of the text in their order.
    """
    with _old_literals():
        tokens: list[Any] = [token for token in Lexer().tokenize(text) if token["type"] in _TOKENS_WITH_NAME]
    nodes = [node for node, _ in _in_order(tree) if node["type"] in _NODES_WITH_NAME]
    return {id(node): token for node, token in zip(nodes, tokens, strict=True)}


@contextmanager
def _old_literals() -> Iterator[None]:
    """`foo` is an old way to write 'foo', which jmespath reads with a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        yield


def _in_order(tree: Node) -> Iterator[tuple[Node, int]]:
    """The nodes in the order of the text, and how deep each is."""
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        children = [child for child in node["children"] if isinstance(child, dict)]
        if node["type"] == "filter_projection":
            base, projected, condition = children
            children = [base, condition, projected]
        stack += [(child, depth + 1) for child in reversed(children)]


def _unreadable(error: JMESPathError, text: str) -> SelectorError:
    told, offset, length = "it is empty", None, None
    if isinstance(error, ParseError) and error.token_type in (None, "EOF"):
        told, offset, length = "Incomplete expression", max(0, len(text) - 1), 1
    elif isinstance(error, LexerError):
        told, offset, length = error.message, error.lexer_position, 1
        if told == "Unknown token '='":
            told += "; did you mean '=='?"
    elif isinstance(error, ParseError):
        told, offset, length = _unexpected(error), error.lex_position, len(str(error.token_value))
    return SelectorError(f"cannot read the expression: {told}", offset, length)


def _unexpected(error: ParseError) -> str:
    if error.msg.startswith(("Invalid function", "Quoted identifier")):
        return str(error.msg)
    found = repr(str(error.token_value))
    expected = _SPELLED.get(error.msg.removeprefix("Expecting: ").partition(",")[0])
    return f"expected {expected!r}, not {found}" if expected else f"unexpected {found}"
