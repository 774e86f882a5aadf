"""What every store does between a task's readiness and its lease: tickets, gates, slots, and who is let pass when."""

import pytest
from muster.core.flow import Limit, Policy, Scope
from muster.core.ids import JobId
from muster.store.base import Claimed, Completed, Mode, Stepped, Store, Turn
from muster.store.flow import Audit, Fan, Gate, KeptLimit, Part, flow_of, gate_of
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
    fresh,
    job_of,
    new_tasks,
    seat,
    step_on,
    waiting_job,
)
from tests.support.waiting import eventually

ALL, OF_WORK = "*", f"c:{WORK}"
OTHER = short_hash("other")
ONE = Policy(most=1)


def tenant_gate(name: str) -> str:
    return gate_of(Limit(Scope.TENANT, name))


def key_gate(key: str, tenant: str = "acme") -> str:
    return gate_of(Limit(Scope.KEY, key, tenant))


def keyed(key: str, blueprint: str = "orders", tenant: str = "acme") -> str:
    return flow_of(tenant, blueprint, key)


async def jobs_of(store: Store, seats: int, **changes: object) -> list[JobId]:
    return [job_of(task) for task in await store.claim(0, claim_of(seats, **changes))]


async def end(store: Store, task: Claimed) -> Completed:
    reply = await store.complete(end_of(task))
    assert isinstance(reply, Completed)
    return reply


# Fairness


async def test_a_tenant_with_many_keys_gets_one_share_and_each_of_its_keys_a_turn(store: Store) -> None:
    many = {await waiting_job(store, 1, "many", flow=keyed(f"k{i}", tenant="many")): i for i in range(20)}
    few = await waiting_job(store, 20, "few", flow=flow_of("few", "orders"))
    got = [await claim_one(store) for _ in range(20)]
    ours = [many[job_of(task)] for task in got if job_of(task) != few]
    assert len(ours) in range(9, 12)
    assert ours == sorted(ours)  # in the order in which they came: no key twice before another once


async def test_keys_of_a_tenant_take_turns_whatever_the_length_of_their_queues(store: Store) -> None:
    await waiting_job(store, 30, flow=keyed("big"))
    small = await waiting_job(store, 5, flow=keyed("small"))
    got = [job_of(await claim_one(store)) for _ in range(12)]
    assert got.count(small) == 5


async def test_a_tenant_of_twice_the_weight_gets_twice_as_much(store: Store) -> None:
    await store.flow.set_policy(0, tenant_gate("heavy"), Policy(cost=128))
    heavy = await waiting_job(store, 60, "heavy")
    await waiting_job(store, 60, "light")
    got = [job_of(await claim_one(store)) for _ in range(60)]
    assert got.count(heavy) in range(38, 43)


async def test_a_weight_acts_on_the_backlog_that_is_there(store: Store) -> None:
    late = await waiting_job(store, 60, "late")
    await waiting_job(store, 60, "other")
    await store.flow.set_policy(0, tenant_gate("late"), Policy(cost=512))
    got = [job_of(await claim_one(store)) for _ in range(60)]
    assert got.count(late) in range(18, 23)


# Priority


async def test_a_lower_priority_of_another_tenant_is_behind_and_never_starves(store: Store) -> None:
    await waiting_job(store, 99, "high", priority=1)
    await waiting_job(store, 99, "high", priority=1)
    low = await waiting_job(store, 2, "low", priority=0)
    got = [job_of(task) for _ in range(10) for task in await store.claim(0, claim_of(12))]
    assert low not in got[:90]
    assert got.count(low) == 1, "one of about a hundred"


async def test_a_higher_priority_in_a_flow_goes_first_but_not_before_what_has_waited_long(store: Store) -> None:
    old = await waiting_job(store, 1, priority=0)
    new = await waiting_job(store, 1, priority=1)
    assert await jobs_of(store, 2) == [new, old]


# Limits: how many at once


@pytest.mark.parametrize("gate", [ALL, OF_WORK, tenant_gate("acme"), f"b:{short_hash('orders')}", key_gate("k")])
async def test_no_more_tasks_run_at_once_than_the_limit_says(store: Store, gate: str) -> None:
    await store.flow.set_policy(0, gate, Policy(most=2))
    await waiting_job(store, 5, flow=keyed("k"))
    one, two = await store.claim(0, claim_of(4))
    assert await store.claim(0, claim_of(4)) == ()
    await end(store, one)
    (three,) = await store.claim(0, claim_of(4))
    for task in (two, three):
        await end(store, task)
    assert len(await store.claim(0, claim_of(4))) == 2


