"""What a client does to jobs, beside starting and cancelling them. `Client` has these methods."""

from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, TypeAdapter

from muster_worker.answers import read_answer
from muster_worker.codec import encode
from muster_worker.transport import Answer, Transport

StateT = TypeVar("StateT")
"""A job as it is shown."""


class Paused(BaseModel):
    """Who holds a job, since when and why. `status`: where it stands again when it is resumed."""

    model_config = ConfigDict(extra="allow")

    at: datetime
    by: str
    reason: str
    status: str
    by_job: str | None = None


class JobOperations(Generic[StateT]):
    _transport: Transport

    def __init__(self, shown: TypeAdapter[StateT]) -> None:
        self._shown = shown

    async def pause(self, job_id: str, *, reason: str = "", by: str = "") -> StateT:
        """Hold the job: nothing of it is decided or handed out until it is resumed. Twice is as once."""
        return read_answer(self._shown, (await self._post(job_id, "pause", {"reason": reason, "by": by})).body)

    async def resume(self, job_id: str, *, by: str = "") -> StateT:
        """Let go of a paused job; what came in meanwhile counts now. Conflict: it is not paused."""
        return read_answer(self._shown, (await self._post(job_id, "resume", {"by": by})).body)

    async def _post(self, job_id: str, verb: str, body: dict[str, Any]) -> Answer:
        path = f"/api/v1/jobs/{quote(job_id, safe='')}/{verb}"
        return await self._transport.request("POST", path, body=encode(body))
