"""How a schedule is tested: the clock is moved, and the runs are there. `pytest blueprints/test_heartbeat.py`."""

from datetime import UTC, datetime

from heartbeat import digest, heartbeat
from heartbeat_contracts import Answer, News, ask_service, tell_people
from heartbeat_worker import worker
from muster.testing import TestMuster
from muster_worker import Permanent

FRIDAY = datetime(2030, 3, 29, 12, tzinfo=UTC)


async def test_the_service_is_asked_four_times_an_hour_and_people_hear_when_it_is_not_well(muster: TestMuster) -> None:
    muster.add(heartbeat)
    muster.on(ask_service, [Answer(status=200), Permanent("no answer"), Answer(status=200), Answer(status=200)])
    muster.on(tell_people, {"to": "ann"})
    await muster.advance("1h")
    assert [job.status for job in muster.jobs("heartbeat")] == ["finished", "failed", "finished", "finished"]
    assert muster.calls(tell_people) == [News(text="https://shop.example: no answer")]


async def test_the_digest_goes_out_on_working_days_at_nine_on_the_wall_in_winter_and_in_summer() -> None:
    async with TestMuster(digest, start=FRIDAY) as muster:  # the clocks go forward on Sunday
        muster.use(worker)
        await muster.advance("4d")
        made = [datetime.fromtimestamp(job.record.created_at / 1000, UTC) for job in muster.jobs("digest")]
    assert [moment.strftime("%a %H:%M") for moment in made] == ["Mon 07:00", "Tue 07:00"]
