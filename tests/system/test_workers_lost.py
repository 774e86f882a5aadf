"""Workers die, hang, go silent, leave: their tasks do not go with them."""

import asyncio
import contextlib
import signal
import time

import aiohttp

from tests.system.callers import Api, PlainWorker, api_at, until
from tests.system.conftest import REGISTRATION_TTL_S
from tests.system.processes import Cluster


async def started(cluster: Cluster, prefix: str, runs: int = 1) -> None:
    async def noted() -> bool:
        return len(cluster.runs_of(prefix)) >= runs

    await until(noted, f"{runs} runs have begun")


async def test_the_task_of_a_killed_sdk_worker_is_handed_out_again_within_10_s_by_default(
    fleet: Cluster, a: Api, name: str
) -> None:
    victim = fleet.add_worker(name)
    job_id = await a.start("one", type=f"{name}.hold")
    await started(fleet, name)
    heir = fleet.add_worker(name)
    async with asyncio.timeout(20):
        while len([w for w in (await a.call("GET", "/api/v1/workers")).body if w["worker_id"].startswith(name)]) < 2:
            await asyncio.sleep(0.05)
    killed_at = time.monotonic()
    victim.kill()
    await started(fleet, name, 2)
    assert time.monotonic() - killed_at < 10
    (fleet.folder / f"{name}.go").touch()
    job = await a.end_of(job_id)
    assert (job["status"], job["state_history"]) == ("finished", {"attempt": 2})
    heir.kill()


async def test_a_worker_that_knows_only_the_documented_routes_keeps_a_long_task_as_long_as_it_is_heard_of(
    forgetful: Cluster, http: aiohttp.ClientSession
) -> None:
    """And loses it when its registration lapses. Leases of the SDK are as short as can be meanwhile."""
    api = api_at(http, forgetful.a.url)
    beating = PlainWorker(http, forgetful.a.url, worker_id="beating")
    polling = PlainWorker(http, forgetful.a.url, worker_id="polling")
    other = PlainWorker(http, forgetful.a.url, worker_id="other")
    await beating.register("long.beating")
    await polling.register("long.polling")
    jobs = [await api.start("one", type="long.beating"), await api.start("one", type="long.polling")]
    held = [await beating.take(), await polling.take()]
    await other.register("long.beating", "long.polling")
    until_ = time.monotonic() + 3 * REGISTRATION_TTL_S
    while time.monotonic() < until_:
        empty, quiet, stolen = await asyncio.gather(beating.beat(), polling.poll(0.4), other.poll(0.4))
        assert (empty.status, quiet, stolen) == (200, None, None)
    assert (await beating.report(held[0])).body == {"status": "result_accepted_success"}
    assert (await api.end_of(jobs[0]))["status"] == "finished"
    # From here on the second one is silent.
    lost = None
    deadline = time.monotonic() + 3 * REGISTRATION_TTL_S + 3
    while lost is None and time.monotonic() < deadline:
        lost = await other.poll(1)
    assert lost is not None
    assert (lost["job_id"], lost["attempt"]) == (jobs[1], 2)
    late = await polling.report(held[1], data={"late": True})
    assert (late.status, late.body) == (200, {"status": "result_ignored", "reason": "stale_task"})
    assert (await other.report(lost, data={"late": False})).body == {"status": "result_accepted_success"}
    assert (await api.end_of(jobs[1]))["state_history"] == {"late": False}
    assert (await polling.beat()).status == 404


async def test_a_poll_that_the_worker_leaves_takes_no_task_along(a: Api, on_a: PlainWorker, name: str) -> None:
    await on_a.register(name)
    for _ in range(5):
        abandoned = asyncio.create_task(on_a.poll(20))
        await asyncio.sleep(0.05)  # let it arrive
        abandoned.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await abandoned
    job_id = await a.start("one", type=name)
    task = await on_a.take(5)
    assert (task["job_id"], task["attempt"]) == (job_id, 1)
    await on_a.report(task)
    assert (await a.end_of(job_id))["status"] == "finished"


async def test_leaving_at_the_very_moment_a_task_is_handed_out_loses_none(a: Api, on_a: PlainWorker, name: str) -> None:
    """Some of these polls are given up while their claim is under way; every task still comes to the same worker."""
    await on_a.register(name)
    jobs = set()
    for n in range(12):
        poll = asyncio.create_task(on_a.poll(20))
        await asyncio.sleep(0.01)
        starting = asyncio.create_task(a.start("one", type=name))
        await asyncio.sleep(0.0007 * n)
        poll.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            task = await poll
            if task is not None:
                await on_a.report(task)
        jobs.add(await starting)
    open_ = {job_id for job_id in jobs if (await a.job(job_id))["status"] != "finished"}
    lost = set()
    for _ in open_:
        task = await on_a.poll(2)
        if task is None:
            break
        await on_a.report(task)
        lost.add(task["job_id"])
    assert open_ == lost, "a task went with a poll that was given up"


