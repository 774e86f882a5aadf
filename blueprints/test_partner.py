"""How the partner blueprint is tested: `pytest blueprints/test_partner.py`, a day in a moment."""

from datetime import timedelta

import pytest
from muster.testing import TestMuster, hangs
from muster_worker import Failed, Requeue, Retry
from partner import partner
from partner_contracts import SLOW_DOWN, Label, Shipment, print_label
from partner_worker import api, worker

PARCEL = Shipment(id="7", street="Main Street 1")


async def test_a_partner_that_is_closed_limits_us_and_fails_gives_a_label_in_the_end(muster: TestMuster) -> None:
    closed, limited = Requeue("closed", after="1h"), Failed("slow down", code=SLOW_DOWN)
    muster.on(print_label, [*[closed] * 8, *[limited] * 20, Retry("reset"), hangs, Label(number="label-7")])
    before = muster.now
    job = await muster.run(partner, PARCEL)
    assert job.result == {"number": "label-7"}
    assert timedelta(hours=8) < muster.now - before < timedelta(hours=9)


async def test_an_address_that_is_wrong_is_asked_for_once(muster: TestMuster) -> None:
    muster.use(worker)
    job = await muster.run(partner, Shipment(id="8", street=""))
    assert (job.status, job.error) == ("failed", "nobody lives at ''")


async def test_a_partner_that_stays_closed_is_given_up_after_a_day(
    muster: TestMuster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "is_open", False)
    muster.use(worker)
    job = await muster.run(partner, PARCEL)
    assert job.status == "quarantined"
    assert job.error_details is not None
    assert job.error_details["code"] == "SCHEDULE_TO_CLOSE_TIMEOUT"


async def test_without_a_worker_a_person_hears_of_it_after_ten_minutes(muster: TestMuster) -> None:
    muster.nobody(print_label)
    before = muster.now
    job = await muster.run(partner, PARCEL)
    assert "no worker fetched the task" in str(job.error)
    assert muster.now - before == timedelta(minutes=10)
