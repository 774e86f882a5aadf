"""Two who change one limit at the same time, in many orders of their calls to the store: nobody's change is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from itertools import product
from typing import Any, cast

import pytest
from muster.core.flow import Limit, Policy, Scope
from muster.engine.limits import Limits, dump_limit
from muster.errors import MusterError
from muster.observe.metrics import Metrics
from muster.store.base import Store
from muster.store.flow import KeptLimit, gate_of
from muster.store.keys import global_tag, short_hash

from tests.conftest import MakeDeployment
from tests.support.deployment import Backend
from tests.support.samples import claim_of, waiting_job

Act = Callable[[Limits, Limit], Awaitable[object]]
ORDERS = list(product((0, 1), repeat=7))
"""Whose call to the store is next; then they take turns."""
_WHO: ContextVar[int] = ContextVar("_WHO")


class TurnTaking:
    """A store's limits, each call of which waits until it is its caller's turn."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self._waiting: dict[int, asyncio.Event] = {}
        self._moved = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            mine = self._waiting[_WHO.get()] = asyncio.Event()
            self._moved.set()
            await mine.wait()
            return await getattr(self._plain, name)(*arguments)

        return call

    async def run(self, order: Sequence[int], *acts: Awaitable[object]) -> None:
        tasks = [asyncio.create_task(self._as(who, act)) for who, act in enumerate(acts)]
        steps = [*order, *(step % len(acts) for step in range(200))]
        for step in steps:
            while not all(task.done() or who in self._waiting for who, task in enumerate(tasks)):
                self._moved.clear()
                await self._moved.wait()
            if step in self._waiting:
                self._waiting.pop(step).set()
        await asyncio.gather(*tasks)

    async def _as(self, who: int, act: Awaitable[object]) -> None:
        _WHO.set(who)
        try:
            await act
        finally:
            self._moved.set()


def put(most: int | None, rate: int | None = None) -> Act:
    per = None if rate is None else 1000
    return lambda limits, limit: limits.put(replace(limit, max=most, rate=rate, per_ms=per))


async def pause(limits: Limits, limit: Limit) -> None:
    await limits.pause(limit.scope, limit.name)


async def resume(limits: Limits, limit: Limit) -> None:
    await limits.resume(limit.scope, limit.name)


async def drop(limits: Limits, limit: Limit) -> None:
    with suppress(MusterError):  # not found
        await limits.drop(limit)


async def audit(limits: Limits, _: Limit) -> None:
    await limits.audit()


def orders_for(backend: Backend) -> Sequence[tuple[int, ...]]:
    return ORDERS if backend == "memory" else ORDERS[::5]


async def raced(store: Store, number: int, order: Sequence[int], before: Sequence[Act], *acts: Act) -> tuple[Any, Any]:
    """What is kept of a limit of its own, and its policy, after *acts* came in that order."""
    limit = Limit(Scope.TASK, f"task-{number}")
    calm = Limits(store, 1, Metrics())
    for act in before:
        await act(calm, limit)
    turns = TurnTaking(store.flow)
    stepped = Limits(cast("Store", type("Stepped", (), {"flow": turns})()), 1, Metrics())
    await turns.run(order, *(act(stepped, limit) for act in acts))
    kept = {view.limit.name: view.limit for view in await calm.all()}
    return kept.get(limit.name), (await store.flow.policies(0)).get(gate_of(limit))


async def test_who_sets_a_limit_does_not_end_a_pause_that_comes_at_the_same_time(
    store: Store, backend: Backend
) -> None:
    for number, order in enumerate(orders_for(backend)):
        kept, policy = await raced(store, number, order, [], put(2), pause)
        assert (kept.max, kept.paused) == (2, True), order
        assert policy == Policy(most=0), order


async def test_who_resumes_does_not_undo_what_is_set_at_the_same_time(store: Store, backend: Backend) -> None:
    for number, order in enumerate(orders_for(backend)):
        kept, policy = await raced(store, number, order, [pause], resume, put(3))
        assert (kept.max, kept.paused) == (3, False), order
        assert policy == Policy(most=3), order


async def test_of_two_who_set_it_one_wins_everywhere(store: Store, backend: Backend) -> None:
    for number, order in enumerate(orders_for(backend)):
        kept, policy = await raced(store, number, order, [put(9)], put(4), put(None, rate=5))
        expected = Policy(most=4) if kept.max else Policy(between_us=200_000, ahead_us=0)
        assert policy == expected, order


@pytest.mark.parametrize("other", [drop, resume, audit])
async def test_every_partition_keeps_what_is_set_whoever_else_was_at_it(
    store: Store, backend: Backend, other: Act
) -> None:
    for number, order in enumerate(orders_for(backend)):
        kept, policy = await raced(store, number, order, [put(1)], other, put(7))
        assert policy == (None if kept is None else Policy(most=kept.max)), order


async def test_a_pause_that_is_resumed_leaves_nothing(store: Store, backend: Backend) -> None:
    for number, order in enumerate(orders_for(backend)):
        kept, policy = await raced(store, number, order, [pause], resume, resume)
        assert (kept, policy) == (None, None), order
    assert await store.flow.limits() == {}


async def test_no_task_starts_beside_a_limit_while_two_set_it(store: Store) -> None:
    """One lifts the maximum and the other sets it again: what started between has its slot."""
    for order in ORDERS[::9]:
        kept, _ = await raced(store, 0, order, [put(1)], put(None, rate=1000), put(1))
        assert kept is not None
        gate = short_hash("task-0")
        job = await waiting_job(store, 3, type="task-0")
        claimed = await store.claim(0, claim_of(3, classes=(gate,)))
        assert len(claimed) in range(1, 4)
        await Limits(store, 1, Metrics()).put(Limit(Scope.TASK, "task-0", max=1))
        (held,) = await store.flow.gates(0, [f"c:{gate}"])
        assert held.held == len(claimed), "slots are leases"
        await store.delete(job)
        await store.tick(0, "t")


async def test_what_is_kept_by_an_older_server_is_read(deploy: MakeDeployment, real_backend: Backend) -> None:
    deployment = deploy(real_backend)
    assert deployment.server is not None
    store = (await deployment.replica()).store
    old = dump_limit(Limit(Scope.TASK, "a", max=2, paused=True))
    deployment.server.client.hset(f"{global_tag(deployment.namespace)}gd", "task||a", old)
    limits = Limits(store, 1, Metrics())
    (view,) = await limits.all()
    assert (view.limit.max, view.limit.paused) == (2, True)
    assert (await limits.resume(Scope.TASK, "a")).limit == Limit(Scope.TASK, "a", max=2)
    assert (await store.flow.limit("task||a")) == KeptLimit(old)
