"""Which worker gets which task: needs, preferences, choices, orders, and who is slowed."""

import asyncio
from typing import Any

import pytest
from muster.core.ids import task_id
from muster.core.limits import CLASSES_MAX
from muster.core.reputation import DELAY_MAX_MS, OTHERS_MIN, Tally, delay_ms, is_black_hole, is_quick
from muster.engine.classes import class_of
from muster.engine.lines import Lines, Waiter, seats
from muster.engine.views import LeaseSign, WorkerPatch
from muster.errors import ErrorCode, MusterError

from tests.engine.fleet_hands import TENANT, Fleet, fleet
from tests.support.samples import fresh_job_id
from tests.support.waiting import until

GPU = {"needs": {"labels": {"gpu": "a100"}}}


async def leased(poll: "asyncio.Task[Any]") -> Any:
    (lease,) = await poll
    return lease


async def status(made: Fleet, job: str) -> Any:
    return await made.engines[0].job(TENANT, job)


# Heartbeats


async def test_a_heartbeat_may_name_a_thousand_tasks_and_each_script_call_extends_a_few_of_them() -> None:
    async with fleet() as made:
        await made.worker("busy")
        await made.start()
        held = await leased(made.poll("busy"))
        strangers = [task_id(fresh_job_id(), 0) for _ in range(999)]
        names = [*strangers[:500], held.task_id, *strangers[500:]]
        fences = {held.task_id: held.fence}
        signs = tuple(LeaseSign(name, 1, fences.get(name, "x")) for name in names)
        reply = await made.engines[0].heartbeat("busy", WorkerPatch(), signs)
        assert sorted(reply.lost_task_ids) == sorted(strangers)


# Needs


async def test_a_task_goes_to_a_worker_that_has_what_it_needs_and_to_no_other() -> None:
    async with fleet() as made:
        await made.worker("plain")
        await made.worker("gpu", labels={"gpu": "a100"})
        waiting = made.poll("plain", seconds=0.3)
        job = await made.start(where=GPU)
        assert (await leased(made.poll("gpu"))).job_id == job
        assert await waiting == ()


async def test_a_poll_that_stood_in_line_before_the_class_existed_gets_its_task() -> None:
    async with fleet(2) as made:
        await made.worker("gpu", labels={"gpu": "a100"})
        waiting = made.poll("gpu")
        await until(lambda: bool(made.stores[0].claims))
        job = await made.start(engine=1, where=GPU)
        assert (await leased(waiting)).job_id == job


async def test_a_replica_that_missed_the_class_finds_it_with_its_next_sweep() -> None:
    async with fleet(2) as made:
        await made.worker("gpu", labels={"gpu": "a100"})
        waiting = made.poll("gpu")
        await until(lambda: bool(made.stores[0].claims))
        made.state.listeners.pop("r0")
        job = await made.start(engine=1, where=GPU)
        await asyncio.sleep(0)
        assert not waiting.done()
        await made.engines[0]._tickers[0]._sweep()
        assert (await leased(waiting)).job_id == job


async def test_idle_polls_of_a_fleet_with_classes_cost_no_command() -> None:
    async with fleet() as made:
        await made.start(where=GPU)
        for name in ("a", "b", "c"):
            await made.worker(name, labels={"gpu": name})
            made.poll(name)
        await until(lambda: len(made.stores[0].claims) >= 1)
        await asyncio.sleep(0.05)
        before = len(made.stores[0].claims)
        await asyncio.sleep(0.1)
        assert len(made.stores[0].claims) == before <= 2, "one line claims for all who want the same"


async def test_a_plain_task_makes_no_class_and_a_known_class_no_further_command() -> None:
    async with fleet() as made:
        await made.start()
        assert await made.state.fleet.requirements() == {}
        await made.start(where=GPU)
        defined, calls = made.state.fleet.define, []

        async def counted(*arguments: Any) -> Any:
            calls.append(arguments)
            return await defined(*arguments)

        made.state.fleet.define = counted  # type: ignore[method-assign, assignment]
        await made.start(where=GPU)
        assert calls == []


async def test_the_next_task_comes_with_the_result_where_its_worker_has_what_it_needs() -> None:
    async with fleet() as made:
        await made.worker("gpu", labels={"gpu": "a100"})
        await made.start(where=GPU, then=GPU)
        await leased(made.poll("gpu"))


async def test_too_many_different_needs_are_told_in_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.engine.classes.CLASSES_MAX", 1)
    monkeypatch.setattr("muster.engine.turns.FAILURE_BACKOFF_MS", 0)
    assert CLASSES_MAX > 1
    async with fleet() as made:
        await made.start(where=GPU)
        job = await made.start(where={"needs": {"cpu": 3}})
        for _ in range(3):
            await made.engines[0].tick()
            await made.engines[0].settled()
        record = await status(made, job)
        assert record.status == "quarantined"
        assert (record.details or {})["code"] == "too_many_needs"


