"""A job of a real server, as its API tells it, told to today's code.

A history holds what happened and what went wrong, and not what tasks returned: that is the mocks' part. Failures,
answers of people, signals and cancels come as they did.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from muster_worker.contracts import TaskContract

from muster.core.events import (
    APPROVAL_RECEIVED,
    APPROVAL_REQUESTED,
    CANCEL_REQUESTED,
    CHILD_STARTED,
    SIGNAL_AWAITED,
    SIGNAL_RECEIVED,
    STATE_ENTERED,
    TASK_DISPATCHED,
    TASK_FINISHED,
    TASK_RETRIED,
)
from muster.core.ids import TaskId, split_task_id
from muster.core.status import JobStatus
from muster.testing.answers import Mock, Mocks, Reply
from muster.testing.failures import KitError, closest
from muster.testing.recording import END, RecordedMock, Recording, Replay

_ENDED: Final = frozenset({TASK_FINISHED, TASK_RETRIED})
_WELL: Final = None
"""An attempt that succeeded: what it returned is not known."""


def recording_of(job: Mapping[str, Any], history: Sequence[Mapping[str, Any]], signals: Mapping[str, Any]) -> Recording:
    """*job* and *history* as `GET /api/v1/jobs/{id}` and `…/history` give them. Raises KitError where they are not."""
    try:
        steps = [step for event in history if (step := _step(event)) is not None]
        if JobStatus(job["status"]).is_final:
            steps.append({END: job["status"]})
        return {
            "blueprint": job["blueprint_name"],
            "input": job["initial_data"],
            "jobs": [{"blueprint": job["blueprint_name"], "steps": steps, "tasks": _answers(history)}],
            "acts": list(_acts(history, signals)),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise KitError(f"this is no job with its history, as the API gives them: {error!r}") from error


def _step(event: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, details = event["event_type"], event["details"] or {}
    if kind == STATE_ENTERED:
        return {"enters": event["state"]}
    if kind == TASK_DISPATCHED:
        return {"runs": details["type"]}
    if kind == APPROVAL_REQUESTED:
        return {"asks": details["message"], "decisions": details["decisions"]}
    if kind == CHILD_STARTED:
        return {"starts": details["blueprint"]}
    return {"awaits": details["name"]} if kind == SIGNAL_AWAITED else None


def _answers(history: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """By the number of the task, one for each attempt that ended."""
    answers: dict[str, list[Any]] = {}
    for event in history:
        parts = split_task_id(event.get("task_id") or "")
        if event["event_type"] not in _ENDED or parts is None:
            continue
        details = event["details"] or {}
        is_well = "code" not in details and details.get("status", "success") != "failure"
        error = {"code": details.get("code") or "TRANSIENT_ERROR", "message": details.get("message", "")}
        reply = _WELL if is_well else {"status": details.get("status", "failure"), "error": error}
        answers.setdefault(str(parts[1]), []).append(reply)
    return answers


def _acts(history: Sequence[Mapping[str, Any]], signals: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    acts: list[dict[str, Any]] = []
    steps = 0
    for event in history:
        steps += _step(event) is not None
        kind, details = event["event_type"], event["details"] or {}
        act: tuple[str, dict[str, Any]] | None = None
        if kind == APPROVAL_RECEIVED:
            act = "decide", {"decision": details["decision"], "by": details["by"], "note": details["comment"]}
        elif kind == SIGNAL_RECEIVED:
            act = "signal", {"name": details["name"], "data": signals.get(details["name"])}
        elif kind == CANCEL_REQUESTED:
            act = "cancel", {}
        if act is not None:
            acts.append({"job": 0, "after": steps, "verb": act[0], "arguments": act[1]})
    return acts


class HistoryReplay(Replay):
    """As a replay of a recording; what a task returned, and tasks of children, is for *mocks* to say."""

    def __init__(self, recording: Recording, mocks: Mocks) -> None:
        super().__init__(recording)
        recorded = self.mocks
        self.mocks = mocks
        for name in recorded.names:
            self.mocks.add(_TaskOfHistory(name, self, mocks.get(name) if name in mocks.names else None, mocks.names))

    def fits(self, recorded: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
        """Whether *found* says all that the history knows."""
        return recorded.items() <= found.items()


class _TaskOfHistory(RecordedMock):
    def __init__(self, name: str, replay: HistoryReplay, mock: Mock | None, names: Sequence[str]) -> None:
        super().__init__(name, replay)
        self._mock = mock
        self._names = names

    async def reply(self, task: Mapping[str, Any], contract: TaskContract[Any, Any]) -> Reply:
        known = self._replay.recorded(TaskId(task["task_id"]))
        if known is not _WELL:
            return known
        if self._mock is None:
            raise KitError(
                f"a history does not hold what task {self.name!r} returned{closest(self.name, self._names)}. "
                f"Say kit.on({self.name!r}, answer)"
            )
        return await self._mock.reply(task, contract)
