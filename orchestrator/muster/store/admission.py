"""What `submit` checks before it makes a job, and what it answers where it made none. See `base`."""

from dataclasses import dataclass
from typing import Literal

from muster.core.ids import JobId


@dataclass(frozen=True, slots=True)
class Admission:
    """Keys are hashes, and empty where there is nothing to check; limits are 0 where there is none.

    Attributes:
        client: whose jobs are counted. `interval_us`: between two submits in the long run.
        unique: at most one live job has it; with `unique_ms` it is taken for so long instead.
        replaces: take the key from the job that has it, which is cancelled.
        debounce: a later submit puts off the job that has it by `delay_ms` and gives it its input, `most_ms` at most.
    """

    client: str = ""
    live_max: int = 0
    queued_max: int = 0
    interval_us: int = 0
    burst: int = 1
    unique: str = ""
    unique_ms: int = 0
    replaces: bool = False
    debounce: str = ""
    delay_ms: int = 0
    most_ms: int = 0


@dataclass(frozen=True, slots=True)
class Limited:
    """The client has as much as it may. Nothing was written."""

    why: Literal["rate", "live", "queued"]
    retry_ms: int = 0
    """When a submit is within the rate again; 0 where nobody knows."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A job has the unique key."""

    job: JobId


@dataclass(frozen=True, slots=True)
class PutOff:
    """The job begins later: it was made now, or is an earlier one with the input of this."""

    job: JobId
    is_new: bool
