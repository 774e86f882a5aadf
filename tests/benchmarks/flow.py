"""`make bench-flow`: what a claim costs with much waiting, with many tenants, and with limits.

Everything is asked of the store itself, one replica and one server. The server's own time for scripts (commandstats) is
what counts, each figure against its counterpart in turns within one run, as medians with minimum and maximum:

- a claim of one task with `--tasks` ready against one with 1,000, and with 1,000 tenants against one;
- a job of one step, from submit to its end, under limits on everything it passes against none;
- a single job of a small tenant beside a large one's backlog: by how many claims its task is handed out.

Bars are printed, not asserted.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from muster.core.flow import Policy
from muster.core.limits import TASKS_PER_COMMIT_MAX
from muster.embedded import EmbeddedEngine
from muster.store.base import Completed, Turn
from muster.store.flow import flow_of
from muster.store.keys import short_hash
from muster.store.link import Link, parse_url
from muster.store.redis import RedisStore
from muster.store.scripts import names, script

from tests.benchmarks.run import spread
from tests.support.samples import (
    WORK,
    claim_of,
    claim_one,
    commit_of,
    committed,
    end_of,
    first_turn,
    new_tasks,
    waiting_job,
)

FEW = 1_000
TENANTS = 1_000
PER_COMMIT = TASKS_PER_COMMIT_MAX
AT_ONCE = 50
CLAIMS = 200
"""Claims of one measurement."""
WIDE = Policy(most=1_000_000)
SLOW_US = 1_000


@dataclass
class Pair:
    """A figure and its counterpart, in turns."""

    ours: list[float] = field(default_factory=list[float])
    theirs: list[float] = field(default_factory=list[float])

    @property
    def ratio(self) -> float:
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))


class Bench:
    def __init__(self, url: str, link: Link) -> None:
        self._url = url
        self._link = link
        self._stores: list[RedisStore] = []

    async def store(self, namespace: str) -> RedisStore:
        store = RedisStore(self._url, namespace=namespace, replica="bench")
        await store.open()
        self._stores.append(store)
        return store

    async def close(self) -> None:
        for store in self._stores:
            await store.close()

    async def server_us(self, work: Callable[[], Awaitable[object]], times: int) -> float:
        """The server's time for scripts, for each of so many pieces of *work*."""
        before = await self._script_us()
        for _ in range(times):
            await work()
        return (await self._script_us() - before) / times

    async def _script_us(self) -> int:
        stats = (await self._link.call("INFO", "commandstats")).decode()
        lines = (line for line in stats.splitlines() if line.startswith("cmdstat_evalsha:"))
        return sum(int(line.split("usec=")[1].split(",")[0]) for line in lines)


