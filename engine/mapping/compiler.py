"""Nodes -> one Python function a section.

The code is built as a syntax tree, never as text: nothing needs escaping, and every node carries the line and column
of the YAML that it came from (mapping.FILE).
"""

import ast
import keyword
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any, ClassVar, TypeVar

from . import nodes, selectors, templates, words
from .document import JSON_NUMBER, JSON_WORDS
from .errors import Place, Problems, Source, suggest
from .mapping import FILE, Section, place_at
from .namespaces import namespace
from .reading import SelectorError
from .shapes import leaves
from .signatures import Function
from .trees import json_tree

Tree = TypeVar("Tree", bound=ast.AST)

Sink = Callable[[ast.expr], ast.stmt]
"""What becomes of a value: it is returned, stored under a key, appended to a list."""


MOST_LOOPS = 16
"""Within each other. Of more than twenty some are refused by Python, and some crash it
(https://github.com/python/cpython/issues/156091)."""


@dataclass(slots=True)
class Compiler:
    """Compiles the sections of one mapping: a chain of files, their parts and functions."""

    sources: Sequence[Source]
    parts: Mapping[str, nodes.Node]
    functions: Mapping[str, Function]
    problems: Problems
    used: set[str] = field(default_factory=set)

    def section(self, name: str, parameters: Sequence[str], node: nodes.Node) -> Section | None:
        """The section's function; None where there are problems."""
        writer = _Writer(self, name, parameters)
        tree = writer.function(node)
        if deep := in_too_many_loops(tree):
            place = place_at(self.sources, deep.lineno, deep.col_offset, deep.end_col_offset)
            self.problems.add(place, f"these are too many loops within loops: the most is {MOST_LOOPS}")
        if self.problems:
            return None
        space = {**namespace(self.functions), **writer.constants}
        module = ast.fix_missing_locations(ast.Module([tree], []))
        exec(compile(module, f"<mapping {self.sources[0].name}>", "exec"), space)
        keys = {key for leaf in leaves(node, self.parts) if isinstance(leaf, nodes.Record) for key in leaf.entries}
        return Section(space[name], pickle.dumps(tree), writer.reads, writer.drops, keys, writer.constants)


_LOOPS = (ast.For, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def in_too_many_loops(tree: ast.AST) -> Any:
    """A loop that lies in too many others, if any does."""
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, _LOOPS):
            if depth == MOST_LOOPS:
                return node
            depth += 1
        waiting += [(child, depth) for child in ast.iter_child_nodes(node)]
    return None


