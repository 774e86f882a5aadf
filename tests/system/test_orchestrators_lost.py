"""Orchestrators are killed, paused and stopped in the middle of things: every accepted job still ends."""

import asyncio
import contextlib

import aiohttp

from tests.system.callers import Api, PlainWorker, api_at
from tests.system.processes import Cluster


async def accept_while(
    api: Api, accepted: list[str], type_: str, stop: asyncio.Event, blueprint: str = "three"
) -> None:
    """Start jobs until told to stop; what is answered 202 counts as accepted, anything else may be lost."""
    while not stop.is_set():
        body = {"initial_data": {"type": type_}}
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            reply = await api.call("POST", f"/api/v1/jobs/{blueprint}", body, timeout_s=10)
            if reply.status == 202:
                accepted.append(reply.body["job_id"])
            else:
                assert reply.status == 503, reply
                assert int(reply.headers["Retry-After"]) >= 1
        await asyncio.sleep(0.01)


async def reached(accepted: list[str], count: int) -> None:
    async with asyncio.timeout(20):
        while len(accepted) < count:
            await asyncio.sleep(0.01)


async def all_finish(cluster: Cluster, api: Api, accepted: list[str], seconds: float = 45) -> None:
    assert accepted
    ends = await asyncio.gather(*(api.end_of(job_id, seconds) for job_id in accepted))
    assert {job["status"] for job in ends} == {"finished"}
    assert {job["state_history"]["step"] for job in ends} == {3}


async def test_every_accepted_job_finishes_although_replicas_are_killed_under_load(
    mortal: Cluster, http: aiohttp.ClientSession
) -> None:
    """Three kills at moments that nobody chose: between a result and its turn, inside a turn, in a claim."""
    for _ in range(2):
        mortal.add_worker("kill", MUSTER_WORKER_SLOTS="8")
    accepted, stop = list[str](), asyncio.Event()
    apis = [api_at(http, place.url) for place in mortal.orchestrators]
    load = [asyncio.create_task(accept_while(api, accepted, "kill.work", stop)) for api in apis]
    for n in range(3):
        await reached(accepted, 15 * (n + 1))
        victim = mortal.orchestrators[n % 2]
        victim.kill()
        victim.start()
        await asyncio.to_thread(victim.wait_until_ready)
    stop.set()
    await asyncio.gather(*load)
    await all_finish(mortal, apis[0], accepted)


async def test_a_turn_whose_replica_died_is_taken_over_by_another(mortal: Cluster, http: aiohttp.ClientSession) -> None:
    """The result is accepted, and the replica stops before the job moves on."""
    a, b = api_at(http, mortal.a.url), api_at(http, mortal.b.url)
    worker = PlainWorker(http, mortal.a.url)
    await worker.register("over.task")
    job_id = await a.start("hangs_after", type="over.task")
    task = await worker.take()
    assert (await worker.report(task)).body == {"status": "result_accepted_success"}
    mortal.a.kill()
    (mortal.folder / "hangs_after.go").touch()
    job = await b.end_of(job_id, 40)
    assert (job["status"], job["result"]) == ("finished", {"went_on": True})


async def test_a_replica_that_slept_through_its_leases_breaks_nothing_when_it_wakes(
    mortal: Cluster, http: aiohttp.ClientSession
) -> None:
    mortal.add_worker("nap", at=[mortal.b], MUSTER_WORKER_SLOTS="8")
    a, b = api_at(http, mortal.a.url), api_at(http, mortal.b.url)
    accepted = [await a.start("three", type="nap.work") for _ in range(20)]
    mortal.a.pause()
    accepted += [await b.start("three", type="nap.work") for _ in range(5)]
    await asyncio.sleep(2.5)  # longer than every lease of a task
    mortal.a.resume()
    await all_finish(mortal, b, accepted)
    assert {(await a.job(job_id))["status"] for job_id in accepted} == {"finished"}


async def test_a_replica_that_is_asked_to_end_sends_its_polls_home_and_loses_no_job(
    mortal: Cluster, http: aiohttp.ClientSession
) -> None:
    a, b = api_at(http, mortal.a.url), api_at(http, mortal.b.url)
    mortal.add_worker("term", MUSTER_WORKER_SLOTS="8")
    accepted, stop = list[str](), asyncio.Event()
    load = [asyncio.create_task(accept_while(api, accepted, "term.work", stop)) for api in (a, b)]
    idle = [PlainWorker(http, mortal.a.url, worker_id=f"idle-{n}") for n in range(30)]
    await asyncio.gather(*(worker.register("nobody.wants") for worker in idle))
    polls = [asyncio.create_task(worker.poll(30)) for worker in idle]
    socket = await http.ws_connect(f"{mortal.a.url}/_worker/ws/idle-0", headers=idle[0].headers)
    await reached(accepted, 20)
    ending = asyncio.create_task(asyncio.to_thread(mortal.a.stop, 15))
    assert await asyncio.wait_for(asyncio.gather(*polls), 15) == [None] * 30
    closing = await socket.receive(timeout=15)
    assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, 1001)
    await socket.close()
    assert await ending == 0
    stop.set()
    await asyncio.gather(*load)
    await all_finish(mortal, b, accepted)


async def test_a_replica_ends_in_time_although_a_state_function_is_stuck(
    mortal: Cluster, http: aiohttp.ClientSession
) -> None:
    await api_at(http, mortal.a.url).start("stuck")
    started = asyncio.get_running_loop().time()
    await asyncio.to_thread(mortal.a.stop, 25)
    assert asyncio.get_running_loop().time() - started < 20
