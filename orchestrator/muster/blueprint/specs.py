"""Tasks as a state function asks for them, made into what the engine hands out, or refused with what is wrong."""

from typing import Any, cast

from muster_worker.contracts import TaskContract
from muster_worker.durations import Duration
from muster_worker.handlers import fits
from muster_worker.outcome import type_name
from muster_worker.retry_policy import RetryPolicy
from muster_worker.time_limits import TimeLimits
from pydantic_core import to_jsonable_python

from muster.core.decisions import Branch, Edges, Race, Run, Sleep, TaskSpec, WaitFor
from muster.core.json import JsonValue
from muster.core.limits import PRIORITY_MAX, PRIORITY_MIN, RACE_MAX


def spec(
    contract: TaskContract[Any, Any] | str,
    value: object,
    timeout: Duration | None,
    retries: int | None,
    priority: int,
    *,
    retry: RetryPolicy | None = None,
    schedule_to_start: Duration | None = None,
    schedule_to_close: Duration | None = None,
    heartbeat: Duration | None = None,
) -> TaskSpec:
    if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
        raise ValueError(f"priority {priority} is not between {PRIORITY_MIN} and {PRIORITY_MAX}")
    if retries is not None and retries < 0:
        raise ValueError(f"retries must be 0 or more, not {retries}")
    given = TimeLimits.of(timeout, schedule_to_start, schedule_to_close, heartbeat)
    if isinstance(contract, str):
        name, dumped = contract, json_of(value)
    else:
        name, dumped = contract.name, contract.dump_input(value)
        given = given.over(contract.limits)
        if retries is None:
            retries = contract.retries if retry is None or retry.retries is None else retry.retries
        retry = contract.retry if retry is None else retry
    return TaskSpec(
        name, dumped, given.timeout_ms, retries, priority, retry, given.schedule_to_start_ms,
        given.schedule_to_close_ms, given.heartbeat_ms,
    )  # fmt: skip


def json_of(value: object) -> JsonValue:
    """Models, dataclasses, dates and the like as JSON; raises where that cannot be."""
    return cast("JsonValue", to_jsonable_python(value)) if value is not None else None


def undo_of(
    contract: TaskContract[Any, Any] | str | None, undo: TaskContract[Any, Any] | str | None
) -> TaskSpec | None:
    """The task that undoes what *contract* did, without its input: that will be the result.

    Raises:
        ValueError: what the one returns is not what the other takes.
    """
    if undo is None or isinstance(undo, str):
        return None if undo is None else TaskSpec(undo, None)
    if (said := undo_fault(contract, undo)) is not None:
        raise ValueError(said)
    limits, retries = undo.limits, undo.retries
    return TaskSpec(
        undo.name, None, limits.timeout_ms, retries, 0, undo.retry, limits.schedule_to_start_ms,
        limits.schedule_to_close_ms, limits.heartbeat_ms,
    )  # fmt: skip


def undo_fault(contract: object, undo: object) -> str | None:
    """Why *undo* cannot take what *contract* returns, as far as both are known."""
    if not isinstance(contract, TaskContract) or not isinstance(undo, TaskContract):
        return None
    if undo.input is Any or contract.output is Any or fits(contract.output, undo.input):
        return None
    gives, takes = type_name(contract.output), type_name(undo.input)
    return f"undo={undo.name!r} takes {takes}, and {contract.name!r} returns {gives}"


def race_of(branches: tuple[object, ...], edges: Edges) -> Race:
    """Raises ValueError and TypeError for what cannot be raced."""
    if not 2 <= len(branches) <= RACE_MAX:
        raise ValueError(f"job.race(...) of {len(branches)} branches; it takes 2 to {RACE_MAX}")
    checked = tuple(_branch(branch) for branch in branches)
    if sum(isinstance(branch, Sleep) for branch in checked) > 1:
        raise ValueError("job.race(...) with more than one job.sleep(...): only the shortest could win")
    names = [branch.name for branch in checked if isinstance(branch, WaitFor)]
    if len(set(names)) < len(names):
        raise ValueError(f"job.race(...) waits for one signal twice: {', '.join(sorted(names))}")
    return Race(checked, edges)


def _branch(branch: object) -> Branch:
    match branch:
        case Run(undo=TaskSpec()):
            raise ValueError(
                "undo= in a race: one that loses may have succeeded unseen; run what must be undone by itself"
            )
        case WaitFor(within_ms=int()) | WaitFor(uploads=(_, *_)):
            raise ValueError(
                "job.wait_for(..., within= or uploads=) in a race: write job.sleep(...) as a branch instead"
            )
        case Run() | WaitFor() | Sleep():
            return branch
        case _:
            kind = type(branch).__name__
            raise TypeError(f"a branch of job.race(...) is job.run, job.wait_for or job.sleep, not {kind}")
