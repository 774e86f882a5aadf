"""One turn: load, decide, commit. The only caller of `Store.commit`."""

import asyncio
import hmac
import logging
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from muster.blueprint.registry import Registry
from muster.core import decide as core
from muster.core import events as ev
from muster.core.advance import End, why
from muster.core.decisions import TaskSpec
from muster.core.events import Event
from muster.core.ids import JobId, UnixMs, task_id
from muster.core.limits import (
    TASKS_PER_COMMIT_MAX,
    TURN_FAILURES_MAX,
)
from muster.core.record import ChildItem, Context, JobRecord, Parent, Submission, TaskItem, Wait
from muster.core.status import JobStatus
from muster.core.transitions import JobEvent
from muster.engine.decider import Decider, StateFailed, VersionMissing
from muster.engine.dispatch import Dispatcher, Reservation, Waiter
from muster.engine.messages import approval_message, final_message
from muster.observe.metrics import Metrics
from muster.store.base import Commit, Committed, ContextTooLarge, Existing, NewJob, NewTask, Refused, Store, Turn
from muster.store.codec import dump_item
from muster.store.keys import short_hash

log = logging.getLogger("muster.turns")

VERSION_MISSING_RETRY_MS: Final = 2_000
FAILURE_BACKOFF_MS: Final = 500
FIRST_TURN_S: Final = 0.05
"""A start state that takes longer is run after the job is stored."""
TRACEBACK_CHARS_MAX: Final = 8_000


@dataclass(frozen=True, slots=True)
class TurnRules:
    """Defaults of the deployment that a commit needs."""

    task_retries: int
    task_timeout_ms: int
    retention_ms: int
    history: bool


