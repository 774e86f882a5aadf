"""surfaces.md 3: batches, costs and estimates."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from muster.surfaces.paging import PAGE_BYTES_MAX

from tests.conformance.executions.conftest import ASSUMED_PRICE, RUNTIME, UNSERVED, Client, new_client
from tests.system.callers import PlainWorker

SCRIPT = "print('hi')"
FAILED = {"code": "COMMAND_FAILED", "message": "command exited with status 1"}


async def get(client: Client, path: str) -> Any:
    reply = await client.call("GET", path)
    assert reply.status == 200, (path, reply.body)
    return reply.body


async def ended_one(client: Client, hands: PlainWorker, **members: Any) -> dict[str, Any]:
    made = await client.run(SCRIPT, **members)
    await hands.report(await hands.take(), data={"exit_code": 0})
    return await client.ended(made)


async def test_a_batch_has_a_status_for_each_member_in_the_order_of_creation(quiet: Client, hands: PlainWorker) -> None:
    one = await ended_one(quiet, hands, batch_id="batch_1")
    two = await quiet.run(SCRIPT, batch_id="batch_1")
    await hands.report(await hands.take(), "failure", error=FAILED)
    await quiet.ended(two)
    await quiet.run(SCRIPT, batch_id="batch_1")
    await hands.take()
    await quiet.run(SCRIPT, batch_id="batch_1")
    await quiet.run(SCRIPT, batch_id="batch_2")
    body = await get(quiet, "/api/v1/batches/batch_1/status")
    assert body["statuses"] == ["completed", "failed", "running", "queued"]
    assert (body["batch_id"], body["total"]) == ("batch_1", 4)
    assert body["counts"] == {"completed": 1, "failed": 1, "running": 1, "queued": 1}
    assert body["total_cost_micros"] >= one["cost_micros"]


async def test_the_cost_of_a_batch_is_that_of_its_members(quiet: Client, hands: PlainWorker) -> None:
    done = [await ended_one(quiet, hands, batch_id="b") for _ in range(3)]
    body = await get(quiet, "/api/v1/batches/b/status")
    assert body["total_cost_micros"] == sum(execution["cost_micros"] for execution in done)


async def test_the_members_of_a_batch_are_listed_in_the_order_of_creation(quiet: Client, hands: PlainWorker) -> None:
    done = await ended_one(quiet, hands, batch_id="b", args=["--fast", "table.csv", "b.csv"])
    inputs = await quiet.run(SCRIPT, batch_id="b", input_files=["first.csv", "second.csv"], args=["x.csv"])
    none = await quiet.run(SCRIPT, batch_id="b", args=["x"])
    members = await get(quiet, "/api/v1/batches/b/executions")
    assert [member["execution_id"] for member in members] == [one["execution_id"] for one in (done, inputs, none)]
    assert [member["batch_metadata"] for member in members] == [
        {"input_file": "table.csv"},
        {"input_file": "first.csv"},
        {"input_file": None},
    ]
    assert members[0] == {
        "execution_id": done["execution_id"],
        "status": "completed",
        "batch_metadata": {"input_file": "table.csv"},
        "created_at": done["created_at"],
        "completed_at": done["completed_at"],
    }
    assert (members[2]["status"], members[2]["completed_at"]) == ("queued", None)


async def test_batches_of_other_tenants_and_unknown_ones_are_404(quiet: Client) -> None:
    other = new_client(quiet)
    await quiet.run(SCRIPT, batch_id="b")
    await other.run(SCRIPT, batch_id="theirs")
    for batch in ("theirs", "nobodys", "x" * 129, "%00", "a%2Fb"):
        for what in ("status", "executions"):
            reply = await quiet.call("GET", f"/api/v1/batches/{batch}/{what}")
            assert (reply.status, reply.body["code"], reply.body["detail"]) == (404, "not_found", "Batch not found")
    assert (await get(quiet, "/api/v1/batches/b/status"))["total"] == 1


async def test_batch_ids_belong_to_tenants_and_may_be_any_text(quiet: Client) -> None:
    other = new_client(quiet)
    for client in (quiet, other):
        await client.run(SCRIPT, batch_id="my batch/ü")
    for client in (quiet, other):
        assert (await get(client, "/api/v1/batches/my%20batch%2F%C3%BC/status"))["total"] == 1


async def test_members_of_a_batch_run_side_by_side(quiet: Client, hands: PlainWorker) -> None:
    made = {(await quiet.run(SCRIPT, batch_id="b"))["execution_id"] for _ in range(2)}
    assert {(await hands.take())["job_id"], (await hands.take())["job_id"]} == made


# Costs


async def test_without_executions_nothing_was_paid(quiet: Client) -> None:
    body = await get(quiet, "/api/v1/cost")
    today = datetime.now(UTC).date()
    assert body == {
        "start_date": str(today - timedelta(days=7)),
        "end_date": str(today),
        "total_cost_micros": 0,
        "total_cost_display": "€0.00",
        "by_date": [],
        "total_executions": 0,
    }


async def test_costs_are_told_by_day_and_their_sums_are_the_totals(quiet: Client, hands: PlainWorker) -> None:
    done = [await ended_one(quiet, hands) for _ in range(3)]
    failed = await quiet.run(SCRIPT)
    await hands.report(await hands.take(), "failure", error=FAILED)
    done.append(await quiet.ended(failed))
    await ended_one(new_client(quiet), hands)
    await quiet.run(SCRIPT)
    body = await get(quiet, "/api/v1/cost?since=2024-01-01")
    assert (body["start_date"], body["end_date"]) == ("2024-01-01", str(datetime.now(UTC).date()))
    assert body["total_cost_micros"] == sum(execution["cost_micros"] for execution in done)
    assert body["total_executions"] == 4
    (day,) = body["by_date"]
    assert set(day) == {"date", "executions", "compute_time_seconds", "cost_micros", "cost_display"}
    assert (day["date"], day["executions"]) == (done[0]["created_at"][:10], 4)
    assert (day["cost_micros"], day["cost_display"]) == (body["total_cost_micros"], body["total_cost_display"])
    assert isinstance(day["compute_time_seconds"], int)


async def test_jobs_of_other_blueprints_are_no_executions_and_cost_nothing_here(quiet: Client) -> None:
    worker = PlainWorker(quiet.session, quiet.url, worker_id="flows")
    await worker.register("conformance_task", cost_per_second=9)
    job_id = await quiet.start("simple_flow", text="a")
    await worker.report(await worker.take())
    await quiet.end_of(job_id)
    assert (await get(quiet, "/api/v1/cost"))["total_executions"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=2024-13-01",
        "until=2024-02-30",
        "since=20240101",
        "since=2024-01-02&until=2024-01-01",
        "since=9999-01-01",
        "until=0001-01-01",
        "since=1969-12-31",
        "since=",
    ],
)
async def test_days_that_make_no_sense_are_422(quiet: Client, query: str) -> None:
    reply = await quiet.call("GET", f"/api/v1/cost?{query}")
    assert (reply.status, reply.body["code"]) == (422, "unprocessable")


async def test_the_first_day_is_seven_days_before_the_last(quiet: Client) -> None:
    body = await get(quiet, "/api/v1/cost?until=2024-01-15")
    assert (body["start_date"], body["end_date"], body["by_date"]) == ("2024-01-08", "2024-01-15", [])
    one_day = await get(quiet, "/api/v1/cost?since=2024-01-15&until=2024-01-15")
    assert one_day["start_date"] == one_day["end_date"]
    for query in ("since=1970-01-01", "until=9998-12-31", "since=9998-01-01&until=9998-12-31"):
        assert (await get(quiet, f"/api/v1/cost?{query}"))["total_executions"] == 0


# Estimates


async def test_without_history_a_minute_is_assumed_at_the_price_of_the_workers(
    quiet: Client, hands: PlainWorker
) -> None:
    for number, price in enumerate((1, 40)):
        another = PlainWorker(quiet.session, quiet.url, worker_id=f"hands-{number}")
        await another.register("command", cost_per_second=500, cost_per_task={"command": price}, runtimes=[RUNTIME])
    elsewhere = PlainWorker(quiet.session, quiet.url, worker_id="elsewhere")
    await elsewhere.register("command", cost_per_second=1000, runtimes=["ruby:3.2"])
    body = await get(quiet, f"/api/v1/estimate?runtime={RUNTIME}&files=100")
    assert set(body) == {
        "estimated_executions",
        "estimated_duration_seconds",
        "estimated_total_duration_seconds",
        "estimated_cost_micros",
        "estimated_cost_display",
        "assumptions",
    }
    assert (body["estimated_executions"], body["estimated_duration_seconds"]) == (100, 60)
    assert body["estimated_total_duration_seconds"] == 6000
    assert body["estimated_cost_micros"] == 6000 * 2 * 1_000_000, "the median of 1, 2 and 40"
    assert body["estimated_cost_display"] == "€12000.00"
    assert body["assumptions"][0] == "no history: 60 s assumed"


async def test_without_a_worker_the_configured_price_is_assumed(quiet: Client, hands: PlainWorker) -> None:
    body = await get(quiet, f"/api/v1/estimate?runtime={UNSERVED}")
    assert body["estimated_executions"] == 1
    assert body["estimated_cost_micros"] == 60 * ASSUMED_PRICE * 1_000_000
    assert all(isinstance(text, str) for text in body["assumptions"])


async def test_history_is_that_of_the_runtime_and_of_the_tenant(quiet: Client, hands: PlainWorker) -> None:
    for _ in range(3):
        await ended_one(quiet, hands)
    body = await get(quiet, f"/api/v1/estimate?runtime={RUNTIME}&files=10")
    assert 0 <= body["estimated_duration_seconds"] < 30
    assert body["estimated_total_duration_seconds"] == 10 * body["estimated_duration_seconds"]
    assert "last 3 completed" in body["assumptions"][0]
    assert (await get(quiet, f"/api/v1/estimate?runtime={UNSERVED}"))["estimated_duration_seconds"] == 60
    assert (await get(new_client(quiet), "/api/v1/estimate"))["estimated_duration_seconds"] == 60


async def test_no_files_cost_nothing_and_the_runtime_has_a_default(quiet: Client) -> None:
    body = await get(quiet, "/api/v1/estimate?files=0")
    assert (body["estimated_executions"], body["estimated_cost_micros"]) == (0, 0)
    assert body["estimated_cost_display"] == "€0.00"
    assert (await get(quiet, "/api/v1/estimate?runtime=python"))["estimated_executions"] == 1


@pytest.mark.parametrize("query", ["files=-1", "files=x", "files=1.5", "files=", "runtime=cobol:85", "runtime="])
async def test_estimates_of_nonsense_are_422(quiet: Client, query: str) -> None:
    reply = await quiet.call("GET", f"/api/v1/estimate?{query}")
    assert (reply.status, reply.body["code"]) == (422, "unprocessable")


async def test_lists_of_very_large_executions_have_the_newest_that_fit(quiet: Client) -> None:
    large = "x" * 900_000
    made = [await quiet.start("command", argv=["true"], labels={"input_files": [large]}) for _ in range(20)][::-1]
    reply = await quiet.call("GET", "/api/v1/executions?limit=200")
    ids = [execution["execution_id"] for execution in reply.body]
    assert 1 < len(ids) < len(made)
    assert ids == made[: len(ids)]
    assert len(reply.raw) <= PAGE_BYTES_MAX + 10_000


async def test_a_batch_of_very_large_members_lists_the_newest_that_fit(quiet: Client) -> None:
    made: list[str] = []
    for number in range(20):
        initial = {"argv": ["true"], "labels": {"input_files": [f"{number}{'x' * 900_000}"]}}
        reply = await quiet.call("POST", "/api/v1/jobs/command", {"initial_data": initial, "tags": ["batch:large"]})
        made.append(reply.body["job_id"])
    listed = await get(quiet, "/api/v1/batches/large/executions")
    assert 1 < len(listed) < len(made)
    assert [member["execution_id"] for member in listed] == made[-len(listed) :]
    assert (await get(quiet, "/api/v1/batches/large/status"))["total"] == len(made)
