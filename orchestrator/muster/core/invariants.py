"""What is always true of a job between two turns. Tests and the chaos runs ask; production does not pay for it."""

from collections.abc import Iterator, Mapping
from typing import Final

from muster.core.decisions import CANCELLED, LATE, SUCCESS
from muster.core.limits import FAN_WIDTH_MAX, TRANSITIONS_MAX, TURN_FAILURES_MAX, UNDO_MAX
from muster.core.record import JobRecord, Wait, WaitKind
from muster.core.status import JobStatus

WAITS_OF: Final[Mapping[JobStatus, frozenset[WaitKind | None]]] = {
    JobStatus.WAITING_FOR_WORKER: frozenset({"task"}),
    JobStatus.WAITING_FOR_PARALLEL_TASKS: frozenset({"tasks", "race"}),
    JobStatus.WAITING_FOR_HUMAN: frozenset({"human", "race"}),
    JobStatus.WAITING: frozenset({"timer", "child", "signal", "race"}),
}
"""The status says what the job waits for, and nothing else waits."""


def problems(record: JobRecord) -> list[str]:
    """One sentence for each thing that cannot be true of a stored job. Empty: all is well."""
    found = [*_of_the_wait(record), *_of_the_end(record), *_of_the_counters(record)]
    return [f"job {record.id}: {problem}" for problem in found]


def _of_the_wait(record: JobRecord) -> Iterator[str]:
    wait, expected = record.context.wait, WAITS_OF.get(record.resting, frozenset({None}))
    kind = None if wait is None else wait.kind
    if kind not in expected:
        yield f"is {record.resting} and waits for {kind}, not {' or '.join(sorted(map(str, expected)))}"
    if record.current_worker is not None and record.resting is not JobStatus.WAITING_FOR_WORKER:
        yield f"is {record.resting}, and yet worker {record.current_worker!r} has its task"
    if (record.status is JobStatus.PAUSED) != (record.pause is not None):
        yield f"is {record.status}, and its pause is {record.pause}"
    if wait is None:
        return
    yield from _of_the_edges(wait)
    if (wait.kind == "race") != (len(wait.parts) > 1):
        yield f"waits for {wait.kind} with {len(wait.parts)} parts"
    for part in wait.parts:
        yield from _of_the_edges(part)
    if wait.kind in {"task", "tasks"} or (wait.kind == "race" and wait.count):
        yield from _of_the_tasks(record, wait)
    elif wait.count or wait.first:
        yield f"waits for {wait.kind} and has task numbers"


def _of_the_edges(wait: Wait) -> Iterator[str]:
    if wait.kind == "timer" and (wait.edges or not wait.target):
        yield "a timer has one target and no edges"
    if wait.kind == "human" and not wait.edges.keys() - {LATE, CANCELLED}:
        yield "a question without an answer"
    if wait.kind in {"task", "tasks", "child", "signal"} and SUCCESS not in wait.edges:
        yield f"its {wait.kind} cannot succeed: no edge for it"
    if (wait.kind == "child") != bool(wait.child):
        yield f"waits for {wait.kind}, and its child is {wait.child!r}"
    if wait.kind != "timer" and wait.target:
        yield "only a timer has a target"
    if wait.kind != "human" and wait.message:
        yield "only a question has a message"
    if wait.kind not in {"human", "signal", "race"} and wait.deadline_at is not None:
        yield "only a question and a signal have a deadline"
    if (wait.kind == "signal") != bool(wait.signal):
        yield f"waits for {wait.kind}, and its signal is {wait.signal!r}"
    if wait.uploads and (wait.kind != "signal" or wait.deadline_at is None):
        yield "waits for uploads without an end"
    for outcome, target in wait.edges.items():
        if not target:
            yield f"outcome {outcome!r} leads nowhere"


def _of_the_tasks(record: JobRecord, wait: Wait) -> Iterator[str]:
    most = 1 if wait.kind == "task" else FAN_WIDTH_MAX
    if not 1 <= wait.count <= most:
        yield f"waits for {wait.count} tasks; {wait.kind} has 1 to {most}"
    if wait.first < 0 or wait.first + wait.count != record.next_task:
        last = wait.first + wait.count - 1
        yield f"waits for tasks {wait.first} to {last}, but the next number is {record.next_task}"


def _of_the_end(record: JobRecord) -> Iterator[str]:
    final = record.status.is_final
    if final != (record.finished_at is not None):
        yield f"is {record.status} and finished_at is {record.finished_at}"
    if final and record.started_at is None:
        yield "ended before it started"
    if final and record.context.argument is not None:
        yield "is over and still carries an argument"
    if not final and (record.result is not None or record.error is not None):
        yield "has a result or an error before its end"
    if record.status is JobStatus.FINISHED and record.error is not None:
        yield "finished, and yet has an error"
    if final and record.status is not JobStatus.FINISHED:
        if not record.error:
            yield f"is {record.status} and does not say why"
        if record.result is not None:
            yield f"is {record.status} and has a result"


def _of_the_counters(record: JobRecord) -> Iterator[str]:
    if (record.resting is JobStatus.PENDING) != (record.version == 0):
        yield f"is {record.resting} after {record.version} commits"
    if not record.version <= record.revision:
        yield f"revision {record.revision} is below version {record.version}"
    if not record.version <= record.wave:
        yield f"wave {record.wave} is below version {record.version}: every commit begins one"
    if not 0 <= record.turn_failures < TURN_FAILURES_MAX:
        yield f"{record.turn_failures} failed turns in a row, and not quarantined"
    if not 0 <= record.context.transitions <= TRANSITIONS_MAX:
        yield f"{record.context.transitions} transitions; at most {TRANSITIONS_MAX} are allowed"
    if record.retries < 0 or record.next_task < 0:
        yield "a counter is negative"
    if record.progress is not None and not 0 <= record.progress <= 1:
        yield f"progress {record.progress} is not between 0 and 1"
    yield from _of_the_spawned(record)
    yield from _of_the_undos(record)


def _of_the_undos(record: JobRecord) -> Iterator[str]:
    context = record.context
    if len(context.undo) > UNDO_MAX:
        yield f"keeps {len(context.undo)} undos; at most {UNDO_MAX} are allowed"
    if context.undo and record.status.is_final and record.status is not JobStatus.QUARANTINED:
        yield f"is {record.status}, and not all that it did is undone"
    if context.undoing is not None and record.status not in {JobStatus.WAITING_FOR_WORKER, JobStatus.PAUSED}:
        yield f"is {record.status} and undoes what it did"


def _of_the_spawned(record: JobRecord) -> Iterator[str]:
    """Tasks that a turn makes ready ahead of its commit."""
    ahead = record.spawn_wave != 0
    if ahead and record.status.is_final:
        yield "is over and still spawns tasks"
    if ahead and not (record.spawn_wave > record.wave and record.spawned_to > record.next_task):
        yield f"spawned to {record.spawned_to} in wave {record.spawn_wave}, which is not ahead of its commit"
    if not ahead and record.spawned_to:
        yield f"spawned to {record.spawned_to} in no wave"
