"""What the model does to a job: submit, commit, spawn, defer, signal, cancel."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import orjson

from muster.core.approvals import NO_CHANGES
from muster.core.ids import JobId, TaskId, UnixMs
from muster.core.limits import CONTEXT_BYTES_MAX, TURN_LEASE_MS
from muster.core.record import Context
from muster.core.status import JobStatus
from muster.store import codec
from muster.store.admission import Limited, PutOff, Taken
from muster.store.base import (
    Commit,
    Committed,
    ContextTooLarge,
    Existing,
    NewJob,
    NewTask,
    Refusal,
    Refused,
    Turn,
)
from muster.store.keys import short_hash
from muster.store.memory.admission import admit, refused
from muster.store.memory.approvals import close_question, open_question
from muster.store.memory.batching import count
from muster.store.memory.children import chain, deliver_end, start_spread, stop_children
from muster.store.memory.holding import let_go
from muster.store.memory.model import PAUSED, Deadline, GraceEnd, Job, Outgoing, Task, WaitEnd
from muster.store.memory.partition import Partition


def submit(
    part: Partition, new: NewJob, token: str, first: Commit | None, replica: str
) -> Turn | Existing | Committed | Limited | Taken | PutOff:
    if first is not None:
        checked(first.context)
    known = part.job(new.id)
    if known is None:
        existing = _known_by_key(part, new)
        if existing is not None:
            return existing
        refusal = refused(part, new)
        if refusal is not None:
            return refusal
        wish = new.admission
        waits = wish is not None and bool(wish.debounce)
        wait_ms = wish.delay_ms if wish is not None and waits else TURN_LEASE_MS
        known = make_job(part, new, "" if waits else token, part.now() + wait_ms)
        admit(part, new, known)
        if first is None:
            part.announce_to_tenant(known, 0)
    if new.admission is not None and new.admission.debounce:
        return PutOff(new.id, is_new=True)
    if first is not None:
        reply = commit(part, first, replica)
        return reply if isinstance(reply, Committed) else Committed(UnixMs(part.now()))
    record = new.record(known.record.created_at)
    return Turn(token, record, ())


def _known_by_key(part: Partition, new: NewJob) -> Existing | None:
    if not new.idempotency_key:
        return None
    key = short_hash(f"{new.tenant}\0{new.idempotency_key}")
    job, fingerprint, expires_at = part.idempotency_keys.get(key, (new.id, "", 0))
    if expires_at > part.now():
        return Existing(job, fingerprint)
    part.idempotency_keys[key] = (new.id, new.fingerprint, part.now() + new.idempotency_ttl_ms)
    return None


def make_job(part: Partition, new: NewJob, token: str, turn_at: int | None, latest: UnixMs | None = None) -> Job:
    record = new.record(UnixMs(part.now()))
    if (deadline := min((at for at in (record.deadline_at, latest) if at is not None), default=None)) is not None:
        record = replace(record, deadline_at=deadline)
        part.timers[Deadline(new.id)] = deadline
    stored = replace(
        record,
        submission=codec.load_submission(codec.dump_submission(new.submission)),
        context=codec.load_context(codec.dump_context(new.context)),
    )
    watchers = [new.watcher] if new.watcher else []
    job = part.jobs[new.id] = Job(stored, turn_token=token, turn_at=turn_at, watchers=watchers, meter=new.meter)
    part.note(job, new.history)
    part.counts[JobStatus.PENDING] += 1
    return job


def commit(part: Partition, c: Commit, replica: str = "") -> Committed | Refused:
    context = checked(c.context)
    job = part.job(c.job)
    if job is None:
        return Refused(Refusal.GONE)
    if job.committed_by == c.token:
        return Committed(UnixMs(part.now()), turn=part.turn(job) if job.turn_token == c.next_token else None)
    if job.is_final or job.record.version != c.version or job.turn_token != c.token:
        return Refused(Refusal.STALE)

    cancelling = job.record.cancel_requested and not c.clear_cancel
    drops = c.drops
    if c.status.is_final and job.record.spawn_wave:  # nobody will wait for what this turn spawned
        drops = (*drops, (job.record.next_task, job.record.spawned_to))
    stop_children(part, job)  # those that lost a race
    _start_wave(part, job, c)
    _write(part, job, c, context)
    _wait_for(part, job, c, cancelling=cancelling)
    made, claimed = part.add_tasks(job, c.wave, c.tasks, None if cancelling else c.claim)
    for message in c.messages:
        part.send_soon(message.id, Outgoing(message.body))
    for low, high in drops:
        part.drop_later(job, low, high)
    if c.deadline_ms is not None:
        part.timers[WaitEnd(job.id, c.wave)] = part.now() + c.deadline_ms
    part.announce(job)
    if c.status.is_final:
        _finish(part, job, c, replica)

    taken: Counter[str] = Counter()
    if c.claim is not None and len(claimed) < len(c.claim.seats):
        more = part.claim(c.claim, first_seat=len(claimed))
        taken.update(part.tasks[got.task].cls for got in more if part.tasks[got.task].job == job.id)
        claimed += more
    part.wake_all(made - taken)
    part.wake_opened(replica)
    if not c.status.is_final and (job.need <= 0 or cancelling):
        return Committed(job.record.updated_at, claimed, part.lease_turn(job, c.next_token))
    return Committed(job.record.updated_at, claimed)


def _wait_for(part: Partition, job: Job, c: Commit, *, cancelling: bool) -> None:
    """What else but tasks the job waits for. A job to be cancelled waits for nothing more."""
    job.awaited, job.children = c.signal, {}
    if cancelling:
        return
    if c.signal:
        _take_signal(job)
    for new in c.children:
        assert new.parent is not None
        job.children[new.id] = new.parent.spread
        if new.parent.spread:
            start_spread(part, job, c.wave, new)
        else:
            part.announce_to_tenant(make_job(part, new, "", part.now(), job.record.deadline_at), 0)


def checked(context: Context) -> Context:
    blob = codec.dump_context(context)
    if len(blob) > CONTEXT_BYTES_MAX:
        raise ContextTooLarge(f"{len(blob)} bytes, at most {CONTEXT_BYTES_MAX}")
    return codec.load_context(blob)


def _start_wave(part: Partition, job: Job, c: Commit) -> None:
    """The mailbox of the past wave is consumed. Results that came early for the new one are its first items."""
    close_question(part, job)
    part.timers.pop(WaitEnd(job.id, job.record.wave), None)
    early = job.early if job.record.spawn_wave == c.wave and not c.status.is_final else []
    failures = job.early_failures if early else 0
    job.mailbox, job.early, job.early_failures = list(early), [], 0
    job.need, job.current_task = c.need, c.current_task
    job.failures_left, job.needs_successes, job.shielded = c.failures_left, c.needs_successes, c.shielded
    for place in range(len(early)):
        job.count_end(failed=place < failures)


def _write(part: Partition, job: Job, c: Commit, context: Context) -> None:
    now = UnixMs(part.now())
    before = job.record.status
    part.set_status(job, c.status)
    count(part, job, before, c.status)
    old = job.record
    job.turn_token, job.turn_at, job.committed_by = "", None, c.token
    job.entered |= c.entered
    job.record = replace(
        old,
        version=old.version + 1, revision=old.revision + 1, state=c.state, context=context, wave=c.wave,
        next_task=c.next_task, updated_at=now, turn_failures=0, spawn_wave=0, spawned_to=0,
        progress=None, progress_message=None,
        started_at=now if c.started and old.started_at is None else old.started_at,
        cancel_requested=old.cancel_requested and not c.clear_cancel, tally=NO_CHANGES,
    )  # fmt: skip
    if c.asks:
        open_question(part, job, c.escalate_ms)
    for entry in c.history:
        part.note(job, entry)


def _finish(part: Partition, job: Job, c: Commit, replica: str) -> None:
    part.timers.pop(GraceEnd(job.id), None)
    part.timers.pop(Deadline(job.id), None)
    deliver_end(part, job, c.parting)
    part.ledger.count(job, job.record.updated_at if c.status is JobStatus.FINISHED else None)
    part.announce_end(job, replica)
    job.signals = []
    job.expires_at = part.now() + c.retention_ms
    job.record = replace(
        job.record,
        finished_at=job.record.updated_at,
        result=orjson.loads(codec.dump(c.result)),
        error=c.error or None,
        fingerprint=c.fingerprint,
        details=None if c.details is None else orjson.loads(codec.dump(c.details)),
    )


def spawn(part: Partition, job_id: JobId, version: int, token: str, wave: int, tasks: Sequence[NewTask]) -> bool:
    job = part.job(job_id)
    if job is None or job.record.version != version or job.turn_token != token:
        return False
    if job.record.spawn_wave != wave:
        job.early, job.early_failures = [], 0
    fresh = [task for task in tasks if task.number >= job.record.spawned_to]
    made, _ = part.add_tasks(job, wave, fresh)
    spawned_to = fresh[-1].number + 1 if fresh else job.record.spawned_to
    job.record = replace(job.record, spawn_wave=wave, spawned_to=spawned_to)
    job.turn_at = part.now() + TURN_LEASE_MS
    part.wake_all(made)
    return True


def defer(part: Partition, job_id: JobId, token: str, delay_ms: int, *, failed: bool, details: str) -> int | None:
    job = part.job(job_id)
    if job is None or job.turn_token != token:
        return None
    failures = job.record.turn_failures + int(failed)
    job.record = replace(job.record, turn_failures=failures)
    if details:
        job.record = replace(job.record, details=orjson.loads(details))
    job.turn_token, job.turn_at = "", part.now() + delay_ms
    return failures


def signal(part: Partition, job_id: JobId, wave: int, item: str, history: str, token: str) -> Turn | Refused:
    job = part.job(job_id)
    if job is None:
        return Refused(Refusal.GONE)
    if job.signalled_by == token:
        return part.turn(job) if job.turn_token == token else Refused(Refusal.TAKEN)
    held = job.turn_token not in {"", PAUSED}
    answered = held or job.need <= 0 or bool(job.children)  # only its end answers for a child
    if job.is_final or job.record.wave != wave or answered or job.record.cancel_requested:
        return Refused(Refusal.CONFLICT)
    job.signalled_by, job.need = token, 0
    job.mailbox.append(item)
    part.note(job, history)
    return Refused(Refusal.TAKEN) if job.record.pause is not None else part.lease_turn(job, token)


SENDERS_KEPT = 16


def send(
    part: Partition, job_id: JobId, name: str, item: str, history: str, token: str, signals_max: int
) -> Turn | Refused | None:
    job = part.job(job_id)
    if job is None:
        return Refused(Refusal.GONE)
    if token in job.sent_by:
        return part.turn(job) if job.turn_token == token else None
    if job.is_final:
        return Refused(Refusal.FINAL)
    free = job.turn_token in {"", PAUSED} and not job.record.cancel_requested
    awaited = name in job.awaited.split(",") and job.need > 0 and free
    if not awaited and len(job.signals) >= signals_max:
        return Refused(Refusal.FULL)
    job.sent_by = [token, *job.sent_by][:SENDERS_KEPT]
    part.note(job, history)
    if not awaited:
        job.signals.append((name, item))
        return None
    job.need = 0
    job.mailbox.append(item)
    return None if job.record.pause is not None else part.lease_turn(job, token)


def _take_signal(job: Job) -> None:
    """The oldest of the awaited name, if one came before."""
    place = next((i for i, (name, _) in enumerate(job.signals) if name in job.awaited.split(",")), None)
    if place is not None:
        job.mailbox.append(job.signals.pop(place)[1])
        job.need = 0


def cancel(
    part: Partition,
    job_id: JobId,
    token: str,
    grace_ms: int,
    history: str,
    below: str,
    *,
    queued: bool,
    overdue: bool,
) -> Turn | Refused | tuple[tuple[TaskId, str], ...]:
    job = part.job(job_id)
    if overdue:
        part.timers.pop(Deadline(job_id), None)
    if job is None:
        return Refused(Refusal.GONE)
    if job.is_final:
        return Refused(Refusal.FINAL)
    links = chain(part, job)
    job = links[-1]
    if job.turn_token == token:
        return part.turn(job)
    asked_before = job.record.cancel_requested
    if queued and part.leased_tasks(job) and not asked_before:
        return Refused(Refusal.HELD)
    leased: list[Task] = []
    for link in links:
        noted = history if link.id == job_id else below
        leased += _ask_for_end(part, link, noted, grace_ms, is_last=link is job, overdue=overdue and link.id == job_id)
    if not asked_before and not job.shielded:
        stop_children(part, job)
        if not part.leased_tasks(job) and not job.turn_token and not job.children:
            job.need = 0
            return part.lease_turn(job, token)
    return tuple((task.id, task.worker) for task in leased if task.worker)


def _ask_for_end(
    part: Partition, link: Job, noted: str, grace_ms: int, *, is_last: bool, overdue: bool
) -> Sequence[Task]:
    """Its tasks that workers have; of a job above the last one those that it waits for now. They get a grace."""
    if link.record.pause is not None:
        let_go(part, link)
    if link.shielded:
        return ()
    asked_before = link.record.cancel_requested
    if not asked_before:
        passed = link.record.deadline_passed or overdue
        link.record = replace(link.record, cancel_requested=True, deadline_passed=passed)
        part.note(link, noted)
        part.changed(link)
    leased = [task for task in part.leased_tasks(link) if is_last or (task.wave == link.record.wave and task.worker)]
    if leased and not asked_before:
        part.timers[GraceEnd(link.id)] = part.now() + grace_ms
    return leased
