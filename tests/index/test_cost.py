"""What jobs cost: the time their tasks ran, at the prices of the workers that ran them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from muster.core.metering import PRICE_MAX, cost_of, meter_of, price_micros

from tests.api.conftest import ALICE, ANY_WORKER, BOB
from tests.files.conftest import Site


async def price(site: Site, eur_per_second: float) -> None:
    body = {"worker_id": "w1", "supported_tasks": ["work"], "protocol": 1, "cost_per_second": eur_per_second}
    assert (await site.http.post("/_worker/workers/register", json=body, headers=ANY_WORKER)).status == 200


async def job_of(site: Site, job_id: str) -> Any:
    return await (await site.http.get(f"/api/v1/jobs/{job_id}", headers=ALICE)).json()


async def costs(site: Site, query: str = "", headers: dict[str, str] = ALICE) -> Any:
    answer = await site.http.get(f"/api/v1/cost/days?{query}", headers=headers)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_a_job_shows_its_cost_and_its_day_has_the_sum(site: Site) -> None:
    await price(site, 2.0)
    held = await site.hold()
    assert (await job_of(site, held.job_id))["cost_micros"] == 0
    started = site.state.now()
    while site.state.now() < started + 3:
        pass
    await site.end(held)
    job = await job_of(site, held.job_id)
    assert job["cost_micros"] >= 3 * 2_000
    assert job["cost_micros"] % 2_000 == 0
    (day,) = (await costs(site))["days"]
    created = datetime.fromisoformat(job["created_at"]).date()
    assert day == {
        "date": created.isoformat(),
        "meter": "one",
        "jobs": 1,
        "run_ms": job["cost_micros"] // 2_000,
        "cost_micros": job["cost_micros"],
    }
    assert (await costs(site))["total_cost_micros"] == job["cost_micros"]
    assert await costs(site, headers=BOB) == {"days": [], "total_cost_micros": 0}
    assert len(await site.engine.durations("alice", "one")) == 1


async def test_a_price_is_frozen_when_the_task_is_handed_out(site: Site) -> None:
    held = await site.hold()
    await price(site, 900.0)
    await site.end(held)
    assert (await job_of(site, held.job_id))["cost_micros"] == 0


async def test_days_are_newest_first_and_both_ends_are_included(site: Site) -> None:
    await site.end(await site.hold())
    today = datetime.now(UTC).date()
    tomorrow, yesterday = today + timedelta(days=1), today - timedelta(days=1)
    assert len((await costs(site, f"since={yesterday}&until={tomorrow}"))["days"]) == 1
    assert (await costs(site, f"since={today - timedelta(days=30)}&until={today - timedelta(days=3)}"))["days"] == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("since=yesterday", "since"),
        ("until=2024-02-30", "until"),
        ("since=20240101", "since"),
        ("since=2024-02-01&until=2024-01-01", "since"),
        ("since=2020-01-01&until=2024-01-01", "since"),
        ("until=0001-01-03", "until"),
        ("since=1969-12-31&until=1970-01-02", "since"),
    ],
)
async def test_days_that_cannot_be_asked_for_are_400(site: Site, query: str, parameter: str) -> None:
    answer = await site.http.get(f"/api/v1/cost/days?{query}", headers=ALICE)
    assert (answer.status, (await answer.json())["parameter"]) == (400, parameter)


async def test_the_engine_gives_newest_days_first(site: Site) -> None:
    await site.end(await site.hold())
    job = next(iter(site.state.partitions[0].jobs.values()))
    partition = site.state.partitions[0]
    partition.ledger._days[job.flow, date(2024, 1, 1)] = {"one": (1, 2, 3)}
    partition.ledger._days[job.flow, date(2024, 1, 3)] = {"two": (1, 2, 3), "one": (1, 2, 3)}
    found = await site.engine.costs("alice", date(2023, 12, 31), date(2024, 1, 3))
    assert [(cost.day.day, cost.meter) for cost in found] == [(3, "one"), (3, "two"), (1, "one")]


@pytest.mark.parametrize(("eur", "micros"), [(0.0, 0), (-1.0, 0), (0.0000004, 0), (0.001, 1000), (1e9, PRICE_MAX)])
def test_prices_are_whole_micros(eur: float, micros: int) -> None:
    assert price_micros(eur) == micros


def test_a_run_costs_whole_micros_and_never_more_than_can_be_summed() -> None:
    assert [cost_of(ran, 333) for ran in (0, 1, 3, 4, 1000)] == [0, 0, 0, 1, 333]
    assert cost_of(10**12, PRICE_MAX) == 10**15


@pytest.mark.parametrize("runtime", [None, "", 3, ["x"]])
def test_only_a_text_is_a_runtime(runtime: object) -> None:
    assert meter_of("command", {"runtime": runtime}) == "command"
    assert meter_of("command", {"runtime": "x" * 5000}) == "command|" + "x" * 100