async def test_needs_that_cannot_be_are_told_in_the_job_with_their_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.engine.turns.FAILURE_BACKOFF_MS", 0)
    async with fleet() as made:
        job = await made.start(where={"needs": {"memory": "8QB"}})
        for _ in range(3):
            await made.engines[0].tick()
            await made.engines[0].settled()
        record = await status(made, job)
        assert record.status == "quarantined"
        assert (record.details or {})["code"] == "invalid_needs"
        assert "8QB" in (record.error or "")


# Preferences


async def test_a_task_waits_for_the_worker_it_prefers_then_anybody_may_have_it() -> None:
    async with fleet() as made:
        await made.worker("mine")
        await made.worker("other")
        job = await made.start(where={"prefer": {"worker": "mine", "wait": "200ms"}})
        other = made.poll("other")
        await asyncio.sleep(0.05)
        assert not other.done()
        await asyncio.sleep(0.2)
        await made.engines[0].tick()
        assert (await leased(other)).job_id == job


async def test_a_task_that_prefers_a_worker_which_is_not_there_waits_for_nobody() -> None:
    async with fleet() as made:
        await made.worker("other")
        job = await made.start(where={"prefer": {"worker": "gone", "wait": "1h"}})
        assert (await leased(made.poll("other"))).job_id == job


async def test_a_job_stays_with_the_worker_that_did_its_last_task() -> None:
    async with fleet() as made:
        for name in ("one", "two"):
            await made.worker(name)
        await made.start(then={"prefer": "same"})
        first = await leased(made.poll("two"))
        waiting = made.poll("one")
        await made.report(first, "two")
        assert (await leased(made.poll("two"))).job_id == first.job_id
        assert not waiting.done()


# Choices


async def test_the_cheapest_waiting_worker_gets_the_task() -> None:
    async with fleet() as made:
        for name, cost in (("dear", 3.0), ("cheap", 1.0), ("middle", 2.0)):
            await made.worker(name, cost=cost)
        polls = {name: made.poll(name) for name in ("dear", "cheap", "middle")}
        await until(lambda: bool(made.stores[0].claims))
        await made.start(where={"choose": "cheapest"})
        await until(lambda: polls["cheap"].done())
        assert not polls["dear"].done()
        assert not polls["middle"].done()


async def test_a_price_of_the_task_type_decides_before_that_of_the_worker() -> None:
    async with fleet() as made:
        await made.worker("cheap", cost=1.0, cost_per_task={"render": 5.0})
        await made.worker("dear", cost=3.0)
        polls = {name: made.poll(name) for name in ("cheap", "dear")}
        await until(lambda: bool(made.stores[0].claims))
        await made.start(where={"choose": "cheapest"})
        await until(lambda: polls["dear"].done())
        assert not polls["cheap"].done()


async def test_a_task_comes_first_to_the_worker_that_has_a_thing_at_hand() -> None:
    async with fleet() as made:
        await made.worker("cold", hot_cache=["qwen"])
        await made.worker("warm")
        polls = {name: made.poll(name) for name in ("cold", "warm")}
        await made.engines[0].heartbeat("warm", WorkerPatch(hot_cache=("llama-3",)), ())
        await made.start(where={"prefer": {"labels": {"hot": "llama-3"}}})
        await until(lambda: polls["warm"].done())
        assert not polls["cold"].done()


async def test_a_worse_worker_waits_for_a_better_one_and_takes_over_when_that_takes_too_long() -> None:
    async with fleet() as made:
        await made.worker("cheap", cost=1.0)
        await made.worker("dear", cost=3.0)
        dear = made.poll("dear")
        started = asyncio.get_running_loop().time()
        await made.start(where={"choose": ["cheapest", "300ms"]})
        await leased(dear)
        assert asyncio.get_running_loop().time() - started > 0.25
        second = made.poll("dear")
        job = await made.start(where={"choose": ["cheapest", "10s"]})
        assert (await leased(made.poll("cheap"))).job_id == job
        assert not second.done()


async def test_the_best_worker_gets_the_task_at_whichever_replica_it_waits() -> None:
    async with fleet(2) as made:
        await made.worker("dear", 0, cost=3.0)
        await made.worker("cheap", 1, cost=1.0)
        for engine in made.engines:
            await engine._fleet.look_around()
        dear, cheap = made.poll("dear", 0), made.poll("cheap", 1)
        await until(lambda: bool(made.stores[0].claims) and bool(made.stores[1].claims))
        await made.start(0, where={"choose": ["cheapest", "30s"]})
        await until(lambda: cheap.done())
        assert not dear.done()


# Orders


