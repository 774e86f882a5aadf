"""What a job would undo, as stored with the rest that it carries."""

from collections.abc import Mapping
from typing import Any

from muster_worker.retry_policy import RetryPolicy

from muster.core.decisions import TaskSpec
from muster.core.record import Context, Undo, Undoing
from muster.core.status import JobStatus


def dump_spec(spec: TaskSpec) -> list[Any]:
    return [
        spec.type, spec.params, spec.timeout_ms, spec.retries, spec.priority,
        None if spec.retry is None else spec.retry.to_json(),
        spec.schedule_to_start_ms, spec.schedule_to_close_ms, spec.heartbeat_ms,
    ]  # fmt: skip


def load_spec(stored: list[Any]) -> TaskSpec:
    kind, params, timeout, retries, priority, retry, to_start, to_close, heartbeat = stored
    policy = None if retry is None else RetryPolicy.from_json(retry)
    return TaskSpec(kind, params, timeout, retries, priority, policy, to_start, to_close, heartbeat)


def dump_undos(context: Context) -> dict[str, Any]:
    """Nothing for the many jobs that undo nothing."""
    found: dict[str, Any] = {"u": [_undo_fields(undo) for undo in context.undo]} if context.undo else {}
    doing = context.undoing
    if doing is not None:
        found["v"] = {
            "s": doing.status, "t": doing.state, "e": doing.error, "d": doing.details,
            "c": _undo_fields(doing.current), "u": doing.undone,
        }  # fmt: skip
    return found


def _undo_fields(undo: Undo) -> list[Any]:
    return [undo.of, dump_spec(undo.task)]


def load_undo(stored: list[Any]) -> Undo:
    return Undo(load_spec(stored[1]), stored[0])


def load_undoing(raw: Mapping[str, Any]) -> Undoing:
    undone = tuple((of, kind) for of, kind in raw["u"])
    return Undoing(JobStatus(raw["s"]), raw["t"], raw["e"], raw["d"], load_undo(raw["c"]), undone)
