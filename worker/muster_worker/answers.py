"""Reading the body of an answer whose shape is known."""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from muster_worker.errors import Unreachable

Shape = TypeVar("Shape")


def read_answer(shape: TypeAdapter[Shape], body: bytes) -> Shape:
    """Raises Unreachable for anything else: then it is not an orchestrator that answers at this address."""
    try:
        return shape.validate_json(body)
    except ValidationError as error:
        what = f"the answer is not that of an orchestrator: {error.errors()[0]['msg']}"
        raise Unreachable(0, "not_an_orchestrator", what, "check MUSTER_URL") from error
