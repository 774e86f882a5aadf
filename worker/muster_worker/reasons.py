"""Why a job does not run, and how many workers there should be, as the orchestrator says it."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class Reason(BaseModel):
    """`code` is stable; `reasons` are those of the job that this one waits for."""

    model_config = ConfigDict(extra="allow")

    code: str
    text: str
    since: datetime | None = None
    until: datetime | None = None
    details: dict[str, Any] = {}
    reasons: list["Reason"] = []


class Why(BaseModel):
    """What must change first comes first. `at`: when it was so, by the store's clock."""

    model_config = ConfigDict(extra="allow")

    job_id: str
    blueprint_name: str
    status: str
    current_state: str
    at: datetime
    reasons: list[Reason]


class TaskDemand(BaseModel):
    """Work of one task type, and the workers that would do it."""

    model_config = ConfigDict(extra="allow")

    task: str
    queued: int
    running: int
    workers: int
    slots: int
    wanted_workers: int
    needs: list[Any] = []


class Wanted(BaseModel):
    items: list[TaskDemand]
