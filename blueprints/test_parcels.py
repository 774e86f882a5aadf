"""How a change of the parcels blueprint is tested, before any server has it: `pytest blueprints/test_parcels.py`."""

import parcels_next
from muster.testing import TestJob, TestMuster
from parcels import parcels
from parcels_contracts import Parcel, text_recipient
from parcels_worker import worker

LETTER = Parcel(id="1", city="Turin", grams=80)
BOX = Parcel(id="2", city="Turin", grams=2_000)
STOVE = Parcel(id="3", city="Turin", grams=45_000)
COLLECTED = {"by": "van 3"}
NAMES = {"hand_over": "collect"}


async def in_flight(muster: TestMuster, *inputs: Parcel) -> list[TestJob]:
    """Jobs that began with version 1, on a server that has version 2 too by now."""
    muster.use(worker)
    muster.add(parcels)
    jobs = [await muster.start("parcels", parcel) for parcel in inputs]
    muster.add(parcels_next.parcels)
    return jobs


def version(job: TestJob) -> str:
    return job.record.blueprint_version.partition(":")[0]


async def test_a_job_in_flight_stays_on_its_version_and_new_ones_begin_with_the_next(muster: TestMuster) -> None:
    (old,) = await in_flight(muster, BOX)
    new = await muster.start("parcels", BOX)
    for job in (old, new):
        await job.signal("collected", COLLECTED)
        await job.ends()
    assert old.result == {"tracking": "Turin-2", "by": "van 3", "signed_by": "somebody in Turin"}
    assert new.result == {**old.result, "recipient_told": True}
    assert (version(old), version(new)) == ("1", "2")


async def test_the_dry_run_says_who_can_move_and_who_cannot_and_why(muster: TestMuster) -> None:
    box, stove = await in_flight(muster, BOX, STOVE)
    without = await muster.migrate("parcels", "2", dry_run=True)
    assert (without.moved, dict(without.stayed)) == ({}, {"hand_over": {"state_missing": 2}})
    page = await muster.migrate("parcels", "2", names=NAMES, dry_run=True)
    assert page.moved == {"hand_over": 1}
    (refused,) = page.refused
    assert (refused.job, refused.code) == (stove.id, "input_misfit")
    assert "/grams" in refused.detail
    assert (version(box), version(stove)) == ("1", "1")


async def test_with_the_map_a_job_moves_and_ends_on_the_next_version(muster: TestMuster) -> None:
    box, stove = await in_flight(muster, BOX, STOVE)
    await muster.migrate("parcels", "2", names=NAMES)
    assert (box.state, stove.state) == ("collect", "hand_over")
    for job in (box, stove):
        await job.signal("collected", COLLECTED)
        await job.ends()
    assert (version(box), box.status) == ("2", "finished")
    assert (version(stove), stove.status) == ("1", "finished")
    assert [stop.tracking for stop in muster.calls(text_recipient)] == ["Turin-2"]


async def test_a_share_of_new_jobs_begins_with_the_next_version(muster: TestMuster) -> None:
    await in_flight(muster)
    begun: dict[int, set[str]] = {}
    for share in (0, 50, 100):
        await muster.roll_out("parcels", "2", share=share)
        begun[share] = {version(await muster.start("parcels", BOX)) for _ in range(30)}
    assert begun == {0: {"1"}, 50: {"1", "2"}, 100: {"2"}}


async def test_what_a_job_did_is_held_against_the_next_version(muster: TestMuster) -> None:
    muster.use(worker)
    letter = await muster.run(parcels, LETTER)
    box = await muster.start(parcels, BOX)
    await box.signal("collected", COLLECTED)
    await box.ends()
    async with TestMuster(parcels_next.parcels) as tomorrow:
        assert await tomorrow.replay(muster.recording(letter)) is None
        difference = await tomorrow.replay(muster.recording(box))
    assert difference is not None
    assert (difference.blueprint, difference.step) == ("parcels", 3)
    assert "hand_over" in str(difference)
    assert "collect" in str(difference)
