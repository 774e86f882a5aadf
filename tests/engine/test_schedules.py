"""Connections that run by themselves, on several replicas, with a clock that the test moves."""

from collections.abc import Sequence
from typing import Any

import pytest
from muster import Blueprint, Job, Next, finished
from muster.blueprint.registry import Registry
from muster.core.connection import Connection, read_connection
from muster.core.ids import UnixMs
from muster.core.record import JobRecord
from muster.core.status import JobStatus
from muster.engine.engine import Engine
from muster.engine.schedules import LEASE_MS, POLL_S
from muster.engine.settings import EngineSettings
from muster.errors import ErrorCode, MusterError
from muster.observe.metrics import Metrics
from muster.store.memory import MemoryState, MemoryStore

NOON_MS = 1_774_785_600_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

quick = Blueprint("quick")
slow = Blueprint("slow")


@quick.start
async def at_once(job: Job) -> Next:
    return job.done(job.input)


@slow.start
async def waits(job: Job) -> Next:
    return job.ask("go on?", yes=finished)


class Place:
    """A deployment in memory, whose replicas are made by `replica`."""

    def __init__(self, *connections: Connection) -> None:
        self.now = NOON_MS
        self.state = MemoryState(now=lambda: self.now)
        self.connections = connections

    def replica(self, name: str = "r1", blueprints: Sequence[Any] = (quick, slow)) -> Engine:
        registry = Registry()
        for blueprint in blueprints:
            registry.add(blueprint)
        store = MemoryStore(self.state, replica=name)
        settings = EngineSettings(name, connections=self.connections, now=lambda: UnixMs(self.now))
        return Engine(store, registry, settings, Metrics(version="0"), "secret")

    def pass_time(self, ms: int) -> None:
        self.now += ms


def connection(
    name: str = "hourly", blueprint: str = "quick", schedule: str | None = "0 * * * *", **more: Any
) -> Connection:
    return read_connection({"name": name, "blueprint": blueprint, "schedule": schedule, **more})


async def runs(engine: Engine, tenant: str = "scheduler", name: str = "hourly") -> tuple[JobRecord, ...]:
    return (await engine.tagged(tenant, f"connection:{name}", limit=100)).items


