"""A job that is over, started again in one of its states: itself, or as a new job that is linked to it."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.problems import InputInvalid
from muster.blueprint.registry import Registry
from muster.core import events as ev
from muster.core.ids import JobId, new_job_id, partition_of
from muster.core.json import JsonValue
from muster.core.record import Context, JobRecord
from muster.core.status import JobStatus
from muster.core.tags import BATCH
from muster.engine.background import Background
from muster.engine.history import blob
from muster.engine.jobs import SETTLE_S, Jobs, job_not_found
from muster.engine.settings import EngineSettings
from muster.engine.turns import Turns
from muster.errors import ErrorCode, MusterError
from muster.store.base import NewJob, Refusal, Refused, Store, Turn
from muster.store.entered import Entered
from muster.store.operations import Retry


@dataclass(frozen=True, slots=True)
class Given:
    """A value that was given, which may be None."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class RetryOrder:
    """How to start again. What is not given is as it was recorded when the state was entered last.

    `state`: the one that was entered last if not given. `newest`: on the newest version of the blueprint, not the
    job's own. `key`: the same one makes the same new job.
    """

    state: str | None = None
    argument: Given | None = None
    data: Given | None = None
    new: bool = False
    newest: bool = False
    by: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    version: str
    state: str
    context: Context


class Retrying:
    def __init__(
        self,
        store: Store,
        blueprints: Registry,
        jobs: Jobs,
        turns: Turns,
        background: Background,
        settings: EngineSettings,
    ) -> None:
        self._store = store
        self._blueprints = blueprints
        self._jobs = jobs
        self._turns = turns
        self._background = background
        self._settings = settings

    async def entered(self, tenant: str, job_id: str) -> tuple[JobRecord, Mapping[str, Entered]]:
        """The job, and what its states were entered with last, in that order.

        Raises:
            MusterError: JOB_NOT_FOUND.
        """
        record = await self._jobs.job(tenant, job_id)
        return record, await self._store.operations.entered(record.id)

    async def retry(self, tenant: str, job_id: str, order: RetryOrder) -> JobRecord:
        """Start a job that is over again, in place or as a new one. Nothing is written where anything does not fit.

        Raises:
            MusterError: JOB_NOT_FOUND, JOB_NOT_OVER, JOB_FINISHED (in place), BLUEPRINT_NOT_FOUND (not here, in the
                job's version), UNKNOWN_STATE, INVALID_ARGUMENT.
        """
        record, entered = await self.entered(tenant, job_id)
        if not record.status.is_final:
            raise _not_over(record)
        if record.status is JobStatus.FINISHED and not order.new:
            raise MusterError(
                ErrorCode.JOB_FINISHED,
                f"job {record.id} has finished, and its result was told",
                hint='{"new": true} starts it again as a new job',
            )
        entry = self._entry(record, entered, order)
        turn, job = await (self._as_new(record, entry, order) if order.new else self._in_place(record, entry, order))
        if turn is not None:
            await self._background.settle(self._turns.run(turn), SETTLE_S)
        return await self._jobs.job(tenant, job)

    def _entry(self, record: JobRecord, entered: Mapping[str, Entered], order: RetryOrder) -> _Entry:
        blueprint = self._blueprint(record, newest=order.newest)
        state = order.state or _last_state(record, blueprint, entered)
        if state not in blueprint.states:
            raise MusterError(
                ErrorCode.UNKNOWN_STATE,
                f"blueprint {blueprint.name!r} {blueprint.version} has no state {state[:200]!r}",
                extra={"allowed": list(blueprint.states)},
            )
        known = entered.get(state)
        if order.argument is None and known is None and blueprint.shape(state).takes_argument:
            raise MusterError(
                ErrorCode.INVALID_ARGUMENT,
                f"state {state!r} was not entered by this job, so no argument of it is recorded",
                hint='give one: {"argument": …}',
            )
        argument = order.argument.value if order.argument is not None else None if known is None else known.argument
        data = order.data.value if order.data is not None else record.context.data if known is None else known.data
        if order.argument is not None or order.data is not None or order.newest:
            _check(
                blueprint, state, argument if blueprint.shape(state).takes_argument or order.argument else None, data
            )
        context = Context(
            argument=argument,
            data=data,
            results=record.context.results,
            last_worker=record.context.last_worker,
            undo=() if order.new else record.context.undo,  # what a job did is its own to undo
        )
        return _Entry(blueprint.version, state, context)

    def _blueprint(self, record: JobRecord, *, newest: bool) -> AnyBlueprint:
        name, version = record.blueprint, record.blueprint_version
        found = self._blueprints.get(name) if newest else self._blueprints.find(name, version)
        if found is None:
            raise MusterError(
                ErrorCode.BLUEPRINT_NOT_FOUND,
                f"this server does not have blueprint {record.blueprint!r} in version {record.blueprint_version}",
                hint='{"version": "newest"} starts it again on the newest version',
            )
        return found

    async def _in_place(self, record: JobRecord, entry: _Entry, order: RetryOrder) -> tuple[Turn | None, JobId]:
        told = self._entry_event(order, entry, from_job=None)
        retry = Retry(record.id, record.version, secrets.token_hex(8), entry.version, entry.state, entry.context, told)
        reply = await self._store.operations.retry(retry)
        if isinstance(reply, Refused):
            raise job_not_found() if reply.why is Refusal.GONE else _not_over(record)
        return reply, record.id

    async def _as_new(self, record: JobRecord, entry: _Entry, order: RetryOrder) -> tuple[Turn | None, JobId]:
        tags = tuple(tag for tag in record.submission.tags if not tag.startswith(BATCH))
        new = NewJob(
            id=self._new_id(record, order.key),
            tenant=record.tenant,
            blueprint=record.blueprint,
            blueprint_version=entry.version,
            state=entry.state,
            submission=replace(record.submission, tags=tags, retried_from=record.id),
            context=entry.context,
            history=self._entry_event(order, entry, from_job=record.id),
        )
        reply = await self._store.operations.rerun(record.id, new, secrets.token_hex(8))
        if isinstance(reply, Refused):
            raise job_not_found()
        return reply, new.id

    def _new_id(self, record: JobRecord, key: str) -> JobId:
        """In the partition of the old one. A request that is sent again with its key means the same job."""
        if not key:
            return new_job_id(self._settings.now(), partition_of(record.id), secrets.randbits(62))
        digest = hashlib.blake2b(f"{record.id}\0{key}".encode(), digest_size=8).digest()
        return new_job_id(record.updated_at, partition_of(record.id), int.from_bytes(digest) >> 2)

    def _entry_event(self, order: RetryOrder, entry: _Entry, from_job: JobId | None) -> str:
        if not self._settings.history:
            return ""
        details: dict[str, Any] = {"by": order.by, "edited": order.argument is not None or order.data is not None}
        if from_job is not None:
            details["retried_from"] = from_job
        return blob(ev.event(ev.JOB_RETRIED, state=entry.state, details=details))


def _last_state(record: JobRecord, blueprint: AnyBlueprint, entered: Mapping[str, Entered]) -> str:
    known = [state for state in entered if state in blueprint.states]
    if known:
        return known[-1]
    return record.state if record.state in blueprint.states else blueprint.graph.start


def _check(blueprint: AnyBlueprint, state: str, argument: JsonValue, data: JsonValue) -> None:
    try:
        blueprint.validate_entry(state, argument, data)
    except InputInvalid as error:
        raise MusterError(
            ErrorCode.INVALID_ARGUMENT,
            f"state {state!r} of blueprint {blueprint.name!r} cannot be entered with that: {error}",
            extra={"errors": error.errors},
        ) from error


def _not_over(record: JobRecord) -> MusterError:
    return MusterError(
        ErrorCode.JOB_NOT_OVER,
        f"job {record.id} is not over, so it cannot be started again",
        hint=f"POST /api/v1/jobs/{record.id}/cancel ends it",
    )
