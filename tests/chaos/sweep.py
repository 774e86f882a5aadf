"""The crash-point sweep: every scenario once for every store command it uses and every way a replica can die there.

`python -m tests.chaos.sweep [SCENARIO…] [--all]`. Exit code 1 where a job was not what it must be.
"""

import argparse
import asyncio
import contextlib
import logging
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from muster.blueprint.registry import Registry
from muster.core.ids import split_task_id
from muster.core.limits import TASKS_PER_COMMIT_MAX
from muster.core.record import JobRecord
from muster.engine import snapshots

from tests.chaos.crashing import How, Point
from tests.chaos.scenarios import SCENARIOS, Scenario, Witness, end_of, submit, work
from tests.chaos.takeover import World, event_of, load_flows, quick_leases
from tests.support.dump import Dump
from tests.support.servers import Server, engine_of

POINT_S: Final = 20.0
QUIET_S: Final = 5.0
AT_ONCE: Final = 6
SAME_MAX: Final = 6
"""Of many uses of one command, so many are tried (the first, the last and some between), unless all are asked for."""
HISTORY_LINES: Final = 40
FINAL_EVENTS: Final = {"job_finished", "job_failed", "job_cancelled", "job_quarantined"}


@dataclass
class Outcome:
    scenario: str
    points: tuple[Point, ...]
    reached: bool = False
    calls: Counter[str] = field(default_factory=Counter[str])
    found: list[str] = field(default_factory=list[str])
    history: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        shown = [*self.history[:HISTORY_LINES], "…"] if len(self.history) > HISTORY_LINES else self.history
        what = "\n".join(f"  {text}" for text in [*self.found, *(f"    {entry}" for entry in shown)])
        return f"{self.scenario}: {', then '.join(map(str, self.points)) or 'nothing happens'}\n{what}"


async def live_through(server: Server, flows: Registry, scenario: Scenario, *points: Point) -> Outcome:
    """One scenario with these deaths in it, judged."""
    world, witness = World(server, flows, points), Witness()
    outcome = Outcome(scenario.name, points)
    await world.start()
    worker = asyncio.create_task(work(world, scenario, witness))
    try:
        async with asyncio.timeout(POINT_S):
            job = await submit(world, scenario)
            _, record = await asyncio.gather(scenario.person(world, job), end_of(world, job))
            await _quiet(world)
        outcome.found += _judged(world, scenario, witness, record)
    except TimeoutError:
        outcome.found.append(f"not over after {POINT_S:g} s")
    except Exception as error:  # noqa: BLE001  any error is a finding, of this point
        outcome.found.append(f"{type(error).__name__}: {error}")
    finally:
        if worker.done() and not worker.cancelled():
            outcome.found.append(f"the worker gave up: {worker.exception()!r}")
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        if outcome.found:
            outcome.history = [f"{name} {entry}" for name, e in world.dump().of(f"{world.tag}h:") for entry in e.value]
        outcome.reached, outcome.calls = world.first.reached, world.first.calls
        await world.close()
    return outcome


async def _quiet(world: World) -> None:
    """Wait until nothing is left to be done: no turn, timer, lease, task or message."""
    await asyncio.gather(*(zombie for replica in world.replicas for zombie in replica.store.zombies))
    deadline = time.monotonic() + QUIET_S
    while left := _unfinished(world.dump().under(world.tag)):
        assert time.monotonic() < deadline, f"left over after the job's end: {left}"
        await asyncio.sleep(0.02)


def _unfinished(dump: Dump) -> list[str]:
    return [key for key in dump.entries if key in {"D", "tm", "L"} or key.startswith(("t:", "ob:", "f:", "q:"))]


def _judged(world: World, scenario: Scenario, witness: Witness, record: JobRecord) -> list[str]:
    dump = world.dump().under(world.tag)
    jobs = [job for job, _ in dump.of("j:")]
    events = [event_of(entry) for entry in dump.value(f"h:{record.id}")]
    found = [*world.found, *world.violations()]
    if jobs != [record.id]:
        found.append(f"one job was asked for, there are {jobs}")
    if (record.status, record.result) != (scenario.status, scenario.result):
        found.append(f"ended as {record.status} with {str(record.result)[:200]} ({record.error})")
    found += _told(world)
    if events and events[0]["e"] != "job_created":
        return found  # only the newest events are kept: many dead waves of a wide fan went before
    return [*found, *_judged_history(scenario, events), *_judged_results(scenario, witness, events)]


def _judged_history(scenario: Scenario, events: list[dict[str, Any]]) -> Iterator[str]:
    """One commit for each step, one end, one decision."""
    states = tuple(event["s"] for event in events if event["e"] == "state_entered")
    if states != scenario.states:
        yield f"went through {states}"
    ends = [event["e"] for event in events if event["e"] in FINAL_EVENTS]
    if ends != [f"job_{scenario.status}"]:
        yield f"its ends are {ends}"
    for kind in ("job_created", "approval_received", "cancel_requested"):
        if sum(event["e"] == kind for event in events) > 1:
            yield f"{kind} happened more than once"
    counts = Counter(event["n"] for event in events if event["e"] == "task_finished")
    # A turn that died while it spawned a wide fan leaves tasks that may run, but nobody waits for them.
    too_many = len(counts) > scenario.tasks and scenario.tasks <= TASKS_PER_COMMIT_MAX
    too_few = len(counts) < scenario.tasks and not scenario.partial
    if scenario.status == "finished" and (set(counts.values()) - {1} or too_few or too_many):
        yield f"results taken for each task: {sorted(counts.items())}"


