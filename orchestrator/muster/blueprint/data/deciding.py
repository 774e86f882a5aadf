"""What a state that is data decides: its templates filled in, and said as a state function would say it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from muster_worker.contracts import TaskContract, task

from muster.blueprint.data.budget import Budget, BudgetSpent
from muster.blueprint.data.combinations import forms_of
from muster.blueprint.data.expressions import ExpressionFailed, is_true, shown
from muster.blueprint.data.kinds import made
from muster.blueprint.data.outline import BESIDE_CONTRACT, CALL, ITEM, UNDO, VERBS, Call, Kind, Step, Verb
from muster.blueprint.data.templates import Computed, Literal, Template, Text
from muster.blueprint.job import Job
from muster.blueprint.state import State
from muster.core.decisions import Decision as Next
from muster.core.limits import FAN_WIDTH_MAX

EXPRESSION_FAILED: Final = "expression_failed"
"""The code of a job that was put aside because one of its blueprint's expressions could not be used."""
DEFAULT_ITEM: Final = "${item}"
_APART: Final = {"run": ("params",), "map": ("params", "over", "key"), "ask": ("form", "forms")}
"""Members that are no arguments of their own."""
StateOf = Callable[[str], State[Any]]


def decide(step: Step, job: "Job[Any, Any]", argument: Any, state_of: StateOf) -> Next:
    """The decision of *step*; where an expression fails, that the job is put aside, with what and why."""
    scope = {
        "input": job.input,
        "data": job.data,
        "argument": argument,
        "results": dict(job.results),
        "job": {"id": job.id, "tenant": job.tenant, "blueprint": job.blueprint},
    }
    deciding = _Deciding(job, scope, Budget(), state_of)
    try:
        return deciding.of(step)
    except ExpressionFailed as failed:
        return job.quarantine(
            f"state {step.pointer.rpartition('/')[2]!r} cannot decide: {failed}",
            code=EXPRESSION_FAILED,
            pointer=failed.pointer,
            expression=failed.expression,
            value=failed.value,
        )


