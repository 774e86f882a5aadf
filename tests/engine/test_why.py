"""Each reason why a job is not running, from the facts it follows from."""

from dataclasses import replace
from typing import Any, cast

import pytest
from muster.core.approvals import NO_CHANGES, Answer, Escalation, Question, with_answer, with_escalation
from muster.core.ids import JobId, UnixMs, new_job_id
from muster.core.matching import Requirement
from muster.core.record import Context, JobRecord, Submission, Wait
from muster.core.retry import TaskRules
from muster.core.status import JobStatus, TaskStatus
from muster.engine.demand import TaskDemand, demand_of
from muster.engine.offers import offer_of
from muster.engine.reasons import ChildFacts, Code, Facts, Reason
from muster.engine.speeds import RUNS_KEPT, TYPES_MAX, UNDER_WAY_MAX, Speeds
from muster.engine.views import WorkerView
from muster.engine.why import reasons_of
from muster.store.standing import Held, Standing, StandingTask
from muster_worker.needs import Needs
from muster_worker.retry_policy import RetryPolicy

NOW = UnixMs(1_705_314_600_000)
JOB = new_job_id(NOW, 0, 1)
CHILD = new_job_id(NOW, 0, 2)
SECOND = 1000


def at(seconds: float) -> UnixMs:
    return UnixMs(NOW + int(seconds * SECOND))


def record(status: JobStatus = JobStatus.WAITING_FOR_WORKER, wait: Wait | None = None, **changes: Any) -> JobRecord:
    fields: dict[str, Any] = {
        "id": JOB, "tenant": "acme", "blueprint": "orders", "blueprint_version": "1:abc", "status": status,
        "state": "begin", "version": 1, "revision": 1, "wave": 1, "next_task": 1, "submission": Submission({}),
        "context": Context(wait=wait), "created_at": at(-60), "updated_at": at(-30),
    }  # fmt: skip
    return JobRecord(**{**fields, **changes})


def facts(wait: Wait | None = None, *tasks: StandingTask, **changes: Any) -> Facts:
    standing = {name: changes.pop(name) for name in ("turn_at", "turn_held", "timer_at", "grace_until", "live_tasks")
                if name in changes}  # fmt: skip
    of_record = {name: changes.pop(name) for name in ("status", "cancel_requested", "turn_failures", "error", "details",
                 "deadline_at", "deadline_passed", "tally", "finished_at", "progress", "progress_message", "id")
                 if name in changes}  # fmt: skip
    return Facts(Standing(record(wait=wait, **of_record), NOW, tasks=tasks, **standing), **changes)


def only(found: Facts) -> Reason:
    (reason,) = reasons_of(found)
    return reason


def worker(name: str = "w1", *tasks: str, slots: int = 1, status: str = "idle") -> WorkerView:
    return WorkerView(name, None, tasks or ("resize",), status, 0.0, (), slots, 0.0, {}, {}, NOW, NOW)


RUN = Wait("task", {"success": "finished"}, first=0, count=1)
READY = StandingTask(0, TaskStatus.READY, "resize", 0, since=at(-12), before=3)
LEASED = StandingTask(0, TaskStatus.LEASED, "resize", 2, "w1", since=at(-12), until=at(6))
GATED = StandingTask(0, TaskStatus.GATED, "resize", 1, until=at(4), failures=1)


# How it ended


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (JobStatus.FINISHED, Code.FINISHED),
        (JobStatus.FAILED, Code.FAILED),
        (JobStatus.CANCELLED, Code.CANCELLED),
        (JobStatus.QUARANTINED, Code.QUARANTINED),
    ],
)
def test_a_job_that_is_over_says_how_it_ended_and_nothing_else(status: JobStatus, code: Code) -> None:
    found = only(facts(RUN, READY, status=status, finished_at=at(-5), cancel_requested=True))
    assert (found.code, found.since) == (code, at(-5))


def test_an_end_with_an_error_says_it() -> None:
    found = only(facts(status=JobStatus.FAILED, error="no such customer", details={"code": "PERMANENT_ERROR"}))
    assert found.text == "it has failed: no such customer"
    assert found.details["error_code"] == "PERMANENT_ERROR"


# Whose move it is


