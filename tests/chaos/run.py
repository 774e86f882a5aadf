"""A chaos run: `python -m tests.chaos.run --seconds 120 --seed 7`. Exit code 1 where a promise was broken.

`--judge FILE` judges what an earlier run wrote down.
"""

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import redis
from aiohttp import web

from tests.chaos.judge import Run, Violation, judge
from tests.chaos.ledger import Clients, book
from tests.chaos.machine import lines_of, receipts_file, running, runs_file, wait_until_up
from tests.chaos.nemesis import Nemesis
from tests.support.dump import read_all
from tests.system.processes import Cluster

CLIENTS: Final = 6
HOLD_MAX_S: Final = 3.5
"""Longer than every lease of the run: what comes back is stale."""
GAP_MAX_S: Final = 1.0
BOUND_S: Final = 60.0
QUIET_S: Final = 20.0


@dataclass(frozen=True)
class Plan:
    seed: int
    seconds: float
    hold_max_s: float = HOLD_MAX_S
    gap_max_s: float = GAP_MAX_S
    bound_s: float = BOUND_S


async def chaos(cluster: Cluster, plan: Plan) -> Run:
    """Break *cluster* for a while under load, let it come to rest, and write everything down."""
    rng = random.Random(plan.seed)
    nemesis = Nemesis(cluster, random.Random(rng.random()), plan.hold_max_s, plan.gap_max_s)
    async with _receiver() as hook, aiohttp.ClientSession() as http:
        urls = [orchestrator.url for orchestrator in cluster.orchestrators]
        clients = Clients(http, urls, hook.url, random.Random(rng.random()))
        working = asyncio.create_task(clients.run(CLIENTS))
        await nemesis.run(plan.seconds)
        await asyncio.to_thread(wait_until_up, cluster)
        quiet_at = time.time()
        clients.stop()
        await asyncio.wait({working}, timeout=plan.bound_s)
        stuck = not working.done()
        working.cancel()
        await asyncio.gather(working, return_exceptions=not stuck)
        if not stuck:
            await _rest(cluster)
            await asyncio.gather(*(clients.look_again(order) for order in clients.orders))
        print(f"requests: {clients.counts.requests}, of which {clients.counts.failed} failed and were sent again")
        return _written_down(cluster, plan, nemesis, clients, hook, quiet_at)


async def _rest(cluster: Cluster) -> None:
    """Wait until the last message is delivered and the last timer gone, or until that takes too long."""
    deadline = time.monotonic() + QUIET_S
    with redis.Redis.from_url(cluster.store.url) as client:
        while time.monotonic() < deadline:
            keys = [key.decode().partition("}")[2] for key in client.keys("*")]
            if not any(key in {"D", "L", "tm"} or key.startswith(("t:", "ob:")) for key in keys):
                return
            await asyncio.sleep(0.1)


def _written_down(
    cluster: Cluster, plan: Plan, nemesis: Nemesis, clients: Clients, hook: "Receiver", quiet_at: float
) -> Run:
    with redis.Redis.from_url(cluster.store.url) as client:
        dump = read_all(client)
    return Run(
        seed=plan.seed,
        bound_s=plan.bound_s,
        orders=book(clients.orders),
        faults=[asdict(fault) for fault in nemesis.faults],
        fault_kinds=sorted(nemesis.kinds),
        runs=lines_of(runs_file(cluster)),
        receipts=lines_of(receipts_file(cluster)),
        hooks=hook.deliveries,
        quiet_at=quiet_at,
        store={key: {**asdict(entry), "value": _plain(entry.value)} for key, entry in dump.entries.items()},
    )


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else value


@dataclass
class Receiver:
    """Where webhooks go: `[id, event, job]` of each."""

    url: str
    deliveries: list[list[str]]


@asynccontextmanager
async def _receiver() -> AsyncIterator[Receiver]:
    deliveries: list[list[str]] = []

    async def take(request: web.Request) -> web.Response:
        message = await request.json()
        deliveries.append([request.headers["webhook-id"], message["event"], message["job_id"]])
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Receiver(f"http://127.0.0.1:{runner.addresses[0][1]}/hook", deliveries)
    finally:
        await runner.cleanup()


def summary(run: Run, found: list[Violation]) -> str:
    ends = Counter(fields["st"] for fields in run.jobs.values())
    faults = Counter(fault["kind"] for fault in run.faults)
    events = Counter(event["e"] for history in run.histories.values() for event in history)
    waits = [order["ended_at"] - run.quiet_at for order in run.orders if order["ended_at"] is not None]
    lines = [
        f"seed {run.seed}",
        f"faults: {len(run.faults)} ({', '.join(f'{kind} {count}' for kind, count in sorted(faults.items()))})",
        f"jobs: {len(run.orders)} ordered; {', '.join(f'{count} {end}' for end, count in sorted(ends.items()))}",
        f"tasks: {events['task_started']} started, {events['task_finished']} finished",
        f"{events['task_retried']} tasks were given out again; {len(run.hooks)} webhooks came",
        f"the last job ended {max([0.0, *waits]):.1f} s after the last fault",
        f"violations: {len(found)}",
    ]
    for violation in found:
        lines.append(f"- {violation.job or ''} {violation.text}")
        lines += [f"    {event}" for event in run.histories.get(violation.job or "", [])[:60]]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="for how long things are broken")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of the faults and the load")
    parser.add_argument("--judge", type=Path, help="judge this history, and break nothing")
    parser.add_argument("--history", type=Path, help="where to write the history")
    options = parser.parse_args(arguments)
    if options.judge:
        run = Run.read(options.judge.read_bytes())
    else:
        print(f"seed {options.seed}: {options.seconds:g} s of faults", flush=True)
        with tempfile.TemporaryDirectory(prefix="muster-chaos-") as folder, running(Path(folder)) as cluster:
            run = asyncio.run(chaos(cluster, Plan(options.seed, options.seconds)))
        history = options.history or Path(tempfile.gettempdir()) / f"muster-chaos-{options.seed}.json"
        history.write_bytes(orjson.dumps(asdict(run)))
        print(f"history: {history}")
    found = judge(run)
    print(summary(run, found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
