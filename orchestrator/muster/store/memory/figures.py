"""Figures of the model: it has no server to ask, so what it says of one is little."""

from collections.abc import Sequence
from typing import Final

from muster.core.ids import JobId, partition_of
from muster.store.figures import StoreFacts, Tally
from muster.store.memory.files import MemoryFileRecords
from muster.store.memory.partition import Partition

BYTES_PER_JOB: Final = 2_048
"""About what a small job takes on a server."""


class MemoryFigures:
    def __init__(self, files: MemoryFileRecords, partitions: Sequence[Partition]) -> None:
        self._files = files
        self._partitions = partitions

    async def facts(self) -> StoreFacts:
        jobs = sum(len(part.jobs) for part in self._partitions)
        return StoreFacts(used_bytes=jobs * BYTES_PER_JOB, keys=jobs, durability="none", hits=0, misses=0)

    async def tally(self, jobs: Sequence[JobId]) -> Tally:
        steps, artifacts = 0, 0
        for job in jobs:
            index = partition_of(job)
            found = self._partitions[index].job(job) if index < len(self._partitions) else None
            if found is not None:
                steps += len(found.steps)
                artifacts += len(await self._files.artifacts(job))
        return Tally(steps, artifacts)
