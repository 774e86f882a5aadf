"""What the expenses blueprint and its workers agree on."""

from datetime import date

from muster_worker.contracts import task
from pydantic import BaseModel, Field


class Expense(BaseModel):
    """What somebody wants back."""

    employee: str
    purpose: str
    cents: int = Field(gt=0)


class Approval(BaseModel):
    """What an approver fills in."""

    cents: int = Field(gt=0, title="Amount to pay, in cents")
    cost_center: str = Field(pattern="^CC[0-9]{3}$", description="CC and three digits.")
    pay_on: date | None = Field(default=None, title="Pay on", description="Empty: with the next run.")


class Payment(BaseModel):
    employee: str
    cents: int
    cost_center: str


class Transfer(BaseModel):
    reference: str


pay = task("expenses.pay", Payment, Transfer, timeout="30s")
