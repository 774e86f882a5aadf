"""What a client does to jobs, beside starting and cancelling them. `Client` has these methods."""

import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

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


class BulkRefusal(BaseModel):
    job_id: str
    code: str
    detail: str


class BulkOutcome(BaseModel):
    """Of one request: `matched` jobs were found, `done` dealt with; `next` is the `cursor` of the next one."""

    model_config = ConfigDict(extra="allow")

    matched: int
    done: int
    jobs: list[str]
    errors: list[BulkRefusal]
    next: str | None = None


class ErrorGroup(BaseModel):
    """Jobs with errors of one kind; the rest is of the one that ended last."""

    model_config = ConfigDict(extra="allow")

    fingerprint: str
    count: int
    job_id: str | None = None
    blueprint_name: str | None = None
    current_state: str | None = None
    message: str | None = None
    last_seen_at: datetime | None = None


class _Errors(BaseModel):
    items: list[ErrorGroup]


FILTERS: Final = frozenset({"error", "created_since", "created_until", "finished_since", "finished_until"})
_BULK: Final = TypeAdapter(BulkOutcome)
_ERRORS: Final = TypeAdapter(_Errors)
_CASE: Final = TypeAdapter(dict[str, Any])
BULK_JOBS: Final = 100
"""Of one request."""
BULK_S_MAX: Final = 120.0
"""Deleting live jobs waits for their workers."""


def filter_query(more: Mapping[str, str | datetime]) -> dict[str, str]:
    """Raises: TypeError for a filter there is not."""
    if unknown := more.keys() - FILTERS:
        raise TypeError(f"there is no filter {', '.join(sorted(unknown))}; there are {', '.join(sorted(FILTERS))}")
    return {name: _text(value) for name, value in more.items()}


def _text(value: str | datetime) -> str:
    """A moment without a zone is one of this machine's clock."""
    return value if isinstance(value, str) else value.astimezone().isoformat()


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

    async def bulk(
        self,
        action: Literal["cancel", "retry", "delete", "pause", "resume"],
        *,
        dry_run: bool = False,
        limit: int = 100,
        cursor: str | None = None,
        reason: str = "",
        by: str = "",
        **wanted: Any,
    ) -> BulkOutcome:
        """One verb for up to *limit* of the jobs that a filter finds; go on with the outcome's `next` as *cursor*.

        *wanted*: `status` (several; those that the action is for if not given), `blueprint`, `tag`, `error`,
        `created_since` and so on; at least one. `bulk_all` goes through all of them.
        """
        moments = {name: _text(value) if isinstance(value, datetime) else value for name, value in wanted.items()}
        body: dict[str, Any] = {"action": action, "dry_run": dry_run, "limit": limit, "cursor": cursor}
        body |= {"reason": reason, "by": by, "filter": to_jsonable_python(moments)}
        answer = await self._transport.request("POST", "/api/v1/jobs/bulk", body=encode(body), timeout_s=BULK_S_MAX)
        return read_answer(_BULK, answer.body)

    async def bulk_all(
        self,
        action: Literal["cancel", "retry", "delete", "pause", "resume"],
        *,
        dry_run: bool = False,
        most: int | None = None,
        reason: str = "",
        by: str = "",
        **wanted: Any,
    ) -> AsyncIterator[BulkOutcome]:
        """Request by request, until there are no more such jobs or *most* were found; each request's outcome.

        Whoever stops or fails in between calls it again: what was dealt with does not match a second time.
        """
        matched, cursor = 0, None
        while most is None or matched < most:
            limit = BULK_JOBS if most is None else min(BULK_JOBS, most - matched)
            part = await self.bulk(action, dry_run=dry_run, limit=limit, cursor=cursor, reason=reason, by=by, **wanted)
            yield part
            matched, cursor = matched + part.matched, part.next
            if cursor is None:
                break

    async def errors(self, since: date | None = None, until: date | None = None) -> list[ErrorGroup]:
        """What fails most, by days (UTC) of the ends; the last week if not given."""
        given = {"since": since, "until": until}
        query = urlencode({name: day.isoformat() for name, day in given.items() if day is not None})
        return read_answer(_ERRORS, (await self._transport.request("GET", f"/api/v1/errors?{query}")).body).items

    async def case(self, job_id: str) -> dict[str, Any]:
        """All that is needed to look at the job elsewhere: a case file, for `muster job debug`."""
        path = f"/api/v1/jobs/{quote(job_id, safe='')}/case"
        return read_answer(_CASE, (await self._transport.request("GET", path)).body)

    async def _post(self, job_id: str, verb: str, body: dict[str, Any]) -> Answer:
        path = f"/api/v1/jobs/{quote(job_id, safe='')}/{verb}"
        return await self._transport.request("POST", path, body=encode(body))
