"""Open questions in the model."""

from collections.abc import Sequence
from dataclasses import replace

from muster.core.ids import JobId, UnixMs, partition_of
from muster.core.record import JobRecord
from muster.store.approval_codec import dump_tally, load_tally, stored_tally
from muster.store.approvals import QuestionChange
from muster.store.base import Position, Refusal, Refused, Turn
from muster.store.memory.index import jobs_of
from muster.store.memory.model import PAUSED, Escalation, Job, Outgoing
from muster.store.memory.partition import Partition


def open_question(part: Partition, job: Job, escalate_ms: int | None) -> None:
    job.asked_at, job.changed_at = part.now(), []
    if escalate_ms is not None:
        part.timers[Escalation(job.id, job.record.wave)] = part.now() + escalate_ms


def close_question(part: Partition, job: Job) -> None:
    """Before the wave of the job changes."""
    part.timers.pop(Escalation(job.id, job.record.wave), None)
    job.asked_at = None


def change(part: Partition, change: QuestionChange) -> Turn | Refused | None:
    job = part.job(change.job)
    if job is None:
        return Refused(Refusal.GONE)
    if job.signalled_by == change.token:
        if not change.item:
            return None
        return part.turn(job) if job.turn_token == change.token else Refused(Refusal.TAKEN)
    decided = job.turn_token not in {"", PAUSED} or job.need <= 0
    is_over = job.is_final or job.record.wave != change.wave or job.record.cancel_requested
    if is_over or decided or job.asked_at is None:
        return Refused(Refusal.CONFLICT)
    if job.record.tally.changes != change.tally.changes - 1:
        return Refused(Refusal.CHANGED)
    _write(part, job, change)
    if not change.item:
        return None
    job.need = 0
    job.mailbox.append(change.item)
    if job.record.pause is not None:
        return Refused(Refusal.TAKEN)  # it counts when the job is resumed
    return part.lease_turn(job, change.token)


def _write(part: Partition, job: Job, change: QuestionChange) -> None:
    job.changed_at.append(UnixMs(part.now()))
    stored = stored_tally(change.wave, job.changed_at, dump_tally(change.tally))
    job.record = replace(job.record, tally=load_tally(stored, change.wave))
    job.signalled_by = change.token
    part.note(job, change.history)
    if change.escalates:
        timer = Escalation(job.id, change.wave)
        part.timers.pop(timer, None)
        if change.next_ms is not None:
            part.timers[timer] = part.now() + change.next_ms
    for message in change.messages:
        part.outbox[message.id] = Outgoing(message.body)
        part.send_later(message.id, 0)
    part.changed(job)


class MemoryApprovals:
    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._partitions = partitions

    async def change(self, wanted: QuestionChange) -> Turn | Refused | None:
        index = partition_of(wanted.job)
        if index >= len(self._partitions):
            return Refused(Refusal.GONE)
        return change(self._partitions[index], wanted)

    async def asking(
        self, tenant: str, before: Position | None, limit: int
    ) -> tuple[tuple[JobRecord, ...], Position | None]:
        found: dict[Position, JobRecord] = {
            Position(UnixMs(job.asked_at), JobId(job.id)): job.record
            for _, job in jobs_of(self._partitions, tenant)
            if job.asked_at is not None
        }
        places = sorted((place for place in found if before is None or place < before), reverse=True)[:limit]
        return tuple(found[place] for place in places), places[-1] if len(places) >= limit else None