class Turns:
    def __init__(
        self,
        store: Store,
        blueprints: Registry,
        dispatcher: Dispatcher,
        metrics: Metrics,
        rules: TurnRules,
        approval_token: "ApprovalTokens",
    ) -> None:
        self._store = store
        self._decider = Decider(blueprints, store.files)
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._rules = rules
        self._approval_token = approval_token
        self.on_timer: Callable[[JobId, int], None] | None = None
        """Told of every timer this replica sets, so that it fires in time."""
        self.on_uploads: Callable[[JobId, tuple[str, ...]], object] | None = None
        """Told of every job that waits for uploads from here on."""
        self.on_final: Callable[[JobRecord], None] | None = None

    def close(self) -> None:
        self._decider.close()

    async def begin(self, job: NewJob, token: str) -> Turn | Existing | None:
        """Store a new job, with its first turn in the same write where that is decided in a moment.

        Returns the turn that is due next, if any, leased to the caller; or the idempotency key's earlier job.
        """
        record = job.record(UnixMs(int(time.time() * 1000)))
        rest = await self._decided_soon(record)
        if rest is None:
            stored = await self._store.submit(job, token)
            assert not isinstance(stored, Committed)
            return stored
        tasks = self._new_tasks(record, rest)
        reservation = self._reserve(tasks, None)
        first = self._plan(Turn(token, record, ()), rest, 1, tasks, reservation)
        reply: Turn | Existing | Committed | None = None
        try:
            reply = await self._store.submit(job, token, first)
        except (ContextTooLarge, TypeError):
            reply = await self._store.submit(job, token)  # nothing was written; the turn will say so in the job
        finally:
            if reservation is not None:
                self._dispatcher.deliver(reservation, reply.claimed if isinstance(reply, Committed) else ())
        return self._committed(record, rest, reply) if isinstance(reply, Committed) else reply

    async def _decided_soon(self, record: JobRecord) -> core.Rest | None:
        """State functions may run twice, so the first may run before the job is stored. Trouble is left for then."""
        try:
            async with asyncio.timeout(FIRST_TURN_S):
                rest = await self._decider.decide(record, ())
            core.check_move(record.status, JobEvent.BEGUN, rest.status)
        except (VersionMissing, StateFailed, TimeoutError):
            return None
        return rest if len(rest.tasks) <= TASKS_PER_COMMIT_MAX else None

    async def run(self, turn: Turn, waiter: Waiter | None = None) -> None:
        """Take *turn*, and those that follow from it at once. Tasks claimed on the way go to *waiter* first."""
        following: Turn | None = turn
        while following is not None:
            started = time.perf_counter()
            following, outcome = await self._one(following, waiter)
            self._metrics.turns.labels(outcome).inc()
            self._metrics.turn_seconds.observe(time.perf_counter() - started)

    async def _one(self, turn: Turn, waiter: Waiter | None) -> tuple[Turn | None, str]:
        record = turn.record
        try:
            event = why(record, turn.items)
            rest = await self._decider.decide(record, turn.items)
        except VersionMissing:
            await self._store.defer(record.id, turn.token, VERSION_MISSING_RETRY_MS, failed=False)
            return None, "version_missing"
        except StateFailed as failure:
            return await self._failed(turn, failure)
        try:
            core.check_move(record.status, event, rest.status)
            return await self._commit(turn, rest, waiter), "committed"
        except (ContextTooLarge, TypeError) as error:
            return await self._failed(turn, StateFailed(f"what the job carries cannot be saved: {error}", ""))

    async def _failed(self, turn: Turn, failure: StateFailed) -> tuple[Turn | None, str]:
        """Try again later; after the third failure in a row quarantine the job with the traceback."""
        record = turn.record
        details = {"code": "state_failed", "state": record.state, "traceback": failure.trace[-TRACEBACK_CHARS_MAX:]}
        log.warning(
            "turn_failed", extra={"job_id": record.id, "error": str(failure), "failures": record.turn_failures + 1}
        )
        if record.turn_failures + 1 < TURN_FAILURES_MAX:
            delay = int(FAILURE_BACKOFF_MS * 2**record.turn_failures * random.uniform(0.5, 1.0))
            await self._store.defer(record.id, turn.token, delay, failed=True)
            if self.on_timer is not None:
                self.on_timer(record.id, delay)
            return None, "failed"
        end = End(JobStatus.QUARANTINED, record.state, error=str(failure), details=details)
        rest = core.finish(core.begin(record), end)
        core.check_move(record.status, JobEvent.TURN_FAILED, rest.status)
        return await self._commit(turn, rest, None), "quarantined"

    # Committing

    async def _commit(self, turn: Turn, rest: core.Rest, waiter: Waiter | None) -> Turn | None:
        record = turn.record
        wave = max(record.wave, record.spawn_wave) + 1
        tasks = self._new_tasks(record, rest)
        kept = tasks[-TASKS_PER_COMMIT_MAX:]
        for start in range(0, len(tasks) - len(kept), TASKS_PER_COMMIT_MAX):
            chunk = tasks[start : min(start + TASKS_PER_COMMIT_MAX, len(tasks) - len(kept))]
            if not await self._store.spawn(record.id, record.version, turn.token, wave, chunk):
                return None
        reservation = self._reserve(kept, waiter)
        reply: Committed | Refused | None = None
        try:
            reply = await self._store.commit(self._plan(turn, rest, wave, kept, reservation))
        finally:
            if reservation is not None:
                self._dispatcher.deliver(reservation, reply.claimed if isinstance(reply, Committed) else ())
        if isinstance(reply, Committed):
            return self._committed(record, rest, reply)
        log.info("turn_lost", extra={"job_id": record.id})
        return None

    def _reserve(self, tasks: Sequence[NewTask], waiter: Waiter | None) -> Reservation | None:
        classes = tuple(dict.fromkeys(short_hash(task.type) for task in tasks))
        return self._dispatcher.reserve_for(classes, len(tasks), waiter)

    def _committed(self, record: JobRecord, rest: core.Rest, reply: Committed) -> Turn | None:
        if rest.status.is_final:
            self._metrics.jobs_finished.labels(record.blueprint, rest.status).inc()
            self._tell_the_end(record, rest, reply.at)
        if self.on_timer is not None:
            if rest.deadline_ms is not None:
                self.on_timer(record.id, rest.deadline_ms)
            if rest.child is not None or (rest.status.is_final and record.parent is not None):
                self.on_timer(record.id, 0)  # the child's first turn, the parent's next one: in this partition, due now
        if rest.child is not None and reply.turn is None:  # else a wish to cancel came first, and none was made
            self._metrics.jobs.labels(rest.child.child.blueprint).inc()
        wait = rest.draft.context.wait
        if wait is not None and wait.uploads and reply.turn is None and self.on_uploads is not None:
            self.on_uploads(record.id, wait.uploads)
        return reply.turn

    def _tell_the_end(self, record: JobRecord, rest: core.Rest, at: UnixMs) -> None:
        """Whoever waits here for the job's end gets it without asking the store."""
        if self.on_final is not None:
            self.on_final(
                replace(
                    record,
                    status=rest.status,
                    state=rest.draft.state,
                    context=rest.draft.context,
                    version=record.version + 1,
                    revision=record.revision + 1,
                    started_at=record.started_at or at,
                    finished_at=at,
                    updated_at=at,
                    result=rest.result,
                    error=rest.error,
                    details=rest.details,
                    cancel_requested=False,
                    turn_failures=0,
                    progress=None,
                    progress_message=None,
                )
            )

    def _plan(
        self, turn: Turn, rest: core.Rest, wave: int, tasks: list[NewTask], reservation: Reservation | None
    ) -> Commit:
        record, draft = turn.record, rest.draft
        wait = draft.context.wait
        return Commit(
            job=record.id,
            version=record.version,
            token=turn.token,
            next_token=secrets.token_hex(8),
            status=rest.status,
            state=draft.state,
            context=draft.context,
            wave=wave,
            next_task=draft.first_task + len(rest.tasks),
            need=rest.need,
            fail_fast=rest.status is JobStatus.WAITING_FOR_PARALLEL_TASKS,
            current_task=wait.first if wait is not None and wait.kind == "task" else None,
            started=_begins(rest.status, wait),
            clear_cancel=record.cancel_requested,
            result=rest.result,
            error=rest.error,
            details=rest.details,
            retention_ms=self._rules.retention_ms,
            deadline_ms=rest.deadline_ms,
            history=_blobs(draft.events) if self._rules.history else (),
            tasks=tuple(tasks),
            messages=self._messages(record, rest, wave),
            drops=_leftovers(turn),
            signal="" if wait is None else wait.signal,
            child=None if rest.child is None else self._new_child(record, rest.child, wave),
            parting=_parting(rest) if rest.status.is_final and record.parent is not None else "",
            claim=None if reservation is None else reservation.claim,
        )

    def _new_child(self, record: JobRecord, start: core.ChildStart, wave: int) -> NewJob:
        child, depth = start.child, 0 if record.parent is None else record.parent.depth
        created = ev.event(ev.JOB_CREATED, state=start.state, details={"parent": record.id})
        return NewJob(
            id=child.id,
            tenant=record.tenant,
            blueprint=child.blueprint,
            blueprint_version=start.version,
            state=start.state,
            submission=Submission(child.input, trace=record.submission.trace, tags=child.tags),
            context=Context(),
            history=orjson.dumps(created).decode() if self._rules.history else "",
            parent=Parent(record.id, wave, depth + 1),
        )

    def _messages(self, record: JobRecord, rest: core.Rest, wave: int) -> tuple[Any, ...]:
        url = record.submission.webhook_url
        if url is None:
            return ()
        if rest.status.is_final:
            return (final_message(record, rest, wave),)
        if rest.status is JobStatus.WAITING_FOR_HUMAN:
            return (approval_message(record, rest, wave, self._approval_token.of(record.id, wave)),)
        return ()

    def _new_tasks(self, record: JobRecord, rest: core.Rest) -> list[NewTask]:
        first = rest.draft.first_task
        return [self._new_task(record, first + i, spec) for i, spec in enumerate(rest.tasks)]

    def _new_task(self, record: JobRecord, number: int, spec: TaskSpec) -> NewTask:
        timeout_ms = spec.timeout_ms or self._rules.task_timeout_ms
        retries = self._rules.task_retries if spec.retries is None else spec.retries
        body = {
            "job_id": record.id,
            "task_id": task_id(record.id, number),
            "type": spec.type,
            "params": spec.params,
            "timeout_seconds": timeout_ms / 1000,
            "priority": spec.priority,
            "tracing_context": dict(record.submission.trace),
        }
        rules = orjson.dumps({"r": retries, "t": spec.type})
        return NewTask(number, spec.type, orjson.dumps(body), rules, timeout_ms, spec.priority)


