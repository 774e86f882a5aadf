"""What every store knows of saved connections, and of who runs their schedules."""

from dataclasses import replace

from muster.core.ids import UnixMs
from muster.core.limits import RECENT_SLOTS_MAX
from muster.store.base import Store
from muster.store.connection_records import Backfill, NotSaved, Pause, SavedConnection, Slot

from tests.support.samples import HOUR_MS
from tests.support.waiting import eventually

SLOT = Slot("0 * * * * UTC", UnixMs(3_600_000), "run", "a job")


async def save(
    store: Store,
    name: str = "trello",
    record: bytes = b"{}",
    nonce: str = "n1",
    *,
    tenant: str = "acme",
    is_new: bool = True,
) -> SavedConnection | NotSaved:
    return await store.connections.save(tenant, name, record, nonce, is_new=is_new, most=3)


async def test_what_is_saved_is_read_as_it_was_and_by_its_tenant_alone(store: Store) -> None:
    record = '{"type":"a|b|c","schema":"naïve"}'.encode()
    saved = await save(store, record=record)
    assert isinstance(saved, SavedConnection)
    assert (saved.name, saved.record, saved.created_at) == ("trello", record, saved.changed_at)
    assert await store.connections.get("acme", "trello") == saved
    assert await store.connections.get("other", "trello") is None
    assert await store.connections.all("acme") == (saved,)
    assert await store.connections.all("other") == ()


async def test_a_name_is_taken_once_and_may_be_saved_again_on_purpose(store: Store) -> None:
    first = await save(store)
    assert await save(store, record=b"[1]", nonce="n2") is NotSaved.EXISTS
    second = await save(store, record=b"[2]", nonce="n3", is_new=False)
    assert isinstance(first, SavedConnection)
    assert isinstance(second, SavedConnection)
    assert second.created_at == first.created_at
    assert second.changed_at >= first.changed_at
    assert await store.connections.all("acme") == (second,)


async def test_a_save_that_is_sent_twice_is_taken_once(store: Store) -> None:
    first = await save(store)
    changes = (await store.connections.lead("r1", HOUR_MS)).changes
    assert await save(store) == first
    assert (await store.connections.lead("r1", HOUR_MS)).changes == changes


async def test_a_tenant_has_so_many_and_no_more(store: Store) -> None:
    took = [await save(store, f"c{number}", nonce=f"n{number}") for number in range(4)]
    assert took[3] is NotSaved.FULL
    assert isinstance(await save(store, "c0", nonce="n9", is_new=False), SavedConnection)
    assert isinstance(await save(store, tenant="other"), SavedConnection)
    assert [saved.name for saved in await store.connections.all("acme")] == ["c0", "c1", "c2"]


async def test_what_is_deleted_is_gone_and_a_tenant_without_any_too(store: Store) -> None:
    await save(store)
    await save(store, "slack", nonce="n2")
    await save(store, tenant="other")
    assert await store.connections.tenants() == ("acme", "other")
    assert await store.connections.delete("acme", "trello")
    assert not await store.connections.delete("acme", "trello")
    assert await store.connections.tenants() == ("acme", "other")
    assert await store.connections.delete("acme", "slack")
    assert await store.connections.tenants() == ("other",)


async def test_every_change_is_counted(store: Store) -> None:
    counts = [(await store.connections.lead("r1", HOUR_MS)).changes]
    await save(store)
    counts.append((await store.connections.lead("r1", HOUR_MS)).changes)
    await save(store, nonce="n2", is_new=False)
    counts.append((await store.connections.lead("r1", HOUR_MS)).changes)
    await store.connections.delete("acme", "trello")
    counts.append((await store.connections.lead("r1", HOUR_MS)).changes)
    assert counts == [0, 1, 2, 3]
    assert await store.connections.changes() == 3


