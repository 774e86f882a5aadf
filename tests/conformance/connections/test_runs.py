"""POST /connections/{name}/run and /run_async, GET /task_status and /history of single runs, POST /cancel_task."""

import asyncio

import pytest

from tests.conformance.connections.conftest import NEVER, Pipelines, Source
from tests.system.callers import until

RESULT = {
    "success",
    "duration_ms",
    "rows_inserted",
    "error",
    "report",
    "attempts",
    "records_reported",
    "progress_counts",
    "run_id",
}
SINGLE = {"status", "kind", "canceled", "started_at", "finished_at", "active", "connection", "result", "error"}
ROW = {
    "id",
    "run_id",
    "connection_name",
    "connection_type",
    "schema_name",
    "success",
    "started_at",
    "finished_at",
    "duration_ms",
    "attempts",
    "error",
    "progress_counts",
}


async def test_a_run_is_waited_for_and_tells_its_figures(client: Pipelines) -> None:
    result = await client.run("trello")
    assert set(result) == RESULT
    assert 0 <= result.pop("duration_ms") < 20_000
    run_id = result.pop("run_id")
    assert result == {
        "success": True,
        "rows_inserted": 3,
        "error": None,
        "report": None,
        "attempts": 1,
        "records_reported": 3,
        "progress_counts": {"cards": 3},
    }
    assert (await client.job(run_id))["status"] == "finished"


async def test_a_report_is_there_for_who_asks_for_it(client: Pipelines) -> None:
    report = (await client.run("trello", "?include_report=true"))["report"]
    assert "trello" in report
    assert "rows_inserted: 3" in report
    assert "fetched 3 cards" in report
    assert (await client.run("trello", "?include_report=false"))["report"] is None


async def test_a_command_that_fails_is_an_answer_and_no_error(client: Pipelines) -> None:
    result = await client.run("broken_source", "?include_report=1")
    assert (result["success"], result["error"]) == (False, "command exited with status 3")
    assert (result["rows_inserted"], result["records_reported"], result["progress_counts"]) == (0, None, None)
    assert "command exited with status 3" in result["report"]


async def test_figures_are_known_of_a_run_that_failed(special: Pipelines) -> None:
    result = await special.run("failing")
    assert (result["success"], result["rows_inserted"]) == (False, 1)


async def test_what_a_run_says_of_itself_counts_and_what_is_no_count_does_not(special: Pipelines) -> None:
    result = await special.run("talkative")
    assert (result["rows_inserted"], result["attempts"], result["progress_counts"]) == (5, 4, None)


async def test_a_run_may_take_several_attempts(special: Pipelines) -> None:
    result = await special.run("flaky", "?include_report=true")
    assert (result["success"], result["attempts"]) == (True, 2)
    assert result["report"].count("try\n") == 2


async def test_a_connection_may_run_any_blueprint(special: Pipelines) -> None:
    result = await special.run("counted")
    assert (result["success"], result["rows_inserted"], result["progress_counts"]) == (True, 7, {"cards": 2})
    result = await special.run("declined")
    assert (result["success"], result["error"]) == (False, "the source is closed on Sundays")
    (row, *_) = await special.ok("GET", "/history?limit=1")
    assert (row["connection_name"], row["connection_type"], row["schema_name"]) == ("declined", "declined", "declined")


async def test_a_run_that_was_put_aside_is_unexpected(special: Pipelines) -> None:
    reply = await special.call("POST", "/connections/stuck/run")
    assert (reply.status, reply.body["code"]) == (500, "run_failed")
    assert "nobody knows what to do" in reply.body["detail"]
    status = await special.reaches(reply.body["run_id"], "finished")
    assert (status["result"]["success"], status["error"]) == (False, "nobody knows what to do")


async def test_a_run_that_does_not_end_in_time_is_unexpected_and_goes_on(lonely: Pipelines) -> None:
    reply = await lonely.call("POST", "/connections/trello/run")
    assert (reply.status, reply.body["code"]) == (500, "run_failed")
    status = await lonely.status(reply.body["run_id"])
    assert (status["status"], status["active"], status["result"]) == ("queued", True, None)


async def test_a_caller_who_hangs_up_does_not_stop_the_run(client: Pipelines, source: Source) -> None:
    waiting = asyncio.ensure_future(client.run("slow_source"))

    async def has_started() -> bool:
        jobs = (await client.call("GET", "/api/v1/jobs")).body["items"]
        return any(job["status"] == "waiting_for_worker" for job in jobs)

    await until(has_started, "the run is there")
    waiting.cancel()
    job_id = (await client.call("GET", "/api/v1/jobs")).body["items"][0]["id"]
    source.answers()
    assert (await client.reaches(job_id, "finished"))["result"]["success"] is True


async def test_a_run_in_the_background_is_answered_at_once_and_can_be_followed(
    client: Pipelines, source: Source
) -> None:
    started = await client.ok("POST", "/connections/slow_source/run_async")
    assert set(started) == {"message", "task_id", "connection"}
    assert (started["connection"], "slow_source" in started["message"]) == ("slow_source", True)
    running = await client.reaches(started["task_id"], "running")
    assert set(running) == SINGLE
    assert (running["kind"], running["connection"]) == ("single", "slow_source")
    assert (running["active"], running["canceled"]) == (True, False)
    assert (running["result"], running["error"], running["finished_at"]) == (None, None, None)
    assert running["started_at"] is not None
    source.answers()
    done = await client.reaches(started["task_id"], "finished")
    assert (done["active"], done["canceled"], done["error"]) == (False, False, None)
    assert done["finished_at"] > done["started_at"]
    assert set(done["result"]) == RESULT
    assert (done["result"]["success"], done["result"]["run_id"]) == (True, started["task_id"])


