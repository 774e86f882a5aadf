"""What a client does to jobs, beside starting and cancelling them. `Client` has these methods."""

import uuid
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_jsonable_python

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

    async def retry(
        self,
        job_id: str,
        *,
        state: str | None = None,
        new: bool = False,
        version: Literal["own", "newest"] = "own",
        by: str = "",
        **edited: Any,
    ) -> StateT:
        """Start a job that is over again, in *state* (else the one it entered last). Returns the job that runs now.

        With *new* as a new job, linked to this one. *version* is of the blueprint: that of the job, or the newest.
        *edited* may be `argument` (of the state) and `data` (of the blueprint); what is not given is as recorded.
        """
        if unknown := edited.keys() - {"argument", "data"}:
            raise TypeError(f"retry takes argument and data, not {', '.join(sorted(unknown))}")
        # It always has a key: a request that is sent again after a lost answer must not make a second job.
        body = {"state": state, "new": new, "version": version, "by": by, "key": uuid.uuid4().hex}
        body |= {name: to_jsonable_python(value) for name, value in edited.items()}
        return read_answer(self._shown, (await self._post(job_id, "retry", body)).body)

    async def _post(self, job_id: str, verb: str, body: dict[str, Any]) -> Answer:
        path = f"/api/v1/jobs/{quote(job_id, safe='')}/{verb}"
        return await self._transport.request("POST", path, body=encode(body))
