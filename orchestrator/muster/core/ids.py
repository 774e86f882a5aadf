"""Ids. A job's id names its partition, a task's id names its job, so nothing is ever looked up to find a key."""

import re
from typing import Final, NewType

JobId = NewType("JobId", str)
TaskId = NewType("TaskId", str)
WorkerId = NewType("WorkerId", str)
UnixMs = NewType("UnixMs", int)

PARTITIONS_MAX: Final = 4096
"""rand_a of a UUID version 7 (RFC 9562, section 5.7) has 12 bits; they carry the partition."""

_JOB_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_WORKER_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SIGNAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_TASK_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def new_job_id(now: UnixMs, partition: int, random_62: int) -> JobId:
    """A UUID version 7 of *now*, *partition* (0 to 4095) and 62 random bits.

    >>> new_job_id(UnixMs(0x018F_0000_0000), 5, 1)
    '018f0000-0000-7005-8000-000000000001'
    """
    tail = (0b10 << 62) | random_62
    head = (now << 16) | (7 << 12) | partition
    text = f"{head:016x}{tail:016x}"
    return JobId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


def is_job_id(text: str) -> bool:
    """Whether *text* can be a job's id; anything else is answered as unknown without asking the store."""
    return _JOB_ID.fullmatch(text) is not None


def is_worker_id(text: str) -> bool:
    return _WORKER_ID.fullmatch(text) is not None


def is_signal_name(text: str) -> bool:
    return _SIGNAL.fullmatch(text) is not None


def partition_of(job_id: JobId) -> int:
    """The partition that holds the whole of this job.

    >>> partition_of(JobId("018f0000-0000-7005-8000-000000000001"))
    5
    """
    return int(job_id[15:18], 16)


def task_id(job_id: JobId, number: int) -> TaskId:
    return TaskId(f"{job_id}.{number}")


def split_task_id(text: str) -> tuple[JobId, int] | None:
    """The job and the number inside a task's id, or None if *text* is no task id."""
    job, dot, number = text.partition(".")
    if not dot or not is_job_id(job) or _TASK_NUMBER.fullmatch(number) is None:
        return None
    return JobId(job), int(number)
