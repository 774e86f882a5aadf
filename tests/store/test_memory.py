"""What only the model can show without waiting: the same store hours later."""

from muster.store.base import Existing, Turn
from muster.store.memory import MemoryState, MemoryStore

from tests.support.samples import HOUR_MS, claim_of, commit_of, committed, first_turn, fresh, new_job, waiting_job


class Clock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


def made() -> tuple[Clock, MemoryStore]:
    clock = Clock()
    return clock, MemoryStore(MemoryState(now=clock))


async def test_a_turn_without_a_commit_is_taken_over_after_its_lease() -> None:
    clock, store = made()
    turn = await first_turn(store)
    clock.ms += 14_999
    assert (await store.tick(0, "t")).turns == ()
    clock.ms += 1
    assert [due.record.id for due in (await store.tick(0, "t")).turns] == [turn.record.id]


async def test_an_unsettled_lease_comes_again_after_five_seconds() -> None:
    clock, store = made()
    await waiting_job(store)
    await store.claim(0, claim_of(1))
    clock.ms += HOUR_MS
    assert len((await store.tick(0, "t")).leases) == 1
    clock.ms += 4_999
    assert (await store.tick(0, "t")).leases == ()
    clock.ms += 1
    assert len((await store.tick(0, "t")).leases) == 1


async def test_a_final_job_is_forgotten_after_its_retention() -> None:
    clock, store = made()
    turn = await first_turn(store)
    await committed(store, commit_of(turn, retention_ms=HOUR_MS))
    clock.ms += HOUR_MS - 1
    assert await store.read(turn.record.id) is not None
    clock.ms += 1
    assert await store.read(turn.record.id) is None
    assert (await store.jobs("acme", None, 10)).items == ()


async def test_an_idempotency_key_is_forgotten_after_its_time() -> None:
    clock, store = made()
    await store.submit(new_job(idempotency_key="k", idempotency_ttl_ms=HOUR_MS), fresh())
    assert isinstance(await store.submit(new_job(idempotency_key="k"), fresh()), Existing)
    clock.ms += HOUR_MS
    assert isinstance(await store.submit(new_job(idempotency_key="k"), fresh()), Turn)


async def test_a_worker_is_forgotten_after_its_silence() -> None:
    clock, store = made()
    await store.register("w1", HOUR_MS, {"id": "w1"})
    clock.ms += HOUR_MS
    assert await store.worker("w1") is None
    assert await store.workers() == ()
