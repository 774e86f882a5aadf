"""What a state may decide, as far as its code shows it for certain: whether it ends the job, or starts which child."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from muster.blueprint.scope import Scope, plain_function
from muster.blueprint.source import FunctionNode, node_of

_ENDING: Final = frozenset({"done", "fail", "quarantine"})
_LEADING: Final = frozenset({"go", "sleep"})
_FAIL_WITHOUT: Final = {"run": "error", "map": "error", "together": "error", "child": "error"}
"""Decisions that end the job where they fail, unless there is that edge."""


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision that a state may make: the child that it starts for certain, and whether the job may end by it."""

    child: str = ""
    may_end: bool = False


Decisions: TypeAlias = "tuple[Decided, ...] | None"
"""All that a state may decide; None: its code does not tell."""


def conclusions_of_code(function: object) -> Decisions:
    """What a state function decides, by its `return` statements."""
    written = plain_function(function)
    node = None if written is None else node_of(written)
    if written is None or node is None or not node.args.args:
        return None
    scope, job = Scope(written), node.args.args[0].arg
    found: list[Decided] = []
    for statement in _own_statements(node):
        if isinstance(statement, ast.Raise | ast.Yield | ast.YieldFrom):
            return None
        if isinstance(statement, ast.Return):
            call = _job_call(_assigned(node, statement.value), job)
            decided = None if call is None else _decided(call[0], call[1], scope)
            if decided is None:
                return None
            found.append(decided)
    return tuple(found) or None


def _decided(method: str, call: ast.Call, scope: Scope) -> Decided | None:
    words = {keyword.arg for keyword in call.keywords}
    if None in words:  # **options
        return None
    if method in _ENDING:
        return Decided(may_end=True)
    if method in _LEADING:
        return Decided()
    if method in {"ask", "wait_for"}:
        return Decided(may_end="within" in words and "late" not in words)
    if method == "child" and call.args and "error" not in words:
        return Decided(_named(call.args[0], scope), may_end=True)
    return Decided(may_end=_FAIL_WITHOUT[method] not in words) if method in _FAIL_WITHOUT else None


def _named(node: ast.expr, scope: Scope) -> str:
    """The name of the blueprint that is started; empty where the code does not show it."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    name = getattr(scope.value(node), "name", None)
    return name if isinstance(name, str) else ""


def _own_statements(node: FunctionNode) -> Iterator[ast.AST]:
    """All inside the function but what is in functions inside it."""
    todo: list[ast.AST] = list(node.body)
    while todo:
        one = todo.pop(0)
        yield one
        if not isinstance(one, FunctionNode | ast.Lambda | ast.ClassDef):
            todo += ast.iter_child_nodes(one)


def _assigned(node: FunctionNode, value: ast.expr | None) -> ast.expr | None:
    """What a returned variable was given, where that is one thing."""
    if not isinstance(value, ast.Name):
        return value
    given = [
        one.value
        for one in _own_statements(node)
        if isinstance(one, ast.Assign) and any(isinstance(t, ast.Name) and t.id == value.id for t in one.targets)
    ]
    return given[0] if len(given) == 1 else None


def _job_call(value: ast.expr | None, job: str) -> tuple[str, ast.Call] | None:
    match value:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if name == job:
            return method, value
        case _:
            return None