async def backlog(store: RedisStore, tasks: int, tenants: int = 1) -> None:
    """So many ready tasks, of jobs of as many each as a commit makes."""
    room = asyncio.Semaphore(AT_ONCE)
    per_job = max(1, min(PER_COMMIT, tasks // tenants))

    async def one(number: int) -> None:
        async with room:
            tenant = f"t{number % tenants}"
            await waiting_job(store, per_job, tenant, flow=flow_of(tenant, "orders"))

    await asyncio.gather(*(one(number) for number in range(tasks // per_job)))


async def claims(bench: Bench, tasks: int, rounds: int) -> tuple[Pair, Pair]:
    """Of a claim: many tasks against few, many tenants against one."""
    few, many = await bench.store("few"), await bench.store("many")
    one, crowd = await bench.store("one"), await bench.store("crowd")
    await backlog(few, FEW + CLAIMS * rounds)
    await backlog(many, tasks)
    await backlog(one, TENANTS * 10)
    await backlog(crowd, TENANTS * 10, TENANTS)
    by_tasks, by_tenants = Pair(), Pair()
    for _ in range(rounds):
        for store, found in (
            (many, by_tasks.ours),
            (few, by_tasks.theirs),
            (crowd, by_tenants.ours),
            (one, by_tenants.theirs),
        ):
            found.append(await bench.server_us(lambda store=store: claim_one(store), CLAIMS))  # type: ignore[misc]
    return by_tasks, by_tenants


async def one_step(store: RedisStore) -> None:
    """A job from its submit to its end."""
    turn = await first_turn(store)
    flow = flow_of("acme", "orders", "key")
    claim = claim_of(1)
    reply = await committed(store, commit_of(turn, new_tasks(0, 1, flow=flow), claim=claim))
    (task,) = reply.claimed
    ended = await store.complete(end_of(task))
    assert isinstance(ended, Completed)
    assert isinstance(ended.turn, Turn)
    await committed(store, commit_of(ended.turn))


async def limits(bench: Bench, rounds: int) -> Pair:
    free, limited = await bench.store("free"), await bench.store("limited")
    for gate in ("*", f"c:{WORK}", f"t:{short_hash('acme')}", f"b:{short_hash('orders')}"):
        await limited.flow.set_policy(0, gate, WIDE)
    found = Pair()
    for _ in range(rounds):
        found.ours.append(await bench.server_us(lambda: one_step(limited), CLAIMS))
        found.theirs.append(await bench.server_us(lambda: one_step(free), CLAIMS))
    return found


async def start_delay(store: RedisStore, tries: int) -> list[float]:
    """How many claims a single job of a small tenant waits for, while one worker takes what is next."""
    found: list[float] = []
    for number in range(tries):
        job, waited = await waiting_job(store, 1, "small", flow=flow_of("small", "orders")), 1
        while not (await claim_one(store)).task.startswith(job):
            waited += 1
        found.append(float(waited))
        if number % 10 == 9:
            await asyncio.sleep(0)
    return sorted(found)


async def fairness(bench: Bench, queued: int, tries: int) -> tuple[float, float]:
    """The 99th percentile beside a large backlog, and beside one task of the other tenant at a time."""
    beside, calm = await bench.store("beside"), await bench.store("calm")
    await backlog(beside, queued)
    await backlog(calm, tries + 100)
    found = [await start_delay(store, tries) for store in (beside, calm)]
    return found[0][int(tries * 0.99)], found[1][int(tries * 0.99)]


async def slow_calls(link: Link) -> Counter[str]:
    by_sha = {script(name).sha: name for name in names()}
    entries = await link.call("SLOWLOG", "GET", 10_000)
    shas = (bytes(entry[3][1]).decode() for entry in entries if bytes(entry[3][0]).upper() == b"EVALSHA")
    return Counter(by_sha.get(sha, sha) for sha in shas)


async def measure(url: str, arguments: argparse.Namespace) -> None:
    link = await Link.open(parse_url(url), "bench")
    await link.call("CONFIG", "SET", "slowlog-log-slower-than", SLOW_US)
    await link.call("CONFIG", "SET", "slowlog-max-len", 10_000)
    bench = Bench(url, link)
    try:
        by_tasks, by_tenants = await claims(bench, arguments.tasks, arguments.rounds)
        show(f"claim with {arguments.tasks} ready tasks, with {FEW}", by_tasks, "1.3")
        show(f"claim with {TENANTS} tenants, with one", by_tenants, "1.3")
        show("job of one step under limits, without any", await limits(bench, arguments.rounds), "1.25")
        beside, calm = await fairness(bench, arguments.queued, arguments.tries)
        print(f"claims until a small tenant's job starts, p99: {beside:.0f} beside {arguments.queued} tasks, {calm:.0f}"
              f" beside few  bar: less than twice")  # fmt: skip
        slow = await slow_calls(link)
        print(f"script calls over 1 ms: {sum(slow.values())} {dict(slow)}  bar: 0; the machine's own pauses count too")
    finally:
        await bench.close()
        link.close()


def show(what: str, pair: Pair, bar: str) -> None:
    figures = f"{spread(pair.ours, 1)} us and {spread(pair.theirs, 1)} us of the server"
    print(f"{what}: {figures}, {pair.ratio:.2f}  bar <= {bar}")


def main(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder, EmbeddedEngine(Path(folder) / "state") as engine:
        asyncio.run(measure(engine.url, arguments))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="ready tasks of the large backlog")
    parser.add_argument("--queued", type=int, default=100_000, help="tasks of the large tenant")
    parser.add_argument("--tries", type=int, default=200, help="single jobs of the small one")
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(parse()))
