"""The rows of the table in `routes` about orders to workers."""

from typing import Final

from muster.api import fleet
from muster.api import fleet_models as fm
from muster.api.operations import KIBIBYTE, Answer, Auth, Operation, Tag
from muster.errors import ErrorCode as E

_WORKER: Final = (E.WORKER_NOT_FOUND, E.FORBIDDEN, E.STORE_UNAVAILABLE)

# fmt: off
FLEET_OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("POST", "/api/v1/workers/{worker_id}/drain", fleet.drain_worker, "Give a worker no more tasks", Tag.FLEET,
              (Answer(200, "It gets none from now on; what it has it may finish.", fm.OrderedWorker),), Auth.OPERATOR,
              errors=_WORKER),
    Operation("POST", "/api/v1/workers/{worker_id}/resume", fleet.resume_worker, "Give a worker tasks again", Tag.FLEET,
              (Answer(200, "It gets tasks again.", fm.OrderedWorker),), Auth.OPERATOR, errors=_WORKER),
    Operation("POST", "/api/v1/workers/{worker_id}/disconnect", fleet.disconnect_worker, "Let a worker finish and end",
              Tag.FLEET, (Answer(200, "It gets none from now on, finishes what it has, and ends.", fm.OrderedWorker),),
              Auth.OPERATOR, errors=_WORKER),
    Operation("POST", "/api/v1/workers/{worker_id}/resize", fleet.resize_worker, "Give a worker more or fewer slots",
              Tag.FLEET, (Answer(200, "Told; the worker says when it has.", fm.OrderedWorker),), Auth.OPERATOR,
              body=fm.Resize, body_bytes_max=16 * KIBIBYTE, errors=_WORKER),
)
# fmt: on
