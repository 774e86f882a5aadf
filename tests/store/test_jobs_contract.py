"""What every store does with a job: submit, commit, spawn, defer, signal, cancel, read, list."""

import time

import pytest
from muster.core.ids import UnixMs
from muster.core.limits import SEATS_PER_CALL_MAX, TASKS_MOVED_PER_TICK_MAX, TASKS_PER_COMMIT_MAX
from muster.core.record import Context, DecisionItem, TaskItem
from muster.core.status import JobStatus
from muster.store.base import (
    Completed,
    ContextTooLarge,
    Existing,
    LeaseRef,
    Message,
    Refusal,
    Refused,
    Store,
    Turn,
)
from muster.store.index import IndexPage

from tests.support.deployment import Deployment
from tests.support.samples import (
    HOUR_MS,
    WORK,
    asking_job,
    claim_of,
    claim_one,
    commit_of,
    committed,
    decision,
    end_of,
    first_turn,
    fresh,
    item_of,
    new_job,
    new_tasks,
    number_of,
    seat,
    waiting_job,
)
from tests.support.waiting import until

# Submit


async def test_a_submitted_job_is_pending_and_its_first_turn_is_the_submitters(store: Store) -> None:
    job = new_job(context=Context(argument={"x": [1, 2]}, data={"k": "v"}))
    turn = await store.submit(job, "token")
    assert isinstance(turn, Turn)
    assert (turn.token, turn.items) == ("token", ())
    record = await store.read(job.id)
    assert record is not None
    assert (record.status, record.state, record.version, record.wave) == (JobStatus.PENDING, "begin", 0, 0)
    assert (record.tenant, record.blueprint, record.blueprint_version) == ("acme", "orders", "1")
    assert (record.submission, record.context) == (job.submission, job.context)
    assert [event.blob for event in await store.history(job.id)] == ["submitted"]


async def test_a_submit_sent_twice_makes_one_job(store: Store) -> None:
    job = new_job(idempotency_key="order-1", fingerprint="f")
    first, second = await store.submit(job, "token"), await store.submit(job, "token")
    assert isinstance(first, Turn)
    assert isinstance(second, Turn)
    assert second.token == first.token
    assert (await store.queue(0)).jobs == {"pending": 1}
    assert len(await store.history(job.id)) == 1
    await committed(store, commit_of(second))


async def test_a_known_idempotency_key_answers_with_the_first_job_and_its_fingerprint(store: Store) -> None:
    first = new_job(idempotency_key="order-1", fingerprint="f1")
    await store.submit(first, fresh())
    again = await store.submit(new_job(idempotency_key="order-1", fingerprint="f2"), fresh())
    assert again == Existing(first.id, "f1")


async def test_tenants_do_not_share_idempotency_keys(store: Store) -> None:
    await store.submit(new_job(idempotency_key="order-1"), fresh())
    other = await store.submit(new_job(idempotency_key="order-1", tenant="umbrella"), fresh())
    assert isinstance(other, Turn)


async def test_an_unknown_job_reads_as_none(store: Store) -> None:
    assert await store.read(new_job().id) is None
    assert await store.read(new_job(partition=9).id) is None
    assert await store.history(new_job().id) == ()


# Commit


async def test_a_commit_writes_all_that_the_turn_decided(store: Store) -> None:
    turn = await first_turn(store)
    context = Context(argument=1, data={"n": 2}, results={"a": {"b": []}}, transitions=3)
    reply = await committed(
        store,
        commit_of(turn, new_tasks(0, 2), state="packing", context=context, history=("one", "two"), started=True),
    )
    assert (reply.turn, reply.claimed) == (None, ())
    record = await store.read(turn.record.id)
    assert record is not None
    assert (record.status, record.state, record.version) == (JobStatus.WAITING_FOR_PARALLEL_TASKS, "packing", 1)
    assert (record.wave, record.next_task, record.context) == (1, 2, context)
    assert record.started_at == record.updated_at == reply.at
    assert record.revision > turn.record.revision
    assert [event.blob for event in await store.history(record.id)] == ["submitted", "one", "two"]
    assert (await store.queue(0)).ready == {WORK: 2}


