"""What an attempt's end means: again, or an end that the job must answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.core.limits import LOSS_SPREAD_MS, REQUEUE_AFTER_MS, TASK_LOSSES_MAX, TASK_REQUEUES_MAX
from muster.core.retry import (
    FAIL_CODES,
    QUARANTINE_CODES,
    Again,
    Back,
    Deliver,
    TaskRules,
    Trials,
    Verdict,
    after_failure,
    after_loss,
    after_requeue,
    status_without_edge,
    verdict,
)
from muster.core.status import JobStatus, TaskStatus
from muster.core.timeouts import CODE_OF, Timeout, said
from muster.core.transitions import TASK_MOVES, TaskEvent
from muster_worker.retry_policy import AT_ONCE, NEVER, RetryPolicy

CODES = st.sampled_from(sorted(QUARANTINE_CODES | FAIL_CODES | {"TRANSIENT_ERROR", "TIMEOUT_ERROR", "", "MADE_UP"}))
JITTER = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", Verdict.RETRY),
        ("TRANSIENT_ERROR", Verdict.RETRY),
        ("TIMEOUT_ERROR", Verdict.RETRY),
        ("RESOURCE_EXHAUSTED_ERROR", Verdict.RETRY),
        ("a code nobody has heard of", Verdict.RETRY),
        ("PERMANENT_ERROR", Verdict.QUARANTINE),
        ("SECURITY_ERROR", Verdict.QUARANTINE),
        ("DEPENDENCY_ERROR", Verdict.QUARANTINE),
        ("CONTRACT_VIOLATION_ERROR", Verdict.QUARANTINE),
        ("WORKER_LOST", Verdict.QUARANTINE),
        ("POISON_TASK", Verdict.QUARANTINE),
        ("SCHEDULE_TO_START_TIMEOUT", Verdict.QUARANTINE),
        ("HEARTBEAT_TIMEOUT", Verdict.RETRY),
        ("INVALID_INPUT_ERROR", Verdict.FAIL),
        ("INTEGRITY_MISMATCH_ERROR", Verdict.FAIL),
        ("COMMAND_FAILED", Verdict.FAIL),
    ],
)
def test_every_code_has_one_meaning(code: str, expected: Verdict) -> None:
    assert verdict(code) is expected


def test_no_code_has_two_meanings() -> None:
    assert QUARANTINE_CODES.isdisjoint(FAIL_CODES)


@given(CODES)
def test_only_the_clients_own_fault_fails_a_job_everything_else_is_kept_for_a_person(code: str) -> None:
    expected = JobStatus.FAILED if code in FAIL_CODES else JobStatus.QUARANTINED
    assert status_without_edge(code) is expected


@given(CODES, st.integers(0, 200), st.integers(0, 100), JITTER, st.none() | st.integers(0, 10**9))
def test_a_task_is_never_tried_more_often_than_its_rules_allow(
    code: str, failures: int, retries: int, jitter: float, wish_ms: int | None
) -> None:
    then = after_failure(code, Trials(failures), TaskRules(retries), jitter, wish_ms)
    assert isinstance(then, Again) == (failures < retries and verdict(code) is Verdict.RETRY)


POLICIES = st.builds(
    RetryPolicy,
    first=st.floats(0, 10),
    factor=st.floats(1, 100),
    cap=st.floats(10, 10**6),
    jitter=st.sampled_from(["full", "none"]),
)


@given(POLICIES, st.integers(0, 200), JITTER)
def test_the_back_off_is_bounded_and_never_negative(policy: RetryPolicy, failures: int, jitter: float) -> None:
    then = after_failure("", Trials(failures), TaskRules(1_000, policy), jitter, None)
    assert isinstance(then, Again)
    assert 0 <= then.delay_ms <= policy.cap_ms
    assert then.delay_ms <= policy.first_ms * policy.factor ** min(failures, 100)
    assert then.back is Back.FAILED


@given(POLICIES, st.integers(0, 200), JITTER)
def test_the_back_off_grows_with_the_failures(policy: RetryPolicy, failures: int, jitter: float) -> None:
    sooner = after_failure("", Trials(failures), TaskRules(1_000, policy), jitter, None)
    later = after_failure("", Trials(failures + 1), TaskRules(1_000, policy), jitter, None)
    assert isinstance(sooner, Again)
    assert isinstance(later, Again)
    assert sooner.delay_ms <= later.delay_ms


def test_without_jitter_the_pauses_are_those_of_the_policy() -> None:
    policy = RetryPolicy(first="2s", factor=3, cap="20s", jitter="none")
    pauses = [after_failure("", Trials(n), TaskRules(9, policy), 0.1, None) for n in range(4)]
    assert pauses == [Again(2_000), Again(6_000), Again(18_000), Again(20_000)]


def test_full_jitter_draws_from_nothing_to_the_whole_pause() -> None:
    assert after_failure("", Trials(3), TaskRules(9), 0.0, None) == Again(0)
    assert after_failure("", Trials(3), TaskRules(9), 0.999, None) == Again(7_992)


def test_the_workers_own_wish_wins_over_the_back_off() -> None:
    assert after_failure("", Trials(5), TaskRules(9), 0.9, 120_000) == Again(120_000)
    assert after_failure("", Trials(5), TaskRules(9), 0.9, 0) == Again(0)


def test_a_task_with_no_retries_is_answered_at_its_first_failure() -> None:
    assert after_failure("TRANSIENT_ERROR", Trials(), TaskRules(0), 0.5, 1_000) == Deliver()


# Rules by error code


def test_a_code_that_is_never_tried_again_is_answered_whatever_it_usually_means() -> None:
    rules = TaskRules(9, RetryPolicy(on={"BUSY": NEVER}))
    assert after_failure("BUSY", Trials(), rules, 0.5, 1_000) == Deliver()
    assert after_failure("OTHER", Trials(), rules, 0.0, None) == Again(0)


def test_a_code_that_is_tried_again_at_once_waits_for_nothing_and_uses_up_retries() -> None:
    rules = TaskRules(2, RetryPolicy(first="10s", jitter="none", on={"DEADLOCK": AT_ONCE}))
    assert after_failure("DEADLOCK", Trials(1), rules, 0.9, None) == Again(0)
    assert after_failure("DEADLOCK", Trials(2), rules, 0.9, None) == Deliver()


def test_a_policy_may_try_again_what_is_usually_for_good() -> None:
    rules = TaskRules(2, RetryPolicy(on={"PERMANENT_ERROR": RetryPolicy(first="5s", jitter="none")}))
    assert after_failure("PERMANENT_ERROR", Trials(), rules, 0.9, None) == Again(5_000, counted="PERMANENT_ERROR")


def test_a_codes_own_policy_counts_its_failures_alone() -> None:
    own = RetryPolicy(retries=5, first="30s", factor=1, jitter="none")
    rules = TaskRules(1, RetryPolicy(on={"BUSY": own}))
    busy = Trials(4, {"BUSY": 4})
    assert after_failure("BUSY", busy, rules, 0.9, None) == Again(30_000, counted="BUSY")
    assert after_failure("OTHER", busy, rules, 0.0, None) == Again(0), "the four others took none of its retries"
    assert after_failure("BUSY", Trials(5, {"BUSY": 5}), rules, 0.9, None) == Deliver()
    assert after_failure("OTHER", Trials(5, {"BUSY": 4}), rules, 0.9, None) == Deliver()


def test_counts_are_kept_as_text_and_only_where_there_is_something_to_count() -> None:
    assert Trials(3).dump("") == ""
    assert Trials.counts(Trials(3, {"A": 1}).dump("B")) == {"A": 1, "B": 1}
    assert Trials.counts("") == {}


def test_the_name_of_the_exception_serves_where_the_code_is_not_listed() -> None:
    rules = TaskRules(9, RetryPolicy(on={"ValueError": NEVER, "BUSY": AT_ONCE}))
    assert after_failure("TRANSIENT_ERROR", Trials(), rules, 0.5, None, "ValueError") == Deliver()
    assert after_failure("BUSY", Trials(), rules, 0.5, None, "ValueError") == Again(0)


# Budgets and limits


@given(st.integers(0, 10**8), JITTER, st.none() | st.integers(0, 10**8))
def test_no_retry_begins_after_the_budget(failing_ms: int, jitter: float, wish_ms: int | None) -> None:
    rules = TaskRules(1_000, RetryPolicy(budget="1h"))
    then = after_failure("", Trials(7, failing_ms=failing_ms), rules, jitter, wish_ms)
    assert isinstance(then, Deliver) or failing_ms + then.delay_ms <= 3_600_000
    if isinstance(then, Deliver):
        assert "budget of 3600 s" in then.note


@given(st.integers(-1_000, 10**8), JITTER)
def test_no_retry_begins_after_schedule_to_close(left_ms: int, jitter: float) -> None:
    then = after_failure("", Trials(3, left_ms=left_ms), TaskRules(9), jitter, None)
    assert isinstance(then, Deliver) or then.delay_ms < left_ms


def test_a_task_that_nobody_fetched_is_not_put_into_the_same_line_again_unless_a_policy_says_so() -> None:
    code = CODE_OF[Timeout.SCHEDULE_TO_START]
    assert after_failure(code, Trials(), TaskRules(9), 0.5, None) == Deliver()
    rules = TaskRules(9, RetryPolicy(on={code: AT_ONCE}))
    assert after_failure(code, Trials(), rules, 0.5, None) == Again(0)


def test_every_timeout_has_a_code_of_its_own() -> None:
    assert len({CODE_OF[timeout] for timeout in Timeout}) == len(Timeout)
    assert all(said(timeout, "w1") for timeout in Timeout)


# What is stored beside a task


def test_rules_are_read_as_they_were_written_and_old_ones_have_no_policy() -> None:
    policy = RetryPolicy(first="3s", cap="1h", budget="1d", on={"A": NEVER, "B": RetryPolicy(retries=7)})
    assert TaskRules.load(TaskRules(4, policy).dump("work")) == TaskRules(4, policy)
    assert TaskRules.load(b'{"r":2,"t":"work"}') == TaskRules(2)
    assert TaskRules(2).dump("work") == b'{"r":2,"t":"work"}'


# Losses and requeues


def test_a_task_that_lost_its_worker_goes_back_until_it_is_taken_for_poison() -> None:
    ends = [after_loss(losses, 0.0) for losses in range(TASK_LOSSES_MAX + 1)]
    assert ends == [Again(0, Back.LOST)] * (TASK_LOSSES_MAX - 1) + [Deliver()] * 2


@given(JITTER, JITTER)
def test_tasks_that_lost_a_worker_together_twice_come_back_apart(one: float, other: float) -> None:
    assert after_loss(0, one) == Again(0, Back.LOST), "the first loss is mostly the worker's fault"
    first, second = after_loss(1, one), after_loss(1, other)
    assert isinstance(first, Again)
    assert isinstance(second, Again)
    assert first.delay_ms == int(LOSS_SPREAD_MS * one)
    assert (first.delay_ms == second.delay_ms) == (int(LOSS_SPREAD_MS * one) == int(LOSS_SPREAD_MS * other))


def test_a_task_that_is_put_back_waits_as_its_worker_says_and_not_for_ever() -> None:
    assert after_requeue(0, 30_000) == Again(30_000, Back.ASKED)
    assert after_requeue(7, None) == Again(REQUEUE_AFTER_MS, Back.ASKED)
    assert after_requeue(TASK_REQUEUES_MAX, 0) == Deliver()


# The arrows of TASK_MOVES that are a matter of policy; test_task_moves.py tries all of them on a store.


def landed(then: Again | Deliver, end: TaskStatus) -> TaskStatus:
    """Where `complete` puts a task: behind a delay, in line again, or out."""
    if isinstance(then, Deliver):
        return end
    return TaskStatus.GATED if then.delay_ms else TaskStatus.READY


def test_a_failed_attempt_leads_exactly_where_the_table_of_task_moves_says() -> None:
    walked: set[tuple[TaskEvent, TaskStatus]] = set()
    for code in sorted(QUARANTINE_CODES | FAIL_CODES | {"", "TIMEOUT_ERROR"}):
        for trials in map(Trials, range(5)):
            for jitter in (0.0, 0.5, 0.99):
                for wish_ms in (None, 0, 5_000):
                    then = after_failure(code, trials, TaskRules(3), jitter, wish_ms)
                    walked.add((TaskEvent.FAILED, landed(then, TaskStatus.FAILURE)))
                then = after_failure("TIMEOUT_ERROR", trials, TaskRules(3), jitter, None)
                walked.add((TaskEvent.TIMED_OUT, landed(then, TaskStatus.TIMED_OUT)))
    for losses in range(TASK_LOSSES_MAX):
        for jitter in (0.0, 0.5):
            walked.add((TaskEvent.LEASE_ENDED, landed(after_loss(losses, jitter), TaskStatus.LOST)))
    for requeues in (0, TASK_REQUEUES_MAX):
        for after_ms in (0, 1_000):
            walked.add((TaskEvent.PUT_BACK, landed(after_requeue(requeues, after_ms), TaskStatus.FAILURE)))
    decided = {TaskEvent.FAILED, TaskEvent.TIMED_OUT, TaskEvent.LEASE_ENDED, TaskEvent.PUT_BACK}
    drawn = {
        (event, after)
        for (before, event), ends in TASK_MOVES.items()
        for after in ends
        if before is TaskStatus.LEASED and event in decided
    }
    assert walked == drawn


def test_a_task_that_has_ended_never_moves_again() -> None:
    live = {TaskStatus.GATED, TaskStatus.READY, TaskStatus.LEASED, TaskStatus.PARKED}
    assert {before for before, _ in TASK_MOVES} == live


def test_every_live_task_can_be_abandoned() -> None:
    assert all(
        TASK_MOVES[status, TaskEvent.ABANDONED] == {TaskStatus.CANCELLED}
        for status in (TaskStatus.GATED, TaskStatus.READY, TaskStatus.LEASED, TaskStatus.PARKED)
    )
