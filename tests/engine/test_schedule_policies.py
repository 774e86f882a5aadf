"""What schedules do where runs overlap, slots are late, somebody pauses them or asks for the past."""

from typing import Any

import pytest
from muster.core.ids import UnixMs
from muster.core.status import JobStatus
from muster.engine.engine import Engine
from muster.engine.planning import BackfillPlan
from muster.engine.schedules import FILLED_PER_TURN, LEASE_MS
from muster.errors import ErrorCode, MusterError

from tests.engine.test_schedules import HOUR_MS, MINUTE_MS, NOON_MS, Place, connection, fate, runs, slots_of

WEEK_S = 604_800


async def later(place: Place, engine: Engine, ms: int) -> None:
    place.pass_time(ms)
    await engine.schedules.turn()


async def recent(engine: Engine, name: str = "hourly") -> list[tuple[int, str]]:
    """Slots in hours from noon with their fates, newest first."""
    view = await engine.planning.schedule("acme", name)
    return [((slot.at - NOON_MS) // HOUR_MS, slot.outcome) for slot in view.recent]


async def fill(
    engine: Engine, first: float, last: float, fill_id: str = "f", *, queue: bool = False, dry_run: bool = False
) -> BackfillPlan:
    moments = [UnixMs(round(NOON_MS + hour * HOUR_MS)) for hour in (first, last)]
    return await engine.planning.backfill(
        "acme", "hourly", fill_id, moments[0], moments[1], queue=queue, dry_run=dry_run
    )


async def begun(blueprint: str = "quick", **more: Any) -> tuple[Place, Engine]:
    place = Place(connection(blueprint=blueprint, **more))
    engine = place.replica()
    await engine.schedules.turn()
    return place, engine


async def test_queued_slots_are_run_in_order_each_when_the_run_before_is_over() -> None:
    place, engine = await begun("slow", overlap="queue")
    for _ in range(3):
        await later(place, engine, HOUR_MS)
    assert slots_of(await runs(engine)) == [60]
    assert await recent(engine) == [(3, "queued"), (2, "queued"), (1, "run")]
    assert engine.schedules.next_slot == place.now + 1_000
    for ended in (1, 2, 3):
        newest = (await runs(engine))[0]
        await engine.cancel("scheduler", newest.id)
        await later(place, engine, 1_000)
        assert slots_of(await runs(engine))[0] == min(ended + 1, 3) * 60
    assert await recent(engine) == [(3, "run"), (2, "run"), (1, "run")]


async def test_queued_slots_outlive_the_replica_that_queued_them() -> None:
    place, engine = await begun("slow", overlap="queue")
    for _ in range(2):
        await later(place, engine, HOUR_MS)
    await engine.cancel("scheduler", (await runs(engine))[0].id)
    other = place.replica("r2")
    await later(place, other, LEASE_MS)
    assert slots_of(await runs(other)) == [120, 60]


async def test_only_so_many_slots_are_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.engine.firing.QUEUED_SLOTS_MAX", 1)
    place, engine = await begun("slow", overlap="queue")
    for _ in range(3):
        await later(place, engine, HOUR_MS)
    assert await recent(engine) == [(3, "skipped"), (2, "queued"), (1, "run")]


async def test_a_slot_can_cancel_the_run_before_and_take_its_place() -> None:
    place, engine = await begun("slow", overlap="cancel_running")
    await later(place, engine, HOUR_MS)
    await later(place, engine, HOUR_MS)
    await later(place, engine, 1_000)
    found = await runs(engine)
    assert slots_of(found) == [120, 60]
    assert [record.status for record in found] == [JobStatus.WAITING_FOR_HUMAN, JobStatus.CANCELLED]


async def test_runs_may_overlap_where_that_is_allowed() -> None:
    place, engine = await begun("slow", overlap="allow")
    for _ in range(3):
        await later(place, engine, HOUR_MS)
    assert slots_of(await runs(engine)) == [180, 120, 60]


@pytest.mark.parametrize(
    ("catch_up", "run", "fates"),
    [
        ("none", [], [(5, "missed")]),
        ("latest", [300], [(5, "run"), (4, "missed")]),
        (3, [300, 240, 180], [(5, "run"), (4, "run"), (3, "run"), (2, "missed")]),
        (1_000, [300, 240, 180, 120, 60], [(5, "run"), (4, "run"), (3, "run"), (2, "run"), (1, "run")]),
    ],
)
async def test_after_an_outage_as_many_slots_are_made_up_for_as_was_asked_for(
    catch_up: str | int, run: list[int], fates: list[tuple[int, str]]
) -> None:
    place, _ = await begun(catch_up=catch_up, late_seconds_max=WEEK_S)
    other = place.replica("r2")
    await later(place, other, 5 * HOUR_MS + 5 * MINUTE_MS)
    assert sorted(slots_of(await runs(other)), reverse=True) == run
    assert await recent(other) == fates


async def test_the_slots_of_a_pause_are_not_run_and_not_made_up_for() -> None:
    place, engine = await begun(catch_up=1_000, late_seconds_max=WEEK_S)
    view = await engine.planning.pause("acme", "hourly", "the warehouse moves")
    assert (view.next, view.pause and (view.pause.by, view.pause.reason)) == (None, ("acme", "the warehouse moves"))
    for _ in range(2):
        await later(place, engine, HOUR_MS)
    assert await recent(engine) == [(2, "paused"), (1, "paused")]
    place.pass_time(3 * HOUR_MS)  # with no replica that looks
    view = await engine.planning.resume("acme", "hourly")
    assert (view.next, view.pause) == (NOON_MS + 6 * HOUR_MS, None)
    other = place.replica("r2")
    await other.schedules.turn()
    assert await runs(other) == ()
    await later(place, other, HOUR_MS)
    assert slots_of(await runs(other)) == [360]


async def test_an_interval_is_run_from_its_anchor() -> None:
    place = Place(connection(schedule=None, every="40m", anchor="2026-03-29T11:30:00Z"))
    engine = place.replica()
    await engine.schedules.turn()
    for _ in range(9):
        await later(place, engine, 10 * MINUTE_MS)
    assert slots_of(await runs(engine)) == [90, 50, 10]


async def test_a_spread_schedule_runs_each_slot_once_and_after_its_moment() -> None:
    place, engine = await begun(jitter_seconds=1_800)
    for _ in range(150):
        await later(place, engine, MINUTE_MS)
    found = await runs(engine)
    assert slots_of(found) == [120, 60]
    delays = [record.created_at - NOON_MS - slot * MINUTE_MS for record, slot in zip(found, (120, 60), strict=True)]
    assert all(0 <= delay <= 1_860_000 for delay in delays)
    assert any(delay > MINUTE_MS for delay in delays)


async def test_a_backfill_runs_each_slot_that_has_no_job_once() -> None:
    place, engine = await begun()
    await later(place, engine, HOUR_MS)
    dry = await fill(engine, -3, 1, dry_run=True)
    assert ([(slot - NOON_MS) // HOUR_MS for slot in dry.slots], dry.backfill) == ([-3, -2, -1, 0, 1], None)
    assert slots_of(await runs(engine)) == [60]
    for fill_id in ("f", "f", "g"):
        await fill(engine, -3, 1, fill_id)
        for _ in range(2):
            await later(place, engine, 100)
    assert sorted(slots_of(await runs(engine))) == [-180, -120, -60, 0, 60]
    done = (await engine.planning.schedule("acme", "hourly")).backfill
    assert done is not None
    assert (done.id, done.state, done.total, done.made, done.there) == ("g", "done", 5, 0, 5)
    assert (await recent(engine))[:2] == [(1, "run"), (0, "run")]


async def test_a_backfill_goes_on_at_another_replica_and_a_second_one_waits_for_its_end() -> None:
    place, engine = await begun()
    await fill(engine, -1.5 * FILLED_PER_TURN, -1)
    await engine.schedules.turn()
    with pytest.raises(MusterError) as refused:
        await fill(engine, -3, 1, "g")
    assert refused.value.code is ErrorCode.INVALID_BODY
    with pytest.raises(MusterError) as refused:
        await fill(engine, -3, -1, "g")
    assert refused.value.code is ErrorCode.BACKFILL_RUNNING
    other = place.replica("r2")
    await later(place, other, LEASE_MS)
    done = (await other.planning.schedule("acme", "hourly")).backfill
    assert done is not None
    assert (done.state, done.made, done.there) == ("done", 75, 0)


async def test_a_backfill_can_be_run_one_slot_after_the_other_and_be_cancelled() -> None:
    place, engine = await begun("slow")
    await fill(engine, -5, -1, queue=True)
    for _ in range(2):
        await later(place, engine, 1_000)
    assert slots_of(await runs(engine)) == [-300]
    await engine.cancel("scheduler", (await runs(engine))[0].id)
    await later(place, engine, 1_000)
    assert sorted(slots_of(await runs(engine))) == [-300, -240]
    assert (await engine.planning.cancel_backfill("acme", "hourly")).state == "cancelled"
    await engine.cancel("scheduler", next(run.id for run in await runs(engine) if not run.status.is_final))
    await later(place, engine, 1_000)
    assert len(await runs(engine)) == 2


async def test_a_backfill_is_bounded_and_of_the_past() -> None:
    _, engine = await begun()
    for first, last, code in [
        (-10_001, -1, ErrorCode.TOO_MANY_SLOTS),
        (-1, -2, ErrorCode.INVALID_BODY),
        (-1, 1, ErrorCode.INVALID_BODY),
    ]:
        with pytest.raises(MusterError) as refused:
            await fill(engine, first, last)
        assert refused.value.code is code
    assert await engine.connections._records.backfills() == {}


async def test_a_connection_without_a_schedule_has_nothing_to_pause_or_preview() -> None:
    engine = Place().replica()
    await engine.connections.create("acme", {"name": "plain", "blueprint": "quick"})
    for call in (engine.planning.resume("acme", "plain"), engine.planning.next("acme", "plain", 3)):
        with pytest.raises(MusterError) as refused:
            await call
        assert refused.value.code is ErrorCode.SCHEDULE_NOT_FOUND
    assert await engine.planning.schedules("acme") == ()


async def test_a_deleted_schedule_leaves_neither_pause_nor_slots() -> None:
    place = Place()
    engine = place.replica()
    await engine.connections.create("acme", {"name": "own", "blueprint": "quick", "every": "1h"})
    await engine.schedules.turn()
    await later(place, engine, HOUR_MS)
    await engine.planning.pause("acme", "own", "")
    assert await fate(engine, "own") == ("run", 60)
    await engine.connections.delete("acme", "own")
    await engine.schedules.turn()
    records = engine.connections._records
    assert (await records.pauses(), await records.recent("acme/own"), await records.slots()) == ({}, (), {})
