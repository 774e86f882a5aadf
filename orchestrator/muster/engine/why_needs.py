"""Why a ready task that asks more than a type is not fetched: what is lacking, whom it waits for, who is slowed."""

from collections.abc import Sequence
from typing import Final

from muster.core.ids import UnixMs
from muster.core.json import JsonObject, JsonValue
from muster.core.matching import Requirement, meets, unmet
from muster.core.reputation import delay_ms
from muster.engine.reasons import Code, Facts, Reason, span
from muster.engine.views import WorkerView
from muster.store.standing import StandingTask

LACKS_SHOWN: Final = 10


def fitting(requirement: Requirement | None, workers: Sequence[WorkerView]) -> list[WorkerView]:
    return [worker for worker in workers if requirement is None or meets(requirement, worker.offer)]


def needs_unmet(
    what: str, requirement: Requirement, offering: Sequence[WorkerView], since: UnixMs | None, details: JsonObject
) -> Reason:
    """Nobody of those that offer the type has what is needed; the best of them, and what it lacks."""
    best = min(offering, key=lambda worker: (len(unmet(requirement, worker.offer)), worker.worker_id))
    lacks = [lack.text for lack in unmet(requirement, best.offer)][:LACKS_SHOWN]
    text = f"none of the {len(offering)} workers that offer it has what {what} needs; the best is {best.worker_id!r}: "
    details = {
        **details,
        "needs": [[subject, op, list[JsonValue](values)] for subject, op, values in requirement.rules],
        "worker": best.worker_id,
        "lacks": list[JsonValue](lacks),
    }
    return Reason(Code.NEEDS_UNMET, text + "; ".join(lacks), since, details=details)


def preferred(
    what: str,
    facts: Facts,
    tasks: Sequence[StandingTask],
    workers: Sequence[WorkerView],
    details: JsonObject,
) -> Reason:
    """It waits for whom it prefers, and after that for anybody."""
    now = facts.standing.now
    until = min((task.prefers_until for task in tasks if task.prefers_until is not None), default=now)
    names = sorted(worker.worker_id for worker in workers)[:LACKS_SHOWN]
    busy = [worker for worker in workers if not facts.free_at(worker, tasks[0].type)]
    who = f"{', '.join(names)}" if names else "a worker that is not there"
    state = "busy" if names and len(busy) == len(workers) else "free" if names else "gone"
    text = f"{what} prefers {who}, which is {state}; in {span(until - now)} anybody may take it who can"
    return Reason(
        Code.PREFERRED_WORKER, text, until=until, details={**details, "preferred": list[JsonValue](names), "is": state}
    )


def slowed(
    what: str, kind: str, workers: Sequence[WorkerView], since: UnixMs | None, details: JsonObject
) -> Reason | None:
    """All who may take it are slowed: they get one task at a time."""
    pauses = {worker.worker_id: worker.slowed.get(kind) for worker in workers}
    if not pauses or not all(pauses.values()):
        return None
    told = {name: delay_ms(int(record[0])) for name, record in pauses.items() if record}
    text = (
        f"{what} could be taken by {len(told)} workers, and all of them are slowed because they fail quickly where "
        f"others do not: the next one gets a task in up to {span(min(told.values()))}"
    )
    return Reason(Code.WORKERS_SLOWED, text, since, details={**details, "delays_ms": dict[str, JsonValue](told)})
