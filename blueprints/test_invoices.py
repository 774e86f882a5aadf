"""How a blueprint that is data is tested: as any other, by its file. `pytest blueprints/test_invoices.py`."""

from pathlib import Path

from invoices_worker import worker
from muster.testing import TestMuster
from muster_worker import Permanent

FILE = Path(__file__).parent / "invoices.yaml"
ORDER = {"file": "scan.pdf", "recipients": ["ann@example.org", "bob@example.org"]}


async def test_a_small_invoice_is_paid_and_everybody_is_told(muster: TestMuster) -> None:
    muster.add(FILE)
    muster.use(worker)
    job = await muster.run("invoices", ORDER)
    assert job.result == {"receipt": "paid-2030-17", "approved_by": "nobody", "told": 2}
    assert job.path == ("read", "check", "pay", "tell", "end")
    assert muster.calls("mail.send")[0] == {
        "to": "ann@example.org",
        "text": "Invoice 2030-17 is paid, paid-2030-17.",
    }


async def test_a_large_one_is_for_a_person_to_decide(muster: TestMuster) -> None:
    muster.add(FILE)
    muster.use(worker)
    job = await muster.start("invoices", {**ORDER, "limit_cents": 500})
    assert job.waiting_for is not None
    assert job.waiting_for.message == "Pay 1200 cents to Tea & Sons?"
    await job.decide("approved", by="ann")
    await job.ends()
    assert job.data["approved_by"] == "ann"
    late = await muster.run("invoices", {**ORDER, "limit_cents": 500})
    assert (late.status, late.error) == ("failed", "late by nobody")


async def test_what_cannot_be_read_is_put_aside(muster: TestMuster) -> None:
    muster.add(FILE)
    muster.on("invoices.read", Permanent("no text layer"))
    job = await muster.run("invoices", ORDER)
    assert job.status == "quarantined"
    assert job.error_details == {
        "code": "quarantined_by_blueprint",
        "file": "scan.pdf",
        "reason": "no text layer",
    }


async def test_no_crash_of_the_orchestrator_changes_how_it_ends(muster: TestMuster) -> None:
    muster.add(FILE)
    muster.use(worker)

    async def story(muster: TestMuster) -> None:
        job = await muster.start("invoices", {**ORDER, "limit_cents": 500})
        await job.decide("approved", by="ann")
        await job.ends()

    assert len([crashed async for crashed in muster.crashes(story)]) > 5
