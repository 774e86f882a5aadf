"""Bodies and answers of the routes by which an operator orders workers."""

from typing import Annotated

from pydantic import Field

from muster.api.models import Request, Worker

SLOTS_MAX = 10_000


class Resize(Request):
    """How many tasks the worker is to take at a time."""

    slots: Annotated[int, Field(ge=1, le=SLOTS_MAX, strict=True, examples=[4])]


class OrderedWorker(Worker):
    """The worker as it is now; `order` and `ordered_slots` are what was ordered of it."""

    order: Annotated[str, Field(description="`drain`, `disconnect`, or nothing.")]
    ordered_slots: int | None
    slots_per_task: dict[str, int]
    """Of a task type no more than so many at a time."""
