"""Builders: a job in any status, and what its mailbox may hold."""

from dataclasses import replace
from typing import Any

from muster.core.ids import JobId, UnixMs
from muster.core.record import Context, JobRecord, Submission, TaskItem, Wait
from muster.core.status import JobStatus

NOW = UnixMs(1_760_000_000_000)
JOB = JobId("018f0000-0000-7005-8000-000000000001")


def pending(**changes: Any) -> JobRecord:
    """A job as submitted."""
    record = JobRecord(
        id=JOB,
        tenant="acme",
        blueprint="orders",
        blueprint_version="1:0f3a9c2e",
        status=JobStatus.PENDING,
        state="check",
        version=0,
        revision=0,
        wave=0,
        next_task=0,
        submission=Submission({"id": "o-1"}),
        context=Context(),
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(record, **changes)


def waiting(wait: Wait, **changes: Any) -> JobRecord:
    """A job after its first commit, which waits."""
    status = {
        "task": JobStatus.WAITING_FOR_WORKER,
        "tasks": JobStatus.WAITING_FOR_PARALLEL_TASKS,
        "human": JobStatus.WAITING_FOR_HUMAN,
        "timer": JobStatus.WAITING,
        "race": JobStatus.WAITING,
        "child": JobStatus.WAITING,
        "signal": JobStatus.WAITING,
    }[wait.kind]
    fields: dict[str, Any] = {
        "status": status,
        "version": 1,
        "revision": 1,
        "wave": 1,
        "next_task": wait.first + wait.count,
        "context": Context(wait=wait, transitions=1),
        **changes,
    }
    return pending(**fields)


def for_task(**edges: str) -> JobRecord:
    return waiting(Wait("task", {"success": "packing", **edges}, first=0, count=1))


def for_tasks(count: int, **edges: str) -> JobRecord:
    return waiting(Wait("tasks", {"success": "shipped", **edges}, first=0, count=count))


def for_person(**edges: str) -> JobRecord:
    return waiting(Wait("human", {"approved": "ship", **edges}, message="Ship?"))


def for_time() -> JobRecord:
    return waiting(Wait("timer", {}, target="later", argument="tea"))


CHILD = JobId("018f0000-0000-7005-8000-000000000002")


def for_child(**edges: str) -> JobRecord:
    return waiting(Wait("child", {"success": "shipped", **edges}, child=CHILD))


def for_signal(**changes: Any) -> JobRecord:
    wait = Wait("signal", {"success": "paid"}, signal="payment", deadline_at=UnixMs(NOW + 1))
    return waiting(replace(wait, **changes))


def ended(number: int = 0, status: str = "success", **fields: Any) -> TaskItem:
    return TaskItem(number, status, worker="w1", attempt=1, **fields)
