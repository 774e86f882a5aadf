"""The tables of legal moves are exactly what the core can do."""

from functools import cache

import pytest
from muster.core.decide import check_move
from muster.core.invariants import problems
from muster.core.record import TimerItem
from muster.core.status import FINAL, JobStatus
from muster.core.transitions import JOB_MOVES, JobEvent

from tests.core.build import for_child, for_person, for_signal, for_task
from tests.core.explore import Explored, explore


@cache
def explored() -> Explored:
    return explore()


def test_every_move_a_job_can_make_is_drawn_and_every_drawn_move_can_be_made() -> None:
    drawn = {(before, event, after) for (before, event), ends in JOB_MOVES.items() for after in ends}
    walked = explored().arrows
    assert walked - drawn == set(), "the core makes moves that core/transitions.py does not draw"
    assert drawn - walked == set(), "core/transitions.py draws moves that the core never makes"


def test_no_job_that_can_be_reached_breaks_an_invariant() -> None:
    broken = [problem for record in explored().records for problem in problems(record)]
    assert broken == []


def test_the_exploration_reaches_every_status() -> None:
    reached = {record.status for record in explored().records}
    assert reached == set(JobStatus)


def test_a_final_job_moves_again_only_where_it_is_retried_and_never_after_a_result() -> None:
    again = {before: event for before, event in JOB_MOVES if before in FINAL}
    assert again == dict.fromkeys(FINAL - {JobStatus.FINISHED}, JobEvent.RETRIED)


def test_every_live_status_can_be_cancelled_and_can_fail_for_good() -> None:
    live = set(JobStatus) - FINAL - {JobStatus.PAUSED}
    assert all((status, JobEvent.CANCEL_ASKED) in JOB_MOVES for status in live)
    assert all(JOB_MOVES[status, JobEvent.TURN_FAILED] == {JobStatus.QUARANTINED} for status in live)


def test_a_move_that_is_not_drawn_is_refused() -> None:
    with pytest.raises(AssertionError, match="finished --begun--> running is not in the table"):
        check_move(JobStatus.FINISHED, JobEvent.BEGUN, JobStatus.RUNNING)


def test_a_mailbox_that_does_not_fit_the_wait_raises_and_decides_nothing() -> None:
    from muster.core.advance import advance

    for record, items in (
        (for_task(), ()),
        (for_person(), ()),
        (for_task(), (TimerItem(),)),
        (for_child(), (TimerItem(),)),
        (for_signal(), ()),
    ):
        with pytest.raises((StopIteration, KeyError)):
            advance(record, items)
