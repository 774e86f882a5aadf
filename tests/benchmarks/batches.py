"""`make bench-batches`: jobs taken per second, one by one and as a stream, over one connection each.

Both begin when the first byte is sent and end when the answer is there: then every job is stored. No worker is up, so
what is measured is taking jobs in. While the stream comes in its first turns already run, in the same process.
Afterwards a single job is timed while the rest of the batch still waits for its first turn.
"""

import argparse
import asyncio
import statistics
import sys
import time

import aiohttp
import orjson

from tests.benchmarks.run import spread
from tests.benchmarks.system import CLIENT_TOKEN, System, running

BAR = 10.0
BODY = b'{"initial_data":{"n":1}}'
LINE = b'{"blueprint":"one_step","initial_data":{"n":1}}\n'


async def singles(session: aiohttp.ClientSession, system: System, count: int) -> float:
    """Jobs per second, each posted when the one before was answered."""
    started = time.perf_counter()
    for _ in range(count):
        async with session.post(f"{system.url}/api/v1/jobs/one_step", data=BODY) as answer:
            assert answer.status == 202, await answer.text()
            await answer.read()
    return count / (time.perf_counter() - started)


async def stream(session: aiohttp.ClientSession, system: System, batch: str, count: int) -> float:
    """Jobs per second of one batch."""
    started = time.perf_counter()
    headers = {"Content-Type": "application/x-ndjson"}
    async with session.post(f"{system.url}/api/v1/batches?id={batch}", data=LINE * count, headers=headers) as answer:
        found = orjson.loads(await answer.read())
    seconds = time.perf_counter() - started
    assert found.get("accepted") == count, found
    return count / seconds


async def begun(session: aiohttp.ClientSession, system: System, batch: str) -> tuple[float, list[float]]:
    """First turns per second of a batch, and the ms that single jobs take to be stored meanwhile."""
    started, waits = time.perf_counter(), list[float]()
    first = await _pending(session, system, batch)
    left = first
    while left:
        asked = time.perf_counter()
        async with session.post(f"{system.url}/api/v1/jobs/one_step", data=BODY) as answer:
            await answer.read()
        waits.append((time.perf_counter() - asked) * 1000)
        await asyncio.sleep(0.02)
        left = await _pending(session, system, batch)
    return first / (time.perf_counter() - started), waits or [0.0]


async def _pending(session: aiohttp.ClientSession, system: System, batch: str) -> int:
    async with session.get(f"{system.url}/api/v1/batches/{batch}") as answer:
        counts: dict[str, int] = orjson.loads(await answer.read())["counts"]
    return counts.get("pending", 0)


async def measure(single_count: int, count: int, rounds: int) -> int:
    alone, streamed, turns, waits, ratios = [], [], [], [], []
    with running(0) as system:
        async with aiohttp.ClientSession(
            headers={"X-Client-Token": CLIENT_TOKEN}, connector=aiohttp.TCPConnector(limit=1)
        ) as session:
            await singles(session, system, 20)
            for number in range(rounds):
                alone.append(await singles(session, system, single_count))
                streamed.append(await stream(session, system, f"b{number}", count))
                ratios.append(streamed[-1] / alone[-1])
                rate, taken = await begun(session, system, f"b{number}")
                turns.append(rate)
                waits += taken
    print(f"single submits/s      {spread(alone, 0)}")
    print(f"batch submits/s       {spread(streamed, 0)}  ({count} jobs)")
    print(f"batch / single        {spread(ratios, 1)}  (bar: {BAR:g})")
    print(f"first turns/s after   {spread(turns, 0)}")
    print(f"single submit meanwhile, ms: {statistics.median(waits):.1f} [{min(waits):.1f}..{max(waits):.1f}]")
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--singles", type=int, default=500, help="jobs of a round that are posted one by one")
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs of a round's batch")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    sys.exit(asyncio.run(measure(given.singles, given.jobs, given.rounds)))


if __name__ == "__main__":
    main()
