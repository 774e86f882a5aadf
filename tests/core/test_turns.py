"""One turn at a time: what a mailbox does to a job, and what a decision does."""

from dataclasses import replace
from typing import Any

import pytest
from muster.core import decide as core
from muster.core.advance import End, Enter, advance, go, why
from muster.core.decisions import Ask, Child, Done, Fail, Fan, Go, Quarantine, Run, Sleep, TaskSpec, WaitFor
from muster.core.limits import FAN_WIDTH_MAX, UPLOADS_LOOK_MS
from muster.core.record import ChildItem, Context, DecisionItem, Item, SignalItem, TimerItem
from muster.core.status import JobStatus
from muster.core.transitions import JobEvent

from tests.core.build import (
    CHILD,
    NOW,
    ended,
    for_child,
    for_person,
    for_signal,
    for_task,
    for_tasks,
    for_time,
    pending,
)

SPEC = TaskSpec("pack", {"sku": "tea"})


def decided(decision: Any) -> core.Rest | Enter | End:
    return core.decide(core.begin(pending()), decision, {"seen": 1}, NOW)


# A single task


def test_a_result_is_the_next_states_argument_and_is_merged_into_the_history() -> None:
    move = advance(for_task(), [ended(data={"ref": "r-1"})])
    assert move == Enter("packing", {"ref": "r-1"}, {"ref": "r-1"})


def test_a_result_that_is_no_object_is_an_argument_and_nothing_more() -> None:
    assert advance(for_task(), [ended(data=[1, 2])]) == Enter("packing", [1, 2], {})


def test_a_declared_outcome_leads_where_the_blueprint_says() -> None:
    assert advance(for_task(maybe="think"), [ended(status="maybe", data={"p": 0.5})]) == Enter(
        "think", {"p": 0.5}, {"p": 0.5}
    )


def test_an_undeclared_outcome_fails_the_job_and_names_the_declared_ones() -> None:
    move = advance(for_task(failure="mend"), [ended(status="succes")])
    assert isinstance(move, End)
    assert (move.status, move.state) == (JobStatus.FAILED, "check")
    assert move.error == "task reported outcome 'succes', which state 'check' does not declare (failure, success)"
    assert move.details == {"code": "undeclared_outcome"}


def test_a_failure_goes_to_the_state_that_answers_failures_with_all_that_is_known() -> None:
    item = ended(status="failure", code="TIMEOUT_ERROR", message="too slow")
    assert advance(for_task(failure="mend"), [item]) == Enter(
        "mend", {"code": "TIMEOUT_ERROR", "message": "too slow", "worker": "w1", "attempt": 1, "task": 0}
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", JobStatus.QUARANTINED),
        ("TRANSIENT_ERROR", JobStatus.QUARANTINED),
        ("PERMANENT_ERROR", JobStatus.QUARANTINED),
        ("WORKER_LOST", JobStatus.QUARANTINED),
        ("INVALID_INPUT_ERROR", JobStatus.FAILED),
        ("COMMAND_FAILED", JobStatus.FAILED),
    ],
)
def test_a_failure_that_nobody_answers_ends_the_job_by_its_code(code: str, status: JobStatus) -> None:
    move = advance(for_task(), [ended(status="failure", code=code)])
    assert isinstance(move, End)
    assert move.status is status
    assert move.error == "the worker gave no reason"


def test_a_task_that_reports_itself_cancelled_cancels_the_job_unless_the_state_declares_a_way() -> None:
    assert isinstance(advance(for_task(cancelled="tidy"), [ended(status="cancelled")]), Enter)
    move = advance(for_task(), [ended(status="cancelled")])
    assert isinstance(move, End)
    assert move.status is JobStatus.CANCELLED


# Fans


def test_a_join_gives_the_results_in_the_order_of_the_tasks_whatever_order_they_ended_in() -> None:
    items = [ended(2, data="c"), ended(0, data="a"), ended(1, data="b")]
    assert advance(for_tasks(3), items) == Enter("shipped", ["a", "b", "c"])


def test_the_first_failure_decides_a_join() -> None:
    items = [ended(0), ended(2, "failure", message="first"), ended(1, "failure", message="second")]
    move = advance(for_tasks(3, failure="mend"), items)
    assert isinstance(move, Enter)
    assert move.argument == {"code": "TRANSIENT_ERROR", "message": "first", "worker": "w1", "attempt": 1, "task": 2}


def test_a_join_does_not_wait_for_the_others_once_one_has_failed() -> None:
    assert isinstance(advance(for_tasks(100, failure="mend"), [ended(41, "failure")]), Enter)


