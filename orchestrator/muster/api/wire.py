"""Values of the engine as JSON of the documented shapes, and worker messages as values of the engine."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from muster_worker.needs import InvalidNeeds
from muster_worker.wire import ErrorReport, Heartbeat, Registration, Result

from muster.core.approvals import choices_of
from muster.core.decisions import FAILURE, REQUEUE
from muster.core.file_record import FileRecord, job_of_artifact
from muster.core.ids import task_id
from muster.core.moments import time_text as time_text
from muster.core.record import JobRecord, Pause, Wait
from muster.core.reputation import delay_ms
from muster.core.status import JobStatus
from muster.core.tags import batch_of
from muster.engine.offers import check_offer
from muster.engine.views import (
    Dashboard,
    HistoryEvent,
    Lease,
    LeaseSign,
    ReportReply,
    TaskReport,
    WorkerDescription,
    WorkerPatch,
    WorkerView,
)
from muster.errors import ErrorCode, MusterError

IGNORED: Final = "ignored"
DEFAULT_ERROR_CODE: Final = "TRANSIENT_ERROR"
_FACTS: Final = (
    "worker_type",
    "address",
    "resources",
    "capabilities",
    "installed_software",
    "installed_models",
    "runtimes",
    "labels",
    "hot_cache",
    "hot_skills",
    "cost_per_task",
    "slots_per_task",
)


def upload_object(record: FileRecord) -> dict[str, Any]:
    return {
        "file_id": record.file.id,
        "name": record.file.name,
        "size": record.file.size,
        "sha256": record.file.sha256,
        "media_type": record.file.media_type,
        "created_at": time_text(record.created_at),
        "expires_at": time_text(record.expires_at),
    }


def artifact_object(record: FileRecord) -> dict[str, Any]:
    uploaded = upload_object(record)
    return {
        "artifact_id": uploaded.pop("file_id"),
        "job_id": job_of_artifact(record.file.id),
        "task_id": record.file.task_id or None,
        "step": record.file.step or None,
        "description": record.file.description,
        **uploaded,
    }


def job_object(record: JobRecord, question: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A job as its owner sees it. Nothing of another client and no credential but those of its *question*."""
    wait = None if record.status.is_final else record.context.wait
    return {
        "id": record.id,
        "job_id": record.id,
        "blueprint_name": record.blueprint,
        "status": record.status.value,
        "current_state": record.state,
        "initial_data": record.submission.initial_data,
        "state_history": record.context.results,
        "result": record.result,
        "error_message": record.error,
        "error_details": record.details,
        "webhook_url": record.submission.webhook_url,
        "current_task_id": task_id(record.id, wait.first) if wait is not None and wait.kind == "task" else None,
        "task_worker_id": record.current_worker,
        "retry_count": record.retries,
        "batch_id": batch_of(record.submission.tags),
        "tags": record.submission.tags,
        "parent_id": record.parent_id,
        "cost_micros": record.cost_micros,
        "version": record.revision,
        "progress": record.progress,
        "progress_message": record.progress_message,
        "cancel_requested": record.cancel_requested,
        "error_fingerprint": record.fingerprint or None,
        "retried_from": record.submission.retried_from or None,
        "retried_as": record.retried_as,
        "deadline_at": time_text(record.deadline_at),
        "waiting_for": None if wait is None else _waiting(wait, question),
        "paused": None if record.pause is None else _held(record.pause),
        "created_at": time_text(record.created_at),
        "started_at": time_text(record.started_at),
        "finished_at": time_text(record.finished_at),
        "updated_at": time_text(record.updated_at),
    }


def event_object(event: HistoryEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "job_id": event.job_id,
        "timestamp": time_text(event.timestamp),
        "event_type": event.event_type,
        "state": event.state,
        "previous_state": event.previous_state,
        "next_state": event.next_state,
        "task_id": event.task_id,
        "worker_id": event.worker_id,
        "attempt_number": event.attempt_number,
        "duration_ms": event.duration_ms,
        "details": event.details,
    }


def worker_object(worker: WorkerView) -> dict[str, Any]:
    return {
        "worker_id": worker.worker_id,
        "worker_type": worker.worker_type,
        "supported_tasks": worker.supported_tasks,
        "status": worker.status,
        "load": worker.load,
        "current_tasks": worker.current_tasks,
        "max_concurrent_tasks": worker.max_concurrent_tasks,
        "cost_per_second": worker.cost_per_second,
        "resources": worker.resources,
        "capabilities": worker.capabilities,
        "registered_at": time_text(worker.registered_at),
        "last_seen_at": time_text(worker.last_seen_at),
        "protocol": worker.protocol,
        "labels": worker.labels,
        "order": worker.order,
        "ordered_slots": worker.ordered_slots,
        "slots_per_task": worker.slots_per_task,
        "slowed_tasks": {kind: delay_ms(int(record[0])) / 1000 for kind, record in worker.slowed.items()},
    }


