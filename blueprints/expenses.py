"""An expense report: a large one needs two of three people, with a form; who does not answer is passed over."""

from expenses_contracts import Approval, Expense, Payment, Transfer, pay
from muster import Blueprint, Decision, Escalate, Job, Next

SMALL_CENTS = 5_000

expenses = Blueprint("expenses", input=Expense, description="Ask who must agree, then pay.")


@expenses.start
async def check(job: Job[Expense]) -> Next:
    report = job.input
    large = report.cents > SMALL_CENTS
    return job.ask(
        f"{report.employee} asks for {report.cents / 100:.2f}: {report.purpose}",
        approved=paying,
        rejected=refused,
        within="5d",
        late=unheard,
        form={"approved": Approval},
        approvers=["ada", "bob", "group:finance"] if large else ["ada"],
        quorum={"approved": 2 if large else 1, "rejected": 1},
        escalate=[Escalate(after="1d"), Escalate(after="2d", to=["chief"])],
    )


@expenses.state
async def paying(job: Job[Expense], answer: Decision[Approval]) -> Next:
    job.data["approved_by"] = [given.by for given in answer.answers if given.decision == "approved"]
    amount = min(answer.form.cents, job.input.cents)
    payment = Payment(employee=job.input.employee, cents=amount, cost_center=answer.form.cost_center)
    return job.run(pay, payment, ok=paid)


@expenses.state
async def paid(job: Job[Expense], transfer: Transfer) -> Next:
    return job.done({"reference": transfer.reference, "approved_by": job.data["approved_by"]})


@expenses.state
async def refused(job: Job[Expense], answer: Decision) -> Next:
    return job.fail(f"refused by {answer.by}: {answer.note or 'no reason given'}")


@expenses.state
async def unheard(job: Job[Expense], answer: Decision) -> Next:
    given = ", ".join(f"{one.by}: {one.decision}" for one in answer.answers)
    return job.fail(f"nobody decided ({answer.decision}); {given or 'no answers'}")
