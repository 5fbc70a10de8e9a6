"""Edits of a function's syntax tree: a mutant is described by symbols, not by source text.

A `Find` selects one node of a function by the kind of the node and by the names that it mentions.
An edit changes the node that was found. Comments, formatting and the text of messages play no
part, so that a mutant survives everything but a change of the symbols that it names.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

Edit = Callable[["Function"], None]
"""Changes a function in place, at exactly one node."""

Transform = Callable[[ast.expr], ast.expr]
"""Returns what an expression becomes."""


class Stale(AssertionError):
    """A mutant names a symbol that the program does not have any more, or has more than once."""


def mentioned(node: ast.AST) -> frozenset[str]:
    """Return the identifiers and strings in a node, and "yield" if it yields."""
    names: set[str] = set()
    for part in ast.walk(node):
        match part:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                names.add(name)
            case ast.Constant(value=str(text)):
                names.add(text)
            case ast.Yield():
                names.add("yield")
            case _:
                pass
    return frozenset(names)


@dataclass(frozen=True)
class Find:
    """Selects the innermost nodes of some kinds that mention all of ``names``.

    ``lacks`` are names that the node must not mention; ``operator`` is the one that a comparison
    must have; ``callee`` is the last name of the function that a call must call; ``inside``
    selects the node to search in. Of several matches ``which`` selects one; without it, several
    matches are an error. ``part`` selects a field of the node instead of the node itself.
    """

    kinds: tuple[type[ast.AST], ...]
    names: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    operator: type[ast.cmpop] | None = None
    callee: str = ""
    inside: Find | None = None
    which: int | None = None
    part: str = ""

    def matches(self, node: ast.AST) -> bool:
        """Whether a node is of these kinds and mentions these names."""
        if not isinstance(node, self.kinds):
            return False
        if self.operator is not None and not (
            isinstance(node, ast.Compare) and isinstance(node.ops[0], self.operator)
        ):
            return False
        if self.callee and not (isinstance(node, ast.Call) and _callee(node) == self.callee):
            return False
        names = mentioned(node)
        return self.names <= names and not self.lacks & names

    def in_(self, function: ast.AST) -> ast.AST:
        """Return the one node of a function that is selected.

        :raises Stale: if there is none, or more than one.
        """
        scope = self.inside.in_(function) if self.inside else function
        found = [node for node in _inside(scope) if self.matches(node)]
        found = [
            node
            for node in found
            if not any(other is not node and other in ast.walk(node) for other in found)
        ]
        if self.which is not None:
            found = found[self.which : self.which + 1]
        if len(found) != 1:
            raise Stale(f"{len(found)} nodes match {self}")
        node = getattr(found[0], self.part) if self.part else found[0]
        assert isinstance(node, ast.AST)
        return node


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below a node in the order of the source."""
    for child in ast.iter_child_nodes(scope):
        yield child
        yield from _inside(child)