def test_results_of_another_wave_are_not_joined() -> None:
    record = for_tasks(2)
    assert advance(record, [ended(7, data="old"), ended(0, data="a"), ended(1, data="b")]) == Enter(
        "shipped", ["a", "b"]
    )


def test_a_fan_over_nothing_goes_on_at_once_with_no_results() -> None:
    assert decided(Fan((), {"success": "shipped"})) == Enter("shipped", [])


def test_a_fan_that_is_too_wide_quarantines_the_job_and_makes_no_task() -> None:
    end = decided(Fan((SPEC,) * (FAN_WIDTH_MAX + 1), {"success": "shipped"}))
    assert isinstance(end, End)
    assert end.status is JobStatus.QUARANTINED
    assert end.error == "state 'check' fans out to 10001 tasks; at most 10000 fit in one job"


def test_the_widest_fan_fits() -> None:
    rest = decided(Fan((SPEC,) * FAN_WIDTH_MAX, {"success": "shipped"}))
    assert isinstance(rest, core.Rest)
    assert (len(rest.tasks), rest.need) == (FAN_WIDTH_MAX, FAN_WIDTH_MAX)


# People and time


def test_an_answer_goes_where_its_word_leads_and_says_who_gave_it() -> None:
    move = advance(for_person(), [DecisionItem("approved", "ada", "looks right")])
    assert move == Enter(
        "ship", {"decision": "approved", "by": "ada", "note": "looks right", "form": None, "answers": []}
    )


def test_a_question_that_is_not_answered_in_time_goes_to_late() -> None:
    move = advance(for_person(late="remind"), [TimerItem()])
    assert move == Enter(
        "remind", {"decision": "late", "by": "", "note": "nobody answered in time", "form": None, "answers": []}
    )


def test_a_question_that_is_not_answered_in_time_fails_a_job_without_a_way_for_it() -> None:
    move = advance(for_person(), [TimerItem()])
    assert isinstance(move, End)
    assert (move.status, move.error) == (JobStatus.FAILED, "nobody answered in time")


@pytest.mark.parametrize(
    ("items", "event", "target"),
    [
        ([DecisionItem("approved"), TimerItem()], JobEvent.DECIDED, "ship"),
        ([TimerItem(), DecisionItem("approved")], JobEvent.TIME_CAME, "remind"),
    ],
)
def test_of_an_answer_and_the_deadline_the_first_counts(items: list[Item], event: JobEvent, target: str) -> None:
    record = for_person(late="remind")
    move = advance(record, items)
    assert why(record, items) is event
    assert isinstance(move, Enter)
    assert move.state == target


def test_the_words_late_and_cancelled_are_no_answers_a_person_may_give() -> None:
    rest = decided(Ask("Ship?", {"approved": "ship", "rejected": "stop", "late": "remind", "cancelled": "tidy"}, 5_000))
    assert isinstance(rest, core.Rest)
    asked = rest.draft.events[-1]
    assert asked["d"]["decisions"] == ["approved", "rejected"]
    assert rest.deadline_ms == 5_000
    assert rest.draft.context.wait is not None
    assert rest.draft.context.wait.deadline_at == NOW + 5_000


def test_a_sleep_wakes_in_its_target_with_its_argument() -> None:
    assert advance(for_time(), [TimerItem()]) == Enter("later", "tea")
    rest = decided(Sleep(9_000, "later", "tea"))
    assert isinstance(rest, core.Rest)
    assert (rest.status, rest.deadline_ms) == (JobStatus.WAITING, 9_000)


# Signals


def test_a_signal_goes_to_the_next_state_with_its_data() -> None:
    record = for_signal()
    items: list[Item] = [SignalItem("payment", {"cents": 5}), TimerItem()]
    assert (why(record, items), advance(record, items)) == (JobEvent.SIGNALLED, Enter("paid", {"cents": 5}))


def test_a_signal_that_does_not_come_goes_to_late_or_fails_the_job() -> None:
    late = for_signal(edges={"success": "paid", "late": "remind"})
    items: list[Item] = [TimerItem(), SignalItem("payment", {})]
    assert (why(late, items), advance(late, items)) == (JobEvent.TIME_CAME, Enter("remind", None))
    move = advance(for_signal(), items)
    assert isinstance(move, End)
    assert (move.status, move.error) == (JobStatus.FAILED, "signal 'payment' did not come in time")
    assert move.details == {"code": "signal_late"}