class _Writer:
    """Writes one function."""

    def __init__(self, compiler: Compiler, name: str, parameters: Sequence[str]):
        self.compiler = compiler
        self.problems = compiler.problems
        self.name = name
        self.parameters = list(parameters)
        self.texts = {name for name in parameters if name in words.TEXTS}
        self.known = {"request": (*words.REQUEST, *words.REQUEST_OF_OTHERS)} if "request" in parameters else {}
        self.reserved = {*namespace(compiler.functions), *keyword.kwlist}
        self.scope: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.using: list[str] = []
        self.reads: set[tuple[str, ...]] = set()
        self.drops: dict[str, str] = {}
        self.constants: dict[str, Any] = {}
        self.fields: set[str] = set()

    def function(self, node: nodes.Node) -> ast.FunctionDef:
        self.scope = {name: self._variable(name) for name in self.parameters}
        body = self.emit(node, ast.Return)
        body = [*(twin for variable in self.scope.values() for twin in self._twin(variable)), *body]
        arguments = ast.arguments([], [ast.arg(self.scope[name]) for name in self.parameters], None, [], [], None, [])
        return self._stamp(ast.FunctionDef(self.name, arguments, body or [ast.Pass()], [], None, None), node.place)

    # Names

    def fresh(self, kind: str = "found") -> str:
        """A variable that is free: no name of the language has two underscores (nodes.NAME)."""
        self.counts[kind] += 1
        return f"{kind}__{self.counts[kind]}"

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """The variables that are made in the block are free again after it: a call pays for each that its function has."""
        counts = self.counts.copy()
        yield
        self.counts = counts

    def _variable(self, name: str) -> str:
        return f"{name}_" if name in self.reserved else name

    @contextmanager
    def _named(self, name: str, place: Place) -> Any:
        """The name is in scope for the length of the block; yields its variable."""
        taken = name in self.scope
        if taken:
            self.problems.add(place, f"the name {name!r} is taken: no name hides another")
        outer = self.scope
        self.scope = {**outer, name: self._variable(name)}
        yield self.scope[name]
        self.scope = outer

    def _twin(self, variable: str) -> list[ast.stmt]:
        """The statement that asks once whether a variable is an object, where its fields are read."""
        if variable not in self.fields:
            return []
        is_object = ast.Compare(ast.Call(_load("type"), [_load(variable)], []), [ast.Is()], [_load("dict")])
        return [_assign(selectors.fields_of(variable), ast.IfExp(is_object, _load(variable), _load("_EMPTY")))]

    # Expressions

    def select(self, node: nodes.Select, *, condition: bool = False) -> selectors.Selector:
        try:
            made = selectors.compile_selector(
                node.text,
                names=self.scope,
                texts=self.texts,
                known=self.known,
                functions=self.compiler.functions,
                fresh=self.fresh,
                condition=condition,
            )
        except SelectorError as error:
            for each in (error, *error.others):
                place = node.scalar.place if each.offset is None else node.scalar.at(node.offset + each.offset, each.length)
                self.problems.add(place, each.message)
            return selectors.Selector(ast.Constant(None), frozenset())
        self.reads |= made.reads
        self.fields |= made.fields
        self._stamp(made.expression, node.place)
        return made

    def _template(self, node: nodes.Template) -> ast.expr:
        try:
            made = templates.compile_template(node.text, self.scope, partial(self._path, node), self._constant)
        except templates.TemplateError as error:
            self.problems.add(node.scalar.at(error.offset, error.length), error.message)
            return ast.Constant("")
        return self._stamp(made, node.place)

    def _path(self, node: nodes.Template, path: str) -> ast.expr:
        return self.select(nodes.Select(path, node.scalar, max(0, node.text.find(path)))).expression

    def _constant(self, value: Any) -> str:
        name = f"_constant__{len(self.constants) + 1}"
        self.constants[name] = value
        return name

    def condition(self, node: nodes.Select) -> ast.expr:
        return self.select(node, condition=True).expression

    # Values that are always there and need no statement

    def _is_sure(self, node: nodes.Node) -> bool:
        if isinstance(node, nodes.Record):
            return all(map(self._is_sure, node.entries.values()))
        if isinstance(node, nodes.Listing):
            return all(map(self._is_sure, node.items))
        return isinstance(node, nodes.Literal | nodes.Template)

    def _sure(self, node: nodes.Node) -> ast.expr:
        if isinstance(node, nodes.Template):
            return self._template(node)
        if isinstance(node, nodes.Record):
            return self._stamp(_dict({key: self._sure(child) for key, child in node.entries.items()}), node.place)
        if isinstance(node, nodes.Listing):
            return self._stamp(ast.List([self._sure(item) for item in node.items], ast.Load()), node.place)
        assert isinstance(node, nodes.Literal)
        return self._stamp(json_tree(node.value), node.place)

    # Statements: a node as one value

    def emit(self, node: nodes.Node, sink: Sink) -> list[ast.stmt]:
        """Statements that hand the node's value to the sink, once or, where it is absent, not at all."""
        if self._is_sure(node):
            return [self._stamp(sink(self._sure(node)), node.place)]
        with self._apart():
            statements = self._EMIT[type(node)](self, node, sink)
        return [self._stamp(statement, node.place) for statement in statements]

    def _select(self, node: nodes.Select, sink: Sink) -> list[ast.stmt]:
        made = self.select(node)
        if made.is_boolean:
            return [sink(made.expression)]
        if isinstance(made.expression, ast.Name):
            return [_if(_is_not_none(made.expression), [sink(made.expression)])]
        found = self.fresh()
        return [_if(_is_not_none(ast.NamedExpr(_store(found), made.expression)), [sink(_load(found))])]

    def _record(self, node: nodes.Record, sink: Sink) -> list[ast.stmt]:
        entries = list(node.entries.items())
        lead = list(takewhile(lambda entry: self._is_sure(entry[1]), entries))
        name = self.fresh("object")
        statements: list[ast.stmt] = [_assign(name, _dict({key: self._sure(child) for key, child in lead}))]
        for key, child in entries[len(lead) :]:
            statements += self._entry(key, child, partial(_set_key, name, key))
        return [*statements, sink(_load(name))]

    def _entry(self, key: str, child: nodes.Node, sink: Sink) -> list[ast.stmt]:
        if isinstance(child, nodes.Drop):
            self.drops[key] = child.reason
        return self.emit(child, sink)

    def _listing(self, node: nodes.Listing, sink: Sink) -> list[ast.stmt]:
        name = self.fresh("items")
        return [_assign(name, ast.List([], ast.Load())), *self.contribute(node, name), sink(_load(name))]

    def _let(self, node: nodes.Let, sink: Sink) -> list[ast.stmt]:
        return self._let_then(node, lambda: self.emit(node.body, sink))

    def _for(self, node: nodes.For, sink: Sink) -> list[ast.stmt]:
        name = self.fresh("items")
        start = _assign(name, ast.List([], ast.Load()))
        return [start, *self.contribute(node, name), _if(_load(name), [sink(_load(name))])]

    def _when(self, node: nodes.If, sink: Sink) -> list[ast.stmt]:
        return [_if(self.condition(node.condition), self.emit(node.body, sink))]

    def _switch(self, node: nodes.Switch, sink: Sink) -> list[ast.stmt]:
        return self._switch_then(node, lambda case: self.emit(case, sink))

    def _first(self, node: nodes.First, sink: Sink) -> list[ast.stmt]:
        name = self.fresh("first")
        # Null stands for what is absent, unless one of the choices is a null on purpose.
        mark = _load("_ABSENT") if any(map(self._says_null, node.choices)) else ast.Constant(None)
        statements: list[ast.stmt] = []
        for number, choice in enumerate(node.choices):
            tried = self._try(name, choice, mark, first=number == 0)
            statements += [_if(ast.Compare(_load(name), [ast.Is()], [mark]), tried)] if number else tried
        present = ast.Compare(_load(name), [ast.IsNot()], [mark])
        return [*statements, _if(present, [sink(_load(name))])]

    def _try(self, name: str, choice: nodes.Node, mark: ast.expr, *, first: bool) -> list[ast.stmt]:
        if isinstance(choice, nodes.Select) and isinstance(mark, ast.Constant):
            return self._bind(name, choice)
        return [*([_assign(name, mark)] if first else []), *self.emit(choice, partial(_assign, name))]

    def _says_null(self, node: nodes.Node) -> bool:
        """Whether a node may be a null that was written by hand."""
        return any(isinstance(leaf, nodes.Literal) and leaf.value is None for leaf in leaves(node, self.compiler.parts))

    def _use(self, node: nodes.Use, sink: Sink) -> list[ast.stmt]:
        return self._use_then(node, lambda part: self.emit(part, sink))

    def _drop(self, node: nodes.Drop, sink: Sink) -> list[ast.stmt]:
        return []

    # Statements: a node as items of a list

    def contribute(self, node: nodes.Node, items: str) -> list[ast.stmt]:
        """Statements that append what the node contributes, none, one or several, to the list of that variable."""
        spread = self._CONTRIBUTE.get(type(node))
        with self._apart():
            statements = spread(self, node, items) if spread else self.emit(node, partial(_append, items))
        return [self._stamp(statement, node.place) for statement in statements]

    def _record_item(self, node: nodes.Record, items: str) -> list[ast.stmt]:
        """An object of which nothing was found is no item: an empty delta is none, and no provider takes `{}`."""
        append = partial(_append, items)
        if self._is_sure(node):
            return self.emit(node, append)
        if len(node.entries) == 1:
            [(key, child)] = node.entries.items()
            return self._entry(key, child, lambda value: append(_dict({key: value})))
        sure = any(map(self._is_sure, node.entries.values()))
        return self._record(node, append if sure else lambda made: _if(made, [append(made)]))

    def _listing_items(self, node: nodes.Listing, items: str) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for item in node.items:
            is_one = isinstance(item, nodes.Listing)
            statements += self.emit(item, partial(_append, items)) if is_one else self.contribute(item, items)
        return statements

    def _let_items(self, node: nodes.Let, items: str) -> list[ast.stmt]:
        return self._let_then(node, lambda: self.contribute(node.body, items))

    def _for_items(self, node: nodes.For, items: str) -> list[ast.stmt]:
        source = self.select(node.source).expression
        with self._named(node.name, node.place) as variable:
            body = self.contribute(node.body, items)
            body = [*self._twin(variable), *body] or [ast.Pass()]
        guard, made = (source.test, source.body) if isinstance(source, ast.IfExp) else (None, source)
        if isinstance(made, ast.ListComp):  # whose loop can be this one
            body = [_assign(variable, made.elt), *body]
            for loop in reversed(made.generators):
                body = [_if(test, body) for test in loop.ifs] or body
                match loop.iter:
                    case ast.List([value]):
                        body = [ast.Assign([loop.target], value), *body]
                    case each:
                        body = [ast.For(loop.target, each, body, [])]
            return [_if(guard, body)] if guard else body
        if not isinstance(source, ast.Name):
            found = self.fresh("each")
            test: ast.expr = ast.NamedExpr(_store(found), source)
            source = _load(found)
        else:
            test = source
        is_list = ast.Compare(ast.Call(_load("type"), [test], []), [ast.Is()], [_load("list")])
        return [_if(is_list, [ast.For(_store(variable), source, body, [])])]

    def _first_items(self, node: nodes.First, items: str) -> list[ast.stmt]:
        """The first that contributes any: the next is tried where the list has not grown."""
        before = self.fresh("before")
        statements: list[ast.stmt] = [_assign(before, _length(items))]
        for number, choice in enumerate(node.choices):
            tried = self.contribute(choice, items)
            statements += [_if(ast.Compare(_length(items), [ast.Eq()], [_load(before)]), tried)] if number else tried
        return statements

    def _when_items(self, node: nodes.If, items: str) -> list[ast.stmt]:
        return [_if(self.condition(node.condition), self.contribute(node.body, items))]

    def _switch_items(self, node: nodes.Switch, items: str) -> list[ast.stmt]:
        return self._switch_then(node, lambda case: self.contribute(case, items))

    def _use_items(self, node: nodes.Use, items: str) -> list[ast.stmt]:
        return self._use_then(node, lambda part: self.contribute(part, items))

    # What both kinds share

    def _let_then(self, node: nodes.Let, body: Callable[[], list[ast.stmt]]) -> list[ast.stmt]:
        """Names are bound in order, each in sight of those before it."""
        if not node.names:
            return body()
        (name, (place, value)), *rest = node.names.items()
        statements = self._bind(self._variable(name), value)
        with self._named(name, place) as variable:
            below = self._let_then(nodes.Let(dict(rest), node.body, node.place), body)
            return [*statements, *self._twin(variable), *below]

    def _bind(self, variable: str, value: nodes.Node) -> list[ast.stmt]:
        if isinstance(value, nodes.Select):
            return [self._stamp(_assign(variable, self.select(value).expression), value.place)]
        if isinstance(value, nodes.If) and isinstance(value.body, nodes.Select):
            chosen = ast.IfExp(self.condition(value.condition), self.select(value.body).expression, ast.Constant(None))
            return [self._stamp(_assign(variable, chosen), value.place)]
        if self._is_sure(value):
            return self.emit(value, partial(_assign, variable))
        # A part that makes the value may have a name of its own that is written the same.
        made = self.fresh("made")
        start = self._stamp(_assign(made, ast.Constant(None)), value.place)
        return [start, *self.emit(value, partial(_assign, made)), self._stamp(_assign(variable, _load(made)), value.place)]

    def _switch_then(self, node: nodes.Switch, branch: Callable[[nodes.Node], list[ast.stmt]]) -> list[ast.stmt]:
        subject = self.select(node.subject).expression
        start: list[ast.stmt] = []
        if not isinstance(subject, ast.Name):
            name = self.fresh("case")
            start, subject = [_assign(name, subject)], _load(name)
        cases = [_case(subject, key, branch(case)) for key, case in node.cases.items()]
        if node.default is None:
            unsaid: ast.stmt = ast.Expr(ast.Call(_load("_nothing_said"), [subject], []))
            other = [self._stamp(unsaid, node.subject.place)]
        else:
            other = branch(node.default)
        # As `if`s they would lie each within the one before, and of hundreds that is too deep for Python.
        return [*start, ast.Match(subject, [*cases, ast.match_case(ast.MatchAs(), None, other or [ast.Pass()])])]

    def _use_then(self, node: nodes.Use, body: Callable[[nodes.Node], list[ast.stmt]]) -> list[ast.stmt]:
        part = self.compiler.parts.get(node.part)
        self.compiler.used.add(node.part)
        if part is None:
            self.problems.add(node.place, f"there is no part named {node.part!r}{suggest(node.part, self.compiler.parts)}")
            return []
        if node.part in self.using:
            self.problems.add(node.place, f"the part {node.part!r} uses itself: {' → '.join([*self.using, node.part])}")
            return []
        self.using.append(node.part)
        statements = body(part)
        self.using.pop()
        return statements

    def _stamp(self, tree: Tree, place: Place) -> Tree:
        """Give the tree's nodes that have no position yet that of the place; those below one that has, have it too."""
        line = self.compiler.sources.index(place.source) * FILE + place.line
        text = place.source.line(place.line)
        start, end = (len(text[:column].encode()) for column in (place.column - 1, place.column - 1 + place.length))
        waiting: list[ast.AST] = [tree]
        while waiting:
            part = waiting.pop()
            if hasattr(part, "lineno"):
                continue
            if "lineno" in part._attributes:
                part.lineno, part.end_lineno, part.col_offset, part.end_col_offset = line, line, start, end  # type: ignore[attr-defined]
            waiting += ast.iter_child_nodes(part)
        return tree

    _EMIT: ClassVar[dict[type, Callable[["_Writer", Any, Sink], list[ast.stmt]]]] = {
        nodes.Select: _select,
        nodes.Record: _record,
        nodes.Listing: _listing,
        nodes.Let: _let,
        nodes.For: _for,
        nodes.If: _when,
        nodes.Switch: _switch,
        nodes.First: _first,
        nodes.Use: _use,
        nodes.Drop: _drop,
    }
    _CONTRIBUTE: ClassVar[dict[type, Callable[["_Writer", Any, str], list[ast.stmt]]]] = {
        nodes.Record: _record_item,
        nodes.Listing: _listing_items,
        nodes.Let: _let_items,
        nodes.For: _for_items,
        nodes.If: _when_items,
        nodes.First: _first_items,
        nodes.Switch: _switch_items,
        nodes.Use: _use_items,
    }


