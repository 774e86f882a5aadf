"""What every store does with classes of work, with tasks that prefer somebody, and with orders to workers."""

from muster.core.flow import Policy
from muster.store.base import Mode, Store
from muster.store.fleet import Defined
from muster.store.flow import flow_of
from muster.store.keys import short_hash

from tests.support.deployment import Deployment
from tests.support.samples import (
    HOUR_MS,
    WORK,
    claim_of,
    claim_one,
    commit_of,
    committed,
    end_of,
    first_turn,
    job_of,
    new_tasks,
    waiting_job,
)
from tests.support.waiting import until

GPU, MINE = short_hash("needs a gpu"), short_hash("prefers w1")


async def test_a_class_is_new_once_and_all_replicas_hear_of_it(deployment: Deployment) -> None:
    one, other = await deployment.replica("r1"), await deployment.replica("r2")
    assert await one.store.fleet.define(GPU, "{}", HOUR_MS, 10) is Defined.NEW
    assert await other.store.fleet.define(GPU, "{}", HOUR_MS, 10) is Defined.KNOWN
    await until(lambda: f"r|{GPU}" in one.texts and f"r|{GPU}" in other.texts)
    assert one.texts.count(f"r|{GPU}") == 1
    assert await other.store.fleet.requirement(GPU) == "{}"
    assert await other.store.fleet.requirement(MINE) is None
    assert await other.store.fleet.requirements() == {GPU: "{}"}


async def test_a_full_catalogue_takes_no_new_class_and_keeps_the_old_ones(store: Store) -> None:
    assert await store.fleet.define(GPU, "{}", HOUR_MS, 1) is Defined.NEW
    assert await store.fleet.define(MINE, "{}", HOUR_MS, 1) is Defined.FULL
    assert await store.fleet.define(GPU, "{}", HOUR_MS, 1) is Defined.KNOWN
    assert await store.fleet.requirements() == {GPU: "{}"}


async def test_a_class_in_use_or_with_ready_tasks_is_not_retired(store: Store) -> None:
    await store.fleet.define(GPU, "{}", 0, 10)
    assert await store.fleet.idle() == (GPU,)
    await store.fleet.define(GPU, "{}", HOUR_MS, 10)
    assert await store.fleet.idle() == ()
    assert not await store.fleet.retire(GPU)
    await store.fleet.define(MINE, "{}", 0, 10)
    await waiting_job(store, cls=MINE)
    assert not await store.fleet.retire(MINE)
    assert (await store.queue(0)).types == {MINE: "work"}


async def test_a_retired_class_leaves_nothing(store: Store) -> None:
    await store.fleet.define(MINE, "{}", 0, 10)
    await waiting_job(store, cls=MINE)
    await store.claim(0, claim_of(2, classes=(MINE,), register=True))
    assert await store.fleet.retire(MINE)
    assert await store.fleet.retire(MINE)
    assert await store.fleet.requirements() == {}
    assert await store.fleet.idle() == ()


async def test_a_task_with_needs_waits_in_their_class_and_not_in_that_of_its_type(store: Store) -> None:
    job = await waiting_job(store, cls=GPU)
    assert await store.claim(0, claim_of(1)) == ()
    assert job_of(await claim_one(store, classes=(GPU,))) == job
    assert [(held.type, held.cls) for held in await store.standing.held(0)] == [("work", GPU)]


async def test_ready_tasks_of_several_classes_are_counted_under_their_type(store: Store) -> None:
    await waiting_job(store, 2, cls=GPU)
    await waiting_job(store)
    assert await store.standing.queued(0) == {"work": 3}
    assert (await store.queue(0)).ready == {GPU: 2, WORK: 1}


async def test_a_task_waits_for_whom_it_prefers_and_then_for_anybody(deployment: Deployment) -> None:
    store = (await deployment.replica("r1")).store
    waiting = await waiting_job(store, cls=MINE, fallback=(WORK, HOUR_MS))
    standing = await store.standing.of(waiting)
    assert standing is not None
    (task,) = standing.tasks
    assert task.cls == MINE
    assert task.prefers_until is not None
    assert 0 < task.prefers_until - standing.now <= HOUR_MS
    hurried = await waiting_job(store, cls=MINE, fallback=(WORK, 0))
    assert await store.claim(0, claim_of(1, register=True)) == ()
    await store.tick(0, "t:")
    assert job_of(await claim_one(store)) == hurried
    assert job_of(await claim_one(store, classes=(MINE,))) == waiting


async def test_who_waits_for_the_general_class_is_woken_when_a_task_moves_there(deployment: Deployment) -> None:
    replica = await deployment.replica("r1")
    await waiting_job(replica.store, cls=MINE, fallback=(WORK, 0))
    await replica.store.claim(0, claim_of(1, replica="r1", register=True))
    await replica.store.tick(0, "t:")
    await until(lambda: f"c|{WORK}" in replica.texts)