async def test_a_final_commit_keeps_the_result_and_counts_the_job_as_finished(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, result={"total": 3}, state="finished"))
    record = await store.read(turn.record.id)
    assert record is not None
    assert (record.status, record.result, record.error, record.details) == (
        JobStatus.FINISHED,
        {"total": 3},
        None,
        None,
    )
    assert record.finished_at == record.updated_at
    assert {status: n for status, n in (await store.queue(0)).jobs.items() if n} == {"finished": 1}


async def test_a_failed_job_keeps_its_error_and_details(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn, status=JobStatus.FAILED, error="no", details={"code": "x"}))
    record = await store.read(turn.record.id)
    assert record is not None
    assert (record.result, record.error, record.details) == (None, "no", {"code": "x"})


async def test_a_commit_sent_twice_is_written_once(store: Store) -> None:
    turn = await first_turn(store)
    commit = commit_of(turn, new_tasks(0, 2), history=("decided",), messages=(Message("m1", b"hello"),))
    await committed(store, commit)
    again = await committed(store, commit)
    assert (again.turn, again.claimed) == (None, ())
    assert (await store.queue(0)).ready == {WORK: 2}
    assert len(await store.history(turn.record.id)) == 2
    assert len((await store.tick(0, "t")).messages) == 1


async def test_a_commit_sent_twice_finds_its_next_turn_again(store: Store) -> None:
    turn = await first_turn(store)
    commit = commit_of(turn, status=JobStatus.RUNNING, need=0)
    first, second = await committed(store, commit), await committed(store, commit)
    assert first.turn is not None
    assert first.turn.token == commit.next_token
    assert second.turn == first.turn
    await committed(store, commit_of(first.turn))


@pytest.mark.parametrize("changes", [{"version": 1}, {"token": "another"}])
async def test_a_commit_of_another_version_or_token_writes_nothing(store: Store, changes: dict[str, object]) -> None:
    turn = await first_turn(store)
    before = await store.read(turn.record.id)
    assert await store.commit(commit_of(turn, new_tasks(0, 1), **changes)) == Refused(Refusal.STALE)
    assert await store.read(turn.record.id) == before
    assert (await store.queue(0)).ready == {}


async def test_a_commit_to_a_final_or_unknown_job_is_refused(store: Store) -> None:
    turn = await first_turn(store)
    await committed(store, commit_of(turn))
    assert await store.commit(commit_of(turn, token="another")) == Refused(Refusal.STALE)
    stranger = Turn("t", (await first_turn(store)).record, ())
    unknown = commit_of(stranger, job=new_job().id)
    assert await store.commit(unknown) == Refused(Refusal.GONE)


async def test_a_context_beyond_the_limit_is_refused_before_anything_is_written(store: Store) -> None:
    turn = await first_turn(store)
    with pytest.raises(ContextTooLarge, match="at most"):
        await store.commit(commit_of(turn, context=Context(data="x" * 2_100_000)))
    await committed(store, commit_of(turn))


async def test_a_commit_hands_its_tasks_to_the_seats_that_come_with_it(store: Store) -> None:
    turn = await first_turn(store)
    reply = await committed(store, commit_of(turn, new_tasks(0, 3), claim=claim_of(2)))
    assert [(claimed.seat, number_of(claimed)) for claimed in reply.claimed] == [(0, 0), (1, 1)]
    state = await store.queue(0)
    assert (state.ready, state.leased) == ({WORK: 1}, 2)


async def test_a_wide_range_of_dropped_tasks_is_cleared_away_in_chunks(store: Store) -> None:
    turn = await first_turn(store)
    tasks = new_tasks(0, 50)
    for start in range(0, 40, 20):
        assert await store.spawn(turn.record.id, 0, turn.token, 1, tasks[start : start + 20])
    await committed(store, commit_of(turn, tasks[40:], need=1))
    claimed = await claim_one(store)
    done = await store.complete(end_of(claimed))
    assert isinstance(done, Completed)
    assert done.turn is not None
    await committed(store, commit_of(done.turn, drops=((0, 50),)))
    left = []
    for _ in range(3):
        await store.tick(0, "t")
        left.append((await store.queue(0)).ready.get(WORK, 0))
    assert left == [30, 10, 0]