def _callee(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


# ---------------------------------------------------------------- what to find


def statement(*names: str, which: int | None = None) -> Find:
    """Select the innermost statement that mentions ``names``."""
    return Find((ast.stmt,), frozenset(names), which=which)


def returned(*names: str, lacks: tuple[str, ...] = ()) -> Find:
    """Select a ``return`` statement."""
    return Find((ast.Return,), frozenset(names), frozenset(lacks))


def call(callee: str, *names: str, inside: Find | None = None) -> Find:
    """Select a call of the function or method ``callee`` that mentions ``names``."""
    return Find((ast.Call,), frozenset(names), callee=callee, inside=inside)


def comparison(operator: type[ast.cmpop], *names: str) -> Find:
    """Select a comparison by its operator and by what it mentions."""
    return Find((ast.Compare,), frozenset(names), operator=operator)


def attribute(name: str, *, inside: Find | None = None) -> Find:
    """Select the use of an attribute."""
    return Find((ast.Attribute,), frozenset({name}), inside=inside)


def expression(kind: type[ast.expr], *names: str) -> Find:
    """Select an expression by its kind and by what it mentions."""
    return Find((kind,), frozenset(names))


def condition(*names: str) -> Find:
    """Select the condition of the innermost ``if`` statement that mentions ``names``."""
    return Find((ast.If,), frozenset(names), part="test")


def result(*names: str) -> Find:
    """Select the value that a ``return`` statement returns."""
    return Find((ast.Return,), frozenset(names), part="value")


def argument(name: str) -> Find:
    """Select a keyword argument of a call."""
    return Find((ast.keyword,), frozenset({name}))


# ---------------------------------------------------------------- what it becomes


def code(text: str) -> Transform:
    """Replace an expression by other code, in which ``_`` is the expression itself."""

    def become(node: ast.expr) -> ast.expr:
        tree = ast.parse(text, mode="eval").body
        return _Fill(node).visit(tree)  # type: ignore[no-any-return]  # a visitor returns Any

    return become


class _Fill(ast.NodeTransformer):
    """Puts an expression in the place of ``_``."""

    def __init__(self, node: ast.expr) -> None:
        self._node = node

    def visit_Name(self, name: ast.Name) -> ast.expr:
        """Return the expression for ``_``."""
        return self._node if name.id == "_" else name


FALSE, TRUE = code("False"), code("True")


def first_argument(node: ast.expr) -> ast.expr:
    """Return the first argument instead of the call."""
    assert isinstance(node, ast.Call)
    return node.args[0]


def left(node: ast.expr) -> ast.expr:
    """Return the left operand of an operation or a comparison, or what an ``if`` selects."""
    match node:
        case ast.BinOp(left=operand) | ast.Compare(left=operand) | ast.IfExp(body=operand):
            return operand
        case ast.BoolOp(values=[operand, *_]):
            return operand
        case _:
            raise Stale(f"{ast.unparse(node)} has no left operand")


def last_negated(node: ast.expr) -> ast.expr:
    """Negate the last operand of ``and`` or ``or``."""
    assert isinstance(node, ast.BoolOp)
    node.values[-1] = ast.UnaryOp(ast.Not(), node.values[-1])
    return node


def renamed(name: str) -> Transform:
    """Replace the called function, or the attribute, by another of its kind."""

    def become(node: ast.expr) -> ast.expr:
        target = node.func if isinstance(node, ast.Call) else node
        if isinstance(target, ast.Name):
            target.id = name
        else:
            assert isinstance(target, ast.Attribute)
            target.attr = name
        return node

    return become


def compared(operator: type[ast.cmpop]) -> Transform:
    """Replace the operator of a comparison."""

    def become(node: ast.expr) -> ast.expr:
        assert isinstance(node, ast.Compare)
        node.ops = [operator()]
        return node

    return become


def with_argument(name: str, text: str | None) -> Transform:
    """Give a call other code for a keyword argument; None leaves the argument out."""

    def become(node: ast.expr) -> ast.expr:
        assert isinstance(node, ast.Call)
        node.keywords = [each for each in node.keywords if each.arg != name]
        if text is not None:
            node.keywords.append(ast.keyword(name, code(text)(node)))
        return node

    return become


# ---------------------------------------------------------------- edits


class Function:
    """A function or method, found by its qualified name, whose tree edits change.

    ``names`` are all the names that its module knows, which code put into it may use.
    """

    def __init__(self, text: str, qualname: str) -> None:
        self.text = text
        tree: ast.AST = ast.parse(text)
        self.names = mentioned(tree) | _defined(tree) | set(dir(builtins))
        for part in qualname.split("."):
            tree = _definition(tree, part, qualname)
        assert isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
        self.tree = tree
        self._sound = ast.dump(tree)

    def edited(self) -> str:
        """Return the text of the module with the changed function in it.

        :raises Stale: if the function is what it was.
        """
        if ast.dump(self.tree) == self._sound:
            raise Stale(f"nothing changed in {self.tree.name}")
        lines = self.text.splitlines(keepends=True)
        indent = " " * self.tree.col_offset
        first, last = self.tree.lineno - 1, self.tree.end_lineno
        bare = deepcopy(self.tree)
        bare.decorator_list = []
        source = ast.unparse(ast.fix_missing_locations(bare))
        changed = _indented(source, indent)
        return "".join([*lines[:first], changed, *lines[last:]])

    def parse(self, text: str) -> list[ast.stmt]:
        """Return code as statements.

        :raises Stale: if it uses a name that the module does not know.
        """
        statements = ast.parse(text).body
        for each in statements:
            self.require_known(each)
        return statements

    def require_known(self, node: ast.AST) -> None:
        """Refuse code that uses a name that the module does not know.

        :raises Stale: if it does.
        """
        used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        if unknown := used - self.names:
            raise Stale(f"{self.tree.name} does not know {sorted(unknown)}")

    def block(self, wanted: ast.AST) -> tuple[list[ast.stmt], int]:
        """Return the block that a statement is in, and its place there."""
        for node in ast.walk(self.tree):
            for field in ("body", "orelse", "finalbody"):
                block = getattr(node, field, None)
                if isinstance(block, list) and any(each is wanted for each in block):
                    return block, next(i for i, each in enumerate(block) if each is wanted)
        raise Stale("it is not a statement of the function")


def _defined(tree: ast.AST) -> set[str]:
    """Return the names that definitions, parameters and imports give to things."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name) | ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.alias(name=name, asname=other):
                names.add(other or name)
            case _:
                pass
    return names


def _definition(tree: ast.AST, name: str, qualname: str) -> ast.AST:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    found = [
        node for node in ast.iter_child_nodes(tree) if isinstance(node, kinds) and node.name == name
    ]
    if len(found) != 1:
        raise Stale(f"{len(found)} definitions of {name}, looked up for {qualname}")
    return found[0]


def _indented(source: str, indent: str) -> str:
    """Indent code, but not the inside of its strings of several lines."""
    inside = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno
        for line in range(node.lineno + 1, node.end_lineno + 1)
    }
    return "".join(
        line if number in inside else indent + line
        for number, line in enumerate(f"{source}\n".splitlines(keepends=True), 1)
    )


class _Put(ast.NodeTransformer):
    """Puts a node in the place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> ast.AST:
        """Return the new node for the old one."""
        return self._new if node is self._old else self.generic_visit(node)


def put(found: Find, become: Transform) -> Edit:
    """Replace an expression by what it becomes."""

    def edit(function: Function) -> None:
        node = found.in_(function.tree)
        assert isinstance(node, ast.expr)
        new = become(deepcopy(node))
        function.require_known(new)
        _Put(node, new).visit(function.tree)

    return edit


def delete(*names: str) -> Edit:
    """Delete the innermost statement that mentions ``names``."""

    def edit(function: Function) -> None:
        block, place = function.block(statement(*names).in_(function.tree))
        block[place] = ast.Pass()

    return edit


def swap(first: Find, second: Find) -> Edit:
    """Swap two statements of one block."""

    def edit(function: Function) -> None:
        block, one = function.block(first.in_(function.tree))
        other_block, other = function.block(second.in_(function.tree))
        if block is not other_block:
            raise Stale("the statements to swap are not in one block")
        block[one], block[other] = block[other], block[one]

    return edit


def insert(text: str, *, before: Find) -> Edit:
    """Insert other statements before one."""

    def edit(function: Function) -> None:
        block, place = function.block(before.in_(function.tree))
        block[place:place] = function.parse(text)

    return edit


def repeat(copied: Find, *, before: Find) -> Edit:
    """Insert a copy of a statement before another one."""

    def edit(function: Function) -> None:
        again = deepcopy(copied.in_(function.tree))
        block, place = function.block(before.in_(function.tree))
        assert isinstance(again, ast.stmt)
        block.insert(place, again)

    return edit


def move(moved: Find, *, after: Find) -> Edit:
    """Move a statement to behind another one."""

    def edit(function: Function) -> None:
        node = moved.in_(function.tree)
        block, place = function.block(node)
        del block[place]
        block, place = function.block(after.in_(function.tree))
        assert isinstance(node, ast.stmt)
        block.insert(place + 1, node)

    return edit


def restate(old: Find, new: Find | str) -> Edit:
    """Replace a statement by a copy of another one, or by code."""

    def edit(function: Function) -> None:
        block, place = function.block(old.in_(function.tree))
        if isinstance(new, str):
            block[place : place + 1] = function.parse(new)
        else:
            copied = deepcopy(new.in_(function.tree))
            assert isinstance(copied, ast.stmt)
            block[place] = copied

    return edit


def both(*edits: Edit) -> Edit:
    """Make several edits that are one fault, one after the other."""

    def edit(function: Function) -> None:
        for each in edits:
            each(function)

    return edit