async def test_a_task_that_comes_back_from_whom_it_preferred_may_go_to_anybody(store: Store) -> None:
    """Handed out at once by its commit, or out of the queue: it must not wait again for one who may be gone."""
    turn = await first_turn(store)
    (task,) = new_tasks(0, 1, cls=MINE, fallback=(WORK, HOUR_MS))
    reply = await committed(store, commit_of(turn, (task,), claim=claim_of(1, classes=(MINE,))))
    (claimed,) = reply.claimed
    assert await store.release(claimed.task, claimed.attempt, "") is False
    await store.complete(end_of(claimed, mode=Mode.RETRY, failed=True, delay_ms=0))
    assert job_of(await claim_one(store)) == turn.record.id


async def test_a_preference_that_runs_out_while_the_task_runs_holds_for_its_return(store: Store) -> None:
    job = await waiting_job(store, cls=MINE, fallback=(WORK, 0))
    claimed = await claim_one(store, classes=(MINE,))
    await store.tick(0, "t:")
    await store.complete(end_of(claimed, mode=Mode.RETRY, failed=True, delay_ms=0))
    assert await store.claim(0, claim_of(1, classes=(MINE,))) == ()
    assert job_of(await claim_one(store)) == job


async def test_an_order_is_kept_over_a_new_registration(store: Store) -> None:
    assert await store.fleet.instruct("w1", {"order": "drain"}) is None
    await store.register("w1", HOUR_MS, {"worker_id": "w1", "status": "idle"})
    fields = await store.fleet.instruct("w1", {"order": "drain", "order_slots": "3"})
    assert fields is not None
    assert (fields["order"], fields["status"]) == ("drain", "idle")
    await store.register("w1", HOUR_MS, {"worker_id": "w1", "status": "idle"})
    worker = await store.worker("w1")
    assert worker is not None
    assert (worker["order"], worker["order_slots"]) == ("drain", "3")


# Gates of a task that prefers somebody: its type's is in its flow, and in the class to which it falls back


ITS_FLOW = flow_of("acme", "orders", type="work")
HOURLY = Policy(between_us=HOUR_MS * 1000, ahead_us=9 * HOUR_MS * 1000)
"""Ten start together, then one an hour."""


async def passes_left(store: Store) -> int:
    """Of HOURLY, by how many more tasks may start now."""
    await waiting_job(store, 16)
    return len(await store.claim(0, claim_of(12)))


async def test_a_task_that_falls_back_to_its_type_pays_the_types_rate_once(store: Store) -> None:
    await store.flow.set_policy(0, f"c:{WORK}", HOURLY)
    await waiting_job(store, cls=MINE, fallback=(WORK, 0), flow=ITS_FLOW)
    await store.tick(0, "t:")
    await claim_one(store)
    assert await passes_left(store) == 9


async def test_a_task_that_finds_whom_it_prefers_at_once_pays_every_rate_once(store: Store) -> None:
    await store.flow.set_policy(0, f"c:{WORK}", HOURLY)
    await store.flow.set_policy(0, "*", HOURLY)
    turn = await first_turn(store)
    (task,) = new_tasks(0, 1, cls=MINE, fallback=(WORK, HOUR_MS), flow=ITS_FLOW)
    assert (await committed(store, commit_of(turn, (task,), claim=claim_of(1, classes=(MINE,))))).claimed
    assert await passes_left(store) == 9


async def test_a_task_that_prefers_somebody_passes_and_holds_its_types_gate_whichever_way_it_is_handed_out(
    store: Store,
) -> None:
    await store.flow.set_policy(0, f"c:{WORK}", Policy(most=2))
    turn = await first_turn(store)
    tasks = new_tasks(0, 3, cls=MINE, fallback=(WORK, HOUR_MS), flow=ITS_FLOW)
    reply = await committed(store, commit_of(turn, tasks, claim=claim_of(3, classes=(MINE,))))
    assert len(reply.claimed) == 2
    assert (await store.flow.gates(0, [f"c:{WORK}"]))[0].held == 2
    assert await store.claim(0, claim_of(9, classes=(MINE, WORK))) == ()
    for claimed in reply.claimed:
        await store.complete(end_of(claimed, mode=Mode.RETRY, failed=True))
    assert (await store.flow.gates(0, [f"c:{WORK}"]))[0].held == 0
    got = await store.claim(0, claim_of(9, classes=(MINE, WORK)))
    assert len(got) == 2
    for claimed in got:
        await store.complete(end_of(claimed))
    assert len(await store.claim(0, claim_of(9, classes=(MINE, WORK)))) == 1


async def test_a_task_holds_one_slot_of_its_type_and_says_so_once(deployment: Deployment) -> None:
    store = (await deployment.replica()).store
    await store.flow.set_policy(0, f"c:{WORK}", Policy(most=2))
    await waiting_job(store, cls=MINE, fallback=(WORK, 0), flow=ITS_FLOW)
    await store.tick(0, "t:")
    task = await claim_one(store)
    if deployment.server is not None:
        held = deployment.dump().under(deployment.tags[0]).value(f"t:{task.task}")["gs"]
        assert held == f"c:{WORK}"
    await store.complete(end_of(task))
    assert (await store.flow.gates(0, [f"c:{WORK}"]))[0].held == 0