async def test_the_limit_of_a_type_counts_its_tasks_whatever_worker_they_need(store: Store) -> None:
    await store.flow.set_policy(0, OF_WORK, Policy(most=2))
    on_gpu = short_hash("work on a gpu")
    await waiting_job(store, 2, cls=on_gpu, flow=flow_of("acme", "orders", type="work"))
    await waiting_job(store, 2)
    one, _ = await store.claim(0, claim_of(4, classes=(on_gpu, WORK)))
    assert await store.claim(0, claim_of(4, classes=(on_gpu, WORK))) == ()
    await end(store, one)
    assert len(await store.claim(0, claim_of(4, classes=(on_gpu, WORK)))) == 1


async def test_behind_a_full_tenant_others_pass(store: Store) -> None:
    await store.flow.set_policy(0, tenant_gate("a"), ONE)
    for tenant in ("a", "b"):
        await waiting_job(store, 3, tenant, flow=flow_of(tenant, "orders"))
    got = await store.claim(0, claim_of(6))
    assert len(got) == 4  # one of a, all of b


async def test_each_key_has_the_limit_of_its_group_unless_it_has_its_own(store: Store) -> None:
    await store.flow.set_policy(0, key_gate("site:*"), ONE)
    await store.flow.set_policy(0, key_gate("site:big.org"), Policy(most=3))
    for key in ("site:small.org", "site:big.org", "customer-1"):
        await waiting_job(store, 4, flow=keyed(key))
    got = await store.claim(0, claim_of(12))
    assert len(got) == 1 + 3 + 4


async def test_keys_of_two_tenants_are_two_keys(store: Store) -> None:
    await store.flow.set_policy(0, key_gate("k", "a"), ONE)
    await waiting_job(store, 2, "a", flow=keyed("k", tenant="a"))
    await waiting_job(store, 2, "b", flow=keyed("k", tenant="b"))
    assert len(await store.claim(0, claim_of(9))) == 3


async def test_a_fan_runs_no_more_of_its_tasks_at_once_than_it_says(store: Store) -> None:
    turn = await first_turn(store)
    flow = flow_of("acme", "orders", fan=Fan(turn.record.id, 1, 2))
    await committed(store, commit_of(turn, new_tasks(0, 5, flow=flow), claim=claim_of(1)))
    assert len(await store.claim(0, claim_of(9))) == 1
    gate = f"w:{flow.partition('/w')[2]}"
    (held,) = await store.flow.gates(0, [gate])
    assert held.held == 2
    for task in held.holders:
        assert await store.claim(0, claim_of(9)) == ()
        await end(store, Claimed(0, task, 1, b"", 0))
        assert len(await store.claim(0, claim_of(9))) == 1


async def test_a_limit_of_nothing_is_a_pause_and_its_end_wakes(deployment: Deployment) -> None:
    replica = await deployment.replica("r1")
    store = replica.store
    await store.flow.set_policy(0, OF_WORK, Policy(most=0))
    await waiting_job(store, 2)
    assert await store.claim(0, claim_of(2, replica="r1", register=True)) == ()
    await waiting_job(store, 1)
    assert not replica.texts
    await store.flow.set_policy(0, OF_WORK, None)
    assert await deployment.heard(replica) == [f"c|{WORK}"]
    assert len(await store.claim(0, claim_of(5))) == 3


async def test_a_lower_limit_lets_what_runs_end_and_a_higher_one_lets_more_pass(store: Store) -> None:
    gate = tenant_gate("acme")
    await store.flow.set_policy(0, gate, Policy(most=3))
    await waiting_job(store, 9)
    running = await store.claim(0, claim_of(9))
    await store.flow.set_policy(0, gate, ONE)
    for task in running[:2]:
        await end(store, task)
        assert await store.claim(0, claim_of(9)) == ()
    await store.flow.set_policy(0, gate, Policy(most=4))
    assert len(await store.claim(0, claim_of(9))) == 3