async def test_a_drained_worker_gets_nothing_more_until_it_is_resumed() -> None:
    async with fleet(2) as made:
        await made.worker("w1")
        waiting = made.poll("w1")
        await until(lambda: bool(made.stores[0].claims))
        view = await made.engines[1].order("w1", "drain")
        assert (view.status, view.order) == ("draining", "drain")
        assert await waiting == ()
        job = await made.start()
        assert await made.poll("w1", seconds=0.05) == ()
        await made.engines[1].order("w1", "resume")
        assert (await leased(made.poll("w1"))).job_id == job


async def test_a_drained_worker_that_registers_again_is_drained_still_and_a_disconnected_one_is_not() -> None:
    async with fleet() as made:
        await made.worker("w1")
        await made.engines[0].order("w1", "drain")
        await made.worker("w1")
        assert (await made.engines[0].workers())[0].status == "draining"
        await made.engines[0].order("w1", "disconnect")
        await made.worker("w1")
        assert (await made.engines[0].workers())[0].status == "idle"


async def test_an_order_to_a_worker_that_is_not_there_is_refused() -> None:
    async with fleet() as made:
        with pytest.raises(MusterError) as refused:
            await made.engines[0].order("w1", "drain")
        assert refused.value.code is ErrorCode.WORKER_NOT_FOUND


# Reputation


async def test_a_worker_that_fails_at_once_where_others_do_not_is_slowed_and_recovers() -> None:
    async with fleet() as made:
        for name in ("good", "broken"):
            await made.worker(name)
        for _ in range(4):
            await made.start()
            await made.report(await leased(made.poll("good")), "good")
        for _ in range(6):
            await made.start()
            await made.report(await leased(made.poll("broken")), "broken", status="failure", code="PERMANENT_ERROR")
        closed = made.engines[0]._fleet.reputation.closed("broken")
        slowed = made.engines[0]._fleet.reputation.slowed("broken")
        assert closed == ("render",)
        assert slowed["render"] >= 500
        await made.engines[0]._fleet._tell_reputation()
        assert [view.worker_id for view in await made.engines[0].workers() if view.slowed] == ["broken"]
        job, waiting = await made.start(), made.poll("broken")
        await asyncio.sleep(0.05)
        assert not waiting.done()
        probe = await leased(waiting)  # it gets one when its delay is over
        assert probe.job_id == job
        await made.report(probe, "broken")
        await made.start()
        again = await leased(made.poll("broken", seconds=2))
        await made.report(again, "broken")
        assert made.engines[0]._fleet.reputation.slowed("broken") == {}


async def test_bad_jobs_slow_nobody() -> None:
    async with fleet() as made:
        names = ("one", "two")
        for name in names:
            await made.worker(name)
        for turn in range(16):
            await made.start()
            name = names[turn % 2]
            await made.report(await leased(made.poll(name)), name, status="failure", code="PERMANENT_ERROR")
        assert not any(made.engines[0]._fleet.reputation.slowed(name) for name in names)


def test_only_a_worker_that_does_worse_than_others_is_a_black_hole() -> None:
    assert is_black_hole(Tally(0, 8), Tally(20, 1))
    assert not is_black_hole(Tally(0, 8), Tally(0, 20)), "everybody fails"
    assert not is_black_hole(Tally(0, 8), Tally()), "nobody to compare with"
    assert not is_black_hole(Tally(0, 2), Tally(20, 0)), "too few"
    assert not is_black_hole(Tally(8, 2), Tally(20, 0)), "mostly good"
    assert Tally(8, 0).aged(300_000).good == 4.0
    assert [is_quick(ms, 5_000) for ms in (4_000, 6_000)] == [True, False]
    assert delay_ms(100) == DELAY_MAX_MS
    assert OTHERS_MIN > 0


# Lines


def waiter(name: str, classes: tuple[str, ...] = ("a",), wanted: int = 1) -> Waiter:
    return Waiter(name, classes, wanted, 1000, patient=False)


def test_seats_go_round_before_anybody_gets_a_second_one() -> None:
    one, two = waiter("one", wanted=3), waiter("two", wanted=2)
    assert [w.worker for w in seats([one, two], 4)] == ["one", "two", "one", "two"]
    assert [w.worker for w in seats([one, two], 1)] == ["one"]


def test_who_moves_to_another_line_stands_there_by_its_age() -> None:
    lines = Lines()
    old, young = waiter("old", ("a",)), waiter("young", ("b",))
    lines.join(old)
    lines.join(young)
    assert lines.move(lambda name: ("b",) if name == "old" else None)
    assert [(classes, [w.worker for w in line]) for classes, line in lines] == [(("b",), ["old", "young"])]


def test_a_plain_class_has_the_id_it_always_had() -> None:
    from muster.core.matching import Requirement
    from muster.store.keys import short_hash

    assert class_of(Requirement("render")) == short_hash("render")
    assert class_of(Requirement("render", (("cpu", "ge", ("1",)),))) != short_hash("render")
