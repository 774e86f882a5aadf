"""Jobs as this replica left them: what lets a turn be decided before its result is in the store."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from muster.core.ids import JobId
from muster.core.record import Context, JobRecord, Submission
from muster.core.values import changed
from muster.store import codec

SNAPSHOTS_MAX: Final = 4_096
"""Jobs remembered; the one that has waited longest goes first."""
SNAPSHOT_BYTES_MAX: Final = 65_536
"""A job that carries more is read from the store at each turn."""
BYTES_MAX: Final = 33_554_432
"""Of all of them together."""

_NOTHING: Final = (Submission({}), Context())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job that waits for one task. What it carries is kept as JSON: no state function gets another's objects."""

    record: JobRecord
    task: int
    submission: bytes
    context: bytes

    @classmethod
    def of(cls, record: JobRecord, submission: bytes) -> "Snapshot | None":
        """None where the job waits for anything but a single task, or carries too much.

        Raises:
            TypeError: it carries what is no JSON.
        """
        wait = record.context.wait
        if record.status.is_final or wait is None or wait.kind != "task":
            return None
        context = codec.dump_context(record.context)
        if len(submission) + len(context) > SNAPSHOT_BYTES_MAX:
            return None
        bare = changed(record, submission=_NOTHING[0], context=_NOTHING[1])
        return cls(bare, wait.first, submission, context)

    def read(self) -> JobRecord:
        """The job as the store would tell it."""
        submission, context = codec.load_submission(self.submission), codec.load_context(self.context)
        return changed(self.record, submission=submission, context=context)

    @property
    def size(self) -> int:
        return len(self.submission) + len(self.context)


class Snapshots:
    """The newest few thousand. One that is out of date does no harm: the store compares versions."""

    def __init__(self) -> None:
        self._kept: OrderedDict[JobId, Snapshot] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, job: JobId, task: int) -> Snapshot | None:
        """The job, if it was left here waiting for this very task."""
        found = self._kept.get(job)
        return found if found is not None and found.task == task else None

    def keep(self, job: JobId, snapshot: Snapshot | None) -> None:
        """Remember the job as it is now; None forgets it."""
        past = self._kept.pop(job, None)
        if past is not None:
            self._bytes -= past.size
        if snapshot is None:
            return
        self._kept[job] = snapshot
        self._bytes += snapshot.size
        while len(self._kept) > SNAPSHOTS_MAX or self._bytes > BYTES_MAX:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.size
