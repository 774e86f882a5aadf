"""What happens to jobs, as those who follow them are told."""

from dataclasses import dataclass
from typing import TypeAlias

from muster.core.file_record import FileRecord
from muster.core.ids import JobId
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


@dataclass(frozen=True, slots=True)
class LineCame:
    """A line, and the step of its task that was open, as it was then. `entry.dropped` lines are missing in a notice."""

    job_id: JobId
    entry: LogEntry
    step: StepView | None


@dataclass(frozen=True, slots=True)
class ArtifactKept:
    job_id: JobId
    file: FileRecord


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The last event of a job."""

    record: JobRecord


LiveEvent: TypeAlias = JobChanged | StepChanged | LineCame | ArtifactKept | JobEnded
