"""Whole jobs whose tasks fail, are put back or take too long, on a clock that is moved."""

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from muster import AT_ONCE, NEVER, Blueprint, Job, Next, RetryPolicy, TaskError, finished, task
from muster.engine.reasons import Code, Reason
from muster.testing import TestJob, TestMuster, hangs, later, lost
from muster_worker import Failed, Permanent, Requeue, Retry, Worker
from muster_worker.contracts import TaskContract

from tests.testing.flows import Count, Text, count_words, wide

NUMBERS = count()


def a_blueprint(contract: TaskContract[Any, Any], **limits: Any) -> Blueprint[Any, Any]:
    """One task whose error becomes the job's result."""
    blueprint = Blueprint(f"tried{next(NUMBERS)}")

    @blueprint.state
    async def told(job: Job, error: TaskError) -> Next:
        return job.done({"code": error.code, "message": error.message, "attempt": error.attempt})

    @blueprint.start
    async def begin(job: Job) -> Next:
        return job.run(contract, {}, ok=finished, error=told, **limits)

    return blueprint


async def code_after(muster: TestMuster, answer: object, **limits: Any) -> tuple[str, timedelta]:
    """The code that the job is told, and the time that has passed then."""
    muster.on("work", answer)
    before = muster.now
    job = await muster.run(a_blueprint(task("work", **limits)))
    assert job.status == "finished", job.error
    result: Any = job.result
    return result["code"] if result else "", muster.now - before


EXACT = RetryPolicy(retries=3, first="10s", factor=2, cap="30s", jitter="none")


# Retries


async def test_the_pauses_are_those_of_the_policy(muster: TestMuster) -> None:
    code, passed = await code_after(muster, Retry("busy"), retry=EXACT)
    assert (code, passed) == ("TRANSIENT_ERROR", timedelta(seconds=10 + 20 + 30))
    assert len(muster.calls("work")) == 4


async def test_a_run_may_have_another_policy_than_its_contract(muster: TestMuster) -> None:
    muster.on("work", Retry("busy"))
    await muster.run(a_blueprint(task("work", retry=EXACT), retry=RetryPolicy(retries=1)))
    assert len(muster.calls("work")) == 2


async def test_the_short_form_wins_over_the_number_in_the_policy(muster: TestMuster) -> None:
    await code_after(muster, Retry("busy"), retry=EXACT, retries=1)
    assert len(muster.calls("work")) == 2


async def test_each_code_has_a_policy_of_its_own(muster: TestMuster) -> None:
    limited = RetryPolicy(retries=5, first="1m", factor=1, jitter="none")
    policy = RetryPolicy(retries=1, first="1s", jitter="none", on={"LIMITED": limited, "GONE": NEVER, "CLASH": AT_ONCE})
    answers = [
        *[Failed("slow down", code="LIMITED")] * 5,
        Failed("clash", code="CLASH"),
        Failed("gone", code="GONE"),
    ]
    code, passed = await code_after(muster, answers, retry=policy)
    assert (code, passed) == ("GONE", timedelta(minutes=5))


async def test_a_policy_may_name_an_exception_and_a_worker_may_give_it_a_code(muster: TestMuster) -> None:
    worker = Worker()
    calls: list[str] = []

    @worker.task("work", errors={KeyError: "NO_SUCH_ROW"})
    def work(value: dict[str, Any]) -> dict[str, Any]:
        calls.append("call")
        raise [ZeroDivisionError("odd"), KeyError("row 7")][len(calls) - 1]

    muster.use(worker)
    job = await muster.run(
        a_blueprint(task("work", retry=RetryPolicy(on={"ZeroDivisionError": AT_ONCE, "NO_SUCH_ROW": NEVER})))
    )
    assert "NO_SUCH_ROW" in str(job.result)
    assert len(calls) == 2


