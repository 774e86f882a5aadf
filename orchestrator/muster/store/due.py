"""What becomes due in the store, and what prolongs a lease. A part of the contract, see `base`."""

from dataclasses import dataclass, field

from muster.core.ids import TaskId
from muster.core.timeouts import Timeout


@dataclass(frozen=True, slots=True)
class EndedLease:
    """A lease whose deadline passed. It stays with the worker until the engine has decided.

    A task that waited too long without a worker comes as one too: nobody else gets it meanwhile. Its worker is "".
    """

    task: TaskId
    attempt: int
    fence: str
    worker: str
    patient: bool
    timeout: Timeout | None
    """Which of its limits has passed; None: the worker fell silent."""
    losses: int
    failures: int
    rules: bytes
    ran_ms: int
    counts: str = ""
    failing_ms: int = field(default=0, compare=False)
    """Since its first failure."""
    left_ms: int | None = field(default=None, compare=False)
    """Until its schedule_to_close has passed, where it has one."""


@dataclass(frozen=True, slots=True)
class DueMessage:
    id: str
    body: bytes
    tries: int
    withdrawn: bool = False
    """The start of a child whose end is asked for already."""


@dataclass(frozen=True, slots=True)
class LeaseRef:
    """A lease to prolong. `attempt` and `fence` are None where the engine vouches for the worker."""

    task: str
    attempt: int | None = None
    fence: str | None = None
    progress: float | None = None
    message: str = ""
    silent_ms: int | None = None
    """Since the handler's own last sign, where it is known. Told progress is such a sign."""
