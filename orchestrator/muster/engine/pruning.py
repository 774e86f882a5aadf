"""Removes bytes that no record names: of expired uploads and jobs, of replaced artifacts, of processes that died.

Every replica prunes; on a shared folder they may meet over a file, which harms nothing.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from math import inf
from typing import Final

from muster.core.file_record import is_artifact_id, job_of_artifact
from muster.engine.files import Files, file_id_of
from muster.engine.settings import FileSettings
from muster.files.blobs import DiskFull, StorageFailed, StoredBlob
from muster.files.payloads import is_payload
from muster.store.base import Store, StoreFull, StoreUnavailable

log = logging.getLogger("muster.pruning")

ORPHAN_AGE_S: Final = 600.0
"""Bytes that no record names are left alone for so long after they were written: they may be on their way to one."""
ASKED_AT_ONCE: Final = 500


class Pruning:
    def __init__(
        self, store: Store, files: Files, settings: FileSettings, *, orphan_age_s: float = ORPHAN_AGE_S
    ) -> None:
        self._store = store
        self._files = files
        self._every_s = settings.clean_every_ms / 1000
        self._artifact_age_s = inf if settings.artifact_ttl_ms is None else settings.artifact_ttl_ms / 1000
        self._orphan_age_s = orphan_age_s

    async def run(self) -> None:
        """Prune now and then, until cancelled."""
        while True:
            try:
                removed = await self.run_once()
                if removed:
                    log.info("files_pruned", extra={"files": removed})
            except (StoreUnavailable, StoreFull, DiskFull, StorageFailed, OSError) as error:
                log.warning("pruning_put_off", extra={"error": str(error)})
            await asyncio.sleep(self._every_s * random.uniform(0.8, 1.2))

    async def run_once(self) -> int:
        """Look at every file once. Returns how many were removed."""
        removed = await self._files.blobs.sweep_incoming(self._orphan_age_s)
        async for found in self._files.blobs.listing():
            over = [
                blob
                for blob in found
                if blob.age_s > self._artifact_age_s
                and is_artifact_id(file_id_of(blob.name))
                and not is_payload(blob.name)
            ]
            for blob in over:
                await self._files.remove_blob(blob.name)
            removed += len(over)
            old = [blob for blob in found if blob.age_s >= self._orphan_age_s and blob not in over]
            for start in range(0, len(old), ASKED_AT_ONCE):
                removed += await self._prune(old[start : start + ASKED_AT_ONCE])
        return removed

    async def _prune(self, found: Sequence[StoredBlob]) -> int:
        files = [blob.name for blob in found if not is_payload(blob.name)]
        named = await self._store.files.blobs([file_id_of(blob) for blob in files])
        orphans = [blob for blob, name in zip(files, named, strict=True) if blob != name]
        orphans += await self._ownerless([blob.name for blob in found if is_payload(blob.name)])
        for orphan in orphans:
            await self._files.remove_blob(orphan)
        return len(orphans)

    async def _ownerless(self, values: Sequence[str]) -> list[str]:
        """Large values of jobs that are gone."""
        owned = [(value, job) for value in values if (job := job_of_artifact(file_id_of(value))) is not None]
        known = await self._store.files.known_jobs([job for _, job in owned])
        return [value for (value, _), is_known in zip(owned, known, strict=True) if not is_known]