async def test_no_retry_begins_after_the_budget(muster: TestMuster) -> None:
    policy = RetryPolicy(retries=100, first="20m", factor=1, cap="20m", jitter="none", budget="1h")
    code, passed = await code_after(muster, Retry("busy"), retry=policy)
    assert (code, passed) == ("TRANSIENT_ERROR", timedelta(hours=1))
    (job,) = muster.started
    assert "budget of 3600 s" in str(job.result)


# Put back, which is no failure


async def test_a_task_that_is_put_back_comes_again_and_uses_up_no_retries(muster: TestMuster) -> None:
    answers = [*[Requeue("closed until noon", after="1h")] * 5, Requeue("no licence"), {}]
    code, passed = await code_after(muster, answers, retries=0)
    assert (code, passed) == ("", timedelta(hours=5, seconds=10))
    (job,) = muster.started
    assert job.record.retries == 0
    told = [event for event in job.history() if event.event_type == "task_requeued"]
    assert [event.details["message"] for event in told[-2:]] == ["closed until noon", "no licence"]


async def test_a_task_that_is_put_back_for_ever_fails_in_the_end(muster: TestMuster) -> None:
    code, _ = await code_after(muster, Requeue("not yet", after=0))
    assert code == "TOO_MANY_REQUEUES"
    assert len(muster.calls("work")) == 1_001
    (job,) = muster.started
    assert "the last time: not yet" in str(job.result)


# The four limits of time


async def test_schedule_to_start_ends_a_task_that_nobody_fetches(muster: TestMuster) -> None:
    muster.nobody("work")
    before = muster.now
    job = await muster.run(a_blueprint(task("work", schedule_to_start="5m")))
    result: Any = job.result
    assert (result["code"], result["attempt"]) == ("SCHEDULE_TO_START_TIMEOUT", 0)
    assert muster.now - before == timedelta(minutes=5)


async def test_schedule_to_start_counts_anew_for_each_attempt(muster: TestMuster) -> None:
    code, passed = await code_after(
        muster, [later("10m", Retry("busy", after="10m")), later("10m", {})], schedule_to_start="5m", timeout="1h"
    )
    assert (code, passed) == ("", timedelta(minutes=30))


async def test_start_to_close_ends_an_attempt_and_a_retry_follows(muster: TestMuster) -> None:
    code, passed = await code_after(
        muster, [hangs, hangs], timeout="1m", retry=RetryPolicy(retries=1, first="5s", jitter="none")
    )
    assert (code, passed) == ("TIMEOUT_ERROR", timedelta(minutes=2, seconds=5))


async def test_schedule_to_close_cuts_off_a_running_attempt_and_its_worker_is_told(muster: TestMuster) -> None:
    code, passed = await code_after(muster, hangs, timeout="1d", schedule_to_close="1h")
    assert (code, passed) == ("SCHEDULE_TO_CLOSE_TIMEOUT", timedelta(hours=1))
    (job,) = muster.started
    assert muster.machine.state.workers.cancels("kit") == (f"{job.record.id}.0",)


async def test_schedule_to_close_ends_a_task_that_waits_for_its_next_attempt(muster: TestMuster) -> None:
    code, passed = await code_after(muster, Requeue("closed", after="50m"), schedule_to_close="1h")
    assert (code, passed) == ("SCHEDULE_TO_CLOSE_TIMEOUT", timedelta(hours=1))


async def test_a_retry_that_could_not_begin_before_schedule_to_close_is_not_waited_for(muster: TestMuster) -> None:
    code, passed = await code_after(
        muster,
        Failed("down", code="DOWN"),
        schedule_to_close="1h",
        retry=RetryPolicy(first="2h", cap="2h", jitter="none"),
    )
    assert (code, passed) == ("DOWN", timedelta(0))
    (job,) = muster.started
    assert "schedule_to_close would be over" in str(job.result)


async def test_an_attempt_is_told_what_is_left_of_schedule_to_close(muster: TestMuster) -> None:
    code, _ = await code_after(muster, [Requeue("closed", after="50m"), {}], timeout="30m", schedule_to_close="1h")
    assert code == ""
    # The second attempt has ten minutes left of its thirty.
    timeouts = [body["timeout_seconds"] for body in muster.machine.bodies]
    assert timeouts == [1_800, 600]


