"""A blueprint that raises, returns nonsense or hangs ends in quarantine with its traceback, and stops nobody else."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.system.callers import Api, PlainWorker, api_at, session
from tests.system.conftest import Shared
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
def short(shared_here: Shared) -> Cluster:
    """One orchestrator whose state functions have 0.7 s, and 0.4 s on the loop."""
    return shared_here("short")


@dataclass
class Ends:
    wrong: dict[str, dict[str, Any]]
    fine: list[dict[str, Any]]
    events: dict[str, list[str]]


@pytest.fixture(scope="module")
def ends(short: Cluster) -> Ends:
    """One job of each wrong blueprint and ten right ones, all at the same time."""

    async def run() -> Ends:
        async with session() as http:
            api, worker = api_at(http, short.a.url), PlainWorker(http, short.a.url)
            await worker.register("others")
            wrong = {blueprint: await api.start(blueprint) for blueprint in WRONG}
            fine = [await api.start("three", type="others") for _ in range(10)]
            for _ in range(30):
                task = await worker.take()
                await worker.report(task, data={"step": task["params"]["step"]})
            return Ends(
                {blueprint: await api.end_of(job_id, 40) for blueprint, job_id in wrong.items()},
                [await api.end_of(job_id) for job_id in fine],
                {blueprint: await api.events(job_id) for blueprint, job_id in wrong.items()},
            )

    return asyncio.run(run())


@pytest.mark.parametrize("blueprint", WRONG)
def test_it_ends_in_quarantine_with_its_traceback(ends: Ends, blueprint: str) -> None:
    job = ends.wrong[blueprint]
    error, trace = WRONG[blueprint]
    assert job["status"] == "quarantined"
    assert error in job["error_message"]
    assert job["error_details"]["code"] == "state_failed"
    assert trace in job["error_details"]["traceback"]
    assert job["result"] is None
    assert ends.events[blueprint][-1] == "job_quarantined"


def test_other_jobs_go_on_meanwhile(ends: Ends) -> None:
    assert {(job["status"], job["state_history"]["step"]) for job in ends.fine} == {("finished", 3)}


async def test_plain_functions_that_hang_leave_room_for_those_that_do_not(
    short: Cluster, http: aiohttp.ClientSession
) -> None:
    """More of them than a pool of threads would have."""
    api = api_at(http, short.a.url)
    stuck = await asyncio.gather(*(api.start("stuck") for _ in range(40)))
    assert (await api.end_of(await api.start("plain")))["result"] == {"n": 1}
    for job_id in stuck:
        await api.cancel(job_id)


async def test_a_broken_blueprint_is_refused_at_the_start_with_file_and_line(fleet: Cluster, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from muster import Blueprint, Job, Next\n"
        'loose = Blueprint("loose")\n'
        "@loose.start\n"
        "async def begin(job: Job) -> Next:\n"
        "    return job.go(begin)\n"
    )
    refused = fleet.add_orchestrator(MUSTER_BLUEPRINTS=str(broken))
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