def test_a_turn_that_nobody_took_says_since_when_the_engine_is_behind() -> None:
    found = only(facts(RUN, READY, turn_at=at(-3)))
    assert (found.code, found.since) == (Code.TURN_DUE, at(-3))
    assert "has been due for 3s" in found.text
    assert found.details == {"late_ms": 3000}


def test_a_turn_whose_owner_died_is_due_again() -> None:
    assert only(facts(turn_at=at(-1), turn_held=True)).code is Code.TURN_DUE


def test_a_turn_that_a_server_has_is_under_way() -> None:
    found = only(facts(turn_at=at(10), turn_held=True))
    assert (found.code, found.until) == (Code.TURN_RUNNING, at(10))


def test_a_state_that_failed_is_tried_again_at_a_time() -> None:
    found = only(facts(turn_at=at(2), turn_failures=2))
    assert (found.code, found.until, found.details) == (Code.TURN_FAILED, at(2), {"failures": 2})
    assert "'begin' failed 2 times; tried again in 2s" in found.text


def test_a_version_that_this_server_does_not_have_is_named_with_those_it_has() -> None:
    found = only(facts(turn_at=at(1), has_blueprint=False, versions=("2:def", "3:012")))
    assert (found.code, found.until) == (Code.VERSION_MISSING, at(1))
    assert found.details == {"blueprint": "orders", "version": "1:abc", "versions_here": ["2:def", "3:012"]}
    assert "there is none of that name" in only(facts(turn_at=at(-1), has_blueprint=False)).text


def test_a_turn_that_another_server_put_off_says_until_when() -> None:
    found = only(facts(turn_at=at(1)))
    assert (found.code, found.until) == (Code.TURN_DUE, at(1))


def test_a_missing_version_does_not_matter_while_the_job_waits() -> None:
    assert only(facts(RUN, LEASED, has_blueprint=False)).code is Code.TASK_RUNNING


def test_a_job_between_two_steps_says_so() -> None:
    assert only(facts(RUN)).code is Code.MOVING
    assert only(facts(None)).code is Code.MOVING


# What it waits for


def test_a_question_says_who_can_answer_it_with_what_until_when() -> None:
    wait = Wait("human", {"approved": "a", "rejected": "b", "late": "c", "cancelled": "d"}, message="Ship it?")
    found = only(facts(wait, timer_at=at(3600)))
    assert (found.code, found.since, found.until) == (Code.PERSON, at(-30), at(3600))
    assert found.text == "it waits for a person to answer 'Ship it?' with approved or rejected for at most 1h00m more"
    assert found.details["decisions"] == ["approved", "rejected"]
    assert found.details["answer"] == f"POST /api/v1/jobs/{JOB}/decision"
    assert only(facts(wait)).until is None


def test_a_question_to_named_people_says_who_answered_who_is_missing_and_when_others_are_asked() -> None:
    steps = (Escalation(1, ("chief",), at(60)), Escalation(2, (), at(7200)))
    question = Question(("ada", "bob"), quorum=2, escalations=steps)
    wait = Wait("human", {"approved": "a", "rejected": "b"}, message="Ship it?", question=question)
    tally = with_answer(NO_CHANGES, Answer("ada", "approved", by="desk"))
    found = only(facts(wait, tally=tally))
    assert found.text.endswith("; answered: ada approved (by desk); missing: bob; escalates in 1m00s: chief")
    assert (found.details["missing"], found.details["escalates_at"]) == (["bob"], "2024-01-15T10:31:00.000Z")
    assert found.details["answers"] == [
        {"approver": "ada", "by": "desk", "decision": "approved", "at": "1970-01-01T00:00:00.000Z"}
    ]
    later = only(facts(wait, tally=with_escalation(tally)))
    assert later.text.endswith("; missing: bob, chief; escalates in 2h00m: nobody new, a reminder")


def test_a_sleep_says_until_when_and_whether_it_should_be_over() -> None:
    wait = Wait("timer", {}, target="awake")
    found = only(facts(wait, timer_at=at(90)))
    assert (found.code, found.until) == (Code.TIMER, at(90))
    assert found.text == "it sleeps before state 'awake' for 1m30s more"
    assert "over 2s ago, and no server has noticed" in only(facts(wait, timer_at=at(-2))).text