async def test_a_handler_that_gives_no_sign_is_timed_out_though_its_worker_lives(muster: TestMuster) -> None:
    code, passed = await code_after(muster, hangs, timeout="1d", heartbeat="1m", retries=0)
    assert (code, passed) == ("HEARTBEAT_TIMEOUT", timedelta(minutes=1))


async def test_a_handler_that_gives_signs_may_take_its_time(muster: TestMuster) -> None:
    code, passed = await code_after(muster, later("2h", {}, signs="50s"), timeout="1d", heartbeat="1m", retries=0)
    assert (code, passed) == ("", timedelta(hours=2))


async def test_every_limit_holds_for_the_tasks_of_a_fan(muster: TestMuster) -> None:
    fan = Blueprint("fan")

    @fan.state
    async def told(job: Job, error: TaskError) -> Next:
        return job.done(error.code)

    @fan.start
    async def begin(job: Job) -> Next:
        if job.input.get("together"):
            one, two = count_words.call(Text(words=1)), count_words.call(Text(words=2))
            return job.together(one, two, ok=finished, error=told, schedule_to_start="7m")
        return job.map("work", [{}] * 3, ok=finished, error=told, schedule_to_start="5m", schedule_to_close="1h")

    muster.nobody("work")
    muster.nobody(count_words)
    before = muster.now
    assert (await muster.run(fan)).result == "SCHEDULE_TO_START_TIMEOUT"
    assert muster.now - before == timedelta(minutes=5)
    assert (await muster.run(fan, {"together": True})).result == "SCHEDULE_TO_START_TIMEOUT"
    assert muster.now - before == timedelta(minutes=12)


async def test_nothing_of_a_task_with_limits_is_left_behind(muster: TestMuster) -> None:
    limits: dict[str, Any] = {"schedule_to_start": "5m", "schedule_to_close": "1h", "heartbeat": "1m", "timeout": "10m"}
    answers: tuple[object, ...] = ({}, Retry("busy"), hangs, Permanent("no"), lost, [Requeue("closed"), {}])
    for answer in answers:
        await code_after(muster, answer, **limits)
    muster.on("work", hangs)
    cancelled = await muster.start(a_blueprint(task("work", **limits)))
    await cancelled.cancel()
    (part,) = muster.machine.state.partitions
    assert not part.timers
    assert not part.tasks


async def test_no_crash_changes_what_becomes_of_a_task_with_limits(muster: TestMuster) -> None:
    policy = RetryPolicy(retries=2, first="10s", jitter="none", on={"LIMITED": RetryPolicy(retries=1, first="1m")})
    contract = task("work", retry=policy, schedule_to_start="5h", schedule_to_close="10h", timeout="5h")
    muster.on("work", [Retry("busy"), Requeue("closed", after="1h"), Failed("slow", code="LIMITED"), Permanent("no")])
    blueprint = a_blueprint(contract)

    async def story(kit: TestMuster) -> None:
        await kit.run(blueprint)

    async for _ in muster.crashes(story, most=30):
        pass


# Poison


async def test_a_task_that_costs_three_workers_is_put_aside_as_poison(muster: TestMuster) -> None:
    muster.on(count_words, lambda text: lost if text.words == 1 else Count(total=1))
    job = await muster.run(wide, {"width": 3})
    assert (job.status, job.error_details and job.error_details["code"]) == ("quarantined", "POISON_TASK")
    assert "3 workers lost" in str(job.error)


# Why


