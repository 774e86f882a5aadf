"""What a person does to jobs, beside cancelling and deleting them: one place for the edge to find it."""

from dataclasses import dataclass

from muster.engine.pausing import Pausing


@dataclass(frozen=True, slots=True)
class Operations:
    pausing: Pausing
