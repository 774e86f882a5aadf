"""Arguments of the scripts that move a job on, in the order in which they read them."""

import time
from collections.abc import Sequence
from typing import Final

from muster.core.ids import JobId
from muster.core.limits import CONTEXT_BYTES_MAX, TURN_LEASE_MS
from muster.core.status import JobStatus
from muster.store import codec
from muster.store.admission import Admission
from muster.store.base import Claim, Commit, Completion, ContextTooLarge, NewJob, NewTask, Seat
from muster.store.child_messages import dump_start
from muster.store.keys import short_hash
from muster.store.payloads import Arg, Value
from muster.store.redis_index import INDEX_DAY_MS

BAND_OF_PRIORITY_0: Final = 32
NO_LIMITS: Final = (None, None, None)


def job_args(job: NewJob) -> list[Arg]:
    """What `read_job` in scripts/_commit.lua takes."""
    return [
        job.id, job.tenant, short_hash(job.tenant), job.blueprint, job.blueprint_version, job.state,
        Value(job.id, codec.dump_submission(job.submission)), Value(job.id, codec.dump_context(job.context)),
        JobStatus.PENDING,
        codec.dump_parent(job.parent), job.history, ",".join(short_hash(tag) for tag in job.submission.tags),
        job.meter, "" if job.deadline_ms is None else job.deadline_ms,
    ]  # fmt: skip


def admission_args(admission: Admission | None) -> list[Arg]:
    """What submit takes of it."""
    if admission is None:
        return [0]
    a = admission
    return [
        1, a.client, a.live_max, a.queued_max, a.interval_us, a.burst, a.unique, a.unique_ms, int(a.replaces),
        a.debounce, a.delay_ms, a.most_ms,
    ]  # fmt: skip


def commit_args(c: Commit, replica: str) -> list[Arg]:
    final = c.status.is_final
    context = codec.dump_context(c.context)
    if len(context) > CONTEXT_BYTES_MAX:
        raise ContextTooLarge(f"{len(context)} bytes, at most {CONTEXT_BYTES_MAX}")
    result = Value(c.job, codec.dump(c.result)) if final else ""
    day = int(time.time() * 1000) // INDEX_DAY_MS
    args: list[Arg] = [
        c.job, c.version, c.token, TURN_LEASE_MS, c.next_token, int(final), c.status, c.state, Value(c.job, context),
        c.need, policy_of(c), c.wave, c.next_task, "" if c.current_task is None else c.current_task,
        int(c.started), int(c.clear_cancel), replica, result, c.error or "",
        "" if c.details is None else codec.dump(c.details), c.retention_ms, day, c.retention_ms + INDEX_DAY_MS,
        "" if c.deadline_ms is None else c.deadline_ms, len(c.history), *c.history, *task_args(c.job, c.tasks),
        len(c.messages),
    ]  # fmt: skip
    for message in c.messages:
        args += (message.id, message.body)
    args.append(len(c.drops))
    for low, high in c.drops:
        args += (low, high)
    args += [
        ",".join(short_hash(name) for name in c.signal.split(",")) if c.signal else "",
        c.parting,  # of the parent's mailbox: it may be there longer than this job, so it is no value of it
        _question_arg(c),
        len(c.children),
    ]
    for child in c.children:
        spread = child.parent is not None and child.parent.spread
        args += ("s", child.id, dump_start(child)) if spread else ("j", *job_args(child))
    args += (c.fingerprint, len(c.entered))
    for state, blob in c.entered.items():
        args += (state, Value(c.job, blob))
    args += [0] if c.claim is None else [1, *claim_args(c.claim)]
    return args


def policy_of(c: Commit) -> str:
    """What `after_failures` in scripts/_queue.lua goes by."""
    if c.failures_left is None:
        return "u" if c.shielded else ""
    if c.needs_successes:
        return f"k:{c.failures_left}"
    return f"t:{c.failures_left}" if c.failures_left else "ff"


def _question_arg(c: Commit) -> str | int:
    if not c.asks:
        return ""
    return "-" if c.escalate_ms is None else c.escalate_ms


def task_args(job: JobId, tasks: Sequence[NewTask]) -> list[Arg]:
    args: list[Arg] = [len(tasks)]
    for task in tasks:
        band = BAND_OF_PRIORITY_0 - task.priority
        body = Value(job, task.body)
        fallback = "" if task.fallback is None else "|".join(map(str, task.fallback))
        limits = "" if task.limits == NO_LIMITS else "|".join("" if ms is None else str(ms) for ms in task.limits)
        args += (
            task.number, task.queue_class, task.type, body, task.rules, task.timeout_ms, band, limits, fallback,
            task.flow,
        )  # fmt: skip
    return args


def completion_args(c: Completion) -> list[Arg]:
    args: list[Arg] = [
        c.job, c.number, c.worker, "" if c.attempt is None else c.attempt, c.fence or "",
        c.mode, c.delay_ms, int(c.failed), Value(c.job, c.item), c.history, c.token, TURN_LEASE_MS, c.counts,
    ]  # fmt: skip
    return args + ([0] if c.claim is None else [1, *claim_args(c.claim)])


def claim_args(claim: Claim) -> list[bytes | str | int]:
    args: list[bytes | str | int] = [
        claim.replica,
        int(claim.history),
        int(claim.register),
        len(claim.classes),
        *claim.classes,
    ]
    args.append(len(claim.seats))
    said: dict[str, int] = {}
    for number, seat in enumerate(claim.seats, 1):
        price = _price(seat, number, said) if seat.prices else seat.price
        args += (seat.worker, seat.fence, seat.lease_ms, int(seat.patient), price)
    return args


def _price(seat: Seat, number: int, said: dict[str, int]) -> str:
    """`<price>|<class>=<price>|...`; `@<seat>`: as at that seat, for a worker mostly has several."""
    text = "|".join((str(seat.price), *(f"{cls}={price}" for cls, price in seat.prices), ""))
    first = said.setdefault(text, number)
    return text if first == number else f"@{first}"