def test_a_signal_says_its_name_and_which_were_kept_instead() -> None:
    wait = Wait("signal", {"success": "a"}, signal="paid")
    found = only(facts(wait, timer_at=at(60), kept_signals=("payed", "payed", "?")))
    assert (found.code, found.until) == (Code.SIGNAL, at(60))
    assert found.text.endswith("; it keeps 3 of other names: ?, payed")
    assert found.details["kept"] == ["payed", "payed", "?"]
    assert found.details["command"] == f"muster job signal {JOB} paid"


def test_uploads_say_which_are_missing_and_how_long_they_have_in_all() -> None:
    wait = Wait("signal", {"success": "a"}, signal="uploads", uploads=("u1", "u2"), left_ms=60_000)
    found = only(facts(wait, timer_at=at(30), missing_uploads=("u2",)))
    assert (found.code, found.until) == (Code.UPLOADS, at(90))
    assert found.details == {"missing": ["u2"], "waited_for": ["u1", "u2"]}
    assert "no server has taken" in only(facts(wait, timer_at=at(30))).text


def test_a_child_has_its_own_reasons_below() -> None:
    wait = Wait("child", {"success": "a"}, child=CHILD)
    child = facts(Wait("timer", {}, target="awake"), timer_at=at(5), id=CHILD, status=JobStatus.WAITING)
    found = only(facts(wait, children=(ChildFacts(CHILD, child),)))
    assert (found.code, found.details["child_id"], found.details["status"]) == (Code.CHILD, CHILD, "waiting")
    assert [below.code for below in found.reasons] == [Code.TIMER]
    assert only(facts(wait)).reasons == ()


def test_a_child_whose_start_is_under_way_or_that_is_gone_says_so() -> None:
    wait = Wait("child", {"success": "a"}, child=CHILD)
    unsent = only(facts(wait, children=(ChildFacts(CHILD, unsent=3),)))
    assert "its start has not been delivered to its partition yet, tried 3 times" in unsent.text
    assert unsent.details == {"child_id": CHILD, "start_tries": 3}
    gone = only(facts(wait, children=(ChildFacts(CHILD, gone=True),)))
    assert "which is not there any more" in gone.text
    assert gone.details["gone"] is True


def test_a_race_tells_of_each_child_and_person_that_it_waits_for() -> None:
    asked = Wait("human", {"yes": "a"}, message="Go on?")
    parts = (Wait("timer", {}, target="late"), Wait("child", {"success": "a"}, child=CHILD), asked)
    timer, child, person = reasons_of(facts(Wait("race", {}, parts=parts), timer_at=at(5)))
    assert (timer.code, child.code, child.details["child_id"]) == (Code.TIMER, Code.CHILD, CHILD)
    assert (person.code, person.details["decisions"]) == (Code.PERSON, ["yes"])


# Tasks


def test_nobody_offers_the_task_and_the_closest_name_is_told() -> None:
    found = only(facts(RUN, READY, workers=(worker("w1", "resise", "mail"),)))
    assert (found.code, found.since, found.details["closest"]) == (Code.NO_WORKER, at(-12), "resise")
    assert found.text == "no worker that is there offers the task 'resize'; the closest that is offered is 'resise'"
    assert only(facts(RUN, READY, workers=(worker("w1", "mail"),))).details["closest"] is None
    assert only(facts(RUN, READY)).text.endswith("; no worker is there at all")


def test_all_who_offer_it_are_draining() -> None:
    found = only(facts(RUN, READY, workers=(worker(status="draining"), worker("w2", "mail"))))
    assert (found.code, found.details["workers"]) == (Code.WORKERS_DRAINING, ["w1"])


BUSY = (worker("w1", slots=2), worker("w2", slots=2), worker("w3", slots=9, status="draining"), worker("w4", "mail"))


def test_all_who_offer_it_are_busy_and_its_place_in_line_is_told() -> None:
    found = only(facts(RUN, READY, workers=BUSY, held={"w1": 2, "w2": 2, "w3": 1}, queued={"resize": 7}))
    assert found.code is Code.WORKERS_BUSY
    assert found.text == (
        "all 4 slots of the 2 workers that offer 'resize' are taken, 3 tasks are in line before it; 1 more are draining"
    )
    expected = {"workers": 2, "draining": 1, "slots": 4, "used_slots": 4, "queued": 7, "queued_before": 3}
    assert {name: found.details[name] for name in expected} == expected
    assert found.details["estimate_ms"] is None