async def test_a_new_limit_counts_what_runs_already(store: Store) -> None:
    await waiting_job(store, 6)
    running = await store.claim(0, claim_of(2))
    await store.flow.set_policy(0, OF_WORK, Policy(most=3, counting=True))
    assert await store.claim(0, claim_of(9)) == ()  # not before they are counted
    assert await store.flow.audit(0) == Audit(given=2)
    assert len(await store.claim(0, claim_of(9))) == 1
    await end(store, running[0])
    assert len(await store.claim(0, claim_of(9))) == 1
    assert await store.flow.audit(0) == Audit()


# Slots are leases: every way in which one ends gives them back


async def one_runs_one_waits(store: Store) -> Claimed:
    await store.flow.set_policy(0, tenant_gate("acme"), ONE)
    await waiting_job(store, 1)
    await waiting_job(store, 1)
    task = await claim_one(store)
    assert await store.claim(0, claim_of(1)) == ()
    return task


@pytest.mark.parametrize("mode", [Mode.DELIVER, Mode.RETRY, Mode.REQUEUE])
@pytest.mark.parametrize("delay_ms", [0, HOUR_MS])
async def test_a_slot_is_free_when_its_task_ends_or_goes_back(store: Store, mode: Mode, delay_ms: int) -> None:
    task = await one_runs_one_waits(store)
    assert isinstance(await store.complete(end_of(task, mode=mode, delay_ms=delay_ms)), Completed)
    assert job_of(await claim_one(store)) != job_of(task)


async def test_a_slot_is_free_when_its_task_is_released(store: Store) -> None:
    await store.flow.set_policy(0, OF_WORK, ONE)
    await waiting_job(store, 2)
    (task,) = await store.claim(0, claim_of([seat(fence="f")]))
    assert await store.release(task.task, 1, "f")
    assert (await claim_one(store)).task == task.task


async def test_a_task_that_is_released_after_its_job_is_gone_is_forgotten_with_it(deployment: Deployment) -> None:
    """Its job ended without it and was kept no longer: nothing of it comes back."""
    store = (await deployment.replica()).store
    await store.flow.set_policy(0, OF_WORK, ONE)
    turn = await first_turn(store)
    await committed(store, commit_of(turn, new_tasks(0, 1)))
    (task,) = await store.claim(0, claim_of([seat(fence="f")]))
    job = turn.record.id
    cancelled = await store.cancel(job, fresh(), 0, "")
    if not isinstance(cancelled, Turn):
        (cancelled,) = (await store.tick(0, "t")).turns
    final = commit_of(cancelled, clear_cancel=True, retention_ms=1)
    await committed(store, final)

    async def is_gone() -> bool:
        return await store.read(job) is None

    await eventually(is_gone)
    assert await store.release(task.task, 1, "f")
    assert await store.read(job) is None
    assert await store.claim(0, claim_of(1)) == ()
    assert (await store.flow.gates(0, [OF_WORK]))[0].held == 0
    if deployment.server is not None:
        left = [key for key in deployment.dump().entries if job in key]
        assert left == []


async def test_a_slot_is_free_when_its_job_is_deleted(store: Store) -> None:
    task = await one_runs_one_waits(store)
    await store.delete(job_of(task))
    await claim_one(store)


async def test_a_slot_is_free_when_its_job_ends_without_it(store: Store) -> None:
    task = await one_runs_one_waits(store)
    await store.cancel(job_of(task), fresh(), 0, "")
    (turn,) = (await store.tick(0, "t")).turns
    await committed(store, commit_of(turn, drops=((0, 1),)))
    assert await store.claim(0, claim_of(1)) == ()
    await store.tick(0, "t")  # drops what is left of the job
    await claim_one(store)


async def test_a_late_result_of_a_finished_job_frees_its_slot(store: Store) -> None:
    task = await one_runs_one_waits(store)
    await store.cancel(job_of(task), fresh(), 0, "")
    (turn,) = (await store.tick(0, "t")).turns
    await committed(store, commit_of(turn))
    await store.complete(end_of(task))
    await claim_one(store)


async def test_a_step_hands_its_slot_to_who_waits_longest(store: Store) -> None:
    await store.flow.set_policy(0, OF_WORK, ONE)
    turn = await first_turn(store)
    first = await committed(store, commit_of(turn, new_tasks(0, 1), current_task=0, claim=claim_of(1)))
    waiting = await waiting_job(store, 1)
    assert await store.claim(0, claim_of(1)) == ()
    reply = await step_on(store, turn, first.claimed[0], new_tasks(1, 1), claim=claim_of(1))
    assert isinstance(reply, Stepped)
    assert [job_of(task) for task in reply.committed.claimed] == [waiting]


