"""One turn: load, decide, commit. The only caller of `Store.commit`."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from muster.blueprint.registry import Registry
from muster.core import decide as core
from muster.core import events as ev
from muster.core.advance import End, undos_of, why
from muster.core.decisions import TaskSpec
from muster.core.events import Event
from muster.core.fingerprint import fingerprint
from muster.core.ids import JobId, UnixMs, task_id
from muster.core.limits import (
    TASKS_PER_COMMIT_MAX,
    TURN_FAILURES_MAX,
)
from muster.core.matching import requirement_json
from muster.core.record import ChildItem, Context, Item, JobRecord, Parent, Submission, TaskItem, Wait
from muster.core.retry import USUAL, TaskRules
from muster.core.status import JobStatus
from muster.core.transitions import JobEvent
from muster.core.values import changed
from muster.engine.approval_tokens import ApprovalTokens
from muster.engine.decider import Decider, StateFailed, VersionMissing
from muster.engine.dispatch import Dispatcher, Reservation
from muster.engine.files import Files
from muster.engine.guard import Begun, within
from muster.engine.lines import Waiter
from muster.engine.messages import approval_message, final_message
from muster.engine.nonces import nonce
from muster.engine.placing import ANYWHERE, Place, Placing
from muster.engine.snapshots import Snapshot, Snapshots
from muster.observe.metrics import Metrics
from muster.store import codec
from muster.store.admission import Limited, PutOff, Taken
from muster.store.base import (
    Claimed,
    Commit,
    Committed,
    Completed,
    Completion,
    ContextTooLarge,
    Existing,
    NewJob,
    NewTask,
    Refused,
    Stepped,
    Store,
    StoreFull,
    Turn,
)
from muster.store.codec import dump_item
from muster.store.flow import Fan, flow_of

log = logging.getLogger("muster.turns")

VERSION_MISSING_RETRY_MS: Final = 2_000
FAILURE_BACKOFF_MS: Final = 500
AHEAD_S: Final = 0.05
"""A state that takes longer is run once the job, or the result it is for, is in the store."""
SLOW_FOR_S: Final = 60.0
"""For so long a state that took longer is not tried ahead again."""
SLOW_STATES_MAX: Final = 1_000
TRACEBACK_CHARS_MAX: Final = 8_000


@dataclass(frozen=True, slots=True)
class TurnRules:
    """Defaults of the deployment that a commit needs."""

    task_retries: int
    task_timeout_ms: int
    retention_ms: int
    history: bool
    now: Callable[[], UnixMs]
    public_url: str = ""
    partitions: int = 1


class Turns:
    def __init__(
        self,
        store: Store,
        blueprints: Registry,
        dispatcher: Dispatcher,
        metrics: Metrics,
        rules: TurnRules,
        approval_tokens: ApprovalTokens,
        placing: Placing,
        files: Files,
    ) -> None:
        self._store = store
        self._blueprints = blueprints
        self._decider = Decider(blueprints, store.files, files.check_inputs, rules.now, rules.partitions)
        self._dispatcher = dispatcher
        self._placing = placing
        self._metrics = metrics
        self._rules = rules
        self._approval_tokens = approval_tokens
        self._snapshots = Snapshots()
        self._slow: dict[tuple[str, str, str], float] = {}
        """Blueprint, version and state before: until when the turn from there is not tried ahead."""
        self.on_timer: Callable[[JobId, int], None] | None = None
        """Told of every timer this replica sets, so that it fires in time."""
        self.on_uploads: Callable[[JobId, tuple[str, ...]], object] | None = None
        """Told of every job that waits for uploads from here on."""
        self.on_final: Callable[[JobRecord], None] | None = None

    def close(self) -> None:
        self._decider.close()

    async def begin(self, job: NewJob, token: str) -> Turn | Existing | Limited | Taken | PutOff | None:
        """Store a new job, with its first turn in the same write where that is decided in a moment.

        Returns the turn that is due next, if any, leased to the caller; or the idempotency key's earlier job; or
        why none was made, or not begun.
        """
        submission = codec.dump_submission(job.submission)
        given = codec.load_submission(submission)  # what a state function does to its input stays its own
        record = changed(job.record(self._rules.now()), submission=given)
        is_put_off = job.admission is not None and bool(job.admission.debounce)
        ahead = None if is_put_off else await self._decided_soon(record, ())
        if ahead is None:
            stored = await self._store.submit(job, token)
            assert not isinstance(stored, Committed)
            return stored
        rest, tasks = ahead
        reservation = self._reserve(tasks, None)
        reply: Turn | Existing | Committed | Limited | Taken | PutOff | None = None
        try:
            first = self._plan(Turn(token, record, ()), rest, 1, tasks, reservation)
            left = _left(record, first, submission)
            reply = await self._store.submit(job, token, first)
        except (ContextTooLarge, TypeError):
            stored = await self._store.submit(job, token)  # nothing was written; the turn will say so in the job
            assert not isinstance(stored, Committed)
            return stored
        finally:
            self._hand_out(reservation, reply.claimed if isinstance(reply, Committed) else ())
        return self._committed(record, first, left, reply) if isinstance(reply, Committed) else reply

    async def begin_cancelled(self, job: NewJob) -> None:
        """Store a new job as cancelled before it began. Nothing is written where it is there already."""
        record = changed(job.record(self._rules.now()), cancel_requested=True)
        turn = Turn(nonce(), record, ())
        rest = await self._decider.decide(record, ())
        await self._store.submit(job, turn.token, self._plan(turn, rest, 1, [], None))
        self._metrics.jobs_finished.labels(job.blueprint, rest.status).inc()
        if self.on_timer is not None:
            self.on_timer(job.id, 0)

    async def end(self, completion: Completion, waiter: Waiter | None) -> Completed | Refused | None:
        """Take a task's end and the turn it makes due in one write, where the job was left here, waiting for it.

        None: nothing was written, the end has to be delivered by itself.
        """
        snapshot = self._snapshots.of(completion.job, completion.number)
        if snapshot is None:
            return None
        started = time.perf_counter()
        turn = Turn(completion.token, snapshot.read(), (codec.load_item(completion.item.encode()),))
        ahead = await self._decided_soon(turn.record, turn.items)
        if ahead is None:
            return None
        try:
            reply = await self._step(completion, turn, ahead, snapshot.submission, waiter)
        except (ContextTooLarge, TypeError, StoreFull):
            return None  # a full store takes results, and the ends of jobs
        if isinstance(reply, Stepped):
            self._metrics.turns.labels("committed").inc()
            self._metrics.turn_seconds.observe(time.perf_counter() - started)
            return Completed(reply.committed.turn, ran_ms=reply.ran_ms)
        if isinstance(reply, Completed):
            self._snapshots.keep(completion.job, None)  # something else has happened to the job
        return reply

    async def _step(
        self, completion: Completion, turn: Turn, ahead: "_Ahead", submission: bytes, waiter: Waiter | None
    ) -> Stepped | Completed | Refused:
        record = turn.record
        rest, tasks = ahead
        reservation = self._reserve(tasks, waiter)
        claimed: Sequence[Claimed] = ()
        try:
            plan = self._plan(turn, rest, record.wave + 1, tasks, reservation)
            left = _left(record, plan, submission)
            reply = await self._store.step(completion, plan)
            if not isinstance(reply, Refused):
                claimed = reply.committed.claimed if isinstance(reply, Stepped) else reply.claimed
        finally:
            self._hand_out(reservation, claimed)
        if isinstance(reply, Stepped):
            known = changed(
                record,
                created_at=reply.created_at,
                started_at=reply.started_at,
                retries=reply.retries,
                revision=reply.revision - 1,
                cost_micros=reply.cost_micros,
            )
            self._committed(known, plan, left, reply.committed)
        return reply

    async def _decided_soon(self, record: JobRecord, items: Sequence[Item]) -> "_Ahead | None":
        """State functions may run twice, so one may run before what it is for is stored. Trouble is left for then."""
        place = (record.blueprint, record.blueprint_version, record.state)
        started = time.monotonic()
        if self._slow.get(place, 0.0) > started:
            return None
        try:
            rest, tasks = await within(Begun(self._decided(record, items)), AHEAD_S)
            core.check_move(record.status, why(record, items), rest.status)
        except (VersionMissing, StateFailed, TimeoutError):
            if time.monotonic() - started >= AHEAD_S:
                self._note_slow(place)
            return None
        return (rest, tasks) if len(tasks) <= TASKS_PER_COMMIT_MAX else None

    async def _decided(self, record: JobRecord, items: Sequence[Item]) -> "_Ahead":
        rest = await self._decider.decide(record, items)
        return rest, await self._new_tasks(record, rest)

    def _note_slow(self, place: tuple[str, str, str]) -> None:
        if len(self._slow) >= SLOW_STATES_MAX:
            self._slow.clear()
        self._slow[place] = time.monotonic() + SLOW_FOR_S

    async def run(self, turn: Turn, waiter: Waiter | None = None) -> None:
        """Take *turn*, and those that follow from it at once. Tasks claimed on the way go to *waiter* first."""
        following: Turn | None = turn
        while following is not None:
            started = time.perf_counter()
            following, outcome = await self._one(following, waiter)
            self._metrics.turns.labels(outcome).inc()
            self._metrics.turn_seconds.observe(time.perf_counter() - started)

    async def _one(self, turn: Turn, waiter: Waiter | None) -> tuple[Turn | None, str]:
        record, submission = turn.record, codec.dump_submission(turn.record.submission)
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
            tasks = await self._new_tasks(record, rest)
            return await self._commit(turn, rest, tasks, submission, waiter), "committed"
        except StateFailed as failure:
            return await self._failed(turn, failure)
        except (ContextTooLarge, TypeError) as error:
            return await self._failed(turn, StateFailed(f"what the job carries cannot be saved: {error}", ""))

    async def _failed(self, turn: Turn, failure: StateFailed) -> tuple[Turn | None, str]:
        """Try again later; after the third failure in a row quarantine the job with the traceback."""
        record = turn.record
        draft = failure.draft or core.begin(record)
        details = {"code": failure.code, "state": draft.state, "traceback": failure.trace[-TRACEBACK_CHARS_MAX:]}
        log.warning(
            "turn_failed", extra={"job_id": record.id, "error": str(failure), "failures": record.turn_failures + 1}
        )
        if record.turn_failures + 1 < TURN_FAILURES_MAX:
            delay = int(FAILURE_BACKOFF_MS * 2**record.turn_failures * random.uniform(0.5, 1.0))
            await self._store.defer(record.id, turn.token, delay, failed=True)
            if self.on_timer is not None:
                self.on_timer(record.id, delay)
            return None, "failed"
        undos = undos_of(draft.context.wait, turn.items)  # none where the draft has entered a state: it has them
        end = End(JobStatus.QUARANTINED, draft.state, error=str(failure), details=details, undos=undos, put_aside=True)
        rest = core.finish(draft, end)
        core.check_move(record.status, JobEvent.TURN_FAILED, rest.status)
        return await self._commit(turn, rest, [], b"", None), "quarantined"

    # Committing

    async def _commit(
        self, turn: Turn, rest: core.Rest, tasks: list[NewTask], submission: bytes, waiter: Waiter | None
    ) -> Turn | None:
        record = turn.record
        wave = max(record.wave, record.spawn_wave) + 1
        kept = tasks
        if len(tasks) > TASKS_PER_COMMIT_MAX:
            if not await self._spawned(turn, wave, tasks):
                return None
            kept = []
        reservation = self._reserve(kept, waiter)
        reply: Committed | Refused | None = None
        try:
            plan = self._plan(turn, rest, wave, kept, reservation)
            left = _left(record, plan, submission)
            reply = await self._store.commit(plan)
        finally:
            self._hand_out(reservation, reply.claimed if isinstance(reply, Committed) else ())
        if isinstance(reply, Committed):
            return self._committed(record, plan, left, reply)
        log.info("turn_lost", extra={"job_id": record.id})
        return None

    async def _spawned(self, turn: Turn, wave: int, tasks: Sequence[NewTask]) -> bool:
        """Make a wide fan ready ahead of its commit. False: the turn was lost."""
        for start in range(0, len(tasks), TASKS_PER_COMMIT_MAX):
            chunk = tasks[start : start + TASKS_PER_COMMIT_MAX]
            if not await self._store.spawn(turn.record.id, turn.record.version, turn.token, wave, chunk):
                return False
        return True

    def _reserve(self, tasks: Sequence[NewTask], waiter: Waiter | None) -> Reservation | None:
        classes = tuple(dict.fromkeys(task.queue_class for task in tasks))
        return self._dispatcher.reserve_for(classes, len(tasks), waiter)

    def _hand_out(self, reservation: Reservation | None, claimed: Sequence[Claimed]) -> None:
        if reservation is not None:
            self._dispatcher.deliver(reservation, claimed)

    def _committed(self, record: JobRecord, plan: Commit, left: Snapshot | None, reply: Committed) -> Turn | None:
        self._snapshots.keep(record.id, left if reply.turn is None else None)
        if plan.status.is_final:
            self._metrics.jobs_finished.labels(record.blueprint, plan.status).inc()
            if self.on_final is not None:  # whoever waits here for the job's end gets it without asking the store
                self.on_final(_after(record, plan, reply.at))
        if self.on_timer is not None:
            if plan.deadline_ms is not None:
                self.on_timer(record.id, plan.deadline_ms)
            if plan.drops:
                self.on_timer(record.id, 0)  # workers of tasks that nobody waits for are told soon
            if plan.escalate_ms is not None:
                self.on_timer(record.id, plan.escalate_ms)
            if plan.children or (plan.status.is_final and record.parent is not None) or _gives_up_children(record):
                self.on_timer(record.id, 0)  # first turns, the parent's next one, messages: in this partition, due now
        if reply.turn is None:  # else a wish to cancel came first, and none was made
            for child in plan.children:
                self._metrics.jobs.labels(child.blueprint).inc()
        wait = plan.context.wait
        if wait is not None and wait.uploads and reply.turn is None and self.on_uploads is not None:
            self.on_uploads(record.id, wait.uploads)
        return reply.turn

    def _plan(
        self, turn: Turn, rest: core.Rest, wave: int, tasks: list[NewTask], reservation: Reservation | None
    ) -> Commit:
        record, draft = turn.record, rest.draft
        wait = draft.context.wait
        return Commit(
            job=record.id,
            version=record.version,
            token=turn.token,
            next_token=nonce(),
            status=rest.status,
            state=draft.state,
            context=draft.context,
            wave=wave,
            next_task=draft.first_task + len(rest.tasks),
            need=rest.need,
            failures_left=rest.failures_left,
            needs_successes=rest.needs_successes,
            current_task=wait.first if wait is not None and wait.kind == "task" else None,
            started=_begins(rest.status, wait),
            # What undoes is not cut short by another wish to cancel, also one that has come since this turn was taken.
            clear_cancel=record.cancel_requested or draft.context.undoing is not None,
            shielded=draft.context.undoing is not None,
            result=rest.result,
            error=rest.error,
            details=rest.details,
            retention_ms=self._retention_ms(record),
            fingerprint=_fingerprint(record, rest),
            deadline_ms=rest.deadline_ms,
            history=_blobs(draft.events) if self._rules.history else (),
            tasks=tuple(tasks),
            messages=self._messages(record, rest, wave),
            drops=_leftovers(turn),
            signal="" if wait is None else ",".join(wait.signals),
            asks=wait is not None and wait.asked is not None,
            escalate_ms=_first_escalation(wait),
            children=tuple(self._new_child(record, start, wave) for start in rest.children),
            entered=draft.entered,
            parting=_parting(record.id, rest) if rest.status.is_final and record.parent is not None else "",
            claim=None if reservation is None else reservation.claim,
        )

    def _retention_ms(self, record: JobRecord) -> int:
        blueprint = self._blueprints.find(record.blueprint, record.blueprint_version)
        own = None if blueprint is None else blueprint.retention_ms
        return self._rules.retention_ms if own is None else own

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
            parent=Parent(record.id, wave, depth + 1, spread=child.spread),
            deadline_ms=self._left_ms(record, start.deadline_ms) if child.spread else start.deadline_ms,
        )

    def _left_ms(self, record: JobRecord, own_ms: int | None) -> int | None:
        """A child's deadline, where its parent's is not seen by the script that makes it."""
        if record.deadline_at is None:
            return own_ms
        left = max(record.deadline_at - self._rules.now(), 0)
        return left if own_ms is None else min(left, own_ms)

    def _messages(self, record: JobRecord, rest: core.Rest, wave: int) -> tuple[Any, ...]:
        url = record.submission.webhook_url
        if url is None:
            return ()
        if rest.status.is_final:
            return (final_message(record, rest, wave),)
        if rest.status is JobStatus.WAITING_FOR_HUMAN:
            return (approval_message(record, rest, wave, self._approval_tokens, self._rules.public_url),)
        return ()

    async def _new_tasks(self, record: JobRecord, rest: core.Rest) -> list[NewTask]:
        """Raises StateFailed where one cannot be placed."""
        wave = max(record.wave, record.spawn_wave) + 1
        first, places = rest.draft.first_task, [ANYWHERE] * len(rest.tasks)
        if any(spec.placement is not None for spec in rest.tasks):
            places = await self._placing.places(rest.tasks, rest.draft.context.last_worker)
        return [
            self._new_task(record, first + i, spec, place, wave)
            for i, (spec, place) in enumerate(zip(rest.tasks, places, strict=True))
        ]

    def _new_task(self, record: JobRecord, number: int, spec: TaskSpec, place: Place, wave: int) -> NewTask:
        timeout_ms = spec.timeout_ms or self._rules.task_timeout_ms
        policy = spec.retry or USUAL
        retries = next(n for n in (spec.retries, policy.retries, self._rules.task_retries) if n is not None)
        body = {
            "job_id": record.id,
            "task_id": task_id(record.id, number),
            "type": spec.type,
            "params": spec.params,
            "timeout_seconds": timeout_ms / 1000,
            "priority": spec.priority,
            "tracing_context": dict(record.submission.trace),
        }
        fan = None if spec.at_once is None else Fan(record.id, wave, spec.at_once)
        flow = flow_of(record.tenant, record.blueprint, spec.key, fan, spec.type if place.cls else "")
        if spec.heartbeat_ms is not None:
            body["heartbeat_seconds"] = spec.heartbeat_ms / 1000
        stored = TaskRules(retries, policy).dump(spec.type)
        if place.requirement is not None:
            stored = orjson.dumps({**orjson.loads(stored), "q": requirement_json(place.requirement)})
        return NewTask(
            number,
            spec.type,
            orjson.dumps(body),
            stored,
            timeout_ms,
            spec.priority,
            spec.schedule_to_start_ms,
            spec.schedule_to_close_ms,
            spec.heartbeat_ms,
            place.cls,
            place.fallback,
            flow,
        )


_Ahead: TypeAlias = tuple[core.Rest, list[NewTask]]
"""What was decided ahead, and the tasks it makes."""


def _after(record: JobRecord, plan: Commit, at: UnixMs) -> JobRecord:
    """The job as the commit of *plan* leaves it."""
    return changed(
        record,
        status=plan.status,
        state=plan.state,
        context=plan.context,
        version=record.version + 1,
        revision=record.revision + 1,
        wave=plan.wave,
        next_task=plan.next_task,
        started_at=record.started_at or (at if plan.started else None),
        finished_at=at if plan.status.is_final else None,
        updated_at=at,
        result=plan.result,
        error=plan.error,
        details=plan.details,
        cancel_requested=False,
        turn_failures=0,
        spawn_wave=0,
        spawned_to=0,
        progress=None,
        progress_message=None,
        fingerprint=plan.fingerprint,
    )


def _left(record: JobRecord, plan: Commit, submission: bytes) -> Snapshot | None:
    return Snapshot.of(_after(record, plan, record.updated_at), submission)


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


def _fingerprint(record: JobRecord, rest: core.Rest) -> str:
    """Of the error that the job ends with, in the state that it entered last."""
    if not rest.status.is_final or rest.error is None:
        return ""
    state = next(reversed(tuple(rest.draft.entered)), record.state)
    return fingerprint(str((rest.details or {}).get("code") or rest.status), rest.error, record.blueprint, state)


def _first_escalation(wait: Wait | None) -> int | None:
    asked = None if wait is None else wait.asked
    steps = () if asked is None or asked.question is None else asked.question.escalations
    return steps[0].after_ms if steps else None


def _parting(job: JobId, rest: core.Rest) -> str:
    """What the job that started this one is told of its end."""
    code = (rest.details or {}).get("code")
    item = ChildItem(rest.status, rest.result, code if isinstance(code, str) else "", rest.error or "", job)
    return dump_item(item)


def _gives_up_children(record: JobRecord) -> bool:
    """Some lost a race, and are asked to end by messages."""
    wait = record.context.wait
    return wait is not None and wait.kind == "race" and bool(wait.children)


def _blobs(events: Sequence[Event]) -> tuple[str, ...]:
    return tuple(orjson.dumps(event).decode() for event in events)


def _begins(status: JobStatus, wait: Wait | None) -> bool:
    """A job begins when a worker fetches its first task, or when it waits for something else than files to come."""
    if status is JobStatus.WAITING:
        return wait is None or not wait.uploads
    return status is JobStatus.WAITING_FOR_HUMAN or status.is_final
