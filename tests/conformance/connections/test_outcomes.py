"""Which ends of a run are answers, and how runs are numbered."""

from dataclasses import replace
from typing import Any

import pytest
from muster.core.ids import JobId, UnixMs, new_job_id
from muster.core.record import Context, JobRecord, Submission
from muster.core.status import JobStatus
from muster.surfaces.connections.outcome import number_of_run, result_of, why_unexpected

RUN = JobRecord(
    id=new_job_id(UnixMs(1_774_785_600_000), 0, 5),
    tenant="acme",
    blueprint="command",
    blueprint_version="1",
    status=JobStatus.PENDING,
    state="start",
    version=0,
    revision=0,
    wave=0,
    next_task=1,
    submission=Submission({}),
    context=Context(),
    created_at=UnixMs(1_000),
    updated_at=UnixMs(2_000),
    started_at=UnixMs(1_500),
    finished_at=UnixMs(2_000),
)


@pytest.mark.parametrize(
    ("status", "details", "blueprint", "is_answer"),
    [
        (JobStatus.FINISHED, None, "command", True),
        (JobStatus.FAILED, {"code": "COMMAND_FAILED"}, "command", True),
        (JobStatus.FAILED, None, "command", True),
        (JobStatus.FAILED, {"code": "WORKER_LOST"}, "command", False),
        (JobStatus.FAILED, {"code": "TIMEOUT_ERROR"}, "command", False),
        (JobStatus.FAILED, {"code": "WORKER_LOST"}, "shop", False),
        (JobStatus.FAILED, {"code": "POISON_TASK"}, "shop", False),
        (JobStatus.FAILED, {"code": "INVALID_INPUT_ERROR"}, "shop", True),
        (JobStatus.CANCELLED, None, "command", True),
        (JobStatus.QUARANTINED, None, "command", False),
        (JobStatus.WAITING_FOR_WORKER, None, "command", False),
    ],
)
def test_only_an_end_of_its_own_is_an_answer(
    status: JobStatus, details: Any, blueprint: str, *, is_answer: bool
) -> None:
    run = replace(RUN, status=status, details=details, blueprint=blueprint)
    assert (why_unexpected(run) is None) is is_answer


@pytest.mark.parametrize("count", [True, "3", 1.5, None, [3]])
def test_what_is_no_whole_number_is_no_count(count: Any) -> None:
    meta = {"meta": {"rows_inserted": count, "records_reported": count, "attempts": count, "progress_counts": count}}
    result = result_of(replace(RUN, context=Context(results=meta)))
    assert (result["rows_inserted"], result["records_reported"], result["attempts"]) == (0, None, 1)
    assert result["progress_counts"] is None


def test_numbers_of_runs_grow_with_time_and_fit_into_53_bits() -> None:
    moments = [0, 1, 1_774_785_600_000, 1_774_785_600_001, 4_000_000_000_000]
    numbers = [number_of_run(new_job_id(UnixMs(moment), 3, 2**62 - 1)) for moment in moments]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] < 2**53
    assert number_of_run(JobId("01890a5d-ac96-774b-bcce-b302099a8057")) == 0x1890A5DAC96 * 2048 + 0x057
