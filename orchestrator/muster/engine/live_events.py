"""What happens to jobs, as those who follow them are told."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from muster.core.file_record import FileRecord
from muster.core.ids import JobId, UnixMs
from muster.core.record import JobRecord
from muster.engine.journal import LogEntry, StepView


@dataclass(frozen=True, slots=True)
class JobChanged:
    """The job as it is now. The first event of each job, also of one that is over; its end is a `JobEnded`."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class StepChanged:
    """A step as it was known then; the last one tells how it ended."""

    job_id: JobId
    step: StepView


class LinePlace(NamedTuple):
    """How far somebody was told of a job's lines: up to which number, and how many late ones.

    A late line came under a smaller number than the newest one's, so it does not move the first of the two. Where
    `late` is None, those that are there when the reader comes count as told.
    """

    line: int = 0
    late: int | None = None

    def __str__(self) -> str:
        return f"{self.line}" if self.late is None else f"{self.line}.{self.late}"


FROM_THE_START = LinePlace()


@dataclass(frozen=True, slots=True)
class LineCame:
    """A line, and the step of its task that was open, as it was then. `entry.dropped` lines are missing in a notice.

    A late line has no step. Whoever goes on after `place` is told what comes after this line.
    """

    job_id: JobId
    entry: LogEntry
    step: StepView | None
    place: LinePlace


@dataclass(frozen=True, slots=True)
class ArtifactKept:
    job_id: JobId
    file: FileRecord


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The last event of a job."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All that happened to a tenant's jobs until then was told. `is_quiet`: nothing has happened for a while."""

    at: UnixMs
    is_quiet: bool


LiveEvent: TypeAlias = JobChanged | StepChanged | LineCame | ArtifactKept | JobEnded