async def test_a_task_that_kills_every_worker_is_put_aside_after_the_third_while_others_go_on(
    quick: Cluster, http: aiohttp.ClientSession
) -> None:
    api = api_at(http, quick.a.url)
    quick.add_worker("innocent")
    poison = await api.start("one", type="poison.die")
    fine = []
    for n in range(1, 4):
        worker = quick.add_worker("poison")
        await started(quick, "poison", n)
        fine.append(await api.start("one", type="innocent.echo"))
        async with asyncio.timeout(15):
            while not worker.has_ended:
                await asyncio.sleep(0.02)
        worker.close()
    job = await api.end_of(poison)
    assert (job["status"], job["error_details"]["code"]) == ("quarantined", "POISON_TASK")
    assert len(quick.runs_of("poison")) == 3
    assert {(await api.end_of(job_id))["status"] for job_id in fine} == {"finished"}


async def test_workers_that_are_killed_under_load_lose_no_job(mortal: Cluster, http: aiohttp.ClientSession) -> None:
    a, b = api_at(http, mortal.a.url), api_at(http, mortal.b.url)
    first = mortal.add_worker("load", MUSTER_WORKER_SLOTS="8")
    mortal.add_worker("load", MUSTER_WORKER_SLOTS="8")
    jobs = [await api.start("three", type="load.work") for api in (a, b) for _ in range(40)]
    await started(mortal, "load", 20)
    first.kill()
    ends = await asyncio.gather(*(b.end_of(job_id, 40) for job_id in jobs))
    assert {job["status"] for job in ends} == {"finished"}
    assert {job["state_history"]["step"] for job in ends} == {3}


async def test_a_worker_that_is_asked_to_end_finishes_what_it_holds_and_takes_nothing_more(
    fleet: Cluster, a: Api, name: str
) -> None:
    worker = fleet.add_worker(name, MUSTER_WORKER_SLOTS="1")
    held = await a.start("one", type=f"{name}.hold")
    await started(fleet, name)
    next_ = await a.start("one", type=f"{name}.echo")
    worker.signal(signal.SIGTERM)
    await asyncio.sleep(0.3)  # it would take the next one now, if it did not know better
    (fleet.folder / f"{name}.go").touch()
    assert worker.wait() == 0
    job = await a.end_of(held)
    assert (job["status"], job["state_history"]) == ("finished", {"attempt": 1})
    assert (await a.job(next_))["status"] == "waiting_for_worker"


async def test_a_busy_plain_handler_does_not_cost_the_worker_its_lease(
    forgetful: Cluster, http: aiohttp.ClientSession
) -> None:
    api = api_at(http, forgetful.a.url)
    forgetful.add_worker("burn")
    job_id = await api.start("one", type="burn.burn", params={"seconds": 3})
    job = await api.end_of(job_id)
    assert (job["status"], job["state_history"]) == ("finished", {"attempt": 1})
    assert len(forgetful.runs_of("burn")) == 1


async def test_a_worker_that_was_stopped_past_its_lease_cannot_overwrite_its_heir(
    quick: Cluster, http: aiohttp.ClientSession
) -> None:
    api = api_at(http, quick.a.url)
    frozen = quick.add_worker("frozen")
    job_id = await api.start("one", type="frozen.hold")
    await started(quick, "frozen")
    frozen.pause()
    quick.add_worker("frozen")
    await started(quick, "frozen", 2)
    (quick.folder / "frozen.go").touch()
    job = await api.end_of(job_id)
    assert (job["status"], job["state_history"]) == ("finished", {"attempt": 2})
    frozen.resume()
    after = await api.start("one", type="frozen.echo", params={"still": "here"})
    assert (await api.end_of(after))["status"] == "finished"
    assert (await api.job(job_id))["state_history"] == {"attempt": 2}


async def test_a_task_that_runs_past_its_timeout_is_tried_again_and_its_late_result_ignored(
    a: Api, on_a: PlainWorker, name: str
) -> None:
    await on_a.register(name)
    job_id = await a.start("one", type=name, timeout=0.5, retries=1)
    slow = await on_a.take()
    assert slow["timeout_seconds"] == 0.5
    again = await on_a.take(10)
    assert (again["job_id"], again["attempt"]) == (job_id, 2)
    await on_a.report(again, data={"attempt": 2})
    assert (await a.end_of(job_id))["state_history"] == {"attempt": 2}
    late = await on_a.report(slow, data={"attempt": 1})
    assert (late.status, late.body["status"]) == (200, "result_ignored")
    assert (await a.job(job_id))["state_history"] == {"attempt": 2}