async def test_what_one_tick_clears_away_is_bounded_over_all_jobs(store: Store) -> None:
    ended = []
    for _ in range(3):
        turn = await first_turn(store)
        await committed(store, commit_of(turn, new_tasks(0, 11), need=1))
        claimed = await store.claim(0, claim_of(11))
        reply = await store.complete(end_of(claimed[0]))
        assert isinstance(reply, Completed)
        assert reply.turn is not None
        ended.append(reply.turn)
    for turn in ended:
        await committed(store, commit_of(turn, drops=((0, 11),)))
    dropped = [len((await store.tick(0, "t")).dropped) for _ in range(4)]
    assert sum(dropped) == 3 * 10
    assert max(dropped) <= TASKS_MOVED_PER_TICK_MAX
    assert dropped[-1] == 0


async def test_a_job_that_undoes_is_not_cancelled_and_its_task_is_handed_out(store: Store) -> None:
    turn = await first_turn(store)
    asked = await store.cancel(turn.record.id, "c", 0, "asked")
    assert asked == ()
    plan = commit_of(
        turn,
        new_tasks(0, 1),
        shielded=True,
        clear_cancel=True,
        need=1,
        current_task=0,
        status=JobStatus.WAITING_FOR_WORKER,
    )
    reply = await committed(store, plan)
    assert reply.turn is None, "the wish that came while it was decided is over"
    claimed = await claim_one(store)
    for _ in range(2):
        assert await store.cancel(turn.record.id, fresh(), 0, "asked again") == ()
    assert await store.extend(0, "w1", HOUR_MS, [LeaseRef(claimed.task, claimed.attempt)]) == ("ok",)
    assert "asked again" not in [event.blob for event in await store.history(turn.record.id)]
    record = await store.read(turn.record.id)
    assert record is not None
    assert not record.cancel_requested
    done = await store.complete(end_of(claimed))
    assert isinstance(done, Completed)
    assert done.turn is not None
    await committed(store, commit_of(done.turn))


async def test_a_drop_takes_leased_and_gated_tasks_too(store: Store) -> None:
    job = await waiting_job(store, 3)
    leased, failed, first = await store.claim(0, claim_of(3))
    await store.complete(end_of(failed, mode="retry", delay_ms=HOUR_MS))
    asked = await store.cancel(job, "c", 0, "")
    assert isinstance(asked, tuple)
    done = await store.complete(end_of(first))
    assert isinstance(done, Completed)
    assert done.turn is None
    (turn,) = (await store.tick(0, "t")).turns
    await committed(store, commit_of(turn, status=JobStatus.CANCELLED, drops=((0, 3),)))
    await store.tick(0, "t")
    assert (await store.queue(0)).leased == 0
    assert await store.live_task(job, number_of(failed)) is None
    assert await store.extend(0, "w1", HOUR_MS, [LeaseRef(leased.task, leased.attempt)]) == ("lost",)


async def test_the_next_commit_replaces_the_deadline_of_the_last_wait(store: Store) -> None:
    turn = await first_turn(store)
    first = await committed(store, commit_of(turn, status=JobStatus.WAITING_FOR_HUMAN, need=1, deadline_ms=HOUR_MS))
    assert first.turn is None
    answered = await store.signal(turn.record.id, 1, decision(), "", fresh())
    assert isinstance(answered, Turn)
    await committed(store, commit_of(answered, status=JobStatus.WAITING_FOR_HUMAN, need=1))
    assert (await store.tick(0, "t")).next_due_ms is None


# Spawn


async def test_a_thousand_tasks_are_spawned_before_the_turn_commits(store: Store) -> None:
    turn = await first_turn(store)
    tasks = new_tasks(0, 1_000)
    ahead = 1_000 - TASKS_PER_COMMIT_MAX
    for start in range(0, ahead, TASKS_PER_COMMIT_MAX):
        chunk = tasks[start : min(start + TASKS_PER_COMMIT_MAX, ahead)]
        assert await store.spawn(turn.record.id, 0, turn.token, 1, chunk)
    assert (await store.queue(0)).ready == {WORK: ahead}
    await committed(store, commit_of(turn, tasks[ahead:], need=1_000))
    assert (await store.queue(0)).ready == {WORK: 1_000}
    claims = -(-1_000 // SEATS_PER_CALL_MAX)
    found = [await store.claim(0, claim_of(SEATS_PER_CALL_MAX)) for _ in range(claims)]
    assert [number_of(task) for some in found for task in some] == list(range(1_000))


async def test_a_fan_that_ended_before_its_turn_commits_makes_the_next_turn_due_with_all_results(store: Store) -> None:
    turn = await first_turn(store)
    assert await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(0, 3))
    for task in await store.claim(0, claim_of(3)):
        assert await store.complete(end_of(task)) == Completed()
    plan = commit_of(turn, status=JobStatus.WAITING_FOR_PARALLEL_TASKS, next_task=3, need=3)
    following = (await committed(store, plan)).turn
    assert following is not None
    assert [item.number for item in following.items if isinstance(item, TaskItem)] == [0, 1, 2]


