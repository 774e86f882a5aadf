"""A batch in a fleet of real processes, through the SDK and the command line."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
from muster_worker.client import Client

from tests.system.callers import until
from tests.system.processes import ALPHA, ROOT, Cluster


async def muster(cluster: Cluster, *arguments: str) -> tuple[int, str]:
    """A command's exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "muster.cli.app", *arguments, "--url", cluster.b.url, "--token", ALPHA,
        stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=dict(os.environ),
    )  # fmt: skip
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode().strip()


async def test_a_batch_runs_to_its_end_and_its_cost_is_the_sum(
    fleet: Cluster, http: aiohttp.ClientSession, name: str
) -> None:
    fleet.add_worker(name)
    jobs = [{"blueprint": "one", "initial_data": {"type": f"{name}.echo", "params": {"n": n}}} for n in range(50)]
    async with Client([fleet.a.url, fleet.b.url], ALPHA) as client:
        started = await client.start_batch(jobs, batch_id=name)
        assert (await client.start_batch(jobs, batch_id=name)).jobs == started.jobs

        async def over() -> bool:
            return (await client.batch(name)).is_final

        await until(over, "all jobs have ended")
        batch = await client.batch(name)
        assert (batch.total, batch.counts) == (50, {"finished": 50})
        assert [job.status for job in batch.jobs] == ["finished"] * 50
        assert {job.job_id for job in batch.jobs} == set(started.jobs)
        assert batch.cost_micros == 0
        assert len((await client.jobs(tag=f"batch:{name}", limit=200)).items) == 50


async def test_the_commands_start_show_and_cancel_a_batch(fleet: Cluster, tmp_path: Path, name: str) -> None:
    file = tmp_path / "jobs.ndjson"
    lines = [json.dumps({"blueprint": "one", "initial_data": {"type": name}, "tags": [name]}) for _ in range(3)]
    file.write_text("\n\n".join(lines) + "\n")
    assert await muster(fleet, "batch", "start", str(file), "--id", name) == (0, name)
    code, shown = await muster(fleet, "batch", "status", name, "-o", "json")
    batch: dict[str, Any] = json.loads(shown)
    assert (code, batch["total"], batch["counts"]) == (0, 3, {"waiting_for_worker": 3})
    code, listed = await muster(fleet, "job", "list", "--tag", name, "-o", "json")
    assert {job["batch_id"] for job in json.loads(listed)["items"]} == {name}
    assert await muster(fleet, "batch", "cancel", name) == (0, f"{name}  cancelling 3 jobs")
    assert (await muster(fleet, "job", "delete", batch["jobs"][0]["job_id"]))[0] == 0
    _, shown = await muster(fleet, "batch", "status", name, "-o", "json")
    assert json.loads(shown)["counts"] == {"cancelled": 2}
    code, shown = await muster(fleet, "cost", "-o", "json")
    assert code == 0
    assert sum(day["jobs"] for day in json.loads(shown)["days"] if day["meter"] == "one") >= 3
