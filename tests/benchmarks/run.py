"""`make bench`: the product's bars, measured on this machine. Fails only where a job was lost.

Client, orchestrator, worker and store are processes of their own and share the machine; the CPU of each is read from
/proc. Every run first measures the machine itself (a bare aiohttp handler, one script call), and reports latencies as
multiples of that too: machines are shared and noisy, ratios travel. Rates are medians with minimum and maximum over
the rounds of one run. Bars are printed, not asserted.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from muster.store.link import Link, parse_url

from tests.benchmarks.system import CLIENT_TOKEN, WORKER_TOKEN, System, running

BODY = b'{"initial_data":{"n":1}}'
WARM_UP = 20


@dataclass
class Report:
    """Everything measured, as printed with --json."""

    machine: dict[str, float] = field(default_factory=dict[str, float])
    latency: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    throughput: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    idle_workers: dict[str, float] = field(default_factory=dict[str, float])
    lost: int = 0


def percentiles(ms: list[float]) -> dict[str, float]:
    ms = sorted(ms)
    return {"p50": ms[len(ms) // 2], "p99": ms[int(len(ms) * 0.99)], "min": ms[0], "max": ms[-1]}


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}..{max(values):.{digits}f}]"


async def measure_machine(system: System) -> dict[str, float]:
    """Medians in ms of one bare HTTP POST and of one script call, nothing else going on."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_post("/", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    link = await Link.open(parse_url(system.store_url), "bench")
    posts, scripts = [], []
    async with aiohttp.ClientSession() as session:
        for _ in range(300):
            started = time.perf_counter()
            async with session.post(f"http://127.0.0.1:{port}/", data=BODY) as answer:
                await answer.read()
            posts.append((time.perf_counter() - started) * 1000)
            started = time.perf_counter()
            await link.call("EVAL", "return redis.call('TIME')", 0)
            scripts.append((time.perf_counter() - started) * 1000)
    link.close()
    await runner.cleanup()
    return {
        "post_ms": statistics.median(posts),
        "script_ms": statistics.median(scripts),
        "idle_request_ms": await measure_idle_request(system),
    }


async def measure_idle_request(system: System) -> float:
    """Median ms of a request that does nothing, to the other process, at the pace of the jobs measured below.

    A job passes between processes that sleep; what it costs to wake one differs between machines by a factor of ten.
    """
    found = []
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            started = time.perf_counter()
            async with session.get(f"{system.url}/_public/status") as answer:
                await answer.read()
            found.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.005)
    return statistics.median(found)


async def run_job(session: aiohttp.ClientSession, url: str, flow: str) -> bool:
    """Submit and wait for the end in one request. Whether the job finished."""
    async with session.post(f"{url}/api/v1/jobs/{flow}", data=BODY, headers={"Prefer": "wait=30"}) as answer:
        job = orjson.loads(await answer.read())
        return answer.status == 200 and job["status"] == "finished"


async def measure_latency(system: System, flow: str, count: int, report: Report) -> None:
    """One job at a time, 5 ms apart: milliseconds from submit to the finished job in hand."""
    found = []
    async with aiohttp.ClientSession(headers={"X-Client-Token": CLIENT_TOKEN}) as session:
        for number in range(count + WARM_UP):
            started = time.perf_counter()
            report.lost += not await run_job(session, system.url, flow)
            if number >= WARM_UP:
                found.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.005)
    report.latency[flow] = percentiles(found)


async def measure_throughput(system: System, jobs: int, concurrency: int, report: Report) -> None:
    """Closed loop of three-step jobs: each client submits, waits for the end, and goes on."""
    left = iter(range(jobs))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers={"X-Client-Token": CLIENT_TOKEN}, connector=connector) as session:

        async def client() -> None:
            for _ in left:
                report.lost += not await run_job(session, system.url, "three_steps")

        before, traffic = system.cpu(), await system.traffic()
        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(concurrency)))
        seconds = time.perf_counter() - started
        after, traffic_after = system.cpu(), await system.traffic()
    steps = jobs * 3
    report.throughput.append(
        {
            "steps_per_s": steps / seconds,
            "cpu_us_per_step": {role: (after[role] - before[role]) / steps * 1e6 for role in after},
            "cores": {role: (after[role] - before[role]) / seconds for role in after},
            "round_trips_per_step": (traffic_after["round_trips"] - traffic["round_trips"]) / steps,
            "commands_per_step": (traffic_after["commands"] - traffic["commands"]) / steps,
        }
    )


