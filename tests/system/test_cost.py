"""Cost in a fleet of real processes: attempts that are lost cost what they ran, at their worker's price."""

from datetime import UTC, datetime
from typing import Any

from tests.system.callers import Api, PlainWorker, until


async def costs_of(api: Api, meter: str) -> Any:
    reply = await api.call("GET", "/api/v1/cost/days")
    return next((day for day in reply.body["days"] if day["meter"] == meter), None)


async def test_both_attempts_of_a_task_cost_their_own_workers_price(
    a: Api, b: Api, on_a: PlainWorker, on_b: PlainWorker, stranger: Api, name: str
) -> None:
    await on_a.register(name, cost_per_second=1.0)
    job_id = await a.start("one", type=name, runtime=name)
    await on_a.report(await on_a.take(), "failure", error={"code": "TRANSIENT_ERROR", "message": "again"})
    first = (await b.job(job_id))["cost_micros"]
    assert first > 0
    assert first % 1_000 == 0
    await on_a.beat(status="draining")
    await on_b.register(name, cost_per_second=0.5)
    await on_b.report(await on_b.take(), data={"x": 1})
    job = await b.end_of(job_id)
    assert job["cost_micros"] > first
    assert (job["cost_micros"] - first) % 500 == 0
    day = await costs_of(b, f"one|{name}")
    assert (day["date"], day["jobs"]) == (datetime.fromisoformat(job["created_at"]).date().isoformat(), 1)
    assert day["cost_micros"] == job["cost_micros"] <= day["run_ms"] * 1_000
    assert await costs_of(stranger, f"one|{name}") is None
    assert datetime.now(UTC).date() >= datetime.fromisoformat(job["created_at"]).date()


async def test_a_type_with_a_price_of_its_own_costs_that_and_others_what_the_worker_asks(
    a: Api, b: Api, on_a: PlainWorker, name: str
) -> None:
    other = f"{name}-other"
    await on_a.register(name, other, cost_per_second=1.0, cost_per_task={name: 0.003})
    for kind, price in ((name, 3), (other, 1_000)):
        job_id = await a.start("one", type=kind, runtime=kind)
        await on_a.report(await on_a.take(), data={"x": 1})
        job = await b.end_of(job_id)
        day = await costs_of(b, f"one|{kind}")
        assert (day["cost_micros"], job["cost_micros"]) == (day["run_ms"] * price, day["cost_micros"])
        assert job["cost_micros"] > 0


async def test_a_run_that_times_out_costs_what_it_ran(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name, cost_per_second=2.0)
    job_id = await a.start("one", type=name, runtime=name, timeout=0.2, retries=0)
    await on_a.take()
    job = await a.end_of(job_id)
    assert job["status"] in {"failed", "quarantined"}
    assert job["cost_micros"] >= 200 * 2_000

    async def counted() -> bool:
        return await costs_of(a, f"one|{name}") is not None

    await until(counted, "the job is counted")
    assert (await costs_of(a, f"one|{name}"))["cost_micros"] == job["cost_micros"]