async def test_a_chunk_sent_twice_is_spawned_once(store: Store) -> None:
    turn = await first_turn(store)
    for _ in range(2):
        assert await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(0, 5))
    assert (await store.queue(0)).ready == {WORK: 5}
    record = await store.read(turn.record.id)
    assert record is not None
    assert (record.spawn_wave, record.spawned_to) == (1, 5)


async def test_only_the_turns_holder_may_spawn(store: Store) -> None:
    turn = await first_turn(store)
    assert not await store.spawn(turn.record.id, 0, "another", 1, new_tasks(0, 5))
    assert not await store.spawn(turn.record.id, 1, turn.token, 1, new_tasks(0, 5))
    assert not await store.spawn(new_job().id, 0, turn.token, 1, new_tasks(0, 5))
    assert (await store.queue(0)).ready == {}


async def test_results_that_come_before_the_fan_is_committed_count(store: Store) -> None:
    turn = await first_turn(store)
    await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(0, 2))
    for claimed in await store.claim(0, claim_of(2)):
        assert await store.complete(end_of(claimed)) == Completed()
    reply = await committed(store, commit_of(turn, new_tasks(2, 1), need=3, next_task=3))
    assert reply.turn is None
    done = await store.complete(end_of(await claim_one(store)))
    assert isinstance(done, Completed)
    assert done.turn is not None
    assert [item.number for item in done.turn.items if isinstance(item, TaskItem)] == [0, 1, 2]


async def test_a_failure_that_comes_early_makes_the_turn_due_at_the_commit(store: Store) -> None:
    turn = await first_turn(store)
    await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(0, 1))
    await store.complete(end_of(await claim_one(store), failed=True, item=item_of(0, "failure")))
    reply = await committed(store, commit_of(turn, new_tasks(1, 1), need=2, failures_left=0))
    assert reply.turn is not None
    assert [item.status for item in reply.turn.items if isinstance(item, TaskItem)] == ["failure"]
    await committed(store, commit_of(reply.turn, drops=((0, 2),)))


async def test_what_a_dead_turn_spawned_never_counts_for_its_successor(store: Store) -> None:
    turn = await first_turn(store)
    await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(0, 2))
    early, late = await store.claim(0, claim_of(2))
    await store.complete(end_of(early))
    await store.defer(turn.record.id, turn.token, 0, failed=False)
    (successor,) = (await store.tick(0, "t")).turns
    assert (successor.record.spawn_wave, successor.record.spawned_to) == (1, 2)
    await store.spawn(turn.record.id, 0, successor.token, 2, new_tasks(2, 1))
    reply = await committed(store, commit_of(successor, new_tasks(3, 1), wave=2, need=2, drops=((0, 2),)))
    assert reply.turn is None
    assert isinstance(await store.complete(end_of(late)), Completed)
    tasks = await store.claim(0, claim_of(5))
    assert [number_of(task) for task in tasks] == [2, 3]
    await store.complete(end_of(tasks[0]))
    done = await store.complete(end_of(tasks[1]))
    assert isinstance(done, Completed)
    assert done.turn is not None
    assert [item.number for item in done.turn.items if isinstance(item, TaskItem)] == [2, 3]


async def test_a_turn_that_spawned_and_then_ends_the_job_leaves_no_task(store: Store) -> None:
    """A fan whose commit cannot be saved ends in quarantine; the turn read its job before it spawned."""
    turn = await first_turn(store)
    await store.spawn(turn.record.id, 0, turn.token, 1, new_tasks(0, 3))
    await claim_one(store)
    await committed(store, commit_of(turn, status=JobStatus.QUARANTINED, next_task=0))
    await store.tick(0, "t")
    state = await store.queue(0)
    assert (state.ready, state.leased) == ({}, 0)


# Defer


async def test_a_deferred_turn_is_due_again_after_the_delay(store: Store) -> None:
    turn = await first_turn(store)
    assert await store.defer(turn.record.id, turn.token, HOUR_MS, failed=False) == 0
    tick = await store.tick(0, "t")
    assert tick.turns == ()
    assert tick.next_due_ms is not None
    assert HOUR_MS - 10_000 < tick.next_due_ms <= HOUR_MS