def _judged_results(scenario: Scenario, witness: Witness, events: list[dict[str, Any]]) -> Iterator[str]:
    """What a worker was told was taken is in the history, of the newest attempt of then."""
    newest: dict[int, int] = {}
    taken: set[tuple[int, int | None]] = set()
    for event in events:
        if event["e"] == "task_started":
            newest[event["n"]] = event["a"]
        elif event["e"] in {"task_finished", "task_retried"}:
            attempt = event.get("a")  # a plain worker names none
            taken.add((event["n"], attempt))
            if attempt not in {None, newest.get(event["n"])}:
                yield f"took attempt {attempt} of task {event['n']}, the newest was {newest.get(event['n'])}"
    for task, claimed in witness.accepted:
        parts = split_task_id(task)
        assert parts is not None
        if (parts[1], claimed) not in taken:
            yield f"attempt {claimed} of task {parts[1]} was acknowledged, but is not in the history"
    if len(set(witness.accepted)) != len(witness.accepted):
        yield f"acknowledged twice: {witness.accepted}"


def _told(world: World) -> Iterator[str]:
    """At least one delivery, always under one id."""
    by_event: dict[str, set[str]] = {}
    for message_id, payload in world.webhooks:
        by_event.setdefault(payload["event"], set()).add(message_id)
    for name, ids in by_event.items():
        if len(ids) != 1:
            yield f"webhook {name} has the ids {sorted(ids)}"
    if not any(name != "job_waiting_for_human" for name in by_event):
        yield f"no webhook told of the end, only {sorted(by_event)}"


def points_of(calls: Counter[str], *, every: bool) -> list[Point]:
    """The deaths to try, given how often each command was used."""
    return [
        Point(command, nth, how)
        for command, count in sorted(calls.items())
        for nth in _chosen(count, every=every)
        for how in How
    ]


def _chosen(count: int, *, every: bool) -> Iterable[int]:
    if every or count <= SAME_MAX:
        return range(1, count + 1)
    step = (count - 1) / (SAME_MAX - 1)
    return sorted({1 + round(step * i) for i in range(SAME_MAX)})


async def sweep(
    server: Server, scenario: Scenario, *, every: bool = False, pairs: int = 0, points_max: int | None = None
) -> list[Outcome]:
    """The outcome without any death, one for each point, and *pairs* where the second replica dies too.

    *points_max*: so many of the points at most, spread evenly.
    """
    with patch.object(snapshots, "SNAPSHOTS_MAX", snapshots.SNAPSHOTS_MAX if scenario.remembers else 0):
        return await _swept(server, scenario, every=every, pairs=pairs, points_max=points_max)


async def _swept(
    server: Server, scenario: Scenario, *, every: bool, pairs: int, points_max: int | None
) -> list[Outcome]:
    flows = load_flows()
    plain = await live_through(server, flows, scenario)
    points = points_of(plain.calls, every=every)
    if points_max is not None:
        points = points[:: math.ceil(len(points) / points_max)]
    fatal = [point for point in points if point.how.is_fatal]
    rng = random.Random(scenario.name)
    deaths = [*((point,) for point in points), *((rng.choice(fatal), rng.choice(points)) for _ in range(pairs))]
    room = asyncio.Semaphore(AT_ONCE)

    async def one(chosen: tuple[Point, ...]) -> Outcome:
        async with room:
            return await live_through(server, flows, scenario, *chosen)

    return [plain, *await asyncio.gather(*map(one, deaths))]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", help="those of scenarios.py; all if none is named")
    parser.add_argument("--all", action="store_true", help="every use of every command")
    parser.add_argument("--pairs", type=int, default=20, help="so many cases where the second replica dies too")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    wanted = [s for s in SCENARIOS if s.name in options.scenarios or not options.scenarios]
    bad = 0
    with tempfile.TemporaryDirectory() as folder, quick_leases():
        server = Server(engine_of("valkey", Path(folder)))
        with contextlib.closing(_Stop(server)):
            for scenario in wanted:
                started = time.monotonic()
                outcomes = asyncio.run(sweep(server, scenario, every=options.all, pairs=options.pairs))
                wrong = [outcome for outcome in outcomes if outcome.found]
                reached = sum(outcome.reached for outcome in outcomes)
                print(
                    f"{scenario.name:8} {len(outcomes) - 1:5} points, {reached} reached, {len(wrong)} wrong, "
                    f"{time.monotonic() - started:.1f} s",
                    flush=True,
                )
                for outcome in wrong:
                    print(outcome, flush=True)
                bad += len(wrong)
    return 1 if bad else 0


@dataclass
class _Stop:
    server: Server

    def close(self) -> None:
        self.server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
