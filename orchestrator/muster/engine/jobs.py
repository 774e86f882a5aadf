"""What clients do with jobs. Each verb is a short story over the store and the turns."""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import orjson

from muster.blueprint.definition import AnyBlueprint
from muster.blueprint.problems import InputInvalid
from muster.blueprint.registry import Registry
from muster.core import events as ev
from muster.core.ids import JobId, is_job_id, new_job_id
from muster.core.record import Context, JobRecord, Submission
from muster.core.status import JobStatus, are_final
from muster.engine.admission import admission_of, limit_reached, meeting_point, partition_for
from muster.engine.background import Background
from muster.engine.cancelling import Cancelling
from muster.engine.catalog import checked_tags, read_cursor, write_cursor
from muster.engine.files import Files
from muster.engine.history import blob, history_event
from muster.engine.nonces import nonce
from muster.engine.settings import EngineSettings
from muster.engine.turns import Turns
from muster.engine.views import HistoryEvent, JobOrder, JobPage, Submitted
from muster.engine.watchers import Watchers
from muster.engine.webhooks import UrlRefused, check_url
from muster.errors import ErrorCode, MusterError
from muster.observe.metrics import Metrics
from muster.store.admission import Limited, PutOff, Taken
from muster.store.base import Existing, NewJob, Refusal, Store, Turn

SETTLE_S: Final = 0.1
"""An answer waits so long for the turn it caused, so that the caller finds the job moved on."""
PAGE_SCAN_MAX: Final = 1_000
"""Jobs a filtered listing reads for one page before it returns what it has."""


