"""What a tenant's jobs cost, and how long they take."""

from datetime import date, timedelta
from typing import Final

from muster.errors import ErrorCode, MusterError
from muster.store.base import Store
from muster.store.index import DayCost

DAYS_MAX: Final = 400
"""So long the sums of a day are kept."""


class Costs:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def costs(self, tenant: str, since: date, until: date) -> tuple[DayCost, ...]:
        """Sums by day of the jobs' creation (UTC, both days included) and by meter; newest day first.

        Only jobs that are over count, whether they finished or not; deleted ones stay counted.

        Raises:
            MusterError: INVALID_PARAMETER where *since* is after *until*, or there are more than 400 days.
        """
        count = (until - since).days + 1
        if not 1 <= count <= DAYS_MAX:
            raise MusterError(
                ErrorCode.INVALID_PARAMETER,
                f"From {since} to {until} are {max(count, 0)} days; 1 to {DAYS_MAX} can be asked for.",
                extra={"parameter": "since"},
            )
        days = [since + timedelta(days=number) for number in range(count)]
        found = await self._store.day_costs(tenant, days)
        return tuple(sorted(found, key=lambda cost: (-cost.day.toordinal(), cost.meter)))

    async def durations(self, tenant: str, meter: str) -> tuple[int, ...]:
        """How many ms the last jobs of the meter took, at most 100 that finished in the last 30 days, newest first."""
        return await self._store.durations(tenant, meter)