def test_a_wait_for_uploads_is_cut_into_slices_that_add_up_to_it() -> None:
    decision = WaitFor("inputs", {"success": "run"}, 2 * UPLOADS_LOOK_MS + 5, ("a", "b"))
    rest = decided(decision)
    slices = []
    while True:
        assert isinstance(rest, core.Rest)
        wait = rest.draft.context.wait
        assert wait is not None
        slices.append(rest.deadline_ms)
        if not wait.left_ms:
            break
        rest = core.wait_on(core.begin(for_signal()), wait, ("b",))
    assert slices == [UPLOADS_LOOK_MS, UPLOADS_LOOK_MS, 5]
    assert (wait.uploads, wait.deadline_at) == (("b",), NOW + 2 * UPLOADS_LOOK_MS + 5)


# Children

START = core.ChildStart(Child("report", {}, {"success": "shipped"}, CHILD), "1:0", "begin")


def test_a_finished_childs_result_is_the_next_states_argument_and_stays_its_own() -> None:
    move = advance(for_child(), [ChildItem("finished", {"pages": 3})])
    assert move == Enter("shipped", {"pages": 3}, {})


@pytest.mark.parametrize(
    ("item", "code", "message"),
    [
        (ChildItem("failed", None, "COMMAND_FAILED", "status 7"), "COMMAND_FAILED", "status 7"),
        (ChildItem("failed", None, "", "no stock"), "CHILD_FAILED", "no stock"),
        (ChildItem("quarantined", None, "", ""), "CHILD_QUARANTINED", "no reason given"),
    ],
)
def test_a_child_that_does_not_finish_is_answered_like_a_failed_task(item: ChildItem, code: str, message: str) -> None:
    error: dict[str, Any] = {
        "code": code, "message": message, "worker": "", "attempt": 1, "task": 0, "child": CHILD,
    }  # fmt: skip
    assert advance(for_child(failure="mend"), [item]) == Enter("mend", error)
    move = advance(for_child(), [item])
    assert isinstance(move, End)
    assert (move.status, move.error) == (JobStatus.FAILED, f"job {CHILD}, which this one started: {message}")
    assert move.details == error


def test_a_cancelled_child_leads_where_the_state_says_or_cancels_its_parent() -> None:
    assert advance(for_child(cancelled="tidy"), [ChildItem("cancelled")]) == Enter("tidy", None)
    move = advance(for_child(), [ChildItem("cancelled")])
    assert isinstance(move, End)
    assert (move.status, move.error) == (JobStatus.CANCELLED, f"job {CHILD}, which this one started, was cancelled")
    mended = advance(for_child(failure="mend"), [ChildItem("cancelled", message="cancelled")])
    assert isinstance(mended, Enter)
    assert (mended.state, mended.argument) == (
        "mend",
        {"code": "CHILD_CANCELLED", "message": "cancelled", "worker": "", "attempt": 1, "task": 0, "child": CHILD},
    )


def test_a_child_that_cannot_be_started_is_a_failure_and_makes_none() -> None:
    refused = core.ChildRefused("CHILD_TOO_DEEP", "8 jobs are above this one: it may start no other")
    draft = core.begin(pending())
    end = core.decide(draft, Child("report", {}, {"success": "shipped"}, CHILD), None, NOW, {CHILD: refused})
    assert isinstance(end, End)
    assert (end.status, end.error) == (JobStatus.FAILED, refused.message)
    assert (end.details or {})["code"] == "CHILD_TOO_DEEP"
    mended = Child("report", {}, {"success": "x", "failure": "mend"}, CHILD)
    goes_on = core.decide(draft, mended, None, NOW, {CHILD: refused})
    assert isinstance(goes_on, Enter)
    assert goes_on.state == "mend"


def test_a_started_child_is_named_in_the_wait_and_in_the_history() -> None:
    rest = core.decide(core.begin(pending()), START.child, None, NOW, {CHILD: START})
    assert isinstance(rest, core.Rest)
    assert (rest.status, rest.children, rest.tasks, rest.need) == (JobStatus.WAITING, (START,), (), 1)
    assert rest.draft.context.wait is not None
    assert rest.draft.context.wait.child == CHILD
    assert rest.draft.events[-1] == {"e": "child_started", "s": "check", "d": {"job": CHILD, "blueprint": "report"}}


# Cancelling


@pytest.mark.parametrize(
    "record", [pending(), for_task(), for_tasks(3), for_person(), for_time(), for_child(), for_signal()]
)
def test_a_job_without_a_way_for_it_is_cancelled_where_it_stands(record: Any) -> None:
    move = advance(replace(record, cancel_requested=True), [])
    assert isinstance(move, End)
    assert (move.status, move.state) == (JobStatus.CANCELLED, "check")


@pytest.mark.parametrize(
    "record",
    [
        for_task(cancelled="tidy"),
        for_tasks(3, cancelled="tidy"),
        for_person(cancelled="tidy"),
        for_child(cancelled="tidy"),
    ],
)
def test_a_state_that_declares_a_way_for_cancelling_gets_it(record: Any) -> None:
    assert advance(replace(record, cancel_requested=True), []) == Enter("tidy", None)