class Jobs:
    def __init__(
        self,
        store: Store,
        blueprints: Registry,
        turns: Turns,
        watchers: Watchers,
        cancelling: Cancelling,
        background: Background,
        metrics: Metrics,
        settings: EngineSettings,
        files: Files,
        hint: Callable[[JobId, int], None],
    ) -> None:
        self._store = store
        self._blueprints = blueprints
        self._turns = turns
        self._watchers = watchers
        self._cancelling = cancelling
        self._background = background
        self._metrics = metrics
        self._settings = settings
        self._files = files
        self._hint = hint
        self.draining = False

    async def submit(self, order: JobOrder) -> Submitted:
        """Store a new job. It exists when this returns.

        Raises:
            MusterError: as `check`; IDEMPOTENCY_CONFLICT, UNIQUE_CONFLICT, LIMIT_REACHED.
        """
        await self.check(order)
        job = self._job_id(order)
        new = self.new_job(order, job)
        with self._watchers.watch(job) as watch:
            due = await self._turns.begin(new, nonce())
            if isinstance(due, Existing):
                return await self._existing(order, due)
            if isinstance(due, Limited | Taken):
                return await self._not_made(order, due)
            if isinstance(due, PutOff):
                return await self._put_off(order, due)
            if order.unique is not None and order.unique.on_conflict == "replace":
                self._hint(job, 0)  # the tick has the job that it replaces, if any
            self._metrics.jobs.labels(new.blueprint).inc()
            if new.deadline_ms is not None:
                self._hint(job, new.deadline_ms)
            if due is not None:
                await self._background.settle(self._turns.run(due), SETTLE_S)
            if not order.wait_ms:
                return Submitted(job, created=True)
            return Submitted(job, created=True, record=await self._watchers.end(job, watch, order.wait_ms))

    def new_job(self, order: JobOrder, job: JobId) -> NewJob:
        """The job of an order that was checked, under this id. Raises: MusterError INVALID_INPUT, INVALID_BODY."""
        blueprint = self._blueprints.for_job(order.blueprint, job)
        assert blueprint is not None, "it was checked"
        if blueprint is not self._blueprints.get(order.blueprint):
            _check_input(order, blueprint)
        return NewJob(
            id=job,
            tenant=order.tenant,
            blueprint=blueprint.name,
            blueprint_version=blueprint.version,
            state=blueprint.graph.start,
            submission=Submission(order.initial_data, order.webhook_url, order.trace, checked_tags(order.tags)),
            context=Context(),
            history=blob(ev.event(ev.JOB_CREATED, state=blueprint.graph.start)) if self._settings.history else "",
            idempotency_key=order.idempotency_key or "",
            idempotency_ttl_ms=order.key_kept_ms,
            fingerprint=fingerprint_of(order) if order.idempotency_key else "",
            watcher=self._settings.replica if order.wait_ms else "",
            admission=admission_of(order),
            deadline_ms=blueprint.deadline_ms if order.deadline_ms is None else order.deadline_ms,
        )

    async def check(self, order: JobOrder) -> None:
        """Refuse what `submit` would refuse before it writes anything.

        Raises:
            MusterError: BLUEPRINT_NOT_FOUND, INVALID_INPUT, INVALID_BODY, WEBHOOK_URL_REFUSED, FILE_NOT_FOUND,
                SHUTTING_DOWN.
        """
        blueprint = self._blueprints.get(order.blueprint)
        if blueprint is None:
            raise MusterError(ErrorCode.BLUEPRINT_NOT_FOUND, f"there is no blueprint {order.blueprint!r}")
        if self.draining:
            raise MusterError(ErrorCode.SHUTTING_DOWN, "this server is shutting down", retry_after_s=1)
        checked_tags(order.tags)
        if order.webhook_url is not None:
            try:
                check_url(order.webhook_url, allow_private=self._settings.webhooks_allow_private)
            except UrlRefused as error:
                raise MusterError(ErrorCode.WEBHOOK_URL_REFUSED, f"webhook_url: {error}") from error
        await self._files.check_inputs(order.tenant, _files_named(order, blueprint))

    def _job_id(self, order: JobOrder) -> JobId:
        """Jobs that must know of each other meet in one partition; the others are spread."""
        meeting = meeting_point(order)
        if meeting is None:
            partition = secrets.randbelow(self._settings.partitions)
        else:
            partition = partition_for(meeting, self._settings.partitions)
        return new_job_id(self._settings.now(), partition, secrets.randbits(62))

    async def _not_made(self, order: JobOrder, why: Limited | Taken) -> Submitted:
        if isinstance(why, Limited):
            assert order.quota is not None
            raise limit_reached(order.quota, why)
        assert order.unique is not None
        if order.unique.on_conflict == "refuse":
            raise MusterError(
                ErrorCode.UNIQUE_CONFLICT,
                f"job {why.job} has the unique key {order.unique.key!r} of blueprint {order.blueprint!r}",
                hint="Wait for its end, cancel it, or ask for on_conflict: return or replace.",
                extra={"job_id": why.job},
            )
        record = await self._watchers.wait(why.job, None, order.wait_ms) if order.wait_ms else None
        return Submitted(why.job, created=False, record=record)

    async def _put_off(self, order: JobOrder, put_off: PutOff) -> Submitted:
        assert order.debounce is not None
        self._hint(put_off.job, order.debounce.delay_ms)
        if put_off.is_new:
            self._metrics.jobs.labels(order.blueprint).inc()
        record = await self._watchers.wait(put_off.job, None, order.wait_ms) if order.wait_ms else None
        return Submitted(put_off.job, created=put_off.is_new, record=record)

    async def _existing(self, order: JobOrder, existing: Existing) -> Submitted:
        if existing.fingerprint != fingerprint_of(order):
            raise MusterError(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                f"Idempotency-Key {order.idempotency_key!r} was used for another request, job {existing.id}",
                hint="use a new key for a new job; keys are kept for 24 hours",
            )
        record = None
        if order.wait_ms:
            record = await self._watchers.wait(existing.id, None, order.wait_ms)
        return Submitted(existing.id, created=False, record=record)

    async def job(self, tenant: str, job_id: str) -> JobRecord:
        """Raises: MusterError JOB_NOT_FOUND for unknown ids and for those of other tenants alike."""
        record = await self._store.read(JobId(job_id)) if is_job_id(job_id) else None
        if record is None or record.tenant != tenant:
            raise job_not_found()
        return record

    async def wait(self, tenant: str, job_id: str, *, timeout_ms: int, since: int | None) -> JobRecord:
        """The job when it is final or its revision is above *since*, or as it is after *timeout_ms*.

        Raises:
            MusterError: JOB_NOT_FOUND, also for one that was deleted meanwhile.
        """
        record = await self.job(tenant, job_id)
        if record.status.is_final or (since is not None and record.revision > since):
            return record
        changed = await self._watchers.wait(record.id, since, timeout_ms)
        if changed is None:
            raise job_not_found()
        return changed

    async def jobs(
        self,
        tenant: str,
        *,
        limit: int,
        cursor: str | None,
        statuses: frozenset[JobStatus] | None,
        blueprint: str | None,
    ) -> JobPage:
        """Newest first. A page may be short before the end: the cursor decides."""
        before = read_cursor(cursor)
        found: list[JobRecord] = []
        for _ in range(PAGE_SCAN_MAX // max(limit, 1) + 1):
            page = await self._store.jobs(tenant, before, limit, final=are_final(statuses))
            for record, place in zip(page.items, page.places, strict=True):
                if (statuses is None or record.status in statuses) and blueprint in (None, record.blueprint):
                    found.append(record)
                if len(found) >= limit:
                    return JobPage(tuple(found), write_cursor(place))
            before = page.last
            if before is None:
                break
        return JobPage(tuple(found), write_cursor(before))

    async def history(self, tenant: str, job_id: str) -> list[HistoryEvent]:
        record = await self.job(tenant, job_id)
        if not self._settings.history:
            return []
        return [history_event(record.id, i, raw) for i, raw in enumerate(await self._store.history(record.id))]

    async def cancel(self, tenant: str, job_id: str, *, queued: bool = False) -> bool:
        """Ask for a job's end, and first for that of the job it waits for. With *queued* only if no worker has a task.

        True when a live socket took the command; the stored flag is set in any case.

        Raises:
            MusterError: JOB_NOT_FOUND, JOB_FINAL, JOB_RUNNING.
        """
        record = await self.job(tenant, job_id)
        told = ev.event(ev.CANCEL_REQUESTED, state=record.state)
        reply = await self._cancelling.ask(record.id, told, queued=queued)
        if isinstance(reply, Refusal):
            raise _not_cancelled(record, reply)
        if isinstance(reply, Turn):
            await self._background.settle(self._turns.run(reply), SETTLE_S)
            return False
        return reply


def fingerprint_of(order: JobOrder) -> str:
    """The same for the same wish."""
    asked = [order.blueprint, order.initial_data, order.webhook_url, *([order.tags] if order.tags else [])]
    if order.deadline_ms is not None:
        asked.append({"deadline_ms": order.deadline_ms})
    body = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def _files_named(order: JobOrder, blueprint: AnyBlueprint) -> tuple[str, ...]:
    _check_input(order, blueprint)
    with _input_refused(order):
        return blueprint.files_named(order.initial_data)


def _check_input(order: JobOrder, blueprint: AnyBlueprint) -> None:
    with _input_refused(order):
        blueprint.validate_input(order.initial_data)


@contextmanager
def _input_refused(order: JobOrder) -> Iterator[None]:
    try:
        yield
    except InputInvalid as error:
        raise MusterError(
            ErrorCode.INVALID_INPUT,
            f"initial_data does not fit blueprint {order.blueprint!r}: {error}",
            extra={"errors": error.errors},
        ) from error


def job_not_found() -> MusterError:
    return MusterError(ErrorCode.JOB_NOT_FOUND, "Job not found")


def _not_cancelled(record: JobRecord, why: Refusal) -> MusterError:
    if why is Refusal.FINAL:
        return _job_final(record)
    if why is Refusal.HELD:
        return MusterError(
            ErrorCode.JOB_RUNNING,
            f"job {record.id} is running; only queued jobs are canceled here",
            hint=f"POST /api/v1/jobs/{record.id}/cancel stops a running job.",
        )
    return job_not_found()


def _job_final(record: JobRecord) -> MusterError:
    return MusterError(ErrorCode.JOB_FINAL, f"job {record.id} is already {record.status}")
