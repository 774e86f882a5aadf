"""The model's sums of what a tenant's jobs cost, and how long they took."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Final

from muster.core.metering import DURATIONS_KEPT_MS, DURATIONS_MAX, METER_FIELDS_MAX
from muster.store.index import DayCost
from muster.store.memory.model import Job

FIELDS_PER_METER: Final = 3


class Ledger:
    """Of one partition; by hashed tenant."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, date], dict[str, tuple[int, int, int]]] = {}
        self._durations: dict[tuple[str, str], list[tuple[int, int]]] = {}

    def count(self, job: Job, finished_at: int | None) -> None:
        """Count a job that is over; *finished_at* is None where it did not finish."""
        meter = self.add(job, 1, job.run_ms, job.record.cost_micros)
        if finished_at is not None:
            took = finished_at - (job.begun_again_at or job.record.started_at or finished_at)
            self._durations.setdefault((job.flow, meter), []).insert(0, (finished_at, took))

    def add(self, job: Job, jobs: int, ran_ms: int, cost: int) -> str:
        """Returns the meter it was counted under."""
        day = datetime.fromtimestamp(job.record.created_at / 1000, UTC).date()
        sums = self._days.setdefault((job.flow, day), {})
        meter = job.meter
        if meter not in sums and len(sums) * FIELDS_PER_METER >= METER_FIELDS_MAX:
            meter = meter.partition("|")[0]
        known = sums.get(meter, (0, 0, 0))
        sums[meter] = (known[0] + jobs, known[1] + ran_ms, known[2] + cost)
        return meter

    def days(self, flow: str, days: Iterable[date]) -> list[DayCost]:
        return [DayCost(day, meter, *sums) for day in days for meter, sums in self._days.get((flow, day), {}).items()]

    def durations(self, flow: str, meter: str, now: int) -> list[tuple[int, int]]:
        """When and how many ms, newest first."""
        known = self._durations.get((flow, meter), [])[:DURATIONS_MAX]
        return [(at, ms) for at, ms in known if at >= now - DURATIONS_KEPT_MS]
