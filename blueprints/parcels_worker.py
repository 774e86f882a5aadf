"""A worker for both versions of the parcels blueprint: `python blueprints/parcels_worker.py`."""

from muster_worker import Worker
from parcels_contracts import Delivered, Label, Parcel, Stop, drive, print_label, text_recipient

worker = Worker()


@worker.task(print_label)
async def do_print(parcel: Parcel) -> Label:
    return Label(tracking=f"{parcel.city}-{parcel.id}")


@worker.task(text_recipient)
async def do_text(stop: Stop) -> None:
    """Stands for a service that sends texts."""


@worker.task(drive)
async def do_drive(stop: Stop) -> Delivered:
    return Delivered(signed_by=f"somebody in {stop.city}")


if __name__ == "__main__":
    worker.run()
