"""Holding a job, and letting go of it."""

import secrets
from collections.abc import Callable

from muster.core import events as ev
from muster.core.ids import JobId
from muster.core.record import JobRecord
from muster.engine.background import Background
from muster.engine.history import blob
from muster.engine.jobs import SETTLE_S, Jobs, job_not_found
from muster.engine.turns import Turns
from muster.errors import ErrorCode, MusterError
from muster.store.base import Refusal, Refused, Store, Turn


class Pausing:
    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        turns: Turns,
        background: Background,
        hint: Callable[[JobId, int], None],
        *,
        history: bool,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._turns = turns
        self._background = background
        self._hint = hint
        self._history = history

    async def pause(self, tenant: str, job_id: str, *, by: str, reason: str) -> JobRecord:
        """Hold the job and the jobs below it that it waits for. Returns it as it is then; twice is as once.

        Tasks that a worker has may end, and what comes in is kept; nothing follows from it until the job is resumed.

        Raises:
            MusterError: JOB_NOT_FOUND, JOB_FINAL, JOB_CANCELLING.
        """
        record = await self._jobs.job(tenant, job_id)
        entry = self._entry(ev.JOB_PAUSED, record.state, by, reason)
        refused = await self._store.operations.pause(
            record.id, by, reason, entry, self._entry(ev.JOB_PAUSED, None, by, reason)
        )
        if refused is not None:
            raise _refused(record, refused.why)
        self._hint(record.id, 0)  # messages to jobs below that live elsewhere
        return await self._jobs.job(tenant, job_id)

    async def resume(self, tenant: str, job_id: str, *, by: str) -> JobRecord:
        """Let go of the job, and of those below it that were paused with it. What came in meanwhile counts now.

        Raises:
            MusterError: JOB_NOT_FOUND, JOB_FINAL, JOB_NOT_PAUSED.
        """
        record = await self._jobs.job(tenant, job_id)
        entry = self._entry(ev.JOB_RESUMED, record.state, by, "")
        reply = await self._store.operations.resume(
            record.id, secrets.token_hex(8), entry, self._entry(ev.JOB_RESUMED, None, by, "")
        )
        if isinstance(reply, Refused):
            raise _refused(record, reply.why)
        self._hint(record.id, 0)  # turns of the jobs below, and tasks that go back to their queues
        if isinstance(reply, Turn):
            await self._background.settle(self._turns.run(reply), SETTLE_S)
        return await self._jobs.job(tenant, job_id)

    def _entry(self, kind: str, state: str | None, by: str, reason: str) -> str:
        if not self._history:
            return ""
        return blob(ev.event(kind, state=state, details={"by": by, **({"reason": reason} if reason else {})}))


def _refused(record: JobRecord, why: Refusal) -> MusterError:
    if why is Refusal.FINAL:
        return MusterError(ErrorCode.JOB_FINAL, f"job {record.id} is over")
    if why is Refusal.CANCELLING:
        return MusterError(ErrorCode.JOB_CANCELLING, f"job {record.id} is being cancelled, and cannot be paused")
    if why is Refusal.NOT_PAUSED:
        return MusterError(
            ErrorCode.JOB_NOT_PAUSED,
            f"job {record.id} is {record.status}, not paused",
            hint=f"GET /api/v1/jobs/{record.id}/why says what it waits for",
        )
    return job_not_found()
