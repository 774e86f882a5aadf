"""What a person does to jobs, beside cancelling and deleting them: one place for the edge to find it."""

from dataclasses import dataclass

from muster.engine.many_jobs import ManyJobs
from muster.engine.pausing import Pausing
from muster.engine.retrying import Retrying
from muster.engine.searching import Searching


@dataclass(frozen=True, slots=True)
class Operations:
    pausing: Pausing
    retrying: Retrying
    searching: Searching
    many: ManyJobs
