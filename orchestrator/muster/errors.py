"""Errors a caller can act on. Each has a stable code, an HTTP status and a page in docs/errors/<code>.md."""

from collections.abc import Mapping
from enum import StrEnum


class ErrorCode(StrEnum):
    MALFORMED_JSON = "malformed_json"
    INVALID_BODY = "invalid_body"
    INVALID_PARAMETER = "invalid_parameter"
    INVALID_INPUT = "invalid_input"
    UNPROCESSABLE = "unprocessable"
    UNKNOWN_COMMAND = "unknown_command"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    JOB_NOT_FOUND = "job_not_found"
    BATCH_NOT_FOUND = "batch_not_found"
    BATCH_CLOSED = "batch_closed"
    BATCH_FULL = "batch_full"
    TASK_NOT_FOUND = "task_not_found"
    WORKER_NOT_FOUND = "worker_not_found"
    BLUEPRINT_NOT_FOUND = "blueprint_not_found"
    FILE_NOT_FOUND = "file_not_found"
    FILE_EXPIRED = "file_expired"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    SIGNATURE_REFUSED = "signature_refused"
    QUOTA_EXCEEDED = "quota_exceeded"
    DISK_FULL = "disk_full"
    TASK_NOT_HELD = "task_not_held"
    JOB_FINAL = "job_final"
    JOB_RUNNING = "job_running"
    JOB_CANCELLING = "job_cancelling"
    JOB_NOT_PAUSED = "job_not_paused"
    JOB_NOT_OVER = "job_not_over"
    JOB_FINISHED = "job_finished"
    UNKNOWN_STATE = "unknown_state"
    INVALID_ARGUMENT = "invalid_argument"
    NOT_WAITING_FOR_DECISION = "not_waiting_for_decision"
    UNKNOWN_DECISION = "unknown_decision"
    FORM_INVALID = "form_invalid"
    NOT_AN_APPROVER = "not_an_approver"
    ALREADY_ANSWERED = "already_answered"
    DELEGATION_REFUSED = "delegation_refused"
    SIGNALS_FULL = "signals_full"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    CLIENT_LIMIT_REACHED = "client_limit_reached"
    UNIQUE_CONFLICT = "unique_conflict"
    WEBHOOK_URL_REFUSED = "webhook_url_refused"
    STORE_UNAVAILABLE = "store_unavailable"
    STORE_FULL = "store_full"
    FILE_STORAGE_UNAVAILABLE = "file_storage_unavailable"
    SHUTTING_DOWN = "shutting_down"
    NO_CLIENT_CONFIGURED = "no_client_configured"
    STILL_RUNNING = "still_running"
    CONNECTION_NOT_FOUND = "connection_not_found"
    SCHEDULE_NOT_FOUND = "schedule_not_found"
    BACKFILL_RUNNING = "backfill_running"
    TOO_MANY_SLOTS = "too_many_slots"
    CONNECTION_EXISTS = "connection_exists"
    CONNECTION_CONFIGURED = "connection_configured"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    INVALID_LIMIT = "invalid_limit"
    LIMIT_NOT_FOUND = "limit_not_found"
    LIMIT_OF_FILE = "limit_of_file"
    TOO_MANY_LIMITS = "too_many_limits"
    RUN_FAILED = "run_failed"
    BLUEPRINT_INVALID = "blueprint_invalid"
    BLUEPRINT_IN_CODE = "blueprint_in_code"
    VERSION_NOT_FOUND = "version_not_found"
    TOO_MANY_BLUEPRINTS = "too_many_blueprints"
    PRECONDITION_FAILED = "precondition_failed"
    ROLLOUT_NOT_FOUND = "rollout_not_found"
    ROLLOUT_REFUSED = "rollout_refused"
    INTERNAL = "internal"