async def test_a_freed_slot_wakes_a_replica_that_waits_for_a_class_of_its_flows(deployment: Deployment) -> None:
    replica = await deployment.replica("r1")
    store = replica.store
    await store.flow.set_policy(0, tenant_gate("acme"), ONE)
    await waiting_job(store, 1)
    await waiting_job(store, 1, type="other")
    task = await claim_one(store)
    assert await store.claim(0, claim_of(1, replica="r1", classes=(OTHER,), register=True)) == ()
    await end(store, task)
    assert await deployment.heard(replica) == [f"c|{OTHER}"]


async def test_a_slot_that_one_class_does_not_want_goes_to_the_next(deployment: Deployment) -> None:
    """No worker is there for the first of two parked classes: the other one's passes all the same."""
    store = (await deployment.replica("r1")).store
    await store.flow.set_policy(0, tenant_gate("acme"), ONE)
    await waiting_job(store, 1)
    for kind in ("other", "third"):
        await waiting_job(store, 1, type=kind)
    task = await claim_one(store)
    for kind in ("other", "third"):
        assert await store.claim(0, claim_of(1, classes=(short_hash(kind),))) == ()
    await end(store, task)
    assert len(await store.claim(0, claim_of(1, classes=(short_hash("third"),)))) == 1
    assert await store.claim(0, claim_of(1, classes=(OTHER,))) == ()


async def test_a_parked_flow_whose_tasks_are_dropped_leaves_its_gate(store: Store) -> None:
    task = await one_runs_one_waits(store)
    parked = await waiting_job(store, 1, flow=keyed("gone"))
    assert await store.claim(0, claim_of(1)) == ()
    cancelled = await store.cancel(parked, fresh(), 0, "")
    assert isinstance(cancelled, Turn)
    await committed(store, commit_of(cancelled, drops=((0, 1),)))
    await store.tick(0, "t")
    await end(store, task)
    assert len(await store.claim(0, claim_of(5))) == 1


async def test_who_came_first_is_not_overtaken_at_a_gate(store: Store) -> None:
    await store.flow.set_policy(0, tenant_gate("acme"), ONE)
    running = await waiting_job(store, 1, flow=keyed("a"))
    first = await waiting_job(store, 1, flow=keyed("b"))
    task = await claim_one(store)
    assert await store.claim(0, claim_of(1)) == ()
    await end(store, task)
    turn = await first_turn(store)
    late = await committed(store, commit_of(turn, new_tasks(0, 1, flow=keyed("c")), claim=claim_of(1)))
    assert [job_of(task) for task in late.claimed] == [first]
    assert running != first


# Rates


async def test_a_rate_lets_its_burst_pass_and_then_nobody(store: Store) -> None:
    await store.flow.set_policy(0, tenant_gate("acme"), Policy(between_us=HOUR_MS * 1000, ahead_us=2 * HOUR_MS * 1000))
    await waiting_job(store, 9)
    assert len(await store.claim(0, claim_of(9))) == 3
    assert await store.claim(0, claim_of(9)) == ()


async def test_a_gate_that_is_shut_by_its_rate_says_when_the_next_one_may_pass(store: Store) -> None:
    gate = tenant_gate("acme")
    await store.flow.set_policy(0, gate, Policy(between_us=HOUR_MS * 1000, ahead_us=HOUR_MS * 1000))
    await waiting_job(store, 3)
    before, _ = await claim_one(store), await claim_one(store)
    (found,) = await store.flow.gates(0, [gate])
    assert found.opens_at is not None
    job = await store.read(job_of(before))
    assert job is not None
    assert 0 <= found.opens_at - (job.created_at + HOUR_MS) < 5_000, "the first one's place is free after an hour"
    assert [gate.opens_at for gate in await store.flow.gates(0, [ALL, "k:none"])] == [None, None]


async def test_a_rate_of_a_class_tells_when_it_opens_and_does(deployment: Deployment) -> None:
    replica = await deployment.replica("r1")
    store = replica.store
    await store.flow.set_policy(0, OF_WORK, Policy(between_us=20_000, ahead_us=0))
    await waiting_job(store, 2)
    assert len(await store.claim(0, claim_of(2, replica="r1", register=True))) == 1
    (hint,) = await deployment.heard(replica)
    assert 0 <= int(hint.removeprefix("d|")) <= 21
    due = (await store.tick(0, "t")).next_due_ms
    assert due is not None
    assert due <= 21


