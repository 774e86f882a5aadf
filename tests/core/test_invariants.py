"""What is always true of a job, and what each breach is called."""

from dataclasses import replace
from typing import Any

import pytest
from muster.core.invariants import problems
from muster.core.record import Context, JobRecord, Wait
from muster.core.status import JobStatus

from tests.core.build import NOW, for_child, for_person, for_signal, for_task, for_tasks, for_time, pending


def finished(**changes: Any) -> JobRecord:
    fields: dict[str, Any] = {
        "status": JobStatus.FINISHED, "version": 1, "revision": 1, "wave": 1, "state": "finished",
        "started_at": NOW, "finished_at": NOW, **changes,
    }  # fmt: skip
    return pending(**fields)


@pytest.mark.parametrize(
    "record",
    [pending(), for_task(), for_tasks(3), for_person(late="x"), for_time(), for_child(), for_signal(), finished()],
)
def test_a_sound_job_has_no_problems(record: JobRecord) -> None:
    assert problems(record) == []


SLEEPING = Wait("timer", {}, target="later")

BROKEN = [
    (replace(pending(), context=Context(wait=SLEEPING)), "is pending and waits for timer, not None"),
    (replace(for_task(), context=Context()), "is waiting_for_worker and waits for None, not task"),
    (
        replace(for_task(), status=JobStatus.WAITING),
        "is waiting and waits for task, not child or race or signal or timer",
    ),
    (replace(for_time(), current_worker="w1"), "worker 'w1' has its task"),
    (replace(for_task(), next_task=5), "but the next number is 5"),
    (replace(for_tasks(1), context=Context(wait=Wait("tasks", {"success": "x"}))), "waits for 0 tasks"),
    (replace(for_task(), context=Context(wait=Wait("task", {"failure": "x"}, 0, 1))), "cannot succeed"),
    (replace(for_task(), context=Context(wait=Wait("task", {"success": ""}, 0, 1))), "leads nowhere"),
    (replace(for_person(), context=Context(wait=Wait("human", {"late": "x"}))), "a question without an answer"),
    (replace(for_time(), context=Context(wait=Wait("timer", {}))), "one target and no edges"),
    (replace(for_time(), context=Context(wait=replace(SLEEPING, count=1))), "has task numbers"),
    (replace(for_time(), context=Context(wait=replace(SLEEPING, message="?"))), "only a question"),
    (replace(for_task(), context=Context(wait=Wait("task", {"success": "x"}, 0, 1, target="y"))), "only a timer"),
    (replace(for_child(), context=Context(wait=Wait("child", {"success": "x"}))), "its child is ''"),
    (replace(for_child(), context=Context(wait=Wait("child", {}, child="x"))), "child cannot succeed"),
    (for_signal(signal=""), "its signal is ''"),
    (for_signal(uploads=("a",), deadline_at=None), "waits for uploads without an end"),
    (replace(for_time(), context=Context(wait=replace(SLEEPING, deadline_at=NOW))), "have a deadline"),
    (finished(finished_at=None), "is finished and finished_at is None"),
    (replace(for_task(), finished_at=NOW), "is waiting_for_worker and finished_at is"),
    (finished(started_at=None), "ended before it started"),
    (finished(context=Context(argument=1)), "still carries an argument"),
    (replace(for_task(), error="early"), "before its end"),
    (finished(error="odd"), "finished, and yet has an error"),
    (finished(status=JobStatus.FAILED), "is failed and does not say why"),
    (finished(status=JobStatus.CANCELLED, error="cancelled", result=1), "is cancelled and has a result"),
    (pending(version=1, revision=1, wave=1), "is pending after 1 commits"),
    (finished(revision=0), "revision 0 is below version 1"),
    (finished(wave=0), "wave 0 is below version 1"),
    (pending(turn_failures=3), "3 failed turns in a row"),
    (pending(context=Context(transitions=10_001)), "10001 transitions"),
    (pending(retries=-1), "a counter is negative"),
    (pending(progress=1.5), "progress 1.5"),
    (pending(spawn_wave=1, spawned_to=0), "not ahead of its commit"),
    (pending(spawned_to=4), "in no wave"),
    (finished(spawn_wave=2, spawned_to=4), "is over and still spawns tasks"),
]


@pytest.mark.parametrize(("record", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_every_breach_is_named(record: JobRecord, said: str) -> None:
    assert [problem for problem in problems(record) if said in problem]
    assert problems(record)[0].startswith(f"job {record.id}: ")
