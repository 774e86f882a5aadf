"""A state's transitions, read from its code: which states it refers to, and under which word.

Nothing is run. What only running could tell (a target computed at run time) is not seen; `to=[...]` says it instead.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import CodeType, FunctionType, GenericAlias, ModuleType
from typing import Any, Final, Union, get_args

from muster_worker.contracts import TaskContract

from muster.blueprint.answers import TaskError
from muster.blueprint.asking_read import ASKING_WORDS, asked_type, faults_of
from muster.blueprint.scope import MISSING, UNKNOWN, Scope, plain_function
from muster.blueprint.source import FunctionNode, global_names, node_of
from muster.blueprint.specs import undo_fault
from muster.blueprint.state import State
from muster.core.decisions import CANCELLED, FAILURE, LATE, SUCCESS
from muster.core.join import ALL, Join, JoinAll, JoinAny, JoinFirst, JoinPolicy, JoinSettled

GO: Final = "go"
ENDINGS: Final = frozenset({"done", "fail", "quarantine"})
_WORDS: Final = {"ok": SUCCESS, "error": FAILURE}
_JOINS: Final[tuple[tuple[Any, JoinPolicy], ...]] = (
    (Join.all, ALL),
    (Join.any, JoinAny()),
    (Join.first, JoinFirst(1)),
    (Join.settled, JoinSettled()),
    (Join.tolerate, JoinSettled()),
)
"""Makers of policies, and one of the kind each makes."""
_DECIDING: Final = frozenset({"run", "map", "together", "ask", "wait_for", "sleep", "child", "race", "go"})
_OF_WORKERS: Final = frozenset({"needs", "max_cost", "prefer", "choose"})
_NO_TARGET: Final = _OF_WORKERS | {
    "on", "within", "argument", "timeout", "retries", "priority", "tags", "uploads", "join", "undo", "spread", "key",
    "at_once",
    *ASKING_WORDS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reference:
    """A state that the code mentions. `label` is None where no word says when it is entered.

    `given` is the type of the argument it would get, UNKNOWN where the code does not tell.
    """

    target: State[Any]
    label: str | None
    line: int
    given: Any = UNKNOWN


@dataclass(frozen=True, slots=True)
class Fault:
    line: int
    message: str
    hint: str


@dataclass(slots=True)
class Reading:
    """Everything one state function says about what comes next. `endings` are of `ENDINGS`."""

    references: list[Reference] = field(default_factory=list[Reference])
    endings: dict[str, None] = field(default_factory=dict[str, None])
    undos: dict[str, None] = field(default_factory=dict[str, None])
    """Names of the tasks that undo what the state does."""
    faults: list[Fault] = field(default_factory=list[Fault])


def read(function: Callable[..., Any]) -> Reading:
    written = plain_function(function)
    if written is None:
        return Reading()
    node = node_of(written)
    if node is None:
        return _read_names(written)
    return _Reader(written, _parameter(node, 0), frozenset()).read(node)


def _read_names(function: FunctionType) -> Reading:
    """Without source: the states the compiled function names, with no word for any of them."""
    scope, names, found = Scope(function), global_names(function.__code__), Reading()
    values = [scope.named(name) for name in names]
    inside = [vars(value).get(name) for value in values if isinstance(value, ModuleType) for name in names]
    line = function.__code__.co_firstlineno
    for value in (*values, *inside):
        found.references += [Reference(state, label, line) for label, state in _states_in(value)]
    found.endings = dict.fromkeys(name for name in names if name in ENDINGS)
    return found


class _Reader:
    """Reads one function. `job` is the name its job parameter has; `seen` stops endless helpers."""

    def __init__(self, function: FunctionType, job: str, seen: frozenset[CodeType]) -> None:
        self._scope = Scope(function)
        self._globals = function.__globals__
        self._job = job
        self._seen = seen | {function.__code__}
        self._held: dict[str, list[Reference]] = {}
        self._used: set[str] = set()
        self._found = Reading()

    def read(self, node: FunctionNode) -> Reading:
        for statement in node.body:
            self._found.references += self._visit(statement, None)
        for name in self._held.keys() - self._used:
            self._found.references += self._held[name]
        self._found.references.sort(key=lambda reference: reference.line)
        return self._found

    def _visit(self, node: ast.AST, label: str | None) -> list[Reference]:
        match node:
            case ast.Name() | ast.Attribute():
                return self._mention(node, label)
            case ast.Call():
                return self._call(node, label)
            case ast.Dict():
                pairs = zip(node.keys, node.values, strict=True)
                return [r for key, value in pairs for r in self._visit(value, _word(key) or label)]
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
            ):
                return self._hold(name, self._visit(value, None), node, label)
            case _:
                return [r for child in ast.iter_child_nodes(node) for r in self._visit(child, label)]

    def _hold(self, name: str, references: list[Reference], node: ast.AST, label: str | None) -> list[Reference]:
        """A state put into a local variable counts where the variable is used."""
        self._held.setdefault(name, []).extend(references)
        return self._mention(node.target, label) if isinstance(node, ast.NamedExpr) else []

    def _mention(self, node: ast.Name | ast.Attribute, label: str | None) -> list[Reference]:
        if isinstance(node, ast.Name) and node.id in self._held:
            self._used.add(node.id)
            return [replace(r, label=r.label or label) for r in self._held[node.id]]
        states = _states_in(self._scope.value(node))
        if not states and isinstance(node, ast.Attribute):
            return self._visit(node.value, label)
        return [Reference(state, word or label, node.lineno) for word, state in states]

    def _call(self, node: ast.Call, label: str | None) -> list[Reference]:
        method = self._method(node)
        if method in ENDINGS:
            self._found.endings[method] = None
        found = [] if method else [*self._visit(node.func, label), *self._helper(node)]
        if method == "go":
            self._check_targets(node.args[:1])
            found += [r for arg in node.args[:1] for r in self._visit(arg, GO)]
            return found + [r for arg in node.args[1:] for r in self._visit(arg, None)]
        if method != "race":
            found += [r for arg in node.args for r in self._visit(arg, label if method is None else None)]
        if method == "race":
            found = [r for arg in node.args for r in self._of_branch(arg)]
        if method in _DECIDING:
            self._check_targets([k.value for k in node.keywords if k.arg and k.arg not in _NO_TARGET])
        if method:
            self._note_undo(node)
        for keyword in node.keywords:
            word = keyword.arg if method == "ask" else _WORDS.get(keyword.arg or "", keyword.arg)
            found += self._visit(keyword.value, word)
        found = self._typed(node, method, found) if method else found
        return self._of_child(node, found) if method == "child" else found

    def _of_child(self, node: ast.Call, references: list[Reference]) -> list[Reference]:
        """Edges of a child carry its blueprint's name, where the code shows it: `report: success`."""
        first = node.args[0] if node.args else None
        named = _word(first) or getattr(self._scope.value(first), "name", None) if first is not None else None
        who = named if isinstance(named, str) else "child"
        return [replace(r, label=f"{who}: {r.label}" if r.label else None) for r in references]

    def _of_branch(self, node: ast.expr) -> list[Reference]:
        """Edges of a race's branch carry what is waited for: `stop: success`, `timer: then`."""
        method = self._method(node) if isinstance(node, ast.Call) else None
        found = self._visit(node, None)
        if method in {None, "child"} or not isinstance(node, ast.Call):
            return found  # those of a child are named already
        named = _word(node.args[0]) or getattr(self._scope.value(node.args[0]), "name", None) if node.args else None
        who = {"sleep": "timer", "ask": "question"}.get(method, named if isinstance(named, str) else method)
        return [replace(r, label=f"{who}: {r.label}" if r.label else None) for r in found]

    def _note_undo(self, node: ast.Call) -> None:
        """What undoes the task: one that the code shows is drawn, and has to take what the task returns."""
        written = next((k.value for k in node.keywords if k.arg == "undo"), None)
        if written is None:
            return
        undo = self._scope.value(written)
        name = _word(written) or getattr(undo, "name", None)
        if isinstance(name, str):
            self._found.undos[name] = None
        said = undo_fault(self._scope.value(node.args[0]), undo) if node.args else None
        if said is not None:
            self._found.faults.append(Fault(node.lineno, said, "undo with a task that takes what this one returns"))

    def _method(self, node: ast.Call) -> str | None:
        """`run` of `job.run(...)`, else None."""
        match node.func:
            case ast.Attribute(value=ast.Name(id=name), attr=method) if name == self._job:
                return method
            case _:
                return None

    def _helper(self, node: ast.Call) -> list[Reference]:
        """What a function of the same module decides that is given the job."""
        function = plain_function(self._scope.value(node.func))
        if function is None or function.__globals__ is not self._globals or function.__code__ in self._seen:
            return []
        written = node_of(function)
        place = next((i for i, arg in enumerate(node.args) if _is_name(arg, self._job)), None)
        named = next((k.arg for k in node.keywords if k.arg and _is_name(k.value, self._job)), None)
        job = named or (_parameter(written, place) if written and place is not None else "")
        if written is None or not job:
            return []
        reading = _Reader(function, job, self._seen).read(written)
        self._found.endings |= reading.endings
        self._found.undos |= reading.undos
        self._found.faults += reading.faults
        return reading.references

    def _check_targets(self, nodes: list[ast.expr]) -> None:
        for node in nodes:
            if isinstance(node, ast.Name | ast.Attribute):
                self._check_target(node)

    def _check_target(self, node: ast.Name | ast.Attribute) -> None:
        value, name = self._scope.value(node), ast.unparse(node)
        if value is MISSING:
            near = get_close_matches(name, self._scope.near(name), 1)
            hint = f"did you mean {near[0]!r}?" if near else "write the state, or correct the name"
            self._found.faults.append(Fault(node.lineno, f"goes to {name!r}, which is not defined", hint))
        elif isinstance(value, FunctionType):
            hint = f"put @<blueprint>.state above def {value.__name__}"
            self._found.faults.append(Fault(node.lineno, f"goes to {name!r}, which is a plain function", hint))

    def _typed(self, node: ast.Call, method: str, references: list[Reference]) -> list[Reference]:
        if method == "ask":
            self._found.faults += [Fault(node.lineno, *fault) for fault in faults_of(node)]
            return [replace(r, given=asked_type(node, r.label, self._scope.value)) for r in references]
        if method == "wait_for":
            return [replace(r, given=type(None) if r.label == LATE else UNKNOWN) for r in references]
        given = {SUCCESS: self._result_type(node, method), FAILURE: TaskError, CANCELLED: type(None)}
        if method not in {"run", "map", "together", "child"}:
            return references
        return [replace(r, given=given.get(r.label or "", UNKNOWN)) for r in references]

    def _result_type(self, node: ast.Call, method: str) -> Any:
        if method == "child":
            return UNKNOWN
        if method == "run":
            return self._output(node.args[0]) if node.args else UNKNOWN
        if method == "together":
            outputs = [self._called_output(arg) for arg in node.args]
        else:
            outputs = [self._output(arg) for arg in node.args[:1]]
        if not outputs or any(output is UNKNOWN for output in outputs):
            return UNKNOWN
        return _joined(self._join(node), outputs, tuple if method == "together" else list)

    def _join(self, node: ast.Call) -> Any:
        """What `join=` says: a policy, or UNKNOWN."""
        written = next((k.value for k in node.keywords if k.arg == "join"), None)
        if written is None:
            return ALL
        if not isinstance(written, ast.Call):
            value = self._scope.value(written)
            return value if isinstance(value, get_args(JoinPolicy)) else UNKNOWN
        made = self._scope.value(written.func)
        return next((policy for maker, policy in _JOINS if made is maker), UNKNOWN)

    def _called_output(self, node: ast.expr) -> Any:
        match node:
            case ast.Call(func=ast.Attribute(value=contract, attr="call")):
                return self._output(contract)
            case _:
                return UNKNOWN

    def _output(self, node: ast.expr) -> Any:
        contract = self._scope.value(node)
        return contract.output if isinstance(contract, TaskContract) else UNKNOWN


def _joined(join: Any, outputs: list[Any], many: type) -> Any:
    """The type that the state gets which is entered after a fan; its tasks return *outputs*."""
    same = all(output == outputs[0] for output in outputs)
    match join:
        case JoinAll():
            return GenericAlias(many, tuple(outputs))
        case JoinSettled():
            return GenericAlias(many, tuple(Union[output, TaskError] for output in outputs))  # noqa: UP007 - at run time
        case JoinAny() if same:
            return outputs[0]
        case JoinFirst() if same:
            return GenericAlias(list, (outputs[0],))
        case _:
            return UNKNOWN


def _states_in(value: Any) -> list[tuple[str | None, State[Any]]]:
    """A state itself, or those in a plain collection; with the keys of a dict as words."""
    if isinstance(value, State):
        return [(None, value)]
    if isinstance(value, dict):
        return [(str(word), state) for word, state in value.items() if isinstance(state, State)]
    if isinstance(value, list | tuple):
        return [(None, state) for state in value if isinstance(state, State)]
    return []


def _word(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _parameter(node: FunctionNode, place: int) -> str:
    names = [argument.arg for argument in _positional(node.args)]
    return names[place] if place < len(names) else ""


def _positional(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from arguments.posonlyargs
    yield from arguments.args
