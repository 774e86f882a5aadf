"""A blueprint that raises, returns nonsense or hangs ends in quarantine with its traceback, and stops nobody else."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.system.callers import Api, PlainWorker, api_at
from tests.system.conftest import build
from tests.system.impatient import SHORT_TURNS
from tests.system.processes import Cluster

WRONG = {
    "raises": ("LookupError: the price list is gone", "in raise_it"),
    "nonsense": ("return_it", ""),
    "hangs": ("did not return within", "in await_it"),
    "sleeps": ("blocked the event loop", "in sleep_it"),
    "spins": ("blocked the event loop", "in spin_it"),
    "stuck": ("did not return within", ""),
}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One orchestrator whose state functions have 0.7 s, and 0.4 s on the loop."""
    cluster = build(tmp_path_factory.mktemp("short"), limits=SHORT_TURNS)
    yield cluster
    cluster.close()


@pytest.mark.parametrize("blueprint", WRONG)
async def test_it_ends_in_quarantine_with_its_traceback(
    short: Cluster, http: aiohttp.ClientSession, blueprint: str
) -> None:
    api = api_at(http, short.a.url)
    job = await api.end_of(await api.start(blueprint), 30)
    error, trace = WRONG[blueprint]
    assert job["status"] == "quarantined"
    assert error in job["error_message"]
    assert job["error_details"]["code"] == "state_failed"
    assert trace in job["error_details"]["traceback"]
    assert job["result"] is None
    assert (await api.events(job["id"]))[-1] == "job_quarantined"


async def test_other_jobs_go_on_meanwhile(short: Cluster, http: aiohttp.ClientSession) -> None:
    api, worker = api_at(http, short.a.url), PlainWorker(http, short.a.url)
    await worker.register("others")
    wrong = [await api.start(blueprint) for blueprint in WRONG for _ in range(3)]
    fine = [await api.start("three", type="others") for _ in range(10)]
    for _ in range(30):
        task = await worker.take()
        await worker.report(task, data={"step": task["params"]["step"]})
    ends = await asyncio.gather(*(api.end_of(job_id) for job_id in fine))
    assert {job["status"] for job in ends} == {"finished"}
    ends = await asyncio.gather(*(api.end_of(job_id, 40) for job_id in wrong))
    assert {job["status"] for job in ends} == {"quarantined"}


async def test_plain_functions_that_hang_leave_room_for_those_that_do_not(
    short: Cluster, http: aiohttp.ClientSession
) -> None:
    """More of them than a pool of threads would have."""
    api = api_at(http, short.a.url)
    stuck = [await api.start("stuck") for _ in range(40)]
    assert (await api.end_of(await api.start("plain")))["result"] == {"n": 1}
    for job_id in stuck:
        await api.cancel(job_id)


async def test_a_broken_blueprint_is_refused_at_the_start_with_file_and_line(short: Cluster, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from muster import Blueprint, Job, Next\n"
        'loose = Blueprint("loose")\n'
        "@loose.start\n"
        "async def begin(job: Job) -> Next:\n"
        "    return job.go(begin)\n"
    )
    refused = short.add_orchestrator(MUSTER_BLUEPRINTS=str(broken))
    assert await asyncio.to_thread(refused.wait, 20) != 0
    assert "broken.py" in refused.log
    assert "no way to an end" in refused.log


async def test_an_endless_chain_of_states_is_put_aside(a: Api) -> None:
    job = await a.end_of(await a.start("endless"), 40)
    assert (job["status"], job["error_details"]["code"]) == ("quarantined", "too_many_transitions")


async def test_a_job_that_carries_too_much_is_put_aside(a: Api) -> None:
    job = await a.end_of(await a.start("hoards"))
    assert job["status"] == "quarantined"
    assert "cannot be saved" in job["error_message"]
