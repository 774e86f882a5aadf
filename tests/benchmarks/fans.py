"""`make bench-fans`: a wide map against as many single tasks, and the longest script call on the way.

Two bars: the map takes at most 1.5 times as long as the single tasks of jobs that 100 clients run side by side, and no
script call of the map takes over 1 ms, by the server's own count (SLOWLOG). That count is of the clock, so the server
has a core of its own while its scripts are timed, where there are several, and a script of fixed work is called among
them: what it takes over its median is the machine's. Bars are printed, not asserted; a lost job fails.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
from muster.store.link import Link, parse_url
from muster.store.scripts import names, script

from tests.benchmarks.run import run_job, spread
from tests.benchmarks.scripts import FIXED_WORK, fixed_work
from tests.benchmarks.system import CLIENT_TOKEN, System, running

RATIO_MAX = 1.5
SCRIPT_MS_MAX = 1.0
CLIENTS = 100
CALLS_MAX = 100_000
"""Calls of one map that are looked at."""
FIXED_WORK_MS = 0.3
BETWEEN_FIXED_WORK_S = 0.005
NAME_BY_SHA = {script(name).sha: name for name in names()}


@dataclass
class Report:
    single_s: list[float] = field(default_factory=list[float])
    wide_s: list[float] = field(default_factory=list[float])
    scripts_ms: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    """Script calls of the maps, by script."""
    lost: int = 0
    fixed_sha: str = ""
    fixed_loops: int = 0


async def single_tasks(system: System, session: aiohttp.ClientSession, count: int, report: Report) -> None:
    left: Iterator[int] = iter(range(count))

    async def client() -> None:
        for _ in left:
            report.lost += not await run_job(session, system.url, "one_step")

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    report.single_s.append(time.perf_counter() - started)


async def wide_map(system: System, session: aiohttp.ClientSession, width: int, report: Report) -> None:
    body = orjson.dumps({"initial_data": {"width": width}})
    started = time.perf_counter()
    async with session.post(f"{system.url}/api/v1/jobs/wide", data=body, headers={"Prefer": "wait=60"}) as answer:
        job = orjson.loads(await answer.read())
    report.wide_s.append(time.perf_counter() - started)
    report.lost += job.get("result") != {"count": width}


async def time_scripts(system: System, session: aiohttp.ClientSession, width: int, report: Report) -> None:
    """The script calls of one map."""
    link = await Link.open(parse_url(system.store_url), "bench")
    await link.call("SLOWLOG", "RESET")  # what took over 10 ms before, without a core of its own
    await link.call("CONFIG", "SET", "slowlog-log-slower-than", 0, "slowlog-max-len", CALLS_MAX)
    mine = Report()
    beside = asyncio.create_task(keep_working(system, report))
    await wide_map(system, session, width, mine)
    beside.cancel()
    report.lost += mine.lost
    await link.call("CONFIG", "SET", "slowlog-log-slower-than", -1)
    for entry in await link.call("SLOWLOG", "GET", CALLS_MAX):
        if bytes(entry[3][0]).upper() == b"EVALSHA":
            name = NAME_BY_SHA.get(bytes(entry[3][1]).decode(), FIXED_WORK)
            report.scripts_ms.setdefault(name, []).append(int(entry[2]) / 1000)
    await link.call("SLOWLOG", "RESET")  # not only before the next map, which would pay for giving the memory back
    link.close()


async def keep_working(system: System, report: Report) -> None:
    """Call the script of fixed work now and then."""
    link = await Link.open(parse_url(system.store_url), "bench")
    try:
        while True:
            await link.call("EVALSHA", report.fixed_sha, 0, report.fixed_loops)
            await asyncio.sleep(BETWEEN_FIXED_WORK_S)
    finally:
        link.close()


async def measure(system: System, arguments: argparse.Namespace) -> Report:
    report = Report()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers={"X-Client-Token": CLIENT_TOKEN}, connector=connector) as session:
        await single_tasks(system, session, CLIENTS, Report())  # warm
        for _ in range(arguments.rounds):
            await single_tasks(system, session, arguments.width, report)
            await wide_map(system, session, arguments.width, report)
        give_the_store_a_core(system)
        link = await Link.open(parse_url(system.store_url), "bench")
        report.fixed_sha, report.fixed_loops = await fixed_work(link, FIXED_WORK_MS)
        link.close()
        for _ in range(arguments.rounds):
            await time_scripts(system, session, arguments.width, report)
    return report


def give_the_store_a_core(system: System) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        for role, pid in system.pids.items():
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores[:1] if role == "store" else cores[1:])


def show(report: Report, width: int) -> None:
    ratio = statistics.median(report.wide_s) / statistics.median(report.single_s)
    print(f"{width} single tasks, {CLIENTS} at once: {spread(report.single_s, 2)} s")
    print(f"one map of {width}: {spread(report.wide_s, 2)} s, {ratio:.2f} times as long (bar: {RATIO_MAX})")
    for name, taken in sorted(report.scripts_ms.items()):
        over = sum(ms > SCRIPT_MS_MAX for ms in taken)
        print(
            f"  {name:10} {statistics.median(taken):.2f} [..{max(taken):.2f}] ms, {over} of {len(taken)} over the bar"
        )
    ours = {name: taken for name, taken in report.scripts_ms.items() if name != FIXED_WORK}
    slow = sum(ms > SCRIPT_MS_MAX for taken in ours.values() for ms in taken)
    calls = sum(map(len, ours.values()))
    print(f"script calls of the maps over {SCRIPT_MS_MAX:g} ms: {slow} of {calls} (bar: 0)")
    print(f"jobs lost: {report.lost}")


def main(arguments: argparse.Namespace) -> int:
    with running(1) as system:
        report = asyncio.run(measure(system, arguments))
    show(report, arguments.width)
    return 1 if report.lost else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(parse()))
