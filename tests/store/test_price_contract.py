"""Every store: a task costs what its worker asks for one of its class, frozen when it is handed out, on every way."""

from dataclasses import replace
from typing import Any

import pytest
from muster.core.status import JobStatus
from muster.store.arguments import claim_args
from muster.store.base import Claimed, Committed, Completed, Mode, Stepped, Store
from muster.store.keys import short_hash

from tests.store.test_index_contract import cost_so_far, run_for, sums
from tests.store.test_steps_contract import a_waiting_job, second_task
from tests.support.samples import (
    WORK,
    claim_of,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh,
    job_of,
    new_job,
    new_tasks,
    seat,
    step_on,
    waiting_job,
)

PLAIN, RENDER = 2_000_000, 500_000
"""Micros per second: of the worker, and of its tasks of one class."""
DEAR = short_hash("render")
CLASSES = (WORK, DEAR)


def priced(**changes: Any) -> Any:
    return seat(price=PLAIN, prices=((DEAR, RENDER),), **changes)


def work_and_render(first: int = 0) -> Any:
    return (*new_tasks(first, 1), *new_tasks(first + 1, 1, type="render"))


async def costs(store: Store, task: Claimed) -> tuple[int, int]:
    """Micros of a run that ends now, and its ms."""
    before = await cost_so_far(store, job_of(task))
    await run_for(store, 3)
    done = await store.complete(end_of(task, mode=Mode.REQUEUE, delay_ms=60_000))
    assert isinstance(done, Completed)
    assert done.ran_ms > 0
    return await cost_so_far(store, job_of(task)) - before, done.ran_ms


async def assert_prices(store: Store, claimed: tuple[Claimed, ...], *prices: int) -> None:
    assert len(claimed) == len(prices)
    for task, price in zip(claimed, prices, strict=True):
        micros, ran_ms = await costs(store, task)
        assert micros == ran_ms * price // 1000, task.task


async def test_a_claimed_task_costs_the_price_of_its_class(store: Store) -> None:
    await waiting_job(store)
    await waiting_job(store, type="render")
    await assert_prices(
        store, tuple(await store.claim(0, claim_of([priced(), priced()], classes=CLASSES))), PLAIN, RENDER
    )


async def test_each_worker_of_a_claim_has_its_own_prices(store: Store) -> None:
    await waiting_job(store, 4, type="render")
    seats = [priced(), seat("w1", price=PLAIN), priced(), seat("w1", price=PLAIN, prices=((DEAR, 1_000),))]
    await assert_prices(
        store, tuple(await store.claim(0, claim_of(seats, classes=CLASSES))), RENDER, PLAIN, RENDER, 1_000
    )


async def test_a_class_may_be_free_and_a_worker_may_ask_something_for_one_class_only(store: Store) -> None:
    await waiting_job(store, 2, type="render")
    await waiting_job(store)
    seats = [seat(price=PLAIN, prices=((DEAR, 0),)), seat(prices=((DEAR, RENDER),)), seat(prices=((DEAR, RENDER),))]
    await assert_prices(store, tuple(await store.claim(0, claim_of(seats, classes=(DEAR, WORK)))), 0, RENDER, 0)


async def test_tasks_that_are_handed_out_with_their_commit_cost_the_price_of_their_class(store: Store) -> None:
    turn = await first_turn(store)
    claim = claim_of([priced(), priced()], classes=CLASSES)
    reply = await committed(store, commit_of(turn, work_and_render(), claim=claim))
    await assert_prices(store, reply.claimed, PLAIN, RENDER)


async def test_a_jobs_first_task_that_is_handed_out_with_its_submission_costs_the_price_of_its_class(
    store: Store,
) -> None:
    job = new_job()
    turn = await first_turn(store)  # only its shape is wanted
    commit = replace(
        commit_of(turn, new_tasks(0, 1, type="render"), claim=claim_of([priced()], classes=CLASSES)),
        job=job.id,
        version=0,
    )
    reply = await store.submit(job, commit.token, first=commit)
    assert isinstance(reply, Committed)
    await assert_prices(store, reply.claimed, RENDER)


async def test_a_task_that_is_handed_out_with_a_step_costs_the_price_of_its_class(store: Store) -> None:
    waiting = await a_waiting_job(store)
    its = second_task(claim=claim_of([priced()], classes=CLASSES))
    reply = await step_on(store, waiting.first, waiting.task, new_tasks(1, 1, type="render"), **its)
    assert isinstance(reply, Stepped)
    await assert_prices(store, reply.committed.claimed, RENDER)


async def test_a_task_that_is_handed_out_with_anothers_end_costs_the_price_of_its_class(store: Store) -> None:
    await waiting_job(store, 2)
    await waiting_job(store, type="render")
    (task,) = await store.claim(0, claim_of([priced()]))
    reply = await store.complete(end_of(task, claim=claim_of([priced()], classes=(DEAR,))))
    assert isinstance(reply, Completed)
    await assert_prices(store, tuple(reply.claimed), RENDER)


async def test_a_price_of_an_earlier_run_is_not_that_of_the_next(store: Store) -> None:
    job = await waiting_job(store, type="render")
    spent = 0
    for its_seat, price in ((priced(), RENDER), (seat(), 0), (seat(price=PLAIN), PLAIN), (priced(), RENDER)):
        (task,) = await store.claim(0, claim_of([its_seat], classes=CLASSES))
        await run_for(store, 2)
        done = await store.complete(end_of(task, mode=Mode.RETRY))
        assert isinstance(done, Completed)
        spent += done.ran_ms * price // 1000
        assert await cost_so_far(store, job) == spent


async def test_the_sums_of_a_day_count_prices_of_classes(store: Store) -> None:
    turn = await first_turn(store)
    claim = claim_of([priced()], classes=CLASSES)
    (task,) = (await committed(store, commit_of(turn, new_tasks(0, 1, type="render"), claim=claim))).claimed
    await run_for(store, 3)
    done = await store.complete(end_of(task))
    assert isinstance(done, Completed)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, status=JobStatus.FINISHED))
    assert await sums(store) == {"orders": (1, done.ran_ms, done.ran_ms * RENDER // 1000)}


@pytest.mark.parametrize("seats", [2, 16])
def test_what_a_script_is_told_of_prices_grows_with_workers_and_not_with_their_seats(seats: int) -> None:
    prices = tuple((short_hash(str(number)), 1_000 + number) for number in range(100))
    one = claim_args(claim_of([seat(fence=fresh(), prices=prices)]))
    many = claim_args(claim_of([seat(fence=fresh(), prices=prices) for _ in range(seats)]))
    assert len(many) == len(one) + 5 * (seats - 1), "no argument more than before there were such prices"
    assert sum(len(str(given)) for given in many) < sum(len(str(given)) for given in one) + 80 * seats
