"""The clock stands still until a test moves it, or waits."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from muster import Blueprint, Job, Next
from muster.testing import KitError, TestMuster, hangs, later
from muster_worker import Retry

from tests.testing.flows import Count, Text, count_words, counter, sleeper


async def test_a_day_of_sleep_takes_no_time(muster: TestMuster) -> None:
    before, began = muster.now, time.monotonic()
    job = await muster.run(sleeper)
    assert job.result == {"slept": True}
    assert muster.now - before == timedelta(days=1)
    assert time.monotonic() - began < 5


async def test_no_time_passes_by_itself(muster: TestMuster) -> None:
    job = await muster.start(sleeper)
    assert job.waiting_for is not None
    assert job.waiting_for.kind == "timer"
    await muster.advance("23h59m")
    assert not job.is_over
    await muster.advance(60)
    assert job.is_over


async def test_what_becomes_due_on_the_way_happens_at_its_own_moment(muster: TestMuster) -> None:
    first = await muster.start(sleeper)
    await muster.advance("1h")
    second = await muster.start(sleeper)
    await muster.advance("2d")
    ends = [job.record.finished_at for job in (first, second)]
    assert ends[0] is not None
    assert ends[1] == ends[0] + 3_600_000


async def test_the_clock_begins_where_the_test_says() -> None:
    start = datetime(2031, 3, 30, 0, 30, tzinfo=UTC)
    async with TestMuster(sleeper, start=start) as kit:
        job = await kit.start("sleeper")
        assert kit.now == start
        assert job.record.created_at == start.timestamp() * 1000
    with pytest.raises(ValueError, match="no time zone"):
        TestMuster(start=datetime(2031, 1, 1))  # noqa: DTZ001 - that is the mistake


async def test_the_back_off_of_a_retry_passes_at_once(muster: TestMuster) -> None:
    muster.on(count_words, [Retry("busy", after="3h"), Count(total=7)])
    before = muster.now
    job = await muster.run(counter, Text(words=7))
    assert job.result == {"total": 7}
    assert job.record.retries == 1
    assert muster.now - before == timedelta(hours=3)


async def test_a_task_can_take_its_time(muster: TestMuster) -> None:
    muster.on(count_words, later("9m", Count(total=7)))
    job = await muster.start(counter, Text(words=7))
    await muster.advance("8m")
    assert job.status == "waiting_for_worker"
    await muster.advance("1m")
    assert job.result == {"total": 7}


async def test_a_task_that_hangs_is_ended_by_its_timeout(muster: TestMuster) -> None:
    muster.on(count_words, hangs)
    before = muster.now
    job = await muster.run(counter, Text(words=7))
    assert job.error is not None
    assert job.error.startswith("TIMEOUT_ERROR")
    assert len(muster.calls(count_words)) == 2
    assert timedelta(minutes=20) <= muster.now - before < timedelta(minutes=25)


async def test_a_schedule_runs_at_its_times(muster: TestMuster) -> None:
    muster.add(sleeper)
    muster.connect({"name": "hourly", "blueprint": "sleeper", "schedule": "30 * * * *"})
    await muster.advance("29m")
    assert muster.jobs() == ()
    await muster.advance("1m")
    (job,) = muster.jobs("sleeper")
    assert job.record.submission.tags[:2] == ("connection", "connection:hourly")
    with pytest.raises(KitError, match="before the first job"):
        muster.connect({"name": "daily", "blueprint": "sleeper", "schedule": "@daily"})


async def test_time_is_not_moved_from_inside_a_mock(muster: TestMuster) -> None:
    async def answer(text: Text) -> Count:
        await muster.advance("1h")
        return Count(total=text.words)

    muster.on(count_words, answer)
    with pytest.raises(KitError, match="use `later`"):
        await muster.start(counter, Text(words=1))


async def test_a_wait_of_a_million_years_puts_its_job_aside_and_no_other_list_is_hurt(muster: TestMuster) -> None:
    patient = Blueprint("patient")

    @patient.state
    async def up(job: Job) -> Next:
        return job.done()

    @patient.start
    async def down(job: Job) -> Next:
        return job.sleep(job.input["long"], then=up)

    job = await muster.run(patient, {"long": "99999999999d"})
    assert job.status == "quarantined"
    assert "'99999999999d' is too long; a duration is at most ten years" in str(job.error)