async def test_a_failed_run_is_finished_with_its_error(client: Pipelines) -> None:
    done = await client.reaches(await client.run_async("broken_source"), "finished")
    assert done["error"] == done["result"]["error"] == "command exited with status 3"
    assert (done["result"]["success"], done["canceled"]) == (False, False)


async def test_a_running_task_is_cancelled_once(special: Pipelines) -> None:
    task_id = await special.run_async("hanging")
    await special.reaches(task_id, "running")
    reply = await special.call("POST", f"/cancel_task/{task_id}")
    assert (reply.status, set(reply.body)) == (200, {"message"})
    assert task_id in reply.body["message"]
    assert (await special.call("POST", f"/cancel_task/{task_id}")).status == 404
    done = await special.reaches(task_id, "cancelled")
    assert (done["canceled"], done["active"]) == (True, False)
    assert (done["result"]["success"], done["error"]) == (False, "cancelled")
    assert (await special.call("POST", f"/cancel_task/{task_id}")).status == 404


async def test_a_queued_task_can_be_cancelled(lonely: Pipelines) -> None:
    task_id = await lonely.run_async("trello")
    assert (await lonely.status(task_id))["started_at"] is not None
    await lonely.ok("POST", f"/cancel_task/{task_id}")
    done = await lonely.reaches(task_id, "cancelled")
    assert done["result"]["duration_ms"] == 0
    assert done["result"]["attempts"] is None


async def test_a_task_that_is_over_cannot_be_cancelled(client: Pipelines) -> None:
    run_id = (await client.run("trello"))["run_id"]
    reply = await client.call("POST", f"/cancel_task/{run_id}")
    assert (reply.status, reply.body["code"]) == (404, "job_not_found")


@pytest.mark.parametrize("task_id", [NEVER, "x", "..", "%00", "batch_1"])
async def test_an_unknown_task_is_not_found(client: Pipelines, task_id: str) -> None:
    for method, path in [("GET", "task_status"), ("POST", "cancel_task")]:
        assert (await client.call(method, f"/{path}/{task_id}")).status == 404


async def test_a_task_of_another_tenant_is_an_unknown_one(client: Pipelines, other: Pipelines, source: Source) -> None:
    task_id = await client.run_async("slow_source")
    unknown = await other.call("GET", f"/task_status/{NEVER}")
    for method, path in [("GET", "task_status"), ("POST", "cancel_task")]:
        reply = await other.call(method, f"/{path}/{task_id}")
        assert (reply.status, reply.body["code"], reply.body["detail"]) == (
            404,
            unknown.body["code"],
            unknown.body["detail"],
        )
    source.answers()
    assert (await client.reaches(task_id, "finished"))["canceled"] is False


async def test_a_job_that_is_no_run_is_no_task(client: Pipelines) -> None:
    job_id = await client.start("command", argv=["true"])
    await client.end_of(job_id)
    assert (await client.call("GET", f"/task_status/{job_id}")).status == 404
    assert await client.ok("GET", "/history") == []


async def test_history_is_newest_first_and_the_callers_own(client: Pipelines, other: Pipelines) -> None:
    assert await client.ok("GET", "/history") == []
    runs = [await client.run(name) for name in ("trello", "broken_source", "trello")]
    found = await client.ok("GET", "/history")
    assert all(set(row) == ROW for row in found)
    assert [row["run_id"] for row in found] == [run["run_id"] for run in reversed(runs)]
    ids = [row["id"] for row in found]
    assert ids == sorted(set(ids), reverse=True)
    assert all(0 < number < 2**53 for number in ids)
    good, bad = found[0], found[1]
    assert (good["connection_name"], good["connection_type"], good["schema_name"]) == ("trello", "command", "trello")
    assert (good["success"], good["attempts"], good["error"]) == (True, 1, None)
    assert good["progress_counts"] == {"cards": 3}
    assert good["duration_ms"] == runs[2]["duration_ms"]
    assert (bad["success"], bad["error"]) == (False, "command exited with status 3")
    assert good["started_at"] <= good["finished_at"]
    assert await client.ok("GET", "/history") == found
    assert await other.ok("GET", "/history") == []


async def test_history_has_a_limit_and_a_run_that_goes_on_is_not_in_it(client: Pipelines, source: Source) -> None:
    runs = [(await client.run("trello"))["run_id"] for _ in range(3)]
    going_on = await client.run_async("slow_source")
    assert [row["run_id"] for row in await client.ok("GET", "/history?limit=2")] == [runs[2], runs[1]]
    assert len(await client.ok("GET", "/history?limit=1000")) == 3
    source.answers()
    await client.reaches(going_on, "finished")
    assert (await client.ok("GET", "/history?limit=1"))[0]["run_id"] == going_on


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "", "1.5", "1e3"])
async def test_a_limit_that_is_out_of_bounds_is_unprocessable(client: Pipelines, limit: str) -> None:
    reply = await client.call("GET", f"/history?limit={limit}")
    assert (reply.status, reply.body["code"]) == (422, "unprocessable")


async def test_ten_runs_are_shown_where_nobody_says_how_many(special: Pipelines) -> None:
    for _ in range(11):
        await special.run("declined")
    assert len(await special.ok("GET", "/history")) == 10
    assert len(await special.ok("GET", "/history?limit=11")) == 11
