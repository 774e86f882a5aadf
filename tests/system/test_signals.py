"""Signals that clients give to jobs, over HTTP, with the Python client and from the command line."""

import asyncio
import os
import sys

from muster_worker import Client

from tests.system.callers import Api
from tests.system.processes import ALPHA, Cluster


async def send(api: Api, job_id: str, name: str = "go", **data: object) -> int:
    return (await api.call("POST", f"/api/v1/jobs/{job_id}/signals/{name}", data)).status


async def test_a_job_goes_on_at_once_when_its_signal_comes_at_another_replica(a: Api, b: Api) -> None:
    job_id = await a.start("patient")
    waiting = await a.is_(job_id, "waiting")
    assert (waiting["waiting_for"]["kind"], waiting["waiting_for"]["signal"]) == ("signal", "go")
    assert [await send(b, job_id, n=n) for n in (1, 2)] == [200, 200]
    job = await a.end_of(job_id, 2)
    assert (job["status"], job["result"]) == ("finished", {"told": [{"n": 1}, {"n": 2}]})
    assert (await a.events(job_id)).count("signal_received") == 2


async def test_a_signal_that_came_early_is_taken_and_a_second_one_is_for_the_next_wait(a: Api) -> None:
    job_id = await a.start("patient")
    replies = await asyncio.gather(*(send(a, job_id, n=n) for n in range(8)))
    assert set(replies) == {200} or set(replies) == {200, 409}  # the job may be over before the last
    job = await a.end_of(job_id, 2)
    first, second = job["result"]["told"]
    assert first != second


async def test_a_signal_that_does_not_come_leads_to_late(a: Api) -> None:
    job = await a.end_of(await a.start("patient", within="0.2s"))
    assert job["result"] == {"told": []}


async def test_a_waiting_job_is_cancelled_at_once(a: Api) -> None:
    job_id = await a.start("patient")
    await a.is_(job_id, "waiting")
    await a.cancel(job_id)
    assert (await a.job(job_id))["status"] == "cancelled"
    refused = await a.call("POST", f"/api/v1/jobs/{job_id}/signals/go", {})
    assert (refused.status, refused.body["code"]) == (409, "job_final")


async def test_the_hundred_and_first_signal_that_nobody_waits_for_is_refused(a: Api, stranger: Api) -> None:
    job_id = await a.start("patient")
    await a.is_(job_id, "waiting")
    kept = [await send(a, job_id, "other", n=n) for n in range(100)]
    assert set(kept) == {200}
    full = await a.call("POST", f"/api/v1/jobs/{job_id}/signals/other", {})
    assert (full.status, full.body["code"]) == (409, "signals_full")
    assert await send(a, job_id, "not a name") == 400
    assert await send(stranger, job_id) == 404
    assert await send(a, job_id, n=1) == 200  # the awaited one needs no room
    await a.cancel(job_id)


async def test_the_python_client_and_the_command_line_give_signals_too(a: Api, fleet: Cluster) -> None:
    job_id = await a.start("patient")
    async with Client(fleet.a.url, ALPHA) as client:
        await client.signal(job_id, "go", {"by": "client"})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "muster.cli.app", "job", "signal", job_id, "go", '{"by": "hand"}',
        env={**os.environ, "MUSTER_URL": fleet.b.url, "MUSTER_CLIENT_TOKEN": ALPHA},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert out.decode().strip() == f"{job_id}  signal go received"
    job = await a.end_of(job_id)
    assert job["result"] == {"told": [{"by": "client"}, {"by": "hand"}]}