def test_workers_whose_slots_of_the_type_are_taken_are_busy_whatever_else_is_free() -> None:
    narrow = replace(worker("w1", slots=8), slots_per_task={"resize": 2, "mail": 1})
    held, of_type = {"w1": 3}, {("w1", "resize"): 2, ("w1", "mail"): 1}
    found = only(facts(RUN, READY, workers=(narrow,), held=held, held_of=of_type))
    assert found.code is Code.WORKERS_BUSY
    assert found.text.startswith("all 2 slots of the 1 workers that offer 'resize' are taken")
    wide = replace(worker("w2", slots=3), slots_per_task={"resize": 9})
    found = only(facts(RUN, READY, workers=(narrow, wide), held=held, held_of=of_type))
    assert (found.code, found.details["slots"], found.details["used_slots"]) == (Code.WORKER_FREE, 5, 2)
    full = {"w1": 8}
    found = only(facts(RUN, READY, workers=(narrow,), held=full, held_of={("w1", "other"): 8}))
    assert (found.code, found.details["used_slots"]) == (Code.WORKERS_BUSY, 2)


def test_an_estimate_comes_only_from_what_was_measured() -> None:
    held = {"w1": 2, "w2": 5}
    found = only(facts(RUN, READY, workers=BUSY, held=held, durations_ms={"resize": 10_000}))
    assert (found.details["estimate_ms"], found.details["duration_ms"]) == (10_000, 10_000)
    assert "its turn comes in about 10s" in found.text


def test_a_free_worker_will_take_it() -> None:
    found = only(facts(RUN, READY, workers=BUSY, held={"w1": 1, "w2": 2}))
    assert found.code is Code.WORKER_FREE
    assert found.text == (
        "the task 'resize' has been ready for 12s, and 1 of 4 slots are free, 3 tasks are in line before it: "
        "the next poll of a worker takes it"
    )


def test_a_running_task_says_where_since_when_and_how_far() -> None:
    found = only(facts(RUN, LEASED, workers=(worker(),), progress=0.4, progress_message="page 4"))
    assert (found.code, found.since, found.until) == (Code.TASK_RUNNING, at(-12), at(6))
    assert found.text == "worker 'w1' has run the task 'resize' for 12s, attempt 2, 40% done: page 4"
    assert found.details["tasks"] == [
        {"task_id": f"{JOB}.0", "attempt": 2, "worker": "w1", "running_ms": 12_000, "lease_left_ms": 6_000}
    ]


def test_a_worker_that_is_gone_is_said_to_be() -> None:
    assert "not registered any more" in only(facts(RUN, LEASED)).text
    late = replace(LEASED, until=at(-1))
    assert "its lease ended 1s ago" in only(facts(RUN, late, workers=(worker(),))).text


def test_a_back_off_says_until_when_and_the_last_error() -> None:
    found = only(facts(RUN, GATED, errors={0: "TRANSIENT_ERROR: no route"}))
    assert (found.code, found.until) == (Code.TASK_BACKOFF, at(4))
    assert found.text == "the task 'resize' failed and is tried again in 4s; the last error: TRANSIENT_ERROR: no route"
    assert (found.details["failures"], found.details["error"]) == (1, "TRANSIENT_ERROR: no route")
    late = only(facts(RUN, replace(GATED, until=at(-2))))
    assert "as of 2s ago, and no server has noticed" in late.text


def test_a_back_off_says_what_its_policy_allows() -> None:
    rules = TaskRules(3, RetryPolicy(first="4s")).dump("resize")
    reason = only(facts(RUN, replace(GATED, rules=rules, put_back="retry")))
    assert "failure 1, 3 retries are allowed" in reason.text
    assert (reason.details["retries"], reason.details["policy"]) == (3, {"first": 4.0})


def test_a_task_that_was_put_back_says_why_and_when_it_comes_again() -> None:
    put_back = StandingTask(0, TaskStatus.GATED, "resize", 1, until=at(30), put_back="requeue", requeues=2)
    reason = only(facts(RUN, put_back, errors={0: "no licence is free"}))
    assert (reason.code, reason.until, reason.details["requeues"]) == (Code.TASK_REQUEUED, at(30), 2)
    assert "no failure; it is handed out again in 30s: no licence is free" in reason.text