class ApprovalTokens:
    """One unguessable token per wait, derived, so that it is stored nowhere."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, job: JobId, wave: int) -> str:
        return "apr_" + hmac.new(self._secret, f"approval|{job}|{wave}".encode(), "sha256").hexdigest()


def _leftovers(turn: Turn) -> tuple[tuple[int, int], ...]:
    """Task numbers of the past wait that have not all ended, and what a dead turn had spawned."""
    record, wait = turn.record, turn.record.context.wait
    drops: list[tuple[int, int]] = []
    if wait is not None and wait.count:
        ended = sum(isinstance(item, TaskItem) for item in turn.items)
        if ended < wait.count:
            drops.append((wait.first, wait.first + wait.count))
    if record.spawned_to > record.next_task:
        drops.append((record.next_task, record.spawned_to))
    return tuple(drops)


def _parting(rest: core.Rest) -> str:
    """What the job that started this one is told of its end."""
    code = (rest.details or {}).get("code")
    return dump_item(ChildItem(rest.status, rest.result, code if isinstance(code, str) else "", rest.error or ""))


def _blobs(events: Sequence[Event]) -> tuple[str, ...]:
    return tuple(orjson.dumps(event).decode() for event in events)


def _begins(status: JobStatus, wait: Wait | None) -> bool:
    """A job begins when a worker fetches its first task, or when it waits for something else than files to come."""
    if status is JobStatus.WAITING:
        return wait is None or not wait.uploads
    return status is JobStatus.WAITING_FOR_HUMAN or status.is_final