async def test_failed_turns_in_a_row_are_counted_until_one_commits(store: Store) -> None:
    turn = await first_turn(store)
    for failures in (1, 2):
        assert await store.defer(turn.record.id, turn.token, 0, failed=True) == failures
        (turn,) = (await store.tick(0, fresh())).turns
        assert turn.record.turn_failures == failures
    reply = await committed(store, commit_of(turn, status=JobStatus.RUNNING, need=0))
    assert reply.turn is not None
    assert reply.turn.record.turn_failures == 0


async def test_a_defer_sent_twice_or_by_a_stranger_is_refused(store: Store) -> None:
    turn = await first_turn(store)
    assert await store.defer(turn.record.id, "another", 0, failed=True) is None
    assert await store.defer(turn.record.id, turn.token, HOUR_MS, failed=True) == 1
    assert await store.defer(turn.record.id, turn.token, HOUR_MS, failed=True) is None
    assert await store.defer(new_job().id, turn.token, 0, failed=True) is None


# Signal


async def test_an_answer_makes_the_turn_of_whoever_brought_it(store: Store) -> None:
    turn = await asking_job(store)
    answered = await store.signal(turn.record.id, 1, decision("approved"), "decided", "mine")
    assert isinstance(answered, Turn)
    assert (answered.token, answered.items) == ("mine", (DecisionItem("approved", "ann", ""),))
    assert (await store.history(turn.record.id))[-1].blob == "decided"
    await committed(store, commit_of(answered))


async def test_exactly_one_of_two_answers_wins(store: Store) -> None:
    turn = await asking_job(store)
    first = await store.signal(turn.record.id, 1, decision("approved"), "", "first")
    assert isinstance(first, Turn)
    assert await store.signal(turn.record.id, 1, decision("rejected"), "", "second") == Refused(Refusal.CONFLICT)
    await committed(store, commit_of(first, status=JobStatus.WAITING_FOR_HUMAN, need=1))
    assert await store.signal(turn.record.id, 1, decision("rejected"), "", "third") == Refused(Refusal.CONFLICT)


async def test_the_second_answer_loses_also_while_the_first_ones_turn_is_deferred(store: Store) -> None:
    turn = await asking_job(store)
    first = await store.signal(turn.record.id, 1, decision("approved"), "", "first")
    assert isinstance(first, Turn)
    await store.defer(turn.record.id, "first", 0, failed=False)
    assert await store.signal(turn.record.id, 1, decision("rejected"), "", "second") == Refused(Refusal.CONFLICT)
    (again,) = (await store.tick(0, "t")).turns
    assert again.items == (DecisionItem("approved", "ann", ""),)


async def test_an_answer_sent_twice_is_taken_once(store: Store) -> None:
    turn = await asking_job(store)
    first = await store.signal(turn.record.id, 1, decision(), "decided", "mine")
    assert isinstance(first, Turn)
    assert await store.signal(turn.record.id, 1, decision(), "decided", "mine") == first
    await committed(store, commit_of(first))
    assert await store.signal(turn.record.id, 1, decision(), "decided", "mine") == Refused(Refusal.TAKEN)
    assert [event.blob for event in await store.history(turn.record.id)].count("decided") == 1


async def test_an_answer_to_another_wait_a_final_or_an_unknown_job_is_refused(store: Store) -> None:
    turn = await asking_job(store)
    assert await store.signal(turn.record.id, 2, decision(), "", fresh()) == Refused(Refusal.CONFLICT)
    over = await first_turn(store)
    await committed(store, commit_of(over))
    assert await store.signal(over.record.id, 1, decision(), "", fresh()) == Refused(Refusal.CONFLICT)
    assert await store.signal(new_job().id, 1, decision(), "", fresh()) == Refused(Refusal.GONE)


# Cancel


async def test_a_job_without_leased_tasks_gets_its_last_turn_at_once(store: Store) -> None:
    job = await waiting_job(store, 2)
    turn = await store.cancel(job, "mine", HOUR_MS, "cancel asked")
    assert isinstance(turn, Turn)
    assert (turn.token, turn.record.cancel_requested) == ("mine", True)
    assert await store.claim(0, claim_of(2)) == ()
    assert await store.cancel(job, "mine", HOUR_MS, "cancel asked") == turn
    assert [event.blob for event in await store.history(job)].count("cancel asked") == 1
    await committed(store, commit_of(turn, status=JobStatus.CANCELLED, drops=((0, 2),)))
    assert await store.cancel(job, fresh(), HOUR_MS, "") == Refused(Refusal.FINAL)


