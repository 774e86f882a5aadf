"""What an attempt's end means: again, or an end that the job must answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.core.limits import TASK_LOSSES_MAX
from muster.core.retry import (
    BACKOFF_FIRST_MS,
    BACKOFF_MAX_MS,
    FAIL_CODES,
    QUARANTINE_CODES,
    Again,
    Deliver,
    TaskRules,
    Verdict,
    after_failure,
    after_loss,
    status_without_edge,
    verdict,
)
from muster.core.status import JobStatus, TaskStatus
from muster.core.transitions import TASK_MOVES, TaskEvent

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
    then = after_failure(code, failures, TaskRules(retries), jitter, wish_ms)
    assert isinstance(then, Again) == (failures < retries and verdict(code) is Verdict.RETRY)


@given(st.integers(0, 200), JITTER)
def test_the_back_off_is_bounded_and_never_negative(failures: int, jitter: float) -> None:
    then = after_failure("", failures, TaskRules(1_000), jitter, None)
    assert isinstance(then, Again)
    assert 0 <= then.delay_ms <= min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2**failures)
    assert not then.lost


@given(st.integers(0, 200), JITTER)
def test_the_back_off_grows_with_the_failures(failures: int, jitter: float) -> None:
    sooner = after_failure("", failures, TaskRules(1_000), jitter, None)
    later = after_failure("", failures + 1, TaskRules(1_000), jitter, None)
    assert isinstance(sooner, Again)
    assert isinstance(later, Again)
    assert sooner.delay_ms <= later.delay_ms


def test_the_workers_own_wish_wins_over_the_back_off() -> None:
    assert after_failure("", 5, TaskRules(9), 0.9, 120_000) == Again(120_000)
    assert after_failure("", 5, TaskRules(9), 0.9, 0) == Again(0)


def test_a_task_with_no_retries_is_answered_at_its_first_failure() -> None:
    assert after_failure("TRANSIENT_ERROR", 0, TaskRules(0), 0.5, 1_000) == Deliver()


def test_a_task_that_lost_its_worker_goes_back_at_once_until_it_is_taken_for_poison() -> None:
    ends = [after_loss(losses) for losses in range(TASK_LOSSES_MAX + 1)]
    assert ends == [Again(0, lost=True)] * (TASK_LOSSES_MAX - 1) + [Deliver()] * 2


# The arrows of TASK_MOVES that are a matter of policy; test_task_moves.py tries all of them on a store.


def landed(then: Again | Deliver, end: TaskStatus) -> TaskStatus:
    """Where `complete` puts a task: behind a delay, in line again, or out."""
    if isinstance(then, Deliver):
        return end
    return TaskStatus.GATED if then.delay_ms else TaskStatus.READY


def test_a_failed_attempt_leads_exactly_where_the_table_of_task_moves_says() -> None:
    walked: set[tuple[TaskEvent, TaskStatus]] = set()
    for code in sorted(QUARANTINE_CODES | FAIL_CODES | {"", "TIMEOUT_ERROR"}):
        for failures in range(5):
            for jitter in (0.0, 0.5, 0.99):
                for wish_ms in (None, 0, 5_000):
                    then = after_failure(code, failures, TaskRules(3), jitter, wish_ms)
                    walked.add((TaskEvent.FAILED, landed(then, TaskStatus.FAILURE)))
                then = after_failure("TIMEOUT_ERROR", failures, TaskRules(3), jitter, None)
                walked.add((TaskEvent.TIMED_OUT, landed(then, TaskStatus.TIMED_OUT)))
    for losses in range(TASK_LOSSES_MAX):
        walked.add((TaskEvent.LEASE_ENDED, landed(after_loss(losses), TaskStatus.LOST)))
    drawn = {
        (event, after)
        for (before, event), ends in TASK_MOVES.items()
        for after in ends
        if before is TaskStatus.LEASED and event in {TaskEvent.FAILED, TaskEvent.TIMED_OUT, TaskEvent.LEASE_ENDED}
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