def slots_of(records: Sequence[JobRecord]) -> list[int]:
    """In minutes from noon, newest first."""
    tags = [tag for record in records for tag in record.submission.tags if tag.startswith("slot:")]
    return [(int(tag.removeprefix("slot:")) - NOON_MS) // MINUTE_MS for tag in tags]


async def fate(engine: Engine, name: str = "hourly", tenant: str = "acme") -> tuple[str, int]:
    known = await engine.connections.find(tenant, name)
    slot = (await engine.connections.slots())[known.key]
    return slot.outcome, (slot.at - NOON_MS) // MINUTE_MS


async def test_each_slot_is_run_once_and_at_its_time() -> None:
    place = Place(connection())
    engine = place.replica()
    assert await engine.schedules.turn() == POLL_S
    assert await fate(engine) == ("seen", 0)
    place.pass_time(HOUR_MS - 1_000)
    assert await engine.schedules.turn() == 1.0
    assert await runs(engine) == ()
    place.pass_time(1_000)
    for _ in range(3):
        await engine.schedules.turn()
    place.pass_time(HOUR_MS)
    await engine.schedules.turn()
    found = await runs(engine)
    assert slots_of(found) == [120, 60]
    assert {record.status for record in found} == {JobStatus.FINISHED}
    assert found[0].submission.tags[:2] == ("connection", "connection:hourly")
    assert await fate(engine) == ("run", 120)


async def test_replicas_that_all_look_at_once_make_one_job_a_slot() -> None:
    place = Place(connection())
    engines = [place.replica(f"r{number}") for number in range(3)]
    for _ in range(200):
        for engine in engines:
            await engine.schedules.turn()
        place.pass_time(MINUTE_MS)
    assert slots_of(await runs(engines[0])) == [180, 120, 60]


async def test_another_replica_goes_on_when_the_one_that_ran_the_schedules_is_gone() -> None:
    place = Place(connection())
    first, second = place.replica("r1"), place.replica("r2")
    await first.schedules.turn()
    assert await second.schedules.turn() == POLL_S
    place.pass_time(HOUR_MS)
    await second.schedules.turn()
    place.pass_time(LEASE_MS)
    await second.schedules.turn()
    assert slots_of(await runs(second)) == [60]


async def test_a_replica_that_died_after_it_made_the_job_leaves_no_second_one() -> None:
    place = Place(connection(blueprint="slow"))
    first, second = place.replica("r1"), place.replica("r2")
    await first.schedules.turn()
    noted = await first.connections.slots()
    place.pass_time(HOUR_MS)
    await first.schedules.turn()
    await first.connections._records.note_slots("r1", noted)
    place.pass_time(LEASE_MS)
    await second.schedules.turn()
    assert slots_of(await runs(second)) == [60]
    assert await fate(second) == ("run", 60)


async def test_a_replica_that_lost_the_lease_unknowingly_makes_no_second_job() -> None:
    place = Place(connection())
    first, second = place.replica("r1"), place.replica("r2")
    await first.schedules.turn()
    place.pass_time(HOUR_MS)
    known = await first.connections.find("acme", "hourly")
    tag = f"slot:{place.now}"
    keys = f"schedule:hourly:{'2026-03-29T13:00:00Z'}"
    await second.schedules.turn()
    await second.schedules.turn()
    await first.schedules.turn()
    again = await first.submit(known.order("scheduler", tags=(tag,), key=keys))
    assert not again.created
    assert slots_of(await runs(second)) == [60]


async def test_after_a_pause_only_the_newest_missed_slot_of_the_last_hour_is_run() -> None:
    place = Place(connection(schedule="*/10 * * * *"))
    engine = place.replica()
    await engine.schedules.turn()
    place.pass_time(5 * HOUR_MS + 5 * MINUTE_MS)
    await engine.schedules.turn()
    assert slots_of(await runs(engine)) == [300]


async def test_a_slot_that_is_over_an_hour_late_is_not_run() -> None:
    place = Place(connection(schedule="30 12 * * *"))
    engine = place.replica()
    await engine.schedules.turn()
    place.pass_time(30 * MINUTE_MS + HOUR_MS)
    await engine.schedules.turn()
    assert await runs(engine) == ()
    assert await fate(engine) == ("missed", 30)
    place.pass_time(23 * HOUR_MS)
    await engine.schedules.turn()
    assert len(await runs(engine)) == 1


async def test_a_schedule_is_not_run_for_slots_from_before_it_was_there() -> None:
    place = Place(connection(schedule="50 11 * * *"))
    engine = place.replica()
    await engine.connections.create("acme", {"name": "own", "blueprint": "quick", "schedule": "50 11 * * *"})
    await engine.schedules.turn()
    assert await runs(engine) == ()
    assert await runs(engine, "acme", "own") == ()


async def test_a_slot_is_skipped_while_the_run_before_is_still_active_and_not_made_up_for() -> None:
    place = Place(connection(blueprint="slow"))
    engine = place.replica()
    await engine.schedules.turn()
    place.pass_time(HOUR_MS)
    await engine.schedules.turn()
    place.pass_time(HOUR_MS)
    await engine.schedules.turn()
    assert await fate(engine) == ("skipped", 120)
    (active,) = await runs(engine)
    await engine.cancel("scheduler", active.id)
    await engine.schedules.turn()
    assert slots_of(await runs(engine)) == [60]
    place.pass_time(HOUR_MS)
    await engine.schedules.turn()
    assert slots_of(await runs(engine)) == [180, 60]


async def test_a_saved_connection_runs_for_its_tenant_and_a_run_by_hand_counts_as_one_before() -> None:
    place = Place()
    engine = place.replica()
    await engine.schedules.turn()
    await engine.connections.create("acme", {"name": "own", "blueprint": "slow", "schedule": "0 * * * *"})
    by_hand = await engine.connections.run("acme", "own")
    place.pass_time(HOUR_MS)
    await engine.schedules.turn()
    assert await fate(engine, "own") == ("skipped", 60)
    await engine.cancel("acme", by_hand.job_id)
    place.pass_time(HOUR_MS)
    await engine.schedules.turn()
    assert slots_of(await runs(engine, "acme", "own")) == [120]
    assert await runs(engine, "scheduler", "own") == ()


async def test_a_connection_that_is_saved_just_before_its_slot_is_run_in_it() -> None:
    place = Place()
    engine = place.replica()
    place.pass_time(HOUR_MS - 1)
    await engine.connections.create("acme", {"name": "own", "blueprint": "quick", "schedule": "0 * * * *"})
    place.pass_time(int(POLL_S * 1000))
    await engine.schedules.turn()
    assert slots_of(await runs(engine, "acme", "own")) == [60]


async def test_another_schedule_counts_from_its_change_and_an_unchanged_one_goes_on() -> None:
    place = Place()
    engine = place.replica()
    saved = {"name": "own", "blueprint": "quick", "schedule": "0 * * * *"}
    await engine.connections.create("acme", saved)
    await engine.schedules.turn()
    place.pass_time(HOUR_MS + MINUTE_MS)
    await engine.connections.put("acme", "own", {**saved, "initial_data": {"a": 1}})
    await engine.schedules.turn()
    assert slots_of(await runs(engine, "acme", "own")) == [60]
    place.pass_time(29 * MINUTE_MS)
    await engine.connections.put("acme", "own", {**saved, "schedule": "15 * * * *"})
    await engine.schedules.turn()
    assert slots_of(await runs(engine, "acme", "own")) == [60]
    assert await fate(engine, "own") == ("seen", 90)
    place.pass_time(45 * MINUTE_MS)
    await engine.schedules.turn()
    assert slots_of(await runs(engine, "acme", "own")) == [135, 60]


async def test_a_deleted_or_disabled_connection_is_not_run_and_leaves_no_note() -> None:
    place = Place()
    engine = place.replica()
    for name in ("gone", "off"):
        await engine.connections.create("acme", {"name": name, "blueprint": "quick", "schedule": "0 * * * *"})
    await engine.schedules.turn()
    await engine.connections.delete("acme", "gone")
    await engine.connections.put("acme", "off", {"blueprint": "quick", "schedule": "0 * * * *", "enabled": False})
    place.pass_time(HOUR_MS)
    await engine.schedules.turn()
    assert await engine.connections.slots() == {}
    assert (await runs(engine, "acme", "gone"), await runs(engine, "acme", "off")) == ((), ())


async def test_a_slot_whose_job_cannot_be_made_says_why_and_holds_up_nothing_else() -> None:
    place = Place(connection("bad", "slow"), connection())
    engine = place.replica(blueprints=(quick,))
    await engine.schedules.turn()
    place.pass_time(HOUR_MS)
    await engine.schedules.turn()
    slot = (await engine.connections.slots())["/bad"]
    assert (slot.outcome, slot.detail) == ("refused", "there is no blueprint 'slow'")
    assert slots_of(await runs(engine)) == [60]


async def test_a_configured_connection_runs_for_its_only_client_else_for_nobody_in_particular() -> None:
    place = Place(connection("a", clients=["acme"]), connection("b", clients=["acme", "other"]))
    engine = place.replica()
    await engine.schedules.turn()
    place.pass_time(HOUR_MS)
    await engine.schedules.turn()
    assert (len(await runs(engine, "acme", "a")), len(await runs(engine, "scheduler", "b"))) == (1, 1)
    shown = {tenant: await engine.connections.history(tenant, 10) for tenant in ("acme", "other", "third")}
    names = {tenant: [record.submission.tags[1] for record in found] for tenant, found in shown.items()}
    assert sorted(names["acme"]) == ["connection:a", "connection:b"]
    assert (names["other"], names["third"]) == (["connection:b"], [])


async def test_a_server_that_stops_leaves_the_schedules_to_others_at_once() -> None:
    place = Place(connection())
    first, second = place.replica("r1"), place.replica("r2")
    await first.schedules.turn()
    first.drain()
    place.pass_time(HOUR_MS)
    with pytest.raises(MusterError) as refused:
        await first.schedules.turn()
    assert refused.value.code is ErrorCode.SHUTTING_DOWN
    await first.schedules.run()
    await second.schedules.turn()
    assert slots_of(await runs(second)) == [60]


async def test_where_nobody_has_a_schedule_nobody_leads_and_a_new_one_is_found_all_the_same() -> None:
    place = Place()
    first, second = place.replica("r1"), place.replica("r2")
    for _ in range(4):
        for engine in (first, second):
            assert await engine.schedules.turn() == POLL_S
        place.pass_time(LEASE_MS)
    assert (await first.connections._records.lead("r3", LEASE_MS)).is_mine
    await first.connections._records.lead("r3", 0)
    await second.connections.create("acme", {"name": "own", "blueprint": "quick", "schedule": "0 * * * *"})
    place.pass_time(HOUR_MS)
    for engine in (first, second):
        await engine.schedules.turn()
    assert len(await runs(first, "acme", "own")) == 1


async def test_a_saved_connection_that_cannot_be_read_holds_up_no_other() -> None:
    place = Place()
    engine = place.replica()
    newer = b'{"name":"newer","blueprint":"quick","schedule":"0 * * * *","moon_phase":"full"}'
    await engine.connections._records.save("acme", "newer", newer, "n", is_new=True, most=10)
    await engine.connections.create("acme", {"name": "own", "blueprint": "quick", "schedule": "0 * * * *"})
    await engine.schedules.turn()
    place.pass_time(HOUR_MS)
    await engine.schedules.turn()
    assert len(await runs(engine, "acme", "own")) == 1
    assert [known.connection.name for known in await engine.connections.seen_by("acme")] == ["own"]
    with pytest.raises(MusterError, match="moon_phase"):
        await engine.connections.run("acme", "newer")
