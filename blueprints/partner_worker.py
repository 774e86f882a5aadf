"""Workers for the partner blueprint: `python blueprints/partner_worker.py`."""

from muster_worker import Failed, Requeue, Worker
from partner_contracts import NO_SUCH_ADDRESS, SLOW_DOWN, Label, Shipment, print_label

worker = Worker()


class Closed(Exception):
    """The partner's answer at night."""


class Api:
    """Stands for the partner's library: its errors are not ours."""

    is_open = True
    calls_left = 10

    def label(self, shipment: Shipment) -> str:
        if not self.is_open:
            raise Closed
        if not shipment.street:
            raise LookupError("no such address")
        if self.calls_left == 0:
            raise Failed("429 too many requests", code=SLOW_DOWN)
        self.calls_left -= 1
        return f"label-{shipment.id}"


api = Api()


@worker.task(print_label, errors={LookupError: NO_SUCH_ADDRESS})
def label(shipment: Shipment) -> Label:
    try:
        return Label(number=api.label(shipment))
    except Closed as closed:
        raise Requeue("the partner is closed", after="1h") from closed


if __name__ == "__main__":
    worker.run()