def test_a_result_that_came_with_the_wish_to_cancel_is_not_taken() -> None:
    move = advance(replace(for_task(), cancel_requested=True), [ended(data={"ref": "r"})])
    assert isinstance(move, End)
    assert (move.status, dict(move.merge)) == (JobStatus.CANCELLED, {})


def test_what_a_failed_task_could_tell_is_merged_into_the_history() -> None:
    told = {"exit_code": 7}
    over = advance(for_task(), [ended(0, "failure", code="COMMAND_FAILED", message="status 7", data=told)])
    assert isinstance(over, End)
    assert (over.status, over.error, dict(over.merge)) == (JobStatus.FAILED, "status 7", told)
    goes_on = advance(for_task(failure="broken"), [ended(0, "failure", code="COMMAND_FAILED", data=told)])
    assert isinstance(goes_on, Enter)
    assert (goes_on.state, dict(goes_on.merge)) == ("broken", told)


# Built-in states and ends


def test_going_to_finished_ends_the_job_with_the_argument_as_its_result() -> None:
    assert go("pack", "finished", {"ok": True}) == End(JobStatus.FINISHED, "finished", result={"ok": True})


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ({"code": "X", "message": "card refused"}, "card refused"),
        ({"decision": "rejected", "by": "ada", "note": "too dear"}, "rejected by ada: too dear"),
        ({"decision": "rejected", "by": "", "note": ""}, "rejected"),
        ("no stock", "no stock"),
        ("", "state 'pack' led to failed"),
        (None, "state 'pack' led to failed"),
        ({"message": ""}, "state 'pack' led to failed"),
    ],
)
def test_going_to_failed_says_why_in_the_best_words_there_are(argument: Any, error: str) -> None:
    move = go("pack", "failed", argument)
    assert isinstance(move, End)
    assert (move.status, move.error) == (JobStatus.FAILED, error)


@pytest.mark.parametrize("decision", [Fail("", "x"), Quarantine("")])
def test_a_job_that_does_not_finish_always_says_why(decision: Any) -> None:
    end = decided(decision)
    assert isinstance(end, End)
    assert end.error == "no reason given"


def test_a_quarantined_job_stays_in_the_state_that_quarantined_it() -> None:
    end = decided(Quarantine("odd total", {"total": -1}))
    assert isinstance(end, End)
    assert end.state == "check"
    assert end.details == {"code": "quarantined_by_blueprint", "total": -1}


def test_a_result_that_is_an_object_joins_the_history_of_results() -> None:
    draft = core.begin(pending(context=Context(results={"ref": "r-1"})))
    rest = core.finish(draft, End(JobStatus.FINISHED, "finished", result={"tracking": "t-1"}))
    assert rest.draft.context.results == {"ref": "r-1", "tracking": "t-1"}
    assert rest.result == {"tracking": "t-1"}


def test_done_finishes() -> None:
    assert decided(Done([1])) == End(JobStatus.FINISHED, "finished", result=[1])


# Numbers and books


def test_task_numbers_of_a_dead_turn_are_never_used_again() -> None:
    record = replace(for_task(), next_task=1, spawn_wave=2, spawned_to=101)
    assert core.begin(record).first_task == 101


def test_entering_a_state_is_counted_and_told() -> None:
    draft = core.enter(core.begin(pending()), Enter("packing", {"ref": 1}, {"ref": 1}))
    assert (draft.state, draft.context.transitions) == ("packing", 1)
    assert draft.context.results == {"ref": 1}
    assert draft.events == ({"e": "state_entered", "s": "packing", "p": "check"},)


def test_what_the_blueprint_keeps_is_stored_with_every_decision() -> None:
    rest = decided(Run(SPEC, {"success": "packing"}))
    assert isinstance(rest, core.Rest)
    assert rest.draft.context.data == {"seen": 1}


def test_a_long_chain_of_gos_is_saved_in_the_middle_and_entered_by_the_next_turn() -> None:
    rest = core.save(core.begin(pending()), Enter("pack", "tea", {"a": 1}))
    assert (rest.status, rest.need, rest.draft.state) == (JobStatus.RUNNING, 0, "pack")
    saved = pending(status=rest.status, state=rest.draft.state, context=rest.draft.context)
    assert advance(saved, []) == Enter("pack", "tea")
    assert saved.context.results == {"a": 1}


def test_go_enters_without_a_commit() -> None:
    assert decided(Go("packing", 5)) == Enter("packing", 5)