async def test_one_replica_runs_the_schedules_until_its_lease_ends_or_it_gives_up(store: Store) -> None:
    assert (await store.connections.lead("r1", HOUR_MS)).is_mine
    assert not (await store.connections.lead("r2", HOUR_MS)).is_mine
    assert not (await store.connections.lead("r2", 0)).is_mine
    assert (await store.connections.lead("r1", HOUR_MS)).is_mine
    assert not (await store.connections.lead("r1", 0)).is_mine
    assert (await store.connections.lead("r2", 1)).is_mine

    async def is_over() -> bool:
        return (await store.connections.lead("r3", HOUR_MS)).is_mine

    await eventually(is_over)


async def test_only_who_runs_the_schedules_notes_what_became_of_slots(store: Store) -> None:
    await store.connections.lead("r1", HOUR_MS)
    assert await store.connections.note_slots("r1", {"/trello": SLOT, "acme/x": SLOT})
    assert not await store.connections.note_slots("r2", {"/slack": SLOT}, ["/trello"])
    assert await store.connections.slots() == {"/trello": SLOT, "acme/x": SLOT}
    assert await store.connections.note_slots("r1", {}, ["/trello", "/never"])
    assert await store.connections.slots() == {"acme/x": SLOT}


async def test_of_a_schedule_the_newest_slots_are_kept_each_with_its_last_fate(store: Store) -> None:
    await store.connections.lead("r1", HOUR_MS)
    told = [("/a", replace(SLOT, at=UnixMs(at), queued=(UnixMs(5),))) for at in range(1, RECENT_SLOTS_MAX + 6)]
    for _ in range(2):
        assert await store.connections.note_slots("r1", {}, (), told)
    later = replace(SLOT, at=UnixMs(RECENT_SLOTS_MAX), outcome="skipped")
    assert await store.connections.note_slots("r1", {}, (), [("/a", later), ("/b", SLOT)])
    recent = await store.connections.recent("/a")
    assert [slot.at for slot in recent] == [*range(RECENT_SLOTS_MAX + 5, 5, -1)]
    assert recent[5] == later
    assert await store.connections.recent("/b") == (SLOT,)
    assert not await store.connections.note_slots("r2", {}, (), [("/b", later)])
    await store.connections.note_slots("r1", {}, ["/a"])
    assert await store.connections.recent("/a") == ()


async def test_a_pause_is_kept_with_its_reason_until_the_schedule_is_forgotten(store: Store) -> None:
    await store.connections.lead("r1", HOUR_MS)
    pause = Pause(True, UnixMs(5), "acme", "the warehouse | moves")
    before = await store.connections.changes()
    await store.connections.pause("acme/a", pause)
    assert await store.connections.changes() == before + 1
    assert await store.connections.pauses() == {"acme/a": pause}
    await store.connections.pause("acme/a", replace(pause, is_paused=False, reason=""))
    assert not (await store.connections.pauses())["acme/a"].is_paused
    await store.connections.note_slots("r1", {}, ["acme/a"])
    assert await store.connections.pauses() == {}


async def test_a_schedule_has_one_backfill_under_way_which_its_runner_alone_moves_on(store: Store) -> None:
    await store.connections.lead("r1", HOUR_MS)
    records = store.connections
    fill = Backfill("one", UnixMs(10), UnixMs(50), UnixMs(9), 5, False, "acme")
    other = replace(fill, id="two")
    assert await records.backfill("/a", fill) == fill
    assert await records.backfill("/a", fill) == fill
    assert await records.backfill("/a", other) == fill
    further = replace(fill, after=UnixMs(20), made=1)
    assert await records.backfill("/a", further, "r2") is None
    assert await records.backfill("/a", replace(other, made=1), "r1") is None
    assert await records.backfill("/a", further, "r1") == further
    assert await records.backfill("/a", fill) == further
    assert await records.backfills() == {"/a": further}
    ended = replace(further, state="cancelled")
    assert await records.backfill("/a", ended) == ended
    assert await records.backfill("/a", further, "r1") is None
    assert await records.backfill("/a", other) == other
    await records.note_slots("r1", {}, ["/a"])
    assert await records.backfills() == {}