class _Deciding:
    def __init__(self, job: "Job[Any, Any]", scope: dict[str, Any], budget: Budget, state_of: StateOf) -> None:
        self._job = job
        self._scope = scope
        self._budget = budget
        self._state_of = state_of

    def of(self, step: Step) -> Next:
        """Raises ExpressionFailed."""
        self._change(step)
        if step.verb == "choose":
            chosen = next(one for one in step.branches if one.when is None or is_true(self._fill(one.when)))
            return self.of(chosen)
        return self._one(step)

    def _one(self, step: Step) -> Next:
        given = {name: self._member(step, name) for name in step.members if name not in _APART.get(step.verb, ())}
        targets = {name: self._state_of(state) for name, state in step.targets.items()}
        words = {word: self._state_of(state) for word, state in step.words.items()}
        try:
            if step.undo is not None:
                given["undo"] = self._contract(step.undo, UNDO)
            return self._said(step, given, targets, words)
        except (ValueError, TypeError) as error:
            raise ExpressionFailed(step.pointer, _written(step.head), given, str(error)) from error

    def _said(self, step: Step, given: dict[str, Any], targets: dict[str, Any], words: dict[str, Any]) -> Next:
        job: Any = self._job
        match step.verb:
            case "run":
                return self._next(job.run(step.head, self._params(step), **targets, on=words or None, **given))
            case "map":
                items = self._items(step)
                keys = iter(self._keys(step, items))
                return self._next(
                    job.map(step.head, self._each(step, items), **targets, **given, key=lambda _: next(keys))
                )
            case "together":
                calls = [self._call(call) for call in step.calls]
                keys = iter([key for _, key in calls])
                of_tasks = [call for call, _ in calls]
                return self._next(job.together(*of_tasks, **targets, **given, key=lambda _: next(keys)))
            case "race":
                return self._next(job.race(*[self._one(branch) for branch in step.raced], **targets))
            case "ask":
                form = forms_of(step) or None
                return self._next(job.ask(self._head(step), **targets, **given, form=form, **words))
            case "wait_for":
                return self._next(job.wait_for(step.head, **targets, **given))
            case "child":
                started = given.pop("input", {})
                return self._next(job.child(step.head, started, **targets, **given))
            case "go":
                return self._next(job.go(self._state_of(str(step.head)), given.get("argument")))
            case "quarantine":
                return self._next(job.quarantine(self._head(step), **given.get("details", {})))
            case _:  # sleep, done, fail: one value, and states beside it
                return self._next(getattr(job, step.verb)(self._head(step), **targets, **given))

    def _next(self, decided: Any) -> Next:
        decision: Next = decided
        return decision

    def _change(self, step: Step) -> None:
        """All of `set` look at `data` as it was before."""
        if step.changes:
            changed = {name: self._fill(template) for name, template in step.changes.items()}
            self._job.data = self._scope["data"] = {**self._job.data, **changed}

    def _params(self, step: Step) -> Any:
        params = step.members.get("params")
        return {} if params is None else self._fill(params)

    def _items(self, step: Step) -> list[Any]:
        over: list[Any] = self._member(step, "over")
        if len(over) > FAN_WIDTH_MAX:
            reason = f"{len(over)} tasks at once are more than {FAN_WIDTH_MAX}; give each task several items"
            raise ExpressionFailed(step.pointer_of("over"), _written(step.members["over"]), over[:3], reason)
        return over

    def _each(self, step: Step, items: list[Any]) -> list[Any]:
        params = step.members.get("params")
        if params is None:
            return list(items)
        return [params.render({**self._scope, ITEM: item}, self._budget) for item in items]

    def _keys(self, step: Step, items: list[Any]) -> list[str]:
        """The concurrency key of each task, in the order of the items."""
        key = step.members.get("key")
        if key is None or isinstance(key, Literal):
            return [key.value if key else ""] * len(items)
        scopes = ({**self._scope, ITEM: item} for item in items)
        return [self._checked(key, Kind.KEY, step.pointer_of("key"), scope) for scope in scopes]

    def _call(self, call: Call) -> tuple[Any, str]:
        """One task of several, and its concurrency key."""
        beside = self._values(call, CALL, BESIDE_CONTRACT & call.members.keys())
        return self._contract(call, CALL).call(beside.get("params", {})), beside.get("key", "")

    def _contract(self, call: Call, verb: Verb) -> TaskContract[Any, Any]:
        if call.contract is not None:
            return call.contract
        return task(call.task, **self._values(call, verb, call.members.keys() - BESIDE_CONTRACT))

    def _values(self, call: Call, verb: Verb, names: Iterable[str]) -> dict[str, Any]:
        return {name: self._checked(call.members[name], verb.members[name], f"{call.pointer}/{name}") for name in names}

    def _head(self, step: Step) -> Any:
        assert not isinstance(step.head, str | tuple), step.verb
        return self._checked(step.head, VERBS[step.verb].head, step.pointer_of(step.verb))

    def _member(self, step: Step, name: str) -> Any:
        return self._checked(step.members[name], VERBS[step.verb].members[name], step.pointer_of(name))

    def _checked(self, template: Template, kind: Kind, pointer: str, scope: Mapping[str, Any] | None = None) -> Any:
        value = self._fill(template, scope)
        if isinstance(template, Literal):  # made when it was read
            return value
        try:
            return made(value, kind)
        except (ValueError, TypeError, AttributeError) as error:
            raise ExpressionFailed(pointer, _written(template), value, str(error)) from error

    def _fill(self, template: Template, scope: Mapping[str, Any] | None = None) -> Any:
        try:
            return template.render(self._scope if scope is None else scope, self._budget)
        except BudgetSpent as error:  # pragma: no cover - expressions tell it themselves
            raise ExpressionFailed("", _written(template), None, "costs too much") from error


def _written(head: Any) -> str:
    """A template as it was written, for people."""
    match head:
        case Computed():
            return head.expression.text
        case Text():
            return "".join(part if isinstance(part, str) else f"${{{part.text}}}" for part in head.parts)
        case Literal():
            return shown(head.value)
        case str():
            return head
        case Mapping():
            return shown(head)
        case _:
            return type(head).__name__.lower()