def dashboard_object(counts: Dashboard) -> dict[str, Any]:
    return {
        "workers": {"total": 0, "idle": 0, "busy": 0, **counts.workers},
        "jobs": {"queued": 0, **{status.value: 0 for status in JobStatus}, **counts.jobs},
        "tasks": {"queued": 0, "running": 0, **counts.tasks},
        "timestamp": time_text(counts.now),
    }


def task_object(lease: Lease) -> dict[str, Any]:
    """A task for the wire. Without a fence it is a documented worker's: it gets the documented members."""
    task = {
        **lease.body,
        "job_id": lease.job_id,
        "task_id": lease.task_id,
        "attempt": lease.attempt,
    }
    if lease.fence:
        task["fence"] = lease.fence
        task["lease_seconds"] = lease.lease_ms / 1000
    return task


def task_objects(leases: Sequence[Lease]) -> list[dict[str, Any]]:
    return [task_object(lease) for lease in leases]


def receipt_object(reply: ReportReply) -> dict[str, Any]:
    if reply.outcome == IGNORED:
        return {"status": "result_ignored", "reason": reply.reason}
    return {"status": f"result_accepted_{reply.outcome}"}


def task_report(message: Result) -> TaskReport:
    outcome = message.result
    error = outcome.error
    if error is None or isinstance(error, str):
        error = ErrorReport(message=error or "")
        code = DEFAULT_ERROR_CODE if outcome.status == FAILURE else ""
    else:
        code = "" if outcome.status == REQUEUE else error.code
    retry_after_s = error.retry_after_seconds
    return TaskReport(
        job_id=message.job_id,
        task_id=message.task_id,
        worker_id=message.worker_id,
        status=outcome.status,
        data=outcome.data,
        code=code,
        message=error.message,
        retry_after_ms=None if retry_after_s is None else round(retry_after_s * 1000),
        kind=error.type,
        attempt=message.attempt,
        fence=message.fence,
    )


def description(message: Registration) -> WorkerDescription:
    sent = message.model_fields_set
    facts: Mapping[str, Any] = {name: getattr(message, name) for name in _FACTS if name in sent}
    _check(facts, message.resources)
    return WorkerDescription(
        worker_id=message.worker_id,
        supported_tasks=tuple(dict.fromkeys(message.supported_tasks)),
        max_concurrent_tasks=message.max_concurrent_tasks,
        cost_per_second=float(message.cost_per_second),
        protocol=message.protocol,
        facts=facts,
    )


def _check(facts: Mapping[str, Any], resources: Mapping[str, Any]) -> None:
    try:
        check_offer(facts, resources)
    except InvalidNeeds as error:
        raise MusterError(
            ErrorCode.INVALID_BODY, f"{error}.", hint="docs/guides/fleet.md lists what is read."
        ) from error


def worker_patch(message: Heartbeat) -> WorkerPatch:
    _check({}, message.resources or {})
    return WorkerPatch(
        status=message.status,
        load=None if message.load is None else float(message.load),
        supported_tasks=None if message.supported_tasks is None else tuple(dict.fromkeys(message.supported_tasks)),
        current_tasks=None if message.current_tasks is None else tuple(message.current_tasks),
        max_concurrent_tasks=message.max_concurrent_tasks,
        cost_per_second=None if message.cost_per_second is None else float(message.cost_per_second),
        resources=message.resources,
        labels=message.labels,
        hot_cache=None if message.hot_cache is None else tuple(message.hot_cache),
    )


def lease_signs(message: Heartbeat) -> tuple[LeaseSign, ...]:
    return tuple(
        LeaseSign(
            task_id=lease.task_id,
            attempt=lease.attempt,
            fence=lease.fence,
            progress=None if lease.progress is None else float(lease.progress),
            message=lease.message,
            silent_ms=None if lease.silent_seconds is None else round(lease.silent_seconds * 1000),
        )
        for lease in message.leases or ()
    )


def _held(pause: Pause) -> dict[str, Any]:
    return {
        "at": time_text(pause.at),
        "by": pause.by,
        "reason": pause.reason,
        "status": pause.status.value,
        "by_job": pause.above or None,
    }


def _waiting(wait: Wait, question: Mapping[str, Any] | None) -> dict[str, Any]:
    asked = wait.asked
    return {
        "kind": wait.kind,
        "message": "" if asked is None else asked.message,
        "decisions": [] if asked is None else choices_of(asked.edges),
        "deadline_at": time_text(wait.deadline_at),
        "approval_token": None,
        "child_id": ",".join(wait.children) or None,
        "signal": ",".join(wait.signals) or None,
        **(question or {}),
    }
