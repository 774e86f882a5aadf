"""The reply of the script `tick` as a value."""

from collections.abc import Sequence
from typing import Any

from muster.core.ids import JobId, TaskId
from muster.store.approvals import DueEscalation
from muster.store.base import DueMessage, Tick
from muster.store.redis_batches import to_cancel_of
from muster.store.replies import ended_lease, turns_of


def tick_of(reply: Sequence[Any]) -> Tick:
    """*reply* is names and values in turns."""
    found = {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}
    dropped = found["dropped"]
    return Tick(
        next_due_ms=int(found["next_due"]) if found["next_due"] else None,
        leases=tuple(ended_lease(lease) for lease in found["leases"]),
        messages=tuple(DueMessage(m[0].decode(), m[1], int(m[2]), m[3] == b"1") for m in found["messages"]),
        turns=turns_of(found["turns"]),
        dropped=tuple(
            (TaskId(task.decode()), worker.decode()) for task, worker in zip(dropped[::2], dropped[1::2], strict=True)
        ),
        overdue=tuple(JobId(job.decode()) for job in found["overdue"]),
        escalations=tuple(DueEscalation(JobId(job.decode()), int(wave)) for job, wave in found["escalations"]),
        first=turns_of(found["first"]),
        more_first=found["more_first"] == 1,
        cancels=tuple(to_cancel_of(some) for some in found["cancels"]),
        replaced=tuple((JobId(job.decode()), tenant.decode()) for job, tenant in found["replaced"]),
    )
