"""What every store knows of workers, and the few things all replicas share."""

from muster.store.base import Store

from tests.support.deployment import Deployment
from tests.support.samples import HOUR_MS, first_turn
from tests.support.waiting import until

# Workers


async def test_a_registered_worker_is_known_with_its_description(store: Store) -> None:
    await store.register("w1", HOUR_MS, {"id": "w1", "types": "work"})
    worker = await store.worker("w1")
    assert worker is not None
    assert (worker["id"], worker["types"]) == ("w1", "work")
    assert worker["registered_at"] == worker["last_seen_at"]
    assert await store.workers() == (worker,)
    assert await store.worker("w2") is None


async def test_registering_again_replaces_all_but_the_socket(store: Store) -> None:
    await store.register("w1", HOUR_MS, {"id": "w1", "old": "x"})
    await store.beat("w1", HOUR_MS, {"socket": "r1"})
    await store.register("w1", HOUR_MS, {"id": "w1"})
    worker = await store.worker("w1")
    assert worker is not None
    assert "old" not in worker
    assert worker["socket"] == "r1"


async def test_a_beat_changes_what_it_names_and_answers_with_everything(store: Store) -> None:
    await store.register("w1", HOUR_MS, {"id": "w1", "load": "0"})
    await store.ask_cancel("w1", ["b", "a"])
    reply = await store.beat("w1", HOUR_MS, {"load": "1"})
    assert reply is not None
    fields, cancels = reply
    assert (fields["id"], fields["load"]) == ("w1", "1")
    assert int(fields["last_seen_at"]) >= int(fields["registered_at"])
    assert cancels == ("a", "b")


async def test_a_worker_that_is_not_registered_is_told_so(store: Store) -> None:
    assert await store.beat("w1", HOUR_MS, {"load": "1"}) is None
    assert await store.worker("w1") is None
    await store.register("w2", HOUR_MS, {"id": "w2"})
    assert await store.touch(HOUR_MS, ["w1", "w2", "w3"]) == ("w1", "w3")


async def test_a_silent_worker_is_forgotten(store: Store) -> None:
    await store.register("w1", 1, {"id": "w1"})
    known = True
    while known:
        known = await store.worker("w1") is not None
    assert await store.workers() == ()
    assert await store.touch(HOUR_MS, ["w1"]) == ("w1",)


async def test_a_sign_of_life_prolongs_a_registration(store: Store) -> None:
    await store.register("w1", 1_000, {"id": "w1"})
    assert await store.touch(HOUR_MS, ["w1"]) == ()
    await store.register("w2", HOUR_MS, {"id": "w2"})
    assert [worker["id"] for worker in await store.workers()] == ["w1", "w2"]


async def test_notes_for_a_worker_stay_until_it_took_them(store: Store) -> None:
    await store.ask_cancel("w1", ["a", "b"])
    await store.ask_cancel("w1", ["b", "c"])
    assert await store.cancels("w1") == ("a", "b", "c")
    await store.forget_cancel("w1", "b")
    await store.forget_cancel("w9", "b")
    assert await store.cancels("w1") == ("a", "c")
    assert await store.cancels("w9") == ()


async def test_no_note_is_left_for_no_task(store: Store) -> None:
    await store.ask_cancel("w1", [])
    assert await store.cancels("w1") == ()


# The rest


async def test_a_message_reaches_its_replica_or_nobody(deployment: Deployment) -> None:
    one, two = await deployment.replica("r1"), await deployment.replica("r2")
    assert await one.store.publish("r2", "hello")
    await until(lambda: two.messages == [(0, "hello")])
    assert one.messages == []
    assert not await one.store.publish("r3", "hello")


async def test_all_replicas_share_the_first_secret(deployment: Deployment) -> None:
    one, two = (await deployment.replica("r1")).store, (await deployment.replica("r2")).store
    assert await one.secret("first") == "first"
    assert await two.secret("second") == "first"


async def test_a_running_store_answers(store: Store) -> None:
    assert await store.ping()


async def test_a_flush_forgets_everything(store: Store) -> None:
    turn = await first_turn(store, idempotency_key="k")
    await store.register("w1", HOUR_MS, {"id": "w1"})
    await store.blueprints.publish("orders", "1", "{}")
    await store.flush()
    assert await store.read(turn.record.id) is None
    assert await store.workers() == ()
    assert (await store.queue(0)).jobs == {}
    assert await store.secret("fresh") == "fresh"
