"""What the model does for a step: a task's end, and the turn that it makes due, at once."""

from dataclasses import replace

from muster.core.ids import task_id
from muster.store.base import Commit, Committed, Completed, Completion, Mode, Refused, Stepped
from muster.store.memory import jobs, tasks
from muster.store.memory.model import Job
from muster.store.memory.partition import Partition


def step(part: Partition, c: Completion, decided: Commit, replica: str) -> Stepped | Completed | Refused:
    assert (c.mode, c.claim, c.token) == (Mode.DELIVER, None, decided.token)
    jobs.checked(decided.context)
    job = part.job(c.job)
    task = part.tasks.get(task_id(c.job, c.number))
    if job is not None and task is None and c.token == job.committed_by and c.token != job.turn_token:
        return _written(part, job, decided, replica, ran_ms=0)
    as_known = job is not None and _is_as_known(job, c.number, decided)
    taken = tasks.take_end(part, replace(c, claim=decided.claim))
    if job is None or not as_known or isinstance(taken, Refused) or taken.turn is None:
        part.wake_opened()
        return taken
    return _written(part, job, decided, replica, taken.ran_ms)


def _is_as_known(job: Job, number: int, decided: Commit) -> bool:
    """The job's only task, and nothing has happened since: its mailbox will hold this item alone."""
    if job.turn_token or job.record.cancel_requested:
        return False
    return (job.record.version, job.current_task, job.need) == (decided.version, number, 1)


def _written(part: Partition, job: Job, decided: Commit, replica: str, ran_ms: int) -> Stepped:
    committed = jobs.commit(part, decided, replica)
    assert isinstance(committed, Committed), "the turn was leased by the same call"
    record = job.record
    return Stepped(
        committed, record.created_at, record.started_at, record.retries, record.revision, record.cost_micros, ran_ms
    )
