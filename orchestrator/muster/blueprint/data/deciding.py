"""What a state that is data decides: its templates filled in, and said as a state function would say it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from muster_worker.contracts import task

from muster.blueprint.data.budget import Budget, BudgetSpent
from muster.blueprint.data.expressions import ExpressionFailed, is_true, shown
from muster.blueprint.data.outline import CALL, ITEM, VERBS, Call, Kind, Step
from muster.blueprint.data.reading import literal_fault
from muster.blueprint.data.templates import Computed, Literal, Template, Text
from muster.blueprint.job import Job
from muster.blueprint.state import State
from muster.core.decisions import Decision as Next
from muster.core.limits import FAN_WIDTH_MAX

EXPRESSION_FAILED: Final = "expression_failed"
"""The code of a job that was put aside because one of its blueprint's expressions could not be used."""
DEFAULT_ITEM: Final = "${item}"
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
        given = {name: self._member(step, name) for name in step.members if name not in {"params", "over"}}
        targets = {name: self._state_of(state) for name, state in step.targets.items()}
        words = {word: self._state_of(state) for word, state in step.words.items()}
        try:
            return self._said(step, given, targets, words)
        except (ValueError, TypeError) as error:
            raise ExpressionFailed(step.pointer, _written(step.head), given, str(error)) from error

    def _said(self, step: Step, given: dict[str, Any], targets: dict[str, Any], words: dict[str, Any]) -> Next:
        job: Any = self._job
        match step.verb:
            case "run":
                return self._next(job.run(step.head, self._params(step), **targets, on=words or None, **given))
            case "map":
                return self._next(job.map(step.head, self._each(step), **targets, **given))
            case "together":
                return self._next(job.together(*self._calls(step), **targets, **given))
            case "ask":
                return self._next(job.ask(self._head(step), **targets, **given, **words))
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

    def _each(self, step: Step) -> list[Any]:
        over = self._member(step, "over")
        if len(over) > FAN_WIDTH_MAX:
            reason = f"{len(over)} tasks at once are more than {FAN_WIDTH_MAX}; give each task several items"
            raise ExpressionFailed(step.pointer_of("over"), _written(step.members["over"]), over[:3], reason)
        params = step.members.get("params")
        if params is None:
            return list(over)
        return [params.render({**self._scope, ITEM: item}, self._budget) for item in over]

    def _calls(self, step: Step) -> list[Any]:
        assert isinstance(step.head, tuple)
        return [self._call(call) for call in step.head if isinstance(call, Call)]

    def _call(self, call: Call) -> Any:
        values = {
            name: self._checked(template, CALL.members[name], f"{call.pointer}/{name}")
            for name, template in call.members.items()
        }
        params = values.pop("params", {})
        return task(call.task, **values).call(params)

    def _head(self, step: Step) -> Any:
        assert not isinstance(step.head, str | tuple), step.verb
        return self._checked(step.head, VERBS[step.verb].head, step.pointer_of(step.verb))

    def _member(self, step: Step, name: str) -> Any:
        return self._checked(step.members[name], VERBS[step.verb].members[name], step.pointer_of(name))

    def _checked(self, template: Template, kind: Kind, pointer: str) -> Any:
        value = self._fill(template)
        if not isinstance(template, Literal) and (fault := literal_fault(value, kind)):
            raise ExpressionFailed(pointer, _written(template), value, fault)
        return value

    def _fill(self, template: Template) -> Any:
        try:
            return template.render(self._scope, self._budget)
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