# Small trees


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def _assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([_store(name)], value)


def _if(test: ast.expr, body: list[ast.stmt]) -> ast.stmt:
    return ast.If(test, body or [ast.Pass()], [])


def _set_key(name: str, key: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Subscript(_load(name), ast.Constant(key), ast.Store())], value)


def _append(items: str, value: ast.expr) -> ast.stmt:
    return ast.Expr(ast.Call(ast.Attribute(_load(items), "append", ast.Load()), [value], []))


def _length(items: str) -> ast.expr:
    return ast.Call(_load("len"), [_load(items)], [])


def _is_not_none(value: ast.expr) -> ast.expr:
    return ast.Compare(value, [ast.IsNot()], [ast.Constant(None)])


def _dict(entries: Mapping[str, ast.expr]) -> ast.expr:
    return ast.Dict([ast.Constant(key) for key in entries], list(entries.values()))


def _case(subject: ast.Name, key: str, body: list[ast.stmt]) -> ast.match_case:
    """Keys are text; one that reads as a JSON word or number also means that value."""
    if key in JSON_WORDS or JSON_NUMBER.fullmatch(key):
        is_it = ast.Compare(ast.Call(_load("_word"), [subject], []), [ast.Eq()], [ast.Constant(key)])
        return ast.match_case(ast.MatchAs(), is_it, body or [ast.Pass()])
    return ast.match_case(ast.MatchValue(ast.Constant(key)), None, body or [ast.Pass()])