STATUS_OF: Mapping[ErrorCode, int] = {
    ErrorCode.MALFORMED_JSON: 400,
    ErrorCode.INVALID_BODY: 400,
    ErrorCode.INVALID_PARAMETER: 400,
    ErrorCode.INVALID_INPUT: 400,
    ErrorCode.UNPROCESSABLE: 422,
    ErrorCode.UNKNOWN_COMMAND: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.JOB_NOT_FOUND: 404,
    ErrorCode.BATCH_NOT_FOUND: 404,
    ErrorCode.BATCH_CLOSED: 409,
    ErrorCode.BATCH_FULL: 413,
    ErrorCode.TASK_NOT_FOUND: 404,
    ErrorCode.WORKER_NOT_FOUND: 404,
    ErrorCode.BLUEPRINT_NOT_FOUND: 404,
    ErrorCode.FILE_NOT_FOUND: 404,
    ErrorCode.FILE_EXPIRED: 410,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.BODY_TOO_LARGE: 413,
    ErrorCode.SIGNATURE_REFUSED: 403,
    ErrorCode.QUOTA_EXCEEDED: 507,
    ErrorCode.DISK_FULL: 507,
    ErrorCode.TASK_NOT_HELD: 409,
    ErrorCode.JOB_FINAL: 409,
    ErrorCode.JOB_RUNNING: 409,
    ErrorCode.JOB_CANCELLING: 409,
    ErrorCode.JOB_NOT_PAUSED: 409,
    ErrorCode.JOB_NOT_OVER: 409,
    ErrorCode.JOB_FINISHED: 409,
    ErrorCode.UNKNOWN_STATE: 400,
    ErrorCode.INVALID_ARGUMENT: 400,
    ErrorCode.NOT_WAITING_FOR_DECISION: 409,
    ErrorCode.UNKNOWN_DECISION: 400,
    ErrorCode.FORM_INVALID: 400,
    ErrorCode.NOT_AN_APPROVER: 403,
    ErrorCode.ALREADY_ANSWERED: 409,
    ErrorCode.DELEGATION_REFUSED: 409,
    ErrorCode.SIGNALS_FULL: 409,
    ErrorCode.IDEMPOTENCY_CONFLICT: 409,
    ErrorCode.CLIENT_LIMIT_REACHED: 429,
    ErrorCode.UNIQUE_CONFLICT: 409,
    ErrorCode.WEBHOOK_URL_REFUSED: 400,
    ErrorCode.STORE_UNAVAILABLE: 503,
    ErrorCode.STORE_FULL: 503,
    ErrorCode.FILE_STORAGE_UNAVAILABLE: 503,
    ErrorCode.SHUTTING_DOWN: 503,
    ErrorCode.NO_CLIENT_CONFIGURED: 500,
    ErrorCode.STILL_RUNNING: 504,
    ErrorCode.CONNECTION_NOT_FOUND: 404,
    ErrorCode.SCHEDULE_NOT_FOUND: 404,
    ErrorCode.BACKFILL_RUNNING: 409,
    ErrorCode.TOO_MANY_SLOTS: 400,
    ErrorCode.CONNECTION_EXISTS: 409,
    ErrorCode.CONNECTION_CONFIGURED: 409,
    ErrorCode.TOO_MANY_CONNECTIONS: 409,
    ErrorCode.INVALID_LIMIT: 400,
    ErrorCode.LIMIT_NOT_FOUND: 404,
    ErrorCode.LIMIT_OF_FILE: 409,
    ErrorCode.TOO_MANY_LIMITS: 409,
    ErrorCode.RUN_FAILED: 500,
    ErrorCode.BLUEPRINT_INVALID: 400,
    ErrorCode.BLUEPRINT_IN_CODE: 409,
    ErrorCode.VERSION_NOT_FOUND: 404,
    ErrorCode.TOO_MANY_BLUEPRINTS: 409,
    ErrorCode.PRECONDITION_FAILED: 412,
    ErrorCode.ROLLOUT_NOT_FOUND: 404,
    ErrorCode.ROLLOUT_REFUSED: 409,
    ErrorCode.INTERNAL: 500,
}


class MusterError(Exception):
    """Something the caller must act on.

    Args:
        code: stable machine word; decides the HTTP status.
        detail: one sentence naming the offending value.
        hint: what to do about it; may be empty.
        extra: further members of the problem document, for example `allowed`.
        retry_after_s: for 503, when trying again makes sense.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        *,
        hint: str = "",
        extra: Mapping[str, object] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.extra = dict(extra or {})
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        return STATUS_OF[self.code]