async def test_why_tells_the_policy_the_limits_and_the_deadline(muster: TestMuster) -> None:
    async def reasons(job: TestJob) -> list[Reason]:
        return list((await muster.machine.ask(lambda engine: engine.why("test", job.record.id))).reasons)

    contract = task("work", retry=EXACT, schedule_to_start="5m", schedule_to_close="1h")
    muster.on("work", [Retry("busy"), Requeue("closed", after="9m")])
    job = await muster.start(a_blueprint(contract), deadline="2h")
    backing_off, deadline = await reasons(job)
    assert (backing_off.code, backing_off.details["failures"], backing_off.details["retries"]) == (
        Code.TASK_BACKOFF,
        1,
        3,
    )
    assert "busy" in backing_off.text
    assert (deadline.code, deadline.details["left_ms"]) == (Code.DEADLINE, 7_200_000)
    await muster.advance("10s")
    put_back, _ = await reasons(job)
    assert (put_back.code, put_back.details["requeues"]) == (Code.TASK_REQUEUED, 1)
    assert "is handed out again in 9m00s: closed" in put_back.text
    muster.nobody("work")
    await muster.advance("9m")
    nobody, _ = await reasons(job)
    assert nobody.code is Code.WORKER_FREE, "the kit's worker is still registered"
    assert "if nobody fetches it within 5m00s, it has failed" in nobody.text


# Bad input


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"heartbeat": 0}, "heartbeat must be more than 0"),
        ({"schedule_to_start": "-5s"}, "is not a duration"),
        ({"schedule_to_close": "5y"}, "is not a duration"),
        ({"schedule_to_close": "900d"}, "at most a year"),
        ({"schedule_to_start": "2h", "schedule_to_close": "1h"}, "longer than schedule_to_close"),
        ({"timeout": "1m", "heartbeat": "2m"}, "longer than timeout"),
        ({"heartbeat": "2m", "schedule_to_close": "1m"}, "longer than schedule_to_close"),
        ({"retries": -1}, "retries must be 0 or more"),
    ],
)
def test_a_limit_that_cannot_be_is_told_with_the_tasks_name_when_the_contract_is_made(limits: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        task("work", **limits)
    assert "task 'work'" in str(raised.value)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"retries": -1}, "retries must be 0 or more"),
        ({"first": "-1s"}, "first: '-1s' is not a duration"),
        ({"first": "2m", "cap": "1m"}, "first, '2m', is longer than cap"),
        ({"factor": 0.5}, "factor must be 1 to 100"),
        ({"factor": float("nan")}, "factor must be 1 to 100"),
        ({"jitter": "some"}, "jitter is 'full' or 'none', not 'some'"),
        ({"budget": 0}, "budget must be more than 0"),
        ({"on": {"BUSY": "sometimes"}}, r"on\['BUSY'\] is NEVER, AT_ONCE or a RetryPolicy"),
        ({"on": {"": NEVER}}, "which is no error code"),
        ({"on": {"A": RetryPolicy(on={"B": NEVER})}}, "one level is enough"),
        ({"on": {"SCHEDULE_TO_CLOSE_TIMEOUT": AT_ONCE}}, "the time for all attempts is over"),
        ({"on": {str(n): NEVER for n in range(33)}}, "at most 32"),
    ],
)
def test_a_policy_that_cannot_be_is_told_when_it_is_made(members: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RetryPolicy(**members)


def test_a_policy_as_data_says_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="there is no 'attempts'; there are budget, cap"):
        RetryPolicy.from_json({"attempts": 3})
    assert RetryPolicy.from_json({"first": "5s", "on": {"A": {"retries": 1}}}).on["A"] == RetryPolicy(retries=1)


async def test_a_limit_that_the_blueprint_gets_wrong_quarantines_the_job_and_names_it(muster: TestMuster) -> None:
    job = await muster.run(a_blueprint(task("work", schedule_to_close="1h"), schedule_to_start="2h"))
    assert job.status == "quarantined"
    assert "schedule_to_start of 7200 s is longer than schedule_to_close of 3600 s" in str(job.error)


async def test_requeue_is_no_outcome_that_a_blueprint_could_wait_for(muster: TestMuster) -> None:
    job = await muster.run(a_blueprint(task("work"), on={"requeue": finished}))
    assert "there is no such edge" in str(job.error)
