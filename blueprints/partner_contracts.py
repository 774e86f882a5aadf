"""What the partner blueprint and its workers agree on: a partner's API that is slow, limited and closed at night."""

from muster_worker import NEVER, RetryPolicy
from muster_worker.contracts import task
from pydantic import BaseModel


class Shipment(BaseModel):
    id: str
    street: str


class Label(BaseModel):
    number: str


SLOW_DOWN = "SLOW_DOWN"
NO_SUCH_ADDRESS = "NO_SUCH_ADDRESS"

print_label = task(
    "partner.print_label",
    Shipment,
    Label,
    timeout="30s",
    schedule_to_start="10m",  # nobody of ours is there: a person should know soon
    schedule_to_close="1d",  # whatever the partner does, tomorrow is too late
    retry=RetryPolicy(
        retries=4,
        first="2s",
        cap="5m",
        on={SLOW_DOWN: RetryPolicy(retries=100, first="1m", factor=1), NO_SUCH_ADDRESS: NEVER},
    ),
)
