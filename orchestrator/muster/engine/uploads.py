"""Which of the files that a job names are planned uploads still to be sent."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from muster.core.file_record import is_upload_id
from muster.store.file_records import FileRecords


class CheckInputs(Protocol):
    async def __call__(self, tenant: str, ids: Sequence[str]) -> None:
        """As `Files.check_inputs`."""
        ...


async def still_planned(files: FileRecords, tenant: str, uploads: tuple[str, ...]) -> tuple[str, ...]:
    """Those of *uploads* that are planned for *tenant* and not sent. Another's, and unknown ids, are none."""
    ids = [upload for upload in uploads if is_upload_id(upload)]
    plans = await asyncio.gather(*(files.planned_upload(upload) for upload in ids))
    return tuple(upload for upload, plan in zip(ids, plans, strict=True) if plan is not None and plan.tenant == tenant)


async def not_sent(files: FileRecords, uploads: tuple[str, ...]) -> tuple[str, ...]:
    """Those of *uploads* that have not come. One whose time is over never will."""
    records = await asyncio.gather(*(files.upload(upload) for upload in uploads))
    return tuple(upload for upload, record in zip(uploads, records, strict=True) if record is None)