def test_a_ready_task_with_a_limit_says_when_it_fails() -> None:
    reason = only(facts(RUN, replace(READY, fails_at=at(48), close_at=at(300))))
    assert (reason.code, reason.until) == (Code.NO_WORKER, at(48))
    assert "if nobody fetches it within 48s, it has failed" in reason.text
    (told,) = cast("list[dict[str, Any]]", reason.details["tasks"])
    assert (told["fails_in_ms"], told["closes_in_ms"]) == (48_000, 300_000)


def test_a_task_that_waited_too_long_is_no_workers() -> None:
    taken = replace(LEASED, worker="", attempt=0)
    assert only(facts(RUN, taken)).code is Code.MOVING


def test_a_deadline_is_told_last_and_one_that_passed_is_why_it_ends() -> None:
    *_, last = reasons_of(facts(RUN, READY, deadline_at=at(90)))
    assert (last.code, last.until, last.details["left_ms"]) == (Code.DEADLINE, at(90), 90_000)
    assert "it has 1m30s left" in last.text
    passed = facts(RUN, LEASED, deadline_at=at(-1), deadline_passed=True, cancel_requested=True)
    assert [reason.code for reason in reasons_of(passed)] == [Code.CANCEL_ASKED, Code.TASK_RUNNING]
    assert "its deadline passed" in reasons_of(passed)[0].text


def test_a_fan_has_a_reason_for_each_type_and_standing_what_blocks_first() -> None:
    tasks = [
        *(replace(LEASED, number=n, worker=f"w{n}") for n in range(20)),
        replace(GATED, number=20),
        replace(READY, number=21, before=None), replace(READY, number=22, before=5),
        replace(READY, number=23, type="mail"),
    ]  # fmt: skip
    fan = Wait("tasks", {"success": "a"}, first=0, count=200)
    found = reasons_of(facts(fan, *tasks, workers=BUSY, held={"w1": 2, "w2": 2}, live_tasks=200))
    assert [(reason.code, reason.details["type"], reason.details["count"]) for reason in found] == [
        (Code.WORKER_FREE, "mail", 1),
        (Code.WORKERS_BUSY, "resize", 2),
        (Code.TASK_BACKOFF, "resize", 1),
        (Code.TASK_RUNNING, "resize", 20),
    ]
    assert found[1].details["queued_before"] == 5
    assert found[3].text == "20 tasks 'resize' run at 20 workers"
    shown: Any = found[3].details["tasks"]
    assert len(shown) == 10
    assert (found[3].details["looked_at"], found[3].details["of"]) == (24, 200)


# Its end was asked for


def test_a_job_to_be_cancelled_says_how_long_its_workers_have_and_which() -> None:
    asked = facts(RUN, LEASED, replace(READY, number=1), cancel_requested=True, grace_until=at(20),
                  cancel_asked_at=at(-10), workers=(worker(),))  # fmt: skip
    cancel, running = reasons_of(asked)
    assert (cancel.code, cancel.since, cancel.until) == (Code.CANCEL_ASKED, at(-10), at(20))
    assert cancel.text == "its end was asked for: its workers have 20s left to stop, then it ends without them"
    assert running.code is Code.TASK_RUNNING


def test_a_parent_to_be_cancelled_waits_for_its_child() -> None:
    cancel, child = reasons_of(facts(Wait("child", {}, child=CHILD), cancel_requested=True))
    assert f"job {CHILD} that it started must end first" in cancel.text
    assert child.code is Code.CHILD


# Needs, preferences, and workers that are slowed


def has(name: str, gpu: str, **changes: Any) -> WorkerView:
    offer = offer_of(name, ["resize"], 0.0, {"labels": {"gpu": gpu}}, {})
    return replace(worker(name), offer=offer, **changes)


NEEDS = Requirement("resize", Needs(labels={"gpu": "a100"}, models=["llama-3"]).rules())
NEEDY = replace(READY, cls="abc")


def test_needs_that_nobody_meets_name_the_best_worker_and_what_it_lacks() -> None:
    found = only(facts(RUN, NEEDY, workers=(has("w1", "t4"), has("w2", "a100")), requirements={"abc": NEEDS}))
    assert found.code is Code.NEEDS_UNMET
    assert found.details["worker"] == "w2"
    assert found.details["lacks"] == ["model llama-3 is not there"]
    assert "'w2': model llama-3 is not there" in found.text


