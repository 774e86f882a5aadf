"""One verb for many jobs: those that a filter finds, a bounded number for each request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, assert_never

from muster.core.ids import JobId
from muster.core.status import FINAL, JobStatus
from muster.core.transitions import LIVE, RETRIABLE
from muster.engine.deletion import Deletion
from muster.engine.jobs import Jobs
from muster.engine.pausing import Pausing
from muster.engine.retrying import Retrying, RetryOrder
from muster.engine.searching import JobFilter, Searching
from muster.errors import ErrorCode, MusterError

AT_ONCE: Final = 16
DELETED_AT_ONCE: Final = 250
"""Deleting a live job waits for its worker, half a minute at most; two rounds of these are all that a request does."""


class Action(StrEnum):
    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"
    PAUSE = "pause"
    RESUME = "resume"


MEANT: Final[Mapping[Action, frozenset[JobStatus]]] = {
    Action.CANCEL: frozenset(JobStatus) - FINAL,
    Action.RETRY: RETRIABLE,
    Action.PAUSE: LIVE,
    Action.RESUME: frozenset({JobStatus.PAUSED}),
}
"""Where jobs stand whom a verb is for, if a filter does not say: what was dealt with does not match a second time."""


@dataclass(frozen=True, slots=True)
class BulkOrder:
    action: Action
    wanted: JobFilter
    """Without statuses, those that the action is for."""
    limit: int
    cursor: str | None = None
    dry_run: bool = False
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BulkFailure:
    job: JobId
    error: MusterError


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """`matched` jobs were found by this request, `done` of them dealt with; `next` is where the next one goes on."""

    matched: int
    done: int
    jobs: tuple[JobId, ...]
    failures: tuple[BulkFailure, ...]
    next: str | None


class ManyJobs:
    def __init__(
        self, searching: Searching, jobs: Jobs, deletion: Deletion, pausing: Pausing, retrying: Retrying
    ) -> None:
        self._searching = searching
        self._jobs = jobs
        self._deletion = deletion
        self._pausing = pausing
        self._retrying = retrying

    async def run(self, tenant: str, order: BulkOrder) -> BulkOutcome:
        """Deal with up to `limit` jobs. What a job refuses is told for that job; the others go on.

        Raises:
            MusterError: INVALID_BODY for a filter that chooses nothing, INVALID_PARAMETER for a foreign cursor.
        """
        wanted = order.wanted
        if wanted == JobFilter():
            raise MusterError(
                ErrorCode.INVALID_BODY, "filter: nothing in it chooses jobs; all jobs at once are never meant",
                hint='name what they must be, as {"status": ["failed"]} or {"blueprint": "orders"}',
            )  # fmt: skip
        if wanted.statuses is None:
            wanted = replace(wanted, statuses=MEANT.get(order.action))
        page = await self._searching.search(tenant, wanted, limit=order.limit, cursor=order.cursor)
        found = tuple(record.id for record in page.items)
        if order.dry_run:
            return BulkOutcome(len(found), 0, found, (), page.next)
        seats = asyncio.Semaphore(DELETED_AT_ONCE if order.action is Action.DELETE else AT_ONCE)
        verb = self._verb(tenant, order)

        async def one(job: JobId) -> BulkFailure | None:
            async with seats:
                try:
                    await verb(job)
                except MusterError as error:
                    return BulkFailure(job, error)
            return None

        ends = await asyncio.gather(*(one(job) for job in found))
        failures = tuple(end for end in ends if end is not None)
        return BulkOutcome(len(found), len(found) - len(failures), found, failures, page.next)

    def _verb(self, tenant: str, order: BulkOrder) -> Callable[[JobId], Awaitable[object]]:
        match order.action:
            case Action.CANCEL:
                return lambda job: self._jobs.cancel(tenant, job)
            case Action.RETRY:
                return lambda job: self._retrying.retry(tenant, job, RetryOrder(by=order.by))
            case Action.DELETE:
                return lambda job: self._deletion.delete(tenant, job)
            case Action.PAUSE:
                return lambda job: self._pausing.pause(tenant, job, by=order.by, reason=order.reason)
            case Action.RESUME:
                return lambda job: self._pausing.resume(tenant, job, by=order.by)
            case _:
                assert_never(order.action)
