"""The clients of a chaos run, and the book of everything they asked for and were told."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import aiohttp

from tests.chaos.shapes import SHAPES, Shape
from tests.system.callers import FINAL
from tests.system.processes import ALPHA

REQUEST_S: Final = 3.0
PAUSE_S: Final = 0.05
TWICE_PART: Final = 0.2
HOOK_PART: Final = 0.3


@dataclass
class Order:
    """One job asked for: by its idempotency key, however often it was sent."""

    key: str
    shape: str
    number: int
    with_hook: bool
    sent_at: float
    job_ids: list[str] = field(default_factory=list[str])
    """As told by each 202."""
    seen: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """Status and version, whenever another one was seen."""
    decisions: list[int] = field(default_factory=list[int])
    """Statuses of the answers to its decision or cancellation."""
    ended_at: float | None = None

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    def saw(self, status: str, version: int) -> None:
        if not self.seen or self.seen[-1] != (status, version):
            self.seen.append((status, version))


@dataclass
class Counts:
    requests: int = 0
    failed: int = 0


class Clients:
    """Send orders until `stop`, then wait for the rest of them."""

    def __init__(self, http: aiohttp.ClientSession, urls: list[str], hook_url: str, rng: random.Random) -> None:
        self._http = http
        self._urls = urls
        self._hook_url = hook_url
        self._rng = rng
        self._stopping = False
        self.orders: list[Order] = []
        self.counts = Counts()

    def stop(self) -> None:
        self._stopping = True

    async def run(self, count: int) -> None:
        await asyncio.gather(*(self._client() for _ in range(count)))

    async def _client(self) -> None:
        while not self._stopping:
            shape = self._rng.choice(SHAPES)
            number = len(self.orders)
            hooked = self._rng.random() < HOOK_PART
            order = Order(f"order-{number}", shape.name, number, hooked, time.time())
            self.orders.append(order)
            copies = 2 if self._rng.random() < TWICE_PART else 1
            await asyncio.gather(*(self._submit(order, shape) for _ in range(copies)))
            await self._accompany(order, shape)

    async def _submit(self, order: Order, shape: Shape) -> None:
        body: dict[str, Any] = {"initial_data": shape.input(order.number)}
        if order.with_hook:
            body["webhook_url"] = self._hook_url
        path, headers = f"/api/v1/jobs/{shape.blueprint}", {"Idempotency-Key": order.key}
        _, answer = await self._until_answered("POST", path, body, headers)
        order.job_ids.append(answer["job_id"])

    async def _accompany(self, order: Order, shape: Shape) -> None:
        job, acted = f"/api/v1/jobs/{order.job_ids[0]}", False
        while True:
            if shape.cancels and not acted:
                acted = True
                await asyncio.sleep(self._rng.uniform(0, 0.05))
                order.decisions.append((await self._until_answered("POST", f"{job}/cancel"))[0])
            _, found = await self._until_answered("GET", f"{job}?wait=1" if order.seen else job)
            order.saw(found["status"], found["version"])
            if found["status"] in FINAL:
                order.ended_at = time.time()
                return
            if found["status"] == "waiting_for_human" and not acted:
                acted = True
                answer = {"decision": "approved", "by": "ann"}
                order.decisions.append((await self._until_answered("POST", f"{job}/decision", answer))[0])

    async def look_again(self, order: Order) -> None:
        _, found = await self._until_answered("GET", f"/api/v1/jobs/{order.job_ids[0]}")
        order.saw(found["status"], found["version"])

    async def _until_answered(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """The first answer that is not a passing trouble. No answer at all may still mean that it was done."""
        while True:
            self.counts.requests += 1
            try:
                async with self._http.request(
                    method,
                    self._rng.choice(self._urls) + path,
                    json=body,
                    headers={"X-Client-Token": ALPHA, **(headers or {})},
                    timeout=aiohttp.ClientTimeout(total=REQUEST_S),
                ) as answer:
                    if answer.status < 500:
                        return answer.status, await answer.json()
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            self.counts.failed += 1
            await asyncio.sleep(PAUSE_S)


def book(orders: list[Order], only: Callable[[Order], bool] = lambda order: True) -> list[dict[str, Any]]:
    return [asdict(order) for order in orders if only(order)]