def test_only_workers_that_meet_the_needs_are_counted() -> None:
    needs = Requirement("resize", Needs(labels={"gpu": "a100"}).rules())
    workers = (has("w1", "t4"), has("w2", "a100"), has("w3", "a100", status="draining"))
    found = only(facts(RUN, NEEDY, workers=workers, held={"w2": 1}, requirements={"abc": needs}))
    assert found.code is Code.WORKERS_BUSY
    assert (found.details["workers"], found.details["draining"]) == (1, 1)


def test_a_task_that_prefers_somebody_says_whom_and_until_when() -> None:
    mine = Requirement("resize", Needs(worker="w1").rules())
    task = replace(NEEDY, prefers_until=at(6))
    found = only(
        facts(RUN, task, workers=(has("w1", "t4"), has("w2", "t4")), held={"w1": 1}, requirements={"abc": mine})
    )
    assert (found.code, found.until) == (Code.PREFERRED_WORKER, at(6))
    assert found.text == "the task 'resize' prefers w1, which is busy; in 6s anybody may take it who can"


def test_a_task_that_only_slowed_workers_could_take_says_so() -> None:
    slow = replace(worker("w1"), slowed={"resize": [3, None]})
    found = only(facts(RUN, READY, workers=(slow,)))
    assert found.code is Code.WORKERS_SLOWED
    assert found.details["delays_ms"] == {"w1": 2000}
    assert only(facts(RUN, READY, workers=(slow, worker("w2")))).code is Code.WORKER_FREE


# What autoscalers ask


def test_tasks_that_need_the_same_are_counted_by_themselves() -> None:
    needs = Requirement("resize", Needs(labels={"gpu": "a100"}).rules())
    held = [Held(JobId("t") + "1", "resize", "w2", "abc")]  # type: ignore[arg-type]
    workers = [has("w1", "t4"), has("w2", "a100", max_concurrent_tasks=2)]
    assert demand_of({"resize": 1, "abc": 4}, held, workers, {"abc": needs}) == (
        TaskDemand("resize", 1, 0, 2, 3, 1),
        TaskDemand("resize", 4, 1, 1, 2, 3, needs.rules),
    )


def test_wanted_workers_are_work_by_the_slots_of_a_worker_rounded_up() -> None:
    workers = [
        worker("w1", "resize", slots=2),
        worker("w2", "resize", "mail", slots=3),
        worker("w3", status="draining"),
    ]
    held = [Held(JobId("t") + str(n), "resize", "w1") for n in range(2)]  # type: ignore[arg-type]
    assert demand_of({"resize": 4, "new": 3}, held, workers) == (
        TaskDemand("mail", 0, 0, 1, 3, 0),
        TaskDemand("new", 3, 0, 0, 0, 3),
        TaskDemand("resize", 4, 2, 2, 5, 3),
    )


def test_wanted_workers_of_a_type_with_slots_of_its_own_are_by_these() -> None:
    workers = [replace(worker("w1", "resize", slots=8), slots_per_task={"resize": 2})]
    assert demand_of({"resize": 9}, [], workers) == (TaskDemand("resize", 9, 0, 1, 2, 5),)


def test_a_fleet_that_only_drains_has_no_slots_and_is_wanted_anew() -> None:
    assert demand_of({"resize": 4}, [], [worker(slots=4, status="draining")]) == (TaskDemand("resize", 4, 0, 0, 0, 4),)


def test_durations_are_the_median_of_the_last_runs_and_bounded() -> None:
    speeds = Speeds()
    assert speeds.typical_ms("resize") is None
    for number, ms in enumerate([10, 1000, 30]):
        speeds.handed_out(f"t{number}", "resize")
        speeds.ended(f"t{number}", ms)
        speeds.ended(f"t{number}", 99_999)  # its report came twice
    speeds.ended("from elsewhere", 99_999)
    assert speeds.typical_ms("resize") == 30
    for number in range(UNDER_WAY_MAX + 1):
        speeds.handed_out(f"u{number}", "resize")
    speeds.ended("u0", 99_999)
    for number in range(TYPES_MAX):
        speeds.handed_out("v", f"type{number}")
        speeds.ended("v", number)
    assert speeds.typical_ms("resize") is None
    for _ in range(RUNS_KEPT):
        speeds.handed_out("w", "type1")
        speeds.ended("w", 7)
    assert speeds.typical_ms("type1") == 7