async def test_a_job_with_leased_tasks_names_their_workers_and_waits_for_them(store: Store) -> None:
    job = await waiting_job(store, 3)
    one, two = await store.claim(0, claim_of([seat("w1"), seat("w2")]))
    for _ in range(2):
        asked = await store.cancel(job, fresh(), HOUR_MS, "")
        assert isinstance(asked, tuple)
        assert sorted(asked) == [(one.task, "w1"), (two.task, "w2")]
    assert await store.claim(0, claim_of(1)) == ()
    assert (await store.tick(0, "t")).turns == ()
    first = await store.complete(end_of(one))
    assert first == Completed(cancelling=True)
    last = await store.complete(end_of(two, worker="w2", mode="retry", delay_ms=HOUR_MS))
    assert isinstance(last, Completed)
    assert last.cancelling
    assert last.turn is not None
    assert last.turn.record.cancel_requested
    await committed(store, commit_of(last.turn, status=JobStatus.CANCELLED, drops=((0, 3),)))


async def test_a_cancelled_job_does_not_wait_for_its_workers_beyond_the_grace(store: Store) -> None:
    job = await waiting_job(store)
    await claim_one(store)
    assert isinstance(await store.cancel(job, fresh(), 0, ""), tuple)
    (turn,) = (await store.tick(0, "t")).turns
    assert (turn.record.id, turn.record.cancel_requested) == (job, True)
    await committed(store, commit_of(turn, status=JobStatus.CANCELLED, drops=((0, 1),)))


async def test_a_job_whose_turn_runs_is_cancelled_right_after_its_commit(store: Store) -> None:
    turn = await first_turn(store)
    assert await store.cancel(turn.record.id, fresh(), HOUR_MS, "") == ()
    reply = await committed(store, commit_of(turn, new_tasks(0, 1), claim=claim_of(1)))
    assert reply.claimed == ()
    assert reply.turn is not None
    assert reply.turn.record.cancel_requested
    await committed(store, commit_of(reply.turn, status=JobStatus.CANCELLED, clear_cancel=True, drops=((0, 1),)))


async def test_a_job_may_clean_up_after_it_was_cancelled(store: Store) -> None:
    job = await waiting_job(store)
    turn = await store.cancel(job, fresh(), HOUR_MS, "")
    assert isinstance(turn, Turn)
    reply = await committed(store, commit_of(turn, new_tasks(1, 1), clear_cancel=True, drops=((0, 1),)))
    assert reply.turn is None
    assert number_of(await claim_one(store)) == 1


async def test_a_wide_clean_up_keeps_the_tasks_it_spawned_ahead(store: Store) -> None:
    """The job still counts as cancelled while they are spawned, and workers already ask for them."""
    job = await waiting_job(store)
    turn = await store.cancel(job, fresh(), HOUR_MS, "")
    assert isinstance(turn, Turn)
    await store.spawn(job, turn.record.version, turn.token, 2, new_tasks(1, 2))
    early = await claim_one(store)
    assert number_of(early) == 1
    commit = commit_of(turn, new_tasks(3, 1), wave=2, need=3, clear_cancel=True, drops=((0, 1),))
    assert (await committed(store, commit)).turn is None
    assert [number_of(task) for task in await store.claim(0, claim_of(5))] == [2, 3]


async def test_cancelling_an_unknown_job_is_refused(store: Store) -> None:
    assert await store.cancel(new_job().id, fresh(), 0, "") == Refused(Refusal.GONE)


async def test_a_watcher_sees_that_the_end_was_asked_for(store: Store) -> None:
    job = await waiting_job(store)
    before = await store.read(job)
    await claim_one(store)
    await store.cancel(job, fresh(), HOUR_MS, "")
    after = await store.read(job)
    assert before is not None
    assert after is not None
    assert after.revision > before.revision


# Watching and listing