async def measure_idle_workers(system: System, polls: int, seconds: float, report: Report) -> None:
    """Commands that the store gets while *polls* registered workers wait, against the same time without them."""
    headers = {"X-Worker-Token": WORKER_TOKEN}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def wait_for_work(number: int) -> None:
            url = f"{system.url}/_worker/workers/idle-{number}"
            async with session.get(f"{url}/tasks/next?timeout=30") as answer:
                await answer.read()

        without = await commands_during(system, seconds)
        registrations = (
            session.post(
                f"{system.url}/_worker/workers/register",
                json={"worker_id": f"idle-{number}", "supported_tasks": ["bench.other"]},
            )
            for number in range(polls)
        )
        for answer in await asyncio.gather(*registrations):
            answer.release()
        waiting = [asyncio.create_task(wait_for_work(number)) for number in range(polls)]
        await asyncio.sleep(2.0)  # the polls arrive; this is the subject's warm-up, not a wait for a result
        with_them = await commands_during(system, seconds)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    report.idle_workers = {"without_per_s": without / seconds, "with_per_s": with_them / seconds, "polls": polls}


async def commands_during(system: System, seconds: float) -> int:
    before = await system.commands()
    await asyncio.sleep(seconds)
    after = await system.commands()
    return sum(after.values()) - sum(before.values())


def show(report: Report) -> None:
    machine = report.machine
    print(
        f"this machine: bare POST within a process p50 {machine['post_ms']:.3f} ms, to a sleeping process "
        f"{machine['idle_request_ms']:.3f} ms, script {machine['script_ms']:.3f} ms"
    )
    for flow, bar in (("one_step", 4), ("three_steps", 9)):
        found = report.latency[flow]
        multiple = found["p50"] / machine["idle_request_ms"]
        print(
            f"idle {flow:12} p50 {found['p50']:.2f} ms = {multiple:.1f} idle requests  "
            f"p99 {found['p99']:.2f}  [{found['min']:.2f}..{found['max']:.2f}]  bar p50 <= {bar} ms"
        )
    rounds = report.throughput
    print(f"three_steps c=100: {spread([r['steps_per_s'] for r in rounds], 0)} steps/s  bar >= 1500")
    for role in rounds[0]["cpu_us_per_step"]:
        each = spread([r["cpu_us_per_step"][role] for r in rounds], 0)
        print(f"  CPU us/step {role:13} {each}   cores {spread([r['cores'][role] for r in rounds], 2)}")
    trips = spread([r["round_trips_per_step"] for r in rounds], 2)
    print(f"Redis round trips (writes to the store) per step {trips}  bar <= 2.2")
    commands = spread([r["commands_per_step"] for r in rounds], 2)
    print(f"  commands per step {commands}; one for three steps' submit, one for each: 4/3 = 1.33 is the floor")
    idle = report.idle_workers
    print(
        f"{idle['polls']:.0f} idle waiting workers: {idle['with_per_s']:.2f} Redis commands/s, "
        f"without them {idle['without_per_s']:.2f}  bar: no difference"
    )
    print(f"jobs lost: {report.lost}")


async def measure(arguments: argparse.Namespace) -> Report:
    report = Report()
    with running(arguments.workers) as system:
        await system.worker_is_there()
        report.machine = await measure_machine(system)
        for flow in ("one_step", "three_steps"):
            await measure_latency(system, flow, arguments.latency, report)
        for _ in range(arguments.rounds):
            await measure_throughput(system, arguments.jobs, 100, report)
        await measure_idle_workers(system, arguments.idle, arguments.idle_seconds, report)
    return report


def main(arguments: argparse.Namespace) -> int:
    report = asyncio.run(measure(arguments))
    show(report)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"cpus": os.cpu_count(), **asdict(report)}, indent=1))
    return 1 if report.lost else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000, help="jobs of one throughput round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=int, default=300, help="jobs of each latency measurement")
    parser.add_argument("--workers", type=int, default=1, help="worker processes")
    parser.add_argument("--idle", type=int, default=1000, help="waiting workers of the idle measurement")
    parser.add_argument("--idle-seconds", type=float, default=10)
    parser.add_argument("--json", default="", help="also write everything measured to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(parse()))
