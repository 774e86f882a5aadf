"""What breaks things: kills, pauses and restarts of real processes, drawn from a seed."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.system.processes import Cluster, Orchestrator, Process

START_S: Final = 30.0
Break = Callable[[float], Awaitable[None]]
"""Breaks something for so many seconds and repairs it."""


@dataclass(frozen=True)
class Fault:
    at: float
    kind: str
    seconds: float


@dataclass
class Nemesis:
    """Two hands: one for servers, one for workers. Every kind is used once before any comes twice."""

    cluster: Cluster
    rng: random.Random
    hold_max_s: float
    gap_max_s: float
    faults: list[Fault] = field(default_factory=list[Fault])

    async def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(self._hand(self._of_servers(), until), self._hand(self._of_workers(), until))

    async def _hand(self, kinds: dict[str, Break], until: float) -> None:
        left = self.rng.sample(sorted(kinds), len(kinds))
        while left or time.monotonic() < until:
            kind = left.pop() if left else self.rng.choice(sorted(kinds))
            seconds = self.rng.uniform(0.05, self.hold_max_s)
            self.faults.append(Fault(time.time(), kind, seconds))
            await kinds[kind](seconds)
            await asyncio.sleep(self.rng.uniform(0, self.gap_max_s))

    @property
    def kinds(self) -> set[str]:
        return {*self._of_servers(), *self._of_workers()}

    def _of_servers(self) -> dict[str, Break]:
        return {
            "kill orchestrator": self._kill_orchestrator,
            "stop orchestrator": self._stop_orchestrator,
            "pause orchestrator": self._pausing(self.cluster.orchestrators),
            "kill store": self._kill_store,
            "pause store": self._pause_store,
        }

    def _of_workers(self) -> dict[str, Break]:
        workers, plain = self.cluster.workers[:-1], self.cluster.workers[-1:]
        return {
            "kill worker": self._killing(workers),
            "pause worker": self._pausing(workers),
            "kill plain worker": self._killing(plain),
            "pause plain worker": self._pausing(plain),
        }

    async def _kill_orchestrator(self, seconds: float) -> None:
        orchestrator = self.rng.choice(self.cluster.orchestrators)
        orchestrator.kill()
        await asyncio.sleep(seconds)
        await _start(orchestrator)

    async def _stop_orchestrator(self, seconds: float) -> None:
        orchestrator = self.rng.choice(self.cluster.orchestrators)
        await asyncio.to_thread(orchestrator.stop)
        await asyncio.sleep(seconds)
        await _start(orchestrator)

    async def _kill_store(self, seconds: float) -> None:
        self.cluster.store.kill()
        await asyncio.sleep(seconds)
        self.cluster.store.start()
        durable(self.cluster)

    async def _pause_store(self, seconds: float) -> None:
        self.cluster.store.pause()
        await asyncio.sleep(seconds)
        self.cluster.store.resume()

    def _killing(self, processes: Sequence[Process]) -> Break:
        async def kill(seconds: float) -> None:
            process = self.rng.choice(processes)
            process.kill()
            await asyncio.sleep(seconds)
            process.start()

        return kill

    def _pausing(self, processes: Sequence[Process]) -> Break:
        async def pause(seconds: float) -> None:
            process = self.rng.choice(processes)
            process.pause()
            await asyncio.sleep(seconds)
            process.resume()

        return pause


async def _start(orchestrator: Orchestrator) -> None:
    orchestrator.start()
    deadline = time.monotonic() + START_S
    while not await asyncio.to_thread(lambda: orchestrator.is_ready):
        assert not orchestrator.has_ended, f"{orchestrator.name} ended:\n{orchestrator.log[-4000:]}"
        assert time.monotonic() < deadline, f"{orchestrator.name} is not ready:\n{orchestrator.log[-4000:]}"
        await asyncio.sleep(0.05)


def durable(cluster: Cluster) -> None:
    """What was acknowledged is on disk: under `everysec` a killed store may lose what it had not written yet."""
    cluster.store.config(appendfsync="always")