async def test_who_asked_is_told_of_every_change(deployment: Deployment) -> None:
    follower, watcher = await deployment.replica("follower"), await deployment.replica("watcher")
    store = (await deployment.replica()).store
    turn = await first_turn(store)
    job = turn.record.id
    for _ in range(2):
        await store.read(job, "follower", changes=True)
        await store.read(job, "watcher")
    reply = await committed(store, commit_of(turn, status=JobStatus.RUNNING, need=0))
    await until(lambda: follower.texts == [f"j|{job}"])
    assert reply.turn is not None
    await committed(store, commit_of(reply.turn))
    await until(lambda: follower.texts == [f"j|{job}"] * 2)
    await until(lambda: watcher.texts == [f"j|{job}"])


async def test_the_submitter_may_ask_to_be_told_of_the_end(deployment: Deployment) -> None:
    replica, other = await deployment.replica("r1"), await deployment.replica("r2")
    turn = await first_turn(replica.store, watcher="r1")
    await committed(other.store, commit_of(turn))
    await until(lambda: replica.texts == [f"j|{turn.record.id}"])


async def test_who_ends_a_job_is_not_told_what_it_knows(deployment: Deployment) -> None:
    replica = await deployment.replica("r1")
    turn = await first_turn(replica.store, watcher="r1")
    await committed(replica.store, commit_of(turn))
    await replica.store.publish("r1", "marker")
    await until(lambda: replica.texts == ["marker"])


async def test_a_watcher_of_a_final_job_is_not_remembered(deployment: Deployment) -> None:
    replica = await deployment.replica("r1")
    turn = await first_turn(replica.store)
    await committed(replica.store, commit_of(turn))
    assert await replica.store.read(turn.record.id, "r1") is not None


async def test_jobs_are_listed_newest_first_for_their_tenant_only(store: Store) -> None:
    mine = []
    for _ in range(3):
        turn = await first_turn(store)
        mine.append(turn.record.id)
        await _next_millisecond(store)
    await first_turn(store, tenant="umbrella")
    assert [record.id for record in (await store.jobs("acme", None, 10)).items] == mine[::-1]
    page = await store.jobs("acme", None, 2)
    assert [record.id for record in page.items] == [mine[2], mine[1]]
    rest = await store.jobs("acme", page.last, 2)
    assert [record.id for record in rest.items] == [mine[0]]
    assert await store.jobs("acme", rest.last, 2) == IndexPage((), (), None)


async def test_jobs_of_one_moment_are_all_listed_page_by_page(store: Store) -> None:
    made = {(await first_turn(store)).record.id for _ in range(30)}
    seen: list[str] = []
    place = None
    while (page := await store.jobs("acme", place, 4)).last is not None:
        seen += [record.id for record in page.items]
        place = page.last
    assert sorted(seen) == sorted(made)


async def test_final_jobs_and_live_ones_are_listed_apart(store: Store) -> None:
    over, live = await first_turn(store), await first_turn(store)
    await committed(store, commit_of(over))
    assert [job.id for job in (await store.jobs("acme", None, 10, final=True)).items] == [over.record.id]
    assert [job.id for job in (await store.jobs("acme", None, 10, final=False)).items] == [live.record.id]
    assert len((await store.jobs("acme", None, 10)).items) == 2


async def test_a_page_whose_jobs_are_all_gone_is_not_the_end(deployment: Deployment) -> None:
    """Blueprints keep their jobs for different times, and the index of a day as long as the longest of them."""
    store = (await deployment.replica()).store
    turns = [await first_turn(store) for _ in range(3)]
    for turn, retention_ms in zip(turns, (HOUR_MS, 1, 1), strict=True):
        await committed(store, commit_of(turn, retention_ms=retention_ms))
        await _next_millisecond(store)
    found: list[str] = []
    page = await store.jobs("acme", None, 1, final=True)
    while page.last is not None:
        found += [job.id for job in page.items]
        page = await store.jobs("acme", page.last, 1, final=True)
    assert found == [turns[0].record.id]


async def test_finished_jobs_are_listed_by_their_end(store: Store) -> None:
    old, new = await first_turn(store), None
    await _next_millisecond(store)
    new = await first_turn(store)
    await _next_millisecond(store)
    await committed(store, commit_of(old))
    assert [record.id for record in (await store.jobs("acme", None, 5)).items] == [old.record.id, new.record.id]


async def _next_millisecond(store: Store) -> None:
    """So that two things have different times."""
    now = UnixMs(time.time_ns() // 1_000_000)
    await until(lambda: time.time_ns() // 1_000_000 > now)
