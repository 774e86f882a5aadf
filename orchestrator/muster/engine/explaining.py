"""Gathering what `why` needs to know: a few bounded reads, none of which changes anything."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from muster.blueprint.registry import Registry
from muster.core import events as ev
from muster.core.ids import JobId, UnixMs, is_job_id
from muster.core.json import JsonObject
from muster.core.status import TaskStatus
from muster.engine.classes import Classes
from muster.engine.demand import Demand
from muster.engine.fleet import Fleet
from muster.engine.jobs import job_not_found
from muster.engine.limits import Limits
from muster.engine.reasons import ChildFacts, Explanation, Facts
from muster.engine.speeds import Speeds
from muster.engine.uploads import not_sent
from muster.engine.why import reasons_of
from muster.store.base import RawEvent, Store
from muster.store.keys import short_hash
from muster.store.standing import Standing

LEVELS: Final = 2
"""The job and its child; the child's child is named and not looked at."""
CHILDREN_MAX: Final = 10
"""Of a race; the others are named."""
UNKNOWN: Final = "?"


class Explaining:
    def __init__(
        self,
        store: Store,
        blueprints: Registry,
        fleet: Fleet,
        demand: Demand,
        speeds: Speeds,
        classes: Classes,
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._store = store
        self._blueprints = blueprints
        self._fleet = fleet
        self._demand = demand
        self._speeds = speeds
        self._classes = classes

    async def why(self, tenant: str, job_id: str) -> Explanation:
        """Why the job is not running now.

        Raises:
            MusterError: JOB_NOT_FOUND.
        """
        standing = await self._store.standing.of(JobId(job_id)) if is_job_id(job_id) else None
        if standing is None or standing.record.tenant != tenant:
            raise job_not_found()
        facts = await self._facts(standing, LEVELS)
        return Explanation(standing.record, standing.now, reasons_of(facts))

    async def _facts(self, standing: Standing, levels: int) -> Facts:
        record = standing.record
        wait = record.context.wait
        if record.status.is_final:
            return Facts(standing)
        tasks = await self._of_tasks(standing)
        story = await self._store.history(record.id) if _needs_history(standing) else ()
        return Facts(
            standing,
            **tasks,
            errors=_last_errors(story),
            cancel_asked_at=_cancel_asked_at(story),
            has_blueprint=self._blueprints.find(record.blueprint, record.blueprint_version) is not None,
            versions=self._blueprints.versions(record.blueprint),
            missing_uploads=() if wait is None else await not_sent(self._store.files, wait.uploads),
            kept_signals=_names(standing.signals, story),
            children=() if wait is None else await self._children(record.id, wait.children[:CHILDREN_MAX], levels - 1),
        )

    async def _children(self, parent: JobId, children: Sequence[JobId], levels: int) -> tuple[ChildFacts, ...]:
        if not levels:
            return tuple(ChildFacts(child) for child in children)
        return tuple([await self._child(parent, child, levels) for child in children])

    async def _child(self, parent: JobId, child: JobId, levels: int) -> ChildFacts:
        standing = await self._store.standing.of(child)
        if standing is not None:
            return ChildFacts(child, await self._facts(standing, levels))
        unsent = await self._store.children.unsent(parent, child)
        return ChildFacts(child, unsent=unsent, gone=unsent is None)

    async def _of_tasks(self, standing: Standing) -> dict[str, Any]:
        """The fleet, where there are tasks that could be with it."""
        if not standing.tasks:
            return {}
        ready = {task.type for task in standing.tasks if task.status is TaskStatus.READY}
        found: dict[str, Any] = {"workers": tuple(await self._fleet.workers())}
        missed = {task.cls: task.type for task in standing.tasks if task.cls != short_hash(task.type)}
        for cls in missed.keys() - self._classes.known.keys():
            await self._classes.learn(cls)
        found["requirements"] = {cls: r for cls in missed if (r := self._classes.requirement(cls)) is not None}
        if ready:
            typical = {kind: self._speeds.typical_ms(kind) for kind in ready}
            leases = await self._demand.held()
            found["held"] = Counter(held.worker for held in leases)
            found["held_of"] = Counter((held.worker, held.type) for held in leases)
            found["queued"] = await self._demand.queued()
            if standing.gates:
                found["limits"] = await self._limits.of_gates([gate.name for gate in standing.gates])
            found["durations_ms"] = {kind: ms for kind, ms in typical.items() if ms is not None}
        return found


def _needs_history(standing: Standing) -> bool:
    backing_off = any(task.status is TaskStatus.GATED for task in standing.tasks)
    return backing_off or standing.record.cancel_requested or bool(standing.signals)


def _events(story: Sequence[RawEvent], *kinds: str) -> list[tuple[UnixMs, JsonObject]]:
    events = [(raw.at, orjson.loads(raw.blob)) for raw in story]
    return [(at, event) for at, event in events if event.get("e") in kinds]


def _last_errors(story: Sequence[RawEvent]) -> Mapping[int, str]:
    errors: dict[int, str] = {}
    for _, event in _events(story, ev.TASK_RETRIED, ev.TASK_REQUEUED):
        details: Any = event.get("d") or {}
        said = [details.get("code"), details.get("message") or f"at worker {event.get('w')}"]
        errors[int(str(event.get("n", -1)))] = ": ".join(str(word) for word in said if word)
    return errors


def _cancel_asked_at(story: Sequence[RawEvent]) -> UnixMs | None:
    return next((at for at, _ in reversed(_events(story, ev.CANCEL_REQUESTED))), None)


def _names(hashes: Sequence[str], story: Sequence[RawEvent]) -> tuple[str, ...]:
    """Of kept signals: the store has only hashes, the history tells whose they are."""
    told: list[Any] = [event.get("d") for _, event in _events(story, ev.SIGNAL_RECEIVED)]
    known = {short_hash(details["name"]): str(details["name"]) for details in told if details and "name" in details}
    return tuple(known.get(name, UNKNOWN) for name in hashes)