async def test_a_task_that_was_put_back_does_not_pay_its_rate_twice_at_once(store: Store) -> None:
    await store.flow.set_policy(0, OF_WORK, Policy(between_us=HOUR_MS * 1000, ahead_us=0))
    await waiting_job(store, 1)
    (task,) = await store.claim(0, claim_of([seat(fence="f")]))
    await store.release(task.task, 1, "f")
    assert await store.claim(0, claim_of(1)) == ()


# What is kept


async def test_limits_are_kept_as_they_were_set_and_are_not_endless(store: Store) -> None:
    write = store.flow.write_limit
    assert await write("a", {Part.SET: "1"}, 2) == KeptLimit("1")
    assert await write("b", {Part.PAUSED: "1"}, 2) == KeptLimit(paused=True)
    assert await write("c", {Part.SET: "3"}, 2) is None
    assert await write("c", {Part.SET: "", Part.PAUSED: ""}, 2) == KeptLimit(), "what is not there may be taken away"
    assert await write("a", {Part.SET: "4"}, 2) == KeptLimit("4")
    assert await write("b", {Part.PAUSED: ""}, 2) == KeptLimit()
    assert await store.flow.limits() == {"a": KeptLimit("4")}
    await store.flow.set_policy(0, ALL, ONE)
    assert await store.flow.policies(0) == {ALL: ONE}


async def test_the_parts_of_a_limit_are_kept_apart(store: Store) -> None:
    parts = {Part.SET: '{"max":1}|ä', Part.FILE: "|2|", Part.PAUSED: "1"}
    for given in (parts, parts):  # twice as once
        assert await store.flow.write_limit("a", given, 9) == KeptLimit('{"max":1}|ä', "|2|", paused=True)
    assert await store.flow.limit("a") == KeptLimit('{"max":1}|ä', "|2|", paused=True)
    assert await store.flow.write_limit("a", {Part.SET: ""}, 9) == KeptLimit("", "|2|", paused=True)
    assert await store.flow.write_limit("a", {Part.FILE: ""}, 9) == KeptLimit(paused=True)
    assert await store.flow.write_limit("a", {Part.PAUSED: ""}, 9) == KeptLimit()
    assert await store.flow.limit("a") == KeptLimit()
    assert await store.flow.limits() == {}


async def test_a_policy_is_being_counted_only_where_its_gate_does_not_count_slots_already(store: Store) -> None:
    counting = Policy(most=3, counting=True)
    assert not await store.flow.set_policy(0, OF_WORK, Policy(between_us=1, ahead_us=0))
    assert await store.flow.set_policy(0, OF_WORK, counting)
    assert await store.flow.set_policy(0, OF_WORK, counting), "nobody has counted yet"
    await store.flow.audit(0)
    assert not await store.flow.set_policy(0, OF_WORK, Policy(most=5, counting=True))
    assert await store.flow.policies(0) == {OF_WORK: Policy(most=5)}
    await store.flow.set_policy(0, OF_WORK, None)
    assert await store.flow.set_policy(0, OF_WORK, counting), "meanwhile tasks may have started without a slot"


async def test_who_holds_a_gate_is_told(store: Store) -> None:
    task = await one_runs_one_waits(store)
    gates = await store.flow.gates(0, [tenant_gate("acme"), ALL])
    assert list(gates) == [Gate(1, (task.task,)), Gate()]


async def test_an_audit_takes_back_a_slot_that_nobody_holds(deployment: Deployment) -> None:
    if deployment.server is None:
        pytest.skip("the model's slots are its leases")
    store = (await deployment.replica()).store
    await store.flow.set_policy(0, OF_WORK, ONE)
    deployment.server.client.zadd(f"{deployment.tags[0]}g:{OF_WORK}", {"nobody": 1})
    deployment.server.client.sadd(f"{deployment.tags[0]}gh", OF_WORK)
    await waiting_job(store, 1)
    assert await store.claim(0, claim_of(1)) == ()
    assert await store.flow.audit(0) == Audit(drift=1)
    await claim_one(store)
