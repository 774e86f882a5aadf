"""A job's end by deletion: afterwards nobody can tell that it ever was."""

import asyncio
import logging
from typing import Final

from muster.engine.files import Files
from muster.engine.jobs import Jobs
from muster.engine.watchers import Watchers
from muster.errors import ErrorCode, MusterError
from muster.store.base import Store

log = logging.getLogger("muster.deletion")

LATE_MS: Final = 1_000
"""The end that a passed grace brings may come so much later."""
FAREWELL_S: Final = 0.5
"""Whoever follows an active job, on whichever replica, has so long to read its end before it is forgotten."""


class Deletion:
    def __init__(self, store: Store, jobs: Jobs, watchers: Watchers, files: Files, *, cancel_grace_ms: int) -> None:
        self._store = store
        self._jobs = jobs
        self._watchers = watchers
        self._files = files
        self._grace_ms = cancel_grace_ms

    async def delete(self, tenant: str, job_id: str) -> None:
        """Cancel the job if it is active and wait for its end; then forget it and everything of it.

        The wait is at most as long as a cancelled worker may take. A webhook that is on its way is still delivered.

        Raises:
            MusterError: JOB_NOT_FOUND.
        """
        record = await self._jobs.job(tenant, job_id)
        if not record.status.is_final:
            try:
                await self._jobs.cancel(tenant, job_id)
            except MusterError as error:
                if error.code is not ErrorCode.JOB_FINAL:
                    raise
            await self._watchers.wait(record.id, None, self._grace_ms + LATE_MS)
            await asyncio.sleep(FAREWELL_S)
        for blob in await self._store.delete(record.id):
            await self._files.remove_blob(blob)
        log.info("job_deleted", extra={"job_id": record.id})
