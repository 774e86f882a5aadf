"""`make bench-scripts`: each script at the bounds that core/limits.py gives it, one call after the other.

The server counts (SLOWLOG), alone on a core of its own where there are several: the bounds hold where no call takes
over 1 ms. What a shared machine takes away counts too, so the same is told of a script of fixed work, made as long as
the median of a spawn. Bars are printed, not asserted.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from muster.core import limits
from muster.core.record import Parent
from muster.core.status import JobStatus
from muster.embedded import EmbeddedEngine
from muster.store.base import Completed, Stepped, Turn
from muster.store.link import Link, parse_url
from muster.store.redis import RedisStore
from muster.store.scripts import script

from tests.support.samples import (
    HOUR_MS,
    claim_of,
    claim_one,
    commit_of,
    committed,
    end_of,
    first_turn,
    fresh,
    new_job,
    new_tasks,
    seat,
    step_on,
    waiting_job,
)

MS_MAX = 1.0
FIXED_WORK = "fixed work"
FIXED_SOURCE = "local x = 0 for i = 1, tonumber(ARGV[1]) do x = x + redis.call('EXISTS', 'x' .. i % 7) end return x"
LOOPS_PER_US = 2
TASKS = limits.TASKS_PER_COMMIT_MAX
SEATS = limits.SEATS_PER_CALL_MAX
RULES = b'{"r":3,"b":{"kind":"exponential","first_ms":1000,"most_ms":60000}}'
BODY = b'{"task":"resize","input":{"picture":"s3://pictures/0123456789.jpg","width":1024,"height":768}}'


def tasks_of(count: int, first: int = 0, **changes: Any) -> Sequence[Any]:
    return new_tasks(first, count, body=BODY, rules=RULES, **changes)


async def spawn(store: RedisStore) -> None:
    turn = await first_turn(store)
    await store.spawn(turn.record.id, 0, turn.token, 1, tasks_of(TASKS))


async def commit(store: RedisStore) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, tasks_of(TASKS)))


async def claim(store: RedisStore) -> None:
    await waiting_job(store, SEATS, body=BODY)
    await store.claim(0, claim_of(SEATS, history=True))


async def claim_of_many_jobs(store: RedisStore) -> None:
    for _ in range(SEATS):
        await waiting_job(store, body=BODY)
    await store.claim(0, claim_of(SEATS, history=True))


async def step(store: RedisStore) -> None:
    turn = await first_turn(store)
    reply = await committed(store, commit_of(turn, tasks_of(1), current_task=0, claim=claim_of()))
    made = tasks_of(TASKS, 1, type="other")  # and so not what the next round claims
    assert isinstance(await step_on(store, turn, reply.claimed[0], made), Stepped)


async def children(store: RedisStore) -> Turn:
    turn = await first_turn(store)
    some = tuple(new_job(parent=Parent(turn.record.id, 1, 1)) for _ in range(limits.RACE_CHILDREN_MAX))
    await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, children=some))
    return turn


async def pause(store: RedisStore) -> None:
    turn = await children(store)
    await store.operations.pause(turn.record.id, "ann", "", "paused", "paused above")


async def resume(store: RedisStore) -> None:
    turn = await children(store)
    await store.operations.pause(turn.record.id, "ann", "", "paused", "paused above")
    await store.operations.resume(turn.record.id, fresh(), "resumed", "resumed above")


async def cancel(store: RedisStore) -> None:
    job = await waiting_job(store, SEATS)
    await store.claim(0, claim_of(SEATS))
    await store.cancel(job, fresh(), HOUR_MS, "cancel")


async def drops(store: RedisStore) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, tasks_of(TASKS), need=1))
    ended = await store.complete(end_of(await claim_one(store)))
    assert isinstance(ended, Completed)
    assert isinstance(ended.turn, Turn)
    await committed(store, commit_of(ended.turn, drops=((0, TASKS),)))
    await store.tick(0, fresh())


async def ended_leases(store: RedisStore) -> None:
    for _ in range(-(-limits.LEASES_PER_TICK_MAX // SEATS)):
        await waiting_job(store, SEATS)
        await store.claim(0, claim_of([seat(lease_ms=0) for _ in range(SEATS)]))
    await store.tick(0, fresh())


async def timers(store: RedisStore) -> None:
    for _ in range(limits.TIMERS_PER_TICK_MAX):
        turn = await first_turn(store)
        await committed(store, commit_of(turn, status=JobStatus.WAITING, need=1, deadline_ms=0))
    await store.tick(0, fresh())


async def delete(store: RedisStore) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, tasks_of(TASKS), need=1))
    ended = await store.complete(end_of(await claim_one(store)))
    assert isinstance(ended, Completed)
    assert isinstance(ended.turn, Turn)
    await committed(store, commit_of(ended.turn))
    await store.delete(turn.record.id)


CASES: dict[str, tuple[str, Callable[[RedisStore], Awaitable[object]]]] = {
    f"spawn of {TASKS} tasks": ("spawn", spawn),
    f"commit of {TASKS} tasks": ("commit", commit),
    f"commit of {limits.RACE_CHILDREN_MAX} children": ("commit", children),
    f"step that makes {TASKS} tasks": ("step", step),
    f"claim of {SEATS} tasks of a job": ("claim", claim),
    f"claim of {SEATS} tasks of as many jobs": ("claim", claim_of_many_jobs),
    f"cancel of a job with {SEATS} leased": ("cancel", cancel),
    f"pause of a job with {limits.RACE_CHILDREN_MAX} children": ("pause", pause),
    f"resume of a job with {limits.RACE_CHILDREN_MAX} children": ("resume", resume),
    f"tick that clears away {limits.TASKS_MOVED_PER_TICK_MAX}": ("tick", drops),
    f"tick with {limits.LEASES_PER_TICK_MAX} ended leases": ("tick", ended_leases),
    f"tick with {limits.TIMERS_PER_TICK_MAX} timers": ("tick", timers),
    f"delete of a job with {TASKS} tasks": ("delete", delete),
}
"""What is done, and the script whose last call is looked at; what comes before it only prepares."""


async def last_call_ms(link: Link, sha: str) -> float:
    entries = await link.call("SLOWLOG", "GET", 20)
    return next(int(entry[2]) / 1000 for entry in entries if sha.encode() in entry[3])


async def fixed_work(link: Link, as_long_as_ms: float) -> tuple[str, int]:
    """The sha of a script that does the same at each call, and the argument with which it takes so long mostly.

    SLOWLOG keeps the last calls meanwhile, whatever they took.
    """
    await link.call("CONFIG", "SET", "slowlog-log-slower-than", 0)
    sha = (await link.call("SCRIPT", "LOAD", FIXED_SOURCE)).decode()
    loops = int(as_long_as_ms * 1000 * LOOPS_PER_US)
    for _ in range(5):  # found by trying
        tried = []
        for _ in range(20):
            await link.call("EVALSHA", sha, 0, loops)
            tried.append(await last_call_ms(link, sha))
        loops = max(int(loops * as_long_as_ms / statistics.median(tried)), 1)
    return sha, loops


async def measure(url: str, count: int) -> None:
    link = await Link.open(parse_url(url), "bench")
    await link.call("CONFIG", "SET", "slowlog-log-slower-than", 0, "slowlog-max-len", 20)
    typical = 0.0
    for number, (what, (name, work)) in enumerate(CASES.items()):
        store = RedisStore(url, namespace=f"bench{number}", replica="bench")
        await store.open()
        found = []
        for _ in range(count):
            await work(store)
            found.append(await last_call_ms(link, script(name).sha))
        typical = typical or statistics.median(found)
        show(what, found)
        await store.close()
        await link.call("FLUSHALL")
    sha, loops = await fixed_work(link, typical)
    found = []
    for _ in range(count):
        await link.call("EVALSHA", sha, 0, loops)
        found.append(await last_call_ms(link, sha))
    show(FIXED_WORK, found)
    link.close()


def show(what: str, found: list[float]) -> None:
    over = sum(ms > MS_MAX for ms in found)
    told = f"{min(found):.2f} .. {statistics.median(found):.2f} .. {max(found):.2f} ms"
    print(f"{what:42} {told}, {over} of {len(found)} over {MS_MAX:g} ms (bar: 0)", flush=True)


def main(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder, EmbeddedEngine(Path(folder) / "state") as engine:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1 and engine.pid is not None:
            os.sched_setaffinity(0, cores[1:])
            for thread in Path(f"/proc/{engine.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores[:1])
        asyncio.run(measure(engine.url, arguments.calls))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100, help="of each script")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(parse()))
