"""Tasks as a state function asks for them, made into what the engine hands out, or refused with what is wrong."""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Unpack, cast

from muster_worker.contracts import TaskContract
from muster_worker.durations import Duration
from muster_worker.handlers import fits
from muster_worker.needs import Where
from muster_worker.outcome import type_name
from muster_worker.retry_policy import RetryPolicy
from muster_worker.time_limits import TimeLimits
from pydantic_core import to_jsonable_python

from muster.blueprint.placement import placement_of
from muster.core.decisions import CANCELLED, Ask, Branch, Child, Edges, Race, Run, Sleep, TaskSpec, WaitFor
from muster.core.flow import checked_key
from muster.core.ids import JobId, UnixMs, new_job_id, partition_of
from muster.core.join import JoinAny, JoinFirst, JoinPolicy, dump_join
from muster.core.join import fits as can_succeed
from muster.core.json import JsonValue
from muster.core.limits import (
    FAN_WIDTH_MAX,
    PRIORITY_MAX,
    PRIORITY_MIN,
    RACE_CHILDREN_MAX,
    RACE_MAX,
    TAG_CHARACTERS_MAX,
    TAGS_MAX,
)


def spec(
    contract: TaskContract[Any, Any] | str,
    value: object,
    timeout: Duration | None,
    retries: int | None,
    priority: int,
    key: str,
    *,
    retry: RetryPolicy | None = None,
    schedule_to_start: Duration | None = None,
    schedule_to_close: Duration | None = None,
    heartbeat: Duration | None = None,
    **where: Unpack[Where],
) -> TaskSpec:
    check_priority(priority)
    if retries is not None and retries < 0:
        raise ValueError(f"retries must be 0 or more, not {retries}")
    given = TimeLimits.of(timeout, schedule_to_start, schedule_to_close, heartbeat)
    if isinstance(contract, str):
        name, dumped, own = contract, json_of(value), Where()
    else:
        name, dumped, own = contract.name, contract.dump_input(value), contract.where
        given = given.over(contract.limits)
        if retries is None:
            retries = contract.retries if retry is None or retry.retries is None else retry.retries
        retry = contract.retry if retry is None else retry
    return TaskSpec(
        name, dumped, given.timeout_ms, retries, priority, retry, given.schedule_to_start_ms,
        given.schedule_to_close_ms, given.heartbeat_ms, placement_of({**own, **where}), checked_key(key),
    )  # fmt: skip


def check_priority(priority: int) -> None:
    """Raises ValueError."""
    if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
        raise ValueError(f"priority {priority} is not between {PRIORITY_MIN} and {PRIORITY_MAX}")


def check_tags(tags: Sequence[str]) -> None:
    """Raises ValueError."""
    if len(tags) > TAGS_MAX or not all(1 <= len(tag) <= TAG_CHARACTERS_MAX for tag in tags):
        raise ValueError(f"tags are at most {TAGS_MAX}, each of 1 to {TAG_CHARACTERS_MAX} characters")


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
        limits.schedule_to_close_ms, limits.heartbeat_ms, placement_of(undo.where),
    )  # fmt: skip


def undo_fault(contract: object, undo: object) -> str | None:
    """Why *undo* cannot take what *contract* returns, as far as both are known."""
    if not isinstance(contract, TaskContract) or not isinstance(undo, TaskContract):
        return None
    if undo.input is Any or contract.output is Any or fits(contract.output, undo.input):
        return None
    gives, takes = type_name(contract.output), type_name(undo.input)
    return f"undo={undo.name!r} takes {takes}, and {contract.name!r} returns {gives}"


def check_fan(width: int, join: JoinPolicy, undo: TaskSpec | None) -> None:
    """Raises ValueError for a fan that cannot be."""
    if width > FAN_WIDTH_MAX:
        raise ValueError(f"more than {FAN_WIDTH_MAX} tasks at once; give each task several items")
    if not can_succeed(join, width):
        raise ValueError(f"join={dump_join(join)} of {width} tasks can never succeed: give more, or wait for fewer")
    if undo is not None and isinstance(join, JoinAny | JoinFirst):
        raise ValueError(f"undo= does not go with join={dump_join(join)}: what loses may have succeeded unseen")


def child_of(
    parent: JobId,
    name: str,
    value: JsonValue,
    edges: Edges,
    tags: tuple[str, ...],
    undo: TaskSpec | None,
    spread_over: int | None = None,
) -> Child:
    """Its id is drawn here: in the partition of *parent*, as both are written at once, or in any of *spread_over*."""
    if not isinstance(value, Mapping):
        raise TypeError(f"the input of a job is an object, not {type(value).__name__}")
    check_tags(tags)
    partition = partition_of(parent) if spread_over is None else secrets.randbelow(spread_over)
    job_id = new_job_id(UnixMs(int(time.time() * 1000)), partition, secrets.randbits(62))
    return Child(name, value, edges, job_id, tags, undo, spread=spread_over is not None)


def race_of(branches: tuple[object, ...], edges: Edges) -> Race:
    """Raises ValueError and TypeError for what cannot be raced."""
    if not 2 <= len(branches) <= RACE_MAX:
        raise ValueError(f"job.race(...) of {len(branches)} branches; it takes 2 to {RACE_MAX}")
    checked = tuple(_branch(branch) for branch in branches)
    if sum(isinstance(branch, Sleep) for branch in checked) > 1:
        raise ValueError("job.race(...) with more than one job.sleep(...): only the shortest could win")
    if sum(isinstance(branch, Child) for branch in checked) > RACE_CHILDREN_MAX:
        raise ValueError(f"job.race(...) of more than {RACE_CHILDREN_MAX} children: start the others from these")
    if sum(isinstance(branch, Ask) for branch in checked) > 1:
        raise ValueError("job.race(...) with more than one job.ask(...): ask one question with all its choices")
    names = [branch.name for branch in checked if isinstance(branch, WaitFor)]
    if len(set(names)) < len(names):
        raise ValueError(f"job.race(...) waits for one signal twice: {', '.join(sorted(names))}")
    return Race(checked, edges)


def _branch(branch: object) -> Branch:
    match branch:
        case Run(undo=TaskSpec()) | Child(undo=TaskSpec()):
            raise ValueError(
                "undo= in a race: one that loses may have succeeded unseen; run what must be undone by itself"
            )
        case WaitFor(within_ms=int()) | WaitFor(uploads=(_, *_)):
            raise ValueError(
                "job.wait_for(..., within= or uploads=) in a race: write job.sleep(...) as a branch instead"
            )
        case Ask(within_ms=int()):
            raise ValueError("job.ask(..., within=) in a race: write job.sleep(...) as a branch instead")
        case Ask() if CANCELLED in branch.edges:
            raise ValueError("job.ask(..., cancelled=) in a race: give cancelled= to job.race(...)")
        case Run() | WaitFor() | Sleep() | Child() | Ask():
            return branch
        case _:
            kind = type(branch).__name__
            raise TypeError(
                f"a branch of job.race(...) is job.run, job.child, job.wait_for, job.ask or job.sleep, not {kind}"
            )
