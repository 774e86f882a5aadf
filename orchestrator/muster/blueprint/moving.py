"""Whether a running job can go on with another version of its blueprint, and as what."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from muster.blueprint.data.definition import DataBlueprint
from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.problems import InputInvalid
from muster.core.graph import BUILT_IN_STATES
from muster.core.record import Context, JobRecord, Wait


@dataclass(frozen=True, slots=True)
class Movable:
    """`context` None: as it is."""

    state: str
    context: Context | None


@dataclass(frozen=True, slots=True)
class Stays:
    """It cannot be moved. `code` is one of a few words."""

    code: str
    detail: str


def judge(record: JobRecord, old: AnyBlueprint | None, new: AnyBlueprint, names: Mapping[str, str]) -> Movable | Stays:
    """*names*: what states are called in *new*, where that is something else. *old*: where it is known.

    Codes: `state_missing`, `edge_missing`, `task_changed`, `argument_misfit`, `input_misfit`, `data_misfit`.
    """
    state = names.get(record.state, record.state)
    if state not in new.states:
        return Stays("state_missing", f"there is no state {state!r}")
    wait = record.context.wait
    trouble = (
        _task_changed(record, old, new, state)
        or _wait_misfit(wait, new, state, names)
        or _argument_misfit(record, new, state, names)
        or _values_misfit(record, new)
    )
    if trouble is not None:
        return trouble
    renamed = None if wait is None else _renamed(wait, names)
    return Movable(state, None if renamed == wait else replace(record.context, wait=renamed))


def _task_changed(record: JobRecord, old: AnyBlueprint | None, new: AnyBlueprint, state: str) -> Stays | None:
    """Of data it is known which tasks a state hands out; one of the old version may still be at work."""
    wait = record.context.wait
    if wait is None or wait.kind not in {"task", "tasks", "race"}:
        return None
    if not isinstance(old, DataBlueprint) or not isinstance(new, DataBlueprint):
        return None
    before, after = old.outline.states.get(record.state), new.outline.states[state]
    if before is None or set(before.tasks) <= set(after.tasks):
        return None
    gone = ", ".join(sorted(set(before.tasks) - set(after.tasks)))
    return Stays("task_changed", f"it waits for a task of the old version: {gone}")


def _wait_misfit(wait: Wait | None, new: AnyBlueprint, state: str, names: Mapping[str, str]) -> Stays | None:
    for outcome, target in _targets(wait):
        there = names.get(target, target)
        if there not in new.states and there not in BUILT_IN_STATES:
            return Stays("state_missing", f"its wait leads to {there!r} on {outcome}, and there is no such state")
        if there not in new.graph.targets(state):
            return Stays("edge_missing", f"state {state!r} does not lead to {there!r}, where it goes on {outcome}")
    return None


def _argument_misfit(record: JobRecord, new: AnyBlueprint, state: str, names: Mapping[str, str]) -> Stays | None:
    """What is known already of what a state will be given."""
    wait = record.context.wait
    if wait is None:
        return _taken(new, state, record.context.argument)
    timer = next((part for part in (wait, *wait.parts) if part.kind == "timer"), None)
    return None if timer is None else _taken(new, names.get(timer.target, timer.target), timer.argument)


def _taken(new: AnyBlueprint, state: str, argument: Any) -> Stays | None:
    shape = new.shape(state) if state in new.states else None
    if shape is None or not shape.takes_argument or shape.adapter is None:
        return None
    try:
        shape.adapter.validate_python(argument)
    except ValueError as error:
        return Stays("argument_misfit", f"state {state!r} cannot take its argument: {error}"[:500])
    return None


def _values_misfit(record: JobRecord, new: AnyBlueprint) -> Stays | None:
    try:
        new.validate_input(record.submission.initial_data)
    except InputInvalid as error:
        return Stays("input_misfit", f"its input does not fit: {error}"[:500])
    try:
        new.read_data(record.context.data)
    except ValueError as error:
        return Stays("data_misfit", f"its data does not fit: {error}"[:500])
    return None


def _targets(wait: Wait | None) -> list[tuple[str, str]]:
    if wait is None:
        return []
    own = [*wait.edges.items(), *([("time", wait.target)] if wait.target else [])]
    return [*own, *(target for part in wait.parts for target in _targets(part))]


def _renamed(wait: Wait, names: Mapping[str, str]) -> Wait:
    edges = {outcome: names.get(target, target) for outcome, target in wait.edges.items()}
    parts = tuple(_renamed(part, names) for part in wait.parts)
    return replace(wait, edges=edges, target=names.get(wait.target, wait.target), parts=parts)
