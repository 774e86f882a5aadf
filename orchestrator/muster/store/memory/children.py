"""Children in the model: how they are made, how their ends arrive, and how they are asked to end."""

from collections.abc import Callable

from muster.core.ids import JobId
from muster.core.limits import TURN_LEASE_MS
from muster.store.base import NewJob, Turn
from muster.store.child_messages import HoldChild, dump_start
from muster.store.codec import dump
from muster.store.memory.holding import hold_all, let_go_all
from muster.store.memory.model import GraceEnd, Job, Outgoing
from muster.store.memory.partition import Partition

MakeJob = Callable[[Partition, NewJob, str, int], Job]


def start_spread(part: Partition, job: Job, wave: int, child: NewJob) -> None:
    part.send_soon(f"{child.id}.start", Outgoing(dump_start(child), parent=(job.id, wave)))


def stop_child(part: Partition, job: Job, child: JobId) -> None:
    """Ask for its end by a message. One whose start is still under way, as far as is known, is made as cancelled."""
    start = part.outbox.get(f"{child}.start")
    if start is None:
        body = dump({"k": "cancel", "c": child, "p": f"{job.id}|{job.record.wave}"})
        part.send_soon(f"{child}.cancel", Outgoing(body))
        return
    start.withdrawn = True
    start.tries += 1
    part.send_later(f"{child}.start", 0)


def stop_children(part: Partition, job: Job) -> None:
    for child in job.children:
        stop_child(part, job, child)


def take_end(part: Partition, parent: JobId, wave: int, child: JobId, item: str) -> bool:
    """A child's end comes in. Whether it was waited for."""
    job = part.job(parent)
    if job is None or job.is_final or job.record.wave != wave or child not in job.children:
        return False
    job.mailbox.append(item)
    del job.children[child]
    working = GraceEnd(job.id) in part.timers and bool(part.leased_tasks(job))
    if not (job.record.cancel_requested and (job.children or working)):
        part.make_due(job)
    return True


def deliver_end(part: Partition, job: Job, item: str) -> None:
    """Tell the job that waits for this one, if it still does."""
    parent = job.record.parent
    if parent is None:
        return
    if parent.spread:
        body = b'{"k":"end","c":"%b","p":"%b","i":%b}' % (
            job.id.encode(), f"{parent.id}|{parent.wave}".encode(), item.encode()
        )  # fmt: skip
        part.send_soon(f"{job.id}.end", Outgoing(body))
    else:
        take_end(part, parent.id, parent.wave, job.id, item)


def is_awaited(part: Partition, outgoing: Outgoing, child: JobId) -> bool:
    """Whether a child's start is still to be delivered."""
    if outgoing.parent is None or outgoing.withdrawn:
        return True
    parent, wave = outgoing.parent
    job = part.job(parent)
    return job is not None and not job.is_final and job.record.wave == wave and child in job.children


def is_put_off(part: Partition, outgoing: Outgoing) -> bool:
    """A start waits while its sender is paused."""
    job = None if outgoing.parent is None or outgoing.withdrawn else part.job(outgoing.parent[0])
    return job is not None and job.record.pause is not None


def chain(part: Partition, job: Job) -> list[Job]:
    """The job, its child, its child's child and so on, while each has one that lives in this partition."""
    found = [job]
    while (below := _only_child(part, found[-1])) is not None and not below.is_final:
        found.append(below)
    return found


def _only_child(part: Partition, job: Job) -> Job | None:
    if len(job.children) != 1:
        return None
    ((child, is_spread),) = job.children.items()
    return None if is_spread else part.job(child)


class MemoryChildren:
    def __init__(self, partition_with: Callable[[JobId], Partition | None], make_job: MakeJob) -> None:
        self._partition_with = partition_with
        self._make_job = make_job

    async def begin(self, job: NewJob, token: str) -> Turn | None:
        part = self._partition_with(job.id)
        assert part is not None, "its id was drawn for this deployment"
        known = part.job(job.id)
        if known is not None and known.turn_token != token:
            return None
        if known is None:
            known = self._make_job(part, job, token, part.now() + TURN_LEASE_MS)
            part.announce_to_tenant(known, 0)
        return Turn(token, job.record(known.record.created_at), ())

    async def ended(self, parent: JobId, wave: int, child: JobId, item: str) -> bool:
        part = self._partition_with(parent)
        return part is not None and take_end(part, parent, wave, child, item)

    async def hold(self, message: HoldChild, history: str) -> bool:
        part = self._partition_with(message.child)
        job = None if part is None else part.job(message.child)
        if part is None or job is None or job.is_final:
            return False
        if message.count > job.hold_heard:
            job.hold_heard = message.count
            if message.words is None:
                let_go_all(part, job, message.above, history)
            else:
                hold_all(part, job, message.above, message.words, (history, history))
        return True

    async def unsent(self, parent: JobId, child: JobId) -> int | None:
        part = self._partition_with(parent)
        found = None if part is None else part.outbox.get(f"{child}.start")
        return None if found is None else found.tries
