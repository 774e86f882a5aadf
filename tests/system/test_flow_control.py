"""Limits that change while a backlog stands, on two replicas with real workers: never more runs than the limit lets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from tests.system.callers import Api, api_at, until
from tests.system.conftest import MakeCluster
from tests.system.processes import Cluster

BACKLOG = 30
"""So many jobs wait at least, however slow this machine is between two changes."""
TASK_S = 0.05
STARTED, ENDED = "task_started", "task_finished"


@dataclass
class Clock:
    """The store's, by which tasks are handed out and end."""

    fleet: Cluster

    def ms(self) -> int:
        seconds, micros = self.fleet.store.client().time()
        return int(seconds) * 1000 + int(micros) // 1000


@dataclass
class Phase:
    """From the moment at which a change was answered to that at which the next one is asked for."""

    clock: Clock
    begin: int
    end: int = 0

    def has(self, at: int) -> bool:
        return self.begin < at < self.end


@dataclass
class Site:
    fleet: Cluster
    a: Api
    b: Api
    name: str
    clock: Clock
    phases: dict[str, Phase] = field(default_factory=dict[str, Phase])
    jobs: list[str] = field(default_factory=list[str])

    @property
    def task(self) -> str:
        return f"{self.name}.work"

    async def change(self, what: str, act: Callable[[], Awaitable[Any]]) -> None:
        """End the phase before, and begin one that is called *what*."""
        self.close()
        reply = await act()
        assert reply.status in {200, 204}, reply
        self.phases[what] = Phase(self.clock, self.clock.ms())

    def close(self) -> None:
        for phase in self.phases.values():
            phase.end = phase.end or self.clock.ms()

    async def put(self, api: Api, **values: Any) -> Any:
        return await api.call("PUT", f"/api/v1/limits/task/{self.task}", values)

    async def fill(self) -> None:
        """By both replicas."""
        while len(self.jobs) - len(self.fleet.runs_of(self.name)) < BACKLOG:
            start = (self.a, self.b)[len(self.jobs) % 2].start
            self.jobs += await asyncio.gather(
                *(start("one", type=self.task, params={"seconds": TASK_S}) for _ in range(5))
            )

    async def runs_more(self, count: int) -> None:
        before = len(self.fleet.runs_of(self.name))

        async def there() -> bool:
            await self.fill()
            return len(self.fleet.runs_of(self.name)) >= before + count

        await until(there, f"{count} more tasks have started")

    async def limit(self, api: Api) -> dict[str, Any]:
        items: list[dict[str, Any]] = (await api.call("GET", "/api/v1/limits")).body["items"]
        (found,) = [item for item in items if item["name"] == self.task]
        return found

    async def nothing_runs(self) -> None:
        async def none() -> bool:
            return bool((await self.limit(self.a))["running"] == 0)

        await until(none, "nothing runs any more")


async def moments(site: Site, job: str) -> dict[str, int]:
    reply = await site.a.call("GET", f"/api/v1/jobs/{job}/history")
    times = {event["event_type"]: datetime.fromisoformat(event["timestamp"]) for event in reply.body}
    return {kind: round(at.timestamp() * 1000) for kind, at in times.items() if kind in {STARTED, ENDED}}


def most_at_once(runs: list[dict[str, int]], phase: Phase) -> int:
    """The most that ran, counted whenever one was handed out in the phase. What ended in that millisecond was over."""
    starts = [run[STARTED] for run in runs if phase.has(run[STARTED])]
    return max((sum(run[STARTED] <= at < run[ENDED] for run in runs) for at in starts), default=0)


async def test_limits_hold_while_they_change_under_a_backlog(
    make_cluster: MakeCluster, http: aiohttp.ClientSession, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "limits.toml"
    file.write_text(f'[task."{name}.work"]\nmax = 2\n')
    fleet = make_cluster(replicas=2, MUSTER_LIMITS_FILE=str(file))
    site = Site(fleet, api_at(http, fleet.a.url), api_at(http, fleet.b.url), name, Clock(fleet))
    assert await site.limit(site.b) | {"source": "file", "max": 2} == await site.limit(site.b)
    site.phases["file: 2"] = Phase(site.clock, site.clock.ms())
    for _ in range(2):
        fleet.add_worker(name, MUSTER_WORKER_SLOTS="6")
    await site.runs_more(8)
    await site.change("5", lambda: site.put(site.b, max=5))
    await site.runs_more(15)
    await site.change("1", lambda: site.put(site.a, max=1))
    await site.runs_more(5)
    await site.change("rate", lambda: site.put(site.b, rate=20, per="1s", max=3))
    await site.runs_more(8)
    await site.change("paused", lambda: site.a.call("POST", f"/api/v1/queues/{site.task}/pause"))
    assert (await site.put(site.b, max=3)).body["paused"], "who sets a limit does not end a pause"
    await site.nothing_runs()
    reasons = (await site.b.call("GET", f"/api/v1/jobs/{site.jobs[-1]}/why")).body["reasons"]
    assert [reason["code"] for reason in reasons] == ["limit_paused"]
    await site.change("3", lambda: site.b.call("POST", f"/api/v1/queues/{site.task}/resume"))
    await site.runs_more(9)
    await site.change("file again: 2", lambda: site.a.call("DELETE", f"/api/v1/limits/task/{site.task}"))
    for job in site.jobs:
        assert (await site.a.end_of(job))["status"] == "finished"
    site.close()
    runs = [await moments(site, job) for job in site.jobs]
    for what, most in (("file: 2", 2), ("5", 5), ("1", 1), ("rate", 3), ("3", 3), ("file again: 2", 2)):
        assert 1 <= most_at_once(runs, site.phases[what]) <= most, what
    assert most_at_once(runs, site.phases["5"]) > 2, "a higher limit is made use of"
    assert not [run for run in runs if site.phases["paused"].has(run[STARTED])], "nothing starts in a pause"
    paced = sorted(run[STARTED] for run in runs if site.phases["rate"].has(run[STARTED]))
    assert min(later - earlier for earlier, later in pairwise(paced)) >= 49, "20 a second, evenly, to the millisecond"
    assert len(fleet.runs_of(name)) == len(site.jobs)
